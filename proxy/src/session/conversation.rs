//! One client's conversation, as a value: bytes of both sides in, bytes for both sides and questions out. No I/O.
//!
//! What a client says becomes [`Work`] where it has to be planned; work that lacks something (names that have to be asked for, an answer of fresh, something
//! [`Asked`] of the process) waits, and the client's next message with it, while fresh's answers go on.
//! Each step either sends nothing or all it has to send, so a step that waits is simply tried again.

mod answers;
mod client;
mod plan;
mod replay;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use self::replay::Replay;
use super::cancel::canceled;
use super::copying::Copying;
use super::expect::{Answer, Describe, Expect, Flight, OnError, Rows};
use super::held;
use super::journal::Journal;
use super::planner::Readings;
use super::prepared::Prepares;
use super::production::{Read, ReadEvent};
use super::report;
use super::script::Script;
use super::server::Lost;
use super::sight::{self, Sight};
use super::statement::{Description, Ours, Statements, Undo};
use crate::admin::metrics::{Metrics, Placement};
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::catalog::unheld::Sent;
use crate::rewrite::plan::{Effects, Refusal};
use crate::sql::facts::{Kind, Statement, Transaction};
use crate::wire::MessageError;
use crate::wire::frame::{Direction, FrameError, Limits, Scanner};
use crate::wire::frontend::{self, Subject};
use crate::wire::report::Report;

/// Bytes for one side beyond which nothing more is taken from the other.
pub(crate) const HIGH: usize = 64 << 10;

/// So many bytes for the client change hands without being copied.
const UNCOPIED: usize = 8 << 10;

/// The most bytes of a Bind that has to be sent twice.
const BIND_LIMIT: usize = 64 << 20;

/// A text that fails to parse, in place of a statement that is refused: it has the database skip and abort what an error does.
pub(crate) const FAILING: &[u8] = b"/* this statement was refused by the preview */ refused";

/// What all conversations of a process share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) readings: Readings,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Something that only the process can do; nothing goes on until the answer is [`Conversation::told`].
#[derive(Debug)]
pub(crate) enum Asked {
    /// Make it known everywhere that these relations are dirty.
    Mark(Vec<Oid>),
    /// Make it known everywhere that this session, which this process of fresh's runs, is about to change the schema.
    Changing(Option<u32>),
    /// Run these in a short transaction of their own, on another connection to fresh; what fails there doesn't matter.
    Apart(Apart),
    /// Read the committed catalog and publish it.
    Reload,
    /// Wait until what is published may be believed.
    Current,
    /// Run a read on production; answered by [`Conversation::read_event`].
    Read(Box<Read>),
}

/// Statements to run apart, each in a transaction of its own.
pub(crate) type Apart = Vec<ApartStatement>;

/// One of them.
#[derive(Debug)]
pub(crate) struct ApartStatement {
    pub(crate) text: Arc<str>,
    /// The parameters' types.
    pub(crate) types: Box<[u32]>,
    /// A Bind (its body) with the client's parameters; its names don't count.
    pub(crate) bind: Bytes,
}

/// Why nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// An answer to [`Asked`].
    Process,
    /// A read runs on production.
    Production,
}

/// A client's message that may have to wait.
#[derive(Debug)]
pub(crate) enum Work {
    Script(Box<Script>),
    Parse(Bytes),
    Bind(Binding),
    Execute(Bytes),
}

/// A client's Bind.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) frame: Bytes,
    /// Its copy-up was run apart.
    pub(crate) apart_done: bool,
    /// What was to run in its statement's place had other columns, and was made anew from the catalog as it is now.
    pub(crate) again: bool,
    /// What was copied up for it.
    pub(crate) copying: Copying,
}

