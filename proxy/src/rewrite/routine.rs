//! Calls: what a statement's functions, triggers and blocks may touch beyond its own text.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plan::{Effects, Refusal};
use super::{Context, Planner, refusal, resolve, whole_table};
use crate::catalog::model::{Catalog, Oid, Reach, Relation, RelationKind, Routine};
use crate::catalog::reach::{self, TEXT_QUERIES, UNWRITTEN_OPERATORS};
use crate::sql::facts::{Kind, Role, WriteKind};

/// Settings that change no result, or that PostgreSQL reports when they change.
const HARMLESS_SETTINGS: [&str; 21] = [
    "application_name",
    "client_encoding",
    "client_min_messages",
    "constraints",
    "datestyle",
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "log_statement",
    "log_min_duration_statement",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "random_page_cost",
    "standard_conforming_strings",
    "synchronous_commit",
    "temp_buffers",
    "timezone",
    "work_mem",
];

/// Settings whose values the session reads again when they may have changed.
const READ_AGAIN: [&str; 4] = [
    "search_path",
    "extra_float_digits",
    "bytea_output",
    "statement_timeout",
];

/// The one function of ours that clients may call, in schema `previewpg`: it makes a table the preview's own, so that what is refused for
/// production's rows (a function that reads it, say) works from then on.
pub(super) const COPY_UP_ALL: &str = "copy_up_all";

