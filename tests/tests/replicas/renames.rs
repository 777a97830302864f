//! Names that come to mean another table while somebody reads by them.

use std::time::Duration;

use previewpg_tests::client::{Answer, Protocol, Request, Session};
use previewpg_tests::servers::signal;

use super::Pair;

/// Longer than a statement takes that nothing holds up.
const WAITS: Duration = Duration::from_millis(400);

/// So long after a schema change every replica knows that it is over.
const CALM: Duration = Duration::from_millis(1500);

/// Longer than anybody waits for a read that fresh doesn't begin.
const GIVES_UP: Duration = Duration::from_secs(4);

const PATIENCE: Duration = Duration::from_secs(20);

fn request(sql: &str) -> Request {
    Request {
        sql: sql.to_owned(),
        ..Request::default()
    }
}

/// Has a table of the preview's own, with one row; gives its name away to one of production's, with 200.
const OWN: &str = "DROP TABLE IF EXISTS own, spare CASCADE; CREATE TABLE own (id int PRIMARY KEY, v text); INSERT INTO own VALUES (9, 'own')";

/// Reads it by a name that only its body knows.
const COUNTED: &str = "CREATE OR REPLACE FUNCTION counted() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM own); END $$";

fn swap(table: usize) -> String {
    format!("ALTER TABLE own RENAME TO spare; ALTER TABLE t{table} RENAME TO own")
}

/// A table of the preview's own makes place for one of production's while others read it by its name: through the same replica and another, alone and in a pipeline,
/// waiting for a lock or for what was sent before. Nobody may be given the rows that the preview has of production's table and nothing more.
#[test]
fn who_reads_a_table_that_is_renamed_reads_the_whole_of_another() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    let mut writer = one.connect();
    let mut table = 0;
    for (what, replica) in [("the same replica", &one), ("another replica", &other)] {
        for (how, first, rename) in [
            ("reads", "", ""),
            ("reads a locked table", "LOCK TABLE own; ", ""),
            ("calls what reads", "", ""),
            ("calls what reads a locked table", "LOCK TABLE own; ", ""),
            ("executes what reads", "", ""),
            ("reads in a pipeline", "", "; COMMIT"),
            ("reads in a string", "", "; COMMIT"),
            ("writes in a pipeline", "", "; COMMIT"),
        ] {
            writer.must(OWN);
            writer.must("DROP TABLE IF EXISTS result; CREATE TABLE result (n bigint)");
            writer.must(COUNTED);
            let mut reader = replica.connect();
            reader.must("PREPARE read AS SELECT count(*) FROM own");
            assert_eq!(
                reader.value("SELECT count(*) FROM own"),
                "1",
                "{what}: {how}"
            );
            let swap = format!("{}{rename}", swap(table));
            if !rename.is_empty() {
                // What was sent before keeps the read from being parsed.
                let pipeline = match how {
                    "reads in a pipeline" => vec![
                        request("SELECT pg_sleep(0.9)"),
                        request("SELECT count(*) FROM own"),
                    ],
                    "writes in a pipeline" => vec![
                        request("SELECT pg_sleep(0.9)"),
                        request("INSERT INTO result SELECT count(*) FROM own"),
                    ],
                    _ => Vec::new(),
                };
                match pipeline.is_empty() {
                    true => reader.start(
                        Protocol::Simple,
                        request("SELECT pg_sleep(0.9); SELECT count(*) FROM own"),
                    ),
                    false => reader.start_pipeline(&pipeline),
                }
                std::thread::sleep(WAITS);
                writer.must("BEGIN");
                writer.must(&swap);
            } else {
                writer.must(&format!("BEGIN; {first}"));
                if first.is_empty() {
                    writer.must(&swap);
                }
                let read = match how {
                    "executes what reads" => "EXECUTE read",
                    calls if calls.starts_with("calls") => "SELECT counted()",
                    _ => "SELECT count(*) FROM own",
                };
                reader.start(Protocol::Simple, request(read));
                assert!(reader.poll(WAITS).is_none(), "{what}: {how} without a wait");
                if !first.is_empty() {
                    writer.must(&swap);
                }
                writer.must("COMMIT");
            }
            let answer = reader.poll(PATIENCE).expect("an answer");
            match answer.sqlstate() {
                None if how.starts_with("writes") => {
                    assert_eq!(reader.value("SELECT n FROM result"), "200", "{what}: {how}")
                }
                None => assert_eq!(answer.rows().last().unwrap(), &["200"], "{what}: {how}"),
                Some(_) if how.ends_with("string") => {
                    assert_eq!(answer.rows(), [[""]], "{what}: {answer:?}")
                }
                // Nothing was done, and the client knows.
                Some(state) => assert!(
                    !rename.is_empty() && state == "40001",
                    "{what}: {how}: {answer:?}"
                ),
            }
            table += 1;
        }
    }
}

