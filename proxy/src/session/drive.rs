//! Moving bytes between two sockets and a conversation.
//!
//! One task for one client, and one poll for both directions: neither waits for the other, so no pipeline, however long, can deadlock. What may be
//! held is bounded: a side that doesn't take its bytes stops the other side's being read.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::cancel::{self, Cancels};
use super::conversation::{Asked, Broken, Conversation, HIGH};
use super::production::{self, Events, ReadEvent};
use super::server::Hooked;
use crate::net::drain::{Drain, admin_shutdown};
use crate::net::pool::Pool;
use crate::wire::frontend;
use crate::wire::report::Report;

/// The first read's size, in bytes.
const IDLE: usize = 2 << 10;

/// The most that is read at once, in bytes.
const LARGEST: usize = HIGH;

/// While production answers, so few bytes for the client wait for the rest, as they would in PostgreSQL's own buffer of this size.
const HELD: usize = 8 << 10;

/// How long fresh may take to end a session that was changing the schema.
const SEEN_OFF: Duration = Duration::from_secs(60);
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A future of the process's, for a conversation that waits.
pub(crate) type Performing = Hooked;

/// What a conversation asks of the process.
pub(crate) trait Process: Send + Sync {
    /// Does what was asked (not a read). `cancelled` changes when the client asks for a cancel, or has since its statement began.
    fn perform(&self, asked: Asked, cancelled: &watch::Receiver<()>) -> Performing;
    /// Production's sessions.
    fn pool(&self) -> Option<Pool>;
    /// Where cancels are asked for in this client's name.
    fn cancels(&self) -> &Cancels;
}

/// How a conversation ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client left.
    Client,
    /// fresh ended the session.
    Fresh,
    /// The process ends.
    Drained,
    /// A stream can't be followed.
    Broken(Broken),
    /// A socket failed.
    Io(io::Error),
}

/// One socket and what was read from it.
#[derive(Debug)]
struct Side<S> {
    stream: S,
    read: BytesMut,
    /// The next read's size: grows with what comes.
    size: usize,
    ended: bool,
    flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    fn new(stream: S, read: BytesMut) -> Self {
        Self {
            stream,
            read,
            size: IDLE,
            ended: false,
            flushed: true,
        }
    }

    /// Reads once, behind what is there already. At the stream's end `ended` is set.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read.capacity() == self.read.len() {
            self.read.reserve(self.size);
        }
        let room = self.read.capacity() - self.read.len();
        let count = {
            let reading = pin!(self.stream.read_buf(&mut self.read));
            reading.poll(cx)
        };
        let count = match count {
            Poll::Ready(count) => count?,
            Poll::Pending => {
                // Whoever is idle holds no buffer.
                if self.read.is_empty() {
                    self.read = BytesMut::new();
                }
                return Poll::Pending;
            }
        };
        self.ended = count == 0;
        if count == room {
            self.size = (self.size * 4).min(LARGEST);
        } else if count < self.size / 4 {
            self.size = (self.size / 2).max(IDLE);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what it can. Ready when something moved or nothing is left to do.
    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<bool>> {
        if out.is_empty() {
            if !self.flushed {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.flushed = true;
            }
            return Poll::Ready(Ok(false));
        }
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, out))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(count);
        self.flushed = false;
        if out.is_empty() && out.capacity() > IDLE {
            *out = BytesMut::new();
        }
        Poll::Ready(Ok(true))
    }
}

/// Both sockets, the conversation, and what the process does for it.
pub(crate) struct Drive<'a, C, F, P> {
    conversation: Conversation,
    client: Side<C>,
    fresh: Side<F>,
    process: &'a P,
    performing: Option<Performing>,
    /// That is a copy-up in a transaction of its own.
    apart: bool,
    /// Makes known what fresh says was written to, see [`Conversation::next_written`].
    marking: Option<Performing>,
    reading: Option<Reading>,
    /// The cancel requests: those that came while no statement was under way are seen.
    cancelled: watch::Receiver<()>,
    /// The session that ran the last read: what it has prepared is likely to be needed again.
    last: Arc<AtomicU64>,
}

/// A read on production. It runs in the client's own task: no other has to be woken for each of its steps.
struct Reading {
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    events: Arc<Events>,
}

