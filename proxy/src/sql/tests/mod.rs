//! What is true of statements, as tables: each row is a text and what must be found in it.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::sql::facts::{
    ConflictTarget, Cursor, InsertSource, Kind, LockStrength, LockWait, Role, Set, Span, Statement,
    Transaction, WriteKind, read,
};

mod properties;
mod relations;

fn one(text: &str) -> Statement {
    let mut script = read(text, true);
    assert_eq!(script.statements.len(), 1, "{text}");
    script.statements.remove(0)
}

fn cut(text: &str, span: &Span) -> String {
    text[span.clone()].to_owned()
}

#[test]
fn names_are_as_postgresql_resolves_them() {
    let name = |text: &str| {
        one(text)
            .relations
            .first()
            .map(|relation| (relation.name.schema.clone(), relation.name.name.clone()))
    };
    let long = "ä".repeat(40);
    assert_eq!(
        name("TABLE Pub.\"Us\"\"ers\""),
        Some((Some("pub".into()), "Us\"ers".into()))
    );
    assert_eq!(
        name(r#"TABLE U&"d\0061t\+000061""#),
        Some((None, "data".into()))
    );
    assert_eq!(
        name(r#"TABLE U&"d!0061ta" UESCAPE '!'"#),
        Some((None, "data".into()))
    );
    assert_eq!(name(&format!("TABLE {long}")), Some((None, "ä".repeat(31))));
    assert_eq!(
        name(&format!("TABLE {}", "x".repeat(70))),
        Some((None, "x".repeat(63)))
    );
    assert_eq!(name("TABLE a.b.c"), Some((Some("b".into()), "c".into())));
}

#[test]
fn kinds_are_told_apart() {
    let utility = |tag: &str| Kind::Utility { tag: tag.into() };
    let set = |name: &str, local| {
        Kind::Set(Set {
            name: name.into(),
            local,
        })
    };
    let begin = |isolation: Option<&str>| {
        Kind::Transaction(Transaction::Begin {
            isolation: isolation.map(Into::into),
        })
    };
    let rows: Vec<(&str, Kind)> = vec![
        ("(SELECT 1)", Kind::Query),
        ("WITH x AS (SELECT 1) VALUES (1)", Kind::Query),
        ("WITH x AS (SELECT 1) DELETE FROM t", Kind::Delete),
        (
            "SELECT 1 INTO UNLOGGED n FROM t",
            Kind::SelectInto { into: 9..24 },
        ),
        (
            "EXPLAIN ANALYZE VERBOSE TABLE t",
            Kind::Explain {
                analyze: true,
                inner: Box::new(Kind::Query),
                span: 24..31,
            },
        ),
        (
            "EXPLAIN (ANALYZE off, COSTS) UPDATE t SET a = 1",
            Kind::Explain {
                analyze: false,
                inner: Box::new(Kind::Update),
                span: 29..47,
            },
        ),
        (
            "EXPLAIN (SELECT 1)",
            Kind::Explain {
                analyze: false,
                inner: Box::new(Kind::Query),
                span: 8..18,
            },
        ),
        (
            "PREPARE p AS SELECT 1",
            Kind::Prepare {
                name: "p".into(),
                types: None,
                inner: Box::new(Kind::Query),
                span: 13..21,
            },
        ),
        (
            "PREPARE p(int, text) AS SELECT 1",
            Kind::Prepare {
                name: "p".into(),
                types: Some(9..20),
                inner: Box::new(Kind::Query),
                span: 24..32,
            },
        ),
        (
            "EXECUTE p(1, 'a')",
            Kind::Execute {
                name: "p".into(),
                arguments: vec![10..11, 13..16],
            },
        ),
        (
            "DEALLOCATE PREPARE \"P\"",
            Kind::Deallocate(Some("P".into())),
        ),
        ("DEALLOCATE ALL", Kind::Deallocate(None)),
        (
            "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1",
            Kind::Declare {
                name: "c".into(),
                says_scroll: true,
                cursor: 17..23,
                span: 38..46,
            },
        ),
        ("FETCH 10 FROM c", Kind::Cursor),
        (
            "CREATE TEMP TABLE x AS EXECUTE p(1)",
            Kind::CreateTableAs {
                execute: Some("p".into()),
            },
        ),
        (
            "CREATE TABLE x AS (SELECT 1) WITH DATA",
            Kind::CreateTableAs { execute: None },
        ),
        (
            "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
            Kind::CreateRoutine,
        ),
        ("DO $$ BEGIN PERFORM 1; END $$", Kind::Do),
        ("CREATE TABLE t (a int DEFAULT 1)", utility("CREATE TABLE")),
        ("CREATE TEMP SEQUENCE s", utility("CREATE SEQUENCE")),
        (
            "DROP MATERIALIZED VIEW v",
            utility("DROP MATERIALIZED VIEW"),
        ),
        ("ALTER ROLE r SET search_path = x", utility("ALTER ROLE")),
        ("ANALYZE", utility("ANALYZE")),
        ("BEGIN", begin(None)),
        (
            "START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ",
            begin(Some("REPEATABLE READ")),
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            begin(Some("SERIALIZABLE")),
        ),
        ("END WORK", Kind::Transaction(Transaction::Commit)),
        ("ABORT", Kind::Transaction(Transaction::Rollback)),
        (
            "ROLLBACK TRANSACTION TO SAVEPOINT a",
            Kind::Transaction(Transaction::RollbackTo),
        ),
        (
            "ROLLBACK PREPARED 'x'",
            Kind::Transaction(Transaction::FinishPrepared),
        ),
        (
            "PREPARE TRANSACTION 'x'",
            Kind::Transaction(Transaction::Prepare),
        ),
        ("SET search_path TO a, b", set("search_path", false)),
        ("SET LOCAL TIME ZONE 'UTC'", set("timezone", true)),
        (
            "SET SESSION AUTHORIZATION x",
            set("session_authorization", false),
        ),
        ("SET ROLE x", set("role", false)),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            set("transaction", false),
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            set("transaction", false),
        ),
        ("SET CONSTRAINTS ALL DEFERRED", set("constraints", false)),
        ("SET a.B = 1", set("a.b", false)),
        ("SET NAMES 'utf8'", set("client_encoding", false)),
        ("RESET ALL", set("all", false)),
        ("SHOW ALL", Kind::Show),
        ("DISCARD temp", Kind::Discard("TEMP".into())),
        ("LISTEN x", Kind::Session),
    ];
    for (text, kind) in rows {
        assert_eq!(one(text).kind, kind, "{text}");
    }
    for text in [
        "CREATE RULE r AS ON SELECT TO t DO INSTEAD NOTHING",
        "SELEKT 1",
        "SELECT 'a",
        "SELECT (1",
        "SELECT 1)",
        "FROM t",
        "EXPLAIN EXPLAIN SELECT 1",
        "SELECT 1 FROM",
    ] {
        assert!(matches!(one(text).kind, Kind::Unreadable { .. }), "{text}");
    }
}

#[test]
fn statements_are_split_as_the_server_does() {
    let text = " ;; SELECT 1 ; /* ; */ SELECT ';', $$;$$ ; CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; COMMIT -- end";
    let spans: Vec<String> = read(text, true)
        .statements
        .iter()
        .map(|statement| cut(text, &statement.span))
        .collect();
    assert_eq!(
        spans,
        [
            "SELECT 1",
            "SELECT ';', $$;$$",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "COMMIT"
        ]
    );
    // A backslash is an ordinary character in a standard string, and an escape otherwise.
    assert_eq!(read(r"SELECT '\'; SELECT 2 --'", true).statements.len(), 2);
    assert_eq!(read(r"SELECT '\'; SELECT 2 --'", false).statements.len(), 1);
    // COPY's data doesn't belong to the query string.
    assert_eq!(
        read("COPY t FROM STDIN; SELECT * FROM users", true).statements[1].relations[0]
            .name
            .name,
        "users"
    );
}

#[test]
fn clauses_stand_where_they_stand() {
    let text = "WITH w AS (SELECT 1) SELECT DISTINCT a, b FROM t JOIN u ON t.x = u.x LEFT JOIN v USING (y) WHERE a = 1 AND b BETWEEN 2 AND 3 AND NOT (c OR d) GROUP BY a HAVING true ORDER BY a DESC OFFSET 3 ROWS FETCH NEXT 5 ROWS WITH TIES FOR NO KEY UPDATE OF t, u SKIP LOCKED FOR SHARE NOWAIT";
    let facts = one(text);
    let level = &facts.levels[1];
    let part = |span: &Option<Span>| span.as_ref().map(|span| cut(text, span));
    assert_eq!(cut(text, &level.query), text);
    assert!(
        cut(text, &level.span).starts_with("SELECT DISTINCT")
            && cut(text, &level.span).ends_with("HAVING true")
    );
    assert_eq!(cut(text, &level.list), "a, b");
    assert_eq!(
        part(&level.from).as_deref(),
        Some("t JOIN u ON t.x = u.x LEFT JOIN v USING (y)")
    );
    assert_eq!(level.range, ["t", "u", "v"]);
    assert!(
        level.outer_join
            && level.distinct
            && level.having
            && level.with_ties
            && !level.set_operation
    );
    let conjuncts: Vec<String> = level
        .condition
        .iter()
        .flat_map(|condition| &condition.conjuncts)
        .map(|span| cut(text, span))
        .collect();
    assert_eq!(conjuncts, ["a = 1", "b BETWEEN 2 AND 3", "NOT (c OR d)"]);
    assert_eq!(part(&level.group_by).as_deref(), Some("a"));
    assert_eq!(part(&level.order_by).as_deref(), Some("a DESC"));
    assert_eq!(part(&level.offset).as_deref(), Some("3"));
    assert_eq!(part(&level.limit).as_deref(), Some("5"));
    assert_eq!(level.ctes, ["w"]);
    let locks: Vec<_> = level
        .locks
        .iter()
        .map(|lock| (lock.strength, lock.of.join(","), lock.wait))
        .collect();
    assert_eq!(
        locks,
        [
            (LockStrength::NoKeyUpdate, "t,u".into(), LockWait::Skip),
            (LockStrength::Share, String::new(), LockWait::Error)
        ]
    );
    assert_eq!(cut(text, &level.locks[1].span), "FOR SHARE NOWAIT");
}

#[test]
fn conditions_are_taken_apart_only_where_and_joins_them() {
    let rows: &[(&str, &[&str])] = &[
        ("a", &["a"]),
        ("a AND b", &["a", "b"]),
        ("a AND b OR c", &["a AND b OR c"]),
        ("(a AND b)", &["a", "b"]),
        ("(a) AND (b)", &["(a)", "(b)"]),
        (
            "CASE WHEN a AND b THEN c END AND d",
            &["CASE WHEN a AND b THEN c END", "d"],
        ),
        (
            "a NOT BETWEEN SYMMETRIC 1 AND 2 AND between = 3 AND c",
            &["a NOT BETWEEN SYMMETRIC 1 AND 2", "between = 3", "c"],
        ),
        (
            "a BETWEEN CASE WHEN b AND c THEN 1 END AND 2 AND d",
            &["a BETWEEN CASE WHEN b AND c THEN 1 END AND 2", "d"],
        ),
        ("f(a AND b) AND x[1 AND 2]", &["f(a AND b)", "x[1 AND 2]"]),
        ("(SELECT a AND b)", &["(SELECT a AND b)"]),
    ];
    for (condition, expected) in rows {
        let text = format!("DELETE FROM t WHERE {condition} RETURNING 1");
        let facts = one(&text);
        let found = facts.levels[0].condition.as_ref().unwrap();
        assert_eq!(cut(&text, &found.span), *condition);
        let conjuncts: Vec<String> = found
            .conjuncts
            .iter()
            .map(|span| cut(&text, span))
            .collect();
        assert_eq!(conjuncts, *expected, "{condition}");
    }
}

#[test]
fn levels_know_their_place() {
    let text =
        "SELECT a FROM t WHERE x IN (SELECT b FROM u UNION (SELECT c FROM v LIMIT 1) ORDER BY 1)";
    let levels = one(text).levels;
    let seen: Vec<_> = levels
        .iter()
        .map(|level| (level.parent, level.set_operation, cut(text, &level.span)))
        .collect();
    assert_eq!(
        seen,
        [
            (None, false, "SELECT a FROM t WHERE x IN (SELECT b FROM u UNION (SELECT c FROM v LIMIT 1) ORDER BY 1)".to_owned()),
            (Some(0), true, "SELECT b FROM u".to_owned()),
            (Some(0), true, "SELECT c FROM v".to_owned()),
        ]
    );
    assert!(
        levels[1].order_by.is_some() && levels[2].order_by.is_none() && levels[2].limit.is_some()
    );
    // Clauses after a query in parentheses are that query's own.
    let level = &one("(SELECT a FROM t) ORDER BY a LIMIT 3 FOR UPDATE").levels[0];
    assert!(
        level.order_by.is_some()
            && level.limit.is_some()
            && level.locks.len() == 1
            && !level.set_operation
    );
}

#[test]
fn writes_are_described() {
    let text = "WITH w AS (DELETE FROM d USING e WHERE d.a = e.a RETURNING d.*) INSERT INTO t AS x (a, b) VALUES (1, DEFAULT), ((SELECT 2), f($2)) ON CONFLICT (a, b) DO UPDATE SET b = excluded.b RETURNING x.a AS y";
    let facts = one(text);
    assert_eq!(facts.parameters, 2);
    let [delete, insert] = facts.writes.as_slice() else {
        panic!("{:?}", facts.writes)
    };
    assert!(delete.in_cte && delete.with.is_none() && !insert.in_cte);
    assert_eq!(facts.relations[delete.target].role, Role::Target(0));
    assert_eq!(facts.relations[insert.target].name.name, "t");
    assert_eq!(
        facts.relations[insert.target]
            .alias
            .as_ref()
            .map(|(alias, _)| alias.as_str()),
        Some("x")
    );
    assert!(cut(text, insert.with.as_ref().unwrap()).ends_with("RETURNING d.*)"));
    assert_eq!(cut(text, insert.returning.as_ref().unwrap()), "x.a AS y");
    assert_eq!(
        cut(text, &delete.span),
        "DELETE FROM d USING e WHERE d.a = e.a RETURNING d.*"
    );
    let WriteKind::Insert {
        columns,
        source: InsertSource::Values(rows),
        conflict: Some(conflict),
        overriding: false,
    } = &insert.kind
    else {
        panic!("{insert:?}")
    };
    assert_eq!(
        columns.as_deref(),
        Some(["a".to_owned(), "b".to_owned()].as_slice())
    );
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|value| value.as_ref().map(|span| cut(text, span)))
                .collect()
        })
        .collect();
    assert_eq!(
        rows,
        [
            vec![Some("1".to_owned()), None],
            vec![Some("(SELECT 2)".to_owned()), Some("f($2)".to_owned())]
        ]
    );
    assert_eq!(
        conflict.target,
        ConflictTarget::Columns(vec!["a".into(), "b".into()])
    );
    assert!(conflict.update.is_some() && cut(text, &conflict.span).ends_with("excluded.b"));

    let targets: &[(&str, ConflictTarget)] = &[
        ("DO NOTHING", ConflictTarget::Any),
        (
            "ON CONSTRAINT c DO NOTHING",
            ConflictTarget::Constraint("c".into()),
        ),
        ("(lower(a)) DO NOTHING", ConflictTarget::Expressions),
        ("(a COLLATE \"C\") DO NOTHING", ConflictTarget::Expressions),
        ("(a) WHERE b DO NOTHING", ConflictTarget::Expressions),
    ];
    for (clause, target) in targets {
        let facts = one(&format!(
            "INSERT INTO t DEFAULT VALUES ON CONFLICT {clause}"
        ));
        let WriteKind::Insert {
            source: InsertSource::Default,
            conflict: Some(conflict),
            ..
        } = &facts.writes[0].kind
        else {
            panic!("{clause}")
        };
        assert_eq!(&conflict.target, target);
    }
    let update = one("UPDATE t SET a = 1, (b, c[1]) = ROW (2, 3) WHERE CURRENT OF k");
    assert_eq!(
        update.writes[0].kind,
        WriteKind::Update {
            columns: vec!["a".into(), "b".into(), "c".into()],
            current_of: Some(Cursor::Named("k".into()))
        }
    );
    for query in [
        "VALUES (1) ORDER BY 1",
        "VALUES (1) UNION VALUES (2)",
        "(VALUES (1))",
        "WITH x AS (SELECT 1) VALUES (1)",
        "TABLE s",
    ] {
        let text = format!("INSERT INTO t {query} RETURNING 1");
        let facts = one(&text);
        let WriteKind::Insert {
            source: InsertSource::Query(span),
            ..
        } = &facts.writes[0].kind
        else {
            panic!("{text}")
        };
        assert_eq!(cut(&text, span), query);
    }
}

