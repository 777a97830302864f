//! What a name in a statement means for a session: PostgreSQL's search path rules over our catalog.

use std::sync::Arc;

use super::Context;
use crate::catalog::model::{Relation, Routine};
use crate::sql::facts::Name;

/// What a relation's name means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resolution<'a> {
    /// A relation of the catalog.
    Known(&'a Arc<Relation>),
    /// A relation of pg_catalog or information_schema, or anything else that isn't in our catalog.
    Other,
}

impl<'a> Resolution<'a> {
    /// The relation, if production's rows show through it.
    pub(crate) fn backed(self, context: Context<'_>) -> Option<&'a Arc<Relation>> {
        match self {
            Self::Known(relation) if context.catalog.is_backed(relation.oid) => Some(relation),
            _ => None,
        }
    }

    /// The relation.
    pub(crate) fn known(self) -> Option<&'a Arc<Relation>> {
        match self {
            Self::Known(relation) => Some(relation),
            Self::Other => None,
        }
    }
}

/// Resolves a relation's name.
pub(crate) fn relation<'a>(name: &Name, context: Context<'a>) -> Resolution<'a> {
    let found = match name.schema.as_deref() {
        Some("pg_temp") => {
            let temporary = context
                .search_path
                .iter()
                .find(|schema| schema.starts_with("pg_temp"));
            temporary.and_then(|schema| context.catalog.relation(schema, &name.name))
        }
        Some(schema) => context.catalog.relation(schema, &name.name),
        None => context
            .search_path
            .iter()
            // All of pg_catalog's relations begin with pg_, and where it comes first it wins.
            .take_while(|schema| !(*schema == "pg_catalog" && name.name.starts_with("pg_")))
            .find_map(|schema| context.catalog.relation(schema, &name.name)),
    };
    found.map_or(Resolution::Other, Resolution::Known)
}

/// The routines outside of the system's schemas that a call by this name may mean. Argument types aren't looked at: all that fit the name.
pub(crate) fn routines<'a>(
    name: &'a Name,
    context: Context<'a>,
) -> impl Iterator<Item = &'a Arc<Routine>> {
    let same_name = context
        .catalog
        .routines
        .get(&name.name)
        .map(Vec::as_slice)
        .unwrap_or_default();
    same_name
        .iter()
        .filter(move |routine| match name.schema.as_deref() {
            Some(schema) => routine.schema == schema,
            None => context.search_path.contains(&routine.schema),
        })
}
