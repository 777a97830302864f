//! The merged relation as SQL: upper ∪ (lower − claims).
//!
//! The filter stands *above* the union, with a constant that tells the arms apart: PostgreSQL flattens a UNION ALL into an append relation only when no arm
//! has a WHERE clause, and only then do ordering, LIMIT and join keys reach production. The constant folds in each arm.
//!
//! Upper is named, lower and claims stand for upper's OID. Another session may have given the name to another table by the time that the text is parsed (a swap by three renames);
//! then [`still_means`] raises an error when the statement is planned, and the session plans anew.

use super::names::{identifier_list, qualified, quote_identifier, quote_literal};
use crate::catalog::model::{Lower, Oid, Relation};

/// The `SELECT` that gives the merged rows of a relation, without parentheses or alias: upper's live columns in order. `only`: without those of
/// the tables that inherit from it.
#[must_use]
pub fn merged(relation: &Relation, lower: &Lower, only: bool) -> String {
    let columns = identifier_list(relation.columns.iter().map(|column| column.name.as_str()));
    if lower.read_only {
        return format!("SELECT {columns} FROM {}", lower.view);
    }
    let upper = qualified(&relation.schema, &relation.name);
    let heirs = if only { &[] } else { lower.heirs.as_slice() };
    // A partitioned table's rows are its partitions': ONLY would see none.
    let has_heirs =
        relation.kind == crate::catalog::model::RelationKind::Partitioned || !heirs.is_empty();
    let only = if has_heirs { "" } else { "ONLY " };
    let separator = if columns.is_empty() { "" } else { ", " };
    let heirs: String = heirs
        .iter()
        .map(|view| format!(" UNION ALL SELECT {columns}{separator}0 FROM {view}"))
        .collect();
    format!(
        "SELECT {columns} FROM (SELECT {columns}{separator}1 AS previewpg_src FROM {only}{upper} \
         UNION ALL SELECT {columns}{separator}0 FROM {view}{heirs}) AS previewpg_m \
         WHERE (previewpg_src = 1 OR {unclaimed}) AND {same}",
        view = lower.view,
        unclaimed = unclaimed(lower, "previewpg_m"),
        same = still_means(relation),
    )
}

/// A condition that is true, and costs nothing once it's planned, while the relation's name means this relation. While it means another one, planning fails.
///
/// The name must stand in the same statement as a relation: then it's locked, and keeps its meaning until the transaction ends.
#[must_use]
pub fn still_means(relation: &Relation) -> String {
    is_named(&qualified(&relation.schema, &relation.name), relation.oid)
}

fn is_named(name: &str, oid: Oid) -> String {
    format!(
        "CASE WHEN {}::pg_catalog.regclass::pg_catalog.oid = {oid}::pg_catalog.oid THEN true ELSE previewpg.renamed() END",
        quote_literal(name)
    )
}

/// A statement that locks these relations, as any read does, and fails as [`still_means`] says. `None` for none. Each comes with its name as it's written, quoted: without a schema, it
/// may come to mean one of another schema. `called`: those that are named in the bodies of functions.
///
/// What is read straight from lower (a materialized view of production's) can't be read in upper, and isn't locked.
#[must_use]
pub fn all_still_mean<'a>(
    relations: impl IntoIterator<Item = (String, &'a Relation)>,
    called: impl IntoIterator<Item = &'a Relation>,
) -> Option<String> {
    let (mut names, mut same) = (Vec::new(), Vec::new());
    for (name, relation) in relations {
        same.push(is_named(&name, relation.oid));
        if !relation.lower.as_ref().is_some_and(|lower| lower.read_only) {
            names.push(format!("{name} AS r{}", names.len()));
        }
    }
    let from = if names.is_empty() { "" } else { " FROM " };
    let locks = (!same.is_empty()).then(|| {
        let (names, same) = (names.join(", "), same.join(" AND "));
        // Not LIMIT 0: nothing is opened, as a materialized view WITH NO DATA can't be.
        format!("SELECT{from}{names} WHERE {same} AND false")
    });
    let (bodies, oids): (Vec<_>, Vec<_>) = called
        .into_iter()
        .map(|relation| {
            let name = qualified(&relation.schema, &relation.name);
            (quote_literal(&name), relation.oid.to_string())
        })
        .unzip();
    if bodies.is_empty() {
        return locks;
    }
    let held = format!(
        "SELECT previewpg.held(ARRAY[{}], ARRAY[{}]::pg_catalog.oid[])",
        bodies.join(", "),
        oids.join(", ")
    );
    Some(match locks {
        None => held,
        Some(locks) => format!("{held} WHERE NOT EXISTS ({locks})"),
    })
}

