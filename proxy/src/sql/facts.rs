//! What a statement is and where its parts stand, from its text alone.
//!
//! Every span is a byte range of the *whole* query string that was read (not of the statement), on
//! character boundaries. Names are as PostgreSQL would resolve them: unquoted ones folded to lower case (ASCII
//! only, as PostgreSQL does in UTF-8), quotes and `U&` escapes undone, truncated to 63 bytes on a character boundary.

use std::collections::HashSet;
use std::ops::Range;

/// A byte range of the query string.
pub type Span = Range<usize>;

/// An index into [`Statement::relations`].
pub type RelationId = usize;
/// An index into [`Statement::levels`].
pub type LevelId = usize;

/// A query string, read: its statements in order. Empty statements (`;;`) are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// A possibly schema-qualified name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The schema, where the text gives one (a database part before it is dropped when present).
    pub schema: Option<String>,
    /// The object's own name.
    pub name: String,
}

/// Reads a query string; `standard_conforming_strings` as the session has it. It never fails: what can't be read is [`Kind::Unreadable`].
///
/// Bytes instead of a `&str` are for queries in another server-safe encoding: spans are byte ranges of them, and names
/// that aren't UTF-8 come with replacement characters.
#[must_use]
pub fn read(text: impl AsRef<[u8]>, standard_conforming_strings: bool) -> Script {
    super::reader::read(text.as_ref(), standard_conforming_strings)
}

/// One statement of a query string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// From its first to its last token; no semicolon, no surrounding white space or comments.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    /// Every place where a relation is named, in text order. Names that a CTE in scope shadows are not relations.
    pub relations: Vec<Relation>,
    /// Every query level: each `SELECT` core, and one for each INSERT, UPDATE, DELETE or MERGE, in text order.
    pub levels: Vec<Level>,
    /// Every column reference or qualified wildcard of at least one part, in text order.
    pub columns: Vec<Column>,
    /// Every function call that is looked up by name (not `COALESCE`, `GREATEST`, `NULLIF`, `EXTRACT` and other syntax of the grammar), in text order (also those in FROM, CALL, and aggregates and window functions).
    pub functions: Vec<Function>,
    /// The rows-changing parts: INSERT, UPDATE, DELETE, MERGE, at the top or in a CTE, in text order.
    pub writes: Vec<Write>,
    /// Names of types that the text casts to or declares (`x::order_status`, `CAST(x AS t)`, `typed 'literal'`), in text order; those that are key words (`int`, `numeric`, `timestamp`, ...) left out: they mean the same everywhere.
    pub types: Vec<Name>,
    /// The highest `$n` (0: none).
    pub parameters: u16,
    /// Every word of the statement's text that could name something: identifiers, and the identifier-like
    /// words inside string literals and dollar-quoted bodies, each folded as an unquoted name *and* as it stands.
    /// For positive accounting, and for what can't be read.
    pub words: HashSet<String>,
    /// Operators written in the text other than PostgreSQL's everyday ones
    /// (`= <> != < > <= >= + - * / % || ~ !~ ~* !~* ~~ !~~ ~~* !~~* -> ->> #> #>> @> <@ ? ?| ?& && ::`), for placement.
    pub unusual_operators: HashSet<String>,
    /// Identifiers in the text of a query or a write that are none of the above: no relation, column, function, type, alias, label,
    /// name of a WITH clause, window, parameter or cursor. There are none unless the reader has overlooked something; see [`Statement::unaccounted`].
    pub loose: Vec<String>,
    /// `current_user`, `current_date` and the other functions written without parentheses, lower case.
    pub keyword_functions: HashSet<String>,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `SELECT`, `VALUES`, `TABLE`, with or without `WITH` (look at [`Statement::writes`] for data-modifying CTEs).
    Query,
    /// `SELECT .. INTO`: makes a table. `into` is the span of `INTO [TEMP|UNLOGGED] [TABLE] name`.
    SelectInto {
        /// The span of the INTO clause.
        into: Span,
    },
    /// A top-level INSERT.
    Insert,
    /// A top-level UPDATE.
    Update,
    /// A top-level DELETE.
    Delete,
    /// A top-level MERGE.
    Merge,
    /// `COPY ..`.
    Copy(Copy),
    /// `EXPLAIN ..` of the statement whose facts are this statement's (relations, levels, ...).
    Explain {
        /// With `ANALYZE` (it runs).
        analyze: bool,
        /// What is explained.
        inner: Box<Kind>,
        /// Where the explained statement stands.
        span: Span,
    },
    /// `PREPARE name [(types)] AS inner`.
    Prepare {
        /// The statement's name.
        name: String,
        /// The types' text, with its parentheses.
        types: Option<Span>,
        /// What is prepared.
        inner: Box<Kind>,
        /// Where the prepared statement stands.
        span: Span,
    },
    /// `EXECUTE name [(args)]`.
    Execute {
        /// The prepared statement's name.
        name: String,
        /// Each argument's text.
        arguments: Vec<Span>,
    },
    /// `DEALLOCATE [PREPARE] name | ALL` (`None`: all).
    Deallocate(Option<String>),
    /// `DECLARE name .. CURSOR .. FOR query`.
    Declare {
        /// The cursor's name.
        name: String,
        /// `SCROLL` or `NO SCROLL` stands there.
        says_scroll: bool,
        /// The word CURSOR.
        cursor: Span,
        /// Where the query stands.
        span: Span,
    },
    /// `FETCH`, `MOVE`, `CLOSE`.
    Cursor,
    /// `CREATE [TEMP] TABLE .. AS query` (also `AS TABLE t`, `AS EXECUTE p`: then `execute` is set).
    CreateTableAs {
        /// `AS EXECUTE`: the prepared statement's name.
        execute: Option<String>,
    },
    /// `CREATE [OR REPLACE] VIEW`; its query's facts are in this statement with role [`Role::Read`].
    CreateView {
        /// `CREATE MATERIALIZED VIEW`.
        materialized: bool,
        /// Its query runs now: not `WITH NO DATA`.
        filled: bool,
    },
    /// `REFRESH MATERIALIZED VIEW`.
    Refresh,
    /// `CREATE [OR REPLACE] FUNCTION/PROCEDURE`. The body is opaque.
    CreateRoutine,
    /// `DO`. The body is opaque.
    Do,
    /// `CALL f(..)`.
    Call,
    /// `TRUNCATE`.
    Truncate,
    /// `ALTER TABLE ..`.
    AlterTable(AlterTable),
    /// `LOCK TABLE`.
    Lock,
    /// Any other schema change or utility that acts natively and leaves table *content* unread: CREATE TABLE, DROP, ALTER x, CREATE INDEX, COMMENT, GRANT, ANALYZE, VACUUM, CREATE TRIGGER...
    /// `tag` is its first two words in upper case, as in a command tag.
    Utility {
        /// For example `CREATE TABLE`.
        tag: String,
    },
    /// BEGIN, COMMIT, SAVEPOINT, ...
    Transaction(Transaction),
    /// `SET`, `RESET` (`SET SESSION AUTHORIZATION`, `SET ROLE`, `SET TRANSACTION`, `SET CONSTRAINTS` included).
    Set(Set),
    /// `SHOW`.
    Show,
    /// `DISCARD ALL | PLANS | TEMP | SEQUENCES`, the word in upper case.
    Discard(String),
    /// `LISTEN`, `UNLISTEN`, `NOTIFY`, `CHECKPOINT`, `LOAD`, ...: no table is read.
    Session,
    /// It can't be read. [`Statement::words`] tells what it may be about.
    Unreadable {
        /// Why, in a few words, for a DETAIL.
        why: String,
    },
}