#[test]
fn columns_functions_and_types_are_told_apart() {
    let text = "SELECT u.a x, s.u.b AS y, u.*, count(*), pg_catalog.f(c, n => d), e::my.type[], CAST(g AS order_status), point '1,2', (h).i, extract(year FROM j), k COLLATE \"C\", current_user, interval '1' day, numeric(3) '1', array[l], sum(m) OVER (w PARTITION BY o ORDER BY p ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM u ORDER BY q NULLS LAST";
    let facts = one(text);
    let columns: Vec<String> = facts
        .columns
        .iter()
        .map(|column| column.parts.join("."))
        .collect();
    assert_eq!(
        columns,
        [
            "u.a", "s.u.b", "u.*", "c", "d", "e", "g", "h", "j", "k", "l", "m", "o", "p", "q"
        ]
    );
    let functions: Vec<&str> = facts
        .functions
        .iter()
        .map(|function| function.name.name.as_str())
        .collect();
    assert_eq!(functions, ["count", "f", "sum"]);
    let types: Vec<&str> = facts.types.iter().map(|name| name.name.as_str()).collect();
    assert_eq!(types, ["type", "order_status", "point"]);
    assert!(facts.keyword_functions.contains("current_user"));
    for (text, unusual) in [
        ("SELECT a <-> b", Some("<->")),
        ("SELECT a OPERATOR(x.=) b", Some("=")),
        ("SELECT a OPERATOR(pg_catalog.=) -b", None),
        ("SELECT a ->> 'b' || c", None),
    ] {
        assert_eq!(
            one(text)
                .unusual_operators
                .iter()
                .next()
                .map(String::as_str),
            unusual,
            "{text}"
        );
    }
}

