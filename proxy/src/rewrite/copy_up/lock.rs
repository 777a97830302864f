//! Row locks: the rows of production that a locking clause locks.

use super::super::plan::{Before, Refusal};
use super::super::{refusal, whole_table};
use super::probe::{From, Probe, Search, call, parameters};
use crate::sql::facts::{self, Level, LevelId, LockStrength, LockWait, Role, Span};

/// Rows beyond those wanted that a SKIP LOCKED copy-up looks at: as many may be held by other sessions.
const SKIP_MARGIN: u32 = 256;

impl Probe<'_, '_> {
    /// The rows that a locking clause locks.
    pub(super) fn lock(&self, at: usize) -> Result<Vec<Before>, Refusal> {
        let planner = self.planner;
        let Some(named) = planner.statement.relations.get(at) else {
            return Ok(Vec::new());
        };
        let Some((id, level)) = named.level.and_then(|id| Some((id, planner.level(id)?))) else {
            return Ok(vec![self.whole()]);
        };
        let is_ours = |lock: &&facts::Lock| {
            lock.of.is_empty() || lock.of.iter().any(|name| name == self.alias)
        };
        let wait = level
            .locks
            .iter()
            .filter(is_ours)
            .map(|lock| lock.wait)
            .next()
            .unwrap_or(LockWait::Block);
        let strength = level
            .locks
            .iter()
            .filter(is_ours)
            .map(|lock| lock.strength)
            .max()
            .unwrap_or(LockStrength::Update);
        let alone = level.range.len() == 1;
        let all_conjuncts = level
            .condition
            .as_ref()
            .map(|condition| condition.conjuncts.as_slice())
            .unwrap_or_default();
        let mut conditions = Vec::new();
        let mut unsteady = false;
        for conjunct in all_conjuncts {
            if !planner.is_volatile(conjunct) && !self.looks_outside(conjunct, id, level) {
                unsteady |= self.is_unsteady(conjunct);
                conditions.push(self.render(conjunct)?);
            }
        }
        let complete = conditions.len() == all_conjuncts.len();
        let from = match &level.from {
            Some(from) if !alone => {
                if self.looks_outside(from, id, level) || planner.is_volatile(from) {
                    return Ok(vec![self.whole()]);
                }
                unsteady |= self.is_unsteady(from);
                From::Instead(self.render_with_lower(from, at)?)
            }
            _ => From::Lower,
        };
        let (order, wanted) = if alone && complete {
            self.first_rows(level)?
        } else {
            (None, None)
        };
        let skips = wait != LockWait::Block;
        let tail = wanted.as_ref().map(|wanted| {
            let order = order
                .map(|order| format!("ORDER BY {order} "))
                .unwrap_or_default();
            let margin = if skips {
                format!(" + {SKIP_MARGIN}")
            } else {
                String::new()
            };
            format!("{order}LIMIT {wanted}{margin}")
        });
        if conditions.is_empty() && tail.is_none() && !skips {
            return Ok(vec![self.whole()]);
        }
        let apart = matches!(strength, LockStrength::Share | LockStrength::KeyShare) && !skips;
        let Some(copy_up) = &self.lower.copy_up else {
            return Ok(vec![self.whole()]);
        };
        let rows = self.search(Search {
            unsteady,
            with: String::new(),
            from,
            conditions,
            tail,
        });
        let text = if skips {
            let wanted = wanted.map_or_else(|| "NULL".to_owned(), |wanted| wanted.clone());
            let word = if wait == LockWait::Skip {
                "skip"
            } else {
                "error"
            };
            format!(
                "SELECT previewpg.copy_up_available({}::oid, ARRAY({rows}), {wanted}, '{word}')",
                self.relation.oid
            )
        } else {
            call(copy_up, &rows)
        };
        let copy = Before {
            parameters: parameters(&text),
            text,
            apart,
        };
        // SKIP LOCKED: no row is owed to anybody.
        if !unsteady || skips {
            return Ok(vec![copy]);
        }
        let settle = self.settle(&rows);
        Ok(vec![copy.clone(), copy, settle])
    }

