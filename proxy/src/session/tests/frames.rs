//! Recorded conversations, byte for byte.

use std::sync::Arc;

use bytes::BytesMut;

use super::support::{Preview, TestPlanner, say, show};
use crate::wire::frontend::{self, Subject};

/// Small words for messages.
#[derive(Debug, Clone, Copy)]
enum Say {
    Q(&'static str),
    P(&'static str, &'static str, &'static [u32]),
    /// Portal, statement, parameters as text.
    B(&'static str, &'static str, &'static [Option<&'static str>]),
    /// The same, all results in binary.
    Bb(&'static str, &'static str, &'static [Option<&'static str>]),
    Ds(&'static str),
    Dp(&'static str),
    E(&'static str, i32),
    Cs(&'static str),
    Cp(&'static str),
    S,
    H,
    D(&'static str),
    CopyDone,
    CopyFail,
}
use Say::*;

fn write(messages: &[Say]) -> Vec<u8> {
    say(|out| messages.iter().for_each(|message| put(*message, out)))
}

fn put(message: Say, out: &mut BytesMut) {
    match message {
        Q(text) => frontend::query(text.as_bytes(), out).unwrap(),
        P(name, text, types) => {
            frontend::parse(name.as_bytes(), text.as_bytes(), types.iter().copied(), out).unwrap()
        }
        B(portal, name, values) => {
            let values: Vec<_> = values
                .iter()
                .map(|value| value.map(str::as_bytes))
                .collect();
            frontend::bind(portal.as_bytes(), name.as_bytes(), &values, out).unwrap();
        }
        Bb(portal, name, values) => {
            let start = out.len();
            put(B(portal, name, values), out);
            // One result format, binary, in place of none.
            out.truncate(out.len() - 2);
            out.extend_from_slice(&[0, 1, 0, 1]);
            let length = u32::try_from(out.len() - start - 1).unwrap().to_be_bytes();
            out[start + 1..start + 5].copy_from_slice(&length);
        }
        Ds(name) => frontend::describe(Subject::Statement, name.as_bytes(), out).unwrap(),
        Dp(name) => frontend::describe(Subject::Portal, name.as_bytes(), out).unwrap(),
        E(portal, rows) => frontend::execute(portal.as_bytes(), rows, out).unwrap(),
        Cs(name) => frontend::close(Subject::Statement, name.as_bytes(), out).unwrap(),
        Cp(name) => frontend::close(Subject::Portal, name.as_bytes(), out).unwrap(),
        S => frontend::sync(out),
        H => frontend::flush(out),
        D(data) => frontend::copy_data(data.as_bytes(), out).unwrap(),
        CopyDone => frontend::copy_done(out),
        CopyFail => frontend::copy_fail(b"no more", out).unwrap(),
    }
}

/// Name, messages, how many ReadyForQuery come.
const CONVERSATIONS: &[(&str, &[Say], usize)] = &[
    ("a simple query", &[Q("SELECT 1 AS one")], 1),
    (
        "several statements",
        &[Q("SELECT 1; SELECT 'a'; ; SELECT 2")],
        1,
    ),
    ("nothing", &[Q(""), Q(" ; ")], 2),
    (
        "queries without waiting",
        &[Q("SELECT 1"), Q("SELECT nothing"), Q("SELECT 3")],
        3,
    ),
    ("rows", &[Q("SELECT * FROM plain ORDER BY id")], 1),
    (
        "prepared",
        &[
            P("s", "SELECT $1::int + 1", &[]),
            Ds("s"),
            S,
            B("", "s", &[Some("4")]),
            Dp(""),
            E("", 0),
            S,
            Cs("s"),
            S,
        ],
        3,
    ),
    (
        "an error in the middle of a pipeline",
        &[
            P("", "SELECT 1", &[]),
            B("", "", &[]),
            E("", 0),
            P("", "SELECT nothing", &[]),
            B("", "", &[]),
            E("", 0),
            S,
            Q("SELECT 2"),
        ],
        2,
    ),
    (
        "a query inside a failed pipeline is skipped",
        &[
            P("", "SELECT nothing", &[]),
            Q("SELECT 1"),
            S,
            Q("SELECT 2"),
        ],
        2,
    ),
    (
        "a portal in parts",
        &[
            Q("BEGIN"),
            P("", "SELECT * FROM plain ORDER BY id LIMIT 5", &[]),
            B("c", "", &[]),
            E("c", 2),
            E("c", 2),
            E("c", 2),
            Cp("c"),
            S,
            Q("COMMIT"),
        ],
        3,
    ),
    (
        "flush",
        &[P("", "SELECT 1", &[]), H, B("", "", &[]), H, E("", 0), H, S],
        1,
    ),
    (
        "COPY in",
        &[
            Q("COPY plain FROM STDIN"),
            D("90001\ta\n"),
            D("90002\tb\n"),
            CopyDone,
            Q("DELETE FROM plain WHERE id > 90000"),
        ],
        2,
    ),
    (
        "COPY in that the client fails",
        &[
            Q("COPY plain FROM STDIN"),
            D("90001\ta\n"),
            CopyFail,
            Q("SELECT count(*) FROM plain"),
        ],
        2,
    ),
    (
        "COPY in that the server fails",
        &[
            Q("COPY plain FROM STDIN"),
            D("1\ta\n"),
            D("2\tb\n"),
            CopyDone,
            Q("SELECT count(*) FROM plain"),
        ],
        2,
    ),
    (
        "COPY in, extended, with libpq's second Sync",
        &[
            P("", "COPY plain FROM STDIN", &[]),
            B("", "", &[]),
            E("", 0),
            S,
            D("90001\ta\n"),
            CopyDone,
            S,
            Q("DELETE FROM plain WHERE id > 90000"),
        ],
        2,
    ),
    (
        "COPY out",
        &[Q(
            "COPY (SELECT * FROM plain ORDER BY id LIMIT 100) TO STDOUT",
        )],
        1,
    ),
    (
        "a failed block",
        &[
            Q("BEGIN"),
            Q("SELECT nothing"),
            Q("SELECT 1"),
            Q("ROLLBACK"),
            Q("SELECT 1"),
        ],
        5,
    ),
    (
        "notices",
        &[Q("DO $$ BEGIN RAISE NOTICE 'hello'; END $$"), Q("COMMIT")],
        2,
    ),
    (
        "settings",
        &[
            Q("SET TimeZone = 'Asia/Tokyo'"),
            Q("SET application_name = 'x'"),
            Q("RESET ALL"),
        ],
        3,
    ),
    (
        "a second statement in a Parse",
        &[P("", "SELECT 1; SELECT 2", &[]), S],
        1,
    ),
    (
        "a name twice",
        &[
            P("s", "SELECT 1", &[]),
            S,
            P("s", "SELECT 2", &[]),
            S,
            B("", "s", &[]),
            E("", 0),
            S,
        ],
        3,
    ),
    (
        "unknown names",
        &[
            B("", "nobody", &[]),
            S,
            E("nobody", 0),
            S,
            Dp("nobody"),
            S,
            Cs("nobody"),
            Cp("nobody"),
            S,
        ],
        4,
    ),
    // From here on the planner has something to do.
    ("a merged read", &[Q("SELECT * FROM orig ORDER BY id")], 1),
    (
        "merged between others",
        &[Q("SELECT 1; SELECT count(*) FROM orig; SELECT 2")],
        1,
    ),
    (
        "the unnamed statement after a merged read",
        &[
            P("", "SELECT 7", &[]),
            S,
            Q("SELECT count(*) FROM orig"),
            B("", "", &[]),
            S,
        ],
        3,
    ),
    (
        "an error of the original",
        &[
            Q("SELECT nothing FROM orig"),
            Q("SELECT 1; SELECT nothing FROM orig; SELECT 2"),
        ],
        2,
    ),
    (
        "an error while running skips the rest",
        &[
            Q("SELECT 1; SELECT 1/(id - 1) FROM orig ORDER BY id; SELECT 2"),
            Q("SELECT 1"),
        ],
        2,
    ),
    (
        "a merged prepared read",
        &[
            P("s", "SELECT id, v, m FROM orig WHERE id = $1", &[]),
            Ds("s"),
            S,
            B("", "s", &[Some("4")]),
            Dp(""),
            E("", 0),
            S,
            Bb("", "s", &[Some("5")]),
            Dp(""),
            E("", 0),
            S,
            Cs("s"),
            S,
        ],
        4,
    ),
    (
        "merged, all at once",
        &[
            P("", "SELECT * FROM orig WHERE id < $1 ORDER BY id", &[23]),
            B("", "", &[Some("4")]),
            Dp(""),
            E("", 0),
            S,
        ],
        1,
    ),
    (
        "merged in parts",
        &[
            Q("BEGIN"),
            P("", "SELECT id FROM orig ORDER BY id", &[]),
            B("c", "", &[]),
            Dp("c"),
            E("c", 3),
            E("c", 3),
            S,
            E("c", 0),
            S,
            Q("ROLLBACK"),
        ],
        4,
    ),
    (
        "a wrong parameter",
        &[
            P("", "SELECT id FROM orig WHERE id = $1", &[]),
            B("", "", &[Some("x")]),
            E("", 0),
            S,
            B("", "", &[]),
            S,
            Q("SELECT 1"),
        ],
        3,
    ),
    (
        "several merged in a pipeline",
        &[
            P("a", "SELECT count(*) FROM orig", &[]),
            P("b", "SELECT v FROM orig WHERE id = $1", &[]),
            B("", "a", &[]),
            E("", 0),
            B("", "b", &[Some("2")]),
            E("", 0),
            B("", "a", &[]),
            Dp(""),
            E("", 0),
            S,
            Cs("a"),
            Cs("b"),
            S,
        ],
        2,
    ),
    (
        "COPY merged out",
        &[
            Q("COPY orig TO STDOUT"),
            Q("SELECT 1; COPY orig TO STDOUT; SELECT 2"),
        ],
        2,
    ),
    (
        "COPY in among emulated statements",
        &[
            Q("SELECT count(*) FROM orig; COPY plain FROM STDIN; SELECT count(*) FROM plain"),
            D("90001\ta\n"),
            CopyDone,
            Q("DELETE FROM plain WHERE id > 90000"),
        ],
        2,
    ),
    (
        "a write of rows below, simple",
        &[
            Q("BEGIN"),
            Q("UPDATE orig SET v = 'new' WHERE id = 3"),
            Q("SELECT * FROM orig ORDER BY id"),
            Q("ROLLBACK"),
            Q("SELECT v FROM orig WHERE id = 3"),
        ],
        5,
    ),
    (
        "a write of rows below, extended",
        &[
            Q("BEGIN"),
            P(
                "u",
                "UPDATE orig SET v = $2 WHERE id = $1 RETURNING id, v",
                &[],
            ),
            B("", "u", &[Some("3"), Some("new")]),
            Dp(""),
            E("", 0),
            S,
            B("p", "u", &[Some("4"), None]),
            E("p", 0),
            S,
            Q("SELECT * FROM orig ORDER BY id"),
            Q("ROLLBACK"),
            Cs("u"),
            S,
        ],
        6,
    ),
    (
        "a whole transaction in one string",
        &[
            Q("BEGIN; UPDATE orig SET v = NULL WHERE id = 1; SELECT count(v) FROM orig; ROLLBACK"),
            Q("SELECT count(*) FROM orig"),
        ],
        2,
    ),
    (
        "a failed block ends inside of a string",
        &[
            Q("BEGIN"),
            Q("SELECT nothing"),
            Q("ROLLBACK; SELECT count(*) FROM orig"),
        ],
        3,
    ),
    (
        "a failed block ends inside of a pipeline",
        &[
            Q("BEGIN"),
            Q("SELECT nothing"),
            P("", "ROLLBACK", &[]),
            B("", "", &[]),
            E("", 0),
            P("", "SELECT count(*) FROM orig", &[]),
            B("", "", &[]),
            Dp(""),
            E("", 0),
            S,
        ],
        3,
    ),
    (
        "schema changes in one string",
        &[Q(
            "BEGIN; ALTER TABLE plain ADD w int; SELECT w FROM plain LIMIT 1; SELECT count(*) FROM orig; ROLLBACK",
        )],
        1,
    ),
    (
        "the search path decides",
        &[
            Q("SET search_path = other; SELECT * FROM plain"),
            Q("SELECT count(*) FROM orig"),
            Q("RESET search_path"),
            Q("SELECT count(*) FROM orig"),
        ],
        4,
    ),
    (
        "the search path rolls back",
        &[
            Q("BEGIN"),
            Q("SET LOCAL search_path = other"),
            Q("SELECT * FROM plain"),
            Q("ROLLBACK"),
            Q("SELECT count(*) FROM orig"),
        ],
        5,
    ),
    (
        "DEALLOCATE ALL",
        &[
            P("s", "SELECT count(*) FROM orig", &[]),
            B("", "s", &[]),
            E("", 0),
            S,
            Q("DEALLOCATE ALL"),
            B("", "s", &[]),
            E("", 0),
            S,
            P("s", "SELECT 1", &[]),
            B("", "s", &[]),
            E("", 0),
            S,
        ],
        4,
    ),
    (
        "DEALLOCATE in a failed block keeps the statement",
        &[
            P("s", "SELECT count(*) FROM orig", &[]),
            S,
            Q("BEGIN"),
            Q("SELECT nothing"),
            Q("DEALLOCATE s"),
            Q("ROLLBACK"),
            B("", "s", &[]),
            E("", 0),
            S,
        ],
        6,
    ),
    (
        "a deferred error at Sync",
        &[
            P("", "INSERT INTO deferred VALUES (1), (1)", &[]),
            B("", "", &[]),
            E("", 0),
            S,
            Q("SELECT 1"),
        ],
        2,
    ),
    (
        "a deferred error of a string's last statement",
        &[
            Q("SELECT count(*) FROM orig; INSERT INTO deferred VALUES (1), (1)"),
            Q("SELECT 1"),
        ],
        2,
    ),
    (
        "RETURNING that fails",
        &[
            Q("SELECT count(*) FROM orig; UPDATE plain SET id = 1 WHERE id < 5 RETURNING id"),
            Q("UPDATE orig SET id = 1 WHERE id < 3 RETURNING id"),
        ],
        2,
    ),
    (
        "a write of rows below in a read-only transaction",
        &[
            Q("BEGIN READ ONLY"),
            Q("UPDATE orig SET v = 'x' WHERE id = 1"),
            Q("ROLLBACK"),
            Q("BEGIN READ ONLY"),
            P("", "DELETE FROM orig WHERE id = $1", &[]),
            B("", "", &[Some("1")]),
            E("", 0),
            S,
            Q("ROLLBACK"),
        ],
        6,
    ),
    (
        "errors of PostgreSQL's own before refusals",
        &[
            Q("SELECT nothing AS forbidden"),
            P("", "SELECT nothing AS forbidden", &[]),
            B("", "", &[]),
            S,
        ],
        2,
    ),
    (
        "SQL-level PREPARE",
        &[
            Q("PREPARE q AS SELECT 1"),
            Q("EXECUTE q; SELECT count(*) FROM orig"),
            Q("DEALLOCATE q"),
        ],
        3,
    ),
    (
        "cursors",
        &[Q(
            "BEGIN; DECLARE c CURSOR FOR SELECT id FROM plain ORDER BY id; FETCH 2 FROM c; CLOSE c; COMMIT",
        )],
        1,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_the_proxy_as_from_a_full_copy() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let mut failures = String::new();
    for (name, messages, readies) in CONVERSATIONS {
        // Shown when something hangs.
        println!("{name}");
        let bytes = write(messages);
        let mut direct = preview.connect(false).await;
        direct.write(&bytes, 0).await;
        let expected = direct.read(*readies).await;
        assert_eq!(
            expected.iter().filter(|frame| frame[0] == b'Z').count(),
            *readies,
            "{name}: {}",
            show(&expected)
        );
        for piece in [0, 1, 7] {
            let mut client = preview.connect(true).await;
            client.write(&bytes, piece).await;
            let got = client.read(*readies).await;
            if got != expected {
                failures += &format!(
                    "{name}, in pieces of {piece}, expected\n{}got\n{}\n",
                    show(&expected),
                    show(&got)
                );
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
