//! What fresh's answers will be, in order, and what becomes of each.
//!
//! Every message to fresh that has an answer appends an [`Expect`]; what we say ourselves stands in the same queue, at its place.
//! The queue follows PostgreSQL's rule for errors: after one, everything up to the next Sync has no answer.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::statement::Undo;
use crate::catalog::unheld::Sent;
use crate::wire::frontend::{self, Subject};
use crate::wire::{MessageError, report::Report};

/// Whether the client hears an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It does.
    Forward,
    /// It asked for nothing like it.
    Swallow,
}

/// What an error means to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The text that failed is the client's own, whole.
    AsIs,
    /// The text that failed is a part of the client's own, so many characters from its start.
    Shift(usize),
    /// The text that failed isn't the client's: a position in it says nothing.
    DropPosition,
    /// The client's own text was accepted, ours not: a construct that can't be served.
    Unserved,
    /// What runs before the client's statement failed; in a read-only transaction that's for the reason for which the statement, of this name, would fail.
    Before(&'static str),
    /// What would have let a refused statement run failed: its refusal, or why nothing runs at all.
    Refuse(Box<Report>),
    /// It failed on purpose: this is the error.
    Replace(Box<Report>),
}

/// What becomes of a statement's or portal's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Describe {
    /// The client asked for it.
    Forward,
    /// A RowDescription is kept for the client and nothing else, as the simple protocol has it: said at [`Expect::Announce`], or before the first row or the tag.
    RowOnly,
    /// Ours alone: the columns of what runs in the place of the client's statement must be that statement's own: the body of its RowDescription.
    Check(Option<Bytes>, Again),
    /// The same; the client's statement was described just before.
    CheckLast(Again),
    /// The same, but nothing of it was sent to run yet: the verdict is kept for our statement of this name.
    Compare(Option<Bytes>, Bytes),
    /// The same; the client's statement was described just before.
    CompareLast,
    /// Ours alone: kept for the prepared statement with this id.
    Capture(u64),
    /// Ours alone: the columns of a statement of this name, which SQL's PREPARE made.
    Prepared(String),
    /// The client asked for a portal's: this frame (RowDescription or NoData) is the answer.
    Replace(Bytes),
    /// Nobody's any more.
    Drop,
}

/// Whether a statement that has run may run once more in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It only reads.
    Yes,
    /// What it did would be done twice.
    No,
}

/// What becomes of an execution's rows and tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// They're the client's.
    Forward,
    /// They're the client's; the tag only once the transaction has ended, as for the last statement of a query string.
    ForwardLast,
    /// Nobody's any more: the client's description isn't theirs.
    Drop,
    /// The number of rows copied up.
    CopiedUp,
    /// The schemas of the search path and the pins, as JSON.
    SearchPath,
    /// The catalog's document.
    Catalog,
    /// The types of a prepared statement's parameters, as text.
    Types,
}

/// An answer to come.
#[derive(Debug)]
pub(crate) enum Expect {
    /// ParseComplete.
    Parse {
        answer: Answer,
        error: OnError,
        undo: Undo,
    },
    /// BindComplete.
    Bind { answer: Answer, error: OnError },
    /// CloseComplete.
    Close { answer: Answer, undo: Undo },
    /// ParameterDescription (statements), then RowDescription or NoData.
    Describe { what: Describe, error: OnError },
    /// Rows, then CommandComplete, EmptyQueryResponse or PortalSuspended; or COPY's messages.
    Execute { rows: Rows, error: OnError },
    /// Anything up to ReadyForQuery, to a Query; `unheld`: what was sent with its names unheld, until fresh begins to answer.
    Query {
        error: OnError,
        unheld: Option<Sent>,
    },
    /// ReadyForQuery.
    Sync { answer: Answer },
    /// FunctionCallResponse and ReadyForQuery.
    Function,
    /// No answer: the client ended a COPY here. What of Sync stands before it was swallowed by that COPY.
    CopyEnd,
    /// No answer: the RowDescription kept is said here.
    Announce,
    /// No answer: the names of what was sent unheld were read.
    Begun(Sent),
    /// Ours to say when everything before it was answered.
    Say(Bytes),
}

impl Expect {
    /// A Parse of ours.
    pub(crate) fn our_parse(error: OnError) -> Self {
        Self::Parse {
            answer: Answer::Swallow,
            error,
            undo: Undo::Nothing,
        }
    }

    /// A Bind of ours.
    pub(crate) fn our_bind(error: OnError) -> Self {
        Self::Bind {
            answer: Answer::Swallow,
            error,
        }
    }

    /// A Close of ours.
    pub(crate) fn our_close() -> Self {
        Self::Close {
            answer: Answer::Swallow,
            undo: Undo::Nothing,
        }
    }

    /// What an error in its place means.
    pub(crate) fn on_error(&self) -> OnError {
        match self {
            Self::Parse { error, .. }
            | Self::Bind { error, .. }
            | Self::Describe { error, .. }
            | Self::Execute { error, .. }
            | Self::Query { error, .. } => error.clone(),
            _ => OnError::AsIs,
        }
    }

    /// Whether ReadyForQuery ends it, so that an error is not its end.
    pub(crate) fn ends_ready(&self) -> bool {
        matches!(
            self,
            Self::Query { .. } | Self::Sync { .. } | Self::Function
        )
    }
}

