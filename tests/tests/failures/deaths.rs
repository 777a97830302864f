//! Clients, proxies and servers that end in the middle.

use super::*;
use crate::frames::frame;

#[test]
fn a_client_dies_in_the_middle_of_copy() {
    let preview = Preview::of(&shop());
    for protocol in [Protocol::Simple, Protocol::Extended] {
        let mut session = preview.connect();
        let pid = session.pid;
        let request = Request {
            sql: "COPY counters FROM STDIN".to_owned(),
            ..Request::default()
        };
        if protocol == Protocol::Simple {
            session
                .send_raw(&frame(b'Q', 29, b"COPY counters FROM STDIN\0"))
                .unwrap();
        } else {
            session.start_pipeline(&[request]);
        }
        soon("COPY has begun", || {
            session
                .next_frame(Duration::from_secs(5))
                .is_some_and(|f| f.tag == b'G')
        });
        session.send_raw(&frame(b'd', 13, b"half\t100\n")).unwrap();
        session.send_raw(&frame(b'd', 4000, b"cut")).unwrap();
        session.cut();
        soon("its backend is gone", || {
            preview.fresh.connect("postgres").value(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
            )) == "0"
        });
        let mut after = preview.connect();
        assert_eq!(after.value("SELECT count(*) FROM counters"), "20");
        after.must("SET lock_timeout = '2s'; INSERT INTO counters VALUES ('half', 1)");
        after.must("DELETE FROM counters WHERE name = 'half'");
    }
}

/// What must be there afterwards.
fn commit_something(session: &mut Session) {
    session.must("UPDATE users SET name = 'kept' WHERE id = 3; DELETE FROM orders WHERE id = 1000");
    session.must("ALTER TABLE products ADD COLUMN kept int DEFAULT 3");
}

