//! Names that may come to mean something else between a statement's planning and PostgreSQL's parsing of it: at the commit of another session that is changing the schema. Merged reads
//! fail then by themselves ([`crate::overlay::merged::still_means`]); in front of others runs what locks their tables and fails, see [`rewrite::still_mean`].
//!
//! That isn't done where nobody is changing the schema and nothing is sent before: everybody is told of a session that is about to change the schema, or to lock a table, before it does,
//! and such a session waits for what was sent until then ([`crate::catalog::unheld`]). Only what just reads is sent so: if it was overtaken after all, nobody has seen its rows.

use std::sync::Arc;

use super::conversation::{Asked, Broken, Conversation};
use super::expect::Expect;
use super::planner::Reading;
use super::prepared::executed;
use crate::catalog::model::Oid;
use crate::catalog::unheld::{Sent, Unheld};
use crate::rewrite::plan::{Before, Effects};
use crate::rewrite::{self, resolve};
use crate::sql::facts::{Kind, Role, Statement, Transaction};

/// What a statement's names need.
#[derive(Debug)]
pub(crate) enum Names {
    /// Nothing: there are none, or they look after themselves.
    Free,
    /// This in front of it.
    Held(Before),
    /// It may be sent as it is, if that is said first: it reads these relations.
    Unheld(Vec<Oid>),
}

/// What was sent with its names unheld.
#[derive(Debug)]
pub(crate) struct Unread {
    sent: Sent,
    /// fresh was told to answer it.
    flushed: bool,
}

impl Unread {
    /// Whether fresh is still to be told to answer it; once.
    pub(crate) fn flushes(&mut self) -> bool {
        !std::mem::replace(&mut self.flushed, true)
    }
}

/// The relations that a statement reads by name and that aren't read as merged rows, which look after themselves. (What it's to change is guarded.)
#[derive(Debug, Default)]
struct Own {
    relations: Vec<Oid>,
    /// It does more with rows than to return them, or locks rows of production's.
    acts: bool,
}

impl Conversation {
    /// What a statement's names need; `behind`: something else has to end first.
    pub(crate) fn names(&self, reading: &Reading, statement: &Statement, behind: bool) -> Names {
        if self.sight.is_plain() || self.in_failed_block() {
            return Names::Free;
        }
        let prepared = self.executed_reading(statement);
        let reading = prepared.as_deref().unwrap_or(reading);
        let first = prepared
            .as_ref()
            .map(|reading| reading.script.statements.first());
        let statement = first.flatten().unwrap_or(statement);
        let own = self.own_reads(statement);
        let reads = !own.relations.is_empty();
        // One at a time.
        let may_be_sent = !behind && !own.acts && self.process.is_some() && self.unheld.is_none();
        if self.sight.is_shaking() || reads && !may_be_sent {
            let held = rewrite::still_mean(&reading.text, statement, self.sight.context());
            return held.map_or(Names::Free, Names::Held);
        }
        match reads {
            true => Names::Unheld(own.relations),
            false => Names::Free,
        }
    }

    /// What has to run before a statement that is sent now; `None`: nothing, and who is to wait for it knows that.
    pub(crate) fn before_names(
        &mut self,
        reading: &Reading,
        statement: &Statement,
    ) -> Option<Before> {
        let relations = match self.names(reading, statement, self.flight.lasting) {
            Names::Free => return None,
            Names::Held(before) => return Some(before),
            Names::Unheld(relations) => relations,
        };
        if self.send_unheld(relations) {
            return None;
        }
        match self.names(reading, statement, true) {
            Names::Held(before) => Some(before),
            Names::Free | Names::Unheld(_) => None,
        }
    }

    /// Says that what is sent next reads these relations by names that nothing holds. Gives whether that may be: else somebody has begun to change the schema just now, or has changed it.
    pub(crate) fn send_unheld(&mut self, relations: Vec<Oid>) -> bool {
        let Some(process) = self.process else {
            return false;
        };
        let unheld: &Arc<Unheld> = &self.common.store.unheld;
        let sent = unheld.send(process, relations);
        // It may have been planned by what was published before.
        let calm = !self.sight.is_shaking() && !self.sight.is_outdated();
        self.unheld = calm.then_some(Unread {
            sent,
            flushed: false,
        });
        calm
    }

    /// The Bind of what was sent with its names unheld stands last: its answer is the beginning.
    pub(crate) fn mark_unheld(&mut self) {
        let mut queue = self.flight.queue.iter();
        if self.unheld.is_some() && !queue.any(|expect| matches!(expect, Expect::Begun)) {
            self.flight.queue.push_back(Expect::Begun);
        }
    }

    /// fresh has begun to answer what was sent with its names unheld: they were read, and whatever anybody changes from now on comes after it.
    pub(crate) fn begun(&mut self) {
        if let Some(unread) = self.unheld.take()
            && unread.sent.is_overtaken()
        {
            self.broken.get_or_insert(Broken::Overtaken);
        }
    }

    /// What an EXECUTE runs.
    fn executed_reading(&self, statement: &Statement) -> Option<Arc<Reading>> {
        let name = executed(&statement.kind)?;
        if let Some(source) = self.prepares.source(name) {
            let (encoding, strings) = (self.sight.encoding(), self.sight.standard_strings());
            return Some(self.common.readings.read(source, encoding, strings));
        }
        // The protocol's Parse may have made it.
        let entry = self.statements.get(name.as_bytes())?;
        entry.reading.clone()
    }

    fn own_reads(&self, statement: &Statement) -> Own {
        let context = self.sight.context();
        let locks = statement.levels.iter().any(|level| !level.locks.is_empty());
        let fills = matches!(&statement.kind, Kind::Copy(copy) if copy.from);
        let mut own = Own {
            relations: Vec::new(),
            acts: !only_returns(&statement.kind) || !statement.writes.is_empty(),
        };
        for named in &statement.relations {
            let reads = match named.role {
                Role::Read | Role::Table => true,
                Role::Copy => !fills,
                _ => false,
            };
            let resolved = resolve::relation(&named.name, context);
            let Some(relation) = resolved.known().filter(|_| reads) else {
                continue;
            };
            let merged = resolved.backed(context).is_some();
            if (!merged || locks) && !own.relations.contains(&relation.oid) {
                own.relations.push(relation.oid);
            }
            own.acts |= merged && locks;
        }
        own
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
            self.ask(Asked::Changing);
        }
        announces
    }
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
