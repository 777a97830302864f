//! Facts + catalog → what to send where. Pure: values in, values out.
//!
//! A read of a lower-backed relation becomes its merged form (`read`); a write or a row lock gets statements in front that copy up the rows it may
//! touch (`copy_up`); calls of code that would read past the overlay are refused (`routine`); a look at the system catalogs doesn't find us (`hide`). Names are resolved as PostgreSQL
//! would for this session at this moment (`resolve`). What can't be had is refused with words from one place (`refusal`).

pub mod plan;

pub(crate) mod barrier;
mod copy_up;
mod group_by;
mod hide;
mod names;
mod read;
mod refusal;
pub(crate) mod resolve;
mod routine;
mod unknown;
mod whole_row;
mod whole_table;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests;

use std::sync::Arc;

use crate::catalog::model::{Catalog, Oid, Relation, RelationKind};
use crate::overlay::merged;
use crate::overlay::names::{identifier_list, qualified, quote_identifier};
use crate::placement;
use crate::sql::facts::{self, Copy, Kind, Role, Span, Statement, WriteKind};
use crate::sql::keyword::Keyword;
use crate::sql::lexer;
use crate::sql::patch::Edits;
pub use names::{OwnReads, own_reads, still_mean};
pub use unknown::still_unknown;

use plan::{Before, Effects, Fresh, Plan, Refusal};
use resolve::Resolution;

/// Largest tables whose rows a cursor that doesn't say SCROLL keeps to go backward.
const MAX_KEPT_BYTES: u64 = 1 << 30;

/// What names mean for a session at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The catalog that this session sees.
    pub catalog: &'a Catalog,
    /// The schemas that unqualified names are looked up in, in order, as `current_schemas(true)` gives them: implicit ones (`pg_temp_3`, `pg_catalog`) included.
    pub search_path: &'a [String],
}

/// Plans one statement of `text`.
#[must_use]
pub fn plan(text: &str, statement: &Statement, context: Context<'_>) -> Plan {
    let planner = Planner::new(text, statement, context);
    planner.plan().unwrap_or_else(|mut refusal| {
        if matches!(statement.kind, Kind::Explain { analyze: false, .. }) {
            // Nothing runs: no reason to copy anything.
            refusal.copy_up = Box::default();
        }
        Plan::Refuse(refusal)
    })
}

/// Why the function of this OID can't be called by itself, without a statement (the protocol's FunctionCall).
#[must_use]
pub fn refuse_call(oid: Oid, context: Context<'_>) -> Option<Refusal> {
    routine::refuse_call(oid, context)
}

/// Why the row under a cursor can't be changed.
#[must_use]
pub fn refuse_current_of(relation: &str) -> Refusal {
    refusal::current_of(relation)
}

