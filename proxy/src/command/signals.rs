//! SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CommandError;

/// Both signals; from now on they don't end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to receive them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, CommandError> {
        let receive = |kind| signal(kind).map_err(CommandError::Signals);
        Ok(Self {
            interrupt: receive(SignalKind::interrupt())?,
            terminate: receive(SignalKind::terminate())?,
        })
    }

    /// The next one's name. Safe to drop.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.terminate.recv() => "SIGTERM",
            else => std::future::pending().await,
        }
    }

    /// Works until a signal comes.
    ///
    /// # Errors
    /// `Interrupted` when one came, else as the work says.
    pub async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        tokio::select! {
            result = work => result,
            name = self.next() => {
                tracing::info!(signal = name, "ending");
                Err(CommandError::Interrupted)
            }
        }
    }
}
