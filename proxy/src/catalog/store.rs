//! The catalog that all sessions of a process share: committed schema only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use super::load::Shared;
use super::model::Catalog;
use super::unheld::Unheld;

/// The shared catalog and its version. A session that committed a schema change publishes a new one *before* its client hears of the commit.
#[derive(Debug, Default)]
pub struct Store {
    current: ArcSwap<Catalog>,
    version: AtomicU64,
    /// Sessions of this process that are changing the schema, or about to, and haven't published it.
    changing: AtomicUsize,
    /// There are such sessions of other processes.
    changing_elsewhere: AtomicBool,
    /// Reads of its sessions whose names nothing holds.
    pub unheld: Arc<Unheld>,
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

    /// How many sessions of this process are changing the schema: they may have, and nobody knows yet what it is now.
    #[must_use]
    pub fn changing(&self) -> usize {
        self.changing.load(Ordering::Acquire)
    }

    /// Whether sessions of other processes are.
    #[must_use]
    pub fn is_changing_elsewhere(&self) -> bool {
        self.changing_elsewhere.load(Ordering::Acquire)
    }

    /// Takes what other processes say of theirs.
    pub fn set_changing_elsewhere(&self, changing: bool) {
        self.changing_elsewhere.store(changing, Ordering::Release);
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

    /// It never ends: another session, perhaps of another process, is to end the transaction.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changing.fetch_sub(1, Ordering::AcqRel);
    }
}
