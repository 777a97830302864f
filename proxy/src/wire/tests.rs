//! Whatever the bytes and however they are cut: the same frames, no panic, no shift.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use bytes::BytesMut;
use proptest::prelude::*;

use super::frame::{Direction, FrameError, Header, Limits, Next, Scanner};
use super::frontend::{self, Bind, Execute, FunctionCall, Parse, Subject};
use super::report::{Report, code};
use super::startup::{self, Startup, StartupError};
use super::*;

/// What a relay does with a scanner: `interesting` tags are collected, the rest passes.
#[derive(Debug, PartialEq, Eq, Default)]
struct Relayed {
    passed: Vec<u8>,
    collected: Vec<Vec<u8>>,
    headers: Vec<Header>,
    error: Option<FrameError>,
}

fn relay<'a>(
    direction: Direction,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    interesting: &[u8],
) -> Relayed {
    let mut scanner = Scanner::new(direction, Limits::default());
    let mut buffer = BytesMut::new();
    let mut relayed = Relayed::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let scan = scanner.scan(&buffer, |header| {
                let passes = !interesting.contains(&header.tag);
                if passes {
                    relayed.headers.push(header);
                }
                passes
            });
            relayed
                .passed
                .extend_from_slice(&buffer.split_to(scan.pass));
            match scan.next {
                Next::More => break,
                Next::Malformed(error) => {
                    relayed.error = Some(error);
                    return relayed;
                }
                Next::Frame { header, present } if present < header.total() => break,
                Next::Frame { header, .. } => {
                    relayed.headers.push(header);
                    relayed
                        .collected
                        .push(buffer.split_to(header.total()).to_vec());
                    scanner.take();
                }
            }
        }
    }
    relayed
}

fn raw(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    raw(tag, u32::try_from(body.len() + 4).unwrap(), body)
}

#[test]
fn a_large_row_passes_through_a_small_buffer() {
    let body = 1_000_000;
    let mut scanner = Scanner::new(Direction::Backend, Limits::default());
    let mut stream = raw(b'D', body + 4, b"");
    stream.resize(5 + body as usize, 7);
    stream.extend(framed(b'Z', b"I"));
    let mut at = 0;
    let mut frames = Vec::new();
    while at < stream.len() {
        let buffer = &stream[at..stream.len().min(at + 64)];
        let scan = scanner.scan(buffer, |header| {
            frames.push(header.tag);
            true
        });
        assert_eq!(scan.next, Next::More);
        assert!(scan.pass > 0);
        at += scan.pass;
        assert_eq!(
            scanner.remaining() == 0,
            at == stream.len() || at == 5 + body as usize
        );
    }
    assert_eq!(frames, b"DZ");
}

#[test]
fn malformed_headers_end_the_stream() {
    use Direction::{Backend, Frontend};
    let length = |tag, length| FrameError::Length { tag, length };
    for (direction, bytes, error) in [
        (Frontend, raw(b'd', 0, b""), length(b'd', 0)),
        (Frontend, raw(b'd', 1, b""), length(b'd', 1)),
        (Frontend, raw(b'd', 2, b""), length(b'd', 2)),
        (Frontend, raw(b'd', 3, b""), length(b'd', 3)),
        (
            Frontend,
            raw(b'd', 0x3fff_ffff, b""),
            length(b'd', 0x3fff_ffff),
        ),
        (Frontend, raw(b'd', u32::MAX, b""), length(b'd', u32::MAX)),
        (Frontend, raw(b'Q', 4, b""), length(b'Q', 4)),
        (Frontend, raw(b'Q', u32::MAX, b""), length(b'Q', u32::MAX)),
        (Frontend, raw(b'D', 4, b""), length(b'D', 4)),
        (Frontend, raw(b'C', 5, b"S"), length(b'C', 5)),
        (Frontend, raw(b'E', 10_001, b""), length(b'E', 10_001)),
        (Frontend, raw(b'S', 5, b"x"), length(b'S', 5)),
        (Frontend, raw(b'H', 5, b"x"), length(b'H', 5)),
        (Frontend, raw(b'P', 7, b"\0\0\0"), length(b'P', 7)),
        (Frontend, raw(b'B', 11, b"\0\0\0\0\0\0\0"), length(b'B', 11)),
        (
            Frontend,
            raw(b'Q', (64 << 20) + 1, b""),
            FrameError::TooLong {
                tag: b'Q',
                length: (64 << 20) + 1,
                limit: 64 << 20,
            },
        ),
        (
            Frontend,
            vec![0],
            FrameError::Tag {
                direction: Frontend,
                tag: 0,
            },
        ),
        (
            Frontend,
            b"GET / HTTP/1.1".to_vec(),
            FrameError::Tag {
                direction: Frontend,
                tag: b'G',
            },
        ),
        (
            Frontend,
            framed(b'Z', b"I"),
            FrameError::Tag {
                direction: Frontend,
                tag: b'Z',
            },
        ),
        (Backend, raw(b'D', 4, b""), length(b'D', 4)),
        (Backend, raw(b'Z', 4, b""), length(b'Z', 4)),
        (Backend, raw(b'Z', 6, b"II"), length(b'Z', 6)),
        (Backend, raw(b'1', 5, b"x"), length(b'1', 5)),
        (
            Backend,
            framed(b'Q', b"x\0"),
            FrameError::Tag {
                direction: Backend,
                tag: b'Q',
            },
        ),
    ] {
        // In front of it, something that passes: it must still pass.
        let front = match direction {
            Frontend => framed(b'c', b""),
            Backend => framed(b'2', b""),
        };
        let stream = [front.clone(), bytes].concat();
        let relayed = relay(direction, [stream.as_slice()], b"QP");
        assert_eq!(relayed.error, Some(error), "{stream:?}");
        assert_eq!(relayed.passed, front, "{stream:?}");
        let report = error.report();
        assert!(report.is_fatal());
        let code: &[u8] = match error {
            FrameError::TooLong { .. } => b"54000",
            _ => b"08P01",
        };
        assert_eq!(report.sqlstate(), code);
    }
}

