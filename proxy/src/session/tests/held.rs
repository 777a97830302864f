//! What keeps names from coming to mean something else: held, said to be sent unheld, or looked for.

use std::collections::HashSet;
use std::sync::Arc;

use super::machine::{BUILTINS, Both, LOGIN, error, query, ready, tags};
use super::support::{say, store};
use crate::catalog::store::Changing;
use crate::session::conversation::Asked;
use crate::wire::{TransactionStatus, backend, frontend};

/// Parse, Bind and Execute of a text, without a Sync.
fn batch(text: &str) -> Vec<u8> {
    say(|out| {
        frontend::parse(b"", text.as_bytes(), [].into_iter(), out).unwrap();
        frontend::bind(b"", b"", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
    })
}

#[test]
fn names_are_held_while_another_session_changes_the_schema() {
    let store = store(BUILTINS, &["mine"]);
    let mut both = Both::over(Arc::clone(&store));
    let holds = |sent: &[u8]| {
        let sent = String::from_utf8_lossy(sent).into_owned();
        sent.contains(r#"SELECT FROM "mine" AS r0 WHERE"#)
    };
    both.client(&query("SELECT a FROM mine"));
    assert_eq!(both.sent(), "Q");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "Z");

    let changing = Changing::new(&store);
    both.client(&query("SELECT a FROM mine"));
    let sent = both.0.flight.out.split();
    assert_eq!((tags(&sent).as_str(), holds(&sent)), ("PBEPBDECS", true));
    both.fresh(&error("PPG04"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "", "it is planned anew");
    assert!(matches!(both.0.next_asked(), Some(Asked::Reload)));
    both.0.told();
    both.client(b"");
    assert_eq!(tags(&both.0.flight.out.split()), "PBEPBDECS");
    both.fresh(&error("PPG04"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "EZ", "but not for ever");

    both.client(&say(|out| {
        frontend::parse(b"s", b"SELECT a FROM mine", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"s", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    let sent = both.0.flight.out.split();
    assert_eq!((tags(&sent).as_str(), holds(&sent)), ("PPBEBES", true));
    both.fresh(&error("42601"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "EZ");

    drop(changing);
    both.client(&query("SELECT a FROM mine"));
    assert_eq!(both.sent(), "Q");
}

#[test]
fn names_are_held_behind_what_may_take_its_time() {
    let mut both = Both::over(store(BUILTINS, &["mine"]));
    both.client(&batch("BEGIN"));
    both.client(&batch("SELECT a FROM mine"));
    assert_eq!(
        both.sent(),
        "PBEPBEH",
        "a BEGIN takes no time, and nobody is to wait for the client's Sync"
    );
    both.client(&batch("INSERT INTO mine VALUES (1)"));
    assert_eq!(both.sent(), "PBE", "nothing is read");
    both.client(&batch("SELECT b FROM mine"));
    assert_eq!(both.sent(), "PPBEBE");
    both.client(&batch("SELECT b FROM mine"));
    assert_eq!(both.sent(), "PBEBE", "it is prepared by now");
    both.client(&say(frontend::sync));
    both.fresh(&ready(TransactionStatus::Block));
    both.sent();

    both.client(&query("SELECT a FROM mine"));
    assert_eq!(both.sent(), "Q", "alone");
    both.fresh(&ready(TransactionStatus::Block));
    both.client(&query("BEGIN; SELECT a FROM mine"));
    assert_eq!(both.sent(), "Q");
    both.fresh(&ready(TransactionStatus::Block));
    both.client(&query("SELECT a FROM mine; SELECT b FROM mine"));
    assert_eq!(both.sent(), "PBDEPBEPBDECS");
}

#[test]
fn names_that_mean_nothing_are_looked_for_before_anything_runs() {
    let mut both = Both::over(store(BUILTINS, &[]));
    let looks = |sent: &[u8]| {
        let sent = String::from_utf8_lossy(sent).into_owned();
        sent.contains("previewpg.renamed(ARRAY['\"made\"']::pg_catalog.text[], ARRAY[]")
    };
    both.client(&query("SELECT count(*), now() FROM pg_class"));
    assert_eq!(both.sent(), "Q", "all of it means something");
    both.fresh(&ready(TransactionStatus::Idle));
    both.heard();

    // The statement is parsed, for PostgreSQL's own error; then the name is looked for; then it runs.
    both.client(&query("SELECT count(*) FROM made"));
    let sent = both.0.flight.out.split();
    assert_eq!(
        (tags(&sent).as_str(), looks(&sent)),
        ("PCPBECCPBDECS", true)
    );
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::close_complete(out);
        backend::parse_complete(out);
        backend::bind_complete(out);
    }));
    both.fresh(&error("PPG04"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "", "it is planned anew");
    assert!(matches!(both.0.next_asked(), Some(Asked::Reload)));
    both.0.told();
    both.client(b"");
    assert_eq!(both.sent(), "PCPBECCPBDECS");
    both.fresh(&error("42P01"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "EZ");

    // One that was prepared long ago is bound first, so that its relations are locked.
    both.client(&say(|out| {
        frontend::parse(b"s", b"SELECT 1 FROM made", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"s", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    let sent = both.0.flight.out.split();
    assert_eq!((tags(&sent).as_str(), looks(&sent)), ("PBCCPBECCBES", true));
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::close_complete(out);
        backend::close_complete(out);
        backend::parse_complete(out);
        backend::bind_complete(out);
    }));
    both.fresh(&error("PPG04"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "1", "only its Bind is said again");
    both.0.told();
    both.client(b"");
    assert_eq!(both.sent(), "BCCPBECCBES");
}

/// What fresh says when it begins to answer a query.
fn begins() -> Vec<u8> {
    say(|out| backend::row_description(&[], out).unwrap())
}

#[test]
fn who_changes_the_schema_knows_of_a_read_until_fresh_begins_to_answer() {
    let store = store(BUILTINS, &["mine", "other"]);
    let mut both = Both::over(Arc::clone(&store));
    let unheld = &store.unheld;
    both.client(&query("SELECT now()"));
    assert_eq!(
        (both.sent().as_str(), unheld.processes(None)),
        ("Q", vec![])
    );
    both.fresh(&ready(TransactionStatus::Idle));

    both.client(&query("SELECT a FROM mine"));
    assert_eq!(
        (both.sent().as_str(), unheld.processes(None)),
        ("Q", vec![1])
    );
    both.fresh(&begins());
    assert_eq!(unheld.processes(None), [0; 0]);
    both.fresh(&ready(TransactionStatus::Idle));

    // In a batch it has begun when its Bind is answered.
    both.client(&say(|out| {
        frontend::parse(b"s", b"SELECT a FROM mine, other", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"s", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    assert_eq!(
        both.sent(),
        "PBES",
        "a client that says Sync needs no Flush"
    );
    both.fresh(&say(backend::parse_complete));
    assert_eq!(unheld.processes(None), [1]);
    unheld.have_locked(&HashSet::from([(1, 7)]));
    assert_eq!(unheld.processes(None), [1], "one of two");
    both.fresh(&say(backend::bind_complete));
    assert_eq!(unheld.processes(None), [0; 0]);
    both.fresh(&ready(TransactionStatus::Idle));

    // What doesn't just return rows is held.
    both.client(&query("INSERT INTO other SELECT a FROM mine"));
    assert_eq!(
        (both.sent().as_str(), unheld.processes(None)),
        ("PBEPBDECS", vec![])
    );
    both.fresh(&error("42703"));
    both.fresh(&ready(TransactionStatus::Idle));

    // A read that fails is over.
    both.client(&query("SELECT b FROM mine"));
    assert_eq!(
        (both.sent().as_str(), unheld.processes(None)),
        ("Q", vec![1])
    );
    both.fresh(&error("42703"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(unheld.processes(None), [0; 0]);
    both.client(&query("SELECT a FROM mine"));
    drop(both);
    assert_eq!(unheld.processes(None), [0; 0]);
}

/// A PREPARE has run.
fn prepared(both: &mut Both, text: &str) {
    both.client(&query(text));
    while both.0.next_asked().is_some() {
        both.0.told();
    }
    both.sent();
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::no_data(out);
        backend::command_complete(b"PREPARE", out).unwrap();
        backend::no_data(out);
    }));
    assert_eq!(both.sent(), "CS");
    both.fresh(&say(backend::close_complete));
    both.fresh(&ready(TransactionStatus::Idle));
}

#[test]
fn an_execute_changes_what_it_was_prepared_for() {
    let mut both = Both::over(store(BUILTINS, &["mine"]));
    prepared(&mut both, "PREPARE p AS SELECT now() AS changes_schema");
    both.client(&query("EXECUTE p"));
    assert_eq!(both.sent(), "PBECCS", "the search path may be another");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::data_row(&[Some(LOGIN)], out).unwrap();
        backend::command_complete(b"SELECT 1", out).unwrap();
        backend::close_complete(out);
        backend::close_complete(out);
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    both.warned();
}

#[test]
fn an_execute_reads_what_it_was_prepared_for() {
    let store = store(BUILTINS, &["mine"]);
    let mut both = Both::over(Arc::clone(&store));
    prepared(&mut both, "PREPARE p AS SELECT a FROM mine");
    both.client(&query("EXECUTE p"));
    assert_eq!(
        (both.sent().as_str(), store.unheld.processes(None)),
        ("Q", vec![1])
    );
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(store.unheld.processes(None), [0; 0]);
    let _changing = Changing::new(&store);
    both.client(&query("EXECUTE p"));
    assert_eq!(both.sent(), "PBEPBDECS");
}

#[test]
fn nobody_hears_the_rows_of_a_read_that_was_overtaken() {
    for in_batch in [false, true] {
        let store = store(BUILTINS, &["mine"]);
        let mut both = Both::over(Arc::clone(&store));
        let (asks, answers): (Vec<u8>, Vec<u8>) = match in_batch {
            false => (query("SELECT a FROM mine"), begins()),
            true => (
                [batch("SELECT a FROM mine"), say(frontend::sync)].concat(),
                say(|out| {
                    backend::parse_complete(out);
                    backend::bind_complete(out);
                }),
            ),
        };
        both.client(&asks);
        store.unheld.overtake(None);
        let mut rows = answers;
        rows.extend(say(|out| backend::data_row(&[], out).unwrap()));
        both.fresh(&rows);
        assert!(!both.heard().contains('D'));
        let broken = both.0.take_broken().expect("it is ended");
        assert_eq!(broken.report().sqlstate(), b"40001");
    }
}

#[test]
fn nothing_is_written_into_a_message_that_passes_in_pieces() {
    let store = store(BUILTINS, &["mine", "other"]);
    let mut both = Both::over(Arc::clone(&store));
    both.client(&say(|out| {
        let insert = b"INSERT INTO other VALUES ($1)";
        frontend::parse(b"insert", insert, [25].into_iter(), out).unwrap();
        frontend::sync(out);
    }));
    both.fresh(&say(backend::parse_complete));
    both.fresh(&ready(TransactionStatus::Idle));
    both.sent();
    let value = vec![b'x'; 100_000];
    let large = say(|out| frontend::bind(b"", b"insert", &[Some(&value)], out).unwrap());
    let mut said = batch("SELECT a FROM mine");
    said.extend(&large[..80_000]);
    both.client(&said);
    let mut sent = both.0.flight.out.split();
    both.client(&large[80_000..]);
    sent.extend(both.0.flight.out.split());
    assert_eq!(tags(&sent), "PBEHB", "the whole Bind behind the Flush");
    assert!(sent.ends_with(&large));
}

#[test]
fn what_is_parsed_when_it_is_executed_is_held() {
    let store = store(BUILTINS, &["mine"]);
    let mut both = Both::over(Arc::clone(&store));
    prepared(&mut both, "PREPARE p AS SELECT a FROM mine");
    for text in [
        "EXECUTE p",
        "COPY mine TO STDOUT",
        "COPY (SELECT a FROM mine) TO STDOUT",
        "EXPLAIN ANALYZE EXECUTE p",
    ] {
        both.client(&batch(text));
        let sent = both.0.flight.out.split();
        assert!(
            String::from_utf8_lossy(&sent).contains(r#"SELECT FROM "mine" AS r0 WHERE"#),
            "{text}"
        );
        assert_eq!(store.unheld.processes(None), [0; 0], "{text}");
        both.client(&say(frontend::sync));
        both.fresh(&error("57014"));
        both.fresh(&ready(TransactionStatus::Idle));
        both.sent();
    }
    // It keeps the rows that it reads.
    both.client(&query("CREATE TABLE kept AS EXECUTE p"));
    assert!(both.sent().starts_with("PBEPB"));
}

#[test]
fn a_read_that_failed_is_nothing_to_wait_for() {
    let store = store(BUILTINS, &["mine"]);
    let mut both = Both::over(Arc::clone(&store));
    let mut said = batch("SELECT nothing FROM mine");
    said.extend(say(frontend::sync));
    said.extend(batch("SELECT 1"));
    both.client(&said);
    assert_eq!(store.unheld.processes(None), [1]);
    both.fresh(&error("42703"));
    assert_eq!(store.unheld.processes(None), [0; 0]);
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "EZ");
}

#[test]
fn an_answer_without_a_lease_waits_until_others_changes_are_known() {
    for overtaken in [false, true] {
        let store = store(BUILTINS, &["mine"]);
        let mut both = Both::over(Arc::clone(&store));
        both.client(&query("SELECT a FROM mine"));
        store.shared.lease.renounce();
        both.fresh(&begins());
        assert!(matches!(both.0.next_asked(), Some(Asked::Current)));
        assert!(!both.0.wants_fresh(), "no row is looked at");
        if overtaken {
            store.unheld.overtake(None);
        }
        let later = std::time::Instant::now() + std::time::Duration::from_secs(60);
        store.shared.lease.extend(later);
        both.0.told();
        assert_eq!(both.0.take_broken().is_some(), overtaken);
        assert!(overtaken || both.0.wants_fresh());
        assert_eq!(store.unheld.processes(None), [0; 0]);
    }
}
