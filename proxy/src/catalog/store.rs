//! The catalog that all sessions of a process share: committed schema only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use super::load::Shared;
use super::model::Catalog;

/// The shared catalog and its version. A session that committed a schema change publishes a new one *before* its client hears of the commit.
#[derive(Debug, Default)]
pub struct Store {
    current: ArcSwap<Catalog>,
    version: AtomicU64,
    /// Sessions of this process that have changed the schema and not published it.
    changing: AtomicUsize,
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

    /// How many sessions of this process are changing the schema: they have, and nobody knows yet what it is now.
    #[must_use]
    pub fn changing(&self) -> usize {
        self.changing.load(Ordering::Acquire)
    }

    /// Publishes a catalog.
    pub fn publish(&self, catalog: Arc<Catalog>) {
        self.current.store(catalog);
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}

/// A session that is changing the schema, until it's dropped.
#[derive(Debug)]
pub struct Changing(Arc<Store>);

impl Changing {
    /// Says so.
    #[must_use]
    pub fn new(store: &Arc<Store>) -> Self {
        store.changing.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(store))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changing.fetch_sub(1, Ordering::AcqRel);
    }
}