#[test]
fn malformed_bodies_are_refused() {
    use MessageError as E;
    type Read = fn(&[u8]) -> Result<(), MessageError>;
    let query: Read = |body| frontend::read_query(body).map(drop);
    let parse: Read = |body| Parse::read(body).map(drop);
    let bind: Read = |body| Bind::read(body).map(drop);
    let subject: Read = |body| frontend::read_subject(body).map(drop);
    let execute: Read = |body| Execute::read(body).map(drop);
    let call: Read = |body| FunctionCall::read(body).map(drop);
    let sasl: Read = |body| frontend::read_sasl_initial(body).map(drop);
    let fields: Read = |body| backend::read_row_description(body).map(drop);
    let row: Read = |body| backend::read_data_row(body).map(drop);
    let key: Read = |body| backend::BackendKey::read(body).map(drop);
    let ready: Read = |body| backend::read_ready_for_query(body).map(drop);
    let report: Read = |body| Report::read(body).map(drop);
    let auth: Read = |body| backend::Authentication::read(body).map(drop);
    for (read, body, error) in [
        (query, &b""[..], E::String),
        (query, b"select 1", E::String),
        (query, b"select 1\0Q\0\0\0\x0ddrop x\0", E::Trailing),
        (query, b"select 1\0\0", E::Trailing),
        (parse, b"", E::String),
        (parse, b"s\0select 1", E::String),
        (parse, b"s\0select 1\0", E::Truncated),
        (parse, b"s\0select 1\0\0\x01\0\0\0", E::Truncated),
        (parse, b"s\0select 1\0\xff\xff\0\0\0\0", E::Truncated),
        (parse, b"s\0sel\0ect 1\0\0\0", E::Truncated),
        (parse, b"s\0select 1\0\0\0x", E::Trailing),
        (bind, b"\0\0\0\0\0\x01\0\0\0\x05abcd\0\0", E::Truncated),
        (bind, b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", E::Truncated),
        (
            bind,
            b"\0\0\0\0\0\x01\x7f\xff\xff\xffabcd\0\0",
            E::Truncated,
        ),
        (bind, b"\0\0\0\0\xff\xff\0\0", E::Truncated),
        (bind, b"\0\0\0\x02\0\0\0\0", E::Truncated),
        (bind, b"\0\0\0\0\0\0\0\x01", E::Truncated),
        (bind, b"\0\0\0\0\0\0\0\0\0", E::Trailing),
        (subject, b"", E::Truncated),
        (subject, b"S", E::String),
        (subject, b"X\0", E::Value),
        (subject, b"Pa\0b\0", E::Trailing),
        (execute, b"\0\0\0\0", E::Truncated),
        (execute, b"p\0\0\0\0\0\0", E::Trailing),
        (call, b"\0\0\0\x01\0\0\0\x01\0\0\0\x04abc\0\0", E::Truncated),
        (call, b"\0\0\0\x01\0\0\0\0", E::Truncated),
        (sasl, b"SCRAM-SHA-256\0\0\0\0\x05abc", E::Truncated),
        (sasl, b"SCRAM-SHA-256\0\xff\xff\xff\xff.", E::Trailing),
        (fields, b"\0\x01a\0\0\0\0\0", E::Truncated),
        (fields, b"\xff\xff", E::String),
        (row, b"\0\x01", E::Truncated),
        (row, b"\0\x01\0\0\0\x02a", E::Truncated),
        (row, b"\0\0x", E::Trailing),
        (key, b"\0\0\0\x01abc", E::Truncated),
        (key, &[1; 261], E::Trailing),
        (ready, b"X", E::Value),
        (report, b"SERROR\0", E::Truncated),
        (report, b"SERROR", E::String),
        (report, b"\0x", E::Trailing),
        (auth, b"\0\0\0\x05abc", E::Truncated),
        (auth, b"\0\0\0\0x", E::Trailing),
        (auth, b"\0\0\0\x0aSCRAM", E::String),
    ] {
        assert_eq!(
            read(body),
            Err(error),
            "{:?}",
            body.escape_ascii().to_string()
        );
        assert_eq!(error.report().sqlstate(), b"08P01");
    }
}

#[test]
fn what_would_shift_the_stream_is_not_written() {
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(
        frontend::query(b"a\0b", &mut out),
        Err(MessageError::String)
    );
    assert_eq!(
        frontend::parse(b"s", b"x\0", [1].into_iter(), &mut out),
        Err(MessageError::String)
    );
    let many = vec![None; 65_536];
    assert_eq!(
        frontend::bind(b"", b"", &many, &mut out),
        Err(MessageError::TooLong)
    );
    assert_eq!(
        backend::command_complete(b"SELECT 1\0", &mut out),
        Err(MessageError::String)
    );
    assert_eq!(&out[..], b"before");
}

#[test]
fn reports() {
    let report = Report::error("42P01", "no")
        .detail("D.")
        .hint("H.")
        .with(code::POSITION, "12");
    let frame = report.error_frame();
    assert_eq!(
        &frame[5..],
        b"SERROR\0VERROR\0C42P01\0Mno\0DD.\0HH.\0P12\0\0"
    );
    let mut read = Report::read(frame::body(&frame)).unwrap();
    assert_eq!(read, report);
    read.set(code::POSITION, "3");
    read.remove(code::HINT);
    assert_eq!(
        &read.error_frame()[5..],
        b"SERROR\0VERROR\0C42P01\0Mno\0DD.\0P3\0\0"
    );
    let smuggled = Report::error("XX000", "a\0b");
    assert_eq!(
        Report::read(frame::body(&smuggled.error_frame()))
            .unwrap()
            .message(),
        "a"
    );
}

#[test]
fn first_packets() {
    let message = |minor: u8, parameters: &[u8]| [&[0, 3, 0, minor], parameters].concat();
    let good = startup::read(&message(2, b"user\0u\0database\0d\0_pq_.x\0y\0user\0v\0\0")).unwrap();
    let Startup::Message(good) = good else {
        panic!("{good:?}");
    };
    assert_eq!((good.user(), good.database(), good.minor), ("v", "d", 2));
    assert_eq!(good.parameters.len(), 2);
    let mut out = BytesMut::new();
    assert!(good.write_negotiation(&mut out));
    assert_eq!(&out[..], b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0");
    for (packet, error) in [
        (message(0, b""), StartupError::Layout),
        (message(0, b"\0"), StartupError::NoUser),
        (message(0, b"user\0\0\0"), StartupError::NoUser),
        (message(0, b"user\0u\0"), StartupError::Layout),
        (message(0, b"user\0u"), StartupError::Layout),
        (message(0, b"user\0u\0\0x"), StartupError::Layout),
        (
            message(0, b"user\0\xff\0\0"),
            StartupError::Encoding("user".into()),
        ),
        (
            message(0, b"user\0u\0replication\0database\0\0"),
            StartupError::Replication,
        ),
        (
            message(0, b"user\0u\0replication\0x\0\0"),
            StartupError::ReplicationValue("x".into()),
        ),
        (
            vec![0, 2, 0, 0],
            StartupError::Version { major: 2, minor: 0 },
        ),
        (
            b"GET /".to_vec(),
            StartupError::Version {
                major: 0x4745,
                minor: 0x5420,
            },
        ),
        (vec![0, 3], StartupError::Length),
        (b"\x04\xd2\x16\x2fx".to_vec(), StartupError::Length),
        (
            b"\x04\xd2\x16\x2e\0\0\0\x01abc".to_vec(),
            StartupError::Length,
        ),
        (
            [&b"\x04\xd2\x16\x2e\0\0\0\x01"[..], &[1; 257]].concat(),
            StartupError::Length,
        ),
    ] {
        assert_eq!(startup::read(&packet), Err(error.clone()), "{packet:?}");
        assert!(error.report().is_fatal());
    }
    for secret in [4, 32, 256] {
        let packet = [&b"\x04\xd2\x16\x2e\0\0\0\x07"[..], &vec![9; secret]].concat();
        let Ok(Startup::Cancel(request)) = startup::read(&packet) else {
            panic!("{secret}");
        };
        let mut out = BytesMut::new();
        request.write(&mut out);
        assert_eq!(&out[4..], packet);
        assert_eq!(
            startup::length(out[..4].try_into().unwrap()),
            Ok(packet.len())
        );
    }
    assert_eq!(startup::length([0, 0, 0, 7]), Err(StartupError::Length));
    assert_eq!(
        startup::length(10_001_u32.to_be_bytes()),
        Err(StartupError::Length)
    );
    let latin = startup::read(&message(0, b"user\0u\0application_name\0a\xe9\0\0"));
    let Ok(Startup::Message(latin)) = latin else {
        panic!("{latin:?}");
    };
    assert_eq!(latin.get("application_name"), Some("a?"));
    assert_eq!(latin.database(), "u");
}

#[test]
fn formats_are_rewritten_in_place() {
    let field = |name, format| backend::Field {
        name,
        table: 1,
        attribute: 2,
        type_oid: 23,
        type_size: 4,
        type_modifier: -1,
        format,
    };
    let mut out = BytesMut::new();
    backend::row_description(
        &[field(b"a", 0), field(b"", 0), field(b"\xe9", 0)],
        &mut out,
    )
    .unwrap();
    let body = &mut out[5..];
    for (formats, expected) in [
        (&[1][..], [1, 1, 1]),
        (&[0, 1, 0], [0, 1, 0]),
        (&[], [0, 0, 0]),
    ] {
        backend::set_formats(body, formats).unwrap();
        let read: Vec<_> = backend::read_row_description(body).unwrap();
        assert_eq!(read.iter().map(|f| f.format).collect::<Vec<_>>(), expected);
        assert_eq!(
            read.iter().map(|f| f.name).collect::<Vec<_>>(),
            [&b"a"[..], b"", b"\xe9"]
        );
    }
    assert_eq!(
        backend::set_formats(body, &[0, 1]),
        Err(MessageError::Value)
    );
}

fn frontend_frame() -> impl Strategy<Value = Vec<u8>> {
    let text = || prop::collection::vec(1..=255_u8, 0..20);
    let value = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    prop_oneof![
        text().prop_map(|t| {
            let mut out = BytesMut::new();
            frontend::query(&t, &mut out).unwrap();
            out.to_vec()
        }),
        (text(), text(), prop::collection::vec(any::<u32>(), 0..4)).prop_map(|(n, t, o)| {
            let mut out = BytesMut::new();
            frontend::parse(&n, &t, o.into_iter(), &mut out).unwrap();
            out.to_vec()
        }),
        (text(), text(), prop::collection::vec(value(), 0..5)).prop_map(|(p, s, v)| {
            let mut out = BytesMut::new();
            let v: Vec<_> = v.iter().map(Option::as_deref).collect();
            frontend::bind(&p, &s, &v, &mut out).unwrap();
            out.to_vec()
        }),
        (text(), any::<i32>()).prop_map(|(p, n)| {
            let mut out = BytesMut::new();
            frontend::execute(&p, n, &mut out).unwrap();
            frontend::describe(Subject::Portal, &p, &mut out).unwrap();
            frontend::close(Subject::Statement, &p, &mut out).unwrap();
            frontend::flush(&mut out);
            frontend::sync(&mut out);
            out.to_vec()
        }),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|d| framed(b'd', &d)),
    ]
}

proptest! {
    /// One piece, two pieces cut anywhere, one byte at a time: the same.
    #[test]
    fn cuts_change_nothing(frames in prop::collection::vec(frontend_frame(), 1..6)) {
        let stream = frames.concat();
        let whole = relay(Direction::Frontend, [stream.as_slice()], b"QP");
        prop_assert_eq!(whole.error, None);
        prop_assert_eq!(whole.headers.iter().map(|h| h.total()).sum::<usize>(), stream.len());
        prop_assert_eq!(whole.passed.len() + whole.collected.concat().len(), stream.len());
        for cut in 0..=stream.len() {
            let (a, b) = stream.split_at(cut);
            prop_assert_eq!(&relay(Direction::Frontend, [a, b], b"QP"), &whole, "cut at {}", cut);
        }
        prop_assert_eq!(&relay(Direction::Frontend, stream.chunks(1), b"QP"), &whole);
        let all = relay(Direction::Frontend, stream.chunks(1), b"");
        prop_assert_eq!(all.passed, stream);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
        for direction in [Direction::Frontend, Direction::Backend] {
            let whole = relay(direction, [bytes.as_slice()], b"QPT");
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(&relay(direction, [a, b], b"QPT"), &whole);
            prop_assert_eq!(&relay(direction, bytes.chunks(1), b"QPT"), &whole);
        }
        let _ = frontend::read_query(&bytes);
        let _ = Parse::read(&bytes).map(|p| p.types().count());
        let _ = frontend::read_subject(&bytes);
        let _ = Execute::read(&bytes);
        let _ = FunctionCall::read(&bytes);
        let _ = frontend::read_sasl_initial(&bytes);
        let _ = backend::read_row_description(&bytes);
        let _ = backend::set_formats(&mut bytes.clone(), &[1]);
        let _ = backend::read_parameter_description(&bytes);
        let _ = backend::read_data_row(&bytes);
        let _ = backend::read_parameter_status(&bytes);
        let _ = backend::Notification::read(&bytes);
        let _ = backend::BackendKey::read(&bytes);
        let _ = backend::Authentication::read(&bytes);
        let _ = startup::read(&bytes);
        if let Ok(report) = Report::read(&bytes) {
            let frame = report.error_frame();
            prop_assert_eq!(frame::body(&frame), &bytes[..]);
        }
        if let Ok(bind) = Bind::read(&bytes) {
            let mut out = BytesMut::new();
            bind.write(bind.portal, bind.statement, &mut out).unwrap();
            prop_assert_eq!(frame::body(&out), &bytes[..]);
        }
    }

    #[test]
    fn a_bind_keeps_its_values(
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..5),
        formats in prop::collection::vec(0..=1_i16, 0..5),
        results in prop::collection::vec(0..=1_i16, 0..3),
        first in 0..6_u16,
    ) {
        let formats = if formats.len() > 1 { vec![1; values.len()] } else { formats };
        let mut body = b"p\0s\0".to_vec();
        let count = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
        body.extend(count(formats.len()));
        formats.iter().for_each(|f| body.extend(f.to_be_bytes()));
        body.extend(count(values.len()));
        for value in &values {
            match value {
                None => body.extend([255; 4]),
                Some(value) => {
                    body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend(value);
                }
            }
        }
        body.extend(count(results.len()));
        results.iter().for_each(|f| body.extend(f.to_be_bytes()));

        let bind = Bind::read(&body).unwrap();
        let owned = |bind: &Bind<'_>| bind.values().map(|v| v.map(<[u8]>::to_vec)).collect::<Vec<_>>();
        prop_assert_eq!(owned(&bind), values.clone());
        let mut out = BytesMut::new();
        bind.write(b"other", b"name", &mut out).unwrap();
        let read = Bind::read(frame::body(&out)).unwrap();
        prop_assert_eq!((read.portal, read.statement), (&b"other"[..], &b"name"[..]));
        prop_assert_eq!(owned(&read), values.clone());
        prop_assert_eq!(read.formats().collect::<Vec<_>>(), formats);
        prop_assert_eq!(read.result_formats().collect::<Vec<_>>(), results);

        out.clear();
        let written = bind.write_first(first, b"", b"c", &mut out);
        if usize::from(first) > values.len() {
            prop_assert_eq!(written, Err(MessageError::Truncated));
            prop_assert!(out.is_empty());
        } else {
            let read = Bind::read(frame::body(&out)).unwrap();
            prop_assert_eq!(owned(&read), &values[..usize::from(first)]);
            prop_assert_eq!(read.result_formats().len(), 0);
            for n in 0..usize::from(first) {
                prop_assert_eq!(read.format_of(n), bind.format_of(n));
            }
        }
    }
}
