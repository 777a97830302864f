//! Reads: each reference to a lower-backed relation, or to a view over one, becomes a derived table that keeps its alias.

use std::sync::Arc;

use super::plan::Refusal;
use super::resolve::Resolution;
use super::{Context, Planner, barrier, group_by, refusal, replace, whole_row, whole_table};
use crate::catalog::model::{Oid, Relation, RelationKind};
use crate::overlay::merged::merged;
use crate::overlay::names::quote_identifier;
use crate::sql::facts::{self, Kind, LevelId, LockWait, Role};
use crate::sql::patch::Edits;

/// Views in views, to this depth: deeper ones are refused.
const MAX_VIEW_DEPTH: usize = 32;

pub(super) const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// What to do with the relations whose rows a locking clause locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// Leave them: their rows have been copied up, and upper's are locked.
    Raw,
    /// Merge them, and take the locking clauses out: to look for rows only.
    Merged,
    /// The same, but leave the SKIP LOCKED queries of this relation: which rows they choose depends on what others hold, and the rows that
    /// they may choose are in upper by now.
    Skipping(Oid),
}

impl Planner<'_> {
    /// Edits that merge every read.
    pub(super) fn merge_reads(&self, edits: &mut Edits, locked: Locked) -> Result<(), Refusal> {
        let leaky = self.is_leaky();
        for (at, relation) in self.backed() {
            let Some(named) = self.statement.relations.get(at) else {
                continue;
            };
            if !matches!(named.role, Role::Read | Role::Table) {
                continue;
            }
            if self.stays(at, locked) {
                continue;
            }
            if named.sampled {
                let refusal = refusal::tablesample(&relation.name);
                return Err(whole_table::unless_copied(
                    refusal,
                    [relation.oid],
                    self.context,
                ));
            }
            // A partitioned table has no rows of its own, on production neither.
            if named.only && relation.kind == RelationKind::Partitioned {
                continue;
            }
            let select = expand(relation, named.only, self.context, 0, leaky)?;
            let alias = quote_identifier(&self.derived_name(at, relation));
            let derived = match (named.role, &named.alias) {
                (Role::Table, _) => format!("(SELECT * FROM ({select}) AS {alias})"),
                (_, Some(_)) => format!("({select})"),
                (_, None) => format!("({select}) AS {alias}"),
            };
            replace(edits, &named.span, derived)?;
        }
        if locked != Locked::Raw {
            // The locks of a query expression are listed at each of its levels; taken out once.
            let mut spans: Vec<_> = self
                .statement
                .levels
                .iter()
                .enumerate()
                .filter(|(level, _)| !self.skips_of(*level, locked))
                .flat_map(|(_, level)| &level.locks)
                .map(|lock| lock.span.clone())
                .collect();
            spans.sort_by_key(|span| span.start);
            spans.dedup();
            for span in spans {
                replace(edits, &span, "")?;
            }
        }
        self.unqualify_columns(edits, locked)?;
        whole_row::name_types(self, edits, locked)?;
        group_by::complete(self, edits)
    }

    /// Whether a read of a relation is left as it stands.
    pub(super) fn stays(&self, at: usize, locked: Locked) -> bool {
        let level = || self.statement.relations.get(at)?.level;
        self.is_locked(at)
            && match locked {
                Locked::Raw => true,
                Locked::Merged => false,
                Locked::Skipping(_) => level().is_some_and(|level| self.skips_of(level, locked)),
            }
    }

    /// Whether a level locks rows of that relation only, and those with SKIP LOCKED.
    fn skips_of(&self, level: LevelId, locked: Locked) -> bool {
        let Locked::Skipping(oid) = locked else {
            return false;
        };
        let locks = self
            .statement
            .levels
            .get(level)
            .map(|level| level.locks.as_slice())
            .unwrap_or_default();
        let theirs = self.backed().filter(|(at, _)| {
            let named = self.statement.relations.get(*at);
            named.is_some_and(|named| named.level == Some(level)) && self.is_locked(*at)
        });
        let mut theirs = theirs.peekable();
        theirs.peek().is_some()
            && locks.iter().all(|lock| lock.wait == LockWait::Skip)
            && theirs.all(|(_, relation)| relation.oid == oid)
    }

    /// The name of a derived table that has no alias of its own: the relation's, or, where two schemas' relations of one name stand side by side, one that tells them apart.
    fn derived_name(&self, at: usize, relation: &Relation) -> String {
        let relations = &self.statement.relations;
        let twin = relations.get(at).is_some_and(|named| {
            relations.iter().enumerate().any(|(other, twin)| {
                other != at
                    && twin.level == named.level
                    && twin.alias.is_none()
                    && twin.name.name == named.name.name
                    && !matches!(twin.role, Role::Object | Role::New)
            })
        });
        if twin {
            format!("{}.{}", relation.schema, relation.name)
        } else {
            relation.name.clone()
        }
    }

    /// Whether a locking clause locks the rows of this relation.
    pub(super) fn is_locked(&self, at: usize) -> bool {
        let Some(named) = self.statement.relations.get(at) else {
            return false;
        };
        let Some(level) = named
            .level
            .and_then(|level| self.statement.levels.get(level))
        else {
            return false;
        };
        let range_name = named.range_name();
        named.role == Role::Read
            && self
                .resolved
                .get(at)
                .is_some_and(|relation| self.is_lockable(*relation))
            && level
                .locks
                .iter()
                .any(|lock| lock.of.is_empty() || lock.of.iter().any(|name| name == range_name))
    }

    /// Materialized views can't be locked: PostgreSQL's own error says so.
    fn is_lockable(&self, relation: Resolution<'_>) -> bool {
        relation.backed(self.context).is_some()
    }

    /// `public.users.id` → `users.id`: a derived table has no schema.
    fn unqualify_columns(&self, edits: &mut Edits, locked: Locked) -> Result<(), Refusal> {
        for column in &self.statement.columns {
            let count = column.parts.len();
            if count < 3 {
                continue;
            }
            let (Some(schema), Some(table)) =
                (column.parts.get(count - 3), column.parts.get(count - 2))
            else {
                continue;
            };
            let is_derived = |at: usize, relation: &Relation| {
                let named = self.statement.relations.get(at);
                relation.schema == *schema
                    && named.is_some_and(|named| {
                        named.alias.is_none() && named.name.name == *table && named.role != Role::Object
                    })
                    // A write's target, or a locked relation, stays itself in the client's statement; in a copy-up it's an alias.
                    && (locked != Locked::Raw || matches!(named.map(|named| named.role), Some(Role::Read)))
                    && !self.stays(at, locked)
            };
            if let Some((at, relation)) = self
                .backed()
                .find(|(at, relation)| is_derived(*at, relation))
                && let (Some(first), Some(second)) =
                    (column.spans.first(), column.spans.get(count - 2))
            {
                let name = quote_identifier(&self.derived_name(at, relation));
                replace(edits, &(first.start..second.end), name)?;
            }
        }
        Ok(())
    }

    /// ctid and its like say nothing about merged rows.
    pub(super) fn refuse_system_columns(&self) -> Result<(), Refusal> {
        for column in &self.statement.columns {
            let Some((name, qualifiers)) = column.parts.split_last() else {
                continue;
            };
            if !SYSTEM_COLUMNS.contains(&name.as_str()) {
                continue;
            }
            let is_meant = |at: usize, relation: &Relation| {
                let Some(named) = self.statement.relations.get(at) else {
                    return false;
                };
                let range_name = named.range_name();
                relation.column(name).is_none()
                    && qualifiers
                        .last()
                        .is_none_or(|qualifier| qualifier == range_name)
            };
            if let Some((_, relation)) =
                self.backed().find(|(at, relation)| is_meant(*at, relation))
            {
                let refusal = refusal::system_column(name, &relation.name);
                return Err(whole_table::unless_copied(
                    refusal,
                    [relation.oid],
                    self.context,
                ));
            }
        }
        Ok(())
    }
}

