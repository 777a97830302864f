//! Several `previewpg serve` processes over one pair of databases: whatever was committed through one is seen through every other before the
//! client of the first hears of it, also when replicas hang, die, or lose their line to fresh.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use previewpg_tests::client::{Address, Event, Protocol, Request, Session, cancel};
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::serve::{Configuration, Serve};
use previewpg_tests::servers::{PASSWORD, Server, Servers};

/// How long a writer may be held up by a replica that doesn't answer: the lease, and a little for a busy machine.
const LEASE: Duration = Duration::from_millis(3500);

/// Tables that are written to for the first time once each.
const TABLES: usize = 48;

fn schema() -> String {
    format!(
        "CREATE TABLE parents (id int PRIMARY KEY, v text);
         INSERT INTO parents SELECT g, 'old' FROM generate_series(1, 20) g;
         CREATE TABLE log (id int PRIMARY KEY, v text);
         DO $$ BEGIN FOR n IN 0..{last} LOOP
             EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text)', n);
             EXECUTE format('INSERT INTO t%s SELECT g, ''old'' FROM generate_series(1, 200) g', n);
             EXECUTE format('CREATE TABLE c%s (id int PRIMARY KEY, p int REFERENCES parents ON DELETE CASCADE)', n);
             EXECUTE format('INSERT INTO c%s SELECT g, g FROM generate_series(1, 20) g', n);
         END LOOP; END $$;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN EXECUTE format('INSERT INTO %I VALUES (1000, ''noted'')', TG_ARGV[0]); RETURN NEW; END $$;",
        last = TABLES - 1
    )
}

/// One pair of databases.
struct Pair {
    production: Address,
    fresh: Server,
    configuration: Configuration,
}

impl Pair {
    fn new() -> Pair {
        Pair::with("")
    }

    fn with(more: &str) -> Pair {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let servers = Servers::shared();
        let database = servers.database("many", &schema());
        let production = servers.production.tcp("reader", &database);
        let fresh = Servers::fresh();
        let name = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let owner = fresh.tcp("postgres", "postgres");
        let configuration = Configuration::write(&name, &production, &owner, more);
        configuration.provision();
        Pair {
            production,
            fresh,
            configuration,
        }
    }

    fn behind(&self) -> Session {
        self.fresh.connect(&self.production.database)
    }
}

/// Whether a read is answered by production itself, so that a test about marks tests marks.
fn on_production(serve: &Serve) -> u64 {
    metric(
        serve,
        "previewpg_statements_total{placement=\"production\"}",
    ) as u64
}

fn metric(serve: &Serve, name: &str) -> f64 {
    let (_, body) = get(serve, "/metrics");
    body.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("there's no {name} in:\n{body}"))
}

fn get(serve: &Serve, path: &str) -> (u16, String) {
    let place = serve.admin.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    (status.unwrap_or(0), body.unwrap_or_default().to_owned())
}

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each way to write, to one table of its own: the statements, and the question whose answer they change from `old` to `new`.
const WRITES: [(&str, &[&str], &str); 7] = [
    (
        "an UPDATE",
        &["UPDATE t# SET v = 'new' WHERE id = 7"],
        "SELECT v FROM t# WHERE id = 7",
    ),
    (
        "an INSERT",
        &["INSERT INTO t# VALUES (1000, 'x')"],
        "SELECT CASE count(*) WHEN 200 THEN 'old' ELSE 'new' END FROM t#",
    ),
    (
        "a DELETE in a block",
        &["BEGIN", "DELETE FROM t# WHERE id > 100", "COMMIT"],
        "SELECT CASE max(id) WHEN 200 THEN 'old' ELSE 'new' END FROM t#",
    ),
    (
        "a TRUNCATE",
        &["TRUNCATE t#"],
        "SELECT CASE count(*) WHEN 200 THEN 'old' ELSE 'new' END FROM t#",
    ),
    (
        "a COPY",
        &[
            "BEGIN; UPDATE t# SET v = 'new' WHERE id = 7; SAVEPOINT s; DELETE FROM t# WHERE id = 7; ROLLBACK TO s; COMMIT",
        ],
        "SELECT v FROM t# WHERE id = 7",
    ),
    (
        "a column and its values",
        &[
            "BEGIN; ALTER TABLE t# ADD COLUMN w text DEFAULT 'w'; UPDATE t# SET v = 'new', w = 'x' WHERE id = 7; COMMIT",
        ],
        "SELECT v FROM t# WHERE id = 7",
    ),
    (
        "two tables that change names",
        &[
            "BEGIN; ALTER TABLE t# RENAME TO away#; CREATE TABLE t# (id int, v text); INSERT INTO t# VALUES (7, 'new'); COMMIT",
        ],
        "SELECT v FROM t# WHERE id = 7",
    ),
];

fn for_table(text: &str, table: usize) -> String {
    text.replace('#', &table.to_string())
}

/// The first write to a table through one replica, and a read through another that starts when the writer's client has heard.
#[test]
fn a_write_is_seen_through_every_replica_before_its_client_hears() {
    let pair = Pair::new();
    let production = Servers::shared()
        .production
        .admin(&pair.production.database);
    let before = digest(&production);
    let replicas = [
        pair.configuration.serve(),
        pair.configuration.serve(),
        pair.configuration.serve(),
    ];
    let next = AtomicUsize::new(0);
    let seen = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (replicas, next, seen) = (&replicas, &next, &seen);
            scope.spawn(move || {
                let mut sessions: Vec<_> = replicas.iter().map(Serve::connect).collect();
                loop {
                    let table = next.fetch_add(1, Ordering::Relaxed);
                    if table >= TABLES {
                        return;
                    }
                    let (what, statements, question) = WRITES[table % WRITES.len()];
                    let question = for_table(question, table);
                    for session in &mut sessions {
                        assert_eq!(session.value(&question), "old", "{what}");
                    }
                    let writer = (table + worker) % 3;
                    for statement in statements {
                        sessions[writer].must(&for_table(statement, table));
                    }
                    for (reader, session) in sessions.iter_mut().enumerate() {
                        assert_eq!(
                            session.value(&question),
                            "new",
                            "{what} to t{table} through replica {writer}, read through {reader}"
                        );
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(seen.load(Ordering::Relaxed), TABLES * 3);
    for replica in &replicas {
        assert!(on_production(replica) > 0, "no read ran on production");
    }
    assert_eq!(
        difference(&before, &digest(&production)),
        Vec::<String>::new()
    );
}