/// Begins a statement that is still running, and writing, when this returns.
fn write_for_long(busy: &mut Session) {
    busy.start(
        Protocol::Simple,
        Request {
            sql: "UPDATE orders SET note = 'lost' WHERE id > 2000 AND pg_sleep(0.01) IS NOT NULL"
                .to_owned(),
            ..Request::default()
        },
    );
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn kill_of_the_proxy_keeps_what_was_committed_and_nothing_else() {
    let database = shop();
    let production = Servers::shared().production.tcp("reader", &database);
    let preview = Preview::of(&database);
    let mut session = preview.connect();
    commit_something(&mut session);
    let mut open = preview.connect();
    open.must("BEGIN; UPDATE users SET name = 'lost' WHERE id IN (3, 4); ALTER TABLE users ADD COLUMN lost int");
    open.must("TRUNCATE log_lines");
    let mut busy = preview.connect();
    write_for_long(&mut busy);
    let fresh = preview.kill();
    assert!(open.query("COMMIT").closed());

    let again = Preview::start(&production, fresh, &[]).unwrap();
    let mut session = again.connect();
    session.must("SET statement_timeout = '20s'");
    let rows = session
        .must("SELECT name FROM users WHERE id IN (3, 4) ORDER BY id")
        .rows();
    assert_eq!(rows, [["kept"], ["User 4"]]);
    assert_eq!(session.value("SELECT count(*) FROM orders"), "4999");
    assert_eq!(session.value("SELECT sum(kept) FROM products"), "600");
    assert_eq!(session.value("SELECT count(*) FROM log_lines"), "100");
    assert_eq!(
        session.value("SELECT count(*) FROM orders WHERE note = 'lost'"),
        "0"
    );
    assert_eq!(
        session.query("SELECT lost FROM users").sqlstate(),
        Some("42703")
    );
    session.must("UPDATE users SET name = 'free' WHERE id IN (3, 4)");
}

/// `up` with a server of its own is killed in the middle of everything: what was committed is there when it's started
/// again, and nothing else; its server doesn't outlive it.
fn embedded_up_is_killed(as_servers_user: bool) {
    let database = shop();
    let production = Servers::shared().production.tcp("reader", &database);
    let before = digest(&Servers::shared().production.admin(&database));
    let data = workplace().join(format!("embedded-{database}"));
    let up = || {
        Up::embedded(&production.url(), &data, as_servers_user)
            .unwrap_or_else(|failure| panic!("previewpg up failed: {failure:?}"))
    };
    let (process, address, _) = up();
    assert_eq!(address.database, database);
    let mut session = Session::connect(&address).unwrap();
    commit_something(&mut session);
    let mut open = Session::connect(&address).unwrap();
    open.must(
        "BEGIN; UPDATE users SET name = 'lost' WHERE id IN (3, 4); DELETE FROM users WHERE id = 9",
    );
    open.must("ALTER TABLE counters DROP COLUMN value; TRUNCATE log_lines");
    let mut busy = Session::connect(&address).unwrap();
    write_for_long(&mut busy);
    let server = std::fs::read_to_string(data.join("pgdata/postmaster.pid")).unwrap();
    let server = server.lines().next().unwrap().to_owned();
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{server}")).unwrap());
    assert_ne!(owner, 0, "PostgreSQL doesn't run as root");
    process.kill();
    assert!(open.query("COMMIT").closed());
    let deadline = Instant::now() + Duration::from_secs(30);
    while Path::new(&format!("/proc/{server}")).exists() {
        assert!(Instant::now() < deadline, "the server outlives previewpg");
        std::thread::sleep(Duration::from_millis(50));
    }

    let (_process, address, _) = up();
    let mut session = Session::connect(&address).unwrap();
    let rows = session
        .must("SELECT name FROM users WHERE id IN (3, 4, 9) ORDER BY id")
        .rows();
    assert_eq!(rows, [["kept"], ["User 4"], ["User 9"]]);
    assert_eq!(session.value("SELECT count(*) FROM orders"), "4999");
    assert_eq!(session.value("SELECT sum(kept) FROM products"), "600");
    assert_eq!(session.value("SELECT count(*) FROM log_lines"), "100");
    assert_eq!(session.value("SELECT sum(value) FROM counters"), "210");
    assert_eq!(
        session.value("SELECT count(*) FROM orders WHERE note = 'lost'"),
        "0"
    );
    session.must("UPDATE users SET name = 'free' WHERE id IN (3, 4)");
    let touched = difference(
        &before,
        &digest(&Servers::shared().production.admin(&database)),
    );
    assert!(touched.is_empty(), "PRODUCTION WAS TOUCHED: {touched:?}");
}

/// As whoever runs the tests: root in most containers.
#[test]
fn an_embedded_up_of_ours_is_killed() {
    embedded_up_is_killed(false);
}

#[test]
fn an_embedded_up_of_an_unprivileged_user_is_killed() {
    embedded_up_is_killed(true);
}

#[test]
fn sigterm_ends_cleanly() {
    let preview = Preview::of(&shop());
    let mut idle = preview.connect();
    idle.must("CREATE TABLE kept (id int)");
    let admin = preview.admin.clone().expect("the admin line");
    for path in ["livez", "readyz", "metrics"] {
        let answer = get(&admin, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(!answer.contains(PASSWORD));
    }
    let (status, fresh) = preview.terminate();
    assert_eq!(status.and_then(|s| s.code()), Some(0));
    idle.start(
        Protocol::Simple,
        Request {
            sql: "SELECT 1".to_owned(),
            ..Request::default()
        },
    );
    let answer = idle
        .poll(Duration::from_secs(5))
        .expect("the connection ends");
    assert!(answer.closed());
    let told = answer
        .events
        .iter()
        .any(|e| matches!(e, Event::Error(f) if f.get(&'C').is_some_and(|c| c == "57P01")));
    assert!(told, "an idle client is told 57P01: {answer:?}");
    drop(fresh);
}
