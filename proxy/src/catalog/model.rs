//! The catalog as a value: what one session may name, and what is known of each thing.
//!
//! Built from fresh's own catalogs and the tables of schema `previewpg`. A catalog is immutable; a change of
//! schema makes a new one. What changes without a change of schema (a table became dirty) is a mark, shared by all catalogs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::lease::Mark;

/// A PostgreSQL object identifier of the fresh database.
pub type Oid = u32;

/// Everything that a statement's names can mean.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Relations by OID, the session's own temporary ones included; system catalogs are left out.
    pub relations: HashMap<Oid, Arc<Relation>>,
    /// OIDs by schema and name.
    pub by_name: HashMap<String, HashMap<String, Oid>>,
    /// The relations that production's rows show through: lower-backed ones and the views over them.
    pub backed: BTreeSet<Oid>,
    /// The functions and procedures outside pg_catalog and information_schema, by name (schemas mixed).
    pub routines: HashMap<String, Vec<Arc<Routine>>>,
    /// What is known of pg_catalog's functions, by name; a name that isn't here isn't a built-in function.
    pub builtins: Arc<HashMap<String, Builtin>>,
    /// The types outside pg_catalog and information_schema, by name (schemas mixed).
    pub types: HashMap<String, Vec<UserType>>,
    /// There are operators outside pg_catalog that no extension owns.
    pub user_operators: bool,
    /// The operators whose functions have bodies that can be read: name and function.
    pub operators: Vec<(String, Oid)>,
    /// The casts whose functions have bodies that can be read, and that may be applied without a user's type being named.
    pub casts: Vec<Cast>,
    /// What the queries of views and materialized views touch that production's rows don't show through: they run as they stand. Only those that touch something.
    pub view_reach: HashMap<Oid, Reach>,
    /// A view's definition couldn't be read, because another session has it locked: worth reading again.
    pub incomplete: bool,
    /// How many rows one statement may copy up.
    pub max_copy_up_rows: u64,
    /// How many bytes, in one table.
    pub max_copy_up_bytes: u64,
    /// Major version of fresh, for example 15.
    pub fresh_major: u32,
    /// Major version of production at provisioning.
    pub production_major: u32,
}

/// A cast with a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cast {
    /// Its function.
    pub function: Oid,
    /// It's applied only where the text says so: `x::int`, `CAST (x AS int)`.
    pub written: bool,
}

/// What is known of all functions of one built-in name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// The most volatile of them: `i`, `s` or `v`.
    pub volatility: u8,
    /// One of them is an aggregate or window function.
    pub aggregate: bool,
}

/// A type that isn't built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserType {
    /// Its schema.
    pub schema: String,
    /// Its OID in fresh.
    pub oid: Oid,
    /// `b`ase, `c`omposite, `d`omain, `e`num, `r`ange, `m`ultirange, `p`seudo.
    pub kind: u8,
    /// It is the array type of another one.
    pub array: bool,
    /// The functions that making a value of it may call: a domain's checks, casts to and from it.
    pub functions: Vec<Oid>,
}

/// A relation of fresh.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: RelationKind,
    /// It's temporary.
    pub temporary: bool,
    /// Its live columns, in order.
    pub columns: Vec<Column>,
    /// Its unique keys that are valid: primary first.
    pub keys: Vec<Key>,
    /// `Some`: it is lower-backed.
    pub lower: Option<Lower>,
    /// A view's or materialized view's query, from `pg_get_viewdef`, without its semicolon.
    pub definition: Option<String>,
    /// A view with `security_barrier`: nothing that could tell of them is called for rows that it doesn't show.
    pub barrier: bool,
    /// Views: the OIDs of the relations that the definition reads (from pg_depend).
    pub reads: Vec<Oid>,
    /// Row-level security is enabled.
    pub row_security: bool,
    /// It has rewrite rules of its own (not a view's `_RETURN`).
    pub rules: bool,
    /// The other relations that those rules read or write.
    pub rule_reads: Vec<Oid>,
    /// The functions of its users' enabled triggers (ours and PostgreSQL's own left out).
    pub trigger_functions: Vec<Oid>,
    /// The functions that a new row of it may call besides: in defaults, generated columns, checks, indexes, partition keys, policies, rules, conditions of triggers, and for its columns' types.
    pub row_functions: Vec<Oid>,
    /// The tables whose foreign keys refer to this one.
    pub children: Vec<Oid>,
    /// A partition's root table.
    pub partition_root: Option<Oid>,
    /// Its partitions or inheritance children.
    pub heirs: Vec<Oid>,
    /// It has (non-partition) inheritance children or parents.
    pub inherits: bool,
}

