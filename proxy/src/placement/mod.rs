//! Which database a read runs on.
//!
//! | level | where | when |
//! |---|---|---|
//! | 1 | fresh | no lower-backed relation is mentioned ([`crate::rewrite`] sees to that) |
//! | 2 | production | every relation is clean and everything else in the statement means the same there: `production` |
//! | 3 | production, with the delta shipped | not built yet; its place is beside `production` |
//! | 4 | fresh, through the foreign tables | everything else: always correct |
//!
//! Only the statement and the catalog are looked at here; what depends on the session (settings, transaction, result types) is the session's part.

use std::sync::Arc;

use crate::catalog::model::{Oid, Relation, RelationKind};
use crate::overlay::names::{qualified, quote_identifier};
use crate::rewrite::plan::{Fresh, Production, Refusal};
use crate::rewrite::resolve;
use crate::rewrite::{Planner, barrier};
use crate::sql::facts::{self, Kind, Role};
use crate::sql::patch::Edits;

/// Views in views, to this depth, run on production.
const MAX_VIEW_DEPTH: usize = 16;

/// Functions whose value is the transaction's start.
const TRANSACTION_TIME: [&str; 10] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "age",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "timeofday",
];

/// Beginnings of the names of built-in functions that tell of the server, the session, the role or the catalogs.
const TELLS_WHERE: [&str; 25] = [
    "pg_",
    "has_",
    "to_reg",
    "current_",
    "inet_",
    "txid_",
    "set_config",
    "row_security",
    "obj_description",
    "col_description",
    "shobj_",
    "format_type",
    "version",
    "session_user",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "query_to_",
    "lo_",
    "getdatabaseencoding",
    "getpgusername",
    "regclass",
    "oid",
    "user",
];

/// Types whose values are object identifiers of one database.
const IDENTIFIER_TYPES: [&str; 15] = [
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
    "oid",
    "xid",
    "tid",
    "cid",
];

/// A read that may run on production.
#[derive(Debug, Default)]
pub(crate) struct Candidate {
    text: String,
    relations: Vec<Oid>,
    transaction_time: bool,
}

impl Candidate {
    /// The plan, with what to do on fresh where the session rules production out.
    pub(crate) fn or_else(self, fresh: Fresh) -> Production {
        Production {
            text: Arc::from(self.text),
            relations: self.relations,
            transaction_time: self.transaction_time,
            fresh: Box::new(fresh),
        }
    }
}

/// The statement for production, if it is a read that means the same there.
pub(crate) fn production(planner: &Planner<'_>) -> Result<Option<Candidate>, Refusal> {
    if !matches!(planner.statement.kind, Kind::Query) {
        return Ok(None);
    }
    candidate(planner, 0, false)
}

fn candidate(
    planner: &Planner<'_>,
    depth: usize,
    leaky: bool,
) -> Result<Option<Candidate>, Refusal> {
    let mut found = Candidate::default();
    if !means_the_same(planner, &mut found.transaction_time) {
        return Ok(None);
    }
    let leaky = leaky || planner.is_leaky();
    let mut edits = Edits::default();
    for (named, resolved) in planner.statement.relations.iter().zip(&planner.resolved) {
        let Some(relation) = resolved.backed(planner.context) else {
            return Ok(None);
        };
        let alias = quote_identifier(&named.name.name);
        let replacement = if let Some(lower) = &relation.lower {
            if !is_clean(relation) {
                return Ok(None);
            }
            found.relations.push(relation.oid);
            let name = qualified(&lower.production.0, &lower.production.1);
            if named.alias.is_none() && named.role == Role::Read {
                format!("{name} AS {alias}")
            } else {
                name
            }
        } else {
            let Some(inner) = view(relation, planner, depth, leaky)? else {
                return Ok(None);
            };
            found.relations.extend(inner.relations);
            found.transaction_time |= inner.transaction_time;
            match (named.role, &named.alias) {
                (Role::Read, None) => format!("({}) AS {alias}", inner.text),
                (Role::Read, Some(_)) if !named.only => format!("({})", inner.text),
                _ => return Ok(None),
            }
        };
        let span = match named.role {
            // ONLY and the alias stay where they are; with an alias made here, ONLY goes: there are no children.
            Role::Read if named.alias.is_none() => &named.span,
            Role::Read if relation.lower.is_none() => &named.span,
            Role::Read | Role::Table => &named.name_span,
            _ => return Ok(None),
        };
        if edits.replace(span.clone(), replacement).is_err() {
            return Ok(None);
        }
    }
    // `public.users.id` isn't worth its own edits here.
    if found.relations.is_empty()
        || planner
            .statement
            .columns
            .iter()
            .any(|column| column.parts.len() > 2)
    {
        return Ok(None);
    }
    found.text = planner.render(&planner.statement.span, &edits)?;
    Ok(Some(found))
}

