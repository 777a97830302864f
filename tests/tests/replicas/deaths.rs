//! Replicas that hang, die or start in the middle, and lines to fresh that break.

use std::time::{Duration, Instant};

use previewpg_tests::client::{Protocol, Request};

use super::{LEASE, Pair, TABLES, get, metric, on_production, soon};

/// A replica that is killed, or hangs, holds a writer up for a lease at most, once; one that goes on after having hung doesn't read by what it knew.
#[test]
fn a_replica_that_hangs_or_dies_holds_nobody_up_for_longer_than_its_lease() {
    let pair = Pair::new();
    let (one, two, three) = (
        pair.configuration.serve(),
        pair.configuration.serve(),
        pair.configuration.serve(),
    );
    let (mut writer, mut hanging, mut dying) = (one.connect(), two.connect(), three.connect());
    for session in [&mut hanging, &mut dying] {
        for table in 0..4 {
            assert_eq!(
                session.value(&format!("SELECT v FROM t{table} WHERE id = 1")),
                "old"
            );
        }
    }
    assert!(on_production(&two) > 0);
    for round in 0..3 {
        two.signal("STOP");
        if round == 0 {
            three.signal("KILL");
        }
        let began = Instant::now();
        writer.must(&format!("UPDATE t{round} SET v = 'new' WHERE id = 1"));
        writer.must(&format!("ALTER TABLE t{round} ADD COLUMN w int"));
        let took = began.elapsed();
        assert!(took < LEASE, "held up for {took:?}");
        // Asked while it hangs, answered when it goes on.
        let request = Request {
            sql: format!("SELECT * FROM t{round} WHERE id = 1"),
            ..Request::default()
        };
        hanging.start(Protocol::Simple, request);
        std::thread::sleep(Duration::from_millis(50));
        two.signal("CONT");
        let answer = hanging.poll(Duration::from_secs(20)).expect("it goes on");
        assert_eq!(
            answer.rows(),
            [["1", "new", "∅"]],
            "round {round}: {:?}",
            answer.error()
        );
        // It is one of them again: nobody waits its lease out.
        soon("it serves again", || get(&two, "/readyz").0 == 200);
        let began = Instant::now();
        writer.must(&format!(
            "UPDATE t{} SET v = 'new' WHERE id = 1",
            10 + round
        ));
        assert!(
            began.elapsed() < Duration::from_millis(2000),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(
            hanging.value(&format!("SELECT v FROM t{} WHERE id = 1", 10 + round)),
            "new"
        );
    }
    // The dead one was waited for once.
    soon("the dead one is given up", || {
        metric(&one, "previewpg_replicas") == 2.0
    });
}

/// A replica that is stopped between deciding that a read may run on production and production's answer.
#[test]
fn a_read_under_way_in_a_replica_that_hangs_is_old_or_new_as_a_whole() {
    let pair = Pair::new();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    let mut writer = one.connect();
    for table in 0..12 {
        let mut reader = two.connect();
        let question = format!("SELECT count(*) FROM t{table} WHERE v = 'new'");
        assert_eq!(reader.value(&question), "0");
        let stopper = two.pid();
        let request = Request {
            sql: question.clone(),
            ..Request::default()
        };
        reader.start(Protocol::Simple, request);
        std::thread::sleep(Duration::from_micros(150 * table as u64));
        previewpg_tests::servers::signal(stopper, "STOP");
        let early = reader.poll(Duration::from_millis(1));
        writer.must(&format!("UPDATE t{table} SET v = 'new'"));
        two.signal("CONT");
        let first = match early {
            Some(answer) => answer,
            None => reader.poll(Duration::from_secs(20)).expect("an answer"),
        };
        let rows = first.rows();
        assert!(
            rows == [["0"]] || rows == [["200"]],
            "{rows:?} {:?}",
            first.error()
        );
        assert_eq!(reader.value(&question), "200");
    }
}

/// Kills between a write and its client's hearing of it: whatever fresh committed is seen through the other replica, soon.
#[test]
fn what_a_killed_replica_committed_is_seen() {
    let pair = Pair::new();
    let survivor = pair.configuration.serve();
    let mut reader = survivor.connect();
    for table in 0..6_u32 {
        let replica = pair.configuration.serve();
        let mut writer = replica.connect();
        assert_eq!(
            reader.value(&format!("SELECT count(*) FROM t{table}")),
            "200"
        );
        let request = Request {
            sql: format!(
                "BEGIN; ALTER TABLE t{table} ADD COLUMN w int DEFAULT 1; UPDATE t{table} SET w = 2 WHERE id = 1; COMMIT"
            ),
            ..Request::default()
        };
        writer.start(Protocol::Simple, request);
        std::thread::sleep(Duration::from_millis(u64::from(table) * 12));
        replica.signal("KILL");
        let _ = writer.poll(Duration::from_secs(10));
        // Its backend at fresh may be at it still.
        let mut behind = pair.behind();
        soon("its sessions have ended", || {
            behind.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()") == "1"
        });
        let there = behind.value(&format!(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 't{table}'::regclass AND attname = 'w'"
        )) == "1";
        std::thread::sleep(Duration::from_millis(1500));
        let answer = reader.must(&format!("SELECT * FROM t{table} WHERE id = 1"));
        let expected: &[&str] = if there {
            &["1", "old", "2"]
        } else {
            &["1", "old"]
        };
        assert_eq!(answer.rows(), [expected], "t{table}");
    }
}

/// fresh restarts: all lines drop, and everybody goes on, with what was written before.
#[test]
fn replicas_get_over_a_restart_of_fresh() {
    let mut pair = Pair::alone();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    assert_eq!(two.connect().value("SELECT v FROM t1 WHERE id = 1"), "old");
    // The test's servers lose what wasn't flushed.
    one.connect()
        .must("SET synchronous_commit = on; UPDATE t0 SET v = 'new' WHERE id = 1");
    for round in 1..3 {
        pair.own().stop();
        soon("unready", || {
            get(&one, "/readyz").0 == 503 && get(&two, "/readyz").0 == 503
        });
        pair.own().restart();
        soon("ready again", || {
            get(&one, "/readyz").0 == 200 && get(&two, "/readyz").0 == 200
        });
        let (mut writer, mut reader) = (one.connect(), two.connect());
        assert_eq!(reader.value("SELECT v FROM t0 WHERE id = 1"), "new");
        assert_eq!(
            reader.value(&format!("SELECT v FROM t{round} WHERE id = 1")),
            "old"
        );
        writer.must(&format!("UPDATE t{round} SET v = 'new' WHERE id = 1"));
        assert_eq!(
            reader.value(&format!("SELECT v FROM t{round} WHERE id = 1")),
            "new"
        );
        writer.must(&format!("ALTER TABLE t{round} ADD COLUMN w int DEFAULT 3"));
        assert_eq!(
            reader
                .must(&format!("SELECT * FROM t{round} WHERE id = 1"))
                .rows(),
            [["1", "new", "3"]]
        );
    }
}

/// A replica whose line to fresh is cut again and again, and clients of both that go on.
#[test]
fn a_cut_line_makes_nothing_stale() {
    let pair = Pair::new();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    let (mut writer, mut reader) = (one.connect(), two.connect());
    let mut behind = pair.behind();
    for table in 0..12 {
        let question = format!("SELECT v FROM t{table} WHERE id = 1");
        assert_eq!(reader.value(&question), "old");
        behind.must("SELECT count(pg_terminate_backend(backend)) FROM previewpg.replica");
        writer.must(&format!("UPDATE t{table} SET v = 'new' WHERE id = 1"));
        assert_eq!(reader.value(&question), "new", "t{table}");
        behind.must("SELECT count(pg_terminate_backend(backend)) FROM previewpg.replica");
        writer.must(&format!("ALTER TABLE t{table} RENAME v TO w"));
        assert_eq!(
            reader.value(&format!("SELECT w FROM t{table} WHERE id = 1")),
            "new",
            "t{table}"
        );
    }
    assert!(!one.stderr().contains("panicked") && !two.stderr().contains("panicked"));
}

/// A replica that can't get its line back tells its clients so, and doesn't guess.
#[test]
fn without_a_line_nothing_is_planned() {
    let pair = Pair::alone();
    let (one, two) = (pair.configuration.serve(), pair.configuration.serve());
    let (mut writer, mut reader) = (one.connect(), two.connect());
    assert_eq!(reader.value("SELECT v FROM t1 WHERE id = 1"), "old");
    // The owner may log in no more; sessions of the app role go on.
    let mut behind = pair.behind();
    behind.must("ALTER ROLE postgres NOLOGIN");
    behind.must("SELECT count(pg_terminate_backend(backend)) FROM previewpg.replica");
    soon("unready", || get(&two, "/readyz").0 == 503);
    soon("the lease is told of", || {
        get(&two, "/readyz").1.contains("lease: ")
    });
    assert_eq!(metric(&two, "previewpg_lease_valid"), 0.0);
    reader.must("SHOW server_version; BEGIN; ROLLBACK");
    let began = Instant::now();
    let request = Request {
        sql: "SELECT v FROM t1 WHERE id = 1".to_owned(),
        ..Request::default()
    };
    reader.start(Protocol::Simple, request);
    let answer = reader.poll(Duration::from_secs(60)).expect("an answer");
    assert_eq!(answer.sqlstate(), Some("08006"), "{answer:?}");
    assert!(began.elapsed() > Duration::from_secs(10));
    behind.must("ALTER ROLE postgres LOGIN");
    writer.must("UPDATE t1 SET v = 'new' WHERE id = 1");
    soon("ready again", || get(&two, "/readyz").0 == 200);
    assert_eq!(two.connect().value("SELECT v FROM t1 WHERE id = 1"), "new");
}

/// Replicas that come and go while others write.
#[test]
fn a_replica_that_starts_in_the_middle_knows_what_was_written() {
    let pair = Pair::new();
    let one = pair.configuration.serve();
    let mut writer = one.connect();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            for _ in 0..4 {
                let replica = pair.configuration.serve();
                let mut reader = replica.connect();
                let mut behind = pair.behind();
                for _ in 0..20 {
                    // What fresh itself says was announced, is seen.
                    let last = behind.value(
                        "SELECT coalesce(max(substr(c.relname, 2)::int), -1) FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid JOIN previewpg.dirty d ON d.upper = c.oid WHERE c.relname ~ '^t[0-9]+$'",
                    );
                    let last: i32 = last.parse().unwrap();
                    if last > 0 {
                        let table = last - 1;
                        assert_eq!(reader.value(&format!("SELECT v FROM t{table} WHERE id = 1")), "new");
                    }
                }
            }
        });
        for table in 0..TABLES {
            writer.must(&format!("UPDATE t{table} SET v = 'new' WHERE id = 1"));
            std::thread::sleep(Duration::from_millis(60));
        }
        starting.join().unwrap();
    });
    soon("those that left are counted no more", || {
        metric(&one, "previewpg_replicas") == 1.0
    });
}
