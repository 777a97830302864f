//! How a session learns that it should end.
//!
//! 1. *Draining*: no new clients; a session ends (57P01) as soon as it is outside of a transaction.
//! 2. *Ending*: the limit has passed; every session ends now (57P01), its transaction rolled back.

use tokio::sync::watch;

use crate::wire::report::Report;

/// What is asked of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Ending,
}

/// Tells sessions to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<Phase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Shutdown {
    /// Asks sessions to end once they are outside of a transaction.
    pub fn drain(&self) {
        self.raise(Phase::Draining);
    }

    /// Asks sessions to end now.
    pub fn end(&self) {
        self.raise(Phase::Ending);
    }

    /// What sessions hold.
    #[must_use]
    pub fn subscribe(&self) -> Drain {
        Drain(self.0.subscribe())
    }

    fn raise(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let raised = *phase < to;
            *phase = (*phase).max(to);
            raised
        });
    }
}

/// A session's end of it. All futures here are safe to drop.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

impl Drain {
    /// Whether the session should end once it is outside of a transaction.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether the session should end now.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.0.borrow() >= Phase::Ending
    }

    /// Waits until the session should end once it is outside of a transaction.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the session should end now.
    pub async fn ending(&self) {
        self.reached(Phase::Ending).await;
    }

    async fn reached(&self, phase: Phase) {
        if self.0.clone().wait_for(|now| *now >= phase).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

/// What a client is told: PostgreSQL's own words.
#[must_use]
pub fn admin_shutdown() -> Report {
    Report::fatal(
        "57P01",
        "terminating connection due to administrator command",
    )
}
