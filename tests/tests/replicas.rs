//! Several `previewpg serve` processes over one pair of databases: whatever was committed through one is seen through every other before the
//! client of the first hears of it, also when replicas hang, die, or lose their line to fresh.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "replicas/deaths.rs"]
mod deaths;
#[path = "replicas/renames.rs"]
mod renames;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use previewpg_tests::client::{Address, Protocol, Request, Session, cancel};
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::serve::{Configuration, Serve};
use previewpg_tests::servers::{PASSWORD, Server, Servers};

/// How long a writer may be held up by a replica that doesn't answer: the lease, and a little for a busy machine.
const LEASE: Duration = Duration::from_secs(5);

/// Tables that are written to for the first time once each.
const TABLES: usize = 28;
/// Tables that refer to another one.
const CHILDREN: usize = 8;

fn schema() -> String {
    format!(
        "CREATE TABLE parents (id int PRIMARY KEY, v text);
         INSERT INTO parents SELECT g, 'old' FROM generate_series(1, 20) g;
         CREATE TABLE log (id int PRIMARY KEY, v text);
         DO $$ BEGIN FOR n IN 0..{last} LOOP
             EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text)', n);
             EXECUTE format('INSERT INTO t%s SELECT g, ''old'' FROM generate_series(1, 200) g', n);
         END LOOP; END $$;
         DO $$ BEGIN FOR n IN 0..{last_child} LOOP
             EXECUTE format('CREATE TABLE c%s (id int PRIMARY KEY, p int REFERENCES parents ON DELETE CASCADE)', n);
             EXECUTE format('INSERT INTO c%s SELECT g, g FROM generate_series(1, 20) g', n);
         END LOOP; END $$;
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN EXECUTE format('INSERT INTO %I VALUES (1000, ''noted'')', TG_ARGV[0]); RETURN NEW; END $$;",
        last = TABLES - 1,
        last_child = CHILDREN - 1
    )
}

/// One pair of databases.
struct Pair {
    production: Address,
    /// fresh's server, unless others share it.
    own: Option<Server>,
    behind: Address,
    configuration: Configuration,
}

/// What tests share that only write to their own fresh databases: production's, and a server with a provisioned database to copy.
struct Shared {
    production: Address,
    fresh: Server,
}

impl Shared {
    fn get() -> &'static Shared {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let servers = Servers::shared();
            let database = servers.database("many", &schema());
            let production = servers.production.tcp("reader", &database);
            let fresh = Servers::fresh();
            let owner = fresh.tcp("postgres", "postgres");
            Configuration::write("shared", &production, &owner, "").provision();
            Shared { production, fresh }
        })
    }
}

impl Pair {
    fn new() -> Pair {
        Pair::with("")
    }

    /// A fresh database of its own, on a server that others use, too.
    fn with(more: &str) -> Pair {
        let shared = Shared::get();
        let name = next_name();
        shared
            .fresh
            .copy_database(&shared.production.database, &name);
        let owner = shared.fresh.tcp("postgres", &name);
        Pair {
            production: shared.production.clone(),
            own: None,
            behind: shared.fresh.admin(&name),
            configuration: Configuration::write(&name, &shared.production, &owner, more),
        }
    }

    /// A production database and a fresh server of its own.
    fn alone() -> Pair {
        let servers = Servers::shared();
        let database = servers.database("many", &schema());
        let production = servers.production.tcp("reader", &database);
        let fresh = Servers::fresh();
        let owner = fresh.tcp("postgres", "postgres");
        let configuration = Configuration::write(&next_name(), &production, &owner, "");
        configuration.provision();
        Pair {
            behind: fresh.admin(&database),
            production,
            own: Some(fresh),
            configuration,
        }
    }

    fn own(&mut self) -> &mut Server {
        self.own.as_mut().expect("a server of its own")
    }

    fn behind(&self) -> Session {
        Session::connect(&self.behind).expect("log in at fresh")
    }
}

