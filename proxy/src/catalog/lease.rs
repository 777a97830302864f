//! Until when what a process remembers of fresh may be taken for true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A lease that never ends.
const ENDLESS: u64 = u64::MAX;

/// The time up to which nobody commits anything that this process hasn't been told of, by the process's own monotonic clock (which goes on while the process
/// is stopped). Endless for a process that is told by nobody else, until [`Lease::renounce`] puts it under a control plane.
#[derive(Debug)]
pub struct Lease {
    origin: Instant,
    /// In nanoseconds after `origin`.
    until: AtomicU64,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            until: AtomicU64::new(ENDLESS),
        }
    }
}

impl Lease {
    /// Whether it is valid now. Cheap: for each statement.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == ENDLESS || self.nanoseconds(Instant::now()) < until
    }

    /// Makes it last until `until` at least.
    pub fn extend(&self, until: Instant) {
        self.until
            .fetch_max(self.nanoseconds(until).min(ENDLESS - 1), Ordering::AcqRel);
    }

    /// Ends it now.
    pub fn renounce(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// How long it is still valid.
    #[must_use]
    pub fn left(&self) -> Duration {
        let until = self.until.load(Ordering::Acquire);
        Duration::from_nanos(until.saturating_sub(self.nanoseconds(Instant::now())))
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(ENDLESS - 1)
    }
}

/// Whether a relation is dirty. Shared by all catalogs of a process; never taken back.
#[derive(Debug, Default)]
pub struct Mark {
    set: AtomicBool,
    lease: Arc<Lease>,
}

impl Mark {
    /// One that isn't set, and counts only while this lease is valid.
    #[must_use]
    pub fn new(lease: Arc<Lease>) -> Self {
        Self {
            set: AtomicBool::new(false),
            lease,
        }
    }

    /// Somebody has written to the relation, or is about to.
    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
    }

    /// Whether it's set, or might be without our knowing.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire) || !self.lease.is_valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_under_a_control_plane_is_valid_as_long_as_it_was_extended() {
        let lease = Arc::new(Lease::default());
        let mark = Mark::new(Arc::clone(&lease));
        assert!(lease.is_valid() && !mark.is_set());
        lease.renounce();
        assert!(!lease.is_valid() && mark.is_set());
        lease.extend(Instant::now() + Duration::from_secs(60));
        assert!(lease.is_valid() && !mark.is_set());
        assert!(lease.left() > Duration::from_secs(50));
        lease.extend(Instant::now());
        assert!(lease.is_valid(), "an extension shortened it");
        mark.set();
        assert!(mark.is_set());
        lease.renounce();
        assert_eq!(lease.left(), Duration::ZERO);
        lease.extend(Instant::now());
        assert!(!lease.is_valid());
    }
}
