//! The extended protocol. The client's own statement is always prepared as it came; where it has to run as something else, that is prepared
//! beside it under a name of ours, with the parameter types that fresh found for the original, and bound in its place.

mod execute;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::conversation::{ApartStatement, Asked, Binding, Conversation, Work, pass};
use super::expect::{Again, Answer, Describe, Expect, OnError, Rows};
use super::planner::{Encoding, Reading, needs_names};
use super::prepared::is_outdated;
use super::script::unencodable;
use super::statement::{Bound, Capture, Columns, Description, Portal, Prepared};
use crate::catalog::unheld::Sent;
use crate::rewrite::plan::{Before, Effects, Fresh, Plan};
use crate::sql::facts::Statement;
use crate::wire::frame::body;
use crate::wire::frontend::{self, Bind, Subject};
use crate::wire::{MessageError, backend};

/// The portal of what runs before a named portal of the client's is bound.
const OUR_PORTAL: &[u8] = b"previewpg_before";

impl Conversation {
    /// Parse.
    pub(crate) fn parse(&mut self, frame: Bytes) -> Option<Work> {
        let message = match frontend::Parse::read(body(&frame)) {
            Ok(message) if !self.sight.is_plain() => message,
            _ => {
                self.forward_parse(&frame, super::statement::Undo::Nothing);
                return None;
            }
        };
        let reading = self.common.readings.read(
            message.text,
            self.sight.encoding(),
            self.sight.standard_strings(),
        );
        let planned = match reading.script.statements.first() {
            Some(statement) if !self.in_failed_block() => {
                if needs_names(statement) && !self.names_known() {
                    return Some(Work::Parse(frame));
                }
                Some(self.plan(&reading, statement))
            }
            _ => None,
        };
        // What it executes is described from now on.
        if let Some(Plan::Refuse(refusal)) = &planned
            && is_outdated(refusal)
            && self.prepare_again(refusal)
        {
            return Some(Work::Parse(frame));
        }
        // What is copied up to let a statement run is copied when it's bound.
        if let Some(Plan::Refuse(refusal)) = &planned
            && refusal.copy_up.is_empty()
        {
            let types: Vec<u32> = message.types().collect();
            self.refuse_text(refusal, message.text, &types, OnError::AsIs);
            return None;
        }
        let name = frame.slice_ref(message.name);
        let (id, undo) = self.statements.enter(name.clone(), Some(reading));
        self.forward_parse(&frame, undo);
        if planned
            .as_ref()
            .is_some_and(|plan| !matches!(plan, Plan::Pass(_)))
        {
            self.capture(&name, id);
        }
        let generation = self.sight.generation();
        if let Some(entry) = self.statements.get_mut(&name) {
            entry.planned = planned.map(|plan| (generation, Arc::new(plan)));
        }
        None
    }

    fn forward_parse(&mut self, frame: &[u8], undo: super::statement::Undo) {
        self.flight.send(
            Expect::Parse {
                answer: Answer::Forward,
                error: OnError::AsIs,
                undo,
            },
            pass(frame),
        );
    }

    fn capture(&mut self, name: &Bytes, id: u64) {
        let expect = Expect::Describe {
            what: Describe::Capture(id),
            error: OnError::AsIs,
        };
        self.flight.send(expect, |out| {
            frontend::describe(Subject::Statement, name, out)
        });
        if let Some(entry) = self.statements.get_mut(name) {
            entry.capture = Capture::Pending;
        }
    }

