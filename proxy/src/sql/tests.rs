//! What is true of statements, as tables: each row is a text and what must be found in it.

use proptest::prelude::*;

use super::facts::{
    ConflictTarget, InsertSource, Kind, LockStrength, LockWait, Role, Set, Span, Statement,
    Transaction, WriteKind, read,
};
use super::patch::Edits;

fn one(text: &str) -> Statement {
    let mut script = read(text, true);
    assert_eq!(script.statements.len(), 1, "{text}");
    script.statements.remove(0)
}

fn cut(text: &str, span: &Span) -> String {
    text[span.clone()].to_owned()
}

/// The relations as `role text`, where text is the whole span that a replacement would take.
fn relations(text: &str) -> Vec<String> {
    let facts = one(text);
    if let Kind::Unreadable { why } = &facts.kind {
        return vec![format!("unreadable: {why}")];
    }
    let role = |role: Role| match role {
        Role::Read => "read",
        Role::Table => "table",
        Role::Target(_) => "target",
        Role::Copy => "copy",
        Role::Object => "object",
        Role::New => "new",
    };
    assert_eq!(facts.loose, Vec::<String>::new(), "{text}");
    facts
        .relations
        .iter()
        .map(|relation| format!("{} {}", role(relation.role), cut(text, &relation.span)))
        .collect()
}

