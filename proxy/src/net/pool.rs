//! Production's read-only sessions: few, logged in, handed out in turn.
//!
//! A session is given back only by who knows that it is idle and outside of a transaction; dropped in any other state it is
//! closed and what it runs is cancelled. When production can't be reached, nobody tries again before a back-off has passed, and
//! everybody is told the last error meanwhile.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::stream::Stream;
use super::target::Target;
use super::tls::ClientTls;
use crate::auth::backend::{self, Backend, CancelHandle, ConnectError};
use crate::wire::report::Report;

mod statements;

pub use statements::{Prepared, Statements};

/// The first wait after a failure to connect; it doubles up to [`BACK_OFF_MOST`].
const BACK_OFF_LEAST: Duration = Duration::from_millis(200);
/// The longest wait.
const BACK_OFF_MOST: Duration = Duration::from_secs(10);

/// The pool's limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// So many sessions at most. At least 1.
    pub size: usize,
    /// How long a checkout may wait for a session of others.
    pub checkout_timeout: Duration,
    /// A session idle for longer is closed.
    pub idle_limit: Duration,
    /// A session older is closed when it's given back.
    pub lifetime: Duration,
    /// `statement_timeout` on production; zero: none.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: 10,
            checkout_timeout: Duration::from_secs(30),
            idle_limit: Duration::from_secs(60),
            lifetime: Duration::from_secs(30 * 60),
            statement_timeout: Duration::ZERO,
        }
    }
}

/// Why there's no session.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// All are in use, for the whole time limit.
    #[error("all {size} production sessions have been in use for {} s", waited.as_secs())]
    Exhausted {
        /// The pool's size.
        size: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// Production can't be reached or doesn't let us in.
    #[error("production cannot be reached")]
    Unavailable(#[source] Arc<ConnectError>),
}

impl PoolError {
    /// What a client is told: an `ERROR`, so that what doesn't need production goes on.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Exhausted { .. } => Report::error("53300", self.to_string())
                .detail("This statement reads production, and other clients' statements hold all of the preview's sessions there.")
                .hint("Try again later, or raise the number of production sessions of the preview."),
            Self::Unavailable(error) => Report::error("08006", self.to_string())
                .detail(sentence(error))
                .hint("What does not need production goes on; try again when production is reachable."),
        }
    }
}

fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sessions checked out.
    pub in_use: usize,
    /// Sessions idle.
    pub idle: usize,
    /// Who waits for a session.
    pub waiting: usize,
    /// The limit.
    pub size: usize,
}

/// A session at production. It is read-only (`default_transaction_read_only`).
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub stream: Stream,
    /// What was read from the connection and not yet looked at. Empty on checkout.
    pub buffer: BytesMut,
    /// The parameters that production reported, kept up to date by who reads them.
    pub parameters: Vec<(String, String)>,
    /// Which settings were last applied, in the words of who applied them; `None`: those of the login.
    pub settings: Option<Arc<str>>,
    /// The statements prepared on this session.
    pub statements: Statements,
    cancel: CancelHandle,
    connected: Instant,
    number: u64,
}

/// The next session's number.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Session {
    fn new(backend: Backend) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            cancel: backend.cancel_handle(),
            stream: backend.stream,
            buffer: backend.leftover,
            parameters: backend.parameters,
            settings: None,
            statements: Statements::default(),
            connected: Instant::now(),
        }
    }

    /// What it can be asked for by, see [`Pool::checkout_again`]. Not zero.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How what it runs is cancelled.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Whether it can be used: the connection stands, and nothing came that nobody asked for.
    async fn is_quiet(&mut self) -> bool {
        self.buffer.is_empty() && self.stream.is_quiet().await
    }
}

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Target,
    tls: ClientTls,
    options: Options,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The session given back last is at the end and is taken first.
    idle: Mutex<Vec<(Session, Instant)>>,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug, Clone)]
struct Failure {
    error: Arc<ConnectError>,
    back_off: Duration,
    until: Instant,
}

