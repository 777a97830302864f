//! What a session does for one statement.

use std::sync::Arc;

use crate::catalog::model::Oid;

/// What to do for one statement of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Send the original text to fresh.
    Pass(Effects),
    /// Send something else to fresh.
    Fresh(Box<Fresh>),
    /// The read may run on production, for every relation in it is clean; `fresh` is what to do when the session's
    /// state or production's answer rules that out.
    Production(Box<Production>),
    /// Refuse: an error 0A000, and the transaction is aborted as by any error.
    Refuse(Refusal),
}

/// What the statement may change besides rows, so that the session knows what to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effects {
    /// It may change the schema (or calls code that may): nothing after it may be planned before it has ended.
    pub schema: bool,
    /// It may change the search path: to be asked for again before names are resolved.
    pub search_path: bool,
    /// What it calls names tables of the preview's own: names that nobody else holds while it runs.
    pub names: bool,
    /// It may change other settings that change results, in a way that isn't reported: production is no longer asked for this session.
    pub settings: bool,
    /// What it calls may change the row that a cursor stands on.
    pub current_of: bool,
}

impl Effects {
    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            schema: self.schema || other.schema,
            search_path: self.search_path || other.search_path,
            names: self.names || other.names,
            settings: self.settings || other.settings,
            current_of: self.current_of || other.current_of,
        }
    }
}

impl Plan {
    /// What follows from running it.
    #[must_use]
    pub fn effects(&self) -> Effects {
        match self {
            Self::Pass(effects) => *effects,
            Self::Fresh(fresh) => fresh.effects,
            Self::Production(production) => production.fresh.effects,
            Self::Refuse(_) => Effects::default(),
        }
    }
}

/// A rewritten statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Statements to run first, in the same transaction, in order; their results are swallowed.
    pub before: Vec<Before>,
    /// The statement to run in place of the original; `None`: the original itself.
    pub text: Option<Arc<str>>,
    /// It reads merged rows, and no table whose rows it locks tells PostgreSQL where a cursor over it stands: the current row may be one of production's.
    pub merged: bool,
    /// Relations that become dirty by this, to be marked before anything is sent.
    pub dirties: Vec<Oid>,
    /// As for [`Plan::Pass`].
    pub effects: Effects,
    /// Whether the original can be prepared as it stands for its column metadata (`false` for COPY and other utilities, whose rewritten text is simply run).
    pub describe_original: bool,
}

/// A statement to run before the client's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its text. It may use the statement's parameters `$1 ..` (bind the same bytes, with the original's types).
    pub text: String,
    /// How many parameters must be bound: the highest `$n` of `text`.
    pub parameters: u16,
    /// It may run in a short transaction of its own first (SKIP LOCKED, NOWAIT, FOR SHARE), so that nobody waits for this client's transaction.
    pub apart: bool,
}

/// A read that may run on production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Production {
    /// The text for production: relation names qualified.
    pub text: Arc<str>,
    /// The relations that must still be clean when it runs.
    pub relations: Vec<Oid>,
    /// It calls a function whose value is fixed at the transaction's start (now()): only outside of a transaction block.
    pub transaction_time: bool,
    /// What to do on fresh instead.
    pub fresh: Box<Fresh>,
}

/// Why a statement isn't served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `0A000`, unless the client had better try again.
    pub sqlstate: &'static str,
    /// Short and stable, for the metric's label: `function_body`, `system_column`, ...
    pub construct: &'static str,
    /// The primary message: names the construct; lower case, no full stop.
    pub message: String,
    /// Why. A sentence.
    pub detail: String,
    /// What to do. A sentence.
    pub hint: String,
    /// The tables of production that let it run after all once they are copied up as a whole; none: it's refused for good.
    pub copy_up: Box<[Oid]>,
}

impl Refusal {
    /// One for good, with SQLSTATE 0A000.
    #[must_use]
    pub fn new(
        construct: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            sqlstate: "0A000",
            construct,
            message: message.into(),
            detail: detail.into(),
            hint: hint.into(),
            copy_up: Box::default(),
        }
    }
}