    /// Bind. Waits for names, for the original's description, for what was asked of the process.
    pub(crate) fn bind(&mut self, mut bind: Binding) -> Option<Work> {
        let frame = bind.frame.clone();
        let bytes = frame.slice(crate::wire::frame::HEADER.min(frame.len())..);
        let Ok(message) = Bind::read(&bytes) else {
            self.forward_bind(&frame);
            return None;
        };
        let name = bytes.slice_ref(message.statement);
        let portal = bytes.slice_ref(message.portal);
        self.statements.close_portal(&portal);
        let entry = match self.statements.get(&name) {
            Some(entry) if !self.sight.is_plain() => entry.clone(),
            _ => {
                self.forward_bind(&frame);
                return None;
            }
        };
        let statement = entry
            .reading
            .as_ref()
            .and_then(|reading| Some((reading, reading.script.statements.first()?)));
        let Some((reading, statement)) = statement else {
            self.forward_bind(&frame);
            return None;
        };
        let plan = if self.in_failed_block() {
            Arc::new(Plan::Pass(Effects::default()))
        } else {
            if needs_names(statement) && (!self.names_known() || self.awaits_names(statement)) {
                return Some(Work::Bind(bind));
            }
            let plan = self.plan_prepared(&name, &entry, reading, statement);
            let refusal = self.refuse_cursor(&portal, statement, &plan);
            refusal.map_or(plan, |refusal| Arc::new(Plan::Refuse(refusal)))
        };
        let kept = Portal {
            reading: Some(Arc::clone(reading)),
            plan: Arc::clone(&plan),
            described: None,
            read: None,
            stays: false,
        };
        let fresh = match plan.as_ref() {
            Plan::Pass(effects) => {
                if self.warn_of(statement, *effects) {
                    return Some(Work::Bind(bind));
                }
                let unheld = self.hold_names(reading, statement, *effects, &message)?;
                self.statements.bind(portal, kept);
                self.forward_bind(&frame);
                self.begins_here(unheld);
                return None;
            }
            Plan::Refuse(refusal) => {
                if self.prepare_again(refusal) {
                    if let Some(entry) = self.statements.get_mut(&name) {
                        entry.planned = None;
                    }
                    return Some(Work::Bind(bind));
                }
                if self.copy_whole(refusal, &mut bind.copying, None) {
                    return Some(Work::Bind(bind));
                }
                self.refuse_parse(refusal);
                return None;
            }
            Plan::Fresh(fresh) => fresh,
            Plan::Production(production) => &production.fresh,
        };
        let description = match &entry.capture {
            Capture::Done(description) => Arc::clone(description),
            asked => {
                if matches!(asked, Capture::None) {
                    self.capture(&name, entry.id);
                }
                self.flight.flush();
                return Some(Work::Bind(bind));
            }
        };
        if usize::from(message.parameters) != description.parameters.len() {
            // fresh says what is wrong with it.
            self.forward_bind(&frame);
            return None;
        }
        if let Plan::Production(production) = plan.as_ref() {
            let formats: Vec<i16> = message.result_formats().collect();
            if self.sight.may_leave(true)
                && self.may_read_formats(production, &description, &formats)
            {
                let described = row_description(&description, &message);
                let bound = Bound {
                    bind: bytes.clone(),
                    description,
                };
                self.statements.bind(
                    portal,
                    Portal {
                        described: Some(described),
                        read: Some(Arc::new(bound)),
                        ..kept
                    },
                );
                let mut complete = BytesMut::new();
                backend::bind_complete(&mut complete);
                self.say(complete.freeze());
                return None;
            }
        }
        if self.mark(&fresh.dirties) || self.warn_of(statement, fresh.effects) {
            return Some(Work::Bind(bind));
        }
        if !bind.apart_done && self.go_apart(fresh, Some(&message), &description.parameters) {
            return Some(Work::Bind(Binding {
                apart_done: true,
                ..bind
            }));
        }
        match self.compare_columns(fresh, reading, &description) {
            Columns::Same => {}
            Columns::Asked => return Some(Work::Bind(bind)),
            Columns::Other if !bind.again && !self.differs(fresh, reading, &description) => {
                // The schema may have changed since it was planned: once more.
                self.ask(Asked::Reload);
                return Some(Work::Bind(Binding {
                    again: true,
                    ..bind
                }));
            }
            Columns::Other => {
                if let Some(text) = &fresh.text {
                    self.common.readings.other_columns(
                        reading.text.as_bytes(),
                        text.as_bytes(),
                        &description.parameters,
                        self.sight.version(),
                    );
                }
                self.refuse_columns();
                return None;
            }
        }
        let described = self.bind_on_fresh(fresh, reading, &message, &description, Answer::Forward);
        self.statements.bind(portal, Portal { described, ..kept });
        None
    }

    fn forward_bind(&mut self, frame: &[u8]) {
        self.flight.send(
            Expect::Bind {
                answer: Answer::Forward,
                error: OnError::AsIs,
            },
            pass(frame),
        );
    }

    /// The plan of a prepared statement, made again where names may mean something else now.
    fn plan_prepared(
        &mut self,
        name: &Bytes,
        entry: &Prepared,
        reading: &Reading,
        statement: &Statement,
    ) -> Arc<Plan> {
        let generation = self.sight.generation();
        if let Some((planned, plan)) = &entry.planned
            && *planned == generation
        {
            return Arc::clone(plan);
        }
        // What we prepared may stand for other tables now.
        for ours in self.statements.take_ours() {
            self.flight.send(Expect::our_close(), |out| {
                frontend::close(Subject::Statement, &ours, out)
            });
        }
        let plan = Arc::new(self.plan(reading, statement));
        if let Some(entry) = self.statements.get_mut(name) {
            entry.planned = Some((generation, Arc::clone(&plan)));
        }
        plan
    }

