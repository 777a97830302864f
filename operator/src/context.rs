//! What reconciling needs beside the object: clients, caches, and what's remembered of objects.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::ObjectRef;

use crate::api::{PreviewDatabase, PreviewDatabaseStatus, ReclaimPolicy};
use crate::apply::Growth;
use crate::build::family::Defaults;
use crate::children::{Children, Ledger};
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::secrets::Reader;

/// The object as it's watched: one that can't be read doesn't keep the others from being reconciled.
pub type Watched = DeserializeGuard<PreviewDatabase>;

/// What the operator was started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What children show of it.
    pub defaults: Defaults,
    /// Managed servers are reached by their Services' addresses.
    pub fresh_by_address: bool,
    /// Secrets and ConfigMaps are watched, so that none is read without a change.
    pub watch_secrets: bool,
    /// How long a deleted object waits for its database to be dropped.
    pub cleanup_within: Duration,
    /// The directory of `pg_dump` and `pg_restore`.
    pub programs: Option<PathBuf>,
}

/// What reconciling needs.
pub struct Context {
    /// Towards the API server.
    pub client: Client,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// What watches know of children.
    pub children: Children,
    /// What was applied.
    pub ledger: Ledger,
    /// Reads Secrets.
    pub reader: Reader,
    /// Work on databases.
    pub jobs: Arc<Jobs<ObjectRef<Watched>>>,
    /// Writes events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What's remembered of objects.
    pub memory: Memory,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// An object is gone.
    pub fn forget(&self, uid: &str) {
        self.ledger.forget(uid);
        self.jobs.forget(uid);
        self.memory.forget(uid);
        self.reader.forget_user(uid);
        self.metrics.forget(uid);
    }
}

/// What's remembered of objects, by UID, from one reconciliation to the next.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Clone, Default)]
struct Remembered {
    /// A hash of what its owner writes.
    asked: u64,
    /// For which of those the names of all its children were found to be free.
    checked: Option<u64>,
    /// How many times in a row reconciling it has failed.
    failures: u32,
    /// How many times in a row the API server has refused what it needs.
    refusals: u32,
    /// What was made of its managed volume's owner.
    claim: Option<ReclaimPolicy>,
    /// The size that its managed volume should grow to.
    growth: Option<Growing>,
    /// The last change of production that was told of.
    brought_in: Option<String>,
    /// The status that was written last: watches may be behind.
    status: Option<PreviewDatabaseStatus>,
}

/// A managed volume that should grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growing {
    /// To which size.
    pub size: String,
    /// When that was last asked for, and what came of it.
    pub tried: Option<(Instant, Growth)>,
}

impl Memory {
    /// Whether the owner has written something since the last call; `asked` is a hash of it.
    pub fn is_changed(&self, uid: &str, asked: u64) -> bool {
        let mut memory = self.lock();
        let remembered = memory.entry(uid.to_owned()).or_default();
        let changed = remembered.asked != asked;
        remembered.asked = asked;
        changed
    }

    /// Whether the names of all its children were found to be free, for what its owner asks.
    #[must_use]
    pub fn is_checked(&self, uid: &str, asked: u64) -> bool {
        self.lock().get(uid).and_then(|of| of.checked) == Some(asked)
    }

    /// The names of all its children were found to be free.
    pub fn checked(&self, uid: &str, asked: u64) {
        self.lock().entry(uid.to_owned()).or_default().checked = Some(asked);
    }

    /// Reconciling it has failed; returns how many times in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut memory = self.lock();
        let remembered = memory.entry(uid.to_owned()).or_default();
        remembered.failures = remembered.failures.saturating_add(1);
        // What was asked isn't done.
        remembered.asked = 0;
        remembered.failures
    }

    /// Reconciling it has succeeded.
    pub fn succeeded(&self, uid: &str) {
        if let Some(remembered) = self.lock().get_mut(uid) {
            remembered.failures = 0;
        }
    }

    /// The API server has refused what it needs; returns how many times in a row.
    pub fn refused(&self, uid: &str) -> u32 {
        let mut memory = self.lock();
        let remembered = memory.entry(uid.to_owned()).or_default();
        remembered.refusals = remembered.refusals.saturating_add(1);
        remembered.refusals
    }

    /// The API server has refused nothing.
    pub fn accepted(&self, uid: &str) {
        if let Some(remembered) = self.lock().get_mut(uid) {
            remembered.refusals = 0;
        }
    }

    /// Whether its managed volume's owner is as this policy wants it.
    #[must_use]
    pub fn is_claim_left(&self, uid: &str, policy: ReclaimPolicy) -> bool {
        self.lock().get(uid).and_then(|of| of.claim) == Some(policy)
    }

    /// Its managed volume's owner was made as this policy wants it; `None`: it may be another volume by now.
    pub fn claim_left(&self, uid: &str, policy: Option<ReclaimPolicy>) {
        self.lock().entry(uid.to_owned()).or_default().claim = policy;
    }

    /// Its managed volume should grow to this size.
    pub fn grows(&self, uid: &str, size: String) {
        let mut memory = self.lock();
        let growth = &mut memory.entry(uid.to_owned()).or_default().growth;
        if growth.as_ref().is_none_or(|growing| growing.size != size) {
            *growth = Some(Growing { size, tried: None });
        }
    }

    /// Whether and how its managed volume should grow.
    #[must_use]
    pub fn growing(&self, uid: &str) -> Option<Growing> {
        self.lock().get(uid)?.growth.clone()
    }

    /// A larger managed volume was asked for.
    pub fn growth_tried(&self, uid: &str, outcome: Growth) {
        let mut memory = self.lock();
        let Some(remembered) = memory.get_mut(uid) else {
            return;
        };
        if outcome == Growth::Asked {
            remembered.growth = None;
        } else if let Some(growing) = &mut remembered.growth {
            growing.tried = Some((Instant::now(), outcome));
        }
    }

    /// Whether this is told for the first time.
    pub fn is_news(&self, uid: &str, text: &str) -> bool {
        let mut memory = self.lock();
        let remembered = memory.entry(uid.to_owned()).or_default();
        let news = remembered.brought_in.as_deref() != Some(text);
        remembered.brought_in = Some(text.to_owned());
        news
    }

    /// This status was written.
    pub fn told(&self, uid: &str, status: &PreviewDatabaseStatus) {
        self.lock().entry(uid.to_owned()).or_default().status = Some(status.clone());
    }

    /// The status that was written last, by this process.
    #[must_use]
    pub fn last_told(&self, uid: &str) -> Option<PreviewDatabaseStatus> {
        self.lock().get(uid)?.status.clone()
    }

    fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
