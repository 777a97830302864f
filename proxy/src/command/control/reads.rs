//! Waiting, before the schema changes, for what this process's sessions read by names that nothing holds, see [`crate::catalog::unheld`].

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{Control, within};
use crate::command::error::CommandError;
use crate::replicas::line::Line;

/// How long a read is waited for that fresh doesn't begin. Less than a lease: another replica may be waiting for this one's acknowledgement.
const BEGUN_WITHIN: Duration = Duration::from_millis(1500);

/// How long most of them take to be answered; then fresh is asked what they have locked.
const FIRST_LOOK: Duration = Duration::from_millis(3);

/// How long it may be until it's asked once more.
const LAST_LOOK: Duration = Duration::from_millis(50);

impl Control {
    /// Waits until fresh has read the names of what was sent before somebody was known to change the schema, and passes over what it hasn't so long after `since`. `own`: the process of
    /// the session that changes it.
    pub(super) async fn reads_begun(
        &self,
        line: &Line,
        since: Instant,
        own: Option<u32>,
    ) -> Result<(), CommandError> {
        let unheld = &self.store.unheld;
        let deadline = since + BEGUN_WITHIN;
        let mut wait = FIRST_LOOK;
        while timeout(wait, unheld.gone(own)).await.is_err() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(
                    "fresh doesn't begin a read; its session is ended, for another one changes the schema"
                );
                unheld.overtake(own);
                break;
            }
            let locked = within(left, line.locked(&unheld.processes(own))).await?;
            unheld.have_locked(&locked);
            wait = (wait * 2).min(LAST_LOOK);
        }
        Ok(())
    }
}
