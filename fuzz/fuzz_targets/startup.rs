//! Any first packet is read or refused; what is read of a cancel request is what is written.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use previewpg_proxy::net::target::Target;
use previewpg_proxy::wire::startup::{self, Startup};

fuzz_target!(|packet: &[u8]| {
    match startup::read(packet) {
        Ok(Startup::Message(message)) => {
            assert!(!message.user().is_empty());
            let mut out = BytesMut::new();
            let parameters = message
                .parameters
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()));
            if startup::startup_message(parameters, &mut out).is_ok() {
                let Ok(Startup::Message(again)) = startup::read(&out[4..]) else {
                    panic!("what was written can't be read");
                };
                assert_eq!(again.parameters, message.parameters);
            }
            message.write_negotiation(&mut out);
        }
        Ok(Startup::Cancel(request)) => {
            let mut out = BytesMut::new();
            request.write(&mut out);
            assert_eq!(&out[4..], packet);
        }
        Ok(Startup::Ssl | Startup::GssEnc) => assert_eq!(packet.len(), 4),
        Err(error) => assert!(error.report().is_fatal()),
    }
    if let Ok(text) = std::str::from_utf8(packet) {
        let _ = Target::parse(text);
    }
});
