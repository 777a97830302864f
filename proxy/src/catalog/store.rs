//! The catalog that all sessions of a process share: committed schema only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::load::Shared;
use super::model::Catalog;

/// The shared catalog and its version. A session that committed a schema change publishes a new one *before* its client hears of the commit.
#[derive(Debug, Default)]
pub struct Store {
    current: ArcSwap<Catalog>,
    version: AtomicU64,
    /// What all catalogs of the process share.
    pub shared: Shared,
}

impl Store {
    /// The newest published catalog.
    #[must_use]
    pub fn current(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// Its version: grows with each publication. Cheap, for a check at each statement.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Publishes a catalog.
    pub fn publish(&self, catalog: Arc<Catalog>) {
        self.current.store(catalog);
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