#[test]
fn words_are_all_that_could_name_something() {
    let words = one("SELECT query_to_xml('select * from Users'), 'x'::regclass, $$ \"My Table\" $$, E'\\x6frders'").words;
    for word in ["users", "Users", "x", "My Table", "orders", "regclass"] {
        assert!(words.contains(word), "{word}");
    }
}

#[test]
fn alter_table_says_what_matters() {
    let flags = |action: &str| match one(&format!("ALTER TABLE t {action}")).kind {
        Kind::AlterTable(found) => (
            found.using,
            found.retype,
            found.computed_default,
            found.inheritance,
        ),
        kind => panic!("{kind:?}"),
    };
    assert_eq!(flags("ADD a int DEFAULT 1"), (false, false, false, false));
    assert_eq!(
        flags("ADD COLUMN a timestamptz DEFAULT now()"),
        (false, false, true, false)
    );
    assert_eq!(
        flags("ADD a date DEFAULT current_date, DROP b"),
        (false, false, true, false)
    );
    assert_eq!(
        flags("ADD IF NOT EXISTS a serial"),
        (false, false, true, false)
    );
    assert_eq!(
        flags("ADD a int GENERATED ALWAYS AS (b) STORED"),
        (false, false, true, false)
    );
    assert_eq!(
        flags("ADD CONSTRAINT c CHECK (f(a))"),
        (false, false, false, false)
    );
    assert_eq!(flags("ALTER a TYPE text"), (false, true, false, false));
    assert_eq!(
        flags("ALTER COLUMN a SET DATA TYPE int USING a::int"),
        (true, true, false, false)
    );
    assert_eq!(flags("NO INHERIT p"), (false, false, false, true));
}