    /// Whether what runs in the original's place has its columns: prepares and asks, if that isn't known yet.
    fn compare_columns(
        &mut self,
        fresh: &Fresh,
        reading: &Reading,
        description: &Description,
    ) -> Columns {
        let text = fresh
            .text
            .as_ref()
            .filter(|_| fresh.describe_original)
            .and_then(|text| reading.encode(text, self.sight.encoding()));
        // Without a text there's nothing to compare; one that can't be encoded is refused where it's sent.
        let Some(text) = text else {
            return Columns::Same;
        };
        let (original, types) = (reading.text.as_bytes(), description.parameters.as_slice());
        let readings = &self.common.readings;
        if readings.has_same_columns(original, &text, types) {
            return Columns::Same;
        }
        let ours = self.statements.ours(&text, types);
        if !ours.new {
            // One that nothing is kept of was compared before, by another session.
            let known = self.statements.columns(&ours.name);
            let known = known.unwrap_or(Columns::Same);
            match known {
                Columns::Asked => {
                    self.flight.flush();
                }
                Columns::Same => readings.same_columns(original, &text, types),
                Columns::Other => {}
            }
            return known;
        }
        let check = Describe::Compare(description.row.clone(), ours.name.clone());
        self.statements
            .set_columns(ours.name.clone(), Columns::Asked);
        self.prepare(ours, &text, types, OnError::Unserved, Some(check));
        self.flight.flush();
        Columns::Asked
    }

    /// Whether what runs in the original's place is known to have other columns.
    fn differs(&self, fresh: &Fresh, reading: &Reading, description: &Description) -> bool {
        fresh.text.as_ref().is_some_and(|text| {
            self.common.readings.has_other_columns(
                reading.text.as_bytes(),
                text.as_bytes(),
                &description.parameters,
                self.sight.version(),
            )
        })
    }

    /// Sends what runs before, and the Bind of what runs in the original's place. Gives the answer to the portal's Describe, where it isn't fresh's own.
    fn bind_on_fresh(
        &mut self,
        fresh: &Fresh,
        reading: &Reading,
        message: &Bind<'_>,
        description: &Description,
        answer: Answer,
    ) -> Option<Bytes> {
        let encoding = self.sight.encoding();
        let text = fresh
            .text
            .as_ref()
            .map(|text| reading.encode(text, encoding).ok_or(()))
            .transpose();
        let befores = fresh
            .before
            .iter()
            .map(|before| reading.encode(&before.text, encoding))
            .collect::<Option<Vec<_>>>();
        let (Ok(text), Some(befores)) = (text, befores) else {
            self.fail(unencodable());
            return None;
        };
        let command = reading
            .script
            .statements
            .first()
            .map_or("SELECT", super::script::command);
        let unheld = match reading.script.statements.first() {
            Some(statement) => self.hold_names(reading, statement, fresh.effects, message)?,
            None => None,
        };
        for (before, text) in fresh.before.iter().zip(befores) {
            self.run_before(before, &text, message, description, command);
        }
        let error = if fresh.describe_original {
            OnError::Unserved
        } else {
            OnError::DropPosition
        };
        let name = match &text {
            Some(text) => {
                let again = reading
                    .script
                    .statements
                    .first()
                    .map_or(Again::No, |statement| {
                        self.may_run_again(reading, statement)
                    });
                let check = fresh
                    .describe_original
                    .then(|| Describe::Check(description.row.clone(), again));
                self.prepare_ours(text, &description.parameters, error.clone(), check)
            }
            None => Bytes::copy_from_slice(message.statement),
        };
        let error = if text.is_some() { error } else { OnError::AsIs };
        self.flight.send(Expect::Bind { answer, error }, |out| {
            message.write(message.portal, &name, out)
        });
        self.begins_here(unheld);
        (text.is_some() && fresh.describe_original).then(|| row_description(description, message))
    }

    /// Has the statement's names keep their meaning, where another session may be changing it, and those that mean nothing be looked for.
    /// Gives that nothing holds them, if so. `None`: what has to be said can't be, and the client's message fails.
    fn hold_names(
        &mut self,
        reading: &Reading,
        statement: &Statement,
        effects: Effects,
        message: &Bind<'_>,
    ) -> Option<Option<Sent>> {
        if let Some(text) = self.unknown(reading, statement).ok()? {
            // It may have been parsed long ago.
            self.flight.send(Expect::our_bind(OnError::AsIs), |out| {
                message.write(OUR_PORTAL, message.statement, out)
            });
            self.flight.send(Expect::our_close(), |out| {
                frontend::close(Subject::Portal, OUR_PORTAL, out)
            });
            self.look_for_unknown(&text, statement);
        }
        let (before, unheld) = self.hold_in_batch(reading, statement, effects);
        let Some(before) = before else {
            return Some(unheld);
        };
        let Some(text) = reading.encode(&before.text, self.sight.encoding()) else {
            self.fail(unencodable());
            return None;
        };
        let nothing = Description {
            parameters: Vec::new(),
            row: None,
        };
        let command = super::script::command(statement);
        self.run_before(&before, &text, message, &nothing, command);
        Some(None)
    }

