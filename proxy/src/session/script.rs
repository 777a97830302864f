//! The simple protocol: a query string, as it is where nothing in it has to change, else statement by statement.
//!
//! A string that has to change is run by the extended protocol without a Sync in between and one at the end, so that the implicit transaction and
//! "an error skips the rest" are PostgreSQL's own. The original of a rewritten statement is prepared first: its errors and its columns are what the client sees.

mod whole;

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{Asked, Conversation};
use super::copying::Copying;
use super::expect::{Again, Answer, Describe, Expect, OnError, Rows};
use super::planner::{Reading, needs_names};
use super::production::{Read, ReadEvent};
use crate::admin::metrics::Placement;
use crate::catalog::model::RelationKind;
use crate::catalog::unheld::Sent;
use crate::rewrite::plan::{Effects, Fresh, Plan, Refusal};
use crate::rewrite::{builtin_volatility, resolve};
use crate::sql::facts::{Copy, Kind, LockStrength, Name, Statement};
use crate::wire::frontend::{self, Subject};
use crate::wire::report::Report;
use whole::{Whole, runs_alone};

/// A query string under way.
#[derive(Debug)]
pub(crate) struct Script {
    reading: Arc<Reading>,
    /// The client's Query.
    frame: Bytes,
    step: Step,
    /// The statement to come.
    next: usize,
    /// Its plan, if it was made already.
    plan: Option<Plan>,
    /// The copy-up of the statement to come was run apart.
    apart_done: bool,
    /// What was copied up for the statement to come.
    copying: Copying,
    /// Its rewritten form has its columns.
    compared: bool,
    /// Its rewritten form had other columns, and was made anew from the catalog as it is now.
    again: bool,
    /// The statement sent last takes data from the client, and hasn't ended.
    pub(crate) takes_data: bool,
    /// A statement failed: nothing more is sent but the Sync.
    pub(crate) failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing was sent.
    Start,
    /// Statement by statement.
    Each,
    /// The columns of a rewritten statement and of its original are asked for.
    Comparing,
    /// One read: its description is asked for.
    Described,
    /// One read: it runs on production.
    Reading,
}

impl Script {
    pub(crate) fn new(reading: Arc<Reading>, frame: Bytes) -> Self {
        Self {
            reading,
            frame,
            step: Step::Start,
            next: 0,
            plan: None,
            apart_done: false,
            copying: Copying::default(),
            compared: false,
            again: false,
            takes_data: false,
            failed: false,
        }
    }

    /// Whether nothing was sent but the question for columns, which may be asked once more from the catalog as it is now.
    pub(crate) fn may_compare_again(&self) -> bool {
        self.step == Step::Comparing
            && !self.again
            && self.next == 0
            && self.reading.script.statements.len() == 1
    }

    /// The read runs on fresh after all.
    fn falls_back(&mut self) {
        self.step = Step::Each;
        if let Some(Plan::Production(plan)) = self.plan.take() {
            self.plan = Some(Plan::Fresh(plan.fresh));
        }
    }

    fn sent(&mut self, kind: &Kind) {
        self.takes_data = takes_data(kind);
        self.copying = Copying::default();
        self.next += 1;
    }
}

