#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use bytes::Bytes;

use super::*;
use crate::net::testing::{Authority, Server};
use crate::wire::frame::{self, Direction, Limits, Scanner};
use crate::wire::{backend as wire, frontend};

/// Runs a query; the first column of the first row, or the error.
async fn ask(session: &mut Session, sql: &str) -> Result<String, Report> {
    let mut out = BytesMut::new();
    frontend::query(sql.as_bytes(), &mut out).unwrap();
    session.stream.write_all(&out).await.unwrap();
    let scanner = Scanner::new(Direction::Backend, Limits::default());
    let mut answer = Ok(String::new());
    loop {
        match scanner.header(&session.buffer).unwrap() {
            Some(header) if session.buffer.len() >= header.total() => {
                let frame = session.buffer.split_to(header.total());
                let body = frame::body(&frame);
                match header.tag {
                    b'Z' => return answer,
                    b'D' => {
                        let row = wire::read_data_row(body).unwrap();
                        answer = Ok(String::from_utf8(row[0].unwrap().to_vec()).unwrap());
                    }
                    b'E' => answer = Err(Report::read(body).unwrap()),
                    _ => {}
                }
            }
            _ => assert!(session.stream.read_buf(&mut session.buffer).await.unwrap() > 0),
        }
    }
}

async fn pid(session: &mut Session) -> String {
    ask(session, "select pg_backend_pid()").await.unwrap()
}

fn pool(target: Target, options: Options) -> Pool {
    let tls = ClientTls::new(&target).unwrap();
    Pool::new(target, tls, options)
}

fn small() -> Options {
    Options {
        size: 2,
        checkout_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(77),
        ..Options::default()
    }
}

