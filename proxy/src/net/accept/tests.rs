#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::net::target::Target;
use crate::net::testing::Authority;
use crate::net::tls::{ClientTls, TlsError, certificate_problem};

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSSENC: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

fn hello() -> Vec<u8> {
    let mut out = BytesMut::new();
    startup::startup_message([("user", "u")], &mut out).unwrap();
    out.to_vec()
}

fn cancel() -> Vec<u8> {
    let mut out = BytesMut::new();
    let request = CancelRequest {
        process: 7,
        secret: vec![9; 32],
    };
    request.write(&mut out);
    out.to_vec()
}

type Accepting = JoinHandle<Result<Accepted, AcceptError>>;

/// A client's end, and what becomes of the other.
async fn tcp(greeting: &Greeting) -> (TcpStream, Accepting) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let greeting = greeting.clone();
    (
        client,
        tokio::spawn(async move { greeting.accept(Socket::Tcp(server)).await }),
    )
}

fn unix(greeting: &Greeting) -> (UnixStream, Accepting) {
    let (client, server) = UnixStream::pair().unwrap();
    let greeting = greeting.clone();
    (
        client,
        tokio::spawn(async move { greeting.accept(Socket::Unix(server)).await }),
    )
}

fn with_tls(authority: &Authority) -> Greeting {
    let (certificate, key) = authority.certify("localhost");
    Greeting {
        tls: Some(Arc::new(ServerTls::load(&certificate, &key).unwrap())),
        require_tls: false,
    }
}

fn client_tls(authority: &Authority) -> ClientTls {
    let text = format!(
        "user=u host=localhost sslmode=verify-full sslrootcert={}",
        authority.root.display()
    );
    ClientTls::new(&Target::parse(&text).unwrap()).unwrap()
}

fn client(accepted: Result<Accepted, AcceptError>) -> Greeted {
    match accepted {
        Ok(Accepted::Client(greeted)) => greeted,
        other => panic!("{other:?}"),
    }
}

async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> u8 {
    stream.read_u8().await.unwrap()
}

#[tokio::test]
async fn without_tls() {
    let greeting = Greeting::default();
    for requests in [&[][..], &[SSL], &[GSSENC], &[GSSENC, SSL], &[SSL, GSSENC]] {
        let (mut socket, accepting) = tcp(&greeting).await;
        for request in requests {
            socket.write_all(request).await.unwrap();
            assert_eq!(answer(&mut socket).await, b'N');
        }
        // One byte at a time.
        for byte in hello() {
            socket.write_all(&[byte]).await.unwrap();
        }
        let greeted = client(accepting.await.unwrap());
        assert_eq!(greeted.startup.user(), "u");
        assert!(!greeted.stream.is_tls());
        assert_eq!(greeted.certificate_pem, None);
    }
    let (mut socket, accepting) = unix(&greeting);
    socket.write_all(&cancel()).await.unwrap();
    let Accepted::Cancel(request) = accepting.await.unwrap().unwrap() else {
        panic!();
    };
    assert_eq!((request.process, request.secret), (7, vec![9; 32]));
    let (socket, accepting) = unix(&greeting);
    drop(socket);
    assert!(matches!(accepting.await.unwrap(), Ok(Accepted::Nothing)));
    let (mut socket, accepting) = unix(&greeting);
    socket.write_all(&hello()[..9]).await.unwrap();
    drop(socket);
    assert!(matches!(accepting.await.unwrap(), Err(AcceptError::Io(_))));
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let authority = Authority::new();
    let plain = Greeting::default();
    let tls = with_tls(&authority);
    let only_tls = Greeting {
        require_tls: true,
        ..tls.clone()
    };
    for (greeting, packets, code) in [
        // The class of CVE-2021-23214: a StartupMessage in plaintext behind the SSLRequest.
        (&tls, [SSL, &hello()].concat(), "08P01"),
        (&tls, [SSL, b"x"].concat(), "08P01"),
        (&tls, [GSSENC, SSL, &cancel()].concat(), "08P01"),
        (&plain, [SSL, SSL].concat(), "08P01"),
        (&plain, [GSSENC, SSL, GSSENC].concat(), "08P01"),
        (&plain, b"\0\0\0\x07".to_vec(), "08P01"),
        (&plain, b"\0\0\x27\x11".to_vec(), "08P01"),
        (&plain, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "08P01"),
        (&plain, b"\0\0\0\x08\0\x02\0\0".to_vec(), "0A000"),
        (&plain, b"\0\0\0\x09\0\x03\0\0\0".to_vec(), "28000"),
        (&only_tls, hello(), "28000"),
    ] {
        let (mut socket, accepting) = tcp(greeting).await;
        socket.write_all(&packets).await.unwrap();
        let error = accepting.await.unwrap().expect_err("must be refused");
        let mut told = Vec::new();
        // Our end closes with bytes unread: a reset may follow what was told.
        let _ = socket.read_to_end(&mut told).await;
        let at = told
            .iter()
            .position(|byte| *byte == b'E')
            .unwrap_or_else(|| panic!("{error}"));
        assert!(told[..at].iter().all(|byte| *byte == b'N'), "{told:?}");
        let report = Report::read(&told[at + 5..]).unwrap();
        assert_eq!(report.sqlstate(), code.as_bytes(), "{report}");
        assert!(report.is_fatal());
    }
}