impl Planner<'_> {
    /// What the statement may change besides rows; refuses what would read past the overlay.
    pub(super) fn effects(&self) -> Result<Effects, Refusal> {
        let mut effects = of_kind(&self.statement.kind);
        // A view is judged when it's read.
        if matches!(
            self.statement.kind,
            Kind::CreateView {
                materialized: false,
                ..
            }
        ) {
            return Ok(effects);
        }
        for function in &self.statement.functions {
            let name = &function.name;
            effects.schema |= name.name == COPY_UP_ALL;
            if name.name == "set_config" {
                effects.search_path = true;
                effects.settings = true;
            }
            if TEXT_QUERIES.contains(&name.name.as_str()) && self.context.catalog.hides_rows() {
                return Err(self.unless_all_copied(refusal::text_query(&name.name)));
            }
        }
        self.refuse_rules()?;
        let reach = self.reach(|reach, what| self.check(reach, what))?;
        effects.schema |= reach.schema;
        effects.names = self.holds_names(&reach) && !reach.own.is_empty();
        effects.settings |= reach.settings;
        // Where a body runs SQL that it's handed, the words may stand here.
        effects.current_of = reach.current_of || reach.opaque && reach::says_current_of(self.text);
        effects.search_path |= reach.settings;
        Ok(effects)
    }

    /// The lower-backed relations that the statement may write to without naming them as its targets: in functions, triggers and referential actions.
    pub(super) fn written_beyond(&self) -> Vec<Oid> {
        let nothing = |_: &Reach, _: String| Ok(());
        let named = self
            .reach(nothing)
            .map(|reach| reach.names)
            .unwrap_or_default();
        let backed = |oid: &Oid| {
            self.context
                .catalog
                .relations
                .get(oid)
                .is_some_and(|found| found.lower.is_some())
        };
        named
            .into_iter()
            .chain(self.written())
            .filter(backed)
            .collect()
    }

    /// The tables and views without rows of production's that what the statement calls may read by their names, where these can be held while it runs.
    pub(super) fn own_in_bodies(&self) -> BTreeSet<Oid> {
        let nothing = |_: &Reach, _: String| Ok(());
        self.reach(nothing)
            .ok()
            .filter(|reach| self.holds_names(reach))
            .map(|reach| reach.own)
            .unwrap_or_default()
    }

    /// Whether the names in the bodies of what is called keep their meaning while it runs, if they are locked before. A procedure or block may end the transaction, and its locks
    /// with it; and where it does, nothing may run in front of it.
    fn holds_names(&self, reach: &Reach) -> bool {
        match self.statement.kind {
            Kind::Call | Kind::Do => !reach.ends,
            _ => self.statement.kind.has_rows(),
        }
    }

    /// What everything that the statement calls may touch; `each` is asked about each of them, with its name for messages.
    fn reach(
        &self,
        each: impl Fn(&Reach, String) -> Result<(), Refusal>,
    ) -> Result<Reach, Refusal> {
        let mut all = Reach::default();
        for function in &self.statement.functions {
            for routine in resolve::routines(&function.name, self.context) {
                each(&routine.reach, format!("function \"{}\"", routine.name))?;
                all.absorb(&routine.reach);
            }
        }
        for routine in self.called_as_fields() {
            each(&routine.reach, format!("function \"{}\"", routine.name))?;
            all.absorb(&routine.reach);
        }
        if matches!(self.statement.kind, Kind::Do) {
            let block = reach::of_block(self.source(&self.statement.span), self.context.catalog);
            each(&block, "this DO block".to_owned())?;
            all.absorb(&block);
        }
        for (named, resolved) in self.statement.relations.iter().zip(&self.resolved) {
            let Some(relation) = resolved.known() else {
                continue;
            };
            let runs = match named.role {
                Role::Object => matches!(self.statement.kind, Kind::Refresh),
                _ => relation.kind == RelationKind::View,
            };
            let touched = self.context.catalog.view_reach.get(&relation.oid);
            if let Some(touched) = touched.filter(|_| runs) {
                each(touched, format!("view \"{}\"", relation.name))?;
                all.absorb(touched);
            }
        }
        for (oids, what) in [
            (self.fired(), "trigger function"),
            (self.evaluated(), "function"),
            (self.computed(), "function"),
        ] {
            for routine in oids
                .iter()
                .filter_map(|oid| routine(self.context.catalog, *oid))
            {
                each(&routine.reach, format!("{what} \"{}\"", routine.name))?;
                all.absorb(&routine.reach);
            }
        }
        Ok(all)
    }

    /// `row.function`, a call in the form of a field: any routine that reads something and whose name stands after a dot, unless a column is meant.
    fn called_as_fields(&self) -> Vec<&Arc<Routine>> {
        let catalog = self.context.catalog;
        let kind = &self.statement.kind;
        if !(kind.has_rows() || matches!(kind, Kind::CreateView { .. })) {
            return Vec::new();
        }
        let text = self.source(&self.statement.span);
        let after_dot = |name: &str| {
            text.match_indices('.').any(|(at, _)| {
                let rest = text.get(at + 1..).unwrap_or_default().trim_start();
                let rest = rest.strip_prefix('"').unwrap_or(rest);
                rest.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        let is_column = |name: &str| {
            let known = self.resolved.iter().filter_map(|resolved| resolved.known());
            let mut relations = known.into_iter();
            relations.any(|relation| relation.name == name || relation.column(name).is_some())
        };
        let words = self.statement.words.iter();
        words
            .filter_map(|word| catalog.routines.get_key_value(word))
            .flat_map(|(_, same_name)| same_name)
            .filter(|routine| routine.reach.opaque || !routine.reach.reads.is_empty())
            .filter(|routine| !is_column(&routine.name) && after_dot(&routine.name))
            .collect()
    }

    /// The functions that the statement may call without naming them: those behind operators, casts and domains, and those that new rows call.
    fn evaluated(&self) -> BTreeSet<Oid> {
        let catalog = self.context.catalog;
        let mut functions = BTreeSet::new();
        let evaluates_nothing = match &self.statement.kind {
            Kind::CreateRoutine
            | Kind::Transaction(_)
            | Kind::Set(_)
            | Kind::Show
            | Kind::Discard(_)
            | Kind::Session
            | Kind::Deallocate(_)
            | Kind::Cursor
            | Kind::Lock => true,
            Kind::Utility { tag } => {
                tag.ends_with(" OPERATOR") || tag.starts_with("COMMENT") || tag.starts_with("DROP")
            }
            _ => false,
        };
        if evaluates_nothing {
            return functions;
        }
        let text = self.source(&self.statement.span);
        functions.extend(reach::casts_in(text, &catalog.casts));
        if !catalog.operators.is_empty() {
            let used = catalog.operators.iter().filter(|(operator, _)| {
                UNWRITTEN_OPERATORS.contains(&operator.as_str()) || text.contains(operator.as_str())
            });
            functions.extend(used.map(|(_, function)| *function));
        }
        for name in &self.statement.types {
            // `domain[]` names the domain too.
            let same_name = catalog.types.get(&name.name).into_iter().flatten();
            functions.extend(same_name.flat_map(|of_type| &of_type.functions));
        }
        let named = self.resolved.iter().filter_map(|resolved| resolved.known());
        for relation in named.filter(|relation| relation.row_security) {
            functions.extend(&relation.row_functions);
        }
        let deletes_only = !self.statement.writes.is_empty()
            && self
                .statement
                .writes
                .iter()
                .all(|write| matches!(write.kind, WriteKind::Delete { .. }));
        if !deletes_only && !matches!(self.statement.kind, Kind::Truncate) {
            for relation in self.touched() {
                functions.extend(&relation.row_functions);
            }
        }
        functions
    }

    /// The functions that a schema change runs on the rows that there are: those that it names, and those that its table has already.
    fn computed(&self) -> BTreeSet<Oid> {
        let catalog = self.context.catalog;
        let mut functions = BTreeSet::new();
        let words = &self.statement.words;
        let (names, has) = match &self.statement.kind {
            Kind::AlterTable(alter) => (
                true,
                alter.retype || alter.computed_default || words.contains("validate"),
            ),
            Kind::Utility { tag } => match tag.as_str() {
                "CREATE INDEX" | "ALTER DOMAIN" => (true, false),
                "CREATE TABLE" => (words.contains("partition"), false),
                "REINDEX" | "CLUSTER" => (false, true),
                _ => (false, false),
            },
            _ => (false, false),
        };
        if names {
            let text = self.source(&self.statement.span);
            let routines = words
                .iter()
                .filter_map(|word| catalog.routines.get_key_value(word));
            for (_, same_name) in routines.filter(|(name, _)| is_called(text, name)) {
                functions.extend(same_name.iter().map(|routine| routine.oid));
            }
        }
        if has {
            let named = self.resolved.iter().filter_map(|resolved| resolved.known());
            functions.extend(named.flat_map(|relation| &relation.row_functions));
        }
        functions
    }

    /// A statement that can't be read: every routine whose name is in it counts as called.
    pub(super) fn check_words(&self) -> Result<(), Refusal> {
        for word in &self.statement.words {
            for routine in self
                .context
                .catalog
                .routines
                .get(word)
                .into_iter()
                .flatten()
            {
                self.check(&routine.reach, format!("function \"{}\"", routine.name))?;
            }
        }
        Ok(())
    }

    fn check(&self, reach: &Reach, what: String) -> Result<(), Refusal> {
        let catalog = self.context.catalog;
        let touched = || reach.reads.union(&reach.changes).copied();
        if let Some(refusal) = misses_rows(reach, &what, catalog) {
            return Err(match is_opaque(reach, catalog) {
                true => self.unless_all_copied(refusal),
                false => whole_table::unless_copied(refusal, touched(), self.context),
            });
        }
        // What isn't copied up meets the guard, if the body comes to it.
        if let Some(name) = first_name(&reach.changes, catalog) {
            let refusal = refusal::body_reads(&what, name);
            let refusal = whole_table::unless_copied(refusal, touched(), self.context);
            if !refusal.copy_up.is_empty() {
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// The refusal, unless everything of production is copied up.
    fn unless_all_copied(&self, refusal: Refusal) -> Refusal {
        let all = self.context.catalog.backed.iter().copied();
        whole_table::unless_copied(refusal, all, self.context)
    }

    /// The functions of the triggers that the statement may fire.
    fn fired(&self) -> BTreeSet<Oid> {
        let tables = self.touched();
        tables
            .iter()
            .flat_map(|relation| &relation.trigger_functions)
            .copied()
            .collect()
    }

    /// The relations whose rows the statement may write: their partitions and heirs, and what stands under a view, included.
    fn touched(&self) -> Vec<&Arc<Relation>> {
        let catalog = self.context.catalog;
        let mut tables = self.written();
        reach::follow(&mut tables, catalog, |relation| {
            relation.heirs.iter().chain(&relation.reads)
        });
        tables
            .iter()
            .filter_map(|oid| catalog.relations.get(oid))
            .collect()
    }

    /// A rule makes other statements of a write, inside of PostgreSQL. (Those of production's own tables are refused wherever a write is looked at.)
    fn refuse_rules(&self) -> Result<(), Refusal> {
        let catalog = self.context.catalog;
        let reads = |relation: &&&Arc<Relation>| {
            relation.rules
                && relation
                    .rule_reads
                    .iter()
                    .any(|oid| catalog.is_backed(*oid))
        };
        match self.touched().iter().find(reads) {
            Some(relation) => Err(whole_table::unless_copied(
                refusal::rules(&relation.name),
                relation.rule_reads.iter().copied(),
                self.context,
            )),
            None => Ok(()),
        }
    }

    /// The tables that the statement may write to by itself: its targets, the tables under a view, and those that foreign keys lead to.
    fn written(&self) -> Vec<Oid> {
        let catalog = self.context.catalog;
        let mut tables: Vec<Oid> = Vec::new();
        let mut spreads = false;
        for write in &self.statement.writes {
            spreads |= Self::changes_existing(&write.kind);
            let target = self
                .resolved
                .get(write.target)
                .and_then(|relation| relation.known());
            tables.extend(target.map(|relation| relation.oid));
            tables.extend(target.into_iter().flat_map(|relation| &relation.reads));
        }
        let is_copy = matches!(&self.statement.kind, Kind::Copy(copy) if copy.from);
        let is_truncate = matches!(self.statement.kind, Kind::Truncate);
        if is_copy || is_truncate {
            spreads |= is_truncate;
            for (named, resolved) in self.statement.relations.iter().zip(&self.resolved) {
                if matches!(named.role, Role::Copy | Role::Object) {
                    tables.extend(resolved.known().map(|relation| relation.oid));
                }
            }
        }
        let mut next = 0;
        while let Some(oid) = tables.get(next).copied() {
            next += 1;
            let Some(relation) = catalog.relations.get(&oid).filter(|_| spreads) else {
                continue;
            };
            for child in &relation.children {
                if !tables.contains(child) {
                    tables.push(*child);
                }
            }
        }
        tables
    }
}

/// The OIDs of PostgreSQL's own [`TEXT_QUERIES`] (src/include/catalog/pg_proc.dat): `table_to_xml` (2923) to `database_to_xml_and_xmlschema` (2938), `ts_rewrite`
/// with a query, `ts_stat`.
const BUILTIN_TEXT_QUERIES: [Oid; 17] = [
    2923, 2924, 2925, 2926, 2927, 2928, 2929, 2930, 2933, 2934, 2935, 2936, 2937, 2938, 3685, 3689,
    3690,
];

/// The routine of this OID.
fn routine(catalog: &Catalog, oid: Oid) -> Option<&Arc<Routine>> {
    let mut routines = catalog.routines.values().flatten();
    routines.find(|routine| routine.oid == oid)
}

/// Why the function of this OID can't be called by itself, without a statement (the protocol's FunctionCall). Nothing is copied up for that.
pub(super) fn refuse_call(oid: Oid, context: Context<'_>) -> Option<Refusal> {
    let catalog = context.catalog;
    if BUILTIN_TEXT_QUERIES.contains(&oid) {
        return catalog
            .hides_rows()
            .then(|| refusal::text_query(&format!("with OID {oid}")));
    }
    let routine = routine(catalog, oid)?;
    if TEXT_QUERIES.contains(&routine.name.as_str()) && catalog.hides_rows() {
        return Some(refusal::text_query(&routine.name));
    }
    let what = format!("function \"{}\"", routine.name);
    misses_rows(&routine.reach, &what, catalog).or_else(|| {
        // Nothing can hold the names in its body.
        let name = first_name(&routine.reach.own, catalog)?;
        Some(refusal::body_names(&what, name))
    })
}

/// Why a body would miss rows of production's.
fn misses_rows(reach: &Reach, what: &str, catalog: &Catalog) -> Option<Refusal> {
    if is_opaque(reach, catalog) {
        return Some(refusal::body_opaque(what));
    }
    first_name(&reach.reads, catalog).map(|name| refusal::body_reads(what, name))
}

/// Whether a body may read whatever there is of production.
fn is_opaque(reach: &Reach, catalog: &Catalog) -> bool {
    reach.opaque && catalog.hides_rows()
}

fn first_name<'a>(oids: &BTreeSet<Oid>, catalog: &'a Catalog) -> Option<&'a str> {
    let relations = &catalog.relations;
    oids.iter()
        .find_map(|oid| relations.get(oid).map(|found| found.name.as_str()))
}

/// Whether a routine's name stands there with a parenthesis after it.
fn is_called(text: &str, name: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    text.match_indices(&name).any(|(at, _)| {
        let rest = text.get(at + name.len()..).unwrap_or_default();
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        rest.trim_start().starts_with('(')
    })
}

/// What a kind of statement may change, whatever it says in detail.
fn of_kind(kind: &Kind) -> Effects {
    match kind {
        Kind::SelectInto { .. }
        | Kind::CreateTableAs { .. }
        | Kind::CreateView { .. }
        | Kind::Refresh
        | Kind::CreateRoutine
        | Kind::Truncate
        | Kind::AlterTable(_)
        | Kind::Utility { .. } => Effects {
            schema: true,
            ..Effects::default()
        },
        Kind::Do | Kind::Call => Effects {
            schema: true,
            ..Effects::default()
        },
        Kind::Discard(what) => Effects {
            schema: matches!(what.as_str(), "ALL" | "TEMP" | "TEMPORARY"),
            search_path: true,
            ..Effects::default()
        },
        Kind::Set(set)
            if HARMLESS_SETTINGS.contains(&set.name.as_str())
                || set.name.starts_with("enable_") =>
        {
            Effects::default()
        }
        Kind::Set(set) if READ_AGAIN.contains(&set.name.as_str()) => Effects {
            search_path: true,
            ..Effects::default()
        },
        Kind::Set(_) => Effects {
            search_path: true,
            settings: true,
            ..Effects::default()
        },
        Kind::Explain {
            analyze: true,
            inner,
            ..
        } => of_kind(inner),
        Kind::Unreadable { .. } => Effects {
            schema: true,
            search_path: true,
            settings: true,
            ..Effects::default()
        },
        _ => Effects::default(),
    }
}