/// The kind of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table (also a leaf partition).
    Table,
    /// A partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table (not ours).
    Foreign,
    /// A sequence.
    Sequence,
    /// A composite type.
    Composite,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its attribute number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type's OID in fresh.
    pub type_oid: Oid,
    /// Its type as `format_type` prints it, schema-qualified where it isn't built in (for a cast in text).
    pub type_name: String,
    /// NOT NULL.
    pub not_null: bool,
    /// GENERATED ALWAYS AS (..) STORED (or VIRTUAL).
    pub generated: bool,
    /// It has a default or is an identity column.
    pub has_default: bool,
    /// The default's text (not of generated columns) when it contains no volatile function; identity: `None`.
    pub stable_default: Option<String>,
}

/// A unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of the constraint or index.
    pub name: String,
    /// It's a constraint (can be named in ON CONFLICT ON CONSTRAINT).
    pub constraint: bool,
    /// Primary key.
    pub primary: bool,
    /// The columns' names; empty when the key has expressions.
    pub columns: Vec<String>,
    /// It has a predicate or expressions.
    pub partial: bool,
    /// What is unique, column by column: expressions over the relation's columns, plain columns quoted.
    pub expressions: Vec<String>,
    /// A partial key's predicate.
    pub predicate: Option<String>,
    /// It is an exclusion constraint.
    pub exclusion: bool,
}

/// What stands below an upper table.
#[derive(Debug, Clone)]
pub struct Lower {
    /// The projection view, quoted and schema-qualified: production's rows in upper's current shape.
    pub view: String,
    /// The claims table, quoted and schema-qualified.
    pub claims: String,
    /// The function that copies rows up, quoted and schema-qualified: `f(rows view[]) returns bigint`; `None` for keyless relations.
    pub copy_up: Option<String>,
    /// The key's column names, in upper and in claims: empty for a relation without a key, whose claims table
    /// holds one row (`true`) once everything was copied up.
    pub key: Vec<String>,
    /// The relation whose claims serve it: itself, a partition's root, or the one that stands for an inheritance tree.
    pub root: Oid,
    /// The views of the tables that inherit from it, at any depth: a read without ONLY reads them, too. Not of a partitioned table, whose own view has all of its rows.
    pub heirs: Vec<String>,
    /// The relation on production: schema and name.
    pub production: (String, String),
    /// Upper's columns are production's: same names, types and order.
    pub same_shape: bool,
    /// production enforces row-level security on it for our role.
    pub row_security: bool,
    /// Nothing may be copied up (materialized views, foreign tables of production): it's read only, straight from lower.
    pub read_only: bool,
    /// How many rows production had when the preview was provisioned, as production estimated it; 0: not known.
    pub rows: u64,
    /// How many bytes they took.
    pub bytes: u64,
    /// It can't be served: why, for a DETAIL.
    pub unsupported: Option<String>,
    /// That is because row-level security is forced on it here: once it's copied up, PostgreSQL applies its policies.
    pub policed: bool,
    /// Somebody has written to it (or tried to) since provisioning. Never goes back to false while a proxy runs.
    pub dirty: Arc<Mark>,
}