/// Why the conversation can't go on: said to the client (FATAL) before both connections are closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the client's stream: {0}")]
    Client(FrameError),
    #[error("fresh's stream: {0}")]
    Fresh(FrameError),
    #[error("a message can't be written: {0}")]
    Message(#[from] MessageError),
    #[error(
        "another session has changed a table's columns between the statement's planning and its run"
    )]
    Columns,
    #[error("what fresh says of its names can't be read: {0}")]
    Names(String),
    #[error("another session has changed the schema before fresh had read the statement's names")]
    Overtaken,
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl Broken {
    /// The error for the client.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Client(error) => error.report(),
            Self::Lost(_) => Report::fatal("08006", "the preview has lost its line to fresh")
                .detail("What other sessions changed, and what this one did, can't be told apart from what was before.")
                .hint("Connect again, and look whether your last statement was committed; if it stays so, look at the fresh database and at the proxy's log."),
            Self::Overtaken | Self::Columns => Report::fatal("40001", "could not serialize access due to a concurrent change of the schema")
                .detail(format!("The connection ends, for {self}."))
                .hint("Connect again and retry: a transaction block is rolled back; of a message without one, look whether it was committed."),
            _ => Report::fatal("XX000", "the preview's connection can't go on")
                .detail(format!("{self}.")),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) common: Arc<Common>,
    pub(crate) flight: Flight,
    /// Bytes for the client.
    pub(crate) to_client: BytesMut,
    pub(crate) statements: Statements,
    pub(crate) sight: Sight,
    from_client: Scanner,
    from_fresh: Scanner,
    pub(crate) work: Option<Work>,
    asked: VecDeque<Asked>,
    waiting: Option<Waiting>,
    /// A ReadyForQuery that waits for a publication.
    held: Option<Bytes>,
    /// The last ReadyForQuery's status.
    pub(crate) status: u8,
    /// The batch failed and its Sync is still to come from the client: what comes before it is dropped.
    skipping: bool,
    /// Bytes of a dropped message that are still to come.
    dropping: usize,
    /// fresh takes COPY data, and the client hasn't ended it.
    copy_in: bool,
    /// Something was sent after which names may mean something else: its answer first.
    pub(crate) barrier: bool,
    /// A question about names is on its way.
    asking: bool,
    /// The batch had an error.
    batch_failed: bool,
    /// The client has heard a result since fresh was last ready.
    heard: bool,
    marked: HashSet<Oid>,
    /// What fresh says was written to by what was running: to be made known before anything else of fresh's is looked at.
    written: Vec<Oid>,
    /// That is being done.
    telling: bool,
    row: Option<Bytes>,
    /// Describe::Capture(0): of a simple query.
    pub(crate) captured: Option<Arc<Description>>,
    capturing: Vec<u32>,
    /// The answer to [`Describe::CompareLast`].
    pub(crate) compared: Option<bool>,
    /// A RowDescription that the client is still to hear.
    announced: Option<Bytes>,
    /// A CommandComplete that the client is still to hear.
    completing: Option<Bytes>,
    /// The columns described last to the client, in the simple protocol.
    described: Option<Bytes>,
    deallocated: VecDeque<String>,
    /// What SQL's PREPARE made.
    pub(crate) prepares: Prepares,
    closed: bool,
    pub(crate) broken: Option<Broken>,
    /// fresh's process that runs the session.
    pub(crate) process: Option<u32>,
    /// What was sent with its names unheld and was answered while it wasn't known what others do.
    pub(crate) doubtful: Vec<Sent>,
    journal: Journal,
    replay: Replay,
    /// What ran had other columns than were described, and no answer was forwarded: once fresh is ready, the client's message fails with this.
    failing: Option<Report>,
}

impl Conversation {
    /// A session that fresh has just accepted. `greeting`: everything that the client is told once the session's
    /// names are known, ReadyForQuery included. `process`: fresh's, if it has said which. `plain`: a database that isn't planned for.
    pub(crate) fn new(
        common: Arc<Common>,
        greeting: Bytes,
        settings: &[(Vec<u8>, Vec<u8>)],
        limits: Limits,
        process: Option<u32>,
        plain: bool,
    ) -> Self {
        let mut sight = Sight::new(Arc::clone(&common.store), plain);
        settings
            .iter()
            .for_each(|(name, value)| sight.setting(name, value));
        let mut conversation = Self {
            common,
            flight: Flight::default(),
            to_client: BytesMut::new(),
            statements: Statements::default(),
            sight,
            from_client: Scanner::new(Direction::Frontend, limits),
            from_fresh: Scanner::new(Direction::Backend, limits),
            work: None,
            asked: VecDeque::new(),
            waiting: None,
            held: None,
            status: b'I',
            skipping: false,
            dropping: 0,
            copy_in: false,
            barrier: false,
            asking: false,
            batch_failed: false,
            heard: false,
            marked: HashSet::new(),
            written: Vec::new(),
            telling: false,
            row: None,
            captured: None,
            capturing: Vec::new(),
            compared: None,
            announced: None,
            completing: None,
            described: None,
            deallocated: VecDeque::new(),
            prepares: Prepares::default(),
            closed: false,
            broken: None,
            process,
            doubtful: Vec::new(),
            journal: Journal::default(),
            replay: Replay::default(),
            failing: None,
        };
        if !plain {
            conversation.flight.run(
                b"",
                sight::LOGIN.as_bytes(),
                Rows::SearchPath,
                OnError::DropPosition,
            );
            conversation.flight.sync(Answer::Swallow);
        }
        conversation.say(greeting);
        conversation
    }