#[test]
fn relations_are_where_postgresql_sees_them() {
    let rows: &[(&str, &[&str])] = &[
        // Plain and qualified names, quoting, escapes, truncation.
        ("SELECT * FROM users", &["read users"]),
        (
            "SELECT * FROM public . users AS u, \"Users\"",
            &["read public . users", "read \"Users\""],
        ),
        ("SELECT * FROM db.public.users", &["read db.public.users"]),
        (r#"SELECT * FROM U&"\0075sers""#, &[r#"read U&"\0075sers""#]),
        (
            r#"SELECT * FROM U&"!0075sers" UESCAPE '!' x"#,
            &[r#"read U&"!0075sers" UESCAPE '!'"#],
        ),
        // ONLY and the star of old.
        ("SELECT * FROM ONLY users", &["read ONLY users"]),
        (
            "SELECT * FROM ONLY (users) u JOIN ONLY b ON true",
            &["read ONLY (users)", "read ONLY b"],
        ),
        ("SELECT * FROM users * AS u", &["read users *"]),
        ("UPDATE ONLY users SET a = 1", &["target ONLY users"]),
        (
            "DELETE FROM ONLY users USING ONLY b",
            &["target ONLY users", "read ONLY b"],
        ),
        (
            "MERGE INTO ONLY t USING ONLY s ON true WHEN MATCHED THEN DELETE",
            &["target ONLY t", "read ONLY s"],
        ),
        // TABLE as a query.
        ("TABLE users", &["table TABLE users"]),
        ("SELECT 1 UNION TABLE users", &["table TABLE users"]),
        (
            "SELECT * FROM (TABLE ONLY users) x",
            &["table TABLE ONLY users"],
        ),
        (
            "CREATE TABLE n AS TABLE users",
            &["new n", "table TABLE users"],
        ),
        (
            "CREATE VIEW n AS TABLE users",
            &["new n", "table TABLE users"],
        ),
        ("DECLARE c CURSOR FOR TABLE users", &["table TABLE users"]),
        (
            "SELECT (TABLE users), ARRAY(TABLE b), EXISTS (TABLE c)",
            &["table TABLE users", "table TABLE b", "table TABLE c"],
        ),
        // Words that aren't what they look like.
        ("SELECT interval FROM users", &["read users"]),
        ("SELECT a and FROM users", &["read users"]),
        ("SELECT a like FROM users", &["read users"]),
        ("SELECT a end FROM users", &["read users"]),
        ("SELECT a select FROM users", &["read users"]),
        ("SELECT a AS from, b AS where FROM users", &["read users"]),
        ("SELECT users.from, users.union FROM users", &["read users"]),
        ("SELECT a IS DISTINCT FROM b FROM users", &["read users"]),
        (
            "SELECT a IS NOT DISTINCT FROM b FROM users",
            &["read users"],
        ),
        ("SELECT a distinct FROM users", &["read users"]),
        (
            "SELECT DISTINCT ON (a, (SELECT x FROM b)) c FROM users",
            &["read b", "read users"],
        ),
        ("SELECT ALL FROM users", &["read users"]),
        ("SELECT FROM users", &["read users"]),
        ("SELECT values FROM values", &["read values"]),
        (
            "SELECT * FROM set, rows, only_x",
            &["read set", "read rows", "read only_x"],
        ),
        (
            "SELECT extract(year FROM a), substring(b FROM 1 FOR 2), trim(both 'x' FROM c), overlay(d placing 'x' FROM 3) FROM users",
            &["read users"],
        ),
        (
            "SELECT a FROM users u WHERE collation for (u.a) = 'x' FOR UPDATE",
            &["read users"],
        ),
        (
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY a) FROM users GROUP BY b",
            &["read users"],
        ),
        (
            "SELECT a OPERATOR(pg_catalog.=) b FROM users",
            &["read users"],
        ),
        (
            "SELECT time, timestamp, date, row, name FROM users",
            &["read users"],
        ),
        (
            "SELECT a /* FROM x */ -- FROM y\n FROM users",
            &["read users"],
        ),
        (
            "SELECT 'FROM x' 'FROM y', $$FROM z$$, $q$ FROM w $$ $q$ FROM users",
            &["read users"],
        ),
        // Joins.
        (
            "SELECT * FROM a JOIN b USING (x) AS j LEFT JOIN (c CROSS JOIN d) ON true",
            &["read a", "read b", "read c", "read d"],
        ),
        (
            "SELECT * FROM a JOIN b JOIN c ON c.x = b.x ON a.x = b.x, d",
            &["read a", "read b", "read c", "read d"],
        ),
        (
            "SELECT * FROM ((a NATURAL LEFT OUTER JOIN b) x FULL JOIN c USING (y)) z",
            &["read a", "read b", "read c"],
        ),
        (
            "SELECT * FROM a JOIN b ON left(a.x, 1) IS DISTINCT FROM b.x RIGHT JOIN c ON true",
            &["read a", "read b", "read c"],
        ),
        (
            "SELECT * FROM a TABLESAMPLE system (10) REPEATABLE (1), b",
            &["read a", "read b"],
        ),
        // Subqueries anywhere.
        (
            "SELECT * FROM users WHERE id IN (SELECT x FROM b) AND EXISTS (SELECT FROM c) OR y = ANY (ARRAY(SELECT z FROM d))",
            &["read users", "read b", "read c", "read d"],
        ),
        (
            "SELECT * FROM ((SELECT a FROM b) UNION ((SELECT c FROM d) LIMIT 1)) x",
            &["read b", "read d"],
        ),
        (
            "SELECT * FROM users ORDER BY (SELECT x FROM b) LIMIT (SELECT y FROM c) OFFSET (SELECT z FROM d)",
            &["read users", "read b", "read c", "read d"],
        ),
        (
            "SELECT CASE WHEN (SELECT true FROM a) THEN (SELECT 1 FROM b) END, f((SELECT x FROM c)) FROM d",
            &["read a", "read b", "read c", "read d"],
        ),
        (
            "SELECT sum(x) FILTER (WHERE x > (SELECT y FROM a)) OVER (ORDER BY (SELECT z FROM b)) FROM c WINDOW w AS (PARTITION BY (SELECT q FROM d))",
            &["read a", "read b", "read c", "read d"],
        ),
        (
            "SELECT * FROM users, LATERAL (SELECT * FROM b WHERE b.x = users.x) l",
            &["read users", "read b"],
        ),
        (
            "SELECT a[(SELECT x FROM b)] FROM users GROUP BY GROUPING SETS ((a), ROLLUP (b, (SELECT 1 FROM c)))",
            &["read b", "read users", "read c"],
        ),
        (
            "SELECT substring((SELECT x FROM b) FOR 2), (((SELECT y FROM c))) FROM users",
            &["read b", "read c", "read users"],
        ),
        ("VALUES ((SELECT x FROM a)), (1) ORDER BY 1", &["read a"]),
        // Functions in FROM aren't relations; what's in their arguments is.
        (
            "SELECT * FROM f(1), g((SELECT x FROM a)) WITH ORDINALITY AS t(x, y), json_to_record('{}') AS r(a int, b text COLLATE \"C\")",
            &["read a"],
        ),
        (
            "SELECT * FROM ROWS FROM (f(1), g(2) AS (a int)) WITH ORDINALITY r, a",
            &["read a"],
        ),
        (
            "SELECT * FROM current_date d, CAST(1 AS int) c, collation for ('x') o, a",
            &["read a"],
        ),
        (
            "SELECT * FROM XMLTABLE('/r' PASSING (SELECT x FROM a) COLUMNS id int PATH '@id' DEFAULT (SELECT y FROM b) NOT NULL, o FOR ORDINALITY) x, c",
            &["read a", "read b", "read c"],
        ),
        (
            "SELECT * FROM JSON_TABLE((SELECT x FROM a), '$' PASSING 1 AS p COLUMNS (id int PATH '$.id', NESTED PATH '$.k' COLUMNS (z text PATH '$'))) j, b",
            &["read a", "read b"],
        ),
        // WITH.
        (
            "WITH a AS (SELECT * FROM b) SELECT * FROM a, public.a",
            &["read b", "read public.a"],
        ),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", &["read a"]),
        (
            "WITH RECURSIVE a AS (SELECT * FROM b UNION SELECT * FROM a) SELECT * FROM a",
            &["read b"],
        ),
        (
            "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a, b",
            &["read b"],
        ),
        (
            "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
            &[],
        ),
        (
            "WITH a AS (WITH c AS (SELECT 1) SELECT * FROM c) SELECT * FROM c",
            &["read c"],
        ),
        (
            "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a",
            &["read a"],
        ),
        (
            "WITH a AS (SELECT 1) UPDATE a SET x = 1 FROM a AS b",
            &["target a"],
        ),
        (
            "WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a",
            &["target a"],
        ),
        ("WITH a AS (SELECT 1) TABLE a", &[]),
        ("WITH \"A\" AS (SELECT 1) SELECT * FROM A", &["read A"]),
        (
            "WITH a(x) AS NOT MATERIALIZED (INSERT INTO b VALUES (1) RETURNING *) SELECT * FROM a",
            &["target b"],
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 FROM a) SEARCH DEPTH FIRST BY x, y SET o CYCLE x, y SET c TO 1 DEFAULT 0 USING p, u AS (SELECT 2 FROM b) SELECT * FROM t, u, c",
            &["read a", "read b", "read c"],
        ),
        // Writes.
        (
            "INSERT INTO t AS x (a, b[1], c.d) OVERRIDING SYSTEM VALUE SELECT 1 FROM s CROSS JOIN r ON CONFLICT (lower(a) text_ops, b) WHERE c DO UPDATE SET a = (SELECT 1 FROM q) WHERE x.a > 1 RETURNING (SELECT y FROM z)",
            &["target t", "read s", "read r", "read q", "read z"],
        ),
        ("INSERT INTO t (SELECT * FROM s)", &["target t", "read s"]),
        (
            "INSERT INTO t (a) VALUES ((SELECT x FROM s))",
            &["target t", "read s"],
        ),
        ("UPDATE t SET set = 1", &["target t"]),
        (
            "UPDATE t x SET (a, b) = (SELECT 1, 2 FROM s), c[1] = 3 FROM r WHERE EXISTS (SELECT FROM q) RETURNING WITH (OLD AS o) o.a",
            &["target t", "read s", "read r", "read q"],
        ),
        ("DELETE FROM t WHERE CURRENT OF c", &["target t"]),
        (
            "MERGE INTO t USING (SELECT * FROM s) x JOIN r ON r.a = x.a ON t.a = x.a WHEN MATCHED AND CASE WHEN true THEN true END THEN UPDATE SET a = (SELECT 1 FROM q) WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES ((SELECT 1 FROM p)) RETURNING merge_action(), t.*",
            &["target t", "read s", "read r", "read q", "read p"],
        ),
        // Utilities.
        ("COPY t (a, b) FROM STDIN WITH (FREEZE)", &["copy t"]),
        ("COPY (SELECT * FROM t) TO STDOUT", &["read t"]),
        (
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM t",
            &["read t"],
        ),
        (
            "PREPARE p (int) AS SELECT * FROM t WHERE a = $1",
            &["read t"],
        ),
        ("SELECT a INTO TEMP TABLE n FROM t", &["new n", "read t"]),
        (
            "CREATE TABLE n (a int REFERENCES t (id), b int, LIKE u INCLUDING ALL, FOREIGN KEY (b) REFERENCES v) INHERITS (w)",
            &["new n", "object t", "object u", "object v", "object w"],
        ),
        (
            "CREATE TABLE n PARTITION OF t FOR VALUES IN (1)",
            &["new n", "object t"],
        ),
        (
            "CREATE TABLE n (a) WITH (fillfactor = 10) AS SELECT 1 FROM t WITH NO DATA",
            &["new n", "read t"],
        ),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT 1 FROM t WITH NO DATA",
            &["new m", "read t"],
        ),
        (
            "CREATE OR REPLACE VIEW v (a) WITH (security_barrier) AS SELECT 1 FROM t WITH CASCADED CHECK OPTION",
            &["new v", "read t"],
        ),
        (
            "CREATE RECURSIVE VIEW v (n) AS SELECT 1 FROM t UNION SELECT n FROM v",
            &["new v", "read t"],
        ),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY t (lower(a))",
            &["object ONLY t"],
        ),
        (
            "CREATE TRIGGER g BEFORE INSERT OR UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f()",
            &["object t"],
        ),
        (
            "CREATE POLICY p ON t USING (a IN (SELECT x FROM s))",
            &["object t", "read s"],
        ),
        (
            "ALTER TABLE IF EXISTS ONLY t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u",
            &["object ONLY t", "object u"],
        ),
        (
            "ALTER TABLE t ATTACH PARTITION p DEFAULT",
            &["object t", "object p"],
        ),
        ("ALTER TABLE t RENAME TO u", &["object t", "new u"]),
        (
            "DROP TABLE IF EXISTS a, b.c CASCADE",
            &["object a", "object b.c"],
        ),
        (
            "TRUNCATE TABLE ONLY a, b * RESTART IDENTITY",
            &["object ONLY a", "object b *"],
        ),
        ("LOCK a, b IN SHARE MODE NOWAIT", &["object a", "object b"]),
        (
            "VACUUM (ANALYZE, VERBOSE) a (x), b",
            &["object a", "object b"],
        ),
        ("COMMENT ON COLUMN s.t.c IS 'x'", &["object s.t"]),
        (
            "GRANT SELECT (a), UPDATE ON TABLE t, u TO PUBLIC",
            &["object t", "object u"],
        ),
        ("GRANT ALL ON ALL TABLES IN SCHEMA s TO r", &[]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", &["object m"]),
        ("CALL p((SELECT x FROM a))", &["read a"]),
    ];
    for (text, expected) in rows {
        assert_eq!(relations(text), *expected, "{text}");
    }
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
                span: 38..46,
            },
        ),
        ("FETCH 10 FROM c", Kind::Cursor),
        (
            "CREATE TEMP TABLE x AS EXECUTE p(1)",
            Kind::CreateTableAs { execute: true },
        ),
        (
            "CREATE TABLE x AS (SELECT 1) WITH DATA",
            Kind::CreateTableAs { execute: false },
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
    assert!(conflict.update && cut(text, &conflict.span).ends_with("excluded.b"));

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
            current_of: true
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

const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "users",
    "\"Q\"",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "*",
    ".",
    "::",
    "AS",
    "WITH",
    "RECURSIVE",
    "x",
    "INSERT",
    "INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "=",
    "DELETE",
    "USING",
    "MERGE",
    "WHEN",
    "MATCHED",
    "THEN",
    "ON",
    "CONFLICT",
    "DO",
    "NOTHING",
    "RETURNING",
    "JOIN",
    "LEFT",
    "NATURAL",
    "LATERAL",
    "ONLY",
    "TABLE",
    "UNION",
    "ALL",
    "ORDER",
    "BY",
    "LIMIT",
    "FETCH",
    "FIRST",
    "ROWS",
    "OVER",
    "WINDOW",
    "PARTITION",
    "GROUP",
    "CASE",
    "END",
    "BETWEEN",
    "AND",
    "OR",
    "NOT",
    "IS",
    "DISTINCT",
    "CAST",
    "EXTRACT",
    "XMLTABLE",
    "JSON_TABLE",
    "COLUMNS",
    "NESTED",
    "PATH",
    "COPY",
    "TO",
    "STDIN",
    "CREATE",
    "VIEW",
    "INDEX",
    "TRIGGER",
    "POLICY",
    "ALTER",
    "ADD",
    "COLUMN",
    "TYPE",
    "DROP",
    "EXPLAIN",
    "PREPARE",
    "EXECUTE",
    "DECLARE",
    "CURSOR",
    "FOR",
    "SHARE",
    "OF",
    "NOWAIT",
    "INTERVAL",
    "'s'",
    "$1",
    "1.5",
    "E'\\'",
    "$$b$$",
    "--\n",
    "/*",
    "*/",
    "U&\"a\"",
    "UESCAPE",
    "'!'",
    "OPERATOR",
    "GRANT",
    "COMMENT",
    "VACUUM",
    "LOCK",
    "TRUNCATE",
    "BEGIN",
    "ATOMIC",
    "FUNCTION",
    "SEARCH",
    "CYCLE",
    "DEFAULT",
    "ä",
    "TABLESAMPLE",
    "FILTER",
    "WITHIN",
    "NULLS",
    "COLLATE",
    "REFERENCES",
    "INHERITS",
    "OWNED",
    "PUBLICATION",
    "STATISTICS",
];

