//! The conversation as a value: bytes in, bytes and questions out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::support::{TestPlanner, say, store};
use crate::admin::metrics::Metrics;
use crate::catalog::store::Store;
use crate::session::conversation::{Asked, Common, Conversation, FAILING};
use crate::session::planner::Readings;
use crate::wire::frame::Limits;
use crate::wire::frontend::{self, Subject};
use crate::wire::report::Report;
use crate::wire::{TransactionStatus, backend};

pub(super) const LOGIN: &[u8] = br#"{"path": ["pg_catalog", "public"], "settings": {}, "timeout": 0, "default_isolation": "read committed", "isolation": "read committed"}"#;

pub(super) const BUILTINS: &str = r#"[["now", "s", false], ["count", "i", true]]"#;

/// A conversation without its two sides.
pub(super) struct Both(pub(super) Conversation);

impl Both {
    /// A session whose names are known and whose greeting was said.
    pub(super) fn new() -> Self {
        Self::over(store(BUILTINS, &["orig", "t"]))
    }

    /// The same, with this catalog.
    pub(super) fn over(store: Arc<Store>) -> Self {
        let common = Common {
            readings: Readings::new(Arc::new(TestPlanner::default())),
            store,
            metrics: Arc::new(Metrics::new()),
        };
        let mut both = Self(Conversation::new(
            Arc::new(common),
            Bytes::from_static(b"hello"),
            &[],
            Limits::default(),
            Some(1),
            false,
        ));
        assert_eq!(both.sent(), "PBES");
        assert_eq!(both.heard(), "", "nothing before the names are known");
        both.fresh(&say(|out| {
            backend::parse_complete(out);
            backend::bind_complete(out);
            backend::data_row(&[Some(LOGIN)], out).unwrap();
            backend::command_complete(b"SELECT 1", out).unwrap();
            backend::ready_for_query(TransactionStatus::Idle, out);
        }));
        assert_eq!(&both.0.to_client.split()[..], b"hello");
        both
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from(bytes);
        self.0.client(&mut buffer);
        buffer
    }

    pub(super) fn fresh(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        self.0.fresh(&mut buffer);
        assert!(buffer.is_empty() || !self.0.wants_fresh());
    }

    /// Everybody was told that the schema is about to change.
    pub(super) fn warned(&mut self) {
        assert!(matches!(self.0.next_asked(), Some(Asked::Changing(_))));
        self.0.told();
    }

    /// The tags of what was sent since.
    pub(super) fn sent(&mut self) -> String {
        tags(&self.0.flight.out.split())
    }

    pub(super) fn heard(&mut self) -> String {
        tags(&self.0.to_client.split())
    }
}