/// The condition that a row isn't claimed; `alias` is what its key columns belong to.
///
/// A correlated NOT EXISTS: PostgreSQL probes the claims' index for a few rows and hashes them for many, whichever is cheaper. With 100,000 claims a point look-up
/// takes 0.7 ms this way; an array of the claims sent to production takes 52 ms, a hashed NOT IN 30 ms.
#[must_use]
pub fn unclaimed(lower: &Lower, alias: &str) -> String {
    let claims = &lower.claims;
    if lower.key.is_empty() {
        // The claims of a relation without a key hold one row once everything was copied up.
        return format!("NOT EXISTS (SELECT FROM {claims})");
    }
    let alias = quote_identifier(alias);
    let same_key: Vec<String> = lower
        .key
        .iter()
        .map(|name| quote_identifier(name))
        .map(|name| format!("previewpg_c.{name} = {alias}.{name}"))
        .collect();
    format!(
        "NOT EXISTS (SELECT FROM {claims} AS previewpg_c WHERE {})",
        same_key.join(" AND ")
    )
}

/// What a column of a key is known to equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The column's name.
    pub column: String,
    /// Its type's OID.
    pub type_oid: Oid,
    /// A parameter (`$1`) or a literal.
    pub value: &'a str,
}

/// The types of which a value equals one value of this type at most, as a list.
fn exact_types(type_oid: Oid) -> String {
    match type_oid {
        // int8, int2, int4; numeric.
        20 | 21 | 23 => "20, 21, 23, 1700".to_owned(),
        // text, varchar.
        25 | 1043 => "25, 1043".to_owned(),
        other => other.to_string(),
    }
}