/// Waits until it is so.
async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !check() {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sessions_at_production() {
    let mut server = Server::start("", "");
    server.sql("create table t (a int)");
    // What the connection string says doesn't open the door.
    let writable =
        "options='-c default_transaction_read_only=off -c statement_timeout=1' application_name=x";
    let pool = pool(server.local("postgres", writable), small());

    // Read-only, named, limited.
    let mut first = pool.checkout().await.unwrap();
    let refused = ask(&mut first, "insert into t values (1)")
        .await
        .unwrap_err();
    assert_eq!(refused.sqlstate(), b"25006");
    for (setting, value) in [
        ("default_transaction_read_only", "on"),
        ("application_name", "previewpg"),
        ("statement_timeout", "77s"),
    ] {
        let sql = format!("select current_setting('{setting}')");
        assert_eq!(ask(&mut first, &sql).await.unwrap(), value);
    }

    // What is given back is found again, with what is known of it.
    let one = pid(&mut first).await;
    first.settings = Some("TimeZone=UTC".into());
    let text: Arc<str> = "select 1".into();
    assert!(matches!(
        first.statements.prepare(&text, &[]),
        Prepared::New { .. }
    ));
    first.give_back();
    assert_eq!(
        pool.counts(),
        Counts {
            in_use: 0,
            idle: 1,
            waiting: 0,
            size: 2
        }
    );
    let mut first = pool.checkout().await.unwrap();
    assert_eq!(pid(&mut first).await, one);
    assert_eq!(first.settings.as_deref(), Some("TimeZone=UTC"));
    assert!(matches!(
        first.statements.prepare(&text, &[]),
        Prepared::Known { .. }
    ));
    assert!(matches!(
        first.statements.prepare(&text, &[23]),
        Prepared::New { .. }
    ));

    // Full: a time limit; then whoever waits longest comes first.
    let second = pool.checkout().await.unwrap();
    assert_eq!(
        pool.counts(),
        Counts {
            in_use: 2,
            idle: 0,
            waiting: 0,
            size: 2
        }
    );
    let hurried = self::pool(
        server.local("postgres", ""),
        Options {
            size: 1,
            checkout_timeout: Duration::from_millis(50),
            ..small()
        },
    );
    let only = hurried.checkout().await.unwrap();
    let error = hurried.checkout().await.unwrap_err();
    only.give_back();
    assert!(matches!(error, PoolError::Exhausted { size: 1, .. }));
    assert_eq!(error.report().sqlstate(), b"53300");
    assert!(!error.report().is_fatal());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for n in 0..3 {
        let (waiting, order) = (pool.clone(), Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let session = waiting.checkout().await.unwrap();
            lock(&order).push(n);
            session.give_back();
        }));
        eventually("waiting", || pool.counts().waiting == n + 1).await;
        tokio::task::yield_now().await;
    }
    first.give_back();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*lock(&order), [0, 1, 2]);
    second.give_back();
    assert_eq!(
        pool.counts(),
        Counts {
            in_use: 0,
            idle: 2,
            waiting: 0,
            size: 2
        }
    );

    // Dropped in the middle of a statement: the statement ends at production, the session isn't used again.
    let mut busy = pool.checkout().await.unwrap();
    let pid_busy = pid(&mut busy).await;
    let mut out = BytesMut::new();
    frontend::query(b"select pg_sleep(600)", &mut out).unwrap();
    busy.stream.write_all(&out).await.unwrap();
    let running = format!(
        "select count(*) from pg_stat_activity where pid = {pid_busy} and state = 'active'"
    );
    eventually("running", || server.sql(&running) == "1").await;
    drop(busy);
    let there = format!("select count(*) from pg_stat_activity where pid = {pid_busy}");
    eventually("cancelled", || server.sql(&there) == "0").await;

    // Given back with an answer unread: closed.
    let mut unread = pool.checkout().await.unwrap();
    let pid_unread = pid(&mut unread).await;
    unread.buffer.extend_from_slice(b"Z");
    unread.give_back();
    let mut next = pool.checkout().await.unwrap();
    assert_ne!(pid(&mut next).await, pid_unread);

    // Ended by an administrator while idle: the next one gets another.
    let ended = pid(&mut next).await;
    next.give_back();
    server.sql(&format!("select pg_terminate_backend({ended})"));
    eventually("ended", || {
        server.sql(&format!(
            "select count(*) from pg_stat_activity where pid = {ended}"
        )) == "0"
    })
    .await;
    let mut next = pool.checkout().await.unwrap();
    assert_ne!(pid(&mut next).await, ended);
    next.give_back();

    // Production is away, and comes back.
    server.stop();
    let error = pool.checkout().await.unwrap_err();
    let report = error.report();
    assert_eq!(report.sqlstate(), b"08006");
    assert!(!report.is_fatal());
    assert!(
        report
            .get(crate::wire::report::code::DETAIL)
            .unwrap()
            .starts_with(b"Cannot connect to ")
    );
    assert!(report.get(crate::wire::report::code::HINT).is_some());
    assert_eq!(pool.counts().in_use, 0);
    server.run();
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        match pool.checkout().await {
            Ok(session) => break session.give_back(),
            Err(PoolError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < limit);
    }
    assert!(lock(&pool.0.failure).is_none());
}

#[tokio::test]
async fn sessions_with_tls_are_found_again() {
    let authority = Authority::new();
    let (certificate, key) = authority.certify("localhost");
    Server::own(&key);
    let server = Server::start(
        "hostssl all postgres all trust",
        &format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificate.display(),
            key.display()
        ),
    );
    let how = format!(
        "sslmode=verify-full sslrootcert={}",
        authority.root.display()
    );
    let pool = pool(server.tcp("localhost", "postgres", &how), small());
    let mut session = pool.checkout().await.unwrap();
    assert!(session.stream.is_tls());
    let one = pid(&mut session).await;
    session.give_back();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut session = pool.checkout().await.unwrap();
        assert_eq!(pid(&mut session).await, one);
        session.give_back();
    }
    server.sql(&format!("select pg_terminate_backend({one})"));
    eventually("ended", || {
        server.sql(&format!(
            "select count(*) from pg_stat_activity where pid = {one}"
        )) == "0"
    })
    .await;
    assert_ne!(pid(&mut pool.checkout().await.unwrap()).await, one);
}

