//! Reading the catalog from fresh.
//!
//! One query whose one row and one column is a JSON document, so that it can be run on any kind of connection: a client's own session
//! (which sees its uncommitted schema changes and temporary tables) or the control plane's.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Deserialize;

use super::lease::{Lease, Mark};
use super::model::{
    Builtin, Cast, Catalog, Column, Key, Lower, Oid, Reach, Relation, RelationKind, Routine,
    UserType,
};
use super::reach;

/// The query: one row, one `text` column. [`parse`] reads it.
pub const QUERY: &str = "SELECT previewpg.catalog()";

/// The same for a session that has changed nothing that isn't committed: an empty text unless it has temporary objects, which only its own catalog knows.
/// (A table's row type is the table's.)
pub const OWN_QUERY: &str = "SELECT CASE WHEN pg_catalog.pg_my_temp_schema() <> 0 \
    AND (EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()) \
      OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = pg_catalog.pg_my_temp_schema()) \
      OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.typnamespace = pg_catalog.pg_my_temp_schema())) \
    THEN previewpg.catalog() ELSE '' END";

/// Makes the function that [`QUERY`] calls; provisioning runs it as the owner of schema `previewpg`.
pub const FUNCTION: &str = include_str!("catalog.sql");

/// The query for the built-in functions, read once by a process: one row, one `text` column. [`Shared::set_builtins`] reads it.
pub const BUILTINS_QUERY: &str = "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.proname, f.volatility, f.aggregate)), '[]')::pg_catalog.text \
    FROM (SELECT p.proname, \
                 pg_catalog.max(CASE p.provolatile WHEN 'v' THEN 'v' WHEN 's' THEN 's' ELSE 'i' END) AS volatility, \
                 pg_catalog.bool_or(p.prokind IN ('a', 'w')) AS aggregate \
          FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace GROUP BY p.proname) f";

/// The limits where provisioning noted none, in rows and in bytes.
const DEFAULT_COPY_UP_ROWS: u64 = 100_000;
const DEFAULT_COPY_UP_BYTES: u64 = 256 << 20;

/// Why a catalog document can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It isn't the JSON document that the query makes.
    #[error("the catalog read from fresh is malformed")]
    Malformed(#[from] serde_json::Error),
}

/// What outlives a single catalog: the dirty marks and the built-in functions, shared by all catalogs of a process.
#[derive(Debug, Default)]
pub struct Shared {
    dirty: Mutex<HashMap<Oid, Arc<Mark>>>,
    /// Until when the marks, and the catalog that is published, may be taken for true.
    pub lease: Arc<Lease>,
    builtins: OnceLock<Arc<HashMap<String, Builtin>>>,
}

impl Shared {
    /// Takes the document that [`BUILTINS_QUERY`] gave. Only the first call counts.
    ///
    /// # Errors
    /// When the document isn't what the query makes.
    pub fn set_builtins(&self, document: &str) -> Result<(), LoadError> {
        let functions: Vec<(String, String, bool)> = serde_json::from_str(document)?;
        let builtins = functions
            .into_iter()
            .map(|(name, volatility, aggregate)| {
                let volatility = letter(&volatility);
                (
                    name,
                    Builtin {
                        volatility,
                        aggregate,
                    },
                )
            })
            .collect();
        let _already_set = self.builtins.set(Arc::new(builtins));
        Ok(())
    }

    /// Somebody has written to this relation, or is about to: whatever catalog it is in, now or later.
    pub fn mark(&self, upper: Oid) {
        self.dirty(upper, true);
    }

    fn dirty(&self, upper: Oid, written: bool) -> Arc<Mark> {
        let mut marks = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = marks
            .entry(upper)
            .or_insert_with(|| Arc::new(Mark::new(Arc::clone(&self.lease))));
        if written {
            mark.set();
        }
        Arc::clone(mark)
    }
}

/// Builds the catalog from the document that [`QUERY`] gave.
///
/// # Errors
/// When the document isn't what the query makes.
pub fn parse(document: &str, shared: &Shared) -> Result<Catalog, LoadError> {
    let document: Document = serde_json::from_str(document)?;
    let mut catalog = Catalog {
        user_operators: document.user_operators,
        max_copy_up_rows: document.copy_up_rows.unwrap_or(DEFAULT_COPY_UP_ROWS),
        max_copy_up_bytes: document.copy_up_bytes.unwrap_or(DEFAULT_COPY_UP_BYTES),
        fresh_major: document.fresh_major,
        production_major: document.production_major.unwrap_or(document.fresh_major),
        builtins: shared.builtins.get().cloned().unwrap_or_default(),
        ..Catalog::default()
    };
    for row in document.relations {
        let Some(relation) = row.build(shared) else {
            continue;
        };
        catalog
            .by_name
            .entry(relation.schema.clone())
            .or_default()
            .insert(relation.name.clone(), relation.oid);
        catalog.incomplete |= relation.definition.is_none()
            && matches!(
                relation.kind,
                RelationKind::View | RelationKind::MaterializedView
            );
        catalog.relations.insert(relation.oid, Arc::new(relation));
    }
    join_heirs(&mut catalog.relations);
    catalog.backed = backed(&catalog.relations);
    for row in document.types {
        catalog.types.entry(row.name).or_default().push(UserType {
            schema: row.schema,
            oid: row.oid,
            kind: letter(&row.kind),
            array: row.array,
            functions: row.functions.unwrap_or_default(),
        });
    }
    for row in document.operators {
        catalog.operators.push((row.name, row.function));
    }
    let routines = document
        .routines
        .into_iter()
        .map(RoutineRow::build)
        .collect();
    catalog.casts = document
        .casts
        .into_iter()
        .map(|CastRow { function, written }| Cast { function, written })
        .collect();
    let (routines, view_reach) = reach::close(routines, &catalog);
    catalog.view_reach = view_reach;
    for routine in routines {
        catalog
            .routines
            .entry(routine.name.clone())
            .or_default()
            .push(Arc::new(routine));
    }
    Ok(catalog)
}