pub(super) fn tags(mut bytes: &[u8]) -> String {
    let mut tags = String::new();
    while let [tag, a, b, c, d, ..] = bytes {
        tags.push(char::from(*tag));
        bytes = &bytes[1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
    }
    tags
}

pub(super) fn ready(status: TransactionStatus) -> Vec<u8> {
    say(|out| backend::ready_for_query(status, out))
}

pub(super) fn query(text: &str) -> Vec<u8> {
    say(|out| frontend::query(text.as_bytes(), out).unwrap())
}

pub(super) fn error(code: &'static str) -> Vec<u8> {
    Report::error(code, "no").error_frame().to_vec()
}

#[test]
fn a_sync_with_nothing_to_synchronize_costs_no_round_trip() {
    let mut both = Both::new();
    both.client(&say(frontend::sync));
    assert_eq!((both.sent().as_str(), both.heard().as_str()), ("", "Z"));
}

#[test]
fn frames_that_nobody_looks_at_pass_in_pieces() {
    let mut both = Both::new();
    both.client(&query("SELECT 1"));
    assert_eq!(both.sent(), "Q");
    let row = say(|out| backend::data_row(&[Some(&[b'x'; 1000])], out).unwrap());
    let (first, rest) = row.split_at(700);
    both.fresh(first);
    assert_eq!(both.0.to_client.split().len(), 700);
    both.client(&say(frontend::sync));
    assert_eq!(
        both.0.to_client.len(),
        0,
        "nothing of ours inside of a frame"
    );
    both.fresh(rest);
    assert_eq!(both.0.to_client.split().len(), row.len() - 700);
}

#[test]
fn the_signal_is_swallowed_and_ready_waits_for_the_publication() {
    let mut both = Both::new();
    both.client(&query("CREATE TABLE x (a int)"));
    assert_eq!(both.sent(), "", "others are told first");
    both.warned();
    assert_eq!(both.sent(), "Q");
    let mut signal = BytesMut::new();
    Report::new("INFO", "PPG01", "previewpg").write_notice(&mut signal);
    both.fresh(&signal);
    both.fresh(&say(|out| {
        backend::command_complete(b"CREATE TABLE", out).unwrap()
    }));
    assert_eq!(both.heard(), "C");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(
        both.heard(),
        "",
        "the client isn't told before everybody else can know"
    );
    assert!(matches!(both.0.next_asked(), Some(Asked::Reload)));
    let left = both.client(&query("SELECT * FROM x"));
    assert!(!left.is_empty(), "and what it says meanwhile waits");
    both.0.told();
    assert_eq!(both.heard(), "Z");
    both.client(&left);
    assert_eq!(both.sent(), "PBECCS", "its own catalog is asked for first");
}

#[test]
fn what_a_client_has_heard_is_not_said_again() {
    let mut both = Both::over(store(BUILTINS, &["mine"]));
    both.client(&query("SELECT 1; SELECT b FROM mine"));
    assert_eq!(both.sent(), "PBDEPBEPBDECS");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::row_description(&[], out).unwrap();
        backend::data_row(&[], out).unwrap();
        backend::command_complete(b"SELECT 1", out).unwrap();
        backend::parse_complete(out);
    }));
    assert_eq!(both.heard(), "TDC");
    both.fresh(&error("PPG04"));
    both.fresh(&ready(TransactionStatus::Idle));
    assert!(both.0.next_asked().is_none());
    both.client(b"");
    assert_eq!((both.heard().as_str(), both.sent().as_str()), ("EZ", ""));
}

#[test]
fn what_is_under_way_may_give_a_name_its_meaning() {
    let mut both = Both::new();
    both.client(&query("SELECT 1"));
    assert_eq!(both.sent(), "Q");
    both.client(&query("SELECT a FROM made"));
    assert_eq!(both.sent(), "", "its answer first");
    let mut signal = BytesMut::new();
    Report::new("INFO", "PPG01", "previewpg").write_notice(&mut signal);
    both.fresh(&signal);
    both.fresh(&ready(TransactionStatus::Block));
    both.client(b"");
    assert_eq!(both.sent(), "PBECCS", "and then the catalog");
}

#[test]
fn inside_a_block_nothing_is_published() {
    let mut both = Both::new();
    both.client(&query("BEGIN; CREATE TABLE x (a int)"));
    both.warned();
    let mut signal = BytesMut::new();
    Report::new("INFO", "PPG01", "previewpg").write_notice(&mut signal);
    both.sent();
    both.fresh(&signal);
    both.fresh(&ready(TransactionStatus::Block));
    assert_eq!(both.heard(), "Z");
    assert!(both.0.next_asked().is_none());
}

#[test]
fn dirty_marks_come_before_anything_is_sent() {
    let mut both = Both::new();
    both.client(&query("UPDATE orig SET v = 'x'"));
    assert_eq!(both.sent(), "");
    assert!(matches!(both.0.next_asked(), Some(Asked::Mark(relations)) if relations == [1]));
    both.0.told();
    // Original (for its errors), its columns, the copy-up, the statement again, the unnamed statement's end.
    assert_eq!(both.sent(), "PDPBEPBECS");
    both.client(&query("UPDATE orig SET v = 'x'"));
    assert!(both.0.next_asked().is_none(), "once for each relation");
}