    /// ORDER BY and the number of rows that a locking SELECT can return, where that bounds what must be copied up.
    fn first_rows(&self, level: &Level) -> Result<(Option<String>, Option<String>), Refusal> {
        let Some(limit) = &level.limit else {
            return Ok((None, None));
        };
        let counts = level.offset.iter().chain([limit]);
        let volatile = counts.clone().any(|span| self.planner.is_volatile(span));
        if level.with_ties
            || level.set_operation
            || level.distinct
            || level.group_by.is_some()
            || volatile
        {
            return Ok((None, None));
        }
        let order = match &level.order_by {
            Some(span) if !self.orders_by_own_columns(span, level) => return Ok((None, None)),
            Some(span) => Some(self.render(span)?),
            // Any rows will do.
            None => None,
        };
        let mut wanted = Vec::new();
        for count in counts {
            // FETCH FIRST ROW ONLY has no count to point at.
            let count = if count.is_empty() {
                "1".to_owned()
            } else {
                self.render(count)?
            };
            wanted.push(format!("({count})::bigint"));
        }
        Ok((order, Some(wanted.join(" + "))))
    }

    /// Whether ORDER BY means the relation's columns: not a position, not an output name that shadows one.
    fn orders_by_own_columns(&self, order: &Span, level: &Level) -> bool {
        let columns_are_own = self
            .planner
            .statement
            .columns
            .iter()
            .filter(|column| {
                column
                    .spans
                    .first()
                    .is_some_and(|span| order.start <= span.start && span.end <= order.end)
            })
            .all(|column| {
                column
                    .parts
                    .last()
                    .is_some_and(|name| self.relation.column(name).is_some())
            });
        let has_position = self
            .planner
            .source(order)
            .split(',')
            .any(|item| item.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        // A list of bare columns has no output names of its own.
        let list = self.planner.source(&level.list);
        let is_bare = list.split(',').all(|item| {
            let item = item.trim();
            !item.is_empty()
                && item
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '*' | '$'))
        });
        columns_are_own && !has_position && is_bare && !self.planner.is_volatile(order)
    }

    /// Whether the text refers to something outside of its level (a correlated subquery), or to a CTE.
    fn looks_outside(&self, span: &Span, id: LevelId, level: &Level) -> bool {
        let statement = self.planner.statement;
        let below = |mut other: Option<LevelId>| {
            while let Some(at) = other {
                if at == id {
                    return true;
                }
                other = statement.levels.get(at).and_then(|level| level.parent);
            }
            false
        };
        let inner_ranges: Vec<&String> = statement
            .levels
            .iter()
            .enumerate()
            .filter(|(at, _)| below(Some(*at)))
            .flat_map(|(_, level)| &level.range)
            .collect();
        let correlated = level.parent.is_some()
            && statement
                .columns
                .iter()
                .filter(|column| {
                    column
                        .spans
                        .first()
                        .is_some_and(|at| span.start <= at.start && at.end <= span.end)
                })
                .any(|column| match column.parts.as_slice() {
                    [] => true,
                    [name] => self.relation.column(name).is_none(),
                    [.., qualifier, _] => !inner_ranges.contains(&qualifier),
                });
        correlated || self.planner.mentions(span, &level.ctes)
    }

    /// FROM items with lower in place of the relation, the others merged.
    fn render_with_lower(&self, from: &Span, at: usize) -> Result<String, Refusal> {
        let statement = self.planner.statement;
        let Some(named) = statement.relations.get(at) else {
            return Ok(String::new());
        };
        let lower = match named.alias {
            Some(_) => self.lower.view.clone(),
            None => format!("{} AS {}", self.lower.view, self.quoted_alias()),
        };
        let mut edits = self.edits.clone();
        edits.remove(&named.span);
        super::super::replace(&mut edits, &named.span, lower)?;
        self.planner.render(from, &edits)
    }

    /// A SKIP LOCKED query may choose rows of its own table only: what it would choose among others isn't known before it runs.
    pub(super) fn check_skip_locked(&self, span: &Span) -> Result<(), Refusal> {
        for (at, named) in self.planner.statement.relations.iter().enumerate() {
            let inside = span.start <= named.span.start && named.span.end <= span.end;
            if !inside || named.role != Role::Read || !self.planner.is_locked(at) {
                continue;
            }
            let level = named.level.and_then(|level| self.planner.level(level));
            let skips = level
                .is_some_and(|level| level.locks.iter().any(|lock| lock.wait == LockWait::Skip));
            let locked = self.planner.resolved.get(at);
            let locked = locked.and_then(|resolved| resolved.known());
            let locked = locked.map(|relation| relation.oid);
            if skips && locked != Some(self.relation.oid) {
                return Err(whole_table::unless_copied(
                    refusal::skip_locked(&self.relation.name),
                    locked.into_iter().chain([self.relation.oid]),
                    self.planner.context,
                ));
            }
        }
        Ok(())
    }
}
