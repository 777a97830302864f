//! Malformed packets: each is answered by a protocol error, and the proxy goes on.

use super::*;

/// A frame: tag, length and body.
pub(crate) fn frame(tag: u8, length: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// SQLSTATE of the first error, or `closed`, or `silence`.
fn reaction(address: &Address, bytes: &[u8]) -> String {
    let mut session = Session::connect(address).expect("log in");
    session.send_raw(bytes).expect("send");
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        match session.next_frame(Duration::from_millis(1500)) {
            Some(f) if f.tag == b'E' => {
                let text = String::from_utf8_lossy(&f.body).into_owned();
                let state = text.split('\0').find_map(|t| t.strip_prefix('C'));
                return state.unwrap_or_default().to_owned();
            }
            Some(_) => {}
            None => {
                return if session.send_raw(&frame(b'S', 4, &[])).is_err()
                    || session.next_frame(Duration::from_millis(500)).is_none()
                {
                    "closed or silent".to_owned()
                } else {
                    "no error".to_owned()
                };
            }
        }
    }
    "babbling".to_owned()
}

#[test]
fn malformed_frames() {
    let database = shop();
    let servers = Servers::shared();
    let copy = servers.copy.tcp("app", &database);
    let preview = Preview::of(&database);
    let sync = frame(b'S', 4, &[]);
    let with_sync = |bytes: Vec<u8>| [bytes, sync.clone()].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("CopyData of length 0", frame(b'd', 0, &[])),
        ("CopyData of length 3", frame(b'd', 3, &[])),
        ("Query of length 3", frame(b'Q', 3, &[])),
        ("a negative length", frame(b'Q', -1, &[])),
        ("a length of 2 GB", frame(b'Q', i32::MAX, b"SELECT 1\0")),
        ("Query without its NUL", frame(b'Q', 12, b"SELECT 1")),
        (
            "Query with a NUL inside",
            frame(b'Q', 36, b"SELECT 1\0; DELETE FROM counters\0"),
        ),
        ("an empty Query frame", frame(b'Q', 4, &[])),
        (
            "Parse that ends in its name",
            with_sync(frame(b'P', 6, b"ab")),
        ),
        (
            "Parse without its number of types",
            with_sync(frame(b'P', 14, b"\0SELECT 1\0")),
        ),
        (
            "Parse with fewer types than it says",
            with_sync(frame(b'P', 16, b"\0SELECT 1\0\0\x05")),
        ),
        (
            "Bind with an impossible parameter length",
            with_sync(
                [
                    frame(b'P', 17, b"\0SELECT $1\0\0\0")
                        .split_at(18)
                        .0
                        .to_vec(),
                    frame(b'B', 16, b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
                ]
                .concat(),
            ),
        ),
        ("Bind that is cut off", with_sync(frame(b'B', 6, b"\0\0"))),
        ("Describe without a body", with_sync(frame(b'D', 4, &[]))),
        (
            "Describe of an unknown kind",
            with_sync(frame(b'D', 6, b"X\0")),
        ),
        (
            "Execute without its limit",
            with_sync(frame(b'E', 5, b"\0")),
        ),
        ("Close without a body", with_sync(frame(b'C', 4, &[]))),
        (
            "Describe of a statement that isn't there",
            with_sync(frame(b'D', 12, b"Snobody\0")),
        ),
        ("an unknown type of message", frame(b'!', 4, &[])),
        (
            "a FunctionCall that is cut off",
            frame(b'F', 8, b"\0\0\0\x01"),
        ),
        ("Sync with a body", frame(b'S', 6, b"ab")),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in &cases {
        let expected = reaction(&copy, bytes);
        let found = reaction(&preview.address, bytes);
        if found != expected && found != "08P01" {
            wrong.push(format!(
                "{what}: PostgreSQL {expected}, the preview {found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut session = preview.connect();
    assert_eq!(session.value("SELECT count(*) FROM counters"), "20");
    assert!(
        !preview.stderr().contains("panicked"),
        "{}",
        preview.stderr()
    );
}

#[test]
fn malformed_startups() {
    let preview = Preview::of(&shop());
    let place = (preview.address.host.as_str(), preview.address.port);
    let ssl_request = [0, 0, 0, 8, 4, 210, 22, 47];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("a length of 3", vec![0, 0, 0, 3]),
        ("a length of 2 GB", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        (
            "a web browser",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        ("protocol 2", vec![0, 0, 0, 9, 0, 2, 0, 0, 0]),
        ("no user", vec![0, 0, 0, 9, 0, 3, 0, 0, 0]),
        (
            "plaintext behind SSLRequest",
            [&ssl_request[..], &[0, 0, 0, 9, 0, 3, 0, 0, 0]].concat(),
        ),
        ("SSLRequest for ever", ssl_request.repeat(20)),
        (
            "parameters without an end",
            [&[0, 0, 0, 13, 0, 3, 0, 0][..], b"user\0"].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut stream = TcpStream::connect(place).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(75)))
            .unwrap();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
            "{what}: the connection stays"
        );
    }
    assert_eq!(preview.connect().value("SELECT 1"), "1");
    assert!(
        !preview.stderr().contains("panicked"),
        "{}",
        preview.stderr()
    );
}
