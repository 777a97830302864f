//! Copy-up: the statements that run in front of a write or a row lock and move the rows of production that it may touch into upper.
//!
//! Each one may find too many rows (moving an unchanged row can't be seen) but never too few. So a condition is used where it can be evaluated twice
//! with the same result and left out where it can't, down to the whole table within the limit.

mod conflict;
mod lock;
mod probe;
mod view;

use std::collections::BTreeSet;

use super::plan::{Before, Refusal};
use super::read::Locked;
use super::{Planner, refusal, whole_table};
use probe::{Probe, parameters};
use view::simple_view;

use crate::catalog::model::{Oid, Relation, RelationKind};
use crate::sql::facts::{self, Kind, Level, LevelId, Span, Write, WriteKind};
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{self, TokenKind};

/// Copies the whole table up; with `detach`, lower isn't looked at any more.
pub(super) fn whole(relation: Oid, detach: bool) -> Before {
    Before {
        text: format!("SELECT previewpg.copy_up_all({relation}, {detach})"),
        parameters: 0,
        apart: false,
    }
}

fn permit(relation: Oid) -> Before {
    Before::of(format!("SELECT previewpg.permit({relation})"))
}

impl Before {
    pub(super) fn of(text: String) -> Self {
        Self {
            parameters: parameters(&text),
            text,
            apart: false,
        }
    }
}

impl<'a> Planner<'a> {
    /// Refuses a locking clause that goes for a query in FROM: PostgreSQL takes it on to that query's tables.
    fn refuse_locked_queries(&self) -> Result<(), Refusal> {
        let levels = self.statement.levels.iter().enumerate();
        for (id, outer) in levels.filter(|(_, level)| !level.locks.is_empty()) {
            let relations = &self.statement.relations;
            let is_table = |name: &String| {
                let mut here = relations.iter().filter(|named| named.level == Some(id));
                here.any(|named| named.range_name() == name)
            };
            let mut locks = outer.locks.iter();
            if !locks.any(|lock| lock.of.is_empty() || !lock.of.iter().all(is_table)) {
                continue;
            }
            let in_from = |named: &facts::Relation| {
                let mut inner = named.level;
                while let Some(at) = inner.filter(|at| *at != id && self.stands_in_from(*at)) {
                    inner = self.level(at).and_then(|level| level.parent);
                }
                named.level != Some(id) && inner == Some(id)
            };
            let locked: Vec<_> = self
                .backed()
                .filter(|(at, _)| relations.get(*at).is_some_and(in_from))
                .collect();
            if let Some((_, relation)) = locked.first() {
                return Err(whole_table::unless_copied(
                    refusal::lock_query(&relation.name),
                    locked.iter().map(|(_, relation)| relation.oid),
                    self.context,
                ));
            }
        }
        Ok(())
    }

    /// Whether a query is an item of its outer one's FROM, not a part of an expression there.
    fn stands_in_from(&self, id: LevelId) -> bool {
        let inner = self.level(id);
        let outer = inner.and_then(|inner| self.level(inner.parent?));
        let (Some(inner), Some(from)) = (inner, outer.and_then(|outer| outer.from.as_ref())) else {
            return false;
        };
        let before = self
            .text
            .get(from.start..inner.query.start)
            .filter(|_| inner.query.end <= from.end);
        before.is_some_and(|before| {
            let tokens = lexer::lex(before.as_bytes(), true);
            let mut tokens = tokens.iter().rev();
            tokens
                .find(|token| token.kind != TokenKind::Open)
                .is_none_or(|token| {
                    token.kind == TokenKind::Comma
                        || matches!(token.keyword, Keyword::Join | Keyword::Lateral)
                })
        })
    }

    /// What must run in front of the statement, and the relations that it makes dirty.
    pub(super) fn copy_ups(&self) -> Result<(Vec<Before>, Vec<Oid>), Refusal> {
        self.refuse_locked_queries()?;
        let mut before = Vec::new();
        let mut dirties = Vec::new();
        for (at, relation) in self.backed() {
            if self.is_locked(at) {
                dirties.push(relation.oid);
                dirties.extend(relation.partition_root);
                before.extend(self.lock(at, relation)?);
            }
        }
        for write in &self.statement.writes {
            let target = self
                .resolved
                .get(write.target)
                .and_then(|target| target.backed(self.context));
            let Some(relation) = target else { continue };
            dirties.push(relation.oid);
            dirties.extend(relation.partition_root);
            dirties.extend(&relation.reads);
            before.extend(self.write(write, relation)?);
        }
        Ok((before, dirties))
    }