/// What is on its way to fresh, and what is to come back.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// Bytes for fresh, whole messages (or parts of one that passes through).
    pub(crate) out: BytesMut,
    /// Answers to come.
    pub(crate) queue: VecDeque<Expect>,
    /// fresh was told to answer everything sent so far.
    flushed: bool,
    /// Messages of the extended protocol were sent since the last Sync.
    pub(crate) open: bool,
    /// An Execute or Query was sent whose outcome the last ReadyForQuery doesn't tell.
    pub(crate) executed: bool,
    /// The same, and it may take its time: what is sent behind it is parsed only after it has ended.
    pub(crate) lasting: bool,
    /// Somebody may be waiting for an answer that fresh wasn't told to give yet.
    pub(crate) urgent: bool,
    /// A message of ours can't be said. The conversation can't go on.
    pub(crate) failure: Option<MessageError>,
}

impl Flight {
    /// Sends one message and remembers its answer.
    pub(crate) fn send(
        &mut self,
        expect: Expect,
        write: impl FnOnce(&mut BytesMut) -> Result<(), MessageError>,
    ) {
        match expect {
            Expect::Query { .. } | Expect::Function => {
                (self.flushed, self.open, self.executed) = (true, false, true);
                self.lasting |= matches!(expect, Expect::Function);
            }
            Expect::Sync { .. } => (self.flushed, self.open) = (true, false),
            Expect::CopyEnd | Expect::Announce | Expect::Begun(_) | Expect::Say(_) => {}
            Expect::Execute { .. } => {
                (self.flushed, self.open, self.executed) = (false, true, true)
            }
            _ => (self.flushed, self.open) = (false, true),
        }
        self.queue.push_back(expect);
        if let Err(error) = write(&mut self.out) {
            self.failure.get_or_insert(error);
        }
    }

    /// Sends Sync.
    pub(crate) fn sync(&mut self, answer: Answer) {
        self.send(Expect::Sync { answer }, |out| {
            frontend::sync(out);
            Ok(())
        });
    }

    /// Has fresh answer what was sent so far, if it wasn't told already. Gives whether it wasn't.
    pub(crate) fn flush(&mut self) -> bool {
        let tell = !self.flushed && !self.queue.is_empty();
        self.urgent = false;
        if tell {
            frontend::flush(&mut self.out);
            self.flushed = true;
        }
        tell
    }

    /// Parse, Bind and Execute of a text of ours without parameters, all answers swallowed but `rows`.
    pub(crate) fn run(&mut self, name: &[u8], text: &[u8], rows: Rows, error: OnError) {
        self.send(Expect::our_parse(error.clone()), |out| {
            frontend::parse(name, text, [].into_iter(), out)
        });
        self.send(Expect::our_bind(error.clone()), |out| {
            frontend::bind(name, name, &[], out)
        });
        self.send(Expect::Execute { rows, error }, |out| {
            frontend::execute(name, 0, out)
        });
        if !name.is_empty() {
            self.send(Expect::our_close(), |out| {
                frontend::close(Subject::Portal, name, out)
            });
            self.send(Expect::our_close(), |out| {
                frontend::close(Subject::Statement, name, out)
            });
        }
    }

    /// Whether something was sent with its names unheld that fresh hasn't begun to answer.
    pub(crate) fn has_unheld(&self) -> bool {
        self.queue.iter().any(|expect| {
            matches!(
                expect,
                Expect::Begun(_)
                    | Expect::Query {
                        unheld: Some(_),
                        ..
                    }
            )
        })
    }

    /// After an error at the front (already taken off): takes off everything up to the next Sync, which stays.
    /// Gives what had no answer, in order.
    pub(crate) fn skip_to_sync(&mut self) -> Vec<Expect> {
        let end = self
            .queue
            .iter()
            .position(|expect| matches!(expect, Expect::Sync { .. }))
            .unwrap_or(self.queue.len());
        self.queue.drain(..end).collect()
    }

    /// A COPY from the client begins: PostgreSQL swallows the Syncs sent before the client ended it. Gives whether the end
    /// is still to be sent.
    pub(crate) fn copy_began(&mut self) -> bool {
        let end = self
            .queue
            .iter()
            .position(|expect| matches!(expect, Expect::CopyEnd));
        let until = end.unwrap_or(self.queue.len());
        let extended = matches!(self.queue.front(), Some(Expect::Execute { .. }));
        let (mut index, mut lost) = (0, false);
        self.queue.retain(|expect| {
            let swallowed = index < until && matches!(expect, Expect::Sync { .. });
            index += 1;
            lost |= swallowed;
            !swallowed
        });
        // After an error, PostgreSQL skips to a Sync that is still to come.
        if lost && extended {
            (self.open, self.flushed) = (true, false);
        }
        end.is_none()
    }

    /// The client hears no answer to what was sent, as far as answers are still to come, but ReadyForQuery.
    pub(crate) fn drop_answers(&mut self) {
        self.queue
            .retain(|expect| !matches!(expect, Expect::Announce | Expect::Say(_)));
        for expect in &mut self.queue {
            match expect {
                Expect::Parse { answer, .. }
                | Expect::Bind { answer, .. }
                | Expect::Close { answer, .. } => *answer = Answer::Swallow,
                Expect::Describe { what, .. }
                    if !matches!(
                        what,
                        Describe::Capture(_) | Describe::Compare(..) | Describe::Prepared(_)
                    ) =>
                {
                    *what = Describe::Drop;
                }
                Expect::Execute { rows, .. }
                    if matches!(rows, Rows::Forward | Rows::ForwardLast) =>
                {
                    *rows = Rows::Drop;
                }
                _ => {}
            }
        }
    }

    /// ReadyForQuery told the outcome of everything before it.
    pub(crate) fn settled(&mut self) {
        let runs = |expect: &Expect| {
            matches!(
                expect,
                Expect::Execute { .. } | Expect::Query { .. } | Expect::Function
            )
        };
        if !self.open && !self.queue.iter().any(runs) {
            (self.executed, self.lasting) = (false, false);
        }
    }
}
