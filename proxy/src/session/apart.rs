//! A copy-up in a short transaction of its own, on a connection of its own, so that nobody waits for the client's transaction.
//!
//! What it does is invisible (unchanged rows move up), so what fails here fails silently: the same copy-up runs again in the client's
//! transaction, where it waits as long as it has to, or finds nothing left to do. (Unless the client has cancelled its statement.)

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

use super::cancel::cancellable;
use super::conversation::{Apart, ApartStatement};
use crate::auth::backend::{self, Backend, CancelHandle, ConnectError};
use crate::net::pool::{Prepared, Statements};
use crate::net::target::Target;
use crate::net::tls::ClientTls;
use crate::wire::MessageError;
use crate::wire::frame::{Direction, FrameError, Limits, Next, Scanner};
use crate::wire::frontend::{self, Bind, Subject};

/// A session's connection for copy-ups apart: made when it is first needed, kept as long as the session.
#[derive(Debug, Clone)]
pub(crate) struct Helper {
    target: Target,
    tls: ClientTls,
    lock_timeout: Duration,
    connection: Arc<Mutex<Option<(Backend, Statements)>>>,
    /// How what the connection runs is cancelled.
    cancel: Arc<ArcSwapOption<CancelHandle>>,
}

/// Why a copy-up apart didn't run.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error("no connection to fresh for it")]
    Connect(#[from] ConnectError),
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a statement failed")]
    Statement,
}

impl Helper {
    /// `target`: fresh, as the app role. `lock_timeout`: how long it may wait for others.
    pub(crate) fn new(target: Target, tls: ClientTls, lock_timeout: Duration) -> Self {
        Self {
            target,
            tls,
            lock_timeout,
            connection: Arc::default(),
            cancel: Arc::default(),
        }
    }

    /// Runs the statements, whatever comes of it. `asked` changes when the client asks for a cancel, or has since its statement began.
    pub(crate) async fn run(self, apart: Apart, mut asked: watch::Receiver<()>) {
        let mut slot = self.connection.lock().await;
        let handle = || self.cancel.load().as_deref().cloned();
        let running = self.exchange(slot.take(), &apart);
        let (result, stopped) = cancellable(running, &mut asked, handle).await;
        self.cancel.store(None);
        // A connection is put back only when every answer was read, and no cancel request is on its way to it.
        match result {
            Ok(kept) if !stopped => *slot = Some(kept),
            Ok(_) => {}
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a copy-up did not run apart"
            ),
        }
    }

    async fn exchange(
        &self,
        kept: Option<(Backend, Statements)>,
        apart: &Apart,
    ) -> Result<(Backend, Statements), HelperError> {
        let mut out = BytesMut::new();
        let mut answers = apart.len();
        let (mut backend, mut statements) = match kept {
            Some(kept) => kept,
            None => {
                // What the client's own session holds must not be waited for without end.
                let settings = format!(
                    "SET lock_timeout = {}; SET previewpg.apart = 'on'",
                    self.lock_timeout.as_millis()
                );
                frontend::query(settings.as_bytes(), &mut out)?;
                answers += 1;
                let backend = backend::connect(&self.target, &[], &self.tls).await?;
                (backend, Statements::default())
            }
        };
        self.cancel.store(Some(Arc::new(backend.cancel_handle())));
        for statement in apart {
            write(statement, &mut statements, &mut out)?;
        }
        backend.stream.write_all(&out).await?;
        backend.stream.flush().await?;
        let mut scanner = Scanner::new(Direction::Backend, Limits::default());
        let mut failed = false;
        while answers > 0 {
            let scan = scanner.scan(&backend.leftover, |header| {
                failed |= header.tag == b'E';
                header.tag != b'Z'
            });
            let _ = backend.leftover.split_to(scan.pass);
            match scan.next {
                Next::Frame { header, present } if present == header.total() => {
                    let _ = backend.leftover.split_to(present);
                    scanner.take();
                    answers -= 1;
                }
                Next::Malformed(error) => return Err(error.into()),
                _ if scan.pass > 0 => {}
                _ => {
                    if backend.stream.read_buf(&mut backend.leftover).await? == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
        if failed {
            // Which of them are prepared isn't known any more.
            return Err(HelperError::Statement);
        }
        Ok((backend, statements))
    }
}

/// Writes one, prepared where it isn't yet, and Sync.
fn write(
    statement: &ApartStatement,
    statements: &mut Statements,
    out: &mut BytesMut,
) -> Result<(), MessageError> {
    let name = match statements.prepare(&statement.text, &statement.types) {
        Prepared::Known { name, .. } => name,
        Prepared::New { name, evicted } => {
            for evicted in evicted {
                frontend::close(Subject::Statement, evicted.as_bytes(), out)?;
            }
            frontend::parse(
                name.as_bytes(),
                statement.text.as_bytes(),
                statement.types.iter().copied(),
                out,
            )?;
            name
        }
    };
    Bind::read(&statement.bind)?.write(b"", name.as_bytes(), out)?;
    frontend::execute(b"", 0, out)?;
    frontend::sync(out);
    Ok(())
}
