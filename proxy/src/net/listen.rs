//! Accepting clients, up to a number, and draining.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::{AUTHENTICATION_TIMEOUT, Accepted, Greeted, Greeting, refuse};
use super::drain::{Drain, Shutdown};
use super::stream::Socket;
use crate::wire::report::Report;
use crate::wire::startup::CancelRequest;

/// Connections beyond the clients' number that may be in the making: to be told that it's full, or to bring a cancel request.
const BEYOND: usize = 64;
/// How long to wait after a failed accept.
const RETRY: Duration = Duration::from_millis(100);
/// How long a client has to say who it is when draining has begun in the middle of that: it's told, then.
const GREETING: Duration = Duration::from_millis(500);
/// How long sessions have to say goodbye when the limit of the drain has passed.
const GOODBYE: Duration = Duration::from_secs(2);

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix-domain socket.
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Socket> {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(s, _)| Socket::Tcp(s)),
                Self::Unix(listener) => listener.accept().await.map(|(s, _)| Socket::Unix(s)),
            };
            match accepted.and_then(|socket| socket.tune().map(|()| socket)) {
                Ok(socket) => return Ok(socket),
                Err(error) if is_lack(&error) => return Err(error),
                // This one left again before it was looked at.
                Err(error) => tracing::debug!(%error, "a connection was gone at once"),
            }
        }
    }
}

/// Whether there's too little of something (file descriptors, memory), so that accepting the next one fails as well.
fn is_lack(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(
        error.raw_os_error(),
        Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)
    )
}

/// What is done with those who come in.
pub trait Handler: Send + Sync + 'static {
    /// Logs a client in and converses with it until it leaves. It must watch `client.drain`.
    fn client(self: Arc<Self>, client: Client) -> impl Future<Output = ()> + Send;
    /// Cancels what a session runs. There's no answer.
    fn cancel(self: Arc<Self>, request: CancelRequest) -> impl Future<Output = ()> + Send;
}

/// A client's place among the clients; given back when dropped.
#[derive(Debug)]
pub struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that has a place.
#[derive(Debug)]
pub struct Client {
    /// Its connection and its StartupMessage.
    pub greeted: Greeted,
    /// When the login must be done.
    pub login_deadline: Instant,
    /// When it should end.
    pub drain: Drain,
    /// Its place: to be kept as long as the session.
    pub place: Place,
}

/// How clients are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// How clients are greeted.
    pub greeting: Greeting,
    /// How long transactions may go on when draining.
    pub drain_limit: Duration,
}

/// The places for clients, shared by all listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    taken: AtomicUsize,
    most: AtomicUsize,
    /// In milliseconds.
    login: AtomicU64,
    /// Room for connections; never taken back.
    connections: Arc<Semaphore>,
    room: Mutex<usize>,
}

impl Places {
    /// So many clients at most.
    #[must_use]
    pub fn new(max_clients: usize) -> Self {
        let max_clients = max_clients.min(Semaphore::MAX_PERMITS - BEYOND);
        Self(Arc::new(Limits {
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(max_clients),
            login: AtomicU64::new(milliseconds(AUTHENTICATION_TIMEOUT)),
            connections: Arc::new(Semaphore::new(max_clients + BEYOND)),
            room: Mutex::new(max_clients),
        }))
    }

    /// From now on so many clients at most, and so long for a login. Who has a place keeps it.
    pub fn set(&self, max_clients: usize, login: Duration) {
        let max_clients = max_clients.min(Semaphore::MAX_PERMITS - BEYOND);
        let limits = &self.0;
        limits.most.store(max_clients, Ordering::Relaxed);
        limits.login.store(milliseconds(login), Ordering::Relaxed);
        let mut room = limits.room.lock().unwrap_or_else(PoisonError::into_inner);
        if max_clients > *room {
            limits.connections.add_permits(max_clients - *room);
            *room = max_clients;
        }
    }

    /// How many clients there are.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Place> {
        let most = self.0.most.load(Ordering::Relaxed);
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = &self.0.taken;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Place(self.clone()))
    }

    fn login(&self) -> Duration {
        Duration::from_millis(self.0.login.load(Ordering::Relaxed))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Accepts clients until `shutdown` is asked to drain, then waits until all have left: transactions may go on up to the limit, then everything is ended.
pub async fn serve<H: Handler>(
    listener: Listener,
    options: Options,
    places: Places,
    handler: Arc<H>,
    shutdown: Shutdown,
) {
    let drain = shutdown.subscribe();
    let mut tasks = JoinSet::new();
    loop {
        let (socket, connection) = tokio::select! {
            biased;
            () = drain.draining() => break,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a session ended by a defect");
                }
                continue;
            }
            accepted = accept(&listener, &places.0.connections) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, for example: others must leave first.
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            },
        };
        tasks.spawn(converse(
            socket,
            connection,
            options.greeting.clone(),
            places.clone(),
            Arc::clone(&handler),
            drain.clone(),
        ));
    }
    // Who has connected already isn't cut off by the system without a word.
    while let Some(Ok((socket, connection))) =
        accept(&listener, &places.0.connections).now_or_never()
    {
        tasks.spawn(converse(
            socket,
            connection,
            options.greeting.clone(),
            places.clone(),
            Arc::clone(&handler),
            drain.clone(),
        ));
    }
    drop(listener);
    if timeout(options.drain_limit, everyone(&mut tasks))
        .await
        .is_err()
    {
        tracing::warn!(
            clients = tasks.len(),
            "ending transactions that did not end within the limit"
        );
        shutdown.end();
        if timeout(GOODBYE, everyone(&mut tasks)).await.is_err() {
            tasks.shutdown().await;
        }
    }
}

async fn everyone(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn accept(
    listener: &Listener,
    connections: &Arc<Semaphore>,
) -> io::Result<(Socket, OwnedSemaphorePermit)> {
    let connection = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((listener.accept().await?, connection))
}

async fn converse<H: Handler>(
    socket: Socket,
    _connection: OwnedSemaphorePermit,
    greeting: Greeting,
    places: Places,
    handler: Arc<H>,
    drain: Drain,
) {
    let login_deadline = Instant::now() + places.login();
    let accepted = tokio::select! {
        accepted = timeout_at(login_deadline, greeting.accept(socket)) => accepted,
        () = async {
            drain.draining().await;
            tokio::time::sleep(GREETING).await;
        } => return,
    };
    match accepted {
        Err(_) => tracing::debug!("a connection said nothing until the time limit"),
        Ok(Err(error)) => tracing::debug!(%error, "a connection was refused"),
        Ok(Ok(Accepted::Nothing)) => {}
        Ok(Ok(Accepted::Cancel(request))) => handler.cancel(request).await,
        Ok(Ok(Accepted::Client(mut greeted))) if drain.is_draining() => {
            refuse(&mut greeted.stream, &shutting_down()).await;
        }
        Ok(Ok(Accepted::Client(mut greeted))) => match places.take() {
            None => refuse(&mut greeted.stream, &too_many()).await,
            Some(place) => {
                let client = Client {
                    greeted,
                    login_deadline,
                    drain,
                    place,
                };
                handler.client(client).await;
            }
        },
    }
}

fn shutting_down() -> Report {
    Report::fatal("57P03", "the database system is shutting down")
}

fn too_many() -> Report {
    Report::fatal("53300", "sorry, too many clients already")
}

#[cfg(test)]
mod tests;