impl Catalog {
    /// The relation of this schema and name.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(self.by_name.get(schema)?.get(name)?)
    }

    /// Whether it was read by a session that has temporary objects, which no other session knows.
    #[must_use]
    pub fn has_temporary(&self) -> bool {
        let of_routines = self
            .routines
            .values()
            .flatten()
            .map(|routine| &routine.schema);
        let of_types = self.types.values().flatten().map(|named| &named.schema);
        self.by_name
            .keys()
            .chain(of_routines)
            .chain(of_types)
            .any(|schema| schema.starts_with("pg_temp_"))
    }

    /// Whether code that no rewriting reaches may miss rows of production, whatever it reads.
    #[must_use]
    pub fn hides_rows(&self) -> bool {
        self.backed
            .iter()
            .filter_map(|oid| self.relations.get(oid))
            .any(|relation| relation.lower.is_some() && !relation.is_unpopulated())
    }

    /// Whether rows of production show through this relation: it is lower-backed, or a view that reads one that is, at any depth.
    #[must_use]
    pub fn is_backed(&self, oid: Oid) -> bool {
        self.backed.contains(&oid)
    }
}

impl Relation {
    /// A materialized view of production: it holds nothing here, and PostgreSQL says so to whoever reads it past the overlay.
    #[must_use]
    pub fn is_unpopulated(&self) -> bool {
        self.kind == RelationKind::MaterializedView
            && self.lower.as_ref().is_some_and(|lower| lower.read_only)
    }

    /// Whether PostgreSQL's LOCK TABLE takes it, and others see it.
    #[must_use]
    pub fn is_lockable(&self) -> bool {
        let kinds = [
            RelationKind::Table,
            RelationKind::Partitioned,
            RelationKind::View,
        ];
        kinds.contains(&self.kind) && !self.temporary
    }

    /// It's one of several that share a marker instead of keys, a partition or a part of an inheritance tree: of their rows all are copied up, or none.
    #[must_use]
    pub fn is_part(&self) -> bool {
        let is_in_tree = |lower: &Lower| {
            lower.root != self.oid || self.inherits || self.kind == RelationKind::Partitioned
        };
        self.lower.as_ref().is_some_and(|lower| {
            lower.key.is_empty()
                && !lower.read_only
                && lower.unsupported.is_none()
                && is_in_tree(lower)
        })
    }

    /// The primary key.
    #[must_use]
    pub fn primary_key(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.primary)
    }

    /// The live column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Lower {
    /// Whether merged is, for sure, what production holds: no claims and production's shape.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.same_shape && !self.dirty.is_set()
    }
}

/// A function or procedure outside the system's schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `i`, `s` or `v`.
    pub volatility: u8,
    /// Its language's name.
    pub language: String,
    /// Its source (a SQL-standard body as `pg_get_functiondef` prints it).
    pub body: String,
    /// It belongs to an extension.
    pub extension: Option<String>,
    /// The functions that PostgreSQL knows it to call: an aggregate's parts, defaults of arguments, checks of argument types, a SQL-standard body's calls.
    pub calls: Vec<Oid>,
    /// It's an aggregate or a window function.
    pub aggregate: bool,
    /// What calling it may touch, the routines that it calls included.
    pub reach: Reach,
}

/// What code that no rewriting reaches (a function's body, a DO block) may touch, told from its text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Lower-backed relations, and views over them, that it may read: such a read would see upper alone.
    pub reads: BTreeSet<Oid>,
    /// Lower-backed relations that it names at all: it may write to them.
    pub names: BTreeSet<Oid>,
    /// Other tables and views that it may read, by names that can come to mean lower-backed ones.
    pub own: BTreeSet<Oid>,
    /// Lower-backed relations whose rows it changes: what is not in upper it would miss, which the guard tells it.
    pub changes: BTreeSet<Oid>,
    /// It runs SQL that it makes at run time, and its text doesn't tell what.
    pub opaque: bool,
    /// It may change the schema.
    pub schema: bool,
    /// It may change settings.
    pub settings: bool,
    /// It may change the row that a cursor stands on (`WHERE CURRENT OF`).
    pub current_of: bool,
    /// It may end the transaction, and with it what holds its names.
    pub ends: bool,
}