/// Whether production's relation holds, for sure, the merged rows.
fn is_clean(relation: &Relation) -> bool {
    let plain = !relation.row_security && !relation.inherits && relation.partition_root.is_none();
    plain
        && relation.kind != RelationKind::Partitioned
        && relation
            .lower
            .as_ref()
            .is_some_and(|lower| lower.unsupported.is_none() && lower.is_clean())
}

/// A view's definition for production.
fn view(
    relation: &Arc<Relation>,
    planner: &Planner<'_>,
    depth: usize,
    leaky: bool,
) -> Result<Option<Candidate>, Refusal> {
    let Some(definition) = relation.definition.as_deref() else {
        return Ok(None);
    };
    if depth >= MAX_VIEW_DEPTH || relation.kind != RelationKind::View {
        return Ok(None);
    }
    let script = facts::read(definition, true);
    let [statement] = script.statements.as_slice() else {
        return Ok(None);
    };
    if !matches!(statement.kind, Kind::Query) {
        return Ok(None);
    }
    let search_path = ["pg_catalog".to_owned()];
    let context = crate::rewrite::Context {
        search_path: &search_path,
        ..planner.context
    };
    let found = candidate(
        &Planner::new(definition, statement, context),
        depth + 1,
        leaky,
    )?;
    Ok(found.map(|mut found| {
        found.text = barrier::fenced(relation, found.text, leaky);
        found
    }))
}

/// Whether functions, types, operators and columns mean the same on production.
fn means_the_same(planner: &Planner<'_>, transaction_time: &mut bool) -> bool {
    let statement = planner.statement;
    let catalog = planner.context.catalog;
    if !statement.writes.is_empty() || statement.levels.iter().any(|level| !level.locks.is_empty())
    {
        return false;
    }
    if catalog.fresh_major != catalog.production_major
        || statement.relations.iter().any(|named| named.sampled)
    {
        return false;
    }
    if catalog.user_operators && !statement.unusual_operators.is_empty() {
        return false;
    }
    for function in &statement.functions {
        let name = function.name.name.as_str();
        if resolve::routines(&function.name, planner.context)
            .next()
            .is_some()
        {
            return false;
        }
        let tells_where = TELLS_WHERE
            .iter()
            .any(|beginning| name.starts_with(beginning));
        let built_in = crate::rewrite::builtin_volatility(name, planner.context);
        if tells_where || !matches!(built_in, Some(b'i' | b's')) {
            return false;
        }
        *transaction_time |= TRANSACTION_TIME.contains(&name);
    }
    for name in &statement.keyword_functions {
        if !TRANSACTION_TIME.contains(&name.as_str()) {
            return false;
        }
        *transaction_time = true;
    }
    statement.types.iter().all(|name| {
        let system = name
            .schema
            .as_deref()
            .is_none_or(|schema| schema == "pg_catalog");
        system
            && !catalog.types.contains_key(&name.name)
            && !IDENTIFIER_TYPES.contains(&name.name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tell_where_one_is_are_known() {
        for name in [
            "pg_backend_pid",
            "current_setting",
            "has_table_privilege",
            "to_regclass",
        ] {
            assert!(
                TELLS_WHERE
                    .iter()
                    .any(|beginning| name.starts_with(beginning)),
                "{name}"
            );
        }
        for name in ["lower", "sum", "jsonb_agg", "date_trunc"] {
            assert!(
                !TELLS_WHERE
                    .iter()
                    .any(|beginning| name.starts_with(beginning)),
                "{name}"
            );
        }
    }
}
