//! A read on production: what may go there, and how it is run on a pooled session.
//!
//! Nothing is forwarded before production's columns were compared with fresh's: on any difference the read runs on fresh instead.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::cancel::{canceled, cancellable};
use super::conversation::Conversation;
use super::sight::Sight;
use super::statement::{Bound, Description};
use crate::admin::metrics::Metrics;
use crate::catalog::model::{Catalog, Lower, Relation};
use crate::net::pool::{Checkout, Pool, PoolError, Prepared};
use crate::rewrite::plan::Production;
use crate::wire::frame::{Direction, Header, Limits, Next, Scanner, body};
use crate::wire::frontend::{self, Bind, Subject};
use crate::wire::report::{Report, code};
use crate::wire::{MessageError, backend};

/// The first OID that isn't built in (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16384;

/// Built-in types whose values name objects of one database: oid, the reg* types, record, and arrays of them.
const LOCAL_TYPES: [u32; 28] = [
    24, 26, 1008, 1028, 1033, 1034, 2202, 2203, 2204, 2205, 2206, 2207, 2208, 2209, 2210, 2211,
    2249, 2276, 2277, 2287, 3734, 3735, 3769, 3770, 4089, 4090, 4096, 4097,
];
const REGCOLLATION: [u32; 2] = [4191, 4192];

/// How many chunks of rows may wait for a slow client.
const CHUNKS: usize = 2;
const CHUNK: usize = 64 << 10;
const FIRST: usize = 2 << 10;

/// A read for production.
#[derive(Debug)]
pub(crate) struct Read {
    text: Arc<str>,
    types: Vec<u32>,
    /// The client's Bind; `None`: no parameters, results as text.
    bind: Option<Bytes>,
    description: Arc<Description>,
    /// The client hears the columns (the simple protocol).
    announce: bool,
    /// What gives a session the client's settings.
    settings: Arc<str>,
    /// The relations that were clean when it was decided.
    clean: Vec<Arc<Relation>>,
}

impl Read {
    pub(crate) fn simple(
        plan: &Production,
        description: Arc<Description>,
        sight: &mut Sight,
    ) -> Self {
        Self {
            text: Arc::clone(&plan.text),
            types: Vec::new(),
            bind: None,
            description,
            announce: true,
            settings: sight.production_settings(),
            clean: relations(plan, sight),
        }
    }

    pub(crate) fn bound(plan: &Production, bound: &Bound, sight: &mut Sight) -> Self {
        Self {
            text: Arc::clone(&plan.text),
            types: bound.description.parameters.clone(),
            bind: Some(bound.bind.clone()),
            description: Arc::clone(&bound.description),
            announce: false,
            settings: sight.production_settings(),
            clean: relations(plan, sight),
        }
    }
}

fn relations(plan: &Production, sight: &Sight) -> Vec<Arc<Relation>> {
    let catalog = sight.catalog();
    plan.relations
        .iter()
        .filter_map(|oid| catalog.relations.get(oid).cloned())
        .collect()
}

fn is_clean(relation: &Relation) -> bool {
    relation.lower.as_ref().is_some_and(Lower::is_clean)
}

/// The process may have been stopped since the read was decided; production's snapshot has been taken by now (at the Bind).
fn still_clean(read: &Read) -> Result<(), Stop> {
    if read.clean.iter().all(|relation| is_clean(relation)) {
        Ok(())
    } else {
        Err(Stop::Fallback("a table was written to meanwhile"))
    }
}

/// What comes of a read.
#[derive(Debug)]
pub(crate) enum ReadEvent {
    /// Frames for the client.
    Rows(Bytes),
    /// All was forwarded, CommandComplete included.
    Done,
    /// Run it on fresh; nothing was forwarded.
    Fallback,
    /// The statement fails with this.
    Failed(Report),
}

/// What a read has to say, on its way to the task that runs it. Nobody is woken: whoever takes something polls the read again.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<VecDeque<ReadEvent>>);