    fn run_before(
        &mut self,
        before: &Before,
        text: &Bytes,
        message: &Bind<'_>,
        description: &Description,
        command: &'static str,
    ) {
        let types = first_types(description, before.parameters);
        let name = self.prepare_ours(text, types, OnError::Unserved, None);
        // The client's Bind replaces the unnamed portal anyway, but only if that is its own.
        let portal = if message.portal.is_empty() {
            b"".as_slice()
        } else {
            OUR_PORTAL
        };
        let error = OnError::Before(command);
        self.flight.send(Expect::our_bind(error.clone()), |out| {
            message.write_first(before.parameters, portal, &name, out)
        });
        self.flight.send(
            Expect::Execute {
                rows: Rows::CopiedUp,
                error,
            },
            |out| frontend::execute(portal, 0, out),
        );
        if !portal.is_empty() {
            self.flight.send(Expect::our_close(), |out| {
                frontend::close(Subject::Portal, portal, out)
            });
        }
    }

    /// Has the copy-ups that may run apart run so, where the transaction's isolation lets it see the result. Gives whether that has to be waited for.
    pub(crate) fn go_apart(
        &mut self,
        fresh: &Fresh,
        message: Option<&Bind<'_>>,
        types: &[u32],
    ) -> bool {
        if !fresh.before.iter().any(|before| before.apart)
            || !self
                .sight
                .may_go_apart(self.status == b'T' || self.flight.executed)
        {
            return false;
        }
        // The other connection takes UTF-8.
        if self.sight.encoding() != Encoding::Utf8 {
            return false;
        }
        let mut statements = Vec::new();
        for before in fresh.before.iter().filter(|before| before.apart) {
            let types = types.get(..usize::from(before.parameters)).unwrap_or(types);
            let mut bind = BytesMut::new();
            let written = match message {
                Some(message) => message.write_first(before.parameters, b"", b"", &mut bind),
                None => frontend::bind(b"", b"", &[], &mut bind),
            };
            if written.is_err() {
                return false;
            }
            let bind = bind.freeze();
            statements.push(ApartStatement {
                text: before.text.as_str().into(),
                types: types.into(),
                bind: bind.slice(crate::wire::frame::HEADER.min(bind.len())..),
            });
        }
        self.ask(Asked::Apart(statements));
        true
    }

    /// Describe.
    pub(crate) fn describe(&mut self, frame: &Bytes) {
        let mut what = Describe::Forward;
        if let Ok((Subject::Portal, name)) = frontend::read_subject(body(frame))
            && let Some(portal) = self.statements.portal(name)
        {
            match (&portal.read, &portal.described) {
                (Some(_), Some(described)) => {
                    let described = described.clone();
                    return self.say(described);
                }
                (None, Some(described)) => what = Describe::Replace(described.clone()),
                _ => {}
            }
        }
        self.flight.send(
            Expect::Describe {
                what,
                error: OnError::AsIs,
            },
            pass(frame),
        );
    }

    /// Close.
    pub(crate) fn close(&mut self, frame: &Bytes) {
        let undo = match frontend::read_subject(body(frame)) {
            Ok((Subject::Statement, name)) => self.statements.remove(name),
            Ok((Subject::Portal, name)) => {
                if self
                    .statements
                    .close_portal(name)
                    .is_some_and(|portal| portal.read.is_some())
                {
                    let mut complete = BytesMut::new();
                    backend::close_complete(&mut complete);
                    return self.say(complete.freeze());
                }
                super::statement::Undo::Nothing
            }
            Err(_) => super::statement::Undo::Nothing,
        };
        self.flight.send(
            Expect::Close {
                answer: Answer::Forward,
                undo,
            },
            pass(frame),
        );
    }
}

fn first_types(description: &Description, count: u16) -> &[u32] {
    description
        .parameters
        .get(..usize::from(count))
        .unwrap_or(&description.parameters)
}

/// The frame that describes a portal: the original's columns in the Bind's formats, or NoData.
fn row_description(description: &Description, message: &Bind<'_>) -> Bytes {
    let mut out = BytesMut::new();
    let formats: Vec<i16> = message.result_formats().collect();
    let written = description.row.as_ref().map(|row| {
        let mut row = BytesMut::from(row.as_ref());
        backend::set_formats(&mut row, &formats)?;
        out.put_u8(b'T');
        out.put_u32(u32::try_from(row.len() + 4).map_err(|_| MessageError::TooLong)?);
        out.put_slice(&row);
        Ok::<(), MessageError>(())
    });
    if !matches!(written, Some(Ok(()))) {
        out.clear();
        backend::no_data(&mut out);
    }
    out.freeze()
}