fn next_name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("pair_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
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
    rotating_role();
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

/// Rows that no statement names: through a foreign key's action, and through a trigger that makes its SQL at run time.
#[test]
fn what_a_statement_does_not_name_is_seen_as_well() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    let (mut writer, mut reader) = (one.connect(), other.connect());
    let children = |table| format!("SELECT count(*) FROM c{table}");
    for (gone, tables) in [(1, 0..4), (2, 4..8)] {
        for table in tables.clone() {
            let before = if gone == 1 { "20" } else { "19" };
            assert_eq!(reader.value(&children(table)), before, "c{table}");
        }
        writer.must(&format!("DELETE FROM parents WHERE id = {gone}"));
        for table in tables {
            let after = if gone == 1 { "19" } else { "18" };
            assert_eq!(reader.value(&children(table)), after, "c{table}");
        }
    }
    writer
        .must("CREATE TRIGGER noting AFTER INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION note('log')");
    assert_eq!(reader.value("SELECT count(*) FROM log"), "0");
    let noted = writer.query("INSERT INTO t1 VALUES (1000, 'x')");
    // A trigger that nobody can see through may be refused; what isn't refused is seen.
    let expected = if noted.error().is_some() { "0" } else { "1" };
    assert_eq!(
        reader.value("SELECT count(*) FROM log"),
        expected,
        "{noted:?}"
    );
    assert!(on_production(&other) > 0);
}

/// Schema changes through each of three replicas at once, and readers through all of them that must see each when it was committed.
#[test]
fn a_schema_change_is_seen_through_every_replica_before_its_client_hears() {
    let pair = Pair::new();
    let replicas = [
        pair.configuration.serve(),
        pair.configuration.serve(),
        pair.configuration.serve(),
    ];
    std::thread::scope(|scope| {
        for worker in 0..3_usize {
            let replicas = &replicas;
            scope.spawn(move || {
                let mut sessions: Vec<_> = replicas.iter().map(Serve::connect).collect();
                for round in 0..6 {
                    let (table, writer) = (worker * 6 + round, (worker + round) % 3);
                    sessions[writer].must(&format!("ALTER TABLE t{table} ADD COLUMN round int DEFAULT {round}"));
                    for (reader, session) in sessions.iter_mut().enumerate() {
                        let answer = session.must(&format!("SELECT * FROM t{table} WHERE id = 1"));
                        assert_eq!(answer.rows(), [["1", "old", &round.to_string()]], "t{table}: {writer}, {reader}");
                    }
                    sessions[writer].must(&format!(
                        "BEGIN; ALTER TABLE t{table} RENAME TO aside{table}; CREATE TABLE t{table} AS SELECT g AS id FROM generate_series(1, 20) g; COMMIT"
                    ));
                    for session in &mut sessions {
                        assert_eq!(session.value(&format!("SELECT count(*) FROM t{table}")), "20");
                        assert_eq!(session.value(&format!("SELECT count(*) FROM aside{table}")), "200");
                    }
                    // Nobody waits for a schema change that isn't committed, and it's nobody else's.
                    sessions[writer].must(&format!("BEGIN; DROP TABLE aside{table}"));
                    let next = (writer + 1) % 3;
                    assert_eq!(sessions[next].value("SELECT count(*) FROM parents"), "20");
                    sessions[writer].must("ROLLBACK");
                    assert_eq!(sessions[next].value(&format!("SELECT count(*) FROM aside{table}")), "200");
                    sessions[writer].must(&format!("CREATE TEMP TABLE mine{table} (id int); DROP TABLE mine{table}"));
                }
            });
        }
    });
    assert_eq!(metric(&replicas[0], "previewpg_replicas"), 3.0);
}

