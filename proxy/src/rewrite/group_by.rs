//! GROUP BY of a primary key: PostgreSQL lets the table's other columns be selected, for they depend on the key. A derived table has no key,
//! so the columns that are used are added to the GROUP BY list, which changes no group.

use std::collections::BTreeSet;

use super::plan::Refusal;
use super::{Planner, replace};
use crate::catalog::model::Relation;
use crate::overlay::names::quote_identifier;
use crate::sql::facts::{Column, LevelId, Role, Span};
use crate::sql::patch::Edits;

pub(super) fn complete(planner: &Planner<'_>, edits: &mut Edits) -> Result<(), Refusal> {
    let statement = planner.statement;
    for (id, level) in statement.levels.iter().enumerate() {
        let Some(list) = &level.group_by else {
            continue;
        };
        // PostgreSQL knows no such dependency between grouping sets, and adding to them would change the groups.
        let upper = planner.source(list).to_ascii_uppercase();
        if ["ROLLUP", "CUBE", "GROUPING"]
            .iter()
            .any(|word| upper.contains(word))
        {
            continue;
        }
        let mut added = Vec::new();
        for (at, relation) in planner.backed() {
            let Some(named) = statement.relations.get(at) else {
                continue;
            };
            if named.level != Some(id) || named.role != Role::Read || named.column_aliases {
                continue;
            }
            let range_name = named.range_name();
            let used = Used {
                planner,
                level: id,
                list,
                relation,
                range_name,
            };
            added.extend(used.dependent_columns());
        }
        if !added.is_empty() {
            replace(
                edits,
                &(list.end..list.end),
                format!(", {}", added.join(", ")),
            )?;
        }
    }
    Ok(())
}

/// The uses of one relation's columns at one level.
struct Used<'p> {
    planner: &'p Planner<'p>,
    level: LevelId,
    list: &'p Span,
    relation: &'p Relation,
    range_name: &'p str,
}

impl Used<'_> {
    /// The columns to add, qualified; none where the GROUP BY list hasn't the whole primary key.
    fn dependent_columns(&self) -> Vec<String> {
        let Some(key) = self.relation.primary_key() else {
            return Vec::new();
        };
        let mut grouped = BTreeSet::new();
        let mut used = BTreeSet::new();
        for column in &self.planner.statement.columns {
            let Some(name) = self.names(column) else {
                continue;
            };
            let inside = column
                .spans
                .first()
                .is_some_and(|span| self.list.start <= span.start && span.end <= self.list.end);
            if inside {
                grouped.insert(name);
            } else if name == "*" {
                used.extend(
                    self.relation
                        .columns
                        .iter()
                        .map(|column| column.name.as_str()),
                );
            } else {
                used.insert(name);
            }
        }
        if !key
            .columns
            .iter()
            .all(|column| grouped.contains(column.as_str()))
        {
            return Vec::new();
        }
        used.difference(&grouped)
            .map(|name| {
                format!(
                    "{}.{}",
                    quote_identifier(self.range_name),
                    quote_identifier(name)
                )
            })
            .collect()
    }

    /// The name of the relation's column that a reference means (`*` for all), if it means one.
    fn names<'c>(&self, column: &'c Column) -> Option<&'c str> {
        let (name, qualifiers) = column.parts.split_last()?;
        let here = column.level == Some(self.level);
        let meant = match qualifiers.last() {
            Some(qualifier) => {
                qualifier == self.range_name && (here || self.is_below(column.level))
            }
            None => here,
        };
        (meant && (name == "*" || self.relation.column(name).is_some())).then_some(name.as_str())
    }

    fn is_below(&self, level: Option<LevelId>) -> bool {
        let mut level = level;
        while let Some(id) = level {
            if id == self.level {
                return true;
            }
            level = self
                .planner
                .statement
                .levels
                .get(id)
                .and_then(|level| level.parent);
        }
        false
    }
}
