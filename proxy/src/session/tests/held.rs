//! What keeps names from coming to mean something else: held, said to be sent unheld, or looked for.

use std::collections::HashSet;
use std::sync::Arc;

use super::machine::{BUILTINS, Both, error, query, ready, tags};
use super::support::{say, store};
use crate::catalog::store::Changing;
use crate::session::conversation::Asked;
use crate::wire::{TransactionStatus, backend, frontend};

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
    let batch = |text: &str| {
        say(|out| {
            frontend::parse(b"", text.as_bytes(), [].into_iter(), out).unwrap();
            frontend::bind(b"", b"", &[], out).unwrap();
            frontend::execute(b"", 0, out).unwrap();
        })
    };
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
    assert_eq!((both.sent().as_str(), unheld.processes()), ("Q", vec![]));
    both.fresh(&ready(TransactionStatus::Idle));

    both.client(&query("SELECT a FROM mine"));
    assert_eq!((both.sent().as_str(), unheld.processes()), ("Q", vec![1]));
    both.fresh(&begins());
    assert_eq!(unheld.processes(), [0; 0]);
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
    assert_eq!(unheld.processes(), [1]);
    assert!(unheld.have_locked(&HashSet::from([(1, 7)])), "one of two");
    both.fresh(&say(backend::bind_complete));
    assert_eq!(unheld.processes(), [0; 0]);
    both.fresh(&ready(TransactionStatus::Idle));

    // What doesn't just return rows is held.
    both.client(&query("INSERT INTO other SELECT a FROM mine"));
    assert_eq!(
        (both.sent().as_str(), unheld.processes()),
        ("PBEPBDECS", vec![])
    );
    both.fresh(&error("42703"));
    both.fresh(&ready(TransactionStatus::Idle));

    // The session's own change of the schema is nothing to wait for, and a read that fails is over.
    both.client(&query("SELECT b FROM mine"));
    assert_eq!((both.sent().as_str(), unheld.processes()), ("Q", vec![1]));
    both.fresh(&error("42703"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(unheld.processes(), [0; 0]);
    both.client(&query("SELECT a FROM mine"));
    drop(both);
    assert_eq!(unheld.processes(), [0; 0]);
}

#[test]
fn an_execute_reads_what_it_was_prepared_for() {
    let store = store(BUILTINS, &["mine"]);
    let mut both = Both::over(Arc::clone(&store));
    both.client(&query("PREPARE p AS SELECT a FROM mine"));
    both.sent();
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::no_data(out);
        backend::command_complete(b"PREPARE", out).unwrap();
        backend::no_data(out);
        backend::close_complete(out);
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    both.client(&query("EXECUTE p"));
    assert_eq!(
        (both.sent().as_str(), store.unheld.processes()),
        ("CSQ", vec![1])
    );
    both.fresh(&say(backend::close_complete));
    both.fresh(&ready(TransactionStatus::Idle));
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(store.unheld.processes(), [0; 0]);
    let _changing = Changing::new(&store);
    both.client(&query("EXECUTE p"));
    assert_eq!(both.sent(), "PBEPBDECS");
}

#[test]
fn nobody_hears_the_rows_of_a_read_that_was_overtaken() {
    for batch in [false, true] {
        let store = store(BUILTINS, &["mine"]);
        let mut both = Both::over(Arc::clone(&store));
        let (asks, answers): (Vec<u8>, Vec<u8>) = match batch {
            false => (query("SELECT a FROM mine"), begins()),
            true => (
                say(|out| {
                    frontend::parse(b"", b"SELECT a FROM mine", [].into_iter(), out).unwrap();
                    frontend::bind(b"", b"", &[], out).unwrap();
                    frontend::execute(b"", 0, out).unwrap();
                    frontend::sync(out);
                }),
                say(|out| {
                    backend::parse_complete(out);
                    backend::bind_complete(out);
                }),
            ),
        };
        both.client(&asks);
        store.unheld.overtake();
        let mut rows = answers;
        rows.extend(say(|out| backend::data_row(&[], out).unwrap()));
        both.fresh(&rows);
        assert!(!both.heard().contains('D'));
        let broken = both.0.take_broken().expect("it is ended");
        assert_eq!(broken.report().sqlstate(), b"40001");
    }
}
