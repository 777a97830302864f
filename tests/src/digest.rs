//! What a database holds, as one text to compare: rows, sequences, and the definitions of everything.

use crate::client::{Address, Session};

/// Every schema's definitions: columns, constraints, indexes, functions, triggers, views, privileges.
const DEFINITIONS: &str = "
SELECT d FROM (
    SELECT format('column %s.%s %s %s %s %s', c.oid::regclass, a.attnum, a.attname,
                  format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(ad.adbin, ad.adrelid)) AS d
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relnamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('relation %s %s %s %s %s', c.oid, c.oid::regclass, c.relkind, c.relfilenode, c.relacl)
    FROM pg_class c WHERE c.relnamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('function %s %s', p.oid::regprocedure, md5(prosrc)) FROM pg_proc p
    WHERE pronamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('trigger %s %s %s', tgrelid::regclass, tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
    UNION ALL SELECT format('view %s %s', c.oid::regclass, md5(pg_get_viewdef(c.oid))) FROM pg_class c
    WHERE relkind IN ('v', 'm') AND c.relnamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('type %s %s', oid, typname) FROM pg_type WHERE typnamespace NOT IN (SELECT oid FROM ours)
    UNION ALL SELECT format('enum %s %s', enumtypid::regtype, enumlabel) FROM pg_enum
    UNION ALL SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_temp%' AND nspname NOT LIKE 'pg\\_toast%'
    UNION ALL SELECT format('extension %s %s', extname, extversion) FROM pg_extension
    UNION ALL SELECT format('role %s', rolname) FROM pg_roles
) x ORDER BY 1";

/// The digest of a database, seen by its superuser: one line for each thing.
pub fn digest(admin: &Address) -> Vec<String> {
    let mut session =
        Session::connect(admin).unwrap_or_else(|e| panic!("log in for the digest: {e:?}"));
    session.must("SET search_path = pg_catalog; SET extra_float_digits = 3; BEGIN READ ONLY");
    let ours = "WITH ours AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname LIKE 'pg\\_%' \
                OR nspname = 'information_schema')";
    let mut lines: Vec<String> = session
        .must(&format!("{ours} {DEFINITIONS}"))
        .rows()
        .concat();
    let tables = session.must(
        "SELECT c.oid::regclass, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE relkind IN ('r', 'm', 'S') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' \
         ORDER BY c.oid::regclass::text",
    );
    for row in tables.rows() {
        let [table, kind] = row.as_slice() else {
            continue;
        };
        let sql = if kind == "S" {
            format!("SELECT 0, last_value || ' ' || is_called FROM {table}")
        } else {
            format!(
                "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM ONLY {table} t"
            )
        };
        let content = session.must(&sql).rows().concat().join(" ");
        lines.push(format!("content {table} {content}"));
    }
    lines
}

/// What differs between two digests, a line for each side of it; empty when nothing does.
pub fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before
        .iter()
        .filter(|l| !after.contains(l))
        .map(|l| format!("- {l}"));
    let new = after
        .iter()
        .filter(|l| !before.contains(l))
        .map(|l| format!("+ {l}"));
    gone.chain(new).collect()
}