/// A transaction that is prepared through one replica and committed through another.
#[test]
fn a_prepared_transaction_is_seen_wherever_it_is_committed() {
    let pair = Pair::new();
    let replicas = [
        pair.configuration.serve(),
        pair.configuration.serve(),
        pair.configuration.serve(),
    ];
    let mut sessions: Vec<_> = replicas.iter().map(Serve::connect).collect();
    assert_eq!(sessions[2].value("SELECT v FROM t1 WHERE id = 1"), "old");
    // What production's rows are looked at for can't be prepared: that's postgres_fdw's own refusal.
    sessions[0].must("BEGIN; TRUNCATE t1; CREATE TABLE made (id int); PREPARE TRANSACTION 'both'");
    assert_eq!(
        sessions[2].query("SELECT * FROM made").sqlstate(),
        Some("42P01")
    );
    sessions[1].must("COMMIT PREPARED 'both'");
    for session in &mut sessions {
        assert_eq!(session.value("SELECT count(*) FROM t1"), "0");
        session.must("SELECT * FROM made");
    }
}

/// A function that reads tables of production has them copied up as a whole: nobody waits for whoever has read them, and nobody takes production's rows
/// for theirs afterwards.
#[test]
fn what_is_copied_up_as_a_whole_is_seen_by_others_and_waits_for_no_reader() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    let (mut caller, mut reader, mut clean) = (one.connect(), other.connect(), other.connect());
    caller.must("CREATE FUNCTION sum_of_two() RETURNS bigint LANGUAGE sql AS 'SELECT (SELECT count(*) FROM t1) + (SELECT count(*) FROM t2)'");
    // One reads over merged rows in a transaction that stays open, one on production.
    caller.must("UPDATE t1 SET v = 'new' WHERE id = 1");
    reader.must("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t1 ORDER BY id");
    assert_eq!(reader.query("FETCH 1 FROM c").rows(), [["1"]]);
    assert_eq!(clean.value("SELECT count(*) FROM t2"), "200");
    assert!(on_production(&other) > 0);

    let began = Instant::now();
    assert_eq!(caller.value("SELECT sum_of_two()"), "400");
    assert!(began.elapsed() < LEASE, "it waited for a reader");

    assert_eq!(reader.query("FETCH 200 FROM c").rows().len(), 199);
    assert_eq!(reader.value("SELECT count(*) FROM t1"), "200");
    reader.must("COMMIT");
    for table in ["t1", "t2"] {
        caller.must(&format!("DELETE FROM {table} WHERE id > 190"));
        for session in [&mut reader, &mut clean, &mut caller] {
            assert_eq!(
                session.value(&format!("SELECT count(*) FROM {table}")),
                "190"
            );
        }
    }
    assert_eq!(reader.value("SELECT sum_of_two()"), "380");

    // In a block that has changed rows of the table itself, and in one that only reads.
    caller.must("CREATE FUNCTION count_t3() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t3'; CREATE FUNCTION count_t4() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t4'");
    caller.must("BEGIN; DELETE FROM t3 WHERE id = 7");
    assert_eq!(caller.value("SELECT count_t3()"), "199");
    assert_eq!(clean.value("SELECT count(*) FROM t3"), "200");
    caller.must("ROLLBACK");
    assert_eq!(caller.value("SELECT count_t3()"), "200");
    reader.must("BEGIN TRANSACTION READ ONLY");
    assert_eq!(reader.value("SELECT count_t4()"), "200");
    reader.must("COMMIT");

    // Snapshots that are older: all rows, or an error that has the client try again.
    caller.must("UPDATE t5 SET v = 'new' WHERE id = 1; UPDATE t6 SET v = 'new' WHERE id = 1");
    caller.must(
        "CREATE FUNCTION count_t6() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t6'",
    );
    for session in [&mut reader, &mut clean] {
        session.must("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert_eq!(session.value("SELECT count(*) FROM t5"), "200");
    }
    assert_eq!(caller.value("SELECT count_t6()"), "200");
    caller.must("DELETE FROM t6 WHERE id = 1");
    caller.must("CREATE INDEX ON t6 (v)");
    for (session, query) in [
        (&mut reader, "SELECT count(*) FROM t6"),
        (&mut clean, "SELECT count_t6()"),
    ] {
        let answer = session.query(query);
        match answer.sqlstate() {
            Some(code) => assert_eq!(code, "40001", "{answer:?}"),
            None => assert_eq!(answer.rows(), [["200"]], "{query}"),
        }
        session.must("ROLLBACK");
        assert_eq!(session.value(query), "199", "{query}");
    }

    // What PostgreSQL rejects, or only explains, copies nothing up.
    let mut behind = pair.behind();
    for statement in [
        "SELEC * FROM t9",
        "SELECT ctid, nothing FROM t9",
        "UPDATE t9 SETT v = 'x'",
        "EXPLAIN SELECT ctid FROM t9",
    ] {
        for protocol in [Protocol::Simple, Protocol::Extended] {
            let request = Request {
                sql: statement.to_owned(),
                ..Request::default()
            };
            assert!(
                caller.run(protocol, request).error().is_some(),
                "{statement}"
            );
        }
    }
    let state = "SELECT state FROM previewpg.relation WHERE upper = 't9'::regclass";
    assert_eq!(behind.value(state), "merged");
    assert_eq!(caller.value("SELECT count(ctid) FROM t9"), "200");
    assert_eq!(behind.value(state), "detached");

    // Production isn't looked at any more once nobody has an older snapshot.
    soon("the copied tables' projections are empty", || {
        behind.must("SELECT previewpg.hide_copied()");
        behind.value("SELECT count(*) FROM previewpg.relation WHERE copied_by IS NOT NULL") == "0"
    });
    let lower = behind.value("SELECT 'previewpg_lower.r' || 't6'::regclass::oid");
    assert_eq!(behind.value(&format!("SELECT count(*) FROM {lower}")), "0");
}