#[tokio::test]
async fn sessions_do_not_stay() {
    let server = Server::start("", "");
    let idle = pool(
        server.local("postgres", ""),
        Options {
            idle_limit: Duration::from_millis(200),
            ..small()
        },
    );
    idle.checkout().await.unwrap().give_back();
    let there = "select count(*) from pg_stat_activity where application_name = 'previewpg'";
    assert_eq!(server.sql(there), "1");
    eventually("closed", || server.sql(there) == "0").await;
    assert_eq!(idle.counts().idle, 0);

    let short = pool(
        server.local("postgres", ""),
        Options {
            lifetime: Duration::from_millis(1),
            ..small()
        },
    );
    let session = short.checkout().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    session.give_back();
    assert_eq!(short.counts().idle, 0);
    drop(idle);
}

#[tokio::test]
async fn a_dead_production_is_not_hammered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let server = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let target =
        Target::parse(&format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable")).unwrap();
    let pool = pool(target, small());
    let start = Instant::now();
    while tries.load(Ordering::Relaxed) < 3 {
        let error = pool.checkout().await.unwrap_err();
        assert!(matches!(error, PoolError::Unavailable(_)), "{error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // At 0, 200 and 600 ms.
    assert!(start.elapsed() >= Duration::from_millis(600));
    server.abort();
}

#[test]
fn the_statements_used_last_stay() {
    let mut statements = Statements::default();
    let text = |n: usize| -> Arc<str> { format!("select {n}").into() };
    let new = |prepared| match prepared {
        Prepared::New { name, evicted } => (name, evicted),
        Prepared::Known { .. } => panic!("{prepared:?}"),
    };
    let mut names = std::collections::HashSet::new();
    for n in 0..64 {
        let (name, evicted) = new(statements.prepare(&text(n), &[]));
        assert!(evicted.is_empty());
        assert!(names.insert(name));
    }
    let zero = statements.prepare(&text(0), &[]);
    let Prepared::Known { name: zeroth, .. } = &zero else {
        panic!();
    };
    let (name, evicted) = new(statements.prepare(&text(64), &[]));
    assert!(names.insert(name));
    assert_eq!(evicted.len(), 1);
    assert_ne!(evicted.first(), Some(zeroth));
    assert_eq!(statements.len(), 64);
    new(statements.prepare(&text(1), &[]));
    assert_eq!(statements.prepare(&text(0), &[]), zero);
    statements.forget(&text(0), &[]);
    assert!(new(statements.prepare(&text(0), &[])).1.is_empty());
    statements.clear();
    assert!(statements.is_empty());
}

#[test]
fn columns_agree_until_a_statement_is_prepared_anew() {
    let mut statements = Statements::default();
    let (text, columns): (Arc<str>, Bytes) = ("select 1".into(), Bytes::from_static(b"columns"));
    let agreed = |prepared| match prepared {
        Prepared::Known { columns, .. } => columns,
        Prepared::New { .. } => panic!("{prepared:?}"),
    };
    statements.prepare(&text, &[23]);
    assert_eq!(agreed(statements.prepare(&text, &[23])), None);
    statements.agree(&text, &[23], &columns);
    assert_eq!(agreed(statements.prepare(&text, &[23])), Some(columns));
    let Prepared::Known { name: old, .. } = statements.prepare(&text, &[23]) else {
        panic!();
    };
    statements.outdated(&text, &[23]);
    let Prepared::New { name, evicted } = statements.prepare(&text, &[23]) else {
        panic!();
    };
    assert_ne!(name, old);
    assert_eq!(evicted, [old]);
    assert_eq!(agreed(statements.prepare(&text, &[23])), None);
}