impl Conversation {
    /// Goes on with a query string; gives it back if it has to wait.
    pub(crate) fn script(&mut self, mut script: Box<Script>) -> Option<Box<Script>> {
        loop {
            if script.failed {
                self.flight.sync(Answer::Forward);
                return None;
            }
            if self.barred() {
                return Some(script);
            }
            script.takes_data = false;
            let reading = Arc::clone(&script.reading);
            match script.step {
                Step::Start => match self.whole(&reading) {
                    Whole::Wait => return Some(script),
                    Whole::Forward(effects, unheld) => {
                        self.forward_whole(&script, effects, unheld);
                        return None;
                    }
                    Whole::Each(plan) => {
                        self.statements.drop_unnamed();
                        script.plan = plan;
                        script.step = Step::Each;
                    }
                },
                Step::Each => {
                    let Some(statement) = reading.script.statements.get(script.next) else {
                        // A Query leaves no unnamed statement behind.
                        self.flight.send(Expect::our_close(), |out| {
                            frontend::close(Subject::Statement, b"", out)
                        });
                        self.flight.sync(Answer::Forward);
                        return None;
                    };
                    if !self.each(&mut script, &reading, statement) {
                        return Some(script);
                    }
                }
                Step::Comparing => {
                    if !self.answered() {
                        return Some(script);
                    }
                    script.step = Step::Each;
                    script.compared = true;
                    let texts = match (&script.plan, reading.script.statements.get(script.next)) {
                        (Some(Plan::Fresh(fresh)), Some(statement)) => fresh
                            .text
                            .as_ref()
                            .map(|text| (reading.statement(statement), Arc::clone(text))),
                        _ => None,
                    };
                    let same = self.compared.take() != Some(false);
                    if let Some((original, text)) = texts {
                        let (original, text) = (original.as_bytes(), text.as_bytes());
                        let (readings, version) = (&self.common.readings, self.sight.version());
                        if same {
                            readings.same_columns(original, text, &[]);
                        } else if script.again {
                            readings.other_columns(original, text, &[], version);
                        } else {
                            script.again = readings.has_other_columns(original, text, &[], version);
                        }
                    }
                    if !same {
                        if !script.again {
                            // The schema may have changed since it was planned: once more.
                            (script.again, script.compared, script.plan) = (true, false, None);
                            self.ask(Asked::Reload);
                            return Some(script);
                        }
                        self.refuse_columns();
                        script.next = reading.script.statements.len();
                    }
                }
                Step::Described => {
                    if !self.answered() {
                        return Some(script);
                    }
                    let read = match (&script.plan, self.captured.take()) {
                        (Some(Plan::Production(plan)), Some(description)) => self
                            .may_read(plan, &description)
                            .then(|| Read::simple(plan, description, &mut self.sight)),
                        _ => None,
                    };
                    match read {
                        Some(read) => {
                            script.step = Step::Reading;
                            self.ask(Asked::Read(Box::new(read)));
                            return Some(script);
                        }
                        None => script.falls_back(),
                    }
                }
                Step::Reading => return Some(script),
            }
        }
    }

    /// The read of a query string or of an Execute ended.
    pub(crate) fn read_ended(&mut self, end: ReadEvent) {
        let Some(super::conversation::Work::Script(script)) = self.work.as_mut() else {
            return self.execute_ended(end);
        };
        match end {
            ReadEvent::Rows(_) => {}
            ReadEvent::Done => {
                let reading = Arc::clone(&script.reading);
                self.work = None;
                self.placed_on_production(&reading.text);
                // fresh's own status, unchanged since it was last ready: the read wasn't its.
                let mut ready = bytes::BytesMut::new();
                ready.extend_from_slice(&[b'Z', 0, 0, 0, 5, self.status]);
                self.say(ready.freeze());
            }
            ReadEvent::Fallback => script.falls_back(),
            ReadEvent::Failed(report) => {
                self.work = None;
                self.fail(report);
                self.flight.sync(Answer::Forward);
            }
        }
    }

    fn plan_to_run(&mut self, reading: &Reading, statement: &Statement) -> Plan {
        let plan = self.plan(reading, statement);
        self.refuse_cursor(b"", statement, &plan)
            .map_or(plan, Plan::Refuse)
    }

