//! Names that may come to mean something else between a statement's planning and PostgreSQL's parsing of it: at the commit of another session that is changing the schema. Merged reads
//! fail then by themselves ([`crate::overlay::merged::still_means`]); in front of others runs what locks their tables and fails, see [`rewrite::still_mean`].
//!
//! A statement that is sent alone is parsed at once, unless it has to wait for a lock; so everybody is told of a session that is about to change the schema, or to lock a table, before it does.
//! One that is sent behind others may be parsed at any time after it.

use super::conversation::{Asked, Conversation};
use crate::rewrite::plan::{Before, Effects};
use crate::rewrite::{self, resolve};
use crate::sql::facts::{Kind, Role, Statement, Transaction};

impl Conversation {
    /// What has to run before a statement, where a name in it may mean another table by the time that it's parsed: while another session is changing the schema, and
    /// where something else has to end first.
    pub(crate) fn before_names(&self, statement: &Statement) -> Option<Before> {
        self.holding(statement, self.flight.lasting)
    }

    /// The same; `behind`: something else has to end first.
    pub(crate) fn holding(&self, statement: &Statement, behind: bool) -> Option<Before> {
        let may_change = self.sight.is_shaking() || behind && self.reads_own(statement);
        if self.sight.is_plain() || !may_change || self.in_failed_block() {
            return None;
        }
        rewrite::still_mean(statement, self.sight.context())
    }

    /// Whether a statement reads something by name that isn't read as merged rows, which look after themselves. What it's to change is guarded.
    fn reads_own(&self, statement: &Statement) -> bool {
        let context = self.sight.context();
        let locks = statement.levels.iter().any(|level| !level.locks.is_empty());
        let fills = matches!(&statement.kind, Kind::Copy(copy) if copy.from);
        let mut read = statement.relations.iter().filter(|named| match named.role {
            Role::Read | Role::Table => true,
            Role::Copy => !fills,
            _ => false,
        });
        read.any(|named| {
            locks
                || resolve::relation(&named.name, context)
                    .backed(context)
                    .is_none()
        })
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

/// Whether a statement may take its time, or wait for others.
pub(crate) fn lasts(kind: &Kind) -> bool {
    let ends_at_once = matches!(
        kind,
        Kind::Transaction(
            Transaction::Begin { .. } | Transaction::Savepoint | Transaction::Release
        ) | Kind::Set(_)
            | Kind::Show
            | Kind::Deallocate(_)
    );
    !ends_at_once
}