/// A cancel request may come to any replica.
#[test]
fn a_cancel_request_reaches_what_another_replica_runs() {
    let pair = Pair::new();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    let mut reader = one.connect();
    let slow = "SELECT count(*) FROM t1 a, t1 b, t1 c, t1 d, t1 e";
    for through in [&two, &one] {
        let (process, secret) = (reader.pid, reader.secret);
        let request = Request {
            sql: slow.to_owned(),
            ..Request::default()
        };
        reader.start(Protocol::Simple, request);
        let production = Servers::shared()
            .production
            .connect(&pair.production.database);
        running(production);
        cancel(&through.address, process, secret);
        let answer = reader
            .poll(Duration::from_secs(30))
            .expect("it was cancelled");
        assert_eq!(answer.sqlstate(), Some("57014"), "{answer:?}");
        assert_eq!(reader.value("SELECT count(*) FROM t1"), "200");

        let request = Request {
            sql: "SELECT pg_sleep(60)".to_owned(),
            ..Request::default()
        };
        reader.start(Protocol::Simple, request);
        assert!(reader.poll(Duration::from_millis(300)).is_none());
        cancel(&through.address, process, secret);
        let answer = reader
            .poll(Duration::from_secs(30))
            .expect("it was cancelled");
        assert_eq!(answer.sqlstate(), Some("57014"), "{answer:?}");
    }
}

/// Waits until production runs it.
fn running(mut production: Session) {
    soon("it runs on production", || {
        production.value(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '% e' AND application_name = 'previewpg' AND pid <> pg_backend_pid()",
        ) != "0"
    });
}

/// Tables that somebody brings into fresh behind the proxies' back.
#[test]
fn a_change_behind_the_back_reaches_running_replicas() {
    let pair = Pair::alone();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    let mut sessions = [one.connect(), two.connect()];
    let mut production = Servers::shared()
        .production
        .connect(&pair.production.database);
    for session in &mut sessions {
        assert_eq!(
            session.query("SELECT count(*) FROM later").sqlstate(),
            Some("42P01")
        );
    }
    production.must(
        "CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later SELECT generate_series(1, 30)",
    );
    pair.configuration.provision();
    for session in &mut sessions {
        soon("the new table is served", || {
            let answer = session.query("SELECT count(*) FROM later");
            println!("{:?} {:?}", answer.rows(), answer.error());
            let rows = answer.rows();
            assert_ne!(rows, [["0"]], "the new table was shown without its rows");
            rows == [["30"]] || rows == [["29"]]
        });
        session.must("DELETE FROM later WHERE id = 1");
        assert_eq!(session.value("SELECT count(*) FROM later"), "29");
    }
    // Once more: nothing has changed, so nobody is told.
    let mut behind = pair.behind();
    let news = "SELECT version FROM previewpg.news";
    let told = behind.value(news);
    pair.configuration.provision();
    assert_eq!(behind.value(news), told);
    // By hand, with event triggers off.
    behind.must("SET session_replication_role = replica; BEGIN; CREATE TABLE silent (id int); ALTER TABLE silent OWNER TO app; SELECT previewpg.changed(); COMMIT");
    for session in &mut sessions {
        soon("it is known", || {
            session.query("SELECT * FROM silent").error().is_none()
        });
    }
}