/// A function that is under way reads the tables that it was called for, however late it comes to them.
#[test]
fn a_call_under_way_keeps_its_names() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    for (number, replica) in [&one, &other].into_iter().enumerate() {
        let mut writer = one.connect();
        writer.must(OWN);
        writer.must(
            "CREATE OR REPLACE FUNCTION slowly() RETURNS bigint LANGUAGE plpgsql AS $$
                 BEGIN PERFORM pg_sleep(0.8); RETURN (SELECT count(*) FROM own); END $$",
        );
        writer.must(
            "CREATE OR REPLACE PROCEDURE slow(INOUT n bigint) LANGUAGE plpgsql AS $$
                 BEGIN PERFORM pg_sleep(0.8); n := (SELECT count(*) FROM own); END $$",
        );
        writer.must("DROP TABLE IF EXISTS result; CREATE TABLE result (n bigint)");
        let block = "DO $$ BEGIN PERFORM pg_sleep(0.8); INSERT INTO result SELECT count(*) FROM own; END $$";
        let mut reader = replica.connect();
        for (at, (call, after)) in [
            ("SELECT slowly()", "SELECT slowly()"),
            ("CALL slow(0)", "CALL slow(0)"),
            (block, "SELECT count(*) FROM own"),
        ]
        .into_iter()
        .enumerate()
        {
            writer.must(OWN);
            std::thread::sleep(CALM);
            reader.start(Protocol::Simple, request(call));
            std::thread::sleep(WAITS / 2);
            writer.must(&format!("BEGIN; {}; COMMIT", swap(number * 3 + at)));
            let answer = reader.poll(PATIENCE).expect("an answer");
            match call == block {
                true => assert_eq!(reader.value("SELECT n FROM result"), "1", "{answer:?}"),
                false => assert_eq!(answer.rows(), [["1"]], "{call}: {answer:?}"),
            }
            assert_eq!(reader.value(after), "200", "{call}");
        }
    }
}

/// A client that leaves while its COMMIT is under way: what it renamed is committed after it's gone, and read as a whole all the same.
#[test]
fn what_is_committed_after_its_client_has_left_is_read_as_a_whole() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    for (table, replica) in [&one, &other].into_iter().enumerate() {
        let mut writer = one.connect();
        writer.must(OWN);
        let mut reader = replica.connect();
        writer.must(&format!("BEGIN; {}", swap(table)));
        let process = writer.pid.unsigned_abs();
        signal(process, "STOP");
        writer.start(Protocol::Simple, request("COMMIT"));
        std::thread::sleep(WAITS / 4);
        // Its last word is Terminate: it waits for no answer.
        drop(writer);
        // Long enough for whoever believes that it's over.
        std::thread::sleep(CALM);
        reader.start(Protocol::Simple, request("SELECT count(*) FROM own"));
        std::thread::sleep(WAITS / 4);
        signal(process, "CONT");
        let answer = reader.poll(PATIENCE).expect("an answer");
        assert_eq!(answer.rows(), [["200"]], "{answer:?}");
        assert_eq!(reader.value("SELECT count(*) FROM own"), "200");
        one.connect().must("SELECT 1");
    }
}

/// A session whose read has reached its process at fresh, which hasn't looked at it yet.
struct Asleep {
    reader: Session,
}

