//! Statements with names that mean nothing, see [`rewrite::still_unknown`]: what was said before may give them a meaning, and so may other sessions.

use bytes::Bytes;

use super::conversation::Conversation;
use super::expect::{Expect, OnError, Rows};
use super::planner::Reading;
use super::script::{command, unencodable};
use crate::catalog::unheld::Sent;
use crate::rewrite;
use crate::rewrite::plan::Effects;
use crate::sql::facts::Statement;
use crate::wire::frontend::{self, Subject};

/// The name of the statement that looks.
const LOOK: &[u8] = b"previewpg_unknown";

impl Conversation {
    /// What looks whether names that mean nothing to us do by now.
    fn still_unknown(&self, statement: &Statement) -> Option<String> {
        if self.sight.is_plain() || self.in_failed_block() {
            return None;
        }
        rewrite::still_unknown(statement, self.sight.context())
    }

    /// Whether a name means nothing to us.
    pub(crate) fn has_unknown(&self, statement: &Statement) -> bool {
        self.still_unknown(statement).is_some()
    }

    /// Whether a Bind of a statement may be sent as it comes, without anything in front of it for its names; gives that nothing holds them, if so.
    pub(crate) fn needs_nothing(&self, reading: Option<&Reading>) -> Option<Option<Sent>> {
        let first = reading.and_then(|reading| Some((reading, reading.script.statements.first()?)));
        let Some((reading, statement)) = first else {
            return Some(None);
        };
        let (before, unheld) = self.hold_in_batch(reading, statement, Effects::default());
        (before.is_none() && !self.has_unknown(statement)).then_some(unheld)
    }

    /// Whether a name means nothing to us, and something under way may change that (a function that makes a table): its answer first.
    pub(crate) fn awaits_names(&mut self, statement: &Statement) -> bool {
        let waits =
            self.flight.executed && !self.flight.queue.is_empty() && self.has_unknown(statement);
        self.barrier |= waits;
        waits && self.barred()
    }

    /// What is to be sent by [`Self::look_for_unknown`], in the client's encoding. An error: it can't be written, and the client's message fails.
    pub(crate) fn unknown(
        &mut self,
        reading: &Reading,
        statement: &Statement,
    ) -> Result<Option<Bytes>, ()> {
        let Some(text) = self.still_unknown(statement) else {
            return Ok(None);
        };
        let text = reading.encode(&text, self.sight.encoding());
        if text.is_none() {
            self.fail(unencodable());
        }
        text.map(Some).ok_or(())
    }

    /// Has the batch fail, to be said again, where names mean something by now. The statement itself must have been parsed before.
    pub(crate) fn look_for_unknown(&mut self, text: &[u8], statement: &Statement) {
        // One that failed is there still.
        self.flight.send(Expect::our_close(), |out| {
            frontend::close(Subject::Statement, LOOK, out)
        });
        let error = OnError::Before(command(statement));
        self.flight.run(LOOK, text, Rows::Drop, error);
    }
}
