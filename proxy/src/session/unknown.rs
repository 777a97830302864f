//! Statements with names that mean nothing, see [`rewrite::still_unknown`]: what was said before may give them a meaning, and so may other sessions.

use bytes::Bytes;

use super::conversation::Conversation;
use super::expect::{Expect, OnError, Rows};
use super::held::Names;
use super::planner::Reading;
use super::script::{command, unencodable};
use crate::rewrite;
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

    /// Whether something has to be sent with a client's message in the extended protocol, or said of it, for its names.
    pub(crate) fn looks_at_names(&self, reading: Option<&Reading>) -> bool {
        let first = reading.and_then(|reading| Some((reading, reading.script.statements.first()?)));
        first.is_some_and(|(reading, statement)| {
            let names = self.names(reading, statement, self.flight.lasting);
            self.has_unknown(statement) || !matches!(names, Names::Free)
        })
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