impl Asleep {
    fn reading(mut reader: Session, how: &str) -> Asleep {
        const READ: &str = "SELECT count(*) FROM own";
        if how == "EXECUTE" {
            reader.must(&format!("PREPARE read AS {READ}"));
        }
        assert_eq!(reader.value(READ), "1");
        let mut asleep = Asleep { reader };
        // Until other replicas have taken back what they said of the schema, names are held.
        std::thread::sleep(CALM);
        signal(asleep.process(), "STOP");
        match how {
            "a query" => asleep.reader.start(Protocol::Simple, request(READ)),
            "EXECUTE" => asleep
                .reader
                .start(Protocol::Simple, request("EXECUTE read")),
            _ => asleep.reader.start_pipeline(&[request(READ)]),
        }
        std::thread::sleep(WAITS / 4);
        asleep
    }

    fn wake(mut self) -> Answer {
        signal(self.process(), "CONT");
        self.reader.poll(PATIENCE).expect("an answer")
    }

    fn process(&self) -> u32 {
        self.reader.pid.unsigned_abs()
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        signal(self.process(), "CONT");
    }
}

/// Who gives a table's name to another waits until fresh has read the names of what others have sent before: for a while. Who is passed over then is told so.
#[test]
fn a_read_that_fresh_has_not_begun_never_gets_half_of_another_table() {
    let pair = Pair::new();
    let (one, other) = (pair.configuration.serve(), pair.configuration.serve());
    let mut table = 0;
    for (where_, replica) in [("the same replica", &one), ("another replica", &other)] {
        for how in ["a query", "Bind and Execute", "EXECUTE"] {
            let what = format!("{how}, through {where_}");
            let mut writer = one.connect();
            writer.must(OWN);
            let asleep = Asleep::reading(replica.connect(), how);
            let change = format!("BEGIN; {}; COMMIT", swap(table));
            writer.start(Protocol::Simple, request(&change));
            assert!(writer.poll(WAITS).is_none(), "{what}: nobody waits for it");
            let answer = asleep.wake();
            assert_eq!(answer.rows(), [["1"]], "{what}: {answer:?}");
            let changed = writer.poll(PATIENCE).expect("the change");
            assert_eq!(changed.sqlstate(), None, "{what}: {changed:?}");

            writer.must(OWN);
            let asleep = Asleep::reading(replica.connect(), how);
            let change = format!("BEGIN; {}; COMMIT", swap(table + 1));
            writer.start(Protocol::Simple, request(&change));
            let changed = writer.poll(GIVES_UP).expect("it isn't waited for for ever");
            assert_eq!(changed.sqlstate(), None, "{what}: {changed:?}");
            let answer = asleep.wake();
            assert_eq!(answer.sqlstate(), Some("40001"), "{what}: {answer:?}");
            assert!(answer.closed(), "{what}: {answer:?}");
            table += 2;
        }
    }
}

/// Nobody waits for a read that fresh has begun, however long it takes and however little its client takes of it.
#[test]
fn a_read_under_way_holds_no_schema_change_up() {
    let pair = Pair::new();
    let one = pair.configuration.serve();
    let mut writer = one.connect();
    writer.must("CREATE TABLE busy (id int); INSERT INTO busy VALUES (1)");
    for (how, read) in [
        ("sleeps", "SELECT pg_sleep(3) FROM busy"),
        (
            "returns more than its client takes",
            "SELECT repeat('x', 100000) FROM busy, generate_series(1, 1000)",
        ),
    ] {
        for pipelined in [false, true] {
            let mut reader = one.connect();
            match pipelined {
                true => reader.start_pipeline(&[request(read)]),
                false => reader.start(Protocol::Simple, request(read)),
            }
            std::thread::sleep(WAITS / 2);
            let started = std::time::Instant::now();
            writer.must("CREATE TABLE other (id int); DROP TABLE other");
            assert!(
                started.elapsed() < Duration::from_secs(1),
                "a schema change waited for a read that {how}: {:?}",
                started.elapsed()
            );
            let answer = reader.poll(PATIENCE).expect("an answer");
            assert_eq!(answer.sqlstate(), None, "{how}");
        }
    }
}