impl Kind {
    /// Whether it reads or writes rows when it runs, or stores a query that does.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        matches!(
            self,
            Self::Query
                | Self::SelectInto { .. }
                | Self::Insert
                | Self::Update
                | Self::Delete
                | Self::Merge
                | Self::Copy(_)
                | Self::Explain { .. }
                | Self::Prepare { .. }
                | Self::Declare { .. }
                | Self::CreateTableAs { .. }
        )
    }
}

impl WriteKind {
    /// The cursor whose row it changes.
    #[must_use]
    pub fn current_of(&self) -> Option<&Cursor> {
        match self {
            Self::Update { current_of, .. } | Self::Delete { current_of } => current_of.as_ref(),
            Self::Insert { .. } | Self::Merge { .. } => None,
        }
    }
}

impl Statement {
    /// Positive accounting: an identifier that `known` knows (as a table's name) and that the reader can't say what it is for.
    /// A statement with one must not be served. Statements that are [`Kind::Unreadable`] are to be judged by [`Statement::words`] instead.
    #[must_use]
    pub fn unaccounted(&self, known: impl Fn(&str) -> bool) -> Option<&str> {
        self.loose
            .iter()
            .map(String::as_str)
            .find(|name| known(name))
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Unreadable { why: String::new() }
    }
}

/// A place where a relation is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The name.
    pub name: Name,
    /// What a derived table replaces: `[ONLY] [(] name [)] [*]`, without alias. For [`Role::Table`] (`TABLE t`) the keyword as well.
    pub span: Span,
    /// The name alone, qualifiers included.
    pub name_span: Span,
    /// `ONLY`.
    pub only: bool,
    /// The alias, with its span (without `AS`), if any.
    pub alias: Option<(String, Span)>,
    /// The alias has a column list (`AS u(a, b)`).
    pub column_aliases: bool,
    /// Why it is named.
    pub role: Role,
    /// The query level in whose FROM (USING, target) it stands; `None` for utilities.
    pub level: Option<LevelId>,
    /// With TABLESAMPLE.
    pub sampled: bool,
}