/// `up` shares fresh with nobody, replicas with each other only.
#[test]
fn up_does_not_share() {
    let pair = Pair::alone();
    let replica = pair.configuration.serve();
    let failure = previewpg_tests::preview::Up::start(
        &pair.production.url(),
        &pair.own.as_ref().unwrap().tcp("postgres", "postgres").url(),
        &[],
    )
    .err()
    .expect("up came up beside a replica");
    assert!(
        failure
            .stderr
            .contains("another previewpg serves this fresh"),
        "{failure:?}"
    );
    assert_eq!(replica.connect().value("SELECT count(*) FROM t1"), "200");
}

/// SIGTERM: unready at once, new clients are served on for the time told, nobody is refused before it has passed; idle clients stay until then.
#[test]
fn new_clients_are_served_on_after_the_signal_to_end() {
    let pair = Pair::with("limits: {lingerSeconds: 6, drainSeconds: 20}\n");
    let mut replica = pair.configuration.serve();
    let mut idle = replica.connect();
    assert_eq!(idle.value("SELECT count(*) FROM t1"), "200");
    let mut busy = replica.connect();
    busy.must("BEGIN; UPDATE t1 SET v = 'kept' WHERE id = 1");
    replica.signal("TERM");
    let began = Instant::now();
    soon("unready", || get(&replica, "/readyz").0 == 503);
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    assert!(get(&replica, "/readyz").1.contains("serving: draining"));
    let mut served = 0;
    while began.elapsed() < Duration::from_millis(3500) {
        let mut session = Session::connect(&replica.address).expect("refused while it lingers");
        session.must("SELECT count(*) FROM t2");
        served += 1;
    }
    assert!(served > 2, "{served}");
    assert_eq!(
        idle.value("SELECT count(*) FROM t1"),
        "200",
        "an idle client was sent away"
    );
    soon("the listener is closed", || {
        TcpStream::connect((replica.address.host.as_str(), replica.address.port)).is_err()
    });
    assert!(began.elapsed() > Duration::from_millis(5900));
    let told = idle.next_frame(Duration::from_secs(5)).expect("a word");
    let text = String::from_utf8_lossy(&told.body).into_owned();
    assert!(told.tag == b'E' && text.contains("C57P01\0"), "{text}");
    // What was under way goes on.
    std::thread::sleep(Duration::from_millis(500));
    busy.must("COMMIT");
    assert!(
        replica
            .wait(Duration::from_secs(10))
            .is_some_and(|status| status.success())
    );
    let other = pair.configuration.serve();
    assert_eq!(
        other.connect().value("SELECT v FROM t1 WHERE id = 1"),
        "kept"
    );
    let began = Instant::now();
    other.connect().must("UPDATE t2 SET v = 'x' WHERE id = 1");
    assert!(
        began.elapsed() < Duration::from_millis(1500),
        "the one that left is waited for"
    );
}

/// A role of production of its own, with the password `first`: made before any digest is taken, for that sees roles as well.
fn rotating_role() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        Servers::shared().production.connect("postgres").must(
            "CREATE ROLE rotating LOGIN PASSWORD 'first'; GRANT pg_read_all_data TO rotating",
        );
    });
    "rotating"
}

