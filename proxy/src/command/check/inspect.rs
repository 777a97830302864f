//! Asking production's catalogs.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::report::{Found, Function, Kind, Sequence, Table};
use crate::command::rights;

/// The tables, views that hold rows, and foreign tables of users.
const TABLES: &str = r"
SELECT n.nspname::text, c.relname::text, c.relkind::text,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS selectable,
       greatest(c.reltuples, 0)::float8 AS rows,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_total_relation_size(c.oid) ELSE 0 END AS bytes,
       EXISTS (SELECT FROM pg_index i
               WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                 AND i.indpred IS NULL AND i.indexprs IS NULL
                 AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
                                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                                 WHERE k.n <= i.indnkeyatts AND NOT a.attnotnull)) AS keyed,
       c.relispartition,
       NOT c.relispartition AND (EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)
           OR (c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid))) AS inherits,
       c.relrowsecurity AND row_security_active(c.oid) AS row_security,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') AS rules,
       ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.atttypid IN ('oid'::regtype, 'regclass'::regtype, 'regproc'::regtype, 'regprocedure'::regtype, 'regtype'::regtype,
                                  'regnamespace'::regtype, 'regrole'::regtype)
             ORDER BY a.attnum)::text[] AS identifiers
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2";

const SEQUENCES: &str = r"
SELECT n.nspname::text, c.relname::text, has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2";

const FUNCTIONS: &str = r"
SELECT p.oid::regprocedure::text, l.lanname::text, CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE p.prosrc END,
       p.prorettype = 'trigger'::regtype
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1";

const DATABASE: &str = r"
SELECT current_database()::text, current_setting('server_version'), pg_encoding_to_char(encoding)::text, datcollate::text,
       current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       pg_is_in_recovery(), current_setting('server_version_num')::int / 10000
FROM pg_database WHERE datname = current_database()";

/// Asks for everything, in one read-only transaction: the report is of one moment.
///
/// # Errors
/// When production can't be asked.
pub async fn inspect(production: &mut Client) -> Result<Found, tokio_postgres::Error> {
    let rights = rights::read(production).await?;
    let transaction = production
        .build_transaction()
        .read_only(true)
        .start()
        .await?;
    // Names are looked up in pg_catalog, whatever the role's search_path is; regclass texts become qualified.
    transaction
        .batch_execute("SET LOCAL search_path = pg_catalog")
        .await?;
    let tables: Vec<Table> = transaction
        .query(TABLES, &[])
        .await?
        .into_iter()
        .map(|row| Table {
            schema: row.get(0),
            name: row.get(1),
            kind: Kind::from_letter(row.get(2)),
            selectable: row.get(3),
            rows: row.get(4),
            bytes: u64::try_from(row.get::<_, i64>(5)).unwrap_or(0),
            keyed: row.get(6),
            partition: row.get(7),
            inherits: row.get(8),
            row_security: row.get(9),
            rules: row.get(10),
            identifiers: row.get(11),
        })
        .collect();
    let sequences = transaction
        .query(SEQUENCES, &[])
        .await?
        .into_iter()
        .map(|row| Sequence {
            schema: row.get(0),
            name: row.get(1),
            selectable: row.get(2),
        })
        .collect();
    let names: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let functions = transaction
        .query(FUNCTIONS, &[])
        .await?
        .into_iter()
        .filter_map(|row| {
            let body: &str = row.get(2);
            let mentions = mentioned(body, &names);
            (!mentions.is_empty()).then(|| Function {
                signature: row.get(0),
                language: row.get(1),
                trigger: row.get(3),
                mentions,
            })
        })
        .collect();
    let extensions = transaction
        .query("SELECT extname || ' ' || extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1", &[])
        .await?
        .into_iter()
        .map(|row| row.get(0))
        .collect();
    let row = transaction.query_one(DATABASE, &[]).await?;
    let found = Found {
        database: row.get(0),
        version: row.get(1),
        major: u32::try_from(row.get::<_, i32>(7)).unwrap_or(0),
        encoding: row.get(2),
        collation: row.get(3),
        max_connections: row.get(4),
        connections: row.get(5),
        standby: row.get(6),
        rights,
        tables,
        sequences,
        functions,
        extensions,
    };
    transaction.rollback().await?;
    Ok(found)
}

/// The names that stand as whole words in `body`. Comments and strings count: it's a warning, not a proof.
fn mentioned(body: &str, names: &BTreeSet<&str>) -> Vec<String> {
    let words: BTreeSet<String> = body
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    names
        .iter()
        .filter(|name| words.contains(&name.to_lowercase()))
        .map(|name| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_as_whole_words() {
        let names = BTreeSet::from(["orders", "order_items", "Users"]);
        assert_eq!(
            mentioned("SELECT * FROM public.orders WHERE x", &names),
            ["orders"]
        );
        assert_eq!(
            mentioned("AS $f$SELECT 1 FROM orders$f$", &names),
            ["orders"]
        );
        assert_eq!(mentioned("UPDATE \"Users\" SET a = 1", &names), ["Users"]);
        assert!(mentioned("SELECT reorders, orders_old FROM t", &names).is_empty());
    }
}
