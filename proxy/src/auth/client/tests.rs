#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::process::Command;

use super::*;
use crate::auth::backend::{self, ConnectError};
use crate::net::accept::{Accepted, Greeting};
use crate::net::drain::Shutdown;
use crate::net::listen::{self, Client, Handler, Listener, Options, Places};
use crate::net::stream::Stream;
use crate::net::target::Target;
use crate::net::testing::{Authority, program};
use crate::net::tls::{ClientTls, ServerTls};
use crate::wire::TransactionStatus;
use crate::wire::backend as say;
use crate::wire::startup::CancelRequest;

/// Lets `app` in and answers every query with its name.
struct Doorman {
    verifier: Verifier,
}

impl Handler for Doorman {
    async fn client(self: Arc<Self>, mut client: Client) {
        let user = client.greeted.startup.user().to_owned();
        let verifier = (user == "app").then_some(&self.verifier);
        if login(&mut client.greeted, verifier, client.login_deadline)
            .await
            .is_ok()
        {
            let _ = serve(&mut client.greeted.stream, &user).await;
        }
    }

    async fn cancel(self: Arc<Self>, _: CancelRequest) {}
}

async fn serve(stream: &mut Stream, user: &str) -> io::Result<()> {
    let mut out = BytesMut::new();
    say::parameter_status(b"server_version", b"15.0", &mut out).unwrap();
    say::parameter_status(b"client_encoding", b"UTF8", &mut out).unwrap();
    say::ready_for_query(TransactionStatus::Idle, &mut out);
    stream.write_all(&out).await?;
    let scanner = Scanner::new(Direction::Frontend, Limits::default());
    let mut buffer = BytesMut::new();
    loop {
        match scanner.header(&buffer).unwrap() {
            Some(header) if buffer.len() >= header.total() => {
                buffer.advance(header.total());
                if header.tag == b'X' {
                    return Ok(());
                }
                out.clear();
                let field = say::Field {
                    name: b"user",
                    table: 0,
                    attribute: 0,
                    type_oid: 25,
                    type_size: -1,
                    type_modifier: -1,
                    format: 0,
                };
                say::row_description(&[field], &mut out).unwrap();
                say::data_row(&[Some(user.as_bytes())], &mut out).unwrap();
                say::command_complete(b"SELECT 1", &mut out).unwrap();
                say::ready_for_query(TransactionStatus::Idle, &mut out);
                stream.write_all(&out).await?;
            }
            _ => {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

async fn psql(conninfo: &str) -> Result<String, String> {
    let output = Command::new(program("psql"))
        .args(["-XAtwc", "select", conninfo])
        .output()
        .await
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[tokio::test]
async fn psql_and_our_own_login() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("localhost");
    let folder = TempDir::new().unwrap();
    let doorman = Arc::new(Doorman {
        verifier: Verifier::new("pass wörd"),
    });
    let options = Options {
        greeting: Greeting {
            tls: Some(Arc::new(ServerTls::load(&certificate, &key).unwrap())),
            require_tls: false,
        },
        drain_limit: Duration::from_secs(5),
    };
    let shutdown = Shutdown::default();
    let places = Places::new(10);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let unix = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}"))).unwrap();
    let serving: Vec<_> = [Listener::Tcp(tcp), Listener::Unix(unix)]
        .map(|listener| {
            tokio::spawn(listen::serve(
                listener,
                options.clone(),
                places.clone(),
                Arc::clone(&doorman),
                shutdown.clone(),
            ))
        })
        .into();
    let root = authority.root.display();
    let socket = folder.path().display();
    for (place, how) in [
        ("127.0.0.1".to_owned(), "sslmode=disable".to_owned()),
        (socket.to_string(), String::new()),
        ("localhost".to_owned(), "sslmode=require".to_owned()),
        (
            "localhost".to_owned(),
            "sslmode=require channel_binding=require".to_owned(),
        ),
        (
            "localhost".to_owned(),
            "sslmode=require channel_binding=disable".to_owned(),
        ),
        (
            "localhost".to_owned(),
            format!("sslmode=verify-full sslrootcert={root} channel_binding=require"),
        ),
    ] {
        let conninfo = |user: &str, password: &str| {
            format!("host={place} port={port} dbname=shop user={user} password='{password}' {how}")
        };
        assert_eq!(
            psql(&conninfo("app", "pass wörd")).await.as_deref(),
            Ok("app"),
            "{place} {how}"
        );
        for user in ["app", "nobody"] {
            let error = psql(&conninfo(user, "falsch")).await.unwrap_err();
            let expected = format!("FATAL:  password authentication failed for user \"{user}\"");
            assert!(error.contains(&expected), "{how}: {error}");
        }
        let target = Target::parse(&conninfo("app", "pass wörd")).unwrap();
        let tls = ClientTls::new(&target).unwrap();
        let ours = backend::connect(&target, &[], &tls).await.unwrap();
        assert_eq!(ours.parameters[0], ("server_version".into(), "15.0".into()));
        let target = Target::parse(&conninfo("nobody", "falsch")).unwrap();
        let Err(ConnectError::Refused { report, .. }) = backend::connect(&target, &[], &tls).await
        else {
            panic!("{place} {how}");
        };
        assert_eq!(report.sqlstate(), b"28P01");
    }
    // What libpq does without being told: TLS, bound.
    let plain = format!("host=127.0.0.1 port={port} user=app dbname=x password='pass wörd'");
    assert_eq!(psql(&plain).await.as_deref(), Ok("app"));
    // The client has gone before its place is free.
    let freed = async {
        while places.taken() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .expect("places are given back");
    shutdown.drain();
    for task in serving {
        task.await.unwrap();
    }
}

/// A client that says `messages`, each when something came; what it's told in the end, and what became of the login.
async fn rude(
    messages: &[Vec<u8>],
    verifier: Option<&Verifier>,
    limit: Duration,
) -> (Report, LoginError) {
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut hello = BytesMut::new();
    crate::wire::startup::startup_message([("user", "u")], &mut hello).unwrap();
    client.write_all(&hello).await.unwrap();
    let accepted = Greeting::default()
        .accept(crate::net::stream::Socket::Unix(server))
        .await;
    let Ok(Accepted::Client(mut greeted)) = accepted else {
        panic!("{accepted:?}");
    };
    let deadline = Instant::now() + limit;
    let talk = async {
        for message in messages {
            assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
            client.write_all(message).await.unwrap();
        }
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        rest
    };
    let (result, rest) = tokio::join!(
        async {
            let result = login(&mut greeted, verifier, deadline).await;
            drop(greeted);
            result
        },
        talk
    );
    let scanner = Scanner::new(Direction::Backend, Limits::default());
    let mut rest = &rest[..];
    loop {
        let header = scanner.header(rest).unwrap().unwrap();
        let (frame, after) = rest.split_at(header.total());
        if header.tag == b'E' {
            assert!(after.is_empty());
            return (
                Report::read(frame::body(frame)).unwrap(),
                result.unwrap_err(),
            );
        }
        rest = after;
    }
}

#[tokio::test]
async fn clients_that_do_not_play_by_the_rules() {
    let first = |mechanism: &str, data: &str| {
        let mut out = BytesMut::new();
        frontend::sasl_initial(mechanism.as_bytes(), data.as_bytes(), &mut out).unwrap();
        out.to_vec()
    };
    let next = |data: &str| {
        let mut out = BytesMut::new();
        frontend::sasl_response(data.as_bytes(), &mut out).unwrap();
        out.to_vec()
    };
    let good = || first(SCRAM, "n,,n=,r=abcdefgh");
    let verifier = Verifier::new("x");
    for (messages, code) in [
        (vec![], "57014"),
        (vec![good()], "57014"),
        (vec![first("OAUTHBEARER", "n,,")], "08P01"),
        (
            vec![first(SCRAM_PLUS, "p=tls-server-end-point,,n=,r=abc")],
            "08P01",
        ),
        (
            vec![first(SCRAM, "p=tls-server-end-point,,n=,r=abc")],
            "08P01",
        ),
        (vec![first(SCRAM, "n,a=other,n=,r=abc")], "08P01"),
        (vec![first(SCRAM, "")], "08P01"),
        (vec![first(SCRAM, "\u{fffd},,")], "08P01"),
        (vec![next("x")], "08P01"),
        (vec![b"Q\0\0\0\x05\0".to_vec()], "08P01"),
        (vec![b"p\0\0\0\x03".to_vec()], "08P01"),
        (vec![b"p\0\0\xff\xff".to_vec()], "08P01"),
        (vec![good(), next("")], "08P01"),
        (vec![good(), next("c=biws,r=other,p=AAAA")], "08P01"),
        (vec![good(), next("c=biws,p=")], "08P01"),
        (vec![good(), next(",p=é")], "08P01"),
    ] {
        for verifier in [Some(&verifier), None] {
            let limit = match code {
                "57014" => Duration::from_millis(200),
                _ => Duration::from_secs(60),
            };
            let (report, error) = rude(&messages, verifier, limit).await;
            assert_eq!(report.sqlstate(), code.as_bytes(), "{messages:?}: {report}");
            assert!(report.is_fatal());
            assert!(
                std::error::Error::source(&error).is_none_or(|e| !e.to_string().contains("r="))
            );
        }
    }
}

#[test]
fn verifiers() {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let verifier = Verifier::parse(text).unwrap();
    assert_eq!(verifier.to_postgres(), text);
    assert_ne!(Verifier::new("x"), Verifier::new("x"));
    assert_eq!(format!("{verifier:?}"), "Verifier(..)");
    assert_eq!(
        Verifier::mock("a").to_postgres().split('$').nth(1),
        Verifier::mock("a").to_postgres().split('$').nth(1)
    );
    assert_ne!(
        Verifier::mock("a").to_postgres().split('$').nth(1),
        Verifier::mock("b").to_postgres().split('$').nth(1)
    );
    for wrong in [
        "",
        "md5abc",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$x:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ] {
        assert_eq!(
            Verifier::parse(wrong),
            Err(crate::auth::verifier::VerifierError),
            "{wrong}"
        );
    }
}

#[test]
fn the_path_of_a_socket() {
    let target = Target::parse("user=u host=/run/pg port=7").unwrap();
    assert_eq!(
        target.hosts[0].socket_path(),
        Path::new("/run/pg/.s.PGSQL.7")
    );
}
