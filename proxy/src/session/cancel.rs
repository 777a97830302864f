//! Cancel requests: a client's is for what its statement runs on, and for nothing else. A request on its way to a database may reach what that runs next, and that may be another statement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, interval};

use crate::auth::backend::CancelHandle;
use crate::wire::report::Report;

/// How long a cancel may take before it's asked for again: PostgreSQL ignores one that comes between two messages.
const AGAIN: Duration = Duration::from_millis(500);

/// Where a session's cancel requests are taken.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    /// Changes with each request.
    asked: watch::Sender<()>,
    /// The statement runs on another connection than the session's own to fresh: whoever runs it there has it cancelled.
    elsewhere: AtomicBool,
}

impl Cancels {
    /// A request came; gives whether it's for the session's connection to fresh.
    pub(crate) fn ask(&self) -> bool {
        self.asked.send_replace(());
        !self.elsewhere.load(Ordering::Acquire)
    }

    /// The requests that come from now on.
    pub(crate) fn asked(&self) -> watch::Receiver<()> {
        self.asked.subscribe()
    }

    /// Where the statement runs from now on.
    pub(crate) fn runs_elsewhere(&self, elsewhere: bool) {
        self.elsewhere.store(elsewhere, Ordering::Release);
    }
}

/// The error that a cancelled statement ends with.
pub(crate) fn canceled() -> Report {
    Report::error("57014", "canceling statement due to user request")
}

/// Runs something to its end; once a cancel is asked for, has what `handle` gives cancelled until then. Gives whether one was asked for.
pub(crate) async fn cancellable<T>(
    running: impl Future<Output = T>,
    asked: &mut watch::Receiver<()>,
    handle: impl Fn() -> Option<CancelHandle>,
) -> (T, bool) {
    let mut cancels: Option<Interval> = None;
    tokio::pin!(running);
    loop {
        tokio::select! {
            result = &mut running => return (result, cancels.is_some()),
            Ok(()) = asked.changed() => {
                cancels.get_or_insert_with(|| interval(AGAIN));
            }
            () = tick(cancels.as_mut()) => {
                let Some(handle) = handle() else {
                    continue;
                };
                tokio::spawn(async move {
                    if let Err(error) = handle.cancel().await {
                        tracing::warn!(%error, "a cancel request did not reach the database");
                    }
                });
            }
        }
    }
}

/// The next time to ask for a cancel, if one is wanted at all.
async fn tick(cancels: Option<&mut Interval>) {
    match cancels {
        Some(cancels) => {
            cancels.tick().await;
        }
        None => std::future::pending().await,
    }
}