    fn write(&self, write: &Write, relation: &'a Relation) -> Result<Vec<Before>, Refusal> {
        let changes = Self::changes_existing(&write.kind);
        let conflict = match &write.kind {
            WriteKind::Insert { conflict, .. } => conflict.as_ref(),
            _ => None,
        };
        let Some(lower) = &relation.lower else {
            // A view: an INSERT goes on to the table, whose triggers look after it.
            let plain_insert = !changes && conflict.is_none();
            let own_table_only =
                self.reads_one_table(relation) || !relation.trigger_functions.is_empty();
            return if plain_insert && own_table_only {
                Ok(Vec::new())
            } else {
                self.write_view(write, relation)
            };
        };
        if relation.kind == RelationKind::MaterializedView {
            // PostgreSQL's own error.
            return Ok(Vec::new());
        }
        if lower.read_only {
            return Err(refusal::read_only(&relation.name));
        }
        if relation.rules {
            let tables = [relation.oid].into_iter();
            return Err(whole_table::unless_copied(
                refusal::rules(&relation.name),
                tables.chain(relation.rule_reads.iter().copied()),
                self.context,
            ));
        }
        if let Some((child, why)) = self.unserved_child(write, relation) {
            let refusal = refusal::unserved_child(&relation.name, &child.name, why);
            return Err(whole_table::unless_copied(
                refusal,
                [child.oid],
                self.context,
            ));
        }
        let probe = Probe::new(
            self,
            relation,
            lower,
            self.alias(write.target),
            Locked::Skipping(relation.oid),
        )?;
        let mut before = match &write.kind {
            WriteKind::Insert {
                columns,
                source,
                conflict: Some(conflict),
                ..
            } => probe.conflict(write, columns.as_deref(), source, conflict)?,
            WriteKind::Insert { conflict: None, .. } => Vec::new(),
            WriteKind::Update {
                current_of: Some(_),
                ..
            }
            | WriteKind::Delete {
                current_of: Some(_),
            } => {
                if matches!(self.statement.kind, Kind::Prepare { .. }) {
                    return Err(refusal::current_of(&relation.name));
                }
                // The session sees to it that the cursor's rows have been copied up.
                Vec::new()
            }
            WriteKind::Update { .. } | WriteKind::Delete { .. } => probe.condition(write)?,
            WriteKind::Merge {
                source,
                on,
                by_source,
                ..
            } => probe.merge(write, source, on, *by_source)?,
        };
        if changes {
            before.push(permit(relation.oid));
        }
        Ok(before)
    }

    /// A table that can't be served and whose rows may refer to rows that the write takes away.
    fn unserved_child(
        &self,
        write: &Write,
        relation: &Relation,
    ) -> Option<(&'a Relation, &'a str)> {
        let in_key = |column: &String| {
            let mut keys = relation.keys.iter();
            keys.any(|key| key.columns.contains(column))
        };
        let takes_away = match &write.kind {
            WriteKind::Delete { .. } | WriteKind::Merge { .. } => true,
            WriteKind::Update { columns, .. } => columns.iter().any(in_key),
            WriteKind::Insert { conflict, .. } => {
                let updated = conflict.as_ref().and_then(|found| found.update.as_ref());
                updated.is_some_and(|columns| columns.iter().any(in_key))
            }
        };
        let relations = &self.context.catalog.relations;
        let mut children = relation
            .children
            .iter()
            .filter_map(|oid| relations.get(oid));
        children
            .find_map(|child| {
                let why = child.lower.as_ref()?.unsupported.as_deref()?;
                Some((child.as_ref(), why))
            })
            .filter(|_| takes_away)
    }

    /// UPDATE or DELETE through a view that PostgreSQL can update by itself: the rows of the one table under it are looked for through its definition.
    fn write_view(&self, write: &Write, view: &'a Relation) -> Result<Vec<Before>, Refusal> {
        let refuse = || {
            let refusal = refusal::write_view(&view.name);
            whole_table::unless_copied(refusal, [view.oid], self.context)
        };
        let definition = view.definition.as_deref().ok_or_else(refuse)?;
        let (base, rows) = simple_view(definition, self.context).ok_or_else(refuse)?;
        let lower = base
            .lower
            .as_ref()
            .filter(|lower| !lower.read_only)
            .ok_or_else(refuse)?;
        if matches!(
            write.kind,
            WriteKind::Insert { .. } | WriteKind::Merge { .. }
        ) || write.kind.current_of().is_some()
            || !self.reads_one_table(view)
            || base.rules
            || !view.trigger_functions.is_empty()
        {
            return Err(refuse());
        }
        let mut probe = Probe::new(
            self,
            base,
            lower,
            self.alias(write.target),
            Locked::Skipping(base.oid),
        )?;
        probe.through = Some(rows(lower));
        let mut before = probe.condition(write)?;
        before.push(permit(base.oid));
        Ok(before)
    }

