//! One client's conversation, as a value: bytes of both sides in, bytes for both sides and questions out. No I/O.
//!
//! What a client says becomes [`Work`] where it has to be planned; work that lacks something (names that have to be asked for, an answer of fresh, something
//! [`Asked`] of the process) waits, and the client's next message with it, while fresh's answers go on.
//! Each step either sends nothing or all it has to send, so a step that waits is simply tried again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::expect::{Answer, Describe, Expect, Flight, OnError, Rows};
use super::journal::Journal;
use super::planner::{Reading, Readings};
use super::production::{Read, ReadEvent};
use super::report;
use super::script::Script;
use super::sight::{self, Sight};
use super::statement::{Capture, Columns, Description, Ours, Portal, Statements, Undo};
use crate::admin::metrics::{Metrics, Placement};
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::rewrite::plan::{Effects, Plan, Refusal};
use crate::sql::facts::{Kind, Statement};
use crate::wire::frame::{Direction, FrameError, Limits, Next, Scanner, body};
use crate::wire::frontend::{self, Subject};
use crate::wire::report::Report;
use crate::wire::{MessageError, backend};

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
    /// Run these in a short transaction of their own, on another connection to fresh; what fails there doesn't matter.
    Apart(Apart),
    /// Read the committed catalog and publish it.
    Reload,
    /// Run a read on production; answered by [`Conversation::read_event`].
    Read(Box<Read>),
}

/// Statements to run apart, with the parameters of the client's Bind.
#[derive(Debug)]
pub(crate) struct Apart {
    /// Parse, Bind, Execute of each, Sync after each: to be sent as they are.
    pub(crate) messages: Bytes,
    /// How many ReadyForQuery answer them.
    pub(crate) answers: usize,
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
    Bind { frame: Bytes, apart_done: bool },
    Execute(Bytes),
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
    #[error("the statement over merged rows has other columns than the statement itself")]
    Columns,
    #[error("what fresh says of its names can't be read: {0}")]
    Names(String),
}

impl Broken {
    /// The error for the client.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Client(error) => error.report(),
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
    marked: HashSet<Oid>,
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
    closed: bool,
    broken: Option<Broken>,
    journal: Journal,
}