#[tokio::test]
async fn plaintext_that_comes_later_breaks_the_handshake() {
    let authority = Authority::new();
    let (mut socket, accepting) = tcp(&with_tls(&authority)).await;
    socket.write_all(SSL).await.unwrap();
    assert_eq!(answer(&mut socket).await, b'S');
    socket.write_all(&hello()).await.unwrap();
    // No handshake: it must not become a client, whatever follows.
    let _ = client_tls(&authority)
        .connect(Socket::Tcp(socket), "localhost")
        .await;
    assert!(matches!(accepting.await.unwrap(), Err(AcceptError::Io(_))));
}

#[tokio::test]
async fn with_a_certificate() {
    let authority = Authority::new();
    let greeting = Greeting {
        require_tls: true,
        ..with_tls(&authority)
    };
    let tls = client_tls(&authority);
    for first in [&[][..], &[GSSENC]] {
        let (mut socket, accepting) = tcp(&greeting).await;
        for request in first {
            socket.write_all(request).await.unwrap();
            assert_eq!(answer(&mut socket).await, b'N');
        }
        socket.write_all(SSL).await.unwrap();
        assert_eq!(answer(&mut socket).await, b'S');
        let mut stream = tls.connect(Socket::Tcp(socket), "localhost").await.unwrap();
        stream.write_all(&hello()).await.unwrap();
        let greeted = client(accepting.await.unwrap());
        assert!(greeted.stream.is_tls());
        assert!(greeted.certificate_pem.is_some());
    }
    // A second request, inside.
    let (mut socket, accepting) = tcp(&greeting).await;
    socket.write_all(SSL).await.unwrap();
    assert_eq!(answer(&mut socket).await, b'S');
    let mut stream = tls.connect(Socket::Tcp(socket), "localhost").await.unwrap();
    stream.write_all(SSL).await.unwrap();
    assert!(matches!(
        accepting.await.unwrap(),
        Err(AcceptError::Repeated)
    ));
    // Cancel requests come with TLS, or without: there's nothing secret but the key.
    let (mut socket, accepting) = tcp(&greeting).await;
    socket.write_all(&cancel()).await.unwrap();
    assert!(matches!(accepting.await.unwrap(), Ok(Accepted::Cancel(_))));
    // Unix-domain sockets have none and need none.
    let (mut socket, accepting) = unix(&greeting);
    socket.write_all(SSL).await.unwrap();
    assert_eq!(answer(&mut socket).await, b'N');
    socket.write_all(&hello()).await.unwrap();
    assert!(!client(accepting.await.unwrap()).stream.is_tls());
}

#[tokio::test]
async fn direct_tls_needs_the_protocols_name() {
    let authority = Authority::new();
    let greeting = with_tls(&authority);
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(&authority.root).unwrap();
    use rustls_pki_types::pem::PemObject;
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    for named in [true, false] {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
        if named {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        let (socket, accepting) = tcp(&greeting).await;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .unwrap();
        stream.write_all(&hello()).await.unwrap();
        match accepting.await.unwrap() {
            Ok(Accepted::Client(greeted)) if named => assert!(greeted.stream.is_tls()),
            Err(AcceptError::NoAlpn) if !named => {}
            other => panic!("{named} {other:?}"),
        }
    }
}

#[tokio::test]
async fn certificates_are_read_again() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("localhost");
    let server = Arc::new(ServerTls::load(&certificate, &key).unwrap());
    let greeting = Greeting {
        tls: Some(Arc::clone(&server)),
        require_tls: false,
    };
    let tls = client_tls(&authority);
    let names = |host: &'static str| {
        let (greeting, tls) = (greeting.clone(), tls.clone());
        async move {
            let (mut socket, accepting) = tcp(&greeting).await;
            socket.write_all(SSL).await.unwrap();
            assert_eq!(answer(&mut socket).await, b'S');
            let connected = tls.connect(Socket::Tcp(socket), host).await;
            accepting.abort();
            connected.map(drop)
        }
    };
    names("localhost").await.unwrap();
    assert!(!server.reload().unwrap());

    authority.certify_into("other.example", &certificate, &key);
    assert!(server.reload().unwrap());
    names("other.example").await.unwrap();
    let problem = certificate_problem(&names("localhost").await.unwrap_err());
    assert!(problem.unwrap().contains("another host name"));

    // A key that doesn't fit, no key, no file: the certificate in use stays.
    let (_, stranger) = authority.certify("third.example");
    std::fs::copy(stranger, &key).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Config(_))));
    std::fs::write(&key, "").unwrap();
    assert!(matches!(server.reload(), Err(TlsError::File { .. })));
    std::fs::write(&certificate, "").unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Empty(_))));
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::File { .. })));
    names("other.example").await.unwrap();
}

#[test]
fn roots_as_libpq_wants_them() {
    let tls = |more: &str| ClientTls::new(&Target::parse(&format!("user=u {more}")).unwrap());
    assert!(tls("sslmode=require").is_ok());
    assert!(matches!(
        tls("sslmode=verify-full sslrootcert=/nowhere/ca.pem"),
        Err(TlsError::NoRoots(_))
    ));
    assert!(matches!(
        tls("sslmode=require sslrootcert=system"),
        Err(TlsError::WeakSystem)
    ));
    assert!(matches!(
        tls("sslmode=require sslcert=/nowhere/c.pem"),
        Err(TlsError::HalfClientCertificate)
    ));
    assert!(tls("sslmode=disable sslcert=/nowhere/c.pem").is_ok());
}