impl Pool {
    /// A pool of sessions at `target`; none is connected yet. To be called inside a tokio runtime: idle sessions are closed by a task of it, which ends with the pool.
    #[must_use]
    pub fn new(target: Target, tls: ClientTls, options: Options) -> Self {
        let size = options.size.clamp(1, Semaphore::MAX_PERMITS);
        let inner = Arc::new(Inner {
            target,
            tls,
            places: Arc::new(Semaphore::new(size)),
            options: Options { size, ..options },
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
            failure: Mutex::default(),
        });
        let weak = Arc::downgrade(&inner);
        let period = inner.options.idle_limit.max(Duration::from_millis(50)) / 2;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                match weak.upgrade() {
                    Some(inner) => inner.close_idle(),
                    None => return,
                }
            }
        });
        Self(inner)
    }

    /// Takes a session: an idle one whose connection stands, or a new one. Whoever came first is served first.
    ///
    /// # Errors
    /// When none is free within the time limit, or production can't be reached.
    pub async fn checkout(&self) -> Result<Checkout, PoolError> {
        let place = self.place().await?;
        let inner = &self.0;
        while let Some(mut session) = inner.pop(0) {
            if session.is_quiet().await {
                return Ok(Checkout::new(Arc::clone(inner), session, place));
            }
        }
        let session = inner.connect().await?;
        Ok(Checkout::new(Arc::clone(inner), session, place))
    }

    /// The same, with the session of this number (see [`Session::number`]) if it is idle. An idle session isn't looked at: its connection may have been
    /// lost since it was given back, so who asks must be able to try again by [`Pool::checkout`].
    ///
    /// # Errors
    /// As for [`Pool::checkout`].
    pub async fn checkout_again(&self, number: u64) -> Result<Checkout, PoolError> {
        let place = self.place().await?;
        let inner = &self.0;
        let session = match inner.pop(number) {
            Some(session) => session,
            None => inner.connect().await?,
        };
        Ok(Checkout::new(Arc::clone(inner), session, place))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let inner = &self.0;
        let place = if let Ok(place) = Arc::clone(&inner.places).try_acquire_owned() {
            Ok(Ok(place))
        } else {
            let _waiting = Waiting::new(&inner.waiting);
            timeout(
                inner.options.checkout_timeout,
                Arc::clone(&inner.places).acquire_owned(),
            )
            .await
        };
        let Ok(Ok(place)) = place else {
            return Err(PoolError::Exhausted {
                size: inner.options.size,
                waited: inner.options.checkout_timeout,
            });
        };
        Ok(place)
    }

    /// Why production couldn't be reached, if the last attempt failed. Without secrets.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        lock(&self.0.failure)
            .as_ref()
            .map(|failure| sentence(&failure.error))
    }

    /// Figures for metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let size = self.0.options.size;
        Counts {
            in_use: size.saturating_sub(self.0.places.available_permits()),
            idle: lock(&self.0.idle).len(),
            waiting: self.0.waiting.load(Ordering::Relaxed),
            size,
        }
    }
}

impl Inner {
    fn pop(&self, number: u64) -> Option<Session> {
        self.close_idle();
        let mut idle = lock(&self.idle);
        let asked = idle
            .iter()
            .position(|(session, _)| session.number == number);
        let taken = match asked {
            Some(index) => Some(idle.remove(index)),
            None => idle.pop(),
        };
        taken.map(|(session, _)| session)
    }

    fn close_idle(&self) {
        let limit = self.options.idle_limit;
        lock(&self.idle).retain(|(_, since)| since.elapsed() < limit);
    }

    async fn connect(&self) -> Result<Session, PoolError> {
        if let Some(failure) = lock(&self.failure).as_ref()
            && Instant::now() < failure.until
        {
            return Err(PoolError::Unavailable(Arc::clone(&failure.error)));
        }
        match backend::connect(&self.target, &self.parameters(), &self.tls).await {
            Ok(backend) => {
                *lock(&self.failure) = None;
                Ok(Session::new(backend))
            }
            Err(error) => {
                let error = Arc::new(error);
                let mut failure = lock(&self.failure);
                let now = Instant::now();
                // Several that failed at the same time count once.
                let back_off = match failure.as_ref() {
                    Some(failure) if now < failure.until => failure.back_off,
                    Some(failure) => (failure.back_off * 2).min(BACK_OFF_MOST),
                    None => BACK_OFF_LEAST,
                };
                *failure = Some(Failure {
                    error: Arc::clone(&error),
                    back_off,
                    until: now + back_off,
                });
                Err(PoolError::Unavailable(error))
            }
        }
    }

    fn parameters(&self) -> Vec<(String, String)> {
        let mut parameters = vec![
            ("default_transaction_read_only", "on".to_owned()),
            ("application_name", "previewpg".to_owned()),
        ];
        let timeout = self.options.statement_timeout.as_millis();
        if timeout > 0 {
            parameters.push(("statement_timeout", timeout.to_string()));
        }
        parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// A session checked out. Give it back when it is idle and outside of a transaction; dropped, it's closed and what it runs is cancelled.
#[derive(Debug)]
pub struct Checkout {
    /// The session.
    pub session: Session,
    guard: Guard,
    place: OwnedSemaphorePermit,
}

/// Cancels what the session runs, unless it was given back.
#[derive(Debug)]
struct Guard {
    pool: Arc<Inner>,
    cancel: Option<CancelHandle>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = cancel.cancel().await {
                    tracing::debug!(%error, "cannot cancel at production");
                }
            });
        }
    }
}

impl Checkout {
    fn new(pool: Arc<Inner>, session: Session, place: OwnedSemaphorePermit) -> Self {
        let cancel = Some(session.cancel_handle());
        Self {
            session,
            guard: Guard { pool, cancel },
            place,
        }
    }

    /// Gives the session back. It must be idle, outside of a transaction, with every answer read.
    pub fn give_back(self) {
        let Self {
            session,
            mut guard,
            place,
        } = self;
        guard.cancel = None;
        let pool = &guard.pool;
        if session.buffer.is_empty() && session.connected.elapsed() < pool.options.lifetime {
            lock(&pool.idle).push((session, Instant::now()));
        }
        // The place last: whoever gets it shall find the session.
        drop(place);
    }
}

impl Deref for Checkout {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Checkout {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is valid at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a waiter for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
