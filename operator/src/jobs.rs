//! Work on databases, beside reconciling: a slow database keeps nobody else waiting.
//!
//! Each object has at most one piece of work at a time; reconciling starts it, asks how it is, and is woken when it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::database::{At, Done, Failure, Inputs, Work, work};
use crate::metrics::Metrics;

/// The shortest and the longest time before what failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// What has become of the latest work for an object.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What it was.
    pub work: Work,
    /// The inputs that it was done for.
    pub key: u64,
    /// When it ended.
    pub at: Instant,
    /// How it ended.
    pub result: Result<Done, Failure>,
    /// How many times in a row it has failed.
    pub failures: u32,
}

impl Ended {
    /// How long after its end it's to be tried again, if it failed.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let (shortest, longest) = RETRY;
        shortest
            .saturating_mul(1 << self.failures.saturating_sub(1).min(8))
            .min(longest)
    }
}

/// How it's with an object's work.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What runs, and where it is.
    pub running: Option<(Work, String)>,
    /// It has reached both databases, and found them to be the right ones.
    pub reached: bool,
    /// What ended last.
    pub ended: Option<Ended>,
}

struct Running {
    work: Work,
    key: u64,
    at: At,
    abort: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

#[derive(Default)]
struct Entry {
    running: Option<Running>,
    ended: Option<Ended>,
    /// Counts what was started, so that an end is noted by what was started last only.
    turn: u64,
}

/// All objects' work. `I` identifies an object to whoever is woken.
pub struct Jobs<I> {
    entries: Mutex<HashMap<String, Entry>>,
    permits: Arc<Semaphore>,
    wake: mpsc::UnboundedSender<I>,
    metrics: Arc<Metrics>,
}

impl<I> std::fmt::Debug for Jobs<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl<I: Clone + Send + Sync + 'static> Jobs<I> {
    /// No work. `permits` bounds how much runs at a time; whose work has reached its databases, or has ended, is sent to `wake`.
    #[must_use]
    pub fn new(
        permits: Arc<Semaphore>,
        wake: mpsc::UnboundedSender<I>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            permits,
            wake,
            metrics,
        })
    }

    /// How it's with an object's work.
    #[must_use]
    pub fn state(&self, uid: &str) -> State {
        self.lock()
            .get(uid)
            .map_or_else(State::default, |entry| State {
                reached: entry
                    .running
                    .as_ref()
                    .is_some_and(|running| running.at.reached()),
                running: entry
                    .running
                    .as_ref()
                    .map(|running| (running.work.clone(), running.at.get())),
                ended: entry.ended.clone(),
            })
    }

    /// Whether work for these inputs runs.
    #[must_use]
    pub fn runs(&self, uid: &str, key: u64) -> bool {
        self.lock()
            .get(uid)
            .and_then(|entry| entry.running.as_ref())
            .is_some_and(|running| running.key == key)
    }

    /// Starts work; what runs for the object is cancelled.
    pub fn start(self: &Arc<Self>, uid: &str, object: I, inputs: Inputs, what: Work) {
        let key = inputs.key();
        let at = At::new({
            let (wake, object) = (self.wake.clone(), object.clone());
            move || {
                // Who isn't there any more needn't be woken.
                let _ = wake.send(object.clone());
            }
        });
        at.set("waiting for its turn");
        let mut entries = self.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.turn += 1;
        let turn = entry.turn;
        let task = tokio::spawn({
            let (jobs, uid, what, at) =
                (Arc::clone(self), uid.to_owned(), what.clone(), at.clone());
            async move {
                let Ok(permit) = Arc::clone(&jobs.permits).acquire_owned().await else {
                    return;
                };
                at.set("connecting");
                let running = jobs.metrics.job(what.name());
                let result = work(&inputs, &what, &at).await;
                drop(permit);
                running.ended(result.is_ok());
                jobs.end(&uid, turn, what, key, result);
                let _ = jobs.wake.send(object);
            }
        });
        entry.running = Some(Running {
            work: what,
            key,
            at,
            abort: task.abort_handle(),
        });
    }

    fn end(&self, uid: &str, turn: u64, work: Work, key: u64, result: Result<Done, Failure>) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid).filter(|entry| entry.turn == turn) else {
            return;
        };
        let failures = match (&result, &entry.ended) {
            (Ok(_), _) => 0,
            (Err(_), Some(before)) if before.key == key => before.failures.saturating_add(1),
            (Err(_), _) => 1,
        };
        entry.running = None;
        entry.ended = Some(Ended {
            work,
            key,
            at: Instant::now(),
            result,
            failures,
        });
    }

    /// Has what runs for an object come to its first step.
    #[cfg(test)]
    pub fn step(&self, uid: &str) {
        use previewpg_proxy::preview::Progress as _;
        if let Some(running) = self
            .lock()
            .get(uid)
            .and_then(|entry| entry.running.as_ref())
        {
            running.at.clone().step(0, 9, "schema");
        }
    }

    /// The object is gone: its work is cancelled and forgotten.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