/// What changes without dropping anybody: the ways to production and to fresh, limits.
#[test]
fn credentials_and_limits_are_taken_up_while_it_serves() {
    let pair = Pair::alone();
    let servers = Servers::shared();
    let mut production = servers.production.connect(&pair.production.database);
    let role = rotating_role();
    let way = |password: &str| pair.production.role(role, password).url();
    pair.configuration.put("production", &way("first"));
    let replica = pair.configuration.serve();
    let mut session = replica.connect();
    assert_eq!(session.value("SELECT count(*) FROM t1"), "200");
    let mut clients_of = |role: &str| {
        production.value(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND application_name = 'previewpg'"))
    };
    assert_ne!(clients_of(role), "0");

    // A password that doesn't count yet: the old sessions go on, and the new way is in use when it does.
    pair.configuration.put("production", &way("second"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(session.value("SELECT count(*) FROM t1"), "200");
    servers
        .production
        .connect("postgres")
        .must(&format!("ALTER ROLE {role} PASSWORD 'second'"));
    soon("the new way is in use", || {
        replica
            .stderr()
            .contains("the new way to production is in use")
    });
    assert_eq!(session.value("SELECT count(*) FROM t2"), "200");

    // A role that can write is refused.
    let writer = pair.production.role("writer", PASSWORD).url();
    pair.configuration.put("production", &writer);
    soon("a word about it", || {
        replica
            .stderr()
            .contains("the new way to production is refused")
    });
    assert_eq!(session.value("SELECT count(*) FROM t3"), "200");
    assert_eq!(clients_of("writer"), "0");
    pair.configuration.put("production", &way("second"));

    // fresh's owner: the line that stands stays, the next one needs the new password.
    let mut behind = pair.behind();
    let owner = pair.own.as_ref().unwrap().tcp("postgres", "postgres");
    behind.must("ALTER ROLE postgres PASSWORD 'renewed'");
    pair.configuration
        .put("fresh", &owner.role("postgres", "renewed").url());
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(get(&replica, "/readyz").0, 200);
    behind.must("SELECT count(pg_terminate_backend(backend)) FROM previewpg.replica");
    std::thread::sleep(Duration::from_millis(500));
    soon("ready with the new password", || {
        get(&replica, "/readyz").0 == 200
    });
    assert_eq!(session.value("SELECT count(*) FROM t4"), "200");

    // The number of clients.
    pair.configuration.set("limits: {maxClients: 1}\n");
    soon("no more clients than one", || {
        Session::connect(&replica.address)
            .is_err_and(|error| error.get(&'C').is_some_and(|code| code == "53300"))
    });
    assert_eq!(session.value("SELECT count(*) FROM t5"), "200");
    pair.configuration
        .set("limits: {maxClients: 10, sequenceGap: 3}\n");
    soon("more again", || Session::connect(&replica.address).is_ok());
    soon("what isn't taken up is told", || {
        replica.stderr().contains("limits.sequenceGap")
    });
}

/// production's absence is told, and makes nobody unready.
#[test]
fn readiness_does_not_hang_on_production() {
    let pair = Pair::new();
    pair.configuration.put(
        "production",
        &format!(
            "postgres://reader:x@127.0.0.1:1/{}",
            pair.production.database
        ),
    );
    let replica = pair.configuration.serve();
    let mut session = replica.connect();
    assert!(
        session
            .query("SELECT count(*) FROM t1")
            .sqlstate()
            .is_some_and(|code| code.starts_with("08"))
    );
    let (status, body) = get(&replica, "/readyz");
    assert_eq!(status, 200);
    assert!(body.contains("production, which doesn't count: "), "{body}");
}

/// One replica alone: writes to new tables cost a commit more, and nothing else does.
#[test]
fn one_replica_alone_waits_for_nobody() {
    let pair = Pair::new();
    let replica = pair.configuration.serve();
    let mut session = replica.connect();
    session.must("UPDATE t0 SET v = 'new' WHERE id = 1");
    let began = Instant::now();
    for table in 1..=20 {
        session.must(&format!("UPDATE t{table} SET v = 'new' WHERE id = 1"));
    }
    let first = began.elapsed();
    assert_eq!(
        metric(&replica, "previewpg_acknowledgement_wait_seconds_count"),
        0.0
    );
    println!("20 first writes took {first:?}");
}