#[test]
fn depth_is_no_danger() {
    let deep = 100_000;
    for (text, readable) in [
        (
            format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)),
            true,
        ),
        (
            format!(
                "SELECT * FROM {}a CROSS JOIN b{}",
                "(".repeat(deep),
                ")".repeat(deep)
            ),
            true,
        ),
        (
            format!("{}SELECT 1 FROM t{}", "(".repeat(deep), ")".repeat(deep)),
            true,
        ),
        (
            format!("{}1{}", "(SELECT ".repeat(100), ")".repeat(100)),
            true,
        ),
        (
            format!("{}1{}", "(SELECT ".repeat(deep), ")".repeat(deep)),
            false,
        ),
        (
            format!(
                "{}SELECT 1{}",
                "WITH a AS (".repeat(deep),
                ") SELECT 1".repeat(deep)
            ),
            false,
        ),
        ("EXPLAIN ".repeat(deep), false),
        ("(".repeat(deep), false),
        (
            format!("SELECT 1 FROM t WHERE {}", vec!["a"; 1500].join(" OR ")),
            true,
        ),
    ] {
        assert_eq!(
            !matches!(one(&text).kind, Kind::Unreadable { .. }),
            readable,
            "{:.40}",
            text
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_read_too() {
    let text = b"SELECT '\xe4' FROM caf\xe9 WHERE a = 1";
    let script = read(text, true);
    assert_eq!(script.statements[0].relations[0].name_span, 16..20);
    assert_eq!(script.statements[0].kind, Kind::Query);
}