impl Relation {
    /// The name by which its columns can be qualified: the alias, or its own.
    #[must_use]
    pub fn range_name(&self) -> &str {
        self.alias
            .as_ref()
            .map_or(&self.name.name, |(alias, _)| alias)
    }
}

/// Why a relation is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// In FROM, JOIN, USING: it is read.
    Read,
    /// `TABLE t` as a query: read; a replacement must be a whole `SELECT`.
    Table,
    /// The target of `writes[n]`.
    Target(usize),
    /// The table of a COPY.
    Copy,
    /// A utility's object (DDL, LOCK, TRUNCATE, ANALYZE, REFERENCES, ...).
    Object,
    /// What a statement makes (CREATE TABLE x, INTO x).
    New,
}

/// One SELECT core, or one INSERT/UPDATE/DELETE/MERGE.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Level {
    /// The whole query expression this level belongs to: WITH, set operations, ORDER BY, LIMIT and locking included, no parentheses.
    pub query: Span,
    /// The core: from `SELECT` (UPDATE, ...) to before ORDER BY / set operator.
    pub span: Span,
    /// The level whose FROM items its names can refer to as outer ones, and, for the source of an INSERT, that INSERT's.
    /// `None` at the top: also for the queries of a top-level WITH and for each arm of a top-level set operation (the top is where `query` is the statement's span).
    pub parent: Option<LevelId>,
    /// It is an arm of UNION, INTERSECT or EXCEPT.
    pub set_operation: bool,
    /// `DISTINCT`, aggregates' GROUP BY, HAVING or WINDOW is present (not: aggregates in the list).
    pub distinct: bool,
    /// The target list's text (SET's for UPDATE; the rows' of VALUES; empty for `TABLE t`, INSERT, DELETE, MERGE).
    pub list: Span,
    /// The text of all FROM (or USING) items, without the keyword.
    pub from: Option<Span>,
    /// Aliases or names by which this level's FROM items (also subqueries, functions, CTEs, the write's target) can be referred to.
    pub range: Vec<String>,
    /// The outer-join keywords LEFT, RIGHT, FULL stand in this level's FROM.
    pub outer_join: bool,
    /// WHERE. (Not that of ON CONFLICT DO UPDATE.)
    pub condition: Option<Condition>,
    /// The text of the GROUP BY list.
    pub group_by: Option<Span>,
    /// HAVING stands there.
    pub having: bool,
    /// The text after ORDER BY (of the query expression).
    pub order_by: Option<Span>,
    /// The count of LIMIT or FETCH FIRST; `None` also for LIMIT ALL, and empty for `FETCH FIRST ROW ONLY`, which means one.
    pub limit: Option<Span>,
    /// `WITH TIES`.
    pub with_ties: bool,
    /// The count of OFFSET.
    pub offset: Option<Span>,
    /// FOR UPDATE and its kind (of the query expression).
    pub locks: Vec<Lock>,
    /// The WITH clauses' names visible here, own ones and outer ones, innermost first.
    pub ctes: Vec<String>,
}

/// A locking clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The whole clause.
    pub span: Span,
    /// How strong.
    pub strength: LockStrength,
    /// The names after OF (empty: all).
    pub of: Vec<String>,
    /// What happens when a row is locked already.
    pub wait: LockWait,
}

/// The strength of a row lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockStrength {
    /// FOR KEY SHARE
    KeyShare,
    /// FOR SHARE
    Share,
    /// FOR NO KEY UPDATE
    NoKeyUpdate,
    /// FOR UPDATE
    Update,
}

/// What to do about a row that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockWait {
    /// Wait.
    Block,
    /// NOWAIT
    Error,
    /// SKIP LOCKED
    Skip,
}

/// A WHERE clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The expression's text, without the keyword.
    pub span: Span,
    /// Its parts, joined by AND at the top (one, when there's no such AND). Their texts, AND-ed, are the condition.
    pub conjuncts: Vec<Span>,
}

/// A column reference: `a`, `t.a`, `s.t.a`, `t.*`, `s.t.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The parts, names undone; a wildcard is `*`.
    pub parts: Vec<String>,
    /// Each part's span, in the same order.
    pub spans: Vec<Span>,
    /// The query level in whose text it stands; `None` in utilities.
    pub level: Option<LevelId>,
}

/// A function call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The name.
    pub name: Name,
    /// The name's span.
    pub span: Span,
    /// The query level in whose text it stands; `None` in utilities.
    pub level: Option<LevelId>,
}

