#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::type_complexity
)]

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::auth::verifier::Verifier;
use crate::net::testing::{Authority, Server};
use crate::wire::backend;

async fn try_connect(target: &Target) -> Result<Backend, ConnectError> {
    connect(target, &[], &ClientTls::new(target).unwrap()).await
}

/// Runs a query; the first column of the first row.
async fn ask(backend: &mut Backend, sql: &str) -> String {
    let mut out = BytesMut::new();
    frontend::query(sql.as_bytes(), &mut out).unwrap();
    backend.stream.write_all(&out).await.unwrap();
    let scanner = Scanner::new(Direction::Backend, Limits::default());
    let mut answer = String::new();
    let mut buffer = BytesMut::new();
    loop {
        match scanner.header(&buffer).unwrap() {
            Some(header) if buffer.len() >= header.total() => {
                let frame = buffer.split_to(header.total());
                match header.tag {
                    b'Z' => return answer,
                    b'D' => {
                        let row = backend::read_data_row(frame::body(&frame)).unwrap();
                        answer = String::from_utf8(row[0].unwrap().to_vec()).unwrap();
                    }
                    b'E' => panic!("{}", Report::read(frame::body(&frame)).unwrap()),
                    _ => {}
                }
            }
            _ => assert!(backend.stream.read_buf(&mut buffer).await.unwrap() > 0),
        }
    }
}

fn with_roles(server: &Server) {
    server.sql(
        "create role trustee login;
         create role clear login password 'geheim';
         create role scram login password 'geheim';
         set password_encryption = md5;
         create role md5 login password 'geheim'",
    );
}

const HBA: &str = "
    local all trustee trust
    local all clear password
    local all md5 md5
    local all scram scram-sha-256
    hostnossl all clear all password
    hostssl all clear all password
    hostssl all scram all scram-sha-256
    hostnossl all trustee all trust";