/// One statement being planned.
pub(crate) struct Planner<'a> {
    /// The query string.
    pub(crate) text: &'a str,
    /// The statement.
    pub(crate) statement: &'a Statement,
    /// What names mean.
    pub(crate) context: Context<'a>,
    /// What each of the statement's relations means, in the same order.
    pub(crate) resolved: Vec<Resolution<'a>>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(text: &'a str, statement: &'a Statement, context: Context<'a>) -> Self {
        let resolved = statement
            .relations
            .iter()
            .map(|relation| resolve::relation(&relation.name, context))
            .collect();
        Self {
            text,
            statement,
            context,
            resolved,
        }
    }

    fn plan(&self) -> Result<Plan, Refusal> {
        let statement = self.statement;
        if let Kind::Unreadable { why } = &statement.kind {
            return self.unreadable(why);
        }
        self.refuse_own_names()?;
        let effects = self.effects()?;
        let mut plan = self.of_kind(effects)?;
        self.mark_written(&mut plan, effects);
        Ok(plan)
    }

    /// What is written without being named as a target becomes dirty as well.
    fn mark_written(&self, plan: &mut Plan, effects: Effects) {
        let written = self.written_beyond();
        if written.is_empty() {
            return;
        }
        match plan {
            Plan::Pass(_) => {
                *plan = Plan::Fresh(Box::new(Fresh {
                    before: Vec::new(),
                    text: None,
                    merged: false,
                    dirties: written,
                    effects,
                    describe_original: false,
                }));
            }
            Plan::Fresh(fresh) => {
                for oid in written {
                    if !fresh.dirties.contains(&oid) {
                        fresh.dirties.push(oid);
                    }
                }
            }
            // Only reads without calls of users' functions run on production.
            Plan::Production(_) | Plan::Refuse(_) => {}
        }
    }

    fn of_kind(&self, effects: Effects) -> Result<Plan, Refusal> {
        let statement = self.statement;
        match &statement.kind {
            Kind::Execute { .. }
            | Kind::Deallocate(_)
            | Kind::Cursor
            | Kind::Transaction(_)
            | Kind::Set(_)
            | Kind::Show
            | Kind::Discard(_)
            | Kind::Session
            | Kind::CreateRoutine
            | Kind::Do
            | Kind::Unreadable { .. }
            | Kind::CreateTableAs { execute: Some(_) }
            // A view is judged when it's read, one WITH NO DATA when it's filled.
            | Kind::CreateView { filled: false, .. } => Ok(Plan::Pass(effects)),
            Kind::Refresh => self.refresh(effects),
            Kind::CreateView { filled: true, .. } => {
                // The name may be taken: PostgreSQL says so.
                let is_read = |(at, _): (usize, _)| {
                    let named = self.statement.relations.get(at);
                    named.is_some_and(|named| named.role != Role::New)
                };
                if self.backed().any(is_read) {
                    return Err(self.unless_copied(refusal::materialized_view()));
                }
                Ok(Plan::Pass(effects))
            }
            Kind::Utility { .. } if self.reads_backed().is_some() => {
                let name = self
                    .reads_backed()
                    .map_or("", |relation| relation.name.as_str());
                Err(self.unless_copied(refusal::stored_query(name)))
            }
            Kind::Utility { tag } if tag == "ALTER TYPE" && self.changes_attributes() => {
                match self.composite_column() {
                    Some((relation, column)) => Err(whole_table::unless_copied(
                        refusal::composite_attribute(&relation.name, column),
                        [relation.oid],
                        self.context,
                    )),
                    None => Ok(Plan::Pass(effects)),
                }
            }
            Kind::Utility { tag } if tag == "CREATE TABLE" && self.inherits() => Err(self
                .unless_copied(refusal::inheritance(
                    self.backed().next().map_or("", |(_, r)| r.name.as_str()),
                ))),
            Kind::Truncate | Kind::Lock | Kind::Utility { .. } => {
                self.refuse_part()?;
                Ok(self.utility(Vec::new(), effects))
            }
            Kind::AlterTable(alter) => {
                self.refuse_part()?;
                let before = match self.backed().next() {
                    Some((_, relation)) if alter.inheritance => {
                        return Err(self.unless_copied(refusal::inheritance(&relation.name)));
                    }
                    Some((_, relation)) if alter.using && relation.lower.is_some() => {
                        vec![copy_up::whole(relation.oid, true)]
                    }
                    _ => Vec::new(),
                };
                Ok(self.utility(before, effects))
            }
            Kind::Copy(copy) if copy.query.is_none() => self.copy(copy, effects),
            Kind::Copy(_)
            | Kind::Call
            | Kind::Query
            | Kind::SelectInto { .. }
            | Kind::Insert
            | Kind::Update
            | Kind::Delete
            | Kind::Merge
            | Kind::Explain { .. }
            | Kind::Prepare { .. }
            | Kind::Declare { .. }
            | Kind::CreateTableAs { execute: None } => self.rows(effects),
        }
    }

    /// A statement that reads or changes rows.
    fn rows(&self, effects: Effects) -> Result<Plan, Refusal> {
        if self.backed().next().is_none() && !self.shows_ours() {
            return Ok(Plan::Pass(effects));
        }
        self.account()?;
        for (_, relation) in self.backed() {
            whole_table::refuse_unserved(relation, self.context)?;
        }
        self.refuse_system_columns()?;
        let runs = !matches!(self.statement.kind, Kind::Explain { analyze: false, .. });
        let prepares = matches!(self.statement.kind, Kind::Prepare { .. });
        let mut edits = Edits::default();
        self.merge_reads(&mut edits, read::Locked::Raw)?;
        let merges = !edits.is_empty();
        self.hide_ours(&mut edits)?;
        if merges {
            self.go_backward(&mut edits)?;
        }
        let (before, dirties) = self.copy_ups()?;
        if prepares && !before.is_empty() {
            return Err(self.unless_copied(refusal::prepare_write()));
        }
        let before = if runs { before } else { Vec::new() };
        let dirties = if runs { dirties } else { Vec::new() };
        let text = if edits.is_empty() {
            None
        } else {
            Some(Arc::from(self.render(&self.statement.span, &edits)?))
        };
        let describe_original =
            !matches!(self.statement.kind, Kind::Copy(_) | Kind::Prepare { .. });
        let fresh = Fresh {
            before,
            text,
            merged: merges && !self.locks_on_top(),
            dirties,
            effects,
            describe_original,
        };
        let production = placement::production(self)?;
        Ok(match production {
            Some(production) => Plan::Production(Box::new(production.or_else(fresh))),
            None if fresh.text.is_none() && fresh.before.is_empty() && fresh.dirties.is_empty() => {
                Plan::Pass(effects)
            }
            None => Plan::Fresh(Box::new(fresh)),
        })
    }

    /// A cursor that doesn't say whether it goes backward does where PostgreSQL's plan lets it: over one table, or rows that are sorted. A plan of merged rows never does
    /// by itself. Rows that were fetched are kept for that, so not of what is large.
    fn go_backward(&self, edits: &mut Edits) -> Result<(), Refusal> {
        let Kind::Declare {
            says_scroll: false,
            cursor,
            span,
            ..
        } = &self.statement.kind
        else {
            return Ok(());
        };
        let statement = self.statement;
        let mut tops = statement.levels.iter().filter(|level| level.query == *span);
        let sorted = tops.clone().any(|level| level.order_by.is_some());
        let locks = tops.any(|level| !level.locks.is_empty());
        let aggregates = |call: &facts::Function| {
            let own = resolve::routines(&call.name, self.context);
            let builtin = self.context.catalog.builtins.get(&call.name.name);
            builtin.is_some_and(|function| function.aggregate)
                || own.into_iter().any(|own| own.aggregate)
        };
        let plain = match statement.levels.as_slice() {
            [level] => {
                statement.relations.len() == 1
                    && level.range.len() == 1
                    && !level.distinct
                    && !statement.functions.iter().any(aggregates)
            }
            _ => false,
        };
        let lowers = self
            .backed()
            .filter_map(|(_, relation)| relation.lower.as_ref());
        let bytes: u64 = lowers.map(|lower| lower.bytes).sum();
        if (sorted || plain) && !locks && bytes <= MAX_KEPT_BYTES {
            edits
                .insert(cursor.start, "SCROLL ")
                .map_err(|error| refusal::patch(&error.to_string()))?;
        }
        Ok(())
    }

    /// Whether rows come locked, of a table in the FROM of the query itself: PostgreSQL finds the current one by its lock then, and has copied it up. FOR UPDATE over what is no
    /// table, or in another query (WITH, a subquery), leaves it to find its way through the plan.
    fn locks_on_top(&self) -> bool {
        let query = match &self.statement.kind {
            Kind::Declare { span, .. } => span,
            _ => &self.statement.span,
        };
        let mut relations = self.statement.relations.iter().zip(&self.resolved);
        relations.any(|(named, resolved)| {
            let level = named.level.and_then(|id| self.statement.levels.get(id));
            let is_view = resolved
                .known()
                .is_some_and(|relation| relation.kind == RelationKind::View);
            named.role == Role::Read
                && !is_view
                && level.is_some_and(|level| {
                    let names = |lock: &facts::Lock| {
                        lock.of.is_empty() || lock.of.iter().any(|name| name == named.range_name())
                    };
                    level.query == *query && level.locks.iter().any(names)
                })
        })
    }

    /// `REFRESH MATERIALIZED VIEW`: one of production's becomes the preview's own.
    fn refresh(&self, effects: Effects) -> Result<Plan, Refusal> {
        let Some((_, view)) = self.backed().next() else {
            return Ok(Plan::Pass(effects));
        };
        let catalog = self.context.catalog;
        if view.reads.iter().any(|oid| catalog.is_backed(*oid)) {
            let reads = view.reads.iter().copied();
            return Err(whole_table::unless_copied(
                refusal::materialized_view(),
                reads,
                self.context,
            ));
        }
        let mut before = vec![copy_up::whole(view.oid, true)];
        if lexer::says(self.source(&self.statement.span), Keyword::Concurrently) {
            // It compares with the rows that are there; production's aren't.
            let name = qualified(&view.schema, &view.name);
            before.push(Before::of(format!("REFRESH MATERIALIZED VIEW {name}")));
        }
        Ok(self.utility(before, effects))
    }

    /// `COPY table FROM | TO`.
    fn copy(&self, copy: &Copy, effects: Effects) -> Result<Plan, Refusal> {
        let Some((_, relation)) = self.backed().next() else {
            return Ok(Plan::Pass(effects));
        };
        whole_table::refuse_unserved(relation, self.context)?;
        // COPY of a view or a partitioned table is PostgreSQL's own error, and so is COPY into a view.
        let Some(lower) = relation
            .lower
            .as_ref()
            .filter(|_| relation.definition.is_none())
        else {
            return Ok(Plan::Pass(effects));
        };
        if copy.from {
            if lower.read_only {
                return Err(refusal::read_only(&relation.name));
            }
            return Ok(self.utility(Vec::new(), effects));
        }
        if relation.kind == RelationKind::Partitioned {
            return Ok(Plan::Pass(effects));
        }
        let unknown = copy
            .columns
            .iter()
            .flat_map(|(_, names)| names)
            .any(|name| relation.column(name).is_none());
        if unknown {
            return Ok(Plan::Pass(effects));
        }
        let columns = match &copy.columns {
            Some((_, names)) => identifier_list(names.iter().map(String::as_str)),
            None => identifier_list(
                relation
                    .columns
                    .iter()
                    .filter(|column| !column.generated)
                    .map(|column| column.name.as_str()),
            ),
        };
        let alias = quote_identifier(&relation.name);
        let mut edits = Edits::default();
        replace(
            &mut edits,
            &copy.source,
            format!(
                "(SELECT {columns} FROM ({}) AS {alias})",
                merged::merged(relation, lower, true)
            ),
        )?;
        for (span, text) in &copy.as_query {
            replace(&mut edits, span, *text)?;
        }
        Ok(Plan::Fresh(Box::new(Fresh {
            before: Vec::new(),
            text: Some(Arc::from(self.render(&self.statement.span, &edits)?)),
            merged: true,
            dirties: Vec::new(),
            effects,
            describe_original: false,
        })))
    }

    /// A statement that acts on upper as it stands; production is no longer what its tables look like.
    fn utility(&self, before: Vec<Before>, effects: Effects) -> Plan {
        let mut dirties: Vec<Oid> = Vec::new();
        for (at, relation) in self.backed() {
            let role = self.statement.relations.get(at).map(|named| named.role);
            if relation.lower.is_some() && matches!(role, Some(Role::Object | Role::Copy)) {
                dirties.push(relation.oid);
                dirties.extend(relation.partition_root);
            }
        }
        if before.is_empty() && dirties.is_empty() {
            return Plan::Pass(effects);
        }
        Plan::Fresh(Box::new(Fresh {
            before,
            text: None,
            merged: false,
            dirties,
            effects,
            describe_original: false,
        }))
    }

    /// A table of a tree without a key can't lose its rows, or change its columns, by itself: the tree is copied up first. Where that isn't possible, dropping is tried all
    /// the same, for the rest of the tree may go with it.
    fn refuse_part(&self) -> Result<(), Refusal> {
        let mut parts = self.backed().filter(|(_, relation)| relation.is_part());
        let changed = parts.find(|(_, relation)| match &self.statement.kind {
            Kind::Truncate => relation.inherits || relation.partition_root.is_some(),
            Kind::AlterTable(_) => relation.inherits,
            Kind::Utility { tag } => tag == "DROP TABLE",
            _ => false,
        });
        let Some((_, relation)) = changed else {
            return Ok(());
        };
        let refusal = self.unless_copied(refusal::part(&relation.name));
        if refusal.copy_up.is_empty() && matches!(self.statement.kind, Kind::Utility { .. }) {
            return Ok(());
        }
        Err(refusal)
    }

    /// Whether a CREATE TABLE says INHERITS, of a table of production.
    fn inherits(&self) -> bool {
        let text = self.source(&self.statement.span).to_ascii_lowercase();
        let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        self.backed().next().is_some() && words.any(|word| word == "inherits")
    }

    /// Whether an ALTER TYPE adds, drops or changes an attribute (renaming one leaves values as they are).
    fn changes_attributes(&self) -> bool {
        let text = self.source(&self.statement.span).to_ascii_lowercase();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        words
            .windows(2)
            .any(|pair| matches!(pair, ["add" | "drop" | "alter", "attribute"]))
    }

    /// A column of production's whose type the statement names: its values would come in the type's former shape.
    fn composite_column(&self) -> Option<(&'a Arc<Relation>, &'a str)> {
        let catalog = self.context.catalog;
        let relations = catalog.relations.values();
        relations
            .filter(|relation| relation.lower.is_some())
            .find_map(|relation| {
                let column = relation.columns.iter().find(|column| {
                    let name = column.type_name.trim_end_matches("[]");
                    let name = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
                    catalog.types.contains_key(name) && self.statement.words.contains(name)
                })?;
                Some((relation, column.name.as_str()))
            })
    }

    /// A relation of production that a schema change stores a query of (a policy's condition).
    fn reads_backed(&self) -> Option<&'a Arc<Relation>> {
        let is_read = |at: usize| {
            self.statement
                .relations
                .get(at)
                .is_some_and(|named| named.role == Role::Read)
        };
        self.backed()
            .find(|(at, _)| is_read(*at))
            .map(|(_, relation)| relation)
    }

    fn unreadable(&self, why: &str) -> Result<Plan, Refusal> {
        let catalog = self.context.catalog;
        let mentioned: Vec<_> = catalog
            .backed
            .iter()
            .filter_map(|oid| catalog.relations.get(oid))
            .filter(|relation| self.statement.words.contains(&relation.name))
            .collect();
        if let Some(relation) = mentioned.first() {
            return Err(whole_table::unless_copied(
                refusal::unreadable(&relation.name, why),
                mentioned.iter().map(|relation| relation.oid),
                self.context,
            ));
        }
        if let Some(own) = self
            .statement
            .words
            .iter()
            .find(|word| word.starts_with("previewpg"))
        {
            return Err(refusal::own_name(own));
        }
        self.check_words()?;
        Ok(Plan::Pass(Effects {
            schema: true,
            search_path: true,
            settings: true,
            ..Effects::default()
        }))
    }

    fn refuse_own_names(&self) -> Result<(), Refusal> {
        let relations = self
            .statement
            .relations
            .iter()
            .map(|relation| &relation.name);
        let functions = self
            .statement
            .functions
            .iter()
            .map(|function| &function.name);
        for name in relations.chain(functions) {
            if name.name == routine::COPY_UP_ALL {
                continue;
            }
            let schema = name
                .schema
                .as_deref()
                .filter(|schema| schema.starts_with("previewpg"));
            if let Some(own) = schema {
                return Err(refusal::own_name(own));
            }
        }
        // A schema of such a name would be hidden from whoever made it; a setting of such a name steers our triggers.
        let names_ours = match &self.statement.kind {
            Kind::Utility { tag } => tag.ends_with(" SCHEMA"),
            Kind::Set(_) => true,
            _ => self
                .statement
                .functions
                .iter()
                .any(|function| function.name.name == "set_config"),
        };
        let mut words = self.statement.words.iter();
        match words.find(|word| names_ours && word.starts_with("previewpg")) {
            Some(own) => Err(refusal::own_name(own)),
            None => Ok(()),
        }
    }

    /// Every word that names a table of production must have a place that was understood.
    fn account(&self) -> Result<(), Refusal> {
        let catalog = self.context.catalog;
        let is_backed = |word: &str| {
            catalog
                .by_name
                .values()
                .any(|names| names.get(word).is_some_and(|oid| catalog.is_backed(*oid)))
        };
        match self.statement.unaccounted(is_backed) {
            Some(word) => {
                let same_name = catalog.by_name.values().filter_map(|names| names.get(word));
                Err(whole_table::unless_copied(
                    refusal::unaccounted(word),
                    same_name.copied(),
                    self.context,
                ))
            }
            None => Ok(()),
        }
    }

    /// The refusal, unless all that the statement names of production is copied up.
    fn unless_copied(&self, refusal: Refusal) -> Refusal {
        let named = self.backed().map(|(_, relation)| relation.oid);
        whole_table::unless_copied(refusal, named, self.context)
    }

    /// The relations that production's rows show through, with their places in [`Statement::relations`].
    pub(crate) fn backed(&self) -> impl Iterator<Item = (usize, &'a Arc<Relation>)> {
        let context = self.context;
        self.resolved
            .iter()
            .enumerate()
            .filter_map(move |(at, resolution)| Some((at, resolution.backed(context)?)))
    }

    /// A part of the text with the edits in it applied.
    pub(crate) fn render(&self, span: &Span, edits: &Edits) -> Result<String, Refusal> {
        edits
            .render(self.text, span.clone())
            .map_err(|error| refusal::patch(&error.to_string()))
    }

    /// A part of the text as it stands.
    pub(crate) fn source(&self, span: &Span) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Whether a write has an ON CONFLICT DO UPDATE, or is anything but an INSERT: then it needs its guard's permit.
    fn changes_existing(kind: &WriteKind) -> bool {
        match kind {
            WriteKind::Insert { conflict, .. } => conflict
                .as_ref()
                .is_some_and(|conflict| conflict.update.is_some()),
            WriteKind::Update { .. } | WriteKind::Delete { .. } | WriteKind::Merge { .. } => true,
        }
    }
}

/// Functions that are syntax: their names are in no catalog, and they are immutable by themselves.
const SYNTAX: [&str; 20] = [
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "row",
    "array",
    "exists",
    "any",
    "all",
    "some",
    "in",
    "cast",
    "grouping",
    "xmlelement",
    "xmlforest",
    "json_object",
    "json_array",
    "json_exists",
    "json_value",
    "json_query",
];

/// The volatility of a built-in function, `None` if there's none of that name.
pub(crate) fn builtin_volatility(name: &str, context: Context<'_>) -> Option<u8> {
    if SYNTAX.contains(&name) {
        return Some(b'i');
    }
    context
        .catalog
        .builtins
        .get(name)
        .map(|function| function.volatility)
}

/// Puts an edit, or refuses.
fn replace(edits: &mut Edits, span: &Span, with: impl Into<String>) -> Result<(), Refusal> {
    edits
        .replace(span.clone(), with)
        .map_err(|error| refusal::patch(&error.to_string()))
}