/// Tells tables of production the tables that inherit from them. Where one of a tree can't be served, none of it can: a read would miss its rows.
fn join_heirs(relations: &mut HashMap<Oid, Arc<Relation>>) {
    let mut views: HashMap<Oid, Vec<String>> = HashMap::new();
    let mut broken: HashMap<Oid, String> = HashMap::new();
    let parts = relations.values().filter(|relation| relation.inherits);
    for (relation, lower) in parts.filter_map(|part| Some((part, part.lower.as_ref()?))) {
        let mut of_heirs = Vec::new();
        let (mut to_see, mut seen) = (relation.heirs.clone(), BTreeSet::new());
        while let Some(oid) = to_see.pop() {
            let Some(heir) = relations.get(&oid).filter(|_| seen.insert(oid)) else {
                continue;
            };
            to_see.extend(&heir.heirs);
            match &heir.lower {
                Some(heir) if heir.root == lower.root => of_heirs.push(heir.view.clone()),
                _ => {
                    let why = format!("\"{}\" inherits from it and can't be served", heir.name);
                    broken.insert(lower.root, why);
                }
            }
        }
        if lower.unsupported.is_some() {
            let why = format!(
                "It inherits from, or with, \"{}\", which can't be served",
                relation.name
            );
            broken.insert(lower.root, why);
        }
        of_heirs.sort_unstable();
        views.insert(relation.oid, of_heirs);
    }
    for (oid, heirs) in views {
        if let Some(lower) = relations
            .get_mut(&oid)
            .and_then(|relation| Arc::make_mut(relation).lower.as_mut())
        {
            lower.heirs = heirs;
            if lower.unsupported.is_none() {
                lower.unsupported = broken.get(&lower.root).cloned();
            }
        }
    }
}

/// The lower-backed relations and, at any depth, the views that read them.
fn backed(relations: &HashMap<Oid, Arc<Relation>>) -> BTreeSet<Oid> {
    let mut backed: BTreeSet<Oid> = relations
        .values()
        .filter(|relation| relation.lower.is_some())
        .map(|relation| relation.oid)
        .collect();
    loop {
        let more: Vec<Oid> = relations
            .values()
            .filter(|relation| !backed.contains(&relation.oid))
            .filter(|relation| relation.reads.iter().any(|read| backed.contains(read)))
            .map(|relation| relation.oid)
            .collect();
        if more.is_empty() {
            return backed;
        }
        backed.extend(more);
    }
}

fn letter(text: &str) -> u8 {
    text.bytes().next().unwrap_or(b' ')
}

#[derive(Deserialize)]
struct Document {
    fresh_major: u32,
    production_major: Option<u32>,
    copy_up_rows: Option<u64>,
    copy_up_bytes: Option<u64>,
    user_operators: bool,
    relations: Vec<RelationRow>,
    routines: Vec<RoutineRow>,
    types: Vec<TypeRow>,
    #[serde(default)]
    operators: Vec<OperatorRow>,
    #[serde(default)]
    casts: Vec<CastRow>,
}

#[derive(Deserialize)]
struct CastRow {
    function: Oid,
    written: bool,
}

#[derive(Deserialize)]
struct OperatorRow {
    name: String,
    function: Oid,
}

#[derive(Deserialize)]
struct RelationRow {
    oid: Oid,
    schema: String,
    name: String,
    kind: String,
    temporary: bool,
    row_security: bool,
    rules: bool,
    partition_root: Option<Oid>,
    inherits: bool,
    columns: Option<Vec<ColumnRow>>,
    keys: Option<Vec<KeyRow>>,
    definition: Option<String>,
    #[serde(default)]
    barrier: bool,
    reads: Option<Vec<Oid>>,
    trigger_functions: Option<Vec<Oid>>,
    row_functions: Option<Vec<Oid>>,
    children: Option<Vec<Oid>>,
    rule_reads: Option<Vec<Oid>>,
    heirs: Option<Vec<Oid>>,
    lower: Option<LowerRow>,
}