    /// Sends the next statement; gives whether it could.
    fn each(&mut self, script: &mut Script, reading: &Reading, statement: &Statement) -> bool {
        let plan = match script.plan.take() {
            Some(plan) => plan,
            None if self.in_failed_block() => Plan::Pass(Effects::default()),
            None if needs_names(statement)
                && (!self.names_known() || self.awaits_names(statement)) =>
            {
                return false;
            }
            None => self.plan_to_run(reading, statement),
        };
        let plan = match runs_alone(reading, statement) {
            Some(command) if !self.in_failed_block() => Plan::Refuse(Refusal {
                sqlstate: "25001",
                ..Refusal::new(
                    "transaction_block",
                    format!("{command} cannot run inside a transaction block"),
                    "",
                    "",
                )
            }),
            _ => plan,
        };
        match plan {
            Plan::Refuse(refusal) => {
                if self.prepare_again(&refusal) {
                    return false;
                }
                let text = self.original(reading, statement);
                let error = OnError::Shift(reading.offset(statement));
                let copying = &mut script.copying;
                if self.copy_whole(&refusal, copying, Some((&text, error.clone()))) {
                    return false;
                }
                self.refuse_text(&refusal, &text, &[], error);
                script.next = reading.script.statements.len();
            }
            Plan::Production(plan) => {
                let alone = reading.script.statements.len() == 1;
                if alone
                    && !self.flight.open
                    && !self.flight.executed
                    && self.sight.may_leave(self.status == b'T')
                {
                    self.captured = None;
                    let error = OnError::AsIs;
                    let text = reading
                        .encode(&reading.text, self.sight.encoding())
                        .unwrap_or_default();
                    self.flight.send(Expect::our_parse(error.clone()), |out| {
                        frontend::parse(b"", &text, [].into_iter(), out)
                    });
                    self.flight.send(
                        Expect::Describe {
                            what: Describe::Capture(0),
                            error,
                        },
                        |out| frontend::describe(Subject::Statement, b"", out),
                    );
                    self.flight.sync(Answer::Swallow);
                    script.plan = Some(Plan::Production(plan));
                    script.step = Step::Described;
                } else {
                    script.plan = Some(Plan::Fresh(plan.fresh));
                }
            }
            Plan::Pass(effects) => {
                if self.warn_of(statement, effects) {
                    script.plan = Some(Plan::Pass(effects));
                    return false;
                }
                let error = OnError::Shift(reading.offset(statement));
                let (before, unheld) = self.hold_in_batch(reading, statement, effects);
                if let Some(before) = before {
                    let Some(text) = reading.encode(&before.text, self.sight.encoding()) else {
                        self.fail(unencodable());
                        script.next = reading.script.statements.len();
                        return true;
                    };
                    let error = OnError::Before(command(statement));
                    self.flight.run(b"", &text, Rows::CopiedUp, error);
                }
                let Ok(unknown) = self.unknown(reading, statement) else {
                    script.next = reading.script.statements.len();
                    return true;
                };
                let text = self.original(reading, statement);
                if let Some(unknown) = unknown {
                    self.flight.send(Expect::our_parse(error.clone()), |out| {
                        frontend::parse(b"", &text, [].into_iter(), out)
                    });
                    self.look_for_unknown(&unknown, statement);
                }
                let running = Running::new(statement, script);
                self.run_described(&text, error.clone(), error, running, unheld);
                self.placed(Placement::Fresh, reading.statement(statement));
                self.sent(statement, effects);
                self.sent_prepare(reading, statement, &Plan::Pass(effects));
                script.sent(&statement.kind);
            }
            Plan::Fresh(fresh) => {
                if self.mark(&fresh.dirties) || self.warn_of(statement, fresh.effects) {
                    script.plan = Some(Plan::Fresh(fresh));
                    return false;
                }
                if !script.apart_done && self.go_apart(&fresh, None, &[]) {
                    script.apart_done = true;
                    script.plan = Some(Plan::Fresh(fresh));
                    return false;
                }
                if !script.compared && self.compare(&fresh, reading, statement) {
                    script.plan = Some(Plan::Fresh(fresh));
                    script.step = Step::Comparing;
                    return true;
                }
                (script.apart_done, script.compared, script.again) = (false, false, false);
                let running = Running {
                    again: self.may_run_again(reading, statement),
                    ..Running::new(statement, script)
                };
                self.run_fresh(&fresh, reading, statement, running);
                self.placed(Placement::Merged, reading.statement(statement));
                self.sent(statement, fresh.effects);
                self.sent_prepare(reading, statement, &Plan::Fresh(fresh));
                script.sent(&statement.kind);
            }
        }
        true
    }

