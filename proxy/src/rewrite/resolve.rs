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
        Some("pg_temp") => temporary(&name.name, context),
        Some(schema) => context.catalog.relation(schema, &name.name),
        // The session's temporary schema comes first unless the path says where; one that was just made isn't in the path yet.
        None => temporary(&name.name, context)
            .filter(|_| !names_temporary(context))
            .or_else(|| {
                context
                    .search_path
                    .iter()
                    // All of pg_catalog's relations begin with pg_, and where it comes first it wins.
                    .take_while(|schema| !(*schema == "pg_catalog" && name.name.starts_with("pg_")))
                    .find_map(|schema| context.catalog.relation(schema, &name.name))
            }),
    };
    found.map_or(Resolution::Other, Resolution::Known)
}

/// The session's own temporary relation of this name; nobody else's are in the catalog.
fn temporary<'a>(name: &str, context: Context<'a>) -> Option<&'a Arc<Relation>> {
    let schemas = context.catalog.by_name.iter();
    let (schema, _) = schemas
        .into_iter()
        .find(|(schema, _)| schema.starts_with("pg_temp_"))?;
    context.catalog.relation(schema, name)
}

fn names_temporary(context: Context<'_>) -> bool {
    context
        .search_path
        .iter()
        .any(|schema| schema.starts_with("pg_temp"))
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
            // The session's own: nobody else's are in the catalog.
            Some("pg_temp") => routine.schema.starts_with("pg_temp_"),
            Some(schema) => routine.schema == schema,
            None => context.search_path.contains(&routine.schema),
        })
}
