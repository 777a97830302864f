//! What a statement reads by name, and what keeps those names from coming to mean something else before PostgreSQL reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::Before;
use super::{Context, Planner, resolve};
use crate::catalog::model::{Oid, Relation, RelationKind};
use crate::overlay::merged;
use crate::overlay::names::{qualified, quote_identifier};
use crate::sql::facts::{Kind, Name, Relation as Named, Role, Statement};

/// The relations that a statement reads by name and that aren't read as merged rows, which look after themselves. (What it's to change is guarded.)
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnReads {
    /// They.
    pub relations: Vec<Oid>,
    /// It locks rows of production's besides.
    pub locks: bool,
}

/// See [`OwnReads`].
#[must_use]
pub fn own_reads(statement: &Statement, context: Context<'_>) -> OwnReads {
    let locks = statement.levels.iter().any(|level| !level.locks.is_empty());
    let fills = matches!(&statement.kind, Kind::Copy(copy) if copy.from);
    let mut own = OwnReads::default();
    for (named, relation) in known(statement, context) {
        let reads = match named.role {
            Role::Read | Role::Table => true,
            Role::Copy => !fills,
            _ => false,
        };
        let merged = context.catalog.is_backed(relation.oid);
        if reads && (!merged || locks) && !own.relations.contains(&relation.oid) {
            own.relations.push(relation.oid);
            own.locks |= merged;
        }
    }
    own
}

/// What keeps the names of a read or write from coming to mean other relations than it was planned for: run in front of it, it locks them, and fails where
/// a name means another one already. The same for names in the bodies of what it calls. (Merged reads look after themselves.)
#[must_use]
pub fn still_mean(text: &str, statement: &Statement, context: Context<'_>) -> Option<Before> {
    let named: BTreeMap<(Oid, String), &Arc<Relation>> = known(statement, context)
        .map(|(named, relation)| ((relation.oid, written(&named.name)), relation))
        .collect();
    let named = named
        .into_iter()
        .map(|((_, name), relation)| (name, relation.as_ref()));
    let bodies = Planner::new(text, statement, context).own_in_bodies();
    let called = bodies
        .iter()
        .filter_map(|oid| context.catalog.relations.get(oid))
        .map(Arc::as_ref);
    let text = merged::all_still_mean(named, called)?;
    Some(Before {
        text,
        parameters: 0,
        apart: false,
    })
}

/// The relations that a statement names, other than what a command is about, and that other sessions know.
fn known<'a>(
    statement: &'a Statement,
    context: Context<'a>,
) -> impl Iterator<Item = (&'a Named, &'a Arc<Relation>)> {
    statement
        .relations
        .iter()
        .filter(|named| !matches!(named.role, Role::Object | Role::New))
        .filter_map(move |named| {
            let relation = resolve::relation(&named.name, context).known()?;
            Some((named, relation))
        })
        .filter(|(_, relation)| !relation.temporary && relation.kind != RelationKind::Composite)
}

/// A name as the statement has it, quoted.
fn written(name: &Name) -> String {
    match &name.schema {
        Some(schema) => qualified(schema, &name.name),
        None => quote_identifier(&name.name),
    }
}