impl Events {
    /// The next one.
    pub(crate) fn take(&self) -> Option<ReadEvent> {
        self.lock().pop_front()
    }

    /// Puts one behind the others, once there's room.
    async fn put(&self, event: ReadEvent) {
        let mut event = Some(event);
        poll_fn(|_| {
            let mut queue = self.lock();
            if queue.len() >= CHUNKS {
                return Poll::Pending;
            }
            queue.extend(event.take());
            Poll::Ready(())
        })
        .await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<ReadEvent>> {
        // A queue is valid at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    /// Whether a read's relations are still clean and its values mean the same on production, as text.
    pub(crate) fn may_read(&self, plan: &Production, description: &Description) -> bool {
        let in_block = self.status == b'T';
        self.status != b'E'
            && self.sight.may_leave(in_block)
            && !(in_block && plan.transaction_time)
            && self.may_read_formats(plan, description, &[])
    }

    /// The same, with a Bind's result formats.
    pub(crate) fn may_read_formats(
        &self,
        plan: &Production,
        description: &Description,
        formats: &[i16],
    ) -> bool {
        let catalog = self.sight.catalog();
        let clean = plan.relations.iter().all(|oid| {
            let relation = catalog.relations.get(oid);
            relation.is_some_and(|relation| is_clean(relation))
        });
        clean && portable(catalog, description, formats)
    }
}

/// Whether parameters and results mean the same on both databases.
fn portable(catalog: &Catalog, description: &Description, formats: &[i16]) -> bool {
    let built_in = |oid: u32| {
        oid < FIRST_USER_OID && !LOCAL_TYPES.contains(&oid) && !REGCOLLATION.contains(&oid)
    };
    let shared_enum = |oid: u32| {
        catalog
            .types
            .values()
            .flatten()
            .any(|kind| kind.oid == oid && matches!(kind.kind, b'e' | b'd') && !kind.array)
    };
    let Some(row) = &description.row else {
        return false;
    };
    let Ok(fields) = backend::read_row_description(row) else {
        return false;
    };
    let text = |index: usize| match formats {
        [] => true,
        [all] => *all == 0,
        each => each.get(index).is_some_and(|format| *format == 0),
    };
    description.parameters.iter().all(|oid| built_in(*oid))
        && fields.iter().enumerate().all(|(index, field)| {
            built_in(field.type_oid) || (text(index) && shared_enum(field.type_oid))
        })
}

/// Why a read ended early.
enum Stop {
    /// It runs on fresh, for this reason.
    Fallback(&'static str),
    Failed(Report),
    /// The connection to production was lost, for this reason.
    Lost(String),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<MessageError> for Stop {
    fn from(_: MessageError) -> Self {
        Self::Fallback("a message cannot be read")
    }
}

fn unreachable(why: &str) -> Report {
    Report::error("08006", "the connection to production was lost")
        .detail(format!("This statement was reading production: {why}."))
        .hint("Run it again; what does not need production goes on.")
}

/// Runs a read. `cancelled` changes when the client asks for a cancel, or has since the statement began. `last`: the number of the session that ran its last one.
pub(crate) async fn run(
    pool: Pool,
    read: Read,
    last: Arc<AtomicU64>,
    events: Arc<Events>,
    mut cancelled: watch::Receiver<()>,
    metrics: Arc<Metrics>,
) {
    let again = pool.checkout_again(last.load(Ordering::Relaxed));
    let mut end = attempt(again, &read, &last, &events, &mut cancelled, &metrics).await;
    if end.is_err() {
        // The session may have been lost while it was idle; whatever became of the statement, it only reads.
        end = attempt(
            pool.checkout(),
            &read,
            &last,
            &events,
            &mut cancelled,
            &metrics,
        )
        .await;
    }
    let end = end.unwrap_or_else(|Silent(why)| ReadEvent::Failed(unreachable(&why)));
    events.put(end).await;
}

/// The connection was lost before production said anything, for this reason.
struct Silent(String);

async fn attempt(
    asked: impl Future<Output = Result<Checkout, PoolError>>,
    read: &Read,
    last: &AtomicU64,
    events: &Events,
    cancelled: &mut watch::Receiver<()>,
    metrics: &Metrics,
) -> Result<ReadEvent, Silent> {
    let asked = tokio::select! {
        asked = asked => asked,
        Ok(()) = cancelled.changed() => return Ok(ReadEvent::Failed(canceled())),
    };
    let mut checkout = match asked {
        // The foreign tables have connections of their own.
        Err(error @ PoolError::Exhausted { .. }) => {
            tracing::debug!(%error, "a read runs on fresh");
            return Ok(ReadEvent::Fallback);
        }
        Err(error) => return Ok(ReadEvent::Failed(error.report())),
        Ok(checkout) => checkout,
    };
    let _in_use = metrics.production_session();
    last.store(checkout.session.number(), Ordering::Relaxed);
    let handle = checkout.session.cancel_handle();
    let mut heard = false;
    let running = Running {
        checkout: &mut checkout,
        scanner: Scanner::new(Direction::Backend, Limits::default()),
        events,
        room: FIRST,
        heard: &mut heard,
    };
    let handle = || Some(handle.clone());
    let (result, stopped) = cancellable(running.run(read), cancelled, handle).await;
    match result {
        // Production was stopped before it ran the statement; fresh would start from the beginning.
        Err(Stop::Fallback(_) | Stop::Lost(_)) if stopped => Ok(ReadEvent::Failed(canceled())),
        Ok(outcome) => {
            // A cancel that is on its way still would stop somebody else's statement.
            if !stopped {
                checkout.give_back();
            }
            Ok(match outcome {
                Ok(()) => ReadEvent::Done,
                Err(report) => report,
            })
        }
        Err(Stop::Fallback(reason)) => {
            tracing::debug!(reason, "a read runs on fresh");
            Ok(ReadEvent::Fallback)
        }
        Err(Stop::Failed(report)) => Ok(ReadEvent::Failed(report)),
        Err(Stop::Lost(why)) if heard => Ok(ReadEvent::Failed(unreachable(&why))),
        Err(Stop::Lost(why)) => Err(Silent(why)),
    }
}

struct Running<'a> {
    checkout: &'a mut Checkout,
    scanner: Scanner,
    events: &'a Events,
    /// Room for the next read, in bytes: grows with what comes.
    room: usize,
    /// Production has said something.
    heard: &'a mut bool,
}

/// What was sent.
struct Sent {
    /// The statement's name.
    name: String,
    /// It's being prepared.
    new: bool,
    /// Its columns are known to be right.
    described: bool,
}

impl Running<'_> {
    /// `Ok`: the session is idle again and may be given back.
    async fn run(mut self, read: &Read) -> Result<Result<(), ReadEvent>, Stop> {
        self.settings(read).await?;
        let sent = self.send(read).await?;
        let (mut parsed, mut described, mut forwarded) = (!sent.new, false, false);
        let mut outcome = Ok(());
        loop {
            let (header, frame) = self
                .next(described && outcome.is_ok(), &mut forwarded)
                .await?;
            match header.tag {
                b'1' => parsed = true,
                // Had production's columns changed since they were compared, the Bind would have failed.
                b'2' if sent.described => {
                    still_clean(read)?;
                    described = true;
                    if read.announce {
                        self.announce(read).await?;
                        forwarded = true;
                    }
                }
                b'T' | b'n' => {
                    if !same_columns(&read.description, header.tag, &frame) {
                        return Err(Stop::Fallback("production's columns are others"));
                    }
                    still_clean(read)?;
                    described = true;
                    if let Some(row) = &read.description.row {
                        let statements = &mut self.checkout.session.statements;
                        statements.agree(&read.text, &read.types, row);
                    }
                    if read.announce {
                        self.announce(read).await?;
                        forwarded = true;
                    }
                }
                b'E' => {
                    let statements = &mut self.checkout.session.statements;
                    let report = Report::read(body(&frame))?;
                    if !parsed {
                        statements.forget(&read.text, &read.types);
                    } else if report.sqlstate() == b"0A000" {
                        statements.outdated(&read.text, &read.types);
                    }
                    outcome = Err(failed(report, forwarded)?);
                }
                b'S' => {}
                b'C' | b'I' if described => self.forward(frame).await,
                b'Z' => {
                    return if body(&frame) == b"I" {
                        Ok(outcome)
                    } else {
                        Err(Stop::Failed(unreachable(&format!(
                            "session {} is in a transaction",
                            sent.name
                        ))))
                    };
                }
                _ => {}
            }
        }
    }

    async fn announce(&mut self, read: &Read) -> Result<(), Stop> {
        let Some(row) = &read.description.row else {
            return Ok(());
        };
        let fields = backend::read_row_description(row)?;
        let mut out = BytesMut::new();
        backend::row_description(&fields, &mut out)?;
        self.forward(out.freeze()).await;
        Ok(())
    }

    async fn forward(&mut self, frames: Bytes) {
        self.events.put(ReadEvent::Rows(frames)).await;
    }

    /// Gives the session the client's settings, if it doesn't have them.
    async fn settings(&mut self, read: &Read) -> Result<(), Stop> {
        if self.checkout.session.settings.as_ref() == Some(&read.settings) {
            return Ok(());
        }
        self.checkout.session.settings = None;
        let mut out = BytesMut::new();
        frontend::query(read.settings.as_bytes(), &mut out)?;
        self.checkout.session.stream.write_all(&out).await?;
        self.checkout.session.stream.flush().await?;
        let mut accepted = true;
        loop {
            let (header, _) = self.next(false, &mut false).await?;
            match header.tag {
                b'E' => accepted = false,
                b'Z' if accepted => {
                    self.checkout.session.settings = Some(Arc::clone(&read.settings));
                    return Ok(());
                }
                b'Z' => {
                    return Err(Stop::Fallback(
                        "production does not accept the session's settings",
                    ));
                }
                _ => {}
            }
        }
    }

    /// Sends the statement, and asks for its columns unless they're known to be right.
    async fn send(&mut self, read: &Read) -> Result<Sent, Stop> {
        let mut out = BytesMut::new();
        let statements = &mut self.checkout.session.statements;
        let sent = match statements.prepare(&read.text, &read.types) {
            Prepared::Known { name, columns } => Sent {
                described: columns.is_some() && columns == read.description.row,
                name,
                new: false,
            },
            Prepared::New { name, evicted } => {
                for evicted in evicted {
                    frontend::close(Subject::Statement, evicted.as_bytes(), &mut out)?;
                }
                frontend::parse(
                    name.as_bytes(),
                    read.text.as_bytes(),
                    read.types.iter().copied(),
                    &mut out,
                )?;
                Sent {
                    name,
                    new: true,
                    described: false,
                }
            }
        };
        match &read.bind {
            Some(bind) => Bind::read(bind)?.write(b"", sent.name.as_bytes(), &mut out)?,
            None => frontend::bind(b"", sent.name.as_bytes(), &[], &mut out)?,
        }
        if !sent.described {
            frontend::describe(Subject::Portal, b"", &mut out)?;
        }
        frontend::execute(b"", 0, &mut out)?;
        frontend::sync(&mut out);
        self.checkout.session.stream.write_all(&out).await?;
        self.checkout.session.stream.flush().await?;
        Ok(sent)
    }

    /// The next frame that isn't a row; rows go to the client, or nowhere.
    async fn next(&mut self, rows: bool, forwarded: &mut bool) -> Result<(Header, Bytes), Stop> {
        loop {
            let scan = self.scanner.scan(&self.checkout.session.buffer, |header| {
                matches!(header.tag, b'D' | b'N')
            });
            if scan.pass > 0 {
                let frames = self.checkout.session.buffer.split_to(scan.pass).freeze();
                if rows {
                    *forwarded = true;
                    self.forward(frames).await;
                }
                continue;
            }
            match scan.next {
                Next::Frame { header, present } if present == header.total() => {
                    self.scanner.take();
                    let frame = self.checkout.session.buffer.split_to(present).freeze();
                    // An end of the connection may be told first.
                    *self.heard |= header.tag != b'E';
                    return Ok((header, frame));
                }
                Next::Malformed(error) => {
                    return Err(Stop::Failed(unreachable(&error.to_string())));
                }
                _ => {}
            }
            let session = &mut self.checkout.session;
            session.buffer.reserve(self.room);
            let room = session.buffer.capacity() - session.buffer.len();
            let count = session.stream.read_buf(&mut session.buffer).await?;
            if count == 0 {
                return Err(Stop::Lost("it closed the connection".to_owned()));
            }
            if count == room {
                self.room = (self.room * 4).min(CHUNK);
            }
        }
    }
}

/// Whether production gives the columns that fresh would.
fn same_columns(description: &Description, tag: u8, frame: &[u8]) -> bool {
    let Some(ours) = &description.row else {
        return tag == b'n';
    };
    let (Ok(ours), Ok(theirs)) = (
        backend::read_row_description(ours),
        backend::read_row_description(body(frame)),
    ) else {
        return false;
    };
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(ours, theirs)| {
            ours.name == theirs.name
                && (ours.type_oid == theirs.type_oid
                    || (ours.type_oid >= FIRST_USER_OID && theirs.type_oid >= FIRST_USER_OID))
                && (ours.type_oid >= FIRST_USER_OID || ours.type_modifier == theirs.type_modifier)
        })
}

/// What production's error means.
fn failed(mut report: Report, forwarded: bool) -> Result<ReadEvent, Stop> {
    if report.is_fatal() {
        return Err(Stop::Lost(report.message()));
    }
    // Its names or its types aren't what they are here: fresh knows better.
    if !forwarded && (report.sqlstate().starts_with(b"42") || report.sqlstate() == b"0A000") {
        tracing::debug!(
            sqlstate = %String::from_utf8_lossy(report.sqlstate()),
            "production rejects a statement, which runs on fresh"
        );
        return Ok(ReadEvent::Fallback);
    }
    // It counts in a text that the client didn't write.
    report.remove(code::POSITION);
    Ok(ReadEvent::Failed(report))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::catalog::model::UserType;

    fn description(parameters: &[u32], types: &[u32]) -> Description {
        let fields: Vec<_> = types
            .iter()
            .map(|oid| backend::Field {
                name: b"c",
                table: 0,
                attribute: 0,
                type_oid: *oid,
                type_size: -1,
                type_modifier: -1,
                format: 0,
            })
            .collect();
        let mut out = BytesMut::new();
        backend::row_description(&fields, &mut out).unwrap();
        Description {
            parameters: parameters.to_vec(),
            row: Some(out.freeze().slice(5..)),
        }
    }

    #[test]
    fn values_that_name_objects_stay_on_fresh() {
        let mut catalog = Catalog::default();
        let kind = |oid, letter| UserType {
            schema: "public".to_owned(),
            oid,
            kind: letter,
            array: false,
            functions: Vec::new(),
        };
        catalog.types.insert(
            "status".to_owned(),
            vec![kind(20000, b'e'), kind(20001, b'c')],
        );
        let portable = |parameters: &[u32], types: &[u32], formats: &[i16]| {
            portable(&catalog, &description(parameters, types), formats)
        };
        assert!(portable(&[23], &[25, 1184, 1007], &[1]));
        assert!(!portable(&[], &[2205], &[]), "regclass");
        assert!(!portable(&[], &[26], &[]), "oid");
        assert!(!portable(&[], &[2249], &[]), "record");
        assert!(
            !portable(&[20000], &[23], &[]),
            "a parameter of a user's type"
        );
        assert!(portable(&[], &[20000], &[]), "an enum, as text");
        assert!(!portable(&[], &[20000], &[1]), "in binary");
        assert!(!portable(&[], &[20001], &[]), "a composite type");
        assert!(!portable(&[], &[23, 20000], &[0, 1]));
    }
}
