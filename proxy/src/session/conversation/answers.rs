//! What fresh says: each frame is the answer to the queue's front, and goes to the client, or to us, or nowhere.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::super::expect::{Again, Answer, Describe, Expect, OnError, Rows};
use super::super::report;
use super::super::statement::{Capture, Columns, Description, Undo};
use super::{Asked, Broken, Conversation, UNCOPIED, Work};
use crate::wire::backend;
use crate::wire::frame::{HEADER, Next, body};
use crate::wire::report::Report;

impl Conversation {
    /// What stands at the queue's front without an answer of fresh's is done.
    pub(super) fn settle_front(&mut self) {
        // In the middle of a frame of fresh's there is no place for ours.
        while self.from_fresh.remaining() == 0 {
            match self.flight.queue.front() {
                Some(Expect::Say(bytes)) => self.to_client.extend_from_slice(bytes),
                Some(Expect::CopyEnd) => {}
                Some(Expect::Begun(_)) => {
                    if let Some(Expect::Begun(sent)) = self.flight.queue.pop_front() {
                        self.begun(sent);
                    }
                    continue;
                }
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
                // Its first answer is to be looked at, if its names weren't held.
                Some(Expect::Query { unheld, .. }) => (unheld.is_none(), unheld.is_none()),
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

    pub(super) fn forward(&mut self, frame: &[u8]) {
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
            (b'T' | b'D' | b'H', Some(Expect::Query { unheld, .. })) => {
                if let Some(sent) = unheld.take() {
                    self.begun(sent);
                }
                self.broken.is_none()
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
            Describe::CheckLast(again) => {
                let expected = self.described.clone();
                self.check_columns(tag, frame, expected.as_ref(), again);
                false
            }
            Describe::Check(expected, again) => {
                self.check_columns(tag, frame, expected.as_ref(), again);
                false
            }
            Describe::Drop => false,
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
            Describe::Prepared(name) => {
                if tag != b't' {
                    self.prepares.described(&name, row_body(tag, frame));
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

    /// Rows of other types under the client's description would be silently wrong: better no rows. The columns were the same once, so another session
    /// has changed the schema since; the statement may have waited for that session's commit.
    fn check_columns(&mut self, tag: u8, frame: &Bytes, expected: Option<&Bytes>, again: Again) {
        if tag != b't' && !same_columns(tag, frame, expected) && !self.recovers(again) {
            self.broken.get_or_insert(Broken::Columns);
        }
    }

    /// Keeps the answers of a batch from the client, for it to be planned and run again, or to fail. Gives whether that can be: nothing may follow it, and
    /// what it did must be nothing, or be undone by the error.
    fn recovers(&mut self, again: Again) -> bool {
        let queue = &self.flight.queue;
        let count = |what: fn(&Expect) -> bool| queue.iter().filter(|expect| what(expect)).count();
        let alone = count(Expect::ends_ready) == 1
            && count(|expect| matches!(expect, Expect::Execute { .. })) == 1
            && matches!(
                queue.back(),
                Some(Expect::Sync {
                    answer: Answer::Forward
                })
            )
            && self.work.is_none()
            && self.waiting.is_none()
            && self.held.is_none()
            && self.dropping == 0
            && self.from_client.remaining() == 0;
        let reads = again == Again::Yes && self.replay.is_whole();
        if !alone || !(reads || self.status == b'T') {
            return false;
        }
        self.announced = None;
        self.flight.drop_answers();
        if reads && self.replay.begin() {
            self.ask(Asked::Reload);
        } else {
            self.failing = Some(report::outdated());
        }
        true
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
                self.heard = true;
                self.announce();
                if tag == b'C' {
                    self.completed(frame);
                }
                if rows == Rows::Forward {
                    return true;
                }
                self.completing = Some(frame.clone());
            }
            Rows::Drop => {}
            Rows::CopiedUp => {
                let count = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                self.common.metrics.copied_up(count.unwrap_or(0));
            }
            Rows::Types => self.prepares.typed(value),
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
            Ok(b"DEALLOCATE ALL" | b"DISCARD ALL") => {
                self.statements.clear();
                self.prepares.gone(None);
            }
            Ok(b"DEALLOCATE") => {
                if let Some(name) = self.deallocated.pop_front() {
                    self.statements.remove(name.as_bytes());
                    self.prepares.gone(Some(&name));
                }
            }
            Ok(b"PREPARE") => self.prepares.completed(),
            _ => {}
        }
    }

    fn notice(&mut self, frame: &Bytes) {
        match Report::read(body(frame)) {
            Ok(report) if report.sqlstate() == report::SIGNAL => self.sight.schema_changed(),
            Ok(report) if report.sqlstate() == report::MARK => {
                if let Some(oid) = report::marked(&report) {
                    self.sight.dirtied(oid);
                    if self.marked.insert(oid) {
                        self.written.push(oid);
                    }
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
        if self.failing.take().is_some() || self.status != b'I' {
            // The error itself fails the client's message.
            self.replay.give_up();
        }
        self.deallocated.clear();
        self.prepares.failed();
        if self.bound() {
            // A copy-up runs where the client's Bind stands; to the client it's the execution that fails.
            backend::bind_complete(&mut self.to_client);
        }
        if let Some(Expect::Query { unheld, .. }) = self.flight.queue.front_mut() {
            // What fails gives nobody rows.
            *unheld = None;
        }
        let meaning = self
            .flight
            .queue
            .front()
            .map_or(OnError::AsIs, Expect::on_error);
        let mut compares_again = false;
        match Report::read(body(frame)) {
            Ok(report) if self.compares_again(&report, &meaning) => compares_again = true,
            // What fails wasn't to be heard anyway.
            Ok(_) if self.replay.is_begun() && self.status == b'I' => {}
            // What was planned is out of date, and nothing of it was done: once more.
            Ok(report) if self.replays(&report, &meaning) => {}
            Ok(report)
                if report.sqlstate() == report::RENAMED
                    || meaning == OnError::Unserved
                        && report.sqlstate().starts_with(b"42")
                        && self.sight.is_outdated() =>
            {
                report::outdated().write_error(&mut self.to_client);
            }
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
        if compares_again {
            self.compared = Some(false);
            self.flight.sync(Answer::Swallow);
            return;
        }
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

    /// Whether the query string at hand, of whose only statement the columns are being asked for, is to be planned again instead of this error: another session's
    /// schema change came between our planning and fresh's parsing of our text, outside of a transaction block.
    fn compares_again(&self, report: &Report, meaning: &OnError) -> bool {
        let state = report.sqlstate();
        let unknown = matches!(state, b"42P01" | b"42703");
        let outdated = unknown || state.starts_with(b"42") && self.sight.is_outdated();
        let comparing =
            matches!(&self.work, Some(Work::Script(script)) if script.may_compare_again());
        comparing
            && outdated
            && *meaning == OnError::Unserved
            && self.status == b'I'
            && self.flight.queue.iter().all(|expect| !expect.ends_ready())
    }

    /// Whether the batch is to be said again instead of this error: another session's schema change came between our planning and fresh's parsing
    /// of our text, outside of a transaction block, with nothing behind it and nothing before it that the client has heard.
    fn replays(&mut self, report: &Report, meaning: &OnError) -> bool {
        let state = report.sqlstate();
        // That session's publication may still be on its way.
        let unknown = matches!(state, b"42P01" | b"42703");
        let published = self.sight.is_outdated();
        let outdated = state == report::RENAMED
            || *meaning == OnError::Unserved && (unknown || published && state.starts_with(b"42"));
        let syncs = self
            .flight
            .queue
            .iter()
            .filter(|expect| expect.ends_ready())
            .count();
        let ends = matches!(
            self.flight.queue.back(),
            Some(Expect::Sync {
                answer: Answer::Forward
            })
        );
        let replays = outdated
            && !self.heard
            && self.status == b'I'
            && self.waiting.is_none()
            && syncs == 1
            && ends
            && self.work.is_none()
            && self.dropping == 0
            && self.from_client.remaining() == 0
            && self.replay.begin();
        if replays && !published {
            self.ask(Asked::Reload);
        }
        replays
    }

    fn ready(&mut self, frame: &Bytes) {
        let answer = loop {
            match self.flight.queue.pop_front() {
                Some(Expect::Sync { answer }) => break answer,
                Some(Expect::Say(bytes)) => self.forward(&bytes),
                Some(Expect::Query {
                    unheld: Some(sent), ..
                }) => {
                    self.begun(sent);
                    break Answer::Forward;
                }
                Some(expect) if !expect.ends_ready() => {}
                Some(_) | None => break Answer::Forward,
            }
        };
        self.status = body(frame).first().copied().unwrap_or(b'I');
        let failed = std::mem::take(&mut self.batch_failed);
        self.heard = false;
        let publish = self.sight.must_publish(self.status);
        self.flight.settled();
        let (more, soon) = (self.flight.executed, self.work.is_some());
        self.sight.ready(self.status, failed, more, soon);
        if !self.flight.executed {
            self.journal.settle(failed);
        }
        if self.status == b'I' {
            self.statements.drop_portals();
        }
        let forward = answer == Answer::Forward && !self.replay.ready() && self.failing.is_none();
        let mut end = BytesMut::new();
        if let Some(complete) = self.completing.take() {
            end.extend_from_slice(&complete);
        }
        if forward {
            end.extend_from_slice(frame);
        }
        if publish {
            self.held = Some(end.freeze());
            self.ask(Asked::Reload);
        } else {
            self.forward(&end);
        }
        if let Some(report) = self.failing.take() {
            self.fail(report);
            self.flight.sync(Answer::Forward);
        }
    }
}

/// The body of a RowDescription; `None` for NoData.
fn row_body(tag: u8, frame: &Bytes) -> Option<Bytes> {
    (tag == b'T').then(|| frame.slice(HEADER.min(frame.len())..))
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
