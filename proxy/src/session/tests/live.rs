//! What needs more than one connection, time, or a real client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::support::{Preview, Talk, TestPlanner, say, show};
use crate::wire::frontend;
use crate::wire::startup::CancelRequest;

async fn client(preview: &Preview, through: bool) -> Client {
    let port = if through {
        preview.port
    } else {
        preview.postgres.port
    };
    let text = format!("host=127.0.0.1 port={port} user=app password=secret dbname=full");
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn query(text: &str) -> Vec<u8> {
    say(|out| frontend::query(text.as_bytes(), out).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clients() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    for arguments in [
        &["-c", "SELECT * FROM orig ORDER BY id LIMIT 3"][..],
        &["-c", "SELECT nothing FROM orig"],
        &["-c", "\\d plain"],
        &["-c", "\\copy (SELECT * FROM plain ORDER BY id) TO STDOUT"],
        &[
            "-1",
            "-c",
            "UPDATE orig SET v = 'x' WHERE id = 1",
            "-c",
            "SELECT 1/0",
        ],
        &[
            "-c",
            "SET client_encoding = 'LATIN1'",
            "-c",
            "SELECT 'é', v FROM orig ORDER BY id LIMIT 1",
        ],
    ] {
        assert_eq!(
            preview.psql(true, arguments),
            preview.psql(false, arguments),
            "{arguments:?}"
        );
    }

    let client = client(&preview, true).await;
    let statement = client
        .prepare("SELECT id, v FROM orig WHERE id = $1")
        .await
        .unwrap();
    for id in 1..=20 {
        let row = client.query_one(&statement, &[&id]).await.unwrap();
        assert_eq!(
            (row.get::<_, i32>(0), row.get::<_, String>(1)),
            (id, format!("row {id}"))
        );
    }
    // Pipelined: all at once, on the same connection.
    let ids: Vec<i32> = (1..=20).collect();
    let rows = futures_util::future::join_all(ids.iter().map(|id| {
        let (client, statement) = (&client, &statement);
        async move {
            client
                .query_one(statement, &[id])
                .await
                .unwrap()
                .get::<_, i32>(0)
        }
    }))
    .await;
    assert_eq!(rows, ids);
    let updated = client
        .execute("UPDATE orig SET v = $2 WHERE id = $1", &[&5, &"changed"])
        .await
        .unwrap();
    assert_eq!(updated, 1);
    assert_eq!(
        client
            .query_one(&statement, &[&5])
            .await
            .unwrap()
            .get::<_, String>(1),
        "changed"
    );
    assert!(preview.hooks.marks.load(Ordering::Relaxed) > 0);
    // psql's UPDATE copied all 20 up and rolled back, this one its own row.
    assert!(
        preview
            .metrics
            .render()
            .contains("previewpg_rows_copied_up_total 21\n"),
        "{}",
        preview.metrics.render()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_abort_what_errors_abort() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let client = client(&preview, true).await;
    let code = |error: tokio_postgres::Error| error.code().unwrap().code().to_owned();
    let error = client
        .simple_query("SELECT 1 AS forbidden")
        .await
        .unwrap_err();
    let server = error.as_db_error().unwrap();
    assert_eq!(
        (server.code().code(), server.message(), server.hint()),
        ("0A000", "forbidden is not served", Some("Do without."))
    );
    assert_eq!(
        code(
            client
                .query("SELECT 1 AS forbidden", &[])
                .await
                .unwrap_err()
        ),
        "0A000"
    );
    // A string's first statements are rolled back with the refused one.
    client
        .batch_execute("CREATE TABLE r (a int)")
        .await
        .unwrap();
    assert_eq!(
        code(
            client
                .batch_execute(
                    "INSERT INTO r VALUES (1); SELECT 1 AS forbidden; INSERT INTO r VALUES (2)"
                )
                .await
                .unwrap_err()
        ),
        "0A000"
    );
    assert_eq!(
        client
            .query_one("SELECT count(*) FROM r", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
    // A block is aborted.
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        code(
            client
                .batch_execute("SELECT 1 AS forbidden")
                .await
                .unwrap_err()
        ),
        "0A000"
    );
    assert_eq!(
        code(client.batch_execute("SELECT 1").await.unwrap_err()),
        "25P02"
    );
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(
        client
            .query_one("SELECT 1", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_unasked_comes_at_once() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let mut listener = preview.connect(true).await;
    listener.write(&query("LISTEN news"), 0).await;
    listener.read(1).await;
    let direct = client(&preview, true).await;
    direct.batch_execute("NOTIFY news, 'hello'").await.unwrap();
    let frame = listener.frame().await.unwrap();
    assert_eq!(frame[0], b'A');
    assert!(
        frame.ends_with(b"news\0hello\0"),
        "{}",
        frame.escape_ascii()
    );
    // An administrator ends the session.
    let pid = listener.backend.key.as_ref().unwrap().process;
    preview
        .postgres
        .sql(&format!("SELECT pg_terminate_backend({pid})"));
    let last = listener.read(1).await;
    assert!(show(&last).contains("57P01"), "{}", show(&last));
}

/// A session, and how what it runs is cancelled.
async fn cancellable(preview: &Preview) -> (Talk, CancelRequest) {
    let talk = preview.connect(true).await;
    let key = talk.backend.key.as_ref().unwrap();
    let request = CancelRequest {
        process: key.process,
        secret: key.secret.clone(),
    };
    (talk, request)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_for_a_read_on_production_reaches_nothing_else() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    for database in ["fresh", "full"] {
        preview.sql_in(database, "CREATE TABLE production (a int); INSERT INTO production VALUES (1); GRANT SELECT ON production TO app");
    }
    let (mut talk, key) = cancellable(&preview).await;
    for _ in 0..12 {
        let read = "SELECT pg_sleep(30 * a)::text, count(*) FROM production, orig GROUP BY a";
        talk.write(&query(read), 0).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let cancelling = preview.cancel(&key);
        let going_on = async {
            let answer = talk.read(1).await;
            assert!(show(&answer).contains("57014"), "{}", show(&answer));
            talk.write(&query("SELECT pg_sleep(0.1)"), 0).await;
            let answer = talk.read(1).await;
            assert!(show(&answer).contains("SELECT 1"), "{}", show(&answer));
        };
        tokio::join!(cancelling, going_on);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_up_of_its_own_transaction_is_cancelled() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    preview.sql_in(
        "fresh",
        "ALTER TABLE lower RENAME TO lower_rows; GRANT SELECT ON lower_rows TO app;
         CREATE VIEW lower AS SELECT r.id, r.v, r.m FROM lower_rows r, pg_sleep(30); GRANT SELECT ON lower TO app",
    );
    let statement = "UPDATE orig SET v = 'x' /* apart */";
    let batch = say(|out| {
        frontend::parse(b"", statement.as_bytes(), [].into_iter(), out).unwrap();
        frontend::bind(b"", b"", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    });
    for message in [query(statement), batch] {
        let (mut talk, key) = cancellable(&preview).await;
        let started = Instant::now();
        talk.write(&message, 0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        preview.cancel(&key).await;
        let answer = talk.read(1).await;
        assert!(show(&answer).contains("57014"), "{}", show(&answer));
        assert!(started.elapsed() < Duration::from_secs(10));
        talk.write(&query("SELECT pg_sleep(0.1)"), 0).await;
        assert!(show(&talk.read(1).await).contains("SELECT 1"));
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH up%'";
        assert_eq!(preview.sql_in("fresh", running), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_on_both_databases() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    for database in ["fresh", "full"] {
        preview.sql_in(database, "CREATE TABLE production (a int); INSERT INTO production VALUES (1); GRANT SELECT ON production TO app");
    }
    for text in [
        "SELECT pg_sleep(30)",
        "SELECT pg_sleep(30 * a)::text, count(*) FROM production, orig GROUP BY a",
    ] {
        let (mut talk, key) = cancellable(&preview).await;
        let started = Instant::now();
        talk.write(&query(text), 0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        preview.cancel(&key).await;
        let answer = talk.read(1).await;
        assert!(show(&answer).contains("57014"), "{text}: {}", show(&answer));
        assert!(started.elapsed() < Duration::from_secs(10), "{text}");
        talk.write(&query("SELECT 1"), 0).await;
        assert!(show(&talk.read(1).await).contains("SELECT 1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pipeline_deadlocks() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let mut talk = preview.connect(true).await;
    // The client writes 16 MB of queries with 60 MB of answers before it reads anything.
    let one = say(|out| {
        frontend::parse(
            b"",
            b"SELECT repeat('y', 3000) FROM orig WHERE id = $1",
            [].into_iter(),
            out,
        )
        .unwrap();
        frontend::bind(b"", b"", &[Some(b"1")], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        out.extend_from_slice(&query(&format!("SELECT 1 /* {} */", "x".repeat(8000))));
    });
    let mut out = BytesMut::new();
    for _ in 0..500 {
        out.extend_from_slice(&one);
        frontend::sync(&mut out);
    }
    let (mut read, mut write) = tokio::io::split(&mut talk.backend.stream);
    let writing = async {
        write.write_all(&out).await.unwrap();
    };
    let reading = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut total = 0;
        let mut buffer = vec![0; 1 << 16];
        let expected = 500 * 3000;
        while total < expected {
            total += tokio::time::timeout(Duration::from_secs(20), read.read(&mut buffer))
                .await
                .expect("no deadlock")
                .unwrap();
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_pass_in_both_directions() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let client = client(&preview, true).await;
    let large = "z".repeat(20 << 20);
    let length: i32 = client
        .query_one("SELECT length($1::text)", &[&large])
        .await
        .unwrap()
        .get(0);
    assert_eq!(length, 20 << 20);
    let back: String = client
        .query_one("SELECT repeat('z', 20 << 20)", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(back.len(), 20 << 20);
    let rows = client
        .simple_query(&format!("SELECT length('{large}')"))
        .await
        .unwrap();
    assert!(
        rows.iter().any(
            |row| matches!(row, SimpleQueryMessage::Row(row) if row.get(0) == Some("20971520"))
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_on_production() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let client = client(&preview, true).await;
    // `production` is a table of the full copy only where the read really goes there.
    preview.sql_in("fresh", "CREATE TABLE production (place text); INSERT INTO production VALUES ('fresh'); GRANT SELECT ON production TO app");
    preview.sql_in("full", "CREATE TABLE production (place text); INSERT INTO production VALUES ('production'); GRANT SELECT ON production TO app");
    let text = "SELECT place, (SELECT count(*) FROM orig) AS n FROM production";
    let simple = |messages: Vec<SimpleQueryMessage>| {
        messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((
                row.get(0).unwrap().to_owned(),
                row.get(1).unwrap().to_owned(),
            )),
            _ => None,
        })
    };
    let text = text.replace(
        ", (SELECT count(*) FROM orig) AS n FROM production",
        ", count(*) AS n FROM production, orig GROUP BY 1",
    );
    assert_eq!(
        simple(client.simple_query(&text).await.unwrap()),
        Some(("production".to_owned(), "20".to_owned()))
    );
    let statement = client.prepare(&text).await.unwrap();
    for _ in 0..3 {
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(
            (row.get::<_, String>(0), row.get::<_, i64>(1)),
            ("production".to_owned(), 20)
        );
    }
    // A read committed block may mix; others may not.
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        client
            .query_one(&statement, &[])
            .await
            .unwrap()
            .get::<_, String>(0),
        "production"
    );
    client
        .batch_execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    assert_eq!(
        client
            .query_one(&statement, &[])
            .await
            .unwrap()
            .get::<_, String>(0),
        "fresh"
    );
    client.batch_execute("COMMIT").await.unwrap();
    // Settings go along.
    client
        .batch_execute("SET TimeZone = 'Asia/Tokyo'")
        .await
        .unwrap();
    let zone = "SELECT current_setting('TimeZone') AS zone, place FROM production, orig LIMIT 1";
    let row = client.query_one(zone, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, String>(0), row.get::<_, String>(1)),
        ("Asia/Tokyo".to_owned(), "production".to_owned())
    );
    // Other columns there: fresh's rows.
    preview.sql_in(
        "full",
        "ALTER TABLE production ALTER place TYPE varchar(20)",
    );
    assert_eq!(
        client
            .query_one(&statement, &[])
            .await
            .unwrap()
            .get::<_, String>(0),
        "fresh"
    );
    preview.sql_in("full", "DROP TABLE production");
    assert_eq!(
        client
            .query_one(&statement, &[])
            .await
            .unwrap()
            .get::<_, String>(0),
        "fresh"
    );
    // An error of production's is the statement's, and the block's.
    preview.sql_in("full", "CREATE TABLE production (place text); INSERT INTO production VALUES ('production'); GRANT SELECT ON production TO app");
    let divide = client
        .prepare("SELECT 1 / (orig.id - 1) FROM production, orig ORDER BY orig.id")
        .await
        .unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let error = client.query(&divide, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22012");
    assert_eq!(
        client
            .batch_execute("SELECT 1")
            .await
            .unwrap_err()
            .code()
            .unwrap()
            .code(),
        "25P02"
    );
    client.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_their_client() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let sessions = || {
        preview.postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'fresh' AND usename = 'app'",
        )
    };
    let mut talk = preview.connect(true).await;
    talk.write(&query("BEGIN; INSERT INTO plain VALUES (90001, 'lost')"), 0)
        .await;
    talk.read(1).await;
    talk.write(&query("COPY plain FROM STDIN"), 0).await;
    talk.write(
        &say(|out| frontend::copy_data(b"90002\tx\n", out).unwrap()),
        0,
    )
    .await;
    assert_eq!(sessions(), "1");
    drop(talk);
    let limit = Instant::now() + Duration::from_secs(10);
    while sessions() != "0" {
        assert!(Instant::now() < limit, "the session outlives its client");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        preview.sql_in("fresh", "SELECT count(*) FROM plain WHERE id > 90000"),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_no_more_hears_its_answers() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    for text in [
        "SELECT 1, pg_sleep(0.2)",
        "SELECT v FROM orig ORDER BY id",
        "SELECT id FROM production, orig ORDER BY id",
        "CREATE TABLE said (a int); INSERT INTO said VALUES (1)",
    ] {
        let mut talk = preview.connect(true).await;
        talk.write(&query(text), 0).await;
        talk.backend.stream.shutdown().await.unwrap();
        let frames = talk.read(1).await;
        assert_eq!(
            frames.last().map(|frame| frame[0]),
            Some(b'Z'),
            "{text}: {}",
            show(&frames)
        );
        assert!(talk.frame().await.is_none(), "{text}: and then it ends");
    }
    assert_eq!(preview.sql_in("fresh", "SELECT count(*) FROM said"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_waits_for_transactions() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let mut idle = preview.connect(true).await;
    let mut busy = preview.connect(true).await;
    busy.write(&query("BEGIN"), 0).await;
    busy.read(1).await;
    preview.shutdown.drain();
    assert!(show(&idle.read(1).await).contains("57P01"));
    busy.write(&query("SELECT 5 AS still"), 0).await;
    assert!(show(&busy.read(1).await).contains("still"));
    busy.write(&query("COMMIT"), 0).await;
    let last = show(&busy.read(2).await);
    assert!(last.contains("COMMIT") && last.contains("57P01"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_databases_and_wrong_users() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let connect = async |more: &str| {
        let text = format!("host=127.0.0.1 port={} {more}", preview.port);
        match tokio_postgres::connect(&text, NoTls).await {
            Ok(_) => "in".to_owned(),
            Err(error) => error.as_db_error().map_or(error.to_string(), |error| {
                format!("{} {}", error.code().code(), error.message())
            }),
        }
    };
    assert_eq!(
        connect("user=app password=secret dbname=fresh").await,
        "3D000 database \"fresh\" does not exist"
    );
    assert_eq!(
        connect("user=app password=secret dbname=nowhere").await,
        "3D000 database \"nowhere\" does not exist"
    );
    assert_eq!(connect("user=app password=secret dbname=base").await, "in");
    assert!(
        connect("user=app password=wrong dbname=full")
            .await
            .starts_with("28P01")
    );
    assert!(
        connect("user=postgres password=secret dbname=full")
            .await
            .starts_with("28P01")
    );
}

/// While a preview is reset, its database and the role are gone for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_is_being_remade_is_not_ready() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let at_fresh = |statement: &str| preview.sql_in("postgres", statement);
    let connect = async |database: &str| {
        let text = format!(
            "host=127.0.0.1 port={} user=app password=secret dbname={database}",
            preview.port
        );
        match tokio_postgres::connect(&text, NoTls).await {
            Ok(_) => "in".to_owned(),
            Err(error) => error.as_db_error().map_or(error.to_string(), |error| {
                format!("{} {}", error.code().code(), error.message())
            }),
        }
    };
    let not_ready = "57P03 the preview is not ready to accept connections";
    for (gone, back) in [
        (
            "ALTER ROLE app RENAME TO gone",
            "ALTER ROLE gone RENAME TO app",
        ),
        (
            "ALTER DATABASE fresh RENAME TO gone",
            "ALTER DATABASE gone RENAME TO fresh",
        ),
        (
            "ALTER DATABASE fresh ALLOW_CONNECTIONS false",
            "ALTER DATABASE fresh ALLOW_CONNECTIONS true",
        ),
    ] {
        at_fresh(gone);
        assert_eq!(connect("full").await, not_ready, "{gone}");
        at_fresh(back);
        assert_eq!(connect("full").await, "in", "{back}");
    }
    assert_eq!(
        connect("nowhere").await,
        "3D000 database \"nowhere\" does not exist"
    );
}