#[tokio::test]
async fn logins_at_postgresql() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("localhost");
    Server::own(&key);
    let server = Server::start(
        HBA,
        &format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificate.display(),
            key.display()
        ),
    );
    with_roles(&server);
    let other = Authority::new();
    let (root, stranger) = (authority.root.display(), other.root.display());

    for (target, tls) in [
        (server.local("trustee", ""), false),
        (server.local("clear", "password=geheim"), false),
        (server.local("md5", "password=geheim"), false),
        (server.local("scram", "password=geheim"), false),
        (server.tcp("127.0.0.1", "trustee", "sslmode=disable"), false),
        (
            server.tcp("localhost", "clear", "password=geheim sslmode=require"),
            true,
        ),
        (server.tcp("localhost", "scram", "password=geheim"), true),
        (
            server.tcp(
                "127.0.0.1",
                "scram",
                "password=geheim sslmode=require channel_binding=require",
            ),
            true,
        ),
        (
            server.tcp(
                "localhost",
                "scram",
                "password=geheim channel_binding=disable",
            ),
            true,
        ),
        (
            server.tcp(
                "127.0.0.1",
                "scram",
                &format!("password=geheim sslmode=verify-ca sslrootcert={root}"),
            ),
            true,
        ),
        (
            server.tcp(
                "localhost",
                "scram",
                &format!(
                    "password=geheim sslmode=verify-full sslrootcert={root} channel_binding=require"
                ),
            ),
            true,
        ),
    ] {
        let mut backend = try_connect(&target)
            .await
            .unwrap_or_else(|e| panic!("{target:?}: {e}"));
        assert_eq!(ask(&mut backend, "select current_user").await, target.user);
        let ssl = ask(
            &mut backend,
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
        )
        .await;
        assert_eq!(ssl == "t", tls, "{target:?}");
        assert_eq!(backend.stream.is_tls(), tls);
        assert!(backend.leftover.is_empty());
        assert!(
            backend
                .parameters
                .contains(&("server_encoding".into(), "UTF8".into()))
        );
        let pid = ask(&mut backend, "select pg_backend_pid()").await;
        assert_eq!(backend.key.as_ref().unwrap().process.to_string(), pid);

        // The same by tokio-postgres, with the same TLS.
        let (client, connection) = target
            .to_tokio_postgres()
            .connect(ClientTls::new(&target).unwrap())
            .await
            .unwrap_or_else(|e| panic!("{target:?}: {e}"));
        let connection = tokio::spawn(connection);
        let row = client
            .query_one(
                "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, bool>(0), tls);
        drop(client);
        connection.await.unwrap().unwrap();
    }

    let refused = |code: &'static str| {
        move |error: &ConnectError| {
            error
                .server_report()
                .is_some_and(|report| report.sqlstate() == code.as_bytes() && report.is_fatal())
        }
    };
    let name = |error: &ConnectError| matches!(error, ConnectError::Tls { reason, .. } if reason.contains("another host name"));
    let issuer = |error: &ConnectError| matches!(error, ConnectError::Tls { reason, .. } if reason.contains("not signed by a trusted root"));
    let binding = |error: &ConnectError| matches!(error, ConnectError::Method { what, .. } if what.contains("channel binding"));
    let checks: Vec<(Target, Box<dyn Fn(&ConnectError) -> bool>)> = vec![
        (
            server.local("clear", "password=falsch"),
            Box::new(refused("28P01")),
        ),
        (
            server.local("md5", "password=falsch"),
            Box::new(refused("28P01")),
        ),
        (
            server.local("scram", "password=falsch"),
            Box::new(refused("28P01")),
        ),
        (server.local("nobody", ""), Box::new(refused("28000"))),
        (
            Target {
                database: "nowhere".into(),
                ..server.local("trustee", "")
            },
            Box::new(refused("3D000")),
        ),
        (
            server.local("scram", ""),
            Box::new(|e| matches!(e, ConnectError::NoPassword { .. })),
        ),
        (
            server.tcp("127.0.0.1", "clear", "password=geheim sslmode=disable"),
            Box::new(
                |e| matches!(e, ConnectError::Method { what, .. } if what.contains("clear text")),
            ),
        ),
        (
            server.tcp(
                "127.0.0.1",
                "scram",
                &format!("password=geheim sslmode=verify-full sslrootcert={root}"),
            ),
            Box::new(name),
        ),
        (
            server.tcp(
                "localhost",
                "scram",
                &format!("password=geheim sslmode=verify-full sslrootcert={stranger}"),
            ),
            Box::new(issuer),
        ),
        (
            server.tcp(
                "localhost",
                "scram",
                &format!("password=geheim sslmode=verify-ca sslrootcert={stranger}"),
            ),
            Box::new(issuer),
        ),
        // As libpq: require checks the signature when there's something to check it by.
        (
            server.tcp(
                "localhost",
                "scram",
                &format!("password=geheim sslmode=require sslrootcert={stranger}"),
            ),
            Box::new(issuer),
        ),
        (
            server.local("scram", "password=geheim channel_binding=require"),
            Box::new(binding),
        ),
        (
            server.tcp(
                "localhost",
                "clear",
                "password=geheim sslmode=require channel_binding=require",
            ),
            Box::new(binding),
        ),
        (
            Target::parse("postgres://u@127.0.0.1:1/d").unwrap(),
            Box::new(|e| matches!(e, ConnectError::Unreachable { .. })),
        ),
    ];
    for (target, expected) in checks {
        let error = try_connect(&target).await.expect_err("must be refused");
        assert!(expected(&error), "{target:?}: {error:?}");
        assert!(
            !format!("{error} {error:?}").contains("geheim"),
            "{error:?}"
        );
    }

    // The second host is tried when the first can't be reached.
    let mut target = server.local("trustee", "");
    target.hosts.insert(
        0,
        Host {
            address: Address::Tcp("127.0.0.1".into()),
            port: 1,
        },
    );
    try_connect(&target).await.unwrap();

    // Parameters; the caller's win over the target's, and can't change who logs in.
    let target = server.local("trustee", "application_name=a options='-c work_mem=77kB'");
    let given = [
        ("application_name", "b"),
        ("user", "postgres"),
        ("statement_timeout", "88"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut backend = connect(&target, &given, &ClientTls::new(&target).unwrap())
        .await
        .unwrap();
    let all = "select concat_ws(' ', current_user, current_setting('application_name'), current_setting('work_mem'), current_setting('statement_timeout'))";
    assert_eq!(ask(&mut backend, all).await, "trustee b 77kB 88ms");

    // Cancel: by the handle, and by a request passed on.
    for by_handle in [true, false] {
        let target = server.tcp("localhost", "scram", "password=geheim sslmode=require");
        let tls = ClientTls::new(&target).unwrap();
        let mut backend = connect(&target, &[], &tls).await.unwrap();
        let mut out = BytesMut::new();
        frontend::query(b"select pg_sleep(60)", &mut out).unwrap();
        backend.stream.write_all(&out).await.unwrap();
        let key = backend.key.clone().unwrap();
        let running = format!(
            "select count(*) from pg_stat_activity where pid = {} and wait_event = 'PgSleep'",
            key.process
        );
        while server.sql(&running) != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if by_handle {
            backend.cancel_handle().cancel().await.unwrap();
        } else {
            let request = CancelRequest {
                process: key.process,
                secret: key.secret,
            };
            cancel(&target, &tls, &request).await.unwrap();
        }
        let mut buffer = BytesMut::new();
        while !buffer.windows(6).any(|bytes| bytes == b"C57014") {
            assert!(backend.stream.read_buf(&mut buffer).await.unwrap() > 0);
        }
    }

    // Verifiers are PostgreSQL's own.
    let stored = server.sql("select rolpassword from pg_authid where rolname = 'scram'");
    assert_eq!(Verifier::parse(&stored).unwrap().to_postgres(), stored);
    let made = Verifier::new("neu").to_postgres();
    server.sql(&format!("create role made login password '{made}'"));
    server.sql("alter role made rename to clear2; alter role clear rename to clear3; alter role clear2 rename to clear");
    try_connect(&server.local("clear", "password=neu"))
        .await
        .unwrap();
}

/// A server that says what it's told: waits for `wait` bytes, then says the answer, and so on.
async fn liar(script: Vec<(usize, Vec<u8>)>) -> (Target, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for (wait, answer) in script {
            let mut bytes = vec![0; wait];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&answer).await.unwrap();
        }
        // Until the client leaves.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let text = format!("postgres://u:geheim@127.0.0.1:{port}/d?connect_timeout=60");
    (Target::parse(&text).unwrap(), task)
}