/// The rows-changing part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub kind: WriteKind,
    /// The target.
    pub target: RelationId,
    /// Its query level.
    pub level: LevelId,
    /// Where it stands: from its keyword to its end, RETURNING included.
    pub span: Span,
    /// Its own WITH list's text: from `WITH` to before INSERT/UPDATE/DELETE/MERGE.
    pub with: Option<Span>,
    /// It stands in a CTE of another statement.
    pub in_cte: bool,
    /// The RETURNING list's text.
    pub returning: Option<Span>,
}

/// What `WHERE CURRENT OF` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The cursor of this name.
    Named(String),
    /// A parameter: which one isn't known before it runs.
    Parameter,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteKind {
    /// INSERT
    Insert {
        /// The column list's names (with indirections cut off); `None`: no list.
        columns: Option<Vec<String>>,
        /// What is inserted.
        source: InsertSource,
        /// ON CONFLICT.
        conflict: Option<Conflict>,
        /// `OVERRIDING SYSTEM/USER VALUE` stands there.
        overriding: bool,
    },
    /// UPDATE (its FROM and WHERE are its level's).
    Update {
        /// The names of the columns that SET assigns to.
        columns: Vec<String>,
        /// `WHERE CURRENT OF`.
        current_of: Option<Cursor>,
    },
    /// DELETE (its USING and WHERE are its level's `from` and `condition`).
    Delete {
        /// `WHERE CURRENT OF`.
        current_of: Option<Cursor>,
    },
    /// MERGE
    Merge {
        /// The USING item's text, alias included.
        source: Span,
        /// The ON condition's text.
        on: Span,
        /// There is a `WHEN NOT MATCHED BY SOURCE`.
        by_source: bool,
        /// There is a WHEN .. INSERT.
        inserts: bool,
    },
}

/// The rows of an INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertSource {
    /// `DEFAULT VALUES`
    Default,
    /// `VALUES`, row by row, value by value; `None` is the keyword DEFAULT. (VALUES with ORDER BY or in a WITH or set operation is a Query.)
    Values(Vec<Vec<Option<Span>>>),
    /// Any query, its text.
    Query(Span),
}

/// ON CONFLICT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The whole clause.
    pub span: Span,
    /// What it arbitrates on.
    pub target: ConflictTarget,
    /// DO UPDATE: the names of the columns that SET assigns to. `None`: DO NOTHING.
    pub update: Option<Vec<String>>,
}

/// The conflict target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictTarget {
    /// None: any unique or exclusion constraint.
    Any,
    /// ON CONSTRAINT name
    Constraint(String),
    /// Plain columns, by name.
    Columns(Vec<String>),
    /// Expressions, operator classes, or a predicate.
    Expressions,
}

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// FROM (else TO).
    pub from: bool,
    /// `Some`: COPY (query), the query's text.
    pub query: Option<Span>,
    /// The column list: its span with parentheses, and the names.
    pub columns: Option<(Span, Vec<String>)>,
    /// The span from the table's name (or BINARY in front of it) to the end of its column list: what `(SELECT ..)` replaces.
    pub source: Span,
    /// FROM STDIN / TO STDOUT (else a file or a program on the server).
    pub client: bool,
    /// Old options that `COPY (query)` doesn't know, and its words for them.
    pub as_query: Vec<(Span, &'static str)>,
}

/// ALTER TABLE, as far as merged rows care.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlterTable {
    /// There's an `ALTER COLUMN .. TYPE .. USING`.
    pub using: bool,
    /// There's an ALTER COLUMN .. TYPE.
    pub retype: bool,
    /// There's an ADD COLUMN whose DEFAULT calls a function, or a GENERATED column.
    pub computed_default: bool,
    /// It attaches or detaches a partition, or changes inheritance.
    pub inheritance: bool,
}

/// Transaction control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN, START TRANSACTION; the isolation level's words in upper case, if named.
    Begin {
        /// For example `REPEATABLE READ`.
        isolation: Option<String>,
    },
    /// COMMIT, END
    Commit,
    /// ROLLBACK, ABORT
    Rollback,
    /// SAVEPOINT
    Savepoint,
    /// RELEASE
    Release,
    /// ROLLBACK TO
    RollbackTo,
    /// PREPARE TRANSACTION
    Prepare,
    /// COMMIT PREPARED, ROLLBACK PREPARED
    FinishPrepared,
}

/// SET and RESET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The parameter's name, lower case; `time zone` is `timezone`; `SET TRANSACTION` and `SET SESSION CHARACTERISTICS` are `transaction`; `SET CONSTRAINTS` is `constraints`; `RESET ALL` is `all`.
    pub name: String,
    /// SET LOCAL
    pub local: bool,
}