/// Everything that a statement says about places is on its tokens' borders.
fn spans_are_sound(text: &str) -> Result<(), TestCaseError> {
    let script = read(text, true);
    let mut last = 0;
    for statement in &script.statements {
        prop_assert!(statement.span.start >= last && statement.span.end <= text.len());
        last = statement.span.end;
        let mut spans: Vec<Span> = statement
            .relations
            .iter()
            .flat_map(|relation| [relation.span.clone(), relation.name_span.clone()])
            .collect();
        prop_assert!(
            statement
                .relations
                .is_sorted_by_key(|relation| relation.span.start)
        );
        prop_assert!(
            statement
                .relations
                .windows(2)
                .all(|pair| pair[0].span.end <= pair[1].span.start)
        );
        spans.extend(
            statement
                .columns
                .iter()
                .flat_map(|column| column.spans.clone()),
        );
        spans.extend(
            statement
                .functions
                .iter()
                .map(|function| function.span.clone()),
        );
        for level in &statement.levels {
            spans.extend([level.query.clone(), level.span.clone(), level.list.clone()]);
            spans.extend(
                level
                    .from
                    .iter()
                    .chain(&level.order_by)
                    .chain(&level.limit)
                    .chain(&level.offset)
                    .chain(&level.group_by)
                    .cloned(),
            );
            if let Some(condition) = &level.condition {
                spans.push(condition.span.clone());
                prop_assert!(condition.conjuncts.iter().all(|part| part.start
                    >= condition.span.start
                    && part.end <= condition.span.end));
            }
            prop_assert!(
                level
                    .parent
                    .is_none_or(|parent| parent < statement.levels.len())
            );
        }
        for write in &statement.writes {
            spans.push(write.span.clone());
            prop_assert!(matches!(
                statement.relations[write.target].role,
                Role::Target(_)
            ));
            prop_assert!(write.level < statement.levels.len());
        }
        let mut edits = Edits::new();
        for span in spans {
            prop_assert!(
                span.start >= statement.span.start && span.end <= statement.span.end,
                "{span:?} of {statement:?}"
            );
            prop_assert!(text.get(span).is_some());
        }
        for relation in &statement.relations {
            prop_assert!(
                edits
                    .replace(relation.span.clone(), &text[relation.span.clone()])
                    .is_ok()
            );
        }
        prop_assert_eq!(
            edits.render(text, statement.span.clone()).unwrap(),
            &text[statement.span.clone()]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn soups_of_tokens_are_survived(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        spans_are_sound(&pieces.join(" "))?;
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60), standard in any::<bool>()) {
        spans_are_sound(&text)?;
        let _ = read(&bytes, standard);
        let _ = read(&text, standard);
    }

    #[test]
    fn cut_statements_are_survived(cut in 0_usize..400) {
        for text in [
            "WITH RECURSIVE a(x) AS MATERIALIZED (SELECT 1 UNION SELECT x FROM a) SEARCH DEPTH FIRST BY x SET o CYCLE x SET c USING p INSERT INTO t AS k (a, b[1]) OVERRIDING USER VALUE SELECT DISTINCT ON (a) * FROM ONLY (u) x JOIN LATERAL (TABLE v) w USING (q) AS z WHERE a IS NOT DISTINCT FROM b FETCH FIRST 3 ROWS WITH TIES FOR NO KEY UPDATE OF u SKIP LOCKED ON CONFLICT (lower(a)) WHERE b DO UPDATE SET (a, b) = (SELECT 1, 2) WHERE c RETURNING *",
            "MERGE INTO t USING XMLTABLE('x' PASSING y COLUMNS a int PATH 'b' DEFAULT 1) s ON true WHEN MATCHED AND CASE WHEN a THEN b END THEN UPDATE SET a = 1 WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (DEFAULT) RETURNING WITH (OLD AS o) *",
            "CREATE TABLE n (a int REFERENCES t, LIKE u) PARTITION BY RANGE (a); ALTER TABLE t ALTER a TYPE int USING a::int, ADD b int DEFAULT f(1); COPY t (a, b) FROM STDIN WITH (FORMAT csv); EXPLAIN (ANALYZE off) EXECUTE p(1, 2)",
        ] {
            spans_are_sound(text.get(..cut.min(text.len())).unwrap_or_default())?;
        }
    }
}
