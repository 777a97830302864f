//! Names that may come to mean something else between a statement's planning and PostgreSQL's parsing of it: at the commit of another session that is changing the schema. Merged reads
//! fail then by themselves ([`crate::overlay::merged::still_means`]); in front of others runs what locks their tables and fails, see [`rewrite::still_mean`].
//!
//! That isn't done for a plain read where nobody is changing the schema and nothing is sent before: everybody is told of a session that is about to change the schema, or to lock a table,
//! before it does, and such a session waits for what was sent until then ([`crate::catalog::unheld`]). If the read was overtaken after all, nobody sees its rows.

use super::conversation::{Asked, Broken, Conversation};
use super::expect::Expect;
use super::planner::Reading;
use super::prepared::executed;
use crate::catalog::unheld::Sent;
use crate::rewrite::plan::{Before, Effects};
use crate::rewrite::{self, OwnReads};
use crate::sql::facts::{Kind, Statement, Transaction};

/// What is done about a statement's names when it's sent.
#[derive(Debug)]
pub(crate) enum Hold {
    /// Nothing: there are none, or they look after themselves.
    Nothing,
    /// This runs in front of it.
    Before(Before),
    /// It's said that they aren't held, until fresh begins to answer.
    Unheld(Sent),
}

/// When PostgreSQL reads the names of what is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// As soon as it comes: nothing before it may take its time.
    AtOnce,
    /// When something else has ended.
    Later,
}

impl Conversation {
    /// When what is sent now is parsed.
    pub(crate) fn parsed_now(&self) -> Parsed {
        match self.flight.lasting {
            true => Parsed::Later,
            false => Parsed::AtOnce,
        }
    }

    /// Decides about a statement's names, just before it's sent. `effects`: its own.
    pub(crate) fn hold(
        &self,
        reading: &Reading,
        statement: &Statement,
        effects: Effects,
        parsed: Parsed,
    ) -> Hold {
        if self.sight.is_plain() || self.in_failed_block() {
            return Hold::Nothing;
        }
        let returns = only_returns(&statement.kind);
        let prepared = self.executed_reading(reading, statement);
        let reading = prepared.as_deref().unwrap_or(reading);
        let first = prepared
            .as_ref()
            .and_then(|reading| reading.script.statements.first());
        let statement = first.unwrap_or(statement);
        let context = self.sight.context();
        let before = || {
            let held = rewrite::still_mean(&reading.text, statement, context);
            held.map_or(Hold::Nothing, Hold::Before)
        };
        if self.sight.is_shaking() || effects.names {
            return before();
        }
        let OwnReads { relations, locks } = rewrite::own_reads(statement, context);
        if relations.is_empty() {
            return Hold::Nothing;
        }
        let plain =
            returns && only_returns(&statement.kind) && statement.writes.is_empty() && !locks;
        match self.process {
            Some(process) if plain && parsed == Parsed::AtOnce => {
                let sent = self.common.store.unheld.send(process, relations);
                // Somebody may have begun to change the schema just now, or may have changed it since the statement was planned.
                match self.sight.is_shaking() || self.sight.is_outdated() {
                    true => before(),
                    false => Hold::Unheld(sent),
                }
            }
            _ => before(),
        }
    }

    /// The same, for what is sent by the extended protocol: what runs in front of it, or that it's sent unheld.
    pub(crate) fn hold_in_batch(
        &self,
        reading: &Reading,
        statement: &Statement,
        effects: Effects,
    ) -> (Option<Before>, Option<Sent>) {
        let parsed = match parsed_at_bind(&statement.kind) {
            true => self.parsed_now(),
            false => Parsed::Later,
        };
        match self.hold(reading, statement, effects, parsed) {
            Hold::Nothing => (None, None),
            Hold::Before(before) => (Some(before), None),
            Hold::Unheld(sent) => (None, Some(sent)),
        }
    }

    /// The Bind of what was sent with its names unheld stands last: its answer is the beginning.
    pub(crate) fn begins_here(&mut self, unheld: Option<Sent>) {
        if let Some(sent) = unheld {
            self.flight.queue.push_back(Expect::Begun(sent));
            self.flight.urgent = true;
        }
    }

    /// fresh has begun to answer what was sent with its names unheld: they were read, and whatever anybody changes from now on comes after it.
    pub(crate) fn begun(&mut self, sent: Sent) {
        if sent.is_overtaken() {
            self.broken.get_or_insert(Broken::Overtaken);
        } else if !self.sight.is_current() {
            // Others may have changed the schema without waiting for this process: the next renewal tells.
            self.doubtful.push(sent);
            self.ask_if_idle(Asked::Current);
        }
    }

    /// What is known of others' changes may be believed again.
    pub(crate) fn resolve_doubts(&mut self) {
        for sent in std::mem::take(&mut self.doubtful) {
            self.begun(sent);
        }
    }

    /// Tells everybody of a statement, before it's sent, by which names may come to mean something else, or which others may have to wait for. Gives whether that has to be waited for.
    pub(crate) fn warn_of(&mut self, statement: &Statement, effects: Effects) -> bool {
        let changes = match &statement.kind {
            Kind::Lock | Kind::Transaction(Transaction::FinishPrepared) => true,
            // Temporary tables are nobody else's.
            Kind::Discard(_) => false,
            _ => effects.schema,
        };
        let announces =
            changes && !self.sight.is_plain() && !self.in_failed_block() && self.sight.changing();
        if announces {
            self.ask(Asked::Changing(self.process));
        }
        announces
    }
}

/// Whether a statement of this kind is parsed, names and all, before its Bind is answered. (What isn't is parsed when it's executed.)
fn parsed_at_bind(kind: &Kind) -> bool {
    !matches!(kind, Kind::Copy(_)) && executed(kind).is_none()
}

/// Whether a statement of this kind only returns rows, if it has no data-modifying WITH.
fn only_returns(kind: &Kind) -> bool {
    match kind {
        Kind::Query | Kind::Execute { .. } | Kind::Declare { .. } => true,
        Kind::Copy(copy) => !copy.from && copy.client,
        Kind::Prepare { inner, .. } | Kind::Explain { inner, .. } => only_returns(inner),
        _ => false,
    }
}

/// Whether a statement may take its time, wait for others, or return rows.
pub(crate) fn lasts(kind: &Kind) -> bool {
    let ends_at_once = matches!(
        kind,
        Kind::Transaction(
            Transaction::Begin { .. } | Transaction::Savepoint | Transaction::Release
        ) | Kind::Set(_)
            | Kind::Deallocate(_)
    );
    !ends_at_once
}