    /// Whether a view reads a single table, at any depth. Another one in its condition is read inside of PostgreSQL, also to check a new row.
    fn reads_one_table(&self, view: &Relation) -> bool {
        let mut to_see = view.reads.clone();
        let (mut views, mut tables) = (BTreeSet::new(), BTreeSet::new());
        while let Some(oid) = to_see.pop() {
            match self.context.catalog.relations.get(&oid) {
                Some(inner) if inner.kind == RelationKind::View => {
                    if views.insert(oid) {
                        to_see.extend(&inner.reads);
                    }
                }
                _ => {
                    tables.insert(oid);
                }
            }
        }
        tables.len() <= 1
    }

    fn lock(&self, at: usize, relation: &'a Relation) -> Result<Vec<Before>, Refusal> {
        let Some(lower) = &relation.lower else {
            let refusal = refusal::lock_view(&relation.name);
            return Err(whole_table::unless_copied(
                refusal,
                [relation.oid],
                self.context,
            ));
        };
        if lower.read_only {
            return Ok(Vec::new());
        }
        Probe::new(self, relation, lower, self.alias(at), Locked::Merged)?.lock(at)
    }

    /// The name by which a relation's columns are referred to.
    fn alias(&self, at: usize) -> &'a str {
        let named = self.statement.relations.get(at);
        named.map_or("", |named| named.range_name())
    }

    fn level(&self, level: LevelId) -> Option<&'a Level> {
        self.statement.levels.get(level)
    }

    /// Whether evaluating this text twice may give two results.
    fn is_volatile(&self, span: &Span) -> bool {
        let inside = |other: &Span| span.start <= other.start && other.end <= span.end;
        self.statement
            .functions
            .iter()
            .filter(|function| inside(&function.span))
            .any(|function| {
                let mut own = super::resolve::routines(&function.name, self.context).peekable();
                if own.peek().is_some() {
                    return own.any(|routine| routine.volatility == b'v');
                }
                !matches!(
                    super::builtin_volatility(&function.name.name, self.context),
                    Some(b'i' | b's')
                )
            })
    }

    /// Whether the text calls a volatile function of the user's.
    fn calls_volatile_routine(&self, span: &Span) -> bool {
        self.statement
            .functions
            .iter()
            .filter(|function| span.start <= function.span.start && function.span.end <= span.end)
            .flat_map(|function| super::resolve::routines(&function.name, self.context))
            .any(|routine| routine.volatility == b'v' && routine.extension.is_none())
    }

    /// Whether what the text gives may depend on the order in which rows are found, which copying some of them up changes:
    /// LIMIT, OFFSET, DISTINCT ON, window functions and aggregates that keep an order. Not in a query that locks rows of `target`: it finds them in upper alone, as the statement itself will.
    fn is_unsteady(&self, span: &Span, target: Oid) -> bool {
        let inside = |other: &Span| span.start <= other.start && other.end <= span.end;
        let locks_target = |id: LevelId| {
            let mut relations = self
                .statement
                .relations
                .iter()
                .zip(&self.resolved)
                .enumerate();
            relations.any(|(at, (named, resolved))| {
                named.level == Some(id)
                    && self.is_locked(at)
                    && resolved
                        .known()
                        .is_some_and(|relation| relation.oid == target)
            })
        };
        let levels = self.statement.levels.iter().enumerate();
        let picks = levels
            .filter(|(_, level)| inside(&level.span))
            .any(|(id, level)| {
                let mut words = self
                    .source(&level.span)
                    .split_ascii_whitespace()
                    .map(str::to_ascii_lowercase)
                    .skip(1);
                let distinct_on = level.distinct
                    && words.next().as_deref() == Some("distinct")
                    && words.next().is_some_and(|word| word.starts_with("on"));
                (level.limit.is_some() || level.offset.is_some() || distinct_on)
                    && !locks_target(id)
            });
        let text = self.source(span).to_ascii_lowercase();
        let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        picks || words.any(|word| word == "over" || word == "first_value" || word.ends_with("_agg"))
    }

    /// Whether the text may mention one of these names.
    fn mentions(&self, span: &Span, names: &[String]) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let mut words = self
            .source(span)
            .split(|c| !is_word(c))
            .filter(|word| !word.is_empty());
        words.any(|word| {
            names
                .iter()
                .any(|name| word.to_lowercase() == name.to_lowercase())
        })
    }
}
