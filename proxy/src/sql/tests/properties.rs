//! What holds for any text.

use proptest::prelude::*;

use crate::sql::facts::{Role, Span, read};
use crate::sql::patch::Edits;

#[rustfmt::skip]
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