    /// The client said goodbye.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing is under way: no answer to come, no transaction block.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_between_statements() && self.status == b'I' && !self.flight.open
    }

    /// Whether no statement is under way, in a transaction block or outside.
    pub(crate) fn is_between_statements(&self) -> bool {
        self.flight.queue.is_empty()
            && self.work.is_none()
            && self.waiting.is_none()
            && self.held.is_none()
            && !self.replay.is_due()
            && !self.tells()
            && self.failing.is_none()
    }

    /// Whether the next statement meets a failed block, for sure: PostgreSQL rejects it whatever it is, or it ends the block.
    /// While something runs whose outcome isn't known (a ROLLBACK sent ahead), statements are planned as ever.
    pub(crate) fn in_failed_block(&self) -> bool {
        self.status == b'E' && !self.flight.executed
    }

    /// Whether a client that says nothing any more is still to hear something.
    pub(crate) fn owes(&self) -> bool {
        // A COPY without its end fails when the session does, and so does half a message.
        let unfinished = self.closed || self.copy_in || self.from_client.remaining() > 0;
        !self.to_client.is_empty()
            || (!unfinished
                && (!self.flight.out.is_empty()
                    || !self.answered()
                    || self.waiting.is_some()
                    || self.held.is_some()
                    || self.tells()
                    || self.replay.is_due()))
    }

    /// Whether the client's stream stands inside a frame, where nothing else can be said.
    pub(crate) fn mid_frame(&self) -> bool {
        self.from_fresh.remaining() > 0
    }

    /// Whether a Terminate can be appended for fresh.
    pub(crate) fn may_say_goodbye(&self) -> bool {
        !self.closed && self.from_client.remaining() == 0
    }

    /// Whether the client's next message is longer than what there is of it, and would be taken.
    pub(crate) fn client_incomplete(&self, buffer: &[u8]) -> bool {
        self.work.is_none() && self.waiting.is_none() && incomplete(&self.from_client, buffer)
    }

    /// Whether fresh's next message is longer than what there is of it.
    pub(crate) fn fresh_incomplete(&self, buffer: &[u8]) -> bool {
        incomplete(&self.from_fresh, buffer)
    }

    /// The next question to the process.
    pub(crate) fn next_asked(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// Whether the conversation can't go on.
    pub(crate) fn take_broken(&mut self) -> Option<Broken> {
        self.flight
            .failure
            .take()
            .map(Broken::Message)
            .or_else(|| self.broken.take())
    }

    /// Whether more of the client's bytes could be taken.
    pub(crate) fn wants_client(&self) -> bool {
        self.flight.out.len() < HIGH && !self.closed && self.broken.is_none()
    }

    /// Whether more of fresh's bytes could be taken.
    pub(crate) fn wants_fresh(&self) -> bool {
        // Somebody may be waiting for the beginning of an answer, if not for a client that is slow.
        (self.to_client.len() < HIGH || self.flight.has_unheld())
            && self.doubtful.is_empty()
            && self.held.is_none()
            && !self.tells()
            && self.waiting != Some(Waiting::Production)
            && self.broken.is_none()
    }

    /// Whether a row from production may be put into the client's stream.
    pub(crate) fn wants_production(&self) -> bool {
        self.to_client.len() < HIGH
    }

    /// Tries what waits.
    pub(crate) fn advance(&mut self) {
        while self.waiting.is_none() && self.held.is_none() && self.broken.is_none() {
            let waits = match self.work.take() {
                None => return,
                Some(Work::Script(script)) => self.script(script).map(Work::Script),
                Some(Work::Parse(frame)) => self.parse(frame),
                Some(Work::Bind(bind)) => self.bind(bind),
                Some(Work::Execute(frame)) => self.execute(frame),
            };
            if waits.is_some() {
                self.work = waits;
                return;
            }
        }
    }

    /// Has the process do something; nothing goes on until then.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.waiting = Some(if matches!(asked, Asked::Read(_)) {
            self.journal.ask();
            Waiting::Production
        } else {
            Waiting::Process
        });
        self.asked.push_back(asked);
    }

    /// Has fresh answer what was sent with its names unheld, so that nobody waits for the client's Sync. Between the client's messages.
    pub(crate) fn flush_urgent(&mut self) {
        if self.flight.urgent && self.from_client.remaining() == 0 {
            self.flight.flush();
        }
    }

    /// The same, unless something is asked already.
    pub(crate) fn ask_if_idle(&mut self, asked: Asked) {
        if self.waiting.is_none() {
            self.ask(asked);
        }
    }

    /// What was asked (other than a read) is done.
    pub(crate) fn told(&mut self) {
        if self.waiting == Some(Waiting::Process) {
            self.waiting = None;
        }
        self.resolve_doubts();
        if let Some(ready) = self.held.take() {
            self.sight.published();
            self.say(ready);
        }
        self.advance();
    }

    /// The client has cancelled its statement while something was done for it.
    pub(crate) fn canceled(&mut self) {
        self.waiting = None;
        let script = matches!(self.work, Some(Work::Script(_)));
        self.work = None;
        self.fail(canceled());
        if script {
            self.flight.sync(Answer::Forward);
        }
        self.advance();
    }

    /// What can't be done ends the conversation.
    pub(crate) fn lost(&mut self, lost: Lost) {
        self.broken.get_or_insert(Broken::Lost(lost));
    }

    /// Relations that fresh says were written to, for [`Asked::Mark`]; nothing that fresh says is looked at until [`Conversation::written_told`].
    pub(crate) fn next_written(&mut self) -> Vec<Oid> {
        let written = std::mem::take(&mut self.written);
        self.telling |= !written.is_empty();
        written
    }

    /// What was written to is known to everybody.
    pub(crate) fn written_told(&mut self) {
        self.telling = false;
    }

    /// Whether somebody is still to be told what was written to.
    fn tells(&self) -> bool {
        self.telling || !self.written.is_empty()
    }

    /// Something of the read on production.
    pub(crate) fn read_event(&mut self, event: ReadEvent) {
        match event {
            ReadEvent::Rows(bytes) => self.to_client.extend_from_slice(&bytes),
            end => {
                self.waiting = None;
                self.read_ended(end);
                self.advance();
            }
        }
    }

    /// Says something to the client, after the answers to everything sent so far.
    pub(crate) fn say(&mut self, bytes: Bytes) {
        self.flight.queue.push_back(Expect::Say(bytes));
        self.settle_front();
    }

    /// Marks relations as dirty; gives whether that has to be waited for.
    pub(crate) fn mark(&mut self, dirties: &[Oid]) -> bool {
        let new: Vec<Oid> = dirties
            .iter()
            .copied()
            .filter(|oid| self.marked.insert(*oid))
            .collect();
        new.iter().for_each(|oid| self.sight.dirtied(*oid));
        if new.is_empty() {
            return false;
        }
        self.ask(Asked::Mark(new));
        true
    }

    /// What follows from having sent a statement to run.
    pub(crate) fn sent(&mut self, statement: &Statement, effects: Effects) {
        self.sight.sent(statement);
        self.flight.lasting |= held::lasts(&statement.kind);
        // A temporary schema or one of the path's may have come or gone.
        if effects.search_path || effects.schema {
            self.sight.path_changed();
        }
        if effects.settings {
            self.sight.settings_changed();
        }
        self.barrier |= effects.schema;
        match &statement.kind {
            Kind::Deallocate(name) => {
                self.barrier = true;
                self.deallocated.extend(name.clone());
            }
            Kind::Discard(_)
            | Kind::Prepare { .. }
            | Kind::Transaction(Transaction::FinishPrepared) => self.barrier = true,
            // The next text can't be read before it's known how.
            Kind::Set(set) => {
                self.barrier |= matches!(
                    set.name.as_str(),
                    "client_encoding" | "names" | "standard_conforming_strings" | "all"
                );
            }
            _ => {}
        }
    }

    /// Counts a statement that was sent, and has the log follow it. `text`: its own.
    pub(crate) fn placed(&mut self, placement: Placement, text: &str) {
        self.common.metrics.placed(placement);
        self.journal.begin(placement, text);
    }

    /// Counts a read that production has answered.
    pub(crate) fn placed_on_production(&mut self, text: &str) {
        self.common.metrics.placed(Placement::Production);
        self.journal.read(text);
    }

    /// Sends a Parse that fails, for an error of ours in its place.
    pub(crate) fn fail(&mut self, report: Report) {
        let expect = Expect::Parse {
            answer: Answer::Swallow,
            error: OnError::Replace(Box::new(report)),
            undo: Undo::Nothing,
        };
        self.flight.send(expect, |out| {
            frontend::parse(b"", FAILING, [].into_iter(), out)
        });
    }

    /// Refuses a message of the extended protocol.
    pub(crate) fn refuse_parse(&mut self, refusal: &Refusal) {
        self.common.metrics.refused(refusal.construct);
        self.fail(report::refusal(refusal));
    }

    /// Refuses a statement, unless PostgreSQL itself has something against its text: that is what a full copy would say.
    pub(crate) fn refuse_text(
        &mut self,
        refusal: &Refusal,
        text: &[u8],
        types: &[u32],
        error: OnError,
    ) {
        self.parse_only(text, types, error);
        self.refuse_parse(refusal);
    }

    /// Has PostgreSQL say what it has against a text.
    pub(crate) fn parse_only(&mut self, text: &[u8], types: &[u32], error: OnError) {
        const NAME: &[u8] = b"previewpg_refused";
        self.flight.send(Expect::our_parse(error), |out| {
            frontend::parse(NAME, text, types.iter().copied(), out)
        });
        self.flight.send(Expect::our_close(), |out| {
            frontend::close(Subject::Statement, NAME, out)
        });
    }

    /// Refuses a statement whose rewritten form has other columns.
    pub(crate) fn refuse_columns(&mut self) {
        self.refuse_parse(&Refusal::new(
            "columns",
            "this statement can't be served over merged rows",
            "Read over merged rows it has columns of other types than on the table itself.",
            "Name each column, and cast those whose type is derived from the table's row.",
        ));
    }

    /// Sends the Parse of a statement of ours (and `check`s its columns), unless it is there already; gives its name.
    pub(crate) fn prepare_ours(
        &mut self,
        text: &Bytes,
        types: &[u32],
        error: OnError,
        check: Option<Describe>,
    ) -> Bytes {
        let ours = self.statements.ours(text, types);
        self.prepare(ours, text, types, error, check)
    }

    /// The same, of one that was looked up already.
    pub(crate) fn prepare(
        &mut self,
        ours: Ours,
        text: &Bytes,
        types: &[u32],
        error: OnError,
        check: Option<Describe>,
    ) -> Bytes {
        if let Some(evicted) = ours.evicted {
            self.flight.send(Expect::our_close(), |out| {
                frontend::close(Subject::Statement, &evicted, out)
            });
        }
        if ours.new {
            let expect = Expect::Parse {
                answer: Answer::Swallow,
                error: error.clone(),
                undo: Undo::Ours(ours.name.clone()),
            };
            self.flight.send(expect, |out| {
                frontend::parse(&ours.name, text, types.iter().copied(), out)
            });
            if let Some(what) = check {
                self.flight.send(Expect::Describe { what, error }, |out| {
                    frontend::describe(Subject::Statement, &ours.name, out)
                });
            }
        }
        ours.name
    }
}

fn incomplete(scanner: &Scanner, buffer: &[u8]) -> bool {
    scanner.remaining() == 0
        && matches!(scanner.header(buffer), Ok(Some(header)) if header.total() > buffer.len())
}

/// Writes a frame as it came.
pub(crate) fn pass(frame: &[u8]) -> impl FnOnce(&mut BytesMut) -> Result<(), MessageError> {
    move |out| {
        out.extend_from_slice(frame);
        Ok(())
    }
}
