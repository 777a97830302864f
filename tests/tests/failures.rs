//! Bad input and bad luck: what goes wrong around a preview must give a clear error, leave nothing half done, and
//! never reach production.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "failures/deaths.rs"]
mod deaths;
#[path = "failures/frames.rs"]
mod frames;
#[path = "failures/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use previewpg_tests::client::{Address, Event, Protocol, Request, Session, cancel};
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::preview::{Preview, Up};
use previewpg_tests::servers::{PASSWORD, Server, Servers, free_port, own, workplace};

const SHOP: &str = include_str!("../schema/shop.sql");

fn shop() -> String {
    Servers::shared().database("shop", SHOP)
}

/// A production of a test's own, which it may stop.
fn own_production(settings: &str) -> Server {
    let server = Server::start_with("production", None, settings);
    server.connect("postgres").must(&format!(
        "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    server.create_template("shop", SHOP);
    server
}

/// Runs `up` that must not come up; what it said.
fn must_not_start(production: &str, extra: &[&str]) -> String {
    let fresh = Servers::fresh();
    match Up::start(production, &fresh.tcp("postgres", "postgres").url(), extra) {
        Ok(_) => panic!("it came up"),
        Err(failure) => {
            assert!(
                failure.code.is_some_and(|c| c != 0),
                "neither ready nor ended with an error: {failure:?}"
            );
            assert!(
                !failure.stderr.contains("panicked"),
                "a panic: {}",
                failure.stderr
            );
            let password = failure.stderr.contains(PASSWORD);
            assert!(!password, "a password shows: {}", failure.stderr);
            failure.stderr
        }
    }
}

fn mentions(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    for word in words {
        assert!(lower.contains(word), "it doesn't say {word}: {text}");
    }
}

/// Tries until it is so, for half a minute.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn production_away_at_the_start() {
    let port = free_port();
    let url = format!("postgres://reader:{PASSWORD}@127.0.0.1:{port}/shop");
    mentions(
        &must_not_start(&url, &[]),
        &["production", &port.to_string()],
    );
}

#[test]
fn wrong_password_for_production() {
    let database = shop();
    let url = Servers::shared()
        .production
        .tcp("reader", &database)
        .role("reader", "guessed-wrong")
        .url();
    let said = must_not_start(&url, &[]);
    mentions(&said, &["password", "reader"]);
    assert!(
        !said.contains("guessed-wrong"),
        "the password shows: {said}"
    );
}

#[test]
fn production_that_is_not_there() {
    let url = Servers::shared().production.tcp("reader", "nothing").url();
    mentions(&must_not_start(&url, &[]), &["nothing"]);
}

#[test]
fn production_goes_away_and_comes_back() {
    let mut production = own_production("");
    let address = production.tcp("reader", "shop");
    let preview = Preview::start(&address, Servers::fresh(), &[]).unwrap();
    let mut session = preview.connect();
    session.must("CREATE TABLE mine (id int); INSERT INTO mine VALUES (1); TRUNCATE log_lines");
    session.must("INSERT INTO log_lines VALUES (NULL, 'own', 'own')");
    session.must("UPDATE counters SET value = 4711 WHERE name = 'c1'");
    let users = session.value("SELECT count(*) FROM users");
    production.stop();

    for sql in [
        "SELECT count(*) FROM users",
        "SELECT value FROM counters WHERE name = 'c2'",
        "UPDATE users SET name = 'x' WHERE id = 5",
        "INSERT INTO orders (user_id) VALUES (5)",
    ] {
        let began = Instant::now();
        let answer = session.query(sql);
        assert!(!answer.closed(), "the session ended by: {sql}");
        let state = answer.sqlstate().unwrap_or("success");
        assert!(
            state.starts_with("08"),
            "{state} for {sql}: {:?}",
            answer.error()
        );
        assert!(began.elapsed() < Duration::from_secs(20), "too slow: {sql}");
    }
    // What doesn't need production goes on, in old sessions and in new ones.
    session.must("INSERT INTO mine VALUES (2)");
    assert_eq!(session.value("SELECT count(*) FROM mine"), "2");
    assert_eq!(session.value("SELECT line FROM log_lines"), "own");
    let mut another = preview.connect();
    another.must("BEGIN; CREATE TABLE mine2 (id int); COMMIT; SELECT 1");

    production.restart();
    soon("it recovers by itself", || {
        session.query("SELECT count(*) FROM users").rows() == [[users.clone()]]
    });
    let answer =
        session.must("SELECT value FROM counters WHERE name IN ('c1', 'c2') ORDER BY name");
    assert_eq!(answer.rows(), [["4711"], ["2"]]);
    session.must("UPDATE users SET name = 'after' WHERE id = 5");
    assert!(!preview.stderr().contains("panicked"));
}

#[test]
fn a_transaction_survives_neither_half() {
    let mut production = own_production("");
    let address = production.tcp("reader", "shop");
    let preview = Preview::start(&address, Servers::fresh(), &[]).unwrap();
    let mut session = preview.connect();
    session.must("BEGIN; UPDATE users SET name = 'half' WHERE id = 3");
    production.stop();
    let answer = session.query("UPDATE users SET name = 'half' WHERE id = 4");
    assert!(
        answer.sqlstate().is_some_and(|s| s.starts_with("08")),
        "{answer:?}"
    );
    assert_eq!(answer.status, 'E', "the transaction is aborted");
    assert_eq!(session.query("COMMIT").tags(), ["ROLLBACK"]);
    production.restart();
    soon("it recovers", || {
        session
            .query("SELECT count(*) FROM users WHERE name = 'half'")
            .rows()
            == [["0"]]
    });
}

#[test]
fn fresh_older_than_production() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/postgres18");
    let found = Command::new(script).output().expect("run .ci/postgres18");
    assert!(found.status.success(), "{found:?}");
    let newer = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let production = Server::start_from("newer", None, "", Some(newer.into()));
    production.connect("postgres").must(&format!(
        "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    let said = must_not_start(&production.tcp("reader", "postgres").url(), &[]);
    mentions(&said, &["fresh", "production", "18"]);
}

#[test]
fn an_extension_that_fresh_does_not_have() {
    let production = Server::start("production");
    production.connect("postgres").must(&format!(
        "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    production.create_template(
        "shop",
        "CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain SELECT generate_series(1, 10);
         CREATE TABLE needs_it (id int PRIMARY KEY, word citext); INSERT INTO needs_it VALUES (1, 'x')",
    );
    // An extension of the same server version can't be missing on one side only, so one is renamed in the catalog.
    production.connect("shop").must(
        "SET allow_system_table_mods = on; UPDATE pg_extension SET extname = 'nowhere_else' WHERE extname = 'citext'",
    );
    let preview = Preview::start(&production.tcp("reader", "shop"), Servers::fresh(), &[]).unwrap();
    mentions(&preview.stderr(), &["nowhere_else"]);
    let mut session = preview.connect();
    assert_eq!(session.value("SELECT count(*) FROM plain"), "10");
    session.must("DELETE FROM plain WHERE id = 3");
    assert_eq!(session.value("SELECT count(*) FROM plain"), "9");
    let answer = session.query("SELECT * FROM needs_it");
    assert!(
        matches!(answer.sqlstate(), Some("0A000" | "42P01")),
        "{answer:?}"
    );
}

#[test]
fn a_table_that_the_role_may_not_read() {
    let servers = Servers::shared();
    let database = shop();
    servers.production.connect(&database).must(&format!(
        "CREATE ROLE partial LOGIN PASSWORD '{PASSWORD}';
         GRANT USAGE ON SCHEMA public, billing TO partial;
         GRANT SELECT ON users, orders, counters, audit TO partial;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO partial;"
    ));
    let production = servers.production.tcp("partial", &database);
    let preview = Preview::start(&production, Servers::fresh(), &[]).unwrap();
    mentions(&preview.stderr(), &["log_lines"]);
    let mut session = preview.connect();
    assert_eq!(session.value("SELECT count(*) FROM users"), "2000");
    session.must("UPDATE counters SET value = 0");
    for table in ["log_lines", "billing.users"] {
        let answer = session.query(&format!("SELECT * FROM {table}"));
        let state = answer.sqlstate();
        assert!(
            matches!(state, Some("42501" | "0A000" | "42P01")),
            "rows of {table} are missing and nothing is said: {answer:?}"
        );
    }
}

#[test]
fn disk_full_in_fresh() {
    let mut fresh = Servers::fresh();
    let mount = workplace().join(format!("mnt-{}", fresh.port));
    std::fs::create_dir_all(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"])
        .arg(&mount)
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        println!("not run: mounting a small file system needs root");
        return;
    }
    own(&mount);
    fresh.stop();
    let base = fresh.data().join("base");
    let moved = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "cp -a '{0}'/. '{1}'/ && rm -r '{0}' && ln -s '{1}' '{0}'",
            base.display(),
            mount.display()
        ))
        .status()
        .unwrap();
    assert!(moved.success());
    fresh.restart();
    let database = shop();
    let production = Servers::shared().production.tcp("reader", &database);
    let preview = Preview::start(&production, fresh, &[]).unwrap();
    let mut session = preview.connect();
    session.must("UPDATE counters SET value = 7 WHERE name = 'c1'");
    session.must("CREATE TABLE big (t text); ALTER TABLE big ALTER t SET STORAGE EXTERNAL");
    let answer =
        session.query("INSERT INTO big SELECT repeat('x', 8000) FROM generate_series(1, 20000)");
    assert_eq!(answer.sqlstate(), Some("53100"), "{:?}", answer.error());
    // Nothing of it stays, and what was there can be read and made free.
    assert_eq!(session.value("SELECT count(*) FROM big"), "0");
    assert_eq!(
        session.value("SELECT value FROM counters WHERE name = 'c1'"),
        "7"
    );
    assert_eq!(session.value("SELECT count(*) FROM users"), "2000");
    session.must("DROP TABLE big; UPDATE counters SET value = 8 WHERE name = 'c2'");
    drop(session);
    drop(preview);
    let _ = Command::new("umount").arg("-l").arg(&mount).status();
}

#[test]
fn a_second_up_on_the_same_fresh() {
    let database = shop();
    let production = Servers::shared().production.tcp("reader", &database);
    let preview = Preview::of(&database);
    let mut session = preview.connect();
    session.must("UPDATE users SET name = 'first' WHERE id = 3");
    let fresh = preview.fresh.tcp("postgres", "postgres").url();
    let Err(failure) = Up::start(&production.url(), &fresh, &[]) else {
        panic!("a second one came up");
    };
    assert!(failure.code.is_some_and(|code| code != 0), "{failure:?}");
    mentions(&failure.stderr, &["fresh"]);
    assert_eq!(
        session.value("SELECT name FROM users WHERE id = 3"),
        "first"
    );
    assert_eq!(session.value("SELECT count(*) FROM orders"), "5000");
}

#[test]
fn a_role_that_can_write_is_refused() {
    let database = shop();
    let writer = Servers::shared().production.tcp("writer", &database).url();
    mentions(
        &must_not_start(&writer, &[]),
        &["writer", "allow-writable-production"],
    );
    let superuser = Servers::shared()
        .production
        .tcp("postgres", &database)
        .url();
    mentions(
        &must_not_start(&superuser, &[]),
        &["allow-writable-production"],
    );
}

#[test]
fn with_a_role_that_can_write_every_other_lock_holds() {
    let servers = Servers::shared();
    let database = shop();
    let before = digest(&servers.production.admin(&database));
    for role in ["writer", "postgres"] {
        let production = servers.production.tcp(role, &database);
        let preview = Preview::start(
            &production,
            Servers::fresh(),
            &["--allow-writable-production"],
        )
        .unwrap();
        let mut session = preview.connect();
        for sql in [
            "SELECT rename_user(8, 'by a function in a clean table')",
            "SELECT nextval('ticket')",
            "SELECT setval('ticket', 9999)",
            "INSERT INTO users (email, name) VALUES ('w@example.org', 'W')",
            "UPDATE users SET name = 'W' WHERE id < 50",
            "DELETE FROM orders WHERE id > 4900",
            "WITH d AS (DELETE FROM counters RETURNING *) SELECT count(*) FROM d",
            "TRUNCATE jobs",
            "DROP TABLE log_lines",
            "ALTER TABLE products ADD COLUMN w int DEFAULT 1",
            "SELECT id FROM users WHERE id = 77 FOR UPDATE",
            "SELECT lo_create(0)",
            "DO $$ BEGIN UPDATE orders SET total = 0 WHERE id = 9; END $$",
            "REFRESH MATERIALIZED VIEW sales",
            "CREATE INDEX ON orders (note)",
            "COMMENT ON TABLE users IS 'x'",
            "ANALYZE users",
        ] {
            // Refused or served, but never wrong.
            let answer = session.query(sql);
            let state = answer.sqlstate();
            assert!(matches!(state, None | Some("0A000")), "{sql}: {answer:?}");
        }
        for sql in [
            "SET default_transaction_read_only = off; SELECT count(*) FROM billing.users",
            "BEGIN READ WRITE; SELECT rename_user(9, 'x'); COMMIT",
        ] {
            session.query(sql);
        }
        // Behind the preview's back, as fresh's superuser, with the foreign tables made updatable.
        let mut behind = Session::connect(&preview.behind()).unwrap();
        let tables = behind.must(
            "SELECT format('%I.%I', foreign_table_schema, foreign_table_name) FROM information_schema.foreign_tables \
             ORDER BY 1",
        );
        let tables = tables.rows().concat();
        assert!(tables.len() > 10, "foreign tables: {tables:?}");
        for table in &tables {
            // A materialized view can't be written in any case, nor can catalogs by a role that isn't a superuser: PostgreSQL says so while planning.
            let catalog = table.starts_with("previewpg_fdw.production_");
            let locked = |behind: &mut Session, state: &str| {
                let answer = behind.query(&format!("DELETE FROM {table}"));
                let found = answer.sqlstate().unwrap_or("success");
                assert!(
                    [state, "42809"].contains(&found) || catalog && found == "42501",
                    "DELETE FROM {table}: {answer:?}"
                );
            };
            locked(&mut behind, "55000");
            assert!(behind.query(&format!("TRUNCATE {table}")).error().is_some());
            behind.must(&format!(
                "ALTER FOREIGN TABLE {table} OPTIONS (SET updatable 'true')"
            ));
            locked(&mut behind, "25006");
        }
        let after = digest(&servers.production.admin(&database));
        let touched = difference(&before, &after);
        assert!(
            touched.is_empty(),
            "PRODUCTION WAS TOUCHED as {role}: {touched:?}"
        );
    }
}

#[test]
fn clients_log_in_as_the_app_role_only() {
    let preview = Preview::of(&shop());
    let wrong = |user: &str, password: &str| {
        Session::connect(&preview.address.role(user, password))
            .err()
            .and_then(|e| e.get(&'C').cloned())
            .unwrap_or_else(|| "logged in".to_owned())
    };
    assert_eq!(wrong("app", "wrong"), "28P01");
    assert_eq!(wrong("app", ""), "28P01");
    assert_eq!(wrong("nobody", PASSWORD), "28P01");
    for internal in ["postgres", "previewpg", "reader"] {
        assert_eq!(wrong(internal, PASSWORD), "28P01", "{internal}");
    }
    let mut session = preview.connect();
    assert_eq!(session.value("SELECT current_user"), "app");
    for sql in [
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE ROLE x SUPERUSER",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "ALTER SYSTEM SET work_mem = '1MB'",
    ] {
        assert_eq!(session.query(sql).sqlstate(), Some("42501"), "{sql}");
    }
    let hidden = session.must("SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL");
    assert_eq!(hidden.rows(), [["0"]]);
    assert!(
        !preview.stderr().contains(PASSWORD),
        "a password shows in the log"
    );
}

#[test]
fn a_database_of_the_clients_own_passes_through() {
    let preview = Preview::of(&shop());
    let mut session = preview.connect();
    let created = session.query("CREATE DATABASE own");
    if created.sqlstate() == Some("42501") {
        return;
    }
    let mut own = Session::connect(&preview.address.database("own")).unwrap();
    own.must("CREATE TABLE users (id int); INSERT INTO users VALUES (1)");
    assert_eq!(own.value("SELECT count(*) FROM users"), "1");
    let missing = Session::connect(&preview.address.database("missing")).err();
    assert_eq!(
        missing.and_then(|e| e.get(&'C').cloned()).as_deref(),
        Some("3D000")
    );
}

#[test]
fn a_cancel_reaches_the_statement_wherever_it_runs() {
    let database = shop();
    let preview = Preview::of(&database);
    let mut session = preview.connect();
    for sql in [
        "SELECT pg_sleep(60)",
        "SELECT count(*) FROM users a, users b, orders c",
        "SELECT count(*) FROM users a, users b, orders c WHERE a.name <> 'x'",
    ] {
        session.start(
            Protocol::Simple,
            Request {
                sql: sql.to_owned(),
                ..Request::default()
            },
        );
        std::thread::sleep(Duration::from_millis(400));
        cancel(&preview.address, session.pid, session.secret);
        let answer = session.poll(Duration::from_secs(10)).expect("it ends");
        assert_eq!(answer.sqlstate(), Some("57014"), "{sql}: {answer:?}");
        assert_eq!(session.value("SELECT 1"), "1");
        soon("nothing runs on production any more", || {
            Servers::shared().production.connect("postgres").value(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state = 'active'"
            )) == "0"
        });
        session.must("UPDATE users SET name = 'dirty' WHERE id = 1");
    }
}

fn get(base: &str, path: &str) -> String {
    let place = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(place).expect("connect to the admin port");
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_tests_tools_are_here() {
    assert!(Path::new("/proc/self").exists());
    for tool in ["openssl", "sh", "cp", "kill"] {
        let found = Command::new("sh")
            .arg("-c")
            .arg(format!("command -v {tool}"))
            .output();
        assert!(
            found.is_ok_and(|o| o.status.success()),
            "{tool} isn't installed"
        );
    }
}