#[test]
fn what_fresh_says_was_written_is_made_known_before_anything_else_is_heard() {
    let mut both = Both::new();
    both.client(&query("SELECT 1"));
    both.sent();
    let written = |oid: u32| {
        let mut mark = BytesMut::new();
        Report::new("INFO", "PPG02", "previewpg")
            .detail(oid.to_string())
            .write_notice(&mut mark);
        mark
    };
    let mut buffer = BytesMut::new();
    buffer.extend_from_slice(&written(7));
    buffer.extend_from_slice(&say(|out| {
        backend::command_complete(b"INSERT 0 1", out).unwrap();
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    both.0.fresh(&mut buffer);
    assert!(!both.0.wants_fresh() && !buffer.is_empty());
    assert_eq!(both.heard(), "", "it hears of its commit before others can");
    assert_eq!(both.0.next_written(), [7]);
    assert!(both.0.next_written().is_empty(), "asked twice");
    assert!(!both.0.wants_fresh() && !both.0.is_idle());
    both.0.written_told();
    both.0.fresh(&mut buffer);
    assert_eq!(both.heard(), "CZ");
    // Once in a session for each relation.
    both.client(&query("SELECT 1"));
    both.fresh(&written(7));
    assert!(both.0.next_written().is_empty());
}

#[test]
fn without_a_lease_nothing_is_planned_and_what_is_lost_ends_the_session() {
    let mut both = Both::new();
    let lease = Arc::clone(&both.0.common.store.shared.lease);
    lease.renounce();
    both.client(&query("UPDATE orig SET v = 'x'"));
    assert_eq!(both.sent(), "");
    assert!(matches!(both.0.next_asked(), Some(Asked::Current)));
    lease.extend(std::time::Instant::now() + std::time::Duration::from_secs(60));
    both.0.told();
    assert!(matches!(both.0.next_asked(), Some(Asked::Mark(_))));
    let mut other = Both::new();
    other.0.common.store.shared.lease.renounce();
    other.client(&query("SELECT * FROM orig"));
    other.0.lost(crate::session::server::Lost);
    let broken = other.0.take_broken().map(|broken| broken.report());
    assert_eq!(
        broken.map(|report| (report.sqlstate().to_vec(), report.is_fatal())),
        Some((b"08006".to_vec(), true))
    );
}

#[test]
fn a_call_by_oid_waits_for_names() {
    let mut both = Both::new();
    let lease = Arc::clone(&both.0.common.store.shared.lease);
    lease.renounce();
    // FunctionCall of now(), without arguments.
    let call = b"F\0\0\0\x0e\0\0\x05\x13\0\0\0\0\0\0";
    let left = both.client(call);
    assert_eq!((both.sent().as_str(), &left[..]), ("", &call[..]));
    assert!(matches!(both.0.next_asked(), Some(Asked::Current)));
    lease.extend(std::time::Instant::now() + std::time::Duration::from_secs(60));
    both.0.told();
    both.client(&left);
    assert_eq!(both.sent(), "F");
}

#[test]
fn a_transaction_that_was_prepared_elsewhere_may_have_changed_the_schema() {
    let mut both = Both::new();
    both.client(&query("COMMIT PREPARED 'x'"));
    both.warned();
    both.sent();
    both.fresh(&say(|out| {
        backend::command_complete(b"COMMIT PREPARED", out).unwrap();
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    assert_eq!(both.heard(), "C");
    assert!(matches!(both.0.next_asked(), Some(Asked::Reload)));
    both.0.told();
    assert_eq!(both.heard(), "Z");
}

#[test]
fn an_error_of_ours_skips_what_the_client_sends_up_to_its_sync() {
    let mut both = Both::new();
    let batch = say(|out| {
        frontend::parse(b"", b"SELECT 1 AS forbidden", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
    });
    both.client(&batch);
    // The original, for PostgreSQL's own errors; what fails in its place; the rest, which PostgreSQL drops.
    assert_eq!(both.sent(), "PCPBE");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::close_complete(out);
    }));
    both.fresh(&error("42601"));
    assert_eq!(both.heard(), "E");
    both.client(&batch);
    both.client(&query("SELECT 1"));
    assert_eq!(both.sent(), "", "PostgreSQL would drop it");
    both.client(&say(frontend::sync));
    assert_eq!(both.sent(), "S");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "Z");
}

#[test]
fn a_sync_that_a_failed_copy_swallowed_is_not_one() {
    let mut both = Both::new();
    both.client(&say(|out| {
        frontend::parse(b"", b"COPY t FROM STDIN", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    assert_eq!(both.sent(), "PBES");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        // CopyInResponse: text, no columns.
        out.extend_from_slice(b"G\0\0\0\x07\0\0\0");
    }));
    assert_eq!(both.heard(), "12G");
    both.client(b"d\0\0\0\x05x");
    assert_eq!(both.sent(), "d");
    both.fresh(&error("22P02"));
    assert_eq!(both.heard(), "E");
    both.client(&say(|out| {
        out.extend_from_slice(b"c\0\0\0\x04");
        frontend::sync(out);
    }));
    assert_eq!(both.sent(), "S", "fresh skips to it");
    assert_eq!(both.heard(), "", "fresh answers it");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "Z");
}

#[test]
fn execute_does_not_run_a_parsed_statement_past_its_plan() {
    let mut both = Both::new();
    both.client(&say(|out| {
        for (name, text) in [
            ("s", "SELECT id FROM orig"),
            ("t", "SELECT 1"),
            ("u", "BEGIN"),
        ] {
            let (name, text) = (name.as_bytes(), text.as_bytes());
            frontend::parse(name, text, [].into_iter(), out).unwrap();
        }
        frontend::sync(out);
    }));
    both.fresh(&columns(23));
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::parse_complete(out);
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    both.sent();
    for text in ["EXECUTE s", "EXPLAIN ANALYZE EXECUTE s", "EXECUTE u"] {
        both.client(&query(text));
        let sent = both.0.flight.out.split();
        let failing = sent.windows(FAILING.len()).any(|part| part == FAILING);
        assert!(failing, "{text}");
        both.fresh(&say(|out| {
            backend::close_complete(out);
            backend::parse_complete(out);
            backend::close_complete(out);
        }));
        both.fresh(&error("42601"));
        both.fresh(&ready(TransactionStatus::Idle));
    }
    both.client(&query("EXECUTE t"));
    assert_eq!(both.sent(), "Q");
}

#[test]
fn a_copy_up_in_a_pipeline_is_answered_by_nothing() {
    let mut both = Both::new();
    let parse = say(|out| {
        frontend::parse(
            b"u",
            b"UPDATE orig SET v = 'x' WHERE id = $1",
            [].into_iter(),
            out,
        )
        .unwrap()
    });
    both.client(&parse);
    assert_eq!(both.sent(), "PD", "the original is described for its types");
    let bind = say(|out| {
        frontend::bind(b"", b"u", &[Some(b"7")], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    });
    let left = both.client(&bind);
    assert_eq!(both.sent(), "H", "the types are needed now");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::parameter_description(&[23], out).unwrap();
        backend::no_data(out);
    }));
    assert_eq!(both.heard(), "1");
    assert!(both.0.next_asked().is_some());
    both.0.told();
    assert_eq!(both.sent(), "PBEB", "copy-up, then the client's own Bind");
    both.client(&left);
    assert_eq!(both.sent(), "ES");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
        backend::data_row(&[Some(b"1")], out).unwrap();
        backend::command_complete(b"SELECT 1", out).unwrap();
        backend::bind_complete(out);
        backend::command_complete(b"UPDATE 1", out).unwrap();
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    assert_eq!(both.heard(), "2CZ");
}

fn columns(type_oid: u32) -> Vec<u8> {
    let field = backend::Field {
        name: b"id",
        table: 0,
        attribute: 0,
        type_oid,
        type_size: 4,
        type_modifier: -1,
        format: 0,
    };
    say(|out| {
        backend::parse_complete(out);
        backend::parameter_description(&[], out).unwrap();
        backend::row_description(&[field], out).unwrap();
    })
}

#[test]
fn a_statement_with_other_columns_over_merged_rows_is_refused() {
    let mut both = Both::new();
    both.client(&query("SELECT id FROM orig"));
    both.0.next_asked();
    both.0.told();
    assert_eq!(both.sent(), "PDPDH", "compared before it runs");
    both.fresh(&columns(23));
    both.fresh(&columns(20));
    assert!(
        matches!(both.0.next_asked(), Some(Asked::Reload)),
        "another session may have changed the schema"
    );
    assert_eq!(both.sent(), "");
    both.0.told();
    assert_eq!(both.sent(), "PDPDH", "compared once more");
    both.fresh(&columns(23));
    both.fresh(&columns(20));
    assert!(both.0.take_broken().is_none());
    assert_eq!(
        both.sent(),
        "PCS",
        "it fails at fresh too, and a transaction with it"
    );
    assert_eq!(both.heard(), "");
    both.fresh(&error("42601"));
    let heard = both.0.to_client.split();
    let report = Report::read(crate::wire::frame::body(&heard)).unwrap();
    assert_eq!(report.sqlstate(), b"0A000");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "Z");
}

