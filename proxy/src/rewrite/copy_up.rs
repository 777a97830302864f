//! Copy-up: the statements that run in front of a write or a row lock and move the rows of production that it may touch into upper.
//!
//! Each one may find too many rows (moving an unchanged row can't be seen) but never too few. So a condition is used where it can be evaluated twice
//! with the same result and left out where it can't, down to the whole table within the limit.

use super::plan::{Before, Refusal};
use super::read::Locked;
use super::{Planner, refusal};
use crate::catalog::model::{Key, Lower, Oid, Relation, RelationKind};
use crate::overlay::merged::unclaimed;
use crate::overlay::names::{identifier_list, quote_identifier};
use crate::sql::facts::{
    self, Conflict, ConflictTarget, InsertSource, Level, LevelId, LockStrength, LockWait, Role,
    Span, Write, WriteKind,
};
use crate::sql::patch::Edits;

/// Rows beyond those wanted that a SKIP LOCKED copy-up looks at: as many may be held by other sessions.
const SKIP_MARGIN: u32 = 256;

/// Copies the whole table up; with `detach`, lower isn't looked at any more.
pub(super) fn whole_table(relation: Oid, detach: bool) -> Before {
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
    fn of(text: String) -> Self {
        Self {
            parameters: parameters(&text),
            text,
            apart: false,
        }
    }
}