/// The condition that a whole key isn't claimed, where it is known before any row is: with a value for each of its columns, a parameter or a literal. PostgreSQL looks it up once
/// and doesn't ask production for what is claimed. `None`: not each column has one.
///
/// Several keys may equal one value of another type (bigints and a floating-point number, timestamps and one with a time zone): with a parameter of such a
/// type the condition says nothing.
#[must_use]
pub fn unclaimed_key(lower: &Lower, values: &[KeyValue<'_>]) -> Option<String> {
    if lower.key.is_empty() {
        return None;
    }
    let mut conditions = Vec::with_capacity(lower.key.len());
    for name in &lower.key {
        let KeyValue {
            value, type_oid, ..
        } = values.iter().find(|known| known.column == *name)?;
        conditions.push(format!("previewpg_k.{} = {value}", quote_identifier(name)));
        if value.starts_with('$') {
            conditions.push(format!(
                "pg_catalog.pg_typeof({value})::pg_catalog.oid IN ({})",
                exact_types(*type_oid)
            ));
        }
    }
    Some(format!(
        "NOT EXISTS (SELECT FROM {} AS previewpg_k WHERE {})",
        lower.claims,
        conditions.join(" AND ")
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::model::{Column, RelationKind};

    fn users(key: &[&str]) -> Relation {
        let column = |number: i16, name: &str| Column {
            number,
            name: name.to_owned(),
            type_oid: 23,
            type_name: "integer".to_owned(),
            not_null: true,
            generated: false,
            has_default: false,
            stable_default: None,
        };
        Relation {
            oid: 7,
            schema: "public".to_owned(),
            name: "users".to_owned(),
            kind: RelationKind::Table,
            temporary: false,
            columns: vec![column(1, "id"), column(2, "kind")],
            keys: Vec::new(),
            lower: Some(Lower {
                view: "previewpg_lower.r7".to_owned(),
                claims: "previewpg_claims.r7".to_owned(),
                copy_up: None,
                key: key.iter().map(|&name| name.to_owned()).collect(),
                root: 7,
                heirs: Vec::new(),
                production: ("public".to_owned(), "users".to_owned()),
                same_shape: true,
                row_security: false,
                read_only: false,
                rows: 0,
                bytes: 0,
                unsupported: None,
                policed: false,
                dirty: Arc::default(),
            }),
            definition: None,
            barrier: false,
            reads: Vec::new(),
            row_security: false,
            rules: false,
            trigger_functions: Vec::new(),
            row_functions: Vec::new(),
            rule_reads: Vec::new(),
            heirs: Vec::new(),
            children: Vec::new(),
            partition_root: None,
            inherits: false,
        }
    }

    fn text(key: &[&str]) -> String {
        let relation = users(key);
        relation
            .lower
            .as_ref()
            .map(|lower| merged(&relation, lower, false))
            .unwrap_or_default()
    }

    fn named(relation: &Relation) -> (String, &Relation) {
        (quote_identifier(&relation.name), relation)
    }

    #[test]
    fn relations_are_locked_while_they_are_looked_at() {
        let relation = users(&["id"]);
        assert_eq!(
            all_still_mean([named(&relation)], []).unwrap_or_default(),
            "SELECT FROM \"users\" AS r0 WHERE CASE WHEN '\"users\"'::pg_catalog.regclass::pg_catalog.oid \
             = 7::pg_catalog.oid THEN true ELSE previewpg.renamed() END AND false"
        );
        assert_eq!(all_still_mean([], []), None);
        let held =
            "SELECT previewpg.held(ARRAY['\"public\".\"users\"'], ARRAY[7]::pg_catalog.oid[])";
        assert_eq!(all_still_mean([], [&relation]).as_deref(), Some(held));
        let both = all_still_mean([named(&relation)], [&relation]).unwrap_or_default();
        let beginning = format!("{held} WHERE NOT EXISTS (SELECT FROM \"users\" AS r0 WHERE");
        assert!(both.starts_with(&beginning), "{both}");
    }

    #[test]
    fn what_is_read_from_lower_alone_is_not_read_in_upper() {
        let mut view = users(&["id"]);
        view.oid = 8;
        view.name = "totals".to_owned();
        if let Some(lower) = &mut view.lower {
            lower.read_only = true;
        }
        let alone = all_still_mean([named(&view)], []).unwrap_or_default();
        assert!(
            alone.starts_with("SELECT WHERE CASE WHEN '\"totals\"'"),
            "{alone}"
        );
        let both = all_still_mean([named(&view), named(&users(&["id"]))], []).unwrap_or_default();
        assert!(
            both.starts_with("SELECT FROM \"users\" AS r0 WHERE"),
            "{both}"
        );
        assert!(both.contains("totals") && both.contains("8::pg_catalog.oid"));
    }

    #[test]
    fn a_key_is_looked_up_when_all_of_it_is_known() {
        let gate = |key: &[&str], values: &[(&str, &'static str)]| {
            let relation = users(key);
            let values: Vec<KeyValue<'_>> = values
                .iter()
                .map(|(name, value)| KeyValue {
                    column: (*name).to_owned(),
                    type_oid: 23,
                    value,
                })
                .collect();
            relation
                .lower
                .as_ref()
                .and_then(|lower| unclaimed_key(lower, &values))
        };
        assert_eq!(
            gate(&["id"], &[("kind", "3"), ("id", "5")]).as_deref(),
            Some(
                "NOT EXISTS (SELECT FROM previewpg_claims.r7 AS previewpg_k WHERE previewpg_k.\"id\" = 5)"
            )
        );
        assert_eq!(
            gate(&["id", "kind"], &[("kind", "$2"), ("id", "5")]).as_deref(),
            Some(
                "NOT EXISTS (SELECT FROM previewpg_claims.r7 AS previewpg_k WHERE previewpg_k.\"id\" = 5 AND previewpg_k.\"kind\" = $2 \
                 AND pg_catalog.pg_typeof($2)::pg_catalog.oid IN (20, 21, 23, 1700))"
            )
        );
        assert_eq!(
            exact_types(1114),
            "1114",
            "a timestamptz equals two in autumn"
        );
        assert_eq!(gate(&["id", "kind"], &[("id", "5")]), None);
        assert_eq!(gate(&[], &[("id", "5")]), None);
    }

    #[test]
    fn rows_of_heirs_are_read_unless_only_is_said() {
        let mut relation = users(&[]);
        let Some(mut lower) = relation.lower.take() else {
            return;
        };
        lower.heirs = vec!["previewpg_lower.r8".to_owned()];
        let all = merged(&relation, &lower, false);
        assert!(
            all.contains("1 AS previewpg_src FROM \"public\".\"users\" UNION ALL"),
            "{all}"
        );
        assert!(
            all.contains("0 FROM previewpg_lower.r7 UNION ALL SELECT \"id\", \"kind\", 0 FROM previewpg_lower.r8)"),
            "{all}"
        );
        assert_eq!(merged(&relation, &lower, true), text(&[]));
    }

    #[test]
    fn the_filter_stands_above_the_union() {
        assert_eq!(
            text(&["id"]),
            "SELECT \"id\", \"kind\" FROM (SELECT \"id\", \"kind\", 1 AS previewpg_src FROM ONLY \"public\".\"users\" \
             UNION ALL SELECT \"id\", \"kind\", 0 FROM previewpg_lower.r7) AS previewpg_m \
             WHERE (previewpg_src = 1 OR NOT EXISTS (SELECT FROM previewpg_claims.r7 AS previewpg_c WHERE previewpg_c.\"id\" = \"previewpg_m\".\"id\")) \
             AND CASE WHEN '\"public\".\"users\"'::pg_catalog.regclass::pg_catalog.oid = 7::pg_catalog.oid THEN true ELSE previewpg.renamed() END"
        );
        assert!(text(&["id", "kind"]).contains(
            "WHERE previewpg_c.\"id\" = \"previewpg_m\".\"id\" AND previewpg_c.\"kind\" = \"previewpg_m\".\"kind\")"
        ));
        assert!(text(&[]).contains("OR NOT EXISTS (SELECT FROM previewpg_claims.r7))"));
    }
}
