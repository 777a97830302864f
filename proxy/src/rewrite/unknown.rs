//! Names that mean nothing as far as we know. Another session's schema change may have given them a meaning that isn't published yet; then a statement that
//! was planned without it must not run as it stands.

use crate::overlay::names::{quote_identifier, quote_literal};
use crate::sql::facts::{Kind, Name, Role, Statement};

use super::resolve;
use super::{Context, builtin_volatility};

/// A statement that fails with `PPG04` where a name of a read or write means something by now that it didn't when the catalog was read. `None`: all its names
/// mean something (those of the system's schemas and of temporary ones always do, for nobody else changes them).
///
/// To be run when the statement itself has been parsed, and its relations been locked by that: what doesn't exist then is PostgreSQL's own error.
#[must_use]
pub fn still_unknown(statement: &Statement, context: Context<'_>) -> Option<String> {
    if !reads_or_writes(&statement.kind) {
        return None;
    }
    let relations = statement
        .relations
        .iter()
        .filter(|named| !matches!(named.role, Role::Object | Role::New))
        .map(|named| &named.name)
        .filter(|name| {
            let may_be_system = name.schema.is_none() && name.name.starts_with("pg_");
            !is_system(name) && !may_be_system
        })
        .filter(|name| resolve::relation(name, context).known().is_none());
    let routines = statement
        .functions
        .iter()
        .map(|call| &call.name)
        .filter(|name| !is_system(name))
        .filter(|name| name.schema.is_some() || builtin_volatility(&name.name, context).is_none())
        .filter(|name| resolve::routines(name, context).next().is_none());
    let (relations, routines) = (array(relations), array(routines));
    (!relations.is_empty() || !routines.is_empty()).then(|| {
        format!(
            "SELECT previewpg.renamed(ARRAY[{relations}]::pg_catalog.text[], ARRAY[{routines}]::pg_catalog.text[])"
        )
    })
}

fn reads_or_writes(kind: &Kind) -> bool {
    kind.has_rows()
        || matches!(
            kind,
            Kind::CreateView {
                materialized: true,
                ..
            } | Kind::Call
        )
}

fn is_system(name: &Name) -> bool {
    name.schema
        .as_deref()
        .is_some_and(|schema| schema.starts_with("pg_") || schema == "information_schema")
}

fn array<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<String> = names
        .map(|name| {
            let own = quote_identifier(&name.name);
            quote_literal(&match &name.schema {
                Some(schema) => format!("{}.{own}", quote_identifier(schema)),
                None => own,
            })
        })
        .collect();
    names.join(", ")
}