    /// Asks for the columns of a rewritten statement and of its original, unless they are known to be the same. Gives whether it has.
    fn compare(&mut self, fresh: &Fresh, reading: &Reading, statement: &Statement) -> bool {
        let Some(text) = fresh.text.as_ref().filter(|_| fresh.describe_original) else {
            return false;
        };
        let original = reading.statement(statement);
        let readings = &self.common.readings;
        if readings.has_same_columns(original.as_bytes(), text.as_bytes(), &[]) {
            return false;
        }
        // What can't be encoded is refused where it's run.
        let Some(text) = reading.encode(text, self.sight.encoding()) else {
            return false;
        };
        let original = self.original(reading, statement);
        let shift = OnError::Shift(reading.offset(statement));
        let asked = [
            (original, Describe::RowOnly, shift),
            (text, Describe::CompareLast, OnError::Unserved),
        ];
        self.compared = None;
        for (text, what, error) in asked {
            self.flight.send(Expect::our_parse(error.clone()), |out| {
                frontend::parse(b"", &text, [].into_iter(), out)
            });
            self.flight.send(Expect::Describe { what, error }, |out| {
                frontend::describe(Subject::Statement, b"", out)
            });
        }
        self.flight.flush();
        true
    }

    fn run_fresh(
        &mut self,
        fresh: &Fresh,
        reading: &Reading,
        statement: &Statement,
        running: Running,
    ) {
        let encoding = self.sight.encoding();
        let original = reading
            .encode(reading.statement(statement), encoding)
            .unwrap_or_default();
        let shift = OnError::Shift(reading.offset(statement));
        let (held, unheld) = self.hold_in_batch(reading, statement, fresh.effects);
        let texts = (
            held.iter()
                .chain(&fresh.before)
                .map(|before| reading.encode(&before.text, encoding))
                .collect::<Option<Vec<_>>>(),
            fresh
                .text
                .as_ref()
                .map(|text| reading.encode(text, encoding).ok_or(()))
                .transpose(),
        );
        let (Some(befores), Ok(rewritten)) = texts else {
            return self.fail(unencodable());
        };
        let Ok(unknown) = self.unknown(reading, statement) else {
            return;
        };
        if fresh.describe_original {
            self.flight.send(Expect::our_parse(shift.clone()), |out| {
                frontend::parse(b"", &original, [].into_iter(), out)
            });
            self.flight.send(
                Expect::Describe {
                    what: Describe::RowOnly,
                    error: shift.clone(),
                },
                |out| frontend::describe(Subject::Statement, b"", out),
            );
        }
        if let Some(unknown) = &unknown {
            self.look_for_unknown(unknown, statement);
        }
        for before in &befores {
            self.flight.run(
                b"",
                before,
                Rows::CopiedUp,
                OnError::Before(command(statement)),
            );
        }
        let (text, parse, run) = match &rewritten {
            Some(text) if fresh.describe_original => {
                (text, OnError::Unserved, OnError::DropPosition)
            }
            Some(text) => (text, OnError::DropPosition, OnError::DropPosition),
            None => (&original, shift.clone(), shift),
        };
        if !fresh.describe_original {
            self.run_described(text, parse, run, running, unheld);
            return;
        }
        if rewritten.is_some() || !befores.is_empty() {
            self.flight.send(Expect::our_parse(parse.clone()), |out| {
                frontend::parse(b"", text, [].into_iter(), out)
            });
        }
        if rewritten.is_some() {
            let check = Expect::Describe {
                what: Describe::CheckLast(running.again),
                error: parse,
            };
            self.flight.send(check, |out| {
                frontend::describe(Subject::Statement, b"", out)
            });
        }
        self.flight.send(Expect::our_bind(run.clone()), |out| {
            frontend::bind(b"", b"", &[], out)
        });
        self.begins_here(unheld);
        self.execute_ours(run, running);
    }

    fn run_described(
        &mut self,
        text: &[u8],
        parse: OnError,
        run: OnError,
        running: Running,
        unheld: Option<Sent>,
    ) {
        self.flight.send(Expect::our_parse(parse), |out| {
            frontend::parse(b"", text, [].into_iter(), out)
        });
        self.flight.send(Expect::our_bind(run.clone()), |out| {
            frontend::bind(b"", b"", &[], out)
        });
        self.begins_here(unheld);
        self.flight.send(
            Expect::Describe {
                what: Describe::RowOnly,
                error: run.clone(),
            },
            |out| frontend::describe(Subject::Portal, b"", out),
        );
        self.execute_ours(run, running);
    }