fn says(authentication: Authentication<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    authentication.write(&mut out).unwrap();
    out.to_vec()
}

#[tokio::test]
async fn servers_that_lie() {
    use SslMode::{Disable, Prefer, Require};
    // The lengths of SSLRequest, of the StartupMessage for u and d, of SCRAM's first message.
    const SSL: usize = 8;
    const START: usize = 4 + 4 + 7 + 11 + 1;
    const FIRST: usize = 1 + 4 + 14 + 4 + 8 + 24;
    let scram = || says(Authentication::Sasl(b"SCRAM-SHA-256\0\0"));
    let go_on = |text: &str| says(Authentication::SaslContinue(text.as_bytes()));
    let ok = || {
        let mut out = BytesMut::from(&says(Authentication::Ok)[..]);
        backend::ready_for_query(crate::wire::TransactionStatus::Idle, &mut out);
        out.to_vec()
    };
    type Expected = fn(&ConnectError) -> bool;
    let protocol: Expected = |e| matches!(e, ConnectError::Protocol { .. });
    let server: Expected = |e| matches!(e, ConnectError::Server { .. });
    let tls: Expected = |e| matches!(e, ConnectError::Tls { .. });
    let no_tls: Expected = |e| matches!(e, ConnectError::NoTls { .. });
    let late: Expected = |e| matches!(e, ConnectError::TimedOut { .. });
    let method: Expected = |e| matches!(e, ConnectError::Method { .. });
    let cases: Vec<(&str, SslMode, Vec<(usize, Vec<u8>)>, Expected)> = vec![
        ("no TLS", Require, vec![(SSL, b"N".to_vec())], no_tls),
        (
            "an error in answer to SSLRequest",
            Prefer,
            vec![(SSL, b"ESFATAL\0".to_vec())],
            protocol,
        ),
        (
            "plaintext behind the S (CVE-2021-23222)",
            Require,
            vec![(SSL, [&b"S"[..], &ok()].concat())],
            tls,
        ),
        ("silence", Disable, vec![], late),
        ("silence after SSLRequest", Require, vec![], late),
        (
            "a web server",
            Disable,
            vec![(START, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())],
            protocol,
        ),
        (
            "a frame without end",
            Disable,
            vec![(START, b"R\x3f\xff\xff\xff".to_vec())],
            protocol,
        ),
        (
            "GSSAPI",
            Disable,
            vec![(START, says(Authentication::Other(7)))],
            method,
        ),
        (
            "an unknown mechanism",
            Disable,
            vec![(START, says(Authentication::Sasl(b"OAUTHBEARER\0\0")))],
            method,
        ),
        (
            "ready without a login",
            Disable,
            vec![(START, b"Z\0\0\0\x05I".to_vec())],
            protocol,
        ),
        (
            "another nonce",
            Disable,
            vec![(START, scram()), (FIRST, go_on("r=other,s=AAAA,i=4096"))],
            server,
        ),
        (
            "endless iterations",
            Disable,
            vec![
                (START, scram()),
                (FIRST, go_on("r=other,s=AAAA,i=4000000000")),
            ],
            protocol,
        ),
        (
            "logged in without a proof",
            Disable,
            vec![(START, scram()), (FIRST, ok())],
            protocol,
        ),
        (
            "SCRAM's end at the start",
            Disable,
            vec![(START, says(Authentication::SaslFinal(b"v=AAAA")))],
            protocol,
        ),
    ];
    for (what, sslmode, script, expected) in cases {
        let (target, task) = liar(script).await;
        let connect_timeout = match what.starts_with("silence") {
            true => Some(Duration::from_millis(200)),
            false => target.connect_timeout,
        };
        let target = Target {
            sslmode,
            connect_timeout,
            ..target
        };
        let error = try_connect(&target).await.expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
        task.await.unwrap();
    }
    // Not a lie, but no TLS: prefer goes on without.
    let (target, task) = liar(vec![(SSL, b"N".to_vec()), (START, ok())]).await;
    assert!(!try_connect(&target).await.unwrap().stream.is_tls());
    task.await.unwrap();
}