#[test]
fn what_another_session_has_outdated_is_planned_once_more() {
    let mut both = Both::new();
    both.client(&say(|out| {
        frontend::parse(b"s", b"SELECT id FROM orig", [].into_iter(), out).unwrap();
        frontend::bind(b"", b"s", &[], out).unwrap();
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    assert_eq!(both.sent(), "PDH");
    both.fresh(&columns(23));
    both.0.next_asked();
    both.0.told();
    assert_eq!(
        both.sent(),
        "PDH",
        "the client's Bind waits for the comparison"
    );
    both.fresh(&columns(23));
    both.client(&say(|out| {
        frontend::execute(b"", 0, out).unwrap();
        frontend::sync(out);
    }));
    assert_eq!(both.sent(), "BES");
    both.fresh(&say(|out| {
        backend::bind_complete(out);
        backend::command_complete(b"SELECT 0", out).unwrap();
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    assert_eq!(both.heard(), "12CZ");

    // The text is known to have the same columns now: all is sent at once, and meets another session's schema.
    both.client(&query("SELECT id FROM orig"));
    assert_eq!(both.sent(), "PDPDBECS");
    let store = Arc::clone(&both.0.common.store);
    store.publish(store.current());
    both.fresh(&columns(23));
    both.fresh(&error("42703"));
    assert_eq!(both.heard(), "", "no error of an outdated plan");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "");
    both.client(b"");
    assert_eq!(both.sent(), "PDPDBECS", "the same again");
    both.fresh(&columns(23));
    store.publish(store.current());
    both.fresh(&error("42703"));
    let heard = both.0.to_client.split();
    let report = Report::read(crate::wire::frame::body(&heard)).unwrap();
    assert_eq!(report.sqlstate(), b"40001", "but once only");
    both.fresh(&ready(TransactionStatus::Idle));
    assert_eq!(both.heard(), "Z");
}

#[test]
fn columns_are_compared_once() {
    let mut both = Both::new();
    both.client(&query("SELECT id FROM orig"));
    both.0.next_asked();
    both.0.told();
    assert_eq!(both.sent(), "PDPDH");
    both.fresh(&columns(23));
    both.fresh(&columns(23));
    assert_eq!(both.sent(), "PDPDBECS");
    both.fresh(&columns(23));
    assert_eq!(both.heard(), "", "its columns are said when it starts");
    both.fresh(&columns(23));
    both.fresh(&say(|out| {
        backend::bind_complete(out);
        backend::command_complete(b"SELECT 0", out).unwrap();
        backend::close_complete(out);
        backend::ready_for_query(TransactionStatus::Idle, out);
    }));
    assert_eq!(both.heard(), "TCZ");
    both.client(&query("SELECT id FROM orig"));
    assert_eq!(both.sent(), "PDPDBECS");
    both.fresh(&columns(23));
    both.fresh(&columns(20));
    assert!(both.0.take_broken().is_none());
    assert!(
        matches!(both.0.next_asked(), Some(Asked::Reload)),
        "what is known to be the same and isn't: planned from the catalog as it is now"
    );
    both.fresh(&say(|out| {
        backend::bind_complete(out);
        backend::data_row(&[Some(b"wrong")], out).unwrap();
        backend::command_complete(b"SELECT 1", out).unwrap();
        backend::close_complete(out);
        backend::ready_for_query(TransactionStatus::Block, out);
    }));
    assert_eq!(both.heard(), "", "no row under a wrong description");
    assert_eq!(both.sent(), "");
    both.0.told();
    both.client(b"");
    assert_eq!(both.sent(), "PDPDBECS", "the same again");
    both.fresh(&columns(23));
    both.fresh(&columns(20));
    both.fresh(&say(|out| {
        backend::bind_complete(out);
        backend::data_row(&[Some(b"wrong")], out).unwrap();
        backend::command_complete(b"SELECT 1", out).unwrap();
        backend::close_complete(out);
        backend::ready_for_query(TransactionStatus::Block, out);
    }));
    assert_eq!(both.heard(), "");
    assert_eq!(both.sent(), "PS", "and once only: the transaction fails");
    both.fresh(&error("42601"));
    let heard = both.0.to_client.split();
    let report = Report::read(crate::wire::frame::body(&heard)).unwrap();
    assert_eq!(report.sqlstate(), b"40001");
    both.fresh(&ready(TransactionStatus::Failed));
    assert_eq!(both.heard(), "Z");
    assert!(both.0.take_broken().is_none());
}

#[test]
fn malformed_frames_end_the_session_after_the_answers_before_them() {
    let mut both = Both::new();
    let mut bytes = query("SELECT 1");
    bytes.extend_from_slice(b"?\0\0\0\x04");
    let left = both.client(&bytes);
    assert!(both.0.take_broken().is_none());
    both.fresh(&ready(TransactionStatus::Idle));
    both.client(&left);
    let broken = both.0.take_broken().unwrap();
    assert_eq!(broken.report().sqlstate(), b"08P01");
}

#[test]
fn bodies_that_cannot_be_read_are_left_to_postgresql() {
    let mut both = Both::new();
    for (tag, body) in [
        (b'Q', &b"SELECT 1\0; DROP TABLE t\0"[..]),
        (b'P', b"s\0SELECT"),
        (b'B', b"\0\0\0\x05\0\0\0\0\0"),
        (b'D', b"?\0"),
        (b'E', b"\0\0\0\0\0"),
    ] {
        let mut frame = vec![tag];
        frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        frame.extend_from_slice(body);
        both.client(&frame);
        assert_eq!(&both.0.flight.out.split()[..], &frame[..]);
    }
}

#[test]
fn what_waits_is_bounded() {
    let mut both = Both::new();
    let flood = query(&format!("SELECT '{}'", "x".repeat(1000))).repeat(1000);
    let left = both.client(&flood);
    assert!(
        !left.is_empty() && both.0.flight.out.len() < 128 << 10,
        "{} bytes wait",
        both.0.flight.out.len()
    );
    both.client(&say(|out| {
        frontend::describe(Subject::Statement, b"s", out).unwrap()
    }));
}

/// Rows are passed on as they came, many at once.
#[test]
fn a_row_costs_no_allocation_on_its_way_back() {
    let rows = |count: usize| {
        say(|out| {
            for _ in 0..count {
                backend::data_row(&[Some(b"12345"), None], out).unwrap();
            }
        })
    };
    let mut both = Both::new();
    both.client(&query("SELECT id FROM orig"));
    both.0.next_asked();
    both.0.told();
    both.fresh(&columns(23));
    both.fresh(&columns(23));
    let sent = both.sent();
    assert!(sent.contains('E'), "it runs: {sent}");
    both.fresh(&say(|out| {
        backend::parse_complete(out);
        backend::bind_complete(out);
    }));
    both.heard();
    let allocations = |both: &mut Both, count: usize| {
        let mut buffer = BytesMut::from(&rows(count)[..]);
        let measured = allocation_counter::measure(|| both.0.fresh(&mut buffer));
        assert_eq!(both.heard().len(), count);
        measured.count_total
    };
    let few = allocations(&mut both, 10);
    let many = allocations(&mut both, 10_000);
    assert!(many <= few + 4, "{few} for 10 rows, {many} for 10,000");
}
