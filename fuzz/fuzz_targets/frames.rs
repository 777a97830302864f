//! Any bytes, cut anywhere: the same frames, no panic, nothing lost; and what is read of a frame is what is written.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use previewpg_proxy::wire::backend;
use previewpg_proxy::wire::frame::{self, Direction, FrameError, Limits, Next, Scanner};
use previewpg_proxy::wire::frontend::{self, Bind, Execute, FunctionCall, Parse};
use previewpg_proxy::wire::report::Report;

type Relayed = (Vec<u8>, Vec<Vec<u8>>, Option<FrameError>);

fn relay<'a>(direction: Direction, pieces: impl Iterator<Item = &'a [u8]>) -> Relayed {
    let mut scanner = Scanner::new(direction, Limits::default());
    let mut buffer = BytesMut::new();
    let (mut passed, mut collected) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let scan = scanner.scan(&buffer, |header| !matches!(header.tag, b'Q' | b'P' | b'E'));
            passed.extend_from_slice(&buffer.split_to(scan.pass));
            match scan.next {
                Next::More => break,
                Next::Malformed(error) => return (passed, collected, Some(error)),
                Next::Frame { header, present } if present < header.total() => break,
                Next::Frame { header, .. } => {
                    collected.push(buffer.split_to(header.total()).to_vec());
                    scanner.take();
                }
            }
        }
    }
    (passed, collected, None)
}

fuzz_target!(|input: (Vec<u8>, usize)| {
    let (bytes, cut) = input;
    for direction in [Direction::Frontend, Direction::Backend] {
        let whole = relay(direction, [bytes.as_slice()].into_iter());
        let (a, b) = bytes.split_at(cut.min(bytes.len()));
        assert_eq!(relay(direction, [a, b].into_iter()), whole);
        assert_eq!(relay(direction, bytes.chunks(1)), whole);
    }
    let _ = frontend::read_query(&bytes);
    let _ = Parse::read(&bytes).map(|parse| parse.types().count());
    let _ = frontend::read_subject(&bytes);
    let _ = Execute::read(&bytes);
    let _ = FunctionCall::read(&bytes);
    let _ = frontend::read_sasl_initial(&bytes);
    if let Ok(bind) = Bind::read(&bytes) {
        let mut out = BytesMut::new();
        bind.write(bind.portal, bind.statement, &mut out)
            .expect("what was read can be written");
        assert_eq!(frame::body(&out), bytes);
        for count in 0..=bind.parameters.min(8) {
            out.clear();
            bind.write_first(count, b"", b"", &mut out)
                .expect("there are so many");
            let first = Bind::read(frame::body(&out)).expect("what was written can be read");
            assert!(first.values().eq(bind.values().take(usize::from(count))));
        }
    }
    if let Ok(fields) = backend::read_row_description(&bytes) {
        let mut out = BytesMut::new();
        backend::row_description(&fields, &mut out).expect("what was read can be written");
        assert_eq!(frame::body(&out), bytes);
    }
    let _ = backend::set_formats(&mut bytes.clone(), &[1]);
    let _ = backend::read_parameter_description(&bytes);
    let _ = backend::read_data_row(&bytes);
    let _ = backend::read_parameter_status(&bytes);
    let _ = backend::Notification::read(&bytes);
    let _ = backend::BackendKey::read(&bytes);
    let _ = backend::Authentication::read(&bytes);
    if let Ok(report) = Report::read(&bytes) {
        let frame = report.error_frame();
        assert_eq!(frame::body(&frame), bytes);
    }
});