    fn execute_ours(&mut self, error: OnError, running: Running) {
        if running.reads {
            self.flight.queue.push_back(Expect::Announce);
        }
        let rows = if running.last {
            Rows::ForwardLast
        } else {
            Rows::Forward
        };
        self.flight.send(Expect::Execute { rows, error }, |out| {
            frontend::execute(b"", 0, out)
        });
        self.barrier |= running.takes_data;
    }

    /// Whether a client's message's only statement may be run twice without a trace. A view's functions aren't looked at, so a view isn't.
    pub(crate) fn may_run_again(&self, reading: &Reading, statement: &Statement) -> Again {
        let context = self.sight.context();
        let harmless = |name: &Name| {
            resolve::routines(name, context).next().is_none()
                && matches!(builtin_volatility(&name.name, context), Some(b'i' | b's'))
        };
        let table = |name: &Name| {
            resolve::relation(name, context)
                .known()
                .is_none_or(|relation| relation.kind != RelationKind::View)
        };
        let reads = reading.script.statements.len() == 1
            && statement.kind == Kind::Query
            && statement.writes.is_empty()
            && statement.levels.iter().all(|level| level.locks.is_empty())
            && statement.functions.iter().all(|call| harmless(&call.name))
            && statement.relations.iter().all(|named| table(&named.name))
            && (!context.catalog.user_operators || statement.unusual_operators.is_empty());
        if reads { Again::Yes } else { Again::No }
    }

    /// One statement's own text, in the client's encoding.
    fn original(&self, reading: &Reading, statement: &Statement) -> Bytes {
        reading
            .encode(reading.statement(statement), self.sight.encoding())
            .unwrap_or_default()
    }
}

/// How a statement of a string runs.
#[derive(Debug, Clone, Copy)]
struct Running {
    /// It is a plain read: its columns are said when it starts, those of others only when they have run.
    reads: bool,
    /// The transaction ends with it: its tag is said only then.
    last: bool,
    takes_data: bool,
    again: Again,
}

impl Running {
    fn new(statement: &Statement, script: &Script) -> Self {
        Self {
            reads: statement.kind == Kind::Query && statement.writes.is_empty(),
            last: script.next + 1 == script.reading.script.statements.len(),
            takes_data: takes_data(&statement.kind),
            again: Again::No,
        }
    }
}

/// What PostgreSQL calls the statement where a read-only transaction forbids it.
pub(crate) fn command(statement: &Statement) -> &'static str {
    let locks = || {
        statement
            .levels
            .iter()
            .flat_map(|level| &level.locks)
            .map(|lock| lock.strength)
            .max()
    };
    match (
        &statement.kind,
        statement.writes.first().map(|write| &write.kind),
    ) {
        (Kind::Insert, _) => "INSERT",
        (Kind::Update, _) => "UPDATE",
        (Kind::Delete, _) => "DELETE",
        (Kind::Merge, _) => "MERGE",
        (_, Some(_)) => "SELECT",
        _ => match locks() {
            Some(LockStrength::KeyShare) => "SELECT FOR KEY SHARE",
            Some(LockStrength::Share) => "SELECT FOR SHARE",
            Some(LockStrength::NoKeyUpdate) => "SELECT FOR NO KEY UPDATE",
            Some(LockStrength::Update) => "SELECT FOR UPDATE",
            None => "SELECT",
        },
    }
}

/// Whether what follows the statement would be taken for a part of its data.
fn takes_data(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Copy(Copy {
            from: true,
            client: true,
            ..
        })
    )
}

/// A rewritten text has characters that the client's encoding lacks.
pub(crate) fn unencodable() -> Report {
    Report::error(
        "0A000",
        "a statement over merged rows can't be written in this client_encoding",
    )
    .detail("The table has names with characters that the encoding lacks.")
    .hint("SET client_encoding = 'UTF8'.")
}