#[derive(Deserialize)]
struct ColumnRow {
    number: i16,
    name: String,
    type_oid: Oid,
    type_name: String,
    not_null: bool,
    generated: bool,
    has_default: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct KeyRow {
    name: String,
    constraint: bool,
    primary: bool,
    exclusion: bool,
    partial: bool,
    expressions: Vec<String>,
    predicate: Option<String>,
    columns: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct LowerRow {
    state: String,
    key: Option<Vec<String>>,
    production_schema: String,
    production_name: String,
    same_shape: bool,
    #[serde(default)]
    policed: bool,
    row_security: bool,
    reason: Option<String>,
    #[serde(default)]
    rows: i64,
    #[serde(default)]
    bytes: i64,
    claims: Option<Oid>,
    copy_up: Option<Oid>,
    written: bool,
}

#[derive(Deserialize)]
struct RoutineRow {
    oid: Oid,
    schema: String,
    name: String,
    volatility: String,
    language: String,
    aggregate: bool,
    body: String,
    extension: Option<String>,
    calls: Option<Vec<Oid>>,
}

#[derive(Deserialize)]
struct TypeRow {
    oid: Oid,
    schema: String,
    name: String,
    kind: String,
    array: bool,
    functions: Option<Vec<Oid>>,
}

impl RelationRow {
    /// `None` for a kind that no statement reads or writes.
    fn build(self, shared: &Shared) -> Option<Relation> {
        let kind = match self.kind.as_str() {
            "r" => RelationKind::Table,
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::Foreign,
            "S" => RelationKind::Sequence,
            "c" => RelationKind::Composite,
            _ => return None,
        };
        let lower = self.lower.and_then(|row| row.build(self.oid, shared));
        Some(Relation {
            oid: self.oid,
            schema: self.schema,
            name: self.name,
            kind,
            temporary: self.temporary,
            columns: self
                .columns
                .unwrap_or_default()
                .into_iter()
                .map(ColumnRow::build)
                .collect(),
            keys: self
                .keys
                .unwrap_or_default()
                .into_iter()
                .map(KeyRow::build)
                .collect(),
            lower,
            definition: self
                .definition
                .map(|text| text.trim_end().trim_end_matches(';').to_owned()),
            barrier: self.barrier,
            reads: self.reads.unwrap_or_default(),
            row_security: self.row_security,
            rules: self.rules,
            trigger_functions: self.trigger_functions.unwrap_or_default(),
            row_functions: self.row_functions.unwrap_or_default(),
            children: self.children.unwrap_or_default(),
            rule_reads: self.rule_reads.unwrap_or_default(),
            heirs: self.heirs.unwrap_or_default(),
            partition_root: self.partition_root,
            inherits: self.inherits,
        })
    }
}

impl ColumnRow {
    fn build(self) -> Column {
        // A default that calls something may be volatile, and nobody needs the distinction: where the value is wanted, a call is not.
        let stable_default = self.default.filter(|text| !text.contains('('));
        Column {
            number: self.number,
            name: self.name,
            type_oid: self.type_oid,
            type_name: self.type_name,
            not_null: self.not_null,
            generated: self.generated,
            has_default: self.has_default,
            stable_default,
        }
    }
}

impl KeyRow {
    fn build(self) -> Key {
        Key {
            name: self.name,
            constraint: self.constraint,
            primary: self.primary,
            columns: self.columns.unwrap_or_default(),
            partial: self.partial,
            expressions: self.expressions,
            predicate: self.predicate,
            exclusion: self.exclusion,
        }
    }
}

impl LowerRow {
    /// `None` for a detached relation: it is an ordinary table of fresh.
    fn build(self, upper: Oid, shared: &Shared) -> Option<Lower> {
        if self.state == "detached" {
            return None;
        }
        let unsupported = (self.state == "unsupported").then(|| {
            self.reason
                .unwrap_or_else(|| "It can't be read from production.".to_owned())
        });
        let claims = self.claims.unwrap_or(upper);
        let copy_up = self.copy_up.unwrap_or(upper);
        let key = self.key.unwrap_or_default();
        Some(Lower {
            view: format!("previewpg_lower.r{upper}"),
            claims: format!("previewpg_claims.r{claims}"),
            copy_up: (!key.is_empty()).then(|| format!("previewpg_copy.r{copy_up}")),
            key,
            root: claims,
            heirs: Vec::new(),
            production: (self.production_schema, self.production_name),
            same_shape: self.same_shape,
            row_security: self.row_security,
            read_only: self.state == "read_only",
            // PostgreSQL says -1 of what it never counted.
            rows: u64::try_from(self.rows).unwrap_or(0),
            bytes: u64::try_from(self.bytes).unwrap_or(0),
            unsupported,
            policed: self.policed,
            dirty: shared.dirty(upper, self.written),
        })
    }
}

impl RoutineRow {
    fn build(self) -> Routine {
        Routine {
            oid: self.oid,
            schema: self.schema,
            name: self.name,
            volatility: letter(&self.volatility),
            language: self.language,
            body: self.body,
            extension: self.extension,
            calls: self.calls.unwrap_or_default(),
            aggregate: self.aggregate,
            reach: Reach::default(),
        }
    }
}
