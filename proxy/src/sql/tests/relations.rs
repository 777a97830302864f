//! Where relations are named: the list of what is easily overlooked.

use super::{cut, one};
use crate::sql::facts::{Kind, Role};

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
#[rustfmt::skip]
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