/// The `SELECT` that gives a relation's merged rows: its merged form, or a view's definition with the reads in it merged. `only`: as it was written.
/// `leaky`: a condition outside of it is.
pub(crate) fn expand(
    relation: &Arc<Relation>,
    only: bool,
    context: Context<'_>,
    depth: usize,
    leaky: bool,
) -> Result<String, Refusal> {
    if let Some(lower) = &relation.lower {
        whole_table::refuse_unserved(relation, context)?;
        return Ok(merged(relation, lower, only));
    }
    let refuse = |why: &str| {
        let refusal = refusal::view(&relation.name, why);
        whole_table::unless_copied(refusal, [relation.oid], context)
    };
    let Some(definition) = relation.definition.as_deref() else {
        return Err(refuse(match relation.kind {
            // A moment's lock is no reason to copy its tables.
            RelationKind::View => {
                let why = "Another session is changing it, or a table that it reads, at this moment; try again when that is done.";
                return Err(refusal::view(&relation.name, why));
            }
            _ => "It isn't a table or a view.",
        }));
    };
    if relation.kind == RelationKind::MaterializedView {
        return Err(refuse(
            "It is a materialized view that was made in the preview over production's rows.",
        ));
    }
    if depth >= MAX_VIEW_DEPTH {
        return Err(refuse("Its views are nested too deeply."));
    }
    let script = facts::read(definition, true);
    let [statement] = script.statements.as_slice() else {
        return Err(refuse("Its definition can't be read."));
    };
    if let Kind::Unreadable { why } = &statement.kind {
        return Err(refuse(&format!("Its definition can't be read: {why}.")));
    }
    // pg_get_viewdef was asked with pg_catalog alone in the search path: every other name is qualified.
    let search_path = ["pg_catalog".to_owned()];
    let context = Context {
        search_path: &search_path,
        ..context
    };
    let planner = Planner::new(definition, statement, context);
    planner.effects()?;
    planner.account()?;
    planner.refuse_system_columns()?;
    let outer = leaky;
    let leaky = outer || planner.is_leaky();
    let mut edits = Edits::default();
    for (at, inner) in planner.backed() {
        let Some(named) = planner.statement.relations.get(at) else {
            continue;
        };
        if named.sampled {
            let refusal = refusal::tablesample(&inner.name);
            return Err(whole_table::unless_copied(refusal, [inner.oid], context));
        }
        if named.only && inner.kind == RelationKind::Partitioned {
            continue;
        }
        let select = expand(inner, named.only, context, depth + 1, leaky)?;
        let alias = quote_identifier(&named.name.name);
        let derived = if named.alias.is_some() {
            format!("({select})")
        } else {
            format!("({select}) AS {alias}")
        };
        replace(&mut edits, &named.span, derived)?;
    }
    planner.unqualify_columns(&mut edits, Locked::Merged)?;
    whole_row::name_types(&planner, &mut edits, Locked::Merged)?;
    group_by::complete(&planner, &mut edits)?;
    let query = planner.render(&statement.span, &edits)?;
    Ok(barrier::fenced(relation, query, outer))
}