impl Conversation {
    /// A session that fresh has just accepted. `greeting`: everything that the client is told once the session's
    /// names are known, ReadyForQuery included. `plain`: a database that isn't planned for.
    pub(crate) fn new(
        common: Arc<Common>,
        greeting: Bytes,
        settings: &[(Vec<u8>, Vec<u8>)],
        limits: Limits,
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
            marked: HashSet::new(),
            row: None,
            captured: None,
            capturing: Vec::new(),
            compared: None,
            announced: None,
            completing: None,
            described: None,
            deallocated: VecDeque::new(),
            closed: false,
            broken: None,
            journal: Journal::default(),
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
        self.flight.queue.is_empty()
            && self.work.is_none()
            && self.waiting.is_none()
            && self.held.is_none()
            && self.status == b'I'
            && !self.flight.open
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
                    || self.held.is_some()))
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
        self.to_client.len() < HIGH
            && self.held.is_none()
            && self.waiting != Some(Waiting::Production)
            && self.broken.is_none()
    }

    /// Whether a row from production may be put into the client's stream.
    pub(crate) fn wants_production(&self) -> bool {
        self.to_client.len() < HIGH
    }

    /// Takes what it can of the client's bytes from the buffer's front.
    pub(crate) fn client(&mut self, buffer: &mut BytesMut) {
        self.advance();
        while self.wants_client() && !buffer.is_empty() {
            if self.dropping > 0 {
                let dropped = self.dropping.min(buffer.len());
                let _ = buffer.split_to(dropped);
                self.dropping -= dropped;
                continue;
            }
            let data = self.takes_data();
            let scan = self
                .from_client
                .scan(buffer, |header| data && header.tag == b'd');
            if scan.pass > 0 {
                self.flight
                    .out
                    .extend_from_slice(&buffer.split_to(scan.pass));
                continue;
            }
            let (header, present) = match scan.next {
                Next::Frame { header, present } => (header, present),
                Next::More => return,
                Next::Malformed(error) => {
                    // The answers to what came before it first.
                    if self.answered() && self.work.is_none() && self.waiting.is_none() {
                        self.broken = Some(Broken::Client(error));
                    } else {
                        self.flight.flush();
                    }
                    return;
                }
            };
            if !self.may_take(header.tag) {
                return;
            }
            if self.skipping && !matches!(header.tag, b'S' | b'X') {
                self.dropping = header.total();
                continue;
            }
            if present < header.total() {
                if self.streams(header.tag, header.total(), body(buffer)) {
                    let now = self.from_client.pass(header, present);
                    self.flight.out.extend_from_slice(&buffer.split_to(now));
                    continue;
                }
                if header.tag == b'B' && header.total() > BIND_LIMIT {
                    if !self.names_known() {
                        return;
                    }
                    self.refuse_parse(&Refusal {
                        construct: "large_parameters",
                        message: "parameters of this size can't be served over merged rows".to_owned(),
                        detail: format!("The message has {} bytes; the preview has to send it twice, and keeps at most {BIND_LIMIT}.", header.total()),
                        hint: "Send the data by COPY, or in smaller parts.".to_owned(),
                    });
                    self.dropping = header.total();
                    continue;
                }
                // The rest of a large message: room for it at once, not by doubling.
                buffer.reserve((header.total() - present).min(1 << 20));
                return;
            }
            let frame = buffer.split_to(header.total()).freeze();
            self.from_client.take();
            self.message(header.tag, frame);
        }
    }

    /// Whether COPY data can go on, unread. It belongs to what was said before it, which must have been sent; outside of a COPY PostgreSQL ignores it.
    fn takes_data(&self) -> bool {
        match &self.work {
            None => true,
            Some(Work::Script(script)) => script.copying,
            Some(_) => false,
        }
    }

    /// Whether the client's next message can be looked at now.
    fn may_take(&mut self, tag: u8) -> bool {
        if matches!(tag, b'd' | b'c' | b'f') {
            return self.takes_data();
        }
        if tag == b'X' || self.copy_in {
            return true;
        }
        if self.work.is_some() || self.waiting.is_some() || self.held.is_some() {
            return false;
        }
        matches!(tag, b'S' | b'H') || !self.barred()
    }

    /// Whether the answer to something that changes what names mean is still to come.
    pub(crate) fn barred(&mut self) -> bool {
        self.barrier &= !self.flight.queue.is_empty();
        if self.barrier {
            self.flight.flush();
        }
        self.barrier
    }

    /// Whether a large message can go on in pieces, unread but for its start; its answer is remembered if so.
    fn streams(&mut self, tag: u8, total: usize, start: &[u8]) -> bool {
        let no_bytes = |_: &mut BytesMut| Ok(());
        match tag {
            b'F' => {
                self.flight.send(Expect::Function, no_bytes);
                true
            }
            b'B' if total > HIGH => {
                let mut names = start.splitn(3, |byte| *byte == 0);
                let (Some(portal), Some(statement), Some(_)) =
                    (names.next(), names.next(), names.next())
                else {
                    return false;
                };
                let entry = self.statements.get(statement);
                let known = entry.is_some_and(|entry| {
                    entry
                        .reading
                        .as_ref()
                        .is_some_and(|reading| !reading.script.statements.is_empty())
                });
                let portal = Bytes::copy_from_slice(portal);
                if known && !self.sight.is_plain() && !self.in_failed_block() {
                    let current = self
                        .sight
                        .lacks()
                        .is_none()
                        .then(|| self.sight.generation());
                    let entry = self.statements.get(statement);
                    let passes = entry.and_then(|entry| match &entry.planned {
                        Some((generation, plan))
                            if Some(*generation) == current && matches!(**plan, Plan::Pass(_)) =>
                        {
                            Some((entry.reading.clone(), Arc::clone(plan)))
                        }
                        _ => None,
                    });
                    let Some((reading, plan)) = passes else {
                        return false;
                    };
                    self.statements.bind(
                        portal,
                        Portal {
                            reading,
                            plan,
                            described: None,
                            read: None,
                            stays: false,
                        },
                    );
                } else {
                    self.statements.close_portal(&portal);
                }
                self.flight.send(
                    Expect::Bind {
                        answer: Answer::Forward,
                        error: OnError::AsIs,
                    },
                    no_bytes,
                );
                true
            }
            _ => false,
        }
    }

    fn message(&mut self, tag: u8, frame: Bytes) {
        if self.copy_in && !matches!(tag, b'c' | b'f' | b'X') {
            // PostgreSQL ignores Sync and Flush here, and takes anything else for the COPY's failure: no answer of its own either way.
            self.flight.out.extend_from_slice(&frame);
            return;
        }
        match tag {
            b'Q' => self.query(frame),
            b'P' => self.work = Some(Work::Parse(frame)),
            b'B' => {
                self.work = Some(Work::Bind {
                    frame,
                    apart_done: false,
                })
            }
            b'E' => self.work = Some(Work::Execute(frame)),
            b'D' => self.describe(&frame),
            b'C' => self.close(&frame),
            b'S' => self.client_sync(),
            b'H' => {
                self.flight.flush();
            }
            b'F' => self.flight.send(Expect::Function, pass(&frame)),
            b'c' | b'f' => {
                self.flight.out.extend_from_slice(&frame);
                self.copy_in = false;
                if !self.flight.queue.is_empty() {
                    self.flight.queue.push_back(Expect::CopyEnd);
                }
                if self.work.is_some() {
                    // The COPY has swallowed the Flush that was sent with it.
                    frontend::flush(&mut self.flight.out);
                }
            }
            _ => {
                self.flight.out.extend_from_slice(&frame);
                self.closed = tag == b'X';
            }
        }
        self.advance();
    }

    fn query(&mut self, frame: Bytes) {
        match frontend::read_query(body(&frame)) {
            Ok(text) if !self.sight.is_plain() => {
                let reading = self.common.readings.read(
                    text,
                    self.sight.encoding(),
                    self.sight.standard_strings(),
                );
                self.work = Some(Work::Script(Box::new(Script::new(reading, frame))));
            }
            _ => {
                self.statements.drop_unnamed();
                self.flight.send(
                    Expect::Query {
                        error: OnError::AsIs,
                    },
                    pass(&frame),
                );
            }
        }
    }

    fn client_sync(&mut self) {
        self.skipping = false;
        if self.flight.open || !self.flight.queue.is_empty() {
            self.flight.sync(Answer::Forward);
            return;
        }
        // fresh has nothing to synchronize: nothing went to it since it was last ready.
        if self.status == b'I' {
            self.statements.drop_portals();
        }
        let mut ready = BytesMut::new();
        ready.put_slice(&[b'Z', 0, 0, 0, 5, self.status]);
        self.say(ready.freeze());
    }

    /// Tries what waits.
    pub(crate) fn advance(&mut self) {
        while self.waiting.is_none() && self.held.is_none() && self.broken.is_none() {
            let waits = match self.work.take() {
                None => return,
                Some(Work::Script(script)) => self.script(script).map(Work::Script),
                Some(Work::Parse(frame)) => self.parse(frame),
                Some(Work::Bind { frame, apart_done }) => self.bind(frame, apart_done),
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

    /// What was asked (other than a read) is done.
    pub(crate) fn told(&mut self) {
        if self.waiting == Some(Waiting::Process) {
            self.waiting = None;
        }
        if let Some(ready) = self.held.take() {
            self.say(ready);
        }
        self.advance();
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

    /// What stands at the queue's front without an answer of fresh's is done.
    fn settle_front(&mut self) {
        // In the middle of a frame of fresh's there is no place for ours.
        while self.from_fresh.remaining() == 0 {
            match self.flight.queue.front() {
                Some(Expect::Say(bytes)) => self.to_client.extend_from_slice(bytes),
                Some(Expect::CopyEnd) => {}
                Some(Expect::Announce) => {
                    if let Some(row) = self.announced.take() {
                        self.to_client.extend_from_slice(&row);
                    }
                }
                _ => break,
            }
            self.flight.queue.pop_front();
        }
    }

    /// Whether everything sent was answered, to the last byte.
    pub(crate) fn answered(&self) -> bool {
        self.flight.queue.is_empty() && self.from_fresh.remaining() == 0
    }

    /// Takes what it can of fresh's bytes from the buffer's front.
    pub(crate) fn fresh(&mut self, buffer: &mut BytesMut) {
        while self.wants_fresh() && !buffer.is_empty() {
            let (query, execute) = match self.flight.queue.front() {
                Some(Expect::Query { .. }) => (true, true),
                Some(Expect::Execute {
                    rows: Rows::Forward | Rows::ForwardLast,
                    ..
                }) => (false, self.announced.is_none()),
                _ => (false, false),
            };
            let scan = self.from_fresh.scan(buffer, |header| match header.tag {
                b'd' | b'c' | b'A' | b'V' | b'W' | b'K' | b'v' => true,
                b'D' | b'H' => execute,
                b'T' | b'I' => query,
                _ => false,
            });
            if scan.pass > 0 {
                let passed = buffer.split_to(scan.pass);
                if self.to_client.is_empty() && passed.len() >= UNCOPIED {
                    self.to_client = passed;
                } else {
                    self.to_client.extend_from_slice(&passed);
                }
                self.settle_front();
                continue;
            }
            let (header, present) = match scan.next {
                Next::Frame { header, present } => (header, present),
                Next::More => return,
                Next::Malformed(error) => {
                    self.broken = Some(Broken::Fresh(error));
                    return;
                }
            };
            if present < header.total() {
                buffer.reserve((header.total() - present).min(1 << 20));
                return;
            }
            let frame = buffer.split_to(header.total()).freeze();
            self.from_fresh.take();
            self.answer(header.tag, &frame);
            self.settle_front();
            self.advance();
        }
    }

    fn forward(&mut self, frame: &[u8]) {
        self.to_client.extend_from_slice(frame);
    }

    fn answer(&mut self, tag: u8, frame: &Bytes) {
        match tag {
            b'N' => return self.notice(frame),
            b'S' => {
                if let Ok((name, value)) = backend::read_parameter_status(body(frame)) {
                    self.sight.setting(name, value);
                }
                return self.forward(frame);
            }
            b'E' => return self.error(frame),
            b'Z' => return self.ready(frame),
            _ => {}
        }
        let forward = match (tag, self.flight.queue.front_mut()) {
            (b'1', Some(Expect::Parse { answer, .. }))
            | (b'2', Some(Expect::Bind { answer, .. }))
            | (b'3', Some(Expect::Close { answer, .. })) => {
                let forward = *answer == Answer::Forward;
                self.flight.queue.pop_front();
                forward
            }
            (b't' | b'T' | b'n', Some(Expect::Describe { what, .. })) => {
                let what = what.clone();
                if tag != b't' {
                    self.flight.queue.pop_front();
                }
                self.described(tag, frame, what)
            }
            (
                b'D',
                Some(Expect::Execute {
                    rows: Rows::Forward | Rows::ForwardLast,
                    ..
                }),
            ) => {
                self.announce();
                true
            }
            (b'D', Some(Expect::Execute { .. })) => {
                self.row = Some(frame.clone());
                false
            }
            (
                b'G',
                Some(
                    Expect::Execute {
                        rows: Rows::Forward | Rows::ForwardLast,
                        ..
                    }
                    | Expect::Query { .. },
                ),
            ) => {
                self.copy_in = self.flight.copy_began();
                true
            }
            (b'C' | b'I' | b's', Some(Expect::Execute { rows, .. })) => {
                let rows = *rows;
                if matches!(rows, Rows::Forward | Rows::ForwardLast) {
                    self.journal.end();
                }
                self.flight.queue.pop_front();
                self.executed(tag, rows, frame)
            }
            (b'C', Some(Expect::Query { .. })) => {
                self.journal.end();
                self.completed(frame);
                true
            }
            _ => true,
        };
        if forward {
            self.forward(frame);
        }
    }

    /// A description's part came. Gives whether it is the client's as it is.
    fn described(&mut self, tag: u8, frame: &Bytes, what: Describe) -> bool {
        match what {
            Describe::Forward => true,
            Describe::RowOnly => {
                if tag != b't' {
                    self.described = row_body(tag, frame);
                    self.announced = (tag == b'T').then(|| frame.clone());
                }
                false
            }
            Describe::CheckLast => {
                let expected = self.described.clone();
                self.check_columns(tag, frame, expected.as_ref());
                false
            }
            Describe::Check(expected) => {
                self.check_columns(tag, frame, expected.as_ref());
                false
            }
            Describe::CompareLast if tag != b't' => {
                self.compared = Some(same_columns(tag, frame, self.described.as_ref()));
                false
            }
            Describe::Compare(expected, name) if tag != b't' => {
                let columns = match same_columns(tag, frame, expected.as_ref()) {
                    true => Columns::Same,
                    false => Columns::Other,
                };
                self.statements.set_columns(name, columns);
                false
            }
            Describe::CompareLast | Describe::Compare(..) => false,
            Describe::Replace(ours) => {
                if tag != b't' {
                    self.forward(&ours);
                }
                false
            }
            Describe::Capture(id) => {
                if tag == b't' {
                    self.capturing =
                        backend::read_parameter_description(body(frame)).unwrap_or_default();
                } else {
                    let row = row_body(tag, frame);
                    let done = Arc::new(Description {
                        parameters: std::mem::take(&mut self.capturing),
                        row,
                    });
                    match self.statements.by_id(id) {
                        Some(entry) => entry.capture = Capture::Done(done),
                        None if id == 0 => self.captured = Some(done),
                        None => {}
                    }
                }
                false
            }
        }
    }

    /// Rows of other types under the client's description would be silently wrong: better no rows. They were the same once, so this is no answer
    /// to a statement but a last resort.
    fn check_columns(&mut self, tag: u8, frame: &Bytes, expected: Option<&Bytes>) {
        if tag != b't' && !same_columns(tag, frame, expected) {
            self.broken.get_or_insert(Broken::Columns);
        }
    }

    /// Says the RowDescription that is still to be said.
    fn announce(&mut self) {
        if let Some(row) = self.announced.take() {
            self.forward(&row);
        }
    }

    /// An execution ended without an error. Gives whether the client hears of it.
    fn executed(&mut self, tag: u8, rows: Rows, frame: &Bytes) -> bool {
        self.copy_in = false;
        let row = self.row.take();
        let values = row
            .as_ref()
            .and_then(|row| backend::read_data_row(body(row)).ok());
        let value = values
            .as_ref()
            .and_then(|values| values.first().copied().flatten());
        match rows {
            Rows::Forward | Rows::ForwardLast => {
                self.announce();
                if tag == b'C' {
                    self.completed(frame);
                }
                if rows == Rows::Forward {
                    return true;
                }
                self.completing = Some(frame.clone());
            }
            Rows::CopiedUp => {
                let count = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                self.common.metrics.copied_up(count.unwrap_or(0));
            }
            Rows::SearchPath | Rows::Catalog => {
                self.asking = false;
                if let Err(why) = self.sight.told(rows, value.unwrap_or_default()) {
                    self.broken = Some(Broken::Names(why));
                }
            }
        }
        false
    }

    /// CommandComplete of a client's statement.
    fn completed(&mut self, frame: &[u8]) {
        match backend::read_command_complete(body(frame)) {
            Ok(b"DEALLOCATE ALL" | b"DISCARD ALL") => self.statements.clear(),
            Ok(b"DEALLOCATE") => {
                if let Some(name) = self.deallocated.pop_front() {
                    self.statements.remove(name.as_bytes());
                }
            }
            _ => {}
        }
    }

    fn notice(&mut self, frame: &Bytes) {
        match Report::read(body(frame)) {
            Ok(report) if report.sqlstate() == report::SIGNAL => self.sight.schema_changed(),
            Ok(report) if report.sqlstate() == report::MARK => {
                if let Some(oid) = report::marked(&report) {
                    self.sight.dirtied(oid);
                }
            }
            Ok(report) => {
                if let Some(report) = report::notice(report) {
                    report.write_notice(&mut self.to_client);
                }
            }
            Err(_) => self.forward(frame),
        }
    }

    fn error(&mut self, frame: &Bytes) {
        self.copy_in = false;
        self.row = None;
        self.announced = None;
        self.completing = None;
        self.batch_failed = true;
        self.deallocated.clear();
        if self.bound() {
            // A copy-up runs where the client's Bind stands; to the client it's the execution that fails.
            backend::bind_complete(&mut self.to_client);
        }
        let meaning = self
            .flight
            .queue
            .front()
            .map_or(OnError::AsIs, Expect::on_error);
        match Report::read(body(frame)) {
            Ok(report) if report.is_fatal() => {
                let mut report = report;
                report::scrub(&mut report);
                report.write_error(&mut self.to_client);
            }
            Ok(report) => report::in_place(report, meaning).write_error(&mut self.to_client),
            Err(_) => self.forward(frame),
        }
        let Some(front) = self.flight.queue.pop_front() else {
            return;
        };
        if front.ends_ready() {
            self.flight.queue.push_front(front);
            return;
        }
        let skipped = self.flight.skip_to_sync();
        for expect in std::iter::once(front).chain(skipped).rev() {
            match expect {
                Expect::Parse { undo, .. } | Expect::Close { undo, .. } => {
                    self.statements.undo(undo)
                }
                Expect::Describe {
                    what: Describe::Capture(id),
                    ..
                } => self.statements.uncapture(id),
                Expect::Describe {
                    what: Describe::Compare(_, name),
                    ..
                } => self.statements.undo(Undo::Ours(name)),
                _ => {}
            }
        }
        self.asking = false;
        match self.flight.queue.front() {
            Some(Expect::Sync {
                answer: Answer::Forward,
            }) => {}
            // The Sync is one of ours, or none was sent: the client's message fails with it, and what it sends up to its own Sync.
            _ => match self.work.as_mut() {
                Some(Work::Script(script)) => script.failed = true,
                _ => {
                    self.work = None;
                    self.skipping = true;
                }
            },
        }
    }

    /// Whether the error at hand is of a copy-up's execution, in front of a Bind of the client's.
    fn bound(&self) -> bool {
        let mut coming = self.flight.queue.iter();
        matches!(
            coming.next(),
            Some(Expect::Execute {
                rows: Rows::CopiedUp,
                ..
            })
        ) && coming
            .take_while(|expect| !matches!(expect, Expect::Sync { .. }))
            .any(|expect| {
                matches!(
                    expect,
                    Expect::Bind {
                        answer: Answer::Forward,
                        ..
                    }
                )
            })
    }

    fn ready(&mut self, frame: &Bytes) {
        let answer = loop {
            match self.flight.queue.pop_front() {
                Some(Expect::Sync { answer }) => break answer,
                Some(Expect::Say(bytes)) => self.forward(&bytes),
                Some(expect) if !expect.ends_ready() => {}
                Some(_) | None => break Answer::Forward,
            }
        };
        self.status = body(frame).first().copied().unwrap_or(b'I');
        let failed = std::mem::take(&mut self.batch_failed);
        let publish = self.sight.must_publish(self.status);
        self.sight.ready(self.status, failed);
        self.flight.settled();
        if !self.flight.executed {
            self.journal.settle(failed);
        }
        if self.status == b'I' {
            self.statements.drop_portals();
        }
        let forward = answer == Answer::Forward;
        if let Some(complete) = self.completing.take() {
            self.forward(&complete);
        }
        if publish {
            self.held = forward.then(|| frame.clone());
            self.ask(Asked::Reload);
        } else if forward {
            self.forward(frame);
        }
    }

    /// Whether what names mean is known; if not, it is asked for.
    pub(crate) fn names_known(&mut self) -> bool {
        if self.barred() {
            return false;
        }
        let Some((rows, question)) = self.sight.lacks() else {
            return true;
        };
        if !self.asking {
            self.asking = true;
            let in_batch = self.flight.open;
            self.flight.run(
                b"previewpg_names",
                question.as_bytes(),
                rows,
                OnError::DropPosition,
            );
            if in_batch {
                self.flight.flush();
            } else {
                self.flight.sync(Answer::Swallow);
            }
        }
        false
    }

    /// Plans a statement. Names must be known.
    pub(crate) fn plan(&mut self, reading: &Reading, statement: &Statement) -> Plan {
        let started = std::time::Instant::now();
        let plan = self
            .common
            .readings
            .plan(reading, statement, self.sight.context());
        self.common.metrics.rewritten(started.elapsed());
        let changes = !matches!(plan, Plan::Pass(_));
        if changes && !self.sight.readable() {
            return Plan::Refuse(Refusal {
                construct: "client_encoding",
                message: "a statement over merged rows can't be read in this client_encoding".to_owned(),
                detail: "In this encoding ASCII bytes may be parts of other characters, so the statement can't be changed safely.".to_owned(),
                hint: "SET client_encoding = 'UTF8'.".to_owned(),
            });
        }
        if reading.foreign_names {
            return Plan::Refuse(Refusal {
                construct: "client_encoding",
                message: "a relation's name with characters beyond ASCII can't be read in this client_encoding".to_owned(),
                detail: "The preview has to compare names with the catalog's, which is UTF8.".to_owned(),
                hint: "SET client_encoding = 'UTF8'.".to_owned(),
            });
        }
        plan
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
        // A temporary schema or one of the path's may have come or gone.
        if effects.search_path || effects.schema {
            self.sight.path_changed();
        }
        if effects.settings {
            self.sight.pin();
        }
        self.barrier |= effects.schema;
        match &statement.kind {
            Kind::Deallocate(name) => {
                self.barrier = true;
                self.deallocated.extend(name.clone());
            }
            Kind::Discard(_) | Kind::Prepare { .. } => self.barrier = true,
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
        const NAME: &[u8] = b"previewpg_refused";
        self.flight.send(Expect::our_parse(error), |out| {
            frontend::parse(NAME, text, types.iter().copied(), out)
        });
        self.flight.send(Expect::our_close(), |out| {
            frontend::close(Subject::Statement, NAME, out)
        });
        self.refuse_parse(refusal);
    }

    /// Refuses a statement whose rewritten form has other columns.
    pub(crate) fn refuse_columns(&mut self) {
        self.refuse_parse(&Refusal {
            construct: "columns",
            message: "this statement can't be served over merged rows".to_owned(),
            detail: "Read over merged rows it has columns of other types than on the table itself."
                .to_owned(),
            hint: "Name each column, and cast those whose type is derived from the table's row."
                .to_owned(),
        });
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

/// The body of a RowDescription; `None` for NoData.
fn row_body(tag: u8, frame: &Bytes) -> Option<Bytes> {
    (tag == b'T').then(|| frame.slice(crate::wire::frame::HEADER.min(frame.len())..))
}

/// Whether a RowDescription or NoData has the types of the one expected (its body).
fn same_columns(tag: u8, frame: &Bytes, expected: Option<&Bytes>) -> bool {
    let types = |row: &Bytes| -> Option<Vec<u32>> {
        let fields = backend::read_row_description(row).ok()?;
        Some(fields.iter().map(|field| field.type_oid).collect())
    };
    let found = row_body(tag, frame);
    match (expected.and_then(types), found.as_ref().and_then(types)) {
        (Some(expected), Some(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(&found)
                    .all(|(expected, found)| same_type(*expected, *found))
        }
        (expected, found) => expected == found,
    }
}

/// Whether values of the one type are, on the wire, values of the other: a row of a table is one of an anonymous row type.
fn same_type(expected: u32, found: u32) -> bool {
    const FIRST_USER_OID: u32 = 16384;
    const RECORD: u32 = 2249;
    const RECORD_ARRAY: u32 = 2287;
    expected == found || (expected >= FIRST_USER_OID && matches!(found, RECORD | RECORD_ARRAY))
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
