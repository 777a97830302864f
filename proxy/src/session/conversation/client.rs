//! What the client says: frame by frame, as far as it can be taken now.

use bytes::{BufMut, Bytes, BytesMut};

use std::sync::Arc;

use super::super::copying::Copying;
use super::super::expect::{Answer, Expect, OnError};
use super::super::script::Script;
use super::super::statement::Portal;
use super::{BIND_LIMIT, Binding, Broken, Conversation, HIGH, Work, pass};
use crate::rewrite;
use crate::rewrite::plan::{Effects, Plan, Refusal};
use crate::wire::frame::{Next, body};
use crate::wire::frontend;

impl Conversation {
    /// Takes what it can of the client's bytes from the buffer's front.
    pub(crate) fn client(&mut self, buffer: &mut BytesMut) {
        self.take(buffer);
        self.flush_urgent();
    }

    fn take(&mut self, buffer: &mut BytesMut) {
        self.advance();
        self.replay.put_back(buffer);
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
                self.flush_urgent();
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
                self.flush_urgent();
                if self.streams(header.tag, header.total(), body(buffer)) {
                    let now = self.from_client.pass(header, present);
                    self.flight.out.extend_from_slice(&buffer.split_to(now));
                    continue;
                }
                if header.tag == b'B' && header.total() > BIND_LIMIT {
                    if !self.names_known() {
                        return;
                    }
                    self.refuse_parse(&Refusal::new("large_parameters", "parameters of this size can't be served over merged rows", format!("The message has {} bytes; the preview has to send it twice, and keeps at most {BIND_LIMIT}.", header.total()), "Send the data by COPY, or in smaller parts."));
                    self.dropping = header.total();
                    continue;
                }
                // The rest of a large message: room for it at once, not by doubling.
                buffer.reserve((header.total() - present).min(1 << 20));
                return;
            }
            let frame = buffer.split_to(header.total()).freeze();
            self.from_client.take();
            self.replay
                .heard(header.tag, &frame, self.status == b'I' && !self.flight.open);
            self.message(header.tag, frame);
        }
    }

    /// Whether COPY data can go on, unread. It belongs to what was said before it, which must have been sent; outside of a COPY PostgreSQL ignores it.
    fn takes_data(&self) -> bool {
        match &self.work {
            None => true,
            Some(Work::Script(script)) => script.takes_data,
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
        // What was said before is to be said again, or fails: nothing may overtake it.
        let pending = self.replay.is_begun() || self.failing.is_some();
        if self.work.is_some() || self.waiting.is_some() || self.held.is_some() || pending {
            return false;
        }
        if !matches!(tag, b'S' | b'H') && self.barred() {
            return false;
        }
        // What a function reads is told by the catalog.
        tag != b'F'
            || self.skipping
            || self.sight.is_plain()
            || self.in_failed_block()
            || self.names_known()
    }

    /// Whether the answer to something that changes what names mean is still to come.
    pub(crate) fn barred(&mut self) -> bool {
        self.barrier &= !self.flight.queue.is_empty();
        if self.barrier {
            self.flight.flush();
        }
        self.barrier
    }

    /// Why the function of a FunctionCall (its body's start) may not be called.
    fn refused_call(&self, start: &[u8]) -> Option<Refusal> {
        let oid = start.first_chunk().map(|oid| u32::from_be_bytes(*oid))?;
        if self.sight.is_plain() {
            return None;
        }
        rewrite::refuse_call(oid, self.sight.context())
    }

    /// Whether a large message can go on in pieces, unread but for its start; its answer is remembered if so.
    fn streams(&mut self, tag: u8, total: usize, start: &[u8]) -> bool {
        let no_bytes = |_: &mut BytesMut| Ok(());
        match tag {
            b'F' if self.refused_call(start).is_none() => {
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
                let mut unheld = None;
                if known && !self.sight.is_plain() && !self.in_failed_block() {
                    let believed = self.sight.is_current();
                    let current = self
                        .sight
                        .lacks()
                        .is_none()
                        .then(|| self.sight.generation());
                    let entry = self.statements.get(statement);
                    let passes = entry.and_then(|entry| match &entry.planned {
                        Some((generation, plan))
                            if believed
                                && Some(*generation) == current
                                && **plan == Plan::Pass(Effects::default()) =>
                        {
                            let unheld = self.needs_nothing(entry.reading.as_deref())?;
                            Some((entry.reading.clone(), Arc::clone(plan), unheld))
                        }
                        _ => None,
                    });
                    let Some((reading, plan, sent)) = passes else {
                        return false;
                    };
                    unheld = sent;
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
                self.begins_here(unheld);
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
                self.work = Some(Work::Bind(Binding {
                    frame,
                    apart_done: false,
                    again: false,
                    copying: Copying::default(),
                }))
            }
            b'E' => self.work = Some(Work::Execute(frame)),
            b'D' => self.describe(&frame),
            b'C' => self.close(&frame),
            b'S' => self.client_sync(),
            b'H' => {
                self.flight.flush();
            }
            b'F' => match self.refused_call(body(&frame)) {
                Some(refusal) => {
                    self.refuse_parse(&refusal);
                    self.flight.sync(Answer::Forward);
                }
                None => self.flight.send(Expect::Function, pass(&frame)),
            },
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
                        unheld: None,
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
}