impl<'a> Planner<'a> {
    /// What must run in front of the statement, and the relations that it makes dirty.
    pub(super) fn copy_ups(&self) -> Result<(Vec<Before>, Vec<Oid>), Refusal> {
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
            return if plain_insert {
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
            return Err(refusal::rules(&relation.name));
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
                current_of: true, ..
            }
            | WriteKind::Delete { current_of: true } => {
                return Err(refusal::current_of(&relation.name));
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

    /// UPDATE or DELETE through a view that PostgreSQL can update by itself: the rows of the one table under it are looked for through its definition.
    fn write_view(&self, write: &Write, view: &'a Relation) -> Result<Vec<Before>, Refusal> {
        let refuse = || refusal::write_view(&view.name);
        let definition = view.definition.as_deref().ok_or_else(refuse)?;
        let (base, rows) = simple_view(definition, self.context).ok_or_else(refuse)?;
        let lower = base
            .lower
            .as_ref()
            .filter(|lower| !lower.read_only)
            .ok_or_else(refuse)?;
        let current_of = match write.kind {
            WriteKind::Update { current_of, .. } | WriteKind::Delete { current_of } => current_of,
            WriteKind::Insert { .. } | WriteKind::Merge { .. } => return Err(refuse()),
        };
        if current_of || base.rules || !view.trigger_functions.is_empty() {
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

    fn lock(&self, at: usize, relation: &'a Relation) -> Result<Vec<Before>, Refusal> {
        let Some(lower) = &relation.lower else {
            return Err(refusal::lock_view(&relation.name));
        };
        if lower.read_only {
            return Ok(Vec::new());
        }
        Probe::new(self, relation, lower, self.alias(at), Locked::Merged)?.lock(at)
    }

    /// The name by which a relation's columns are referred to.
    fn alias(&self, at: usize) -> &'a str {
        let named = self.statement.relations.get(at);
        named.map_or("", |named| {
            named
                .alias
                .as_ref()
                .map_or(named.name.name.as_str(), |(alias, _)| alias)
        })
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

/// The one table under a view that PostgreSQL can update by itself (CREATE VIEW, "Updatable Views"), and a query for the view's rows of lower's unclaimed ones,
/// each with the row that it is made of as `previewpg_row`.
fn simple_view<'a>(
    definition: &str,
    context: super::Context<'a>,
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
        && statement.functions.is_empty();
    if !plain || named.role != Role::Read || named.column_aliases {
        return None;
    }
    // Every name in a definition is qualified.
    let base = context
        .catalog
        .relation(named.name.schema.as_deref()?, &named.name.name)?;
    let name = named
        .alias
        .as_ref()
        .map_or(&named.name.name, |(alias, _)| alias);
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

/// The search for the rows of one lower relation that a part of a statement may touch.
struct Probe<'p, 'a> {
    planner: &'p Planner<'a>,
    relation: &'a Relation,
    lower: &'a Lower,
    alias: &'a str,
    /// In place of lower: a query for a view's rows, with lower's row in `previewpg_row`.
    through: Option<String>,
    edits: Edits,
}

/// What is known of the rows of an INSERT.
enum Inserted {
    /// None of them can conflict: all are defaults.
    Nothing,
    /// Nothing can be told before it runs.
    Unknown,
    /// A query gives them.
    Rows {
        /// A WITH list, with its keyword, or nothing.
        with: String,
        /// The query.
        rows: String,
    },
}

/// The parts of a search for rows.
#[derive(Default)]
struct Search {
    /// It may find others once those that it finds are copied up.
    unsteady: bool,
    /// A WITH list, with its keyword.
    with: String,
    /// FROM items besides lower, or in place of it.
    from: From,
    /// Conditions, to be joined by AND.
    conditions: Vec<String>,
    /// ORDER BY and LIMIT.
    tail: Option<String>,
}

/// Where a search looks.
#[derive(Default)]
enum From {
    /// In lower alone.
    #[default]
    Lower,
    /// In lower and other items.
    With(String),
    /// In items one of which is lower already.
    Instead(String),
}

impl<'p, 'a> Probe<'p, 'a> {
    fn new(
        planner: &'p Planner<'a>,
        relation: &'a Relation,
        lower: &'a Lower,
        alias: &'a str,
        locked: Locked,
    ) -> Result<Self, Refusal> {
        let mut edits = Edits::default();
        planner.merge_reads(&mut edits, locked)?;
        planner.hide_ours(&mut edits)?;
        Ok(Self {
            planner,
            relation,
            lower,
            alias,
            through: None,
            edits,
        })
    }

    /// The rows that an UPDATE or DELETE may touch.
    fn condition(&self, write: &Write) -> Result<Vec<Before>, Refusal> {
        let Some(level) = self.planner.level(write.level) else {
            return Ok(vec![self.whole()]);
        };
        let mut search = Search::default();
        let with = self.with(write, level)?;
        if let Some(from) = &level.from {
            self.check_skip_locked(from)?;
            if !self.is_usable(from, level, with.as_ref()) {
                return Ok(vec![self.whole()]);
            }
            search.unsteady |= self.is_unsteady(from);
            search.from = From::With(self.render(from)?);
        }
        for conjunct in level
            .condition
            .iter()
            .flat_map(|condition| &condition.conjuncts)
        {
            self.check_skip_locked(conjunct)?;
            if self.is_usable(conjunct, level, with.as_ref()) {
                search.unsteady |= self.is_unsteady(conjunct);
                search.conditions.push(self.render(conjunct)?);
            }
        }
        search.unsteady |= write
            .with
            .as_ref()
            .is_some_and(|with| self.is_unsteady(with));
        search.with = with.unwrap_or_default();
        if search.conditions.is_empty() && self.through.is_none() {
            return Ok(vec![self.whole()]);
        }
        self.rows(search)
    }

    fn is_unsteady(&self, span: &Span) -> bool {
        self.planner.is_unsteady(span, self.relation.oid)
    }

    /// Whether a part of the statement gives the same when it's evaluated in front of it. `with`: the WITH list that can be had there.
    fn is_usable(&self, span: &Span, level: &Level, with: Option<&String>) -> bool {
        !self.planner.is_volatile(span)
            && (with.is_some() || !self.planner.mentions(span, &level.ctes))
    }

    /// The rows that a MERGE may touch.
    fn merge(
        &self,
        write: &Write,
        source: &Span,
        on: &Span,
        by_source: bool,
    ) -> Result<Vec<Before>, Refusal> {
        self.check_skip_locked(source)?;
        let Some(level) = self.planner.level(write.level) else {
            return Ok(vec![self.whole()]);
        };
        let with = self.with(write, level)?;
        let usable = |span| self.is_usable(span, level, with.as_ref());
        if by_source || !usable(source) || !usable(on) {
            return Ok(vec![self.whole()]);
        }
        let parts = [source, on].into_iter().chain(&write.with);
        self.rows(Search {
            unsteady: parts.into_iter().any(|span| self.is_unsteady(span)),
            from: From::With(self.render(source)?),
            conditions: vec![self.render(on)?],
            with: with.unwrap_or_default(),
            tail: None,
        })
    }

    /// The rows that the rows of an INSERT may conflict with.
    fn conflict(
        &self,
        write: &Write,
        columns: Option<&[String]>,
        source: &InsertSource,
        conflict: &Conflict,
    ) -> Result<Vec<Before>, Refusal> {
        let Some(keys) = self.arbiters(conflict) else {
            return Ok(vec![self.whole()]);
        };
        let mut before = Vec::new();
        for key in keys {
            // An expression may be of any column.
            let wanted: Vec<&str> = if key.partial {
                self.relation
                    .columns
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect()
            } else {
                key.columns.iter().map(String::as_str).collect()
            };
            match self.inserted(write, columns, source, &wanted)? {
                Inserted::Nothing => {}
                Inserted::Unknown => return Ok(vec![self.whole()]),
                Inserted::Rows { with, rows } => {
                    let unsteady = self.is_unsteady(&write.span);
                    before.extend(self.conflicts(key, &wanted, &with, &rows, unsteady)?);
                }
            }
        }
        Ok(before)
    }

    /// The rows of lower whose key is that of a row to insert.
    fn conflicts(
        &self,
        key: &Key,
        wanted: &[&str],
        with: &str,
        rows: &str,
        unsteady: bool,
    ) -> Result<Vec<Before>, Refusal> {
        let values: Vec<String> = (1..=key.expressions.len())
            .map(|n| format!("previewpg_{n}"))
            .collect();
        let values = values.join(", ");
        let expressions = key.expressions.join(", ");
        let comma = if with.is_empty() {
            "WITH ".to_owned()
        } else {
            format!("{with}, ")
        };
        let predicate = key
            .predicate
            .as_ref()
            .map(|predicate| format!(" WHERE {predicate}"))
            .unwrap_or_default();
        let with = format!(
            "{comma}previewpg_row ({}) AS ({rows}), previewpg_new ({values}) AS MATERIALIZED (SELECT {expressions} FROM previewpg_row{predicate})",
            identifier_list(wanted.iter().copied()),
        );
        let mut conditions: Vec<String> = (1..)
            .zip(&key.expressions)
            .map(|(n, expression)| {
                format!("({expression}) = ANY (ARRAY(SELECT previewpg_{n} FROM previewpg_new))")
            })
            .collect();
        if key.expressions.len() > 1 {
            conditions.push(format!(
                "({expressions}) IN (SELECT {values} FROM previewpg_new)"
            ));
        }
        conditions.extend(key.predicate.clone());
        self.rows(Search {
            unsteady,
            with,
            from: From::Lower,
            conditions,
            tail: None,
        })
    }

    /// The keys that an ON CONFLICT clause looks at; `None`: an exclusion constraint may be among them.
    fn arbiters(&self, conflict: &Conflict) -> Option<Vec<&'a Key>> {
        let keys = || self.relation.keys.iter();
        let found: Vec<&Key> = match &conflict.target {
            ConflictTarget::Any => keys().collect(),
            ConflictTarget::Constraint(name) => keys()
                .filter(|key| key.constraint && key.name == *name)
                .collect(),
            ConflictTarget::Columns(names) => keys()
                .filter(|key| {
                    !key.exclusion
                        && !key.partial
                        && key.columns.len() == names.len()
                        && key.columns.iter().all(|column| names.contains(column))
                })
                .collect(),
            ConflictTarget::Expressions => keys().filter(|key| !key.exclusion).collect(),
        };
        (!found.iter().any(|key| key.exclusion)).then_some(found)
    }

    /// A query for the values of the columns wanted in the rows to insert.
    fn inserted(
        &self,
        write: &Write,
        columns: Option<&[String]>,
        source: &InsertSource,
        wanted: &[&str],
    ) -> Result<Inserted, Refusal> {
        // A generated column's value is computed of others'; a function of the user's says volatile by default and may well give an existing key.
        let generated = |name: &&str| {
            self.relation
                .column(name)
                .is_some_and(|column| column.generated)
        };
        if wanted.iter().any(generated) || self.planner.calls_volatile_routine(&write.span) {
            return Ok(Inserted::Unknown);
        }
        let all: Vec<&str> = match columns {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => self
                .relation
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect(),
        };
        match source {
            InsertSource::Default => Ok(Inserted::Nothing),
            InsertSource::Values(rows) => {
                let with = self.level_with(write)?;
                let names = self
                    .planner
                    .level(write.level)
                    .map(|level| level.ctes.as_slice())
                    .unwrap_or_default();
                let mut lines = Vec::with_capacity(rows.len());
                for row in rows {
                    let mut values = Vec::with_capacity(wanted.len());
                    for name in wanted {
                        let given = all
                            .iter()
                            .position(|column| column == name)
                            .and_then(|at| row.get(at));
                        let given = given.and_then(Option::as_ref);
                        if with.is_none()
                            && given.is_some_and(|span| self.planner.mentions(span, names))
                        {
                            return Ok(Inserted::Unknown);
                        }
                        values.push(self.value(name, given)?);
                    }
                    lines.push(format!("({})", values.join(", ")));
                }
                Ok(Inserted::Rows {
                    with: with.unwrap_or_default(),
                    rows: format!("VALUES {}", lines.join(", ")),
                })
            }
            InsertSource::Query(query) => {
                let Some(level) = self.planner.level(write.level) else {
                    return Ok(Inserted::Unknown);
                };
                let with = self.with(write, level)?;
                if !self.is_usable(query, level, with.as_ref()) {
                    return Ok(Inserted::Unknown);
                }
                let mut values = Vec::with_capacity(wanted.len());
                for name in wanted {
                    values.push(if all.contains(name) {
                        self.cast(name, &quote_identifier(name))
                    } else {
                        self.value(name, None)?
                    });
                }
                // Without a column list the query may give fewer columns than the table has: no more are named than are looked at.
                let last = all
                    .iter()
                    .rposition(|name| wanted.contains(name))
                    .map_or(0, |last| last + 1);
                let named = if columns.is_some() { all.len() } else { last };
                let names = identifier_list(all.iter().take(named).copied());
                let query = self.render(query)?;
                let rows = format!(
                    "SELECT {} FROM ({query}) AS previewpg_s ({names})",
                    values.join(", ")
                );
                Ok(Inserted::Rows {
                    with: with.unwrap_or_default(),
                    rows,
                })
            }
        }
    }

    fn level_with(&self, write: &Write) -> Result<Option<String>, Refusal> {
        match self.planner.level(write.level) {
            Some(level) => self.with(write, level),
            None => Ok(None),
        }
    }

    /// A column's value in a row to insert: as given, or its default. What is made anew at each evaluation can't be an existing key: NULL.
    fn value(&self, column: &str, given: Option<&Span>) -> Result<String, Refusal> {
        let default = || {
            let column = self.relation.column(column);
            column
                .and_then(|column| column.stable_default.clone())
                .unwrap_or_else(|| "NULL".to_owned())
        };
        let text = match given {
            Some(span) if self.planner.is_volatile(span) => "NULL".to_owned(),
            Some(span) => self.render(span)?,
            None => default(),
        };
        Ok(self.cast(column, &text))
    }

    fn cast(&self, column: &str, text: &str) -> String {
        match self.relation.column(column) {
            Some(column) => format!("CAST({text} AS {})", column.type_name),
            None => text.to_owned(),
        }
    }

    /// The rows that a locking clause locks.
    fn lock(&self, at: usize) -> Result<Vec<Before>, Refusal> {
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
        super::replace(&mut edits, &named.span, lower)?;
        self.planner.render(from, &edits)
    }

    /// A SKIP LOCKED query may choose rows of its own table only: what it would choose among others isn't known before it runs.
    fn check_skip_locked(&self, span: &Span) -> Result<(), Refusal> {
        for (at, named) in self.planner.statement.relations.iter().enumerate() {
            let inside = span.start <= named.span.start && named.span.end <= span.end;
            if !inside || named.role != Role::Read || !self.planner.is_locked(at) {
                continue;
            }
            let level = named.level.and_then(|level| self.planner.level(level));
            let skips = level
                .is_some_and(|level| level.locks.iter().any(|lock| lock.wait == LockWait::Skip));
            let same = self
                .planner
                .resolved
                .get(at)
                .and_then(|resolved| resolved.known())
                .is_some_and(|relation| relation.oid == self.relation.oid);
            if skips && !same {
                return Err(refusal::skip_locked(&self.relation.name));
            }
        }
        Ok(())
    }

    /// The statement's own WITH list, where nothing prevents that it's evaluated in front of the statement as well: `None` if it
    /// changes rows, isn't stable, or names of an outer WITH list are visible.
    fn with(&self, write: &Write, level: &Level) -> Result<Option<String>, Refusal> {
        let Some(span) = &write.with else {
            return Ok(level.ctes.is_empty().then(String::new));
        };
        let modifies = self
            .planner
            .statement
            .writes
            .iter()
            .any(|other| span.start <= other.span.start && other.span.end <= span.end);
        if modifies || write.in_cte || self.planner.is_volatile(span) {
            return Ok(None);
        }
        self.check_skip_locked(span)?;
        self.render(span)
            .map(|with| Some(with.trim_end().to_owned()))
    }

    fn whole(&self) -> Before {
        whole_table(self.relation.oid, false)
    }

    fn rows(&self, search: Search) -> Result<Vec<Before>, Refusal> {
        let Some(copy_up) = &self.lower.copy_up else {
            return Ok(vec![self.whole()]);
        };
        let unsteady = search.unsteady;
        let rows = self.search(search);
        let copy = Before::of(call(copy_up, &rows));
        if !unsteady {
            return Ok(vec![copy]);
        }
        let settle = self.settle(&rows);
        Ok(vec![copy.clone(), copy, settle])
    }

    /// After a search that may find other rows each time: the whole table, if it still finds some.
    fn settle(&self, rows: &str) -> Before {
        Before::of(format!(
            "SELECT previewpg.settle({}::oid, (SELECT pg_catalog.count(*) FROM ({rows}) AS previewpg_s))",
            self.relation.oid
        ))
    }

    /// A query for lower's unclaimed rows that the search finds.
    fn search(&self, search: Search) -> String {
        let alias = self.quoted_alias();
        let view = &self.lower.view;
        let (source, row, unclaimed) = match &self.through {
            Some(rows) => (
                format!("({rows}) AS {alias}"),
                format!("{alias}.previewpg_row"),
                "true".to_owned(),
            ),
            None => (
                format!("{view} AS {alias}"),
                format!("ROW({alias}.*)::{view}"),
                unclaimed(self.lower, self.alias),
            ),
        };
        let from = match &search.from {
            From::Lower => source,
            From::With(others) => format!("{source}, {others}"),
            From::Instead(items) => items.clone(),
        };
        // The nullable side of an outer join has no row there.
        let there: String = match (&search.from, self.lower.key.first()) {
            (From::Instead(_), Some(key)) => {
                format!(" AND {alias}.{} IS NOT NULL", quote_identifier(key))
            }
            _ => String::new(),
        };
        let conditions: String = search
            .conditions
            .iter()
            .map(|condition| format!(" AND ({condition})"))
            .collect();
        // One more than the limit allows, so that the copy-up can tell that there are too many.
        let limit = self
            .planner
            .context
            .catalog
            .max_copy_up_rows
            .saturating_add(1);
        let tail = search.tail.unwrap_or_else(|| format!("LIMIT {limit}"));
        let with = if search.with.is_empty() {
            String::new()
        } else {
            format!("{} ", search.with.trim_end())
        };
        format!(
            "{with}SELECT {row} AS previewpg_r FROM {from} WHERE {unclaimed}{there}{conditions} {tail}"
        )
    }

    fn render(&self, span: &Span) -> Result<String, Refusal> {
        self.planner.render(span, &self.edits)
    }

    fn quoted_alias(&self) -> String {
        quote_identifier(self.alias)
    }
}

/// Calls the copy-up function for the rows of a query, unless there are none: each call costs the session its cached plans.
fn call(copy_up: &str, rows: &str) -> String {
    format!(
        "SELECT {copy_up}(pg_catalog.array_agg(previewpg_r)) FROM ({rows}) AS previewpg_s HAVING pg_catalog.count(*) > 0"
    )
}

/// The highest `$n` of a text of ours.
fn parameters(text: &str) -> u16 {
    facts::read(text, true)
        .statements
        .first()
        .map_or(0, |statement| statement.parameters)
}
