//! Writes through views that PostgreSQL can update by itself.

use crate::catalog::model::{Lower, Relation};
use crate::overlay::merged::unclaimed;
use crate::overlay::names::quote_identifier;
use crate::rewrite::read::SYSTEM_COLUMNS;
use crate::sql::facts::{self, Role};

/// The one table under a view that PostgreSQL can update by itself (CREATE VIEW, "Updatable Views"), and a query for the view's rows of lower's unclaimed ones,
/// each with the row that it is made of as `previewpg_row`.
pub(super) fn simple_view<'a>(
    definition: &str,
    context: crate::rewrite::Context<'a>,
) -> Option<(&'a Relation, impl Fn(&Lower) -> String + use<>)> {
    let script = facts::read(definition, true);
    let [statement] = script.statements.as_slice() else {
        return None;
    };
    let ([level], [named]) = (statement.levels.as_slice(), statement.relations.as_slice()) else {
        return None;
    };
    let plain = !level.set_operation
        && !level.distinct
        && !level.having
        && level.group_by.is_none()
        && level.limit.is_none()
        && level.offset.is_none()
        && statement.functions.is_empty()
        && !statement.columns.iter().any(|column| {
            let name = column.parts.last();
            name.is_some_and(|name| SYSTEM_COLUMNS.contains(&name.as_str()))
        });
    if !plain || named.role != Role::Read || named.column_aliases {
        return None;
    }
    // Every name in a definition is qualified.
    let base = context
        .catalog
        .relation(named.name.schema.as_deref()?, &named.name.name)?;
    let name = named.range_name();
    let list = definition.get(level.list.clone())?.to_owned();
    let condition = match &level.condition {
        Some(condition) => format!(" WHERE {}", definition.get(condition.span.clone())?),
        None => String::new(),
    };
    let name = quote_identifier(name);
    let rows = move |lower: &Lower| {
        let view = &lower.view;
        let unclaimed = unclaimed(lower, "previewpg_l");
        format!(
            "SELECT {list}, previewpg_row FROM (SELECT previewpg_l.*, ROW(previewpg_l.*)::{view} AS previewpg_row \
             FROM {view} AS previewpg_l WHERE {unclaimed}) AS {name}{condition}"
        )
    };
    Some((base, rows))
}
