//! Accepting clients, up to a number, and draining.

use std::io;
use std::sync::Arc;
use std::time::Duration;

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
pub struct Place(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

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
pub struct Places {
    clients: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    max_clients: usize,
}

impl Places {
    /// So many clients at most.
    #[must_use]
    pub fn new(max_clients: usize) -> Self {
        let max_clients = max_clients.min(Semaphore::MAX_PERMITS - BEYOND);
        Self {
            clients: Arc::new(Semaphore::new(max_clients)),
            connections: Arc::new(Semaphore::new(max_clients + BEYOND)),
            max_clients,
        }
    }

    /// How many clients there are.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.max_clients - self.clients.available_permits().min(self.max_clients)
    }
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
            accepted = accept(&listener, &places.connections) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, for example: others must leave first.
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            },
        };
        let conversation = converse(
            socket,
            options.greeting.clone(),
            Arc::clone(&places.clients),
            Arc::clone(&handler),
            drain.clone(),
        );
        tasks.spawn(async move {
            conversation.await;
            drop(connection);
        });
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
    greeting: Greeting,
    clients: Arc<Semaphore>,
    handler: Arc<H>,
    drain: Drain,
) {
    let login_deadline = Instant::now() + AUTHENTICATION_TIMEOUT;
    let accepted = tokio::select! {
        accepted = timeout_at(login_deadline, greeting.accept(socket)) => accepted,
        () = drain.draining() => return,
    };
    match accepted {
        Err(_) => tracing::debug!("a connection said nothing until the time limit"),
        Ok(Err(error)) => tracing::debug!(%error, "a connection was refused"),
        Ok(Ok(Accepted::Nothing)) => {}
        Ok(Ok(Accepted::Cancel(request))) => handler.cancel(request).await,
        Ok(Ok(Accepted::Client(mut greeted))) => match clients.try_acquire_owned() {
            Err(_) => refuse(&mut greeted.stream, &too_many()).await,
            Ok(place) => {
                let client = Client {
                    greeted,
                    login_deadline,
                    drain,
                    place: Place(place),
                };
                handler.client(client).await;
            }
        },
    }
}

fn too_many() -> Report {
    Report::fatal("53300", "sorry, too many clients already")
}

#[cfg(test)]
mod tests;