impl<'a, C, F, P> Drive<'a, C, F, P>
where
    C: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
    P: Process,
{
    /// `leftover`: what was read of fresh's stream already.
    pub(crate) fn new(
        conversation: Conversation,
        client: C,
        fresh: F,
        leftover: BytesMut,
        process: &'a P,
    ) -> Self {
        Self {
            conversation,
            client: Side::new(client, BytesMut::new()),
            fresh: Side::new(fresh, leftover),
            process,
            performing: None,
            apart: false,
            marking: None,
            reading: None,
            cancelled: process.cancels().asked(),
            last: Arc::default(),
        }
    }

    /// Converses until one side leaves, or the process ends; tells the client why, where it isn't its own doing, and closes both connections.
    pub(crate) async fn run(mut self, drain: &Drain) -> End {
        let end = {
            let mut draining = pin!(drain.draining());
            let mut ending = pin!(drain.ending());
            let mut drained = false;
            poll_fn(|cx| {
                drained = drained || draining.as_mut().poll(cx).is_ready();
                if ending.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Drained);
                }
                match self.poll(cx) {
                    Poll::Pending
                        if drained
                            && self.conversation.is_idle()
                            && self.client.read.is_empty() =>
                    {
                        Poll::Ready(End::Drained)
                    }
                    polled => polled,
                }
            })
            .await
        };
        let report: Option<Report> = match &end {
            End::Drained => Some(admin_shutdown()),
            End::Broken(broken) => Some(broken.report()),
            End::Client | End::Fresh | End::Io(_) => None,
        };
        if let Some(report) = report
            && !self.conversation.mid_frame()
        {
            report.write_error(&mut self.conversation.to_client);
        }
        // What still runs on production is cancelled.
        self.reading = None;
        if self.conversation.may_say_goodbye() {
            frontend::terminate(&mut self.conversation.flight.out);
        }
        // Whoever is gone needs no last words, and nobody waits long for those who don't listen.
        let goodbye = async {
            let (client, fresh) = (&mut self.client.stream, &mut self.fresh.stream);
            let to_client = async {
                let _ = client.write_all(&self.conversation.to_client).await;
                let _ = client.shutdown().await;
            };
            let to_fresh = async {
                let _ = fresh.write_all(&self.conversation.flight.out).await;
                let _ = fresh.shutdown().await;
            };
            tokio::join!(to_client, to_fresh);
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        if self.conversation.sight.is_changing() {
            self.see_off().await;
        }
        end
    }

    /// Waits until fresh has ended the session, which may be committing a change of the schema still, and has what it changed published. Names are held until then.
    async fn see_off(&mut self) {
        let mut rest = BytesMut::new();
        let ended = async {
            while matches!(self.fresh.stream.read_buf(&mut rest).await, Ok(1..)) {
                rest.clear();
            }
        };
        let _ = tokio::time::timeout(SEEN_OFF, ended).await;
        let _ = self.process.perform(Asked::Reload, &self.cancelled).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.step(cx) {
                Err(error) => return Poll::Ready(End::Io(error)),
                Ok(Step::End(end)) => return Poll::Ready(end),
                Ok(Step::Moved) => {}
                Ok(Step::Still) => return Poll::Pending,
            }
        }
    }

    /// Moves what can be moved, once in each direction.
    fn step(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        let mut moved = self.answers(cx);
        let (had_fresh, had_client) = (self.fresh.read.len(), self.client.read.len());
        if self.conversation.is_between_statements() {
            // A cancel for what has ended is nothing to remember.
            self.cancelled.mark_unchanged();
        }
        self.conversation.fresh(&mut self.fresh.read);
        self.conversation.client(&mut self.client.read);
        moved |= self.fresh.read.len() != had_fresh || self.client.read.len() != had_client;
        moved |= self.questions();
        if let Some(broken) = self.conversation.take_broken() {
            return Ok(Step::End(End::Broken(broken)));
        }
        if let Poll::Ready(wrote) = self.fresh.poll_write(cx, &mut self.conversation.flight.out) {
            // fresh may have said why it closed the connection: what it said is read first.
            match wrote {
                Ok(wrote) => moved |= wrote,
                Err(_) => self.conversation.flight.out.clear(),
            }
        }
        let held = self.reading.is_some() && self.conversation.to_client.len() < HELD;
        if !held
            && let Poll::Ready(wrote) = self.client.poll_write(cx, &mut self.conversation.to_client)
        {
            moved |= wrote?;
        }
        if self.conversation.is_closed() && self.conversation.flight.out.is_empty() {
            return Ok(Step::End(End::Client));
        }
        if self.fresh.ended {
            if self.conversation.to_client.is_empty() && !moved {
                return Ok(Step::End(End::Fresh));
            }
        } else if self.conversation.wants_fresh()
            && (self.fresh.read.len() < HIGH
                || self.conversation.fresh_incomplete(&self.fresh.read))
        {
            match self.fresh.poll_read(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.fresh.ended = true;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {}
            }
        }
        // A client that waits may still leave: its bytes are read on, up to a limit.
        if self.client.ended {
            // It may have closed its direction only: what it said is answered still.
            if !moved {
                moved = self.conversation.flight.flush();
                if !moved && !self.conversation.owes() {
                    return Ok(Step::End(End::Client));
                }
            }
        } else if (self.client.read.len() < HIGH
            || self.conversation.client_incomplete(&self.client.read))
            && let Poll::Ready(read) = self.client.poll_read(cx)
        {
            read?;
            moved = true;
        }
        Ok(if moved { Step::Moved } else { Step::Still })
    }

    /// What the process has done since.
    fn answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Some(performing) = self.performing.as_mut()
            && let Poll::Ready(performed) = performing.as_mut().poll(cx)
        {
            self.performing = None;
            let canceled = self.apart && matches!(self.cancelled.has_changed(), Ok(true));
            if std::mem::take(&mut self.apart) {
                self.process.cancels().runs_elsewhere(false);
                self.cancelled.mark_unchanged();
            }
            match performed {
                Ok(()) if canceled => self.conversation.canceled(),
                Ok(()) => self.conversation.told(),
                Err(lost) => self.conversation.lost(lost),
            }
            moved = true;
        }
        if let Some(marking) = self.marking.as_mut()
            && let Poll::Ready(marked) = marking.as_mut().poll(cx)
        {
            self.marking = None;
            match marked {
                Ok(()) => self.conversation.written_told(),
                Err(lost) => self.conversation.lost(lost),
            }
            moved = true;
        }
        if let Some(reading) = self.reading.as_mut()
            && !reading.ended
        {
            // Also while the client is slow, for it may cancel.
            reading.ended = reading.run.as_mut().poll(cx).is_ready();
        }
        while self.conversation.wants_production()
            && let Some(reading) = self.reading.as_mut()
        {
            let mut event = match reading.events.take() {
                Some(event) => event,
                None if reading.ended => ReadEvent::Failed(Report::error(
                    "08006",
                    "the read on production ended without a result",
                )),
                None => break,
            };
            if !matches!(event, ReadEvent::Rows(_)) {
                self.reading = None;
                self.process.cancels().runs_elsewhere(false);
                let canceled = matches!(self.cancelled.has_changed(), Ok(true));
                if canceled && matches!(event, ReadEvent::Fallback) {
                    event = ReadEvent::Failed(cancel::canceled());
                }
                // What was cancelled is over: the next statement isn't meant.
                self.cancelled.mark_unchanged();
            }
            self.conversation.read_event(event);
            moved = true;
        }
        moved
    }

    /// What the process is asked to do.
    fn questions(&mut self) -> bool {
        let written = self.conversation.next_written();
        let marks = !written.is_empty();
        if marks {
            let mark = Asked::Mark(written);
            self.marking = Some(self.process.perform(mark, &self.cancelled));
        }
        let Some(asked) = self.conversation.next_asked() else {
            return marks;
        };
        match asked {
            Asked::Read(read) => match self.process.pool() {
                None => self.conversation.read_event(ReadEvent::Fallback),
                Some(pool) => {
                    self.process.cancels().runs_elsewhere(true);
                    let events = Arc::new(Events::default());
                    let metrics = Arc::clone(&self.conversation.common.metrics);
                    let run = production::run(
                        pool,
                        *read,
                        Arc::clone(&self.last),
                        Arc::clone(&events),
                        self.cancelled.clone(),
                        metrics,
                    );
                    self.reading = Some(Reading {
                        run: Box::pin(run),
                        ended: false,
                        events,
                    });
                }
            },
            asked => {
                self.apart = matches!(asked, Asked::Apart(_));
                if self.apart {
                    self.process.cancels().runs_elsewhere(true);
                }
                self.performing = Some(self.process.perform(asked, &self.cancelled));
            }
        }
        true
    }
}

/// What a step came to.
enum Step {
    Moved,
    Still,
    End(End),
}
