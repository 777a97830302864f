//! What the operator counts, by Prometheus' conventions. Knows no HTTP.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Job {
    job: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Readiness {
    reason: String,
}

/// The process's counters. Cheap to update; shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    reconcile_seconds: Histogram,
    jobs: Family<Job, Counter>,
    job_seconds: Histogram,
    jobs_running: Gauge,
    previews: Family<Readiness, Gauge>,
    leader: Gauge,
    /// The reason under which each object is counted in `previews`, by UID.
    counted: Mutex<HashMap<String, String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("previewpg_operator");
        let reconciles = Family::<Outcome, Counter>::default();
        registry.register(
            "reconciles",
            "Reconciliations of PreviewDatabases, by result",
            reconciles.clone(),
        );
        let reconcile_seconds = Histogram::new((0..10).map(|n| 0.002 * 3_f64.powi(n)));
        registry.register(
            "reconcile_seconds",
            "Time that a reconciliation took",
            reconcile_seconds.clone(),
        );
        let jobs = Family::<Job, Counter>::default();
        registry.register(
            "database_jobs",
            "Work on databases, by kind and result",
            jobs.clone(),
        );
        let job_seconds = Histogram::new((0..12).map(|n| 0.02 * 2.5_f64.powi(n)));
        registry.register(
            "database_job_seconds",
            "Time that work on a database took",
            job_seconds.clone(),
        );
        let jobs_running = Gauge::default();
        registry.register(
            "database_jobs_running",
            "Databases that are worked on now",
            jobs_running.clone(),
        );
        let previews = Family::<Readiness, Gauge>::default();
        registry.register(
            "previews",
            "PreviewDatabases, by the reason of their condition Ready (Serving: ready)",
            previews.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader",
            "1 in the operator that holds the lease",
            leader.clone(),
        );
        Self {
            registry,
            reconciles,
            reconcile_seconds,
            jobs,
            job_seconds,
            jobs_running,
            previews,
            leader,
            counted: Mutex::default(),
        }
    }

    /// An object was reconciled.
    pub fn reconciled(&self, succeeded: bool, took: Duration) {
        let result = if succeeded { "success" } else { "error" };
        self.reconciles.get_or_create(&Outcome { result }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Work on a database begins. Counted as running for as long as the guard lives.
    #[must_use]
    pub fn job(self: &Arc<Self>, job: &'static str) -> RunningJob {
        self.jobs_running.inc();
        RunningJob {
            metrics: Arc::clone(self),
            job,
            result: "cancelled",
            began: std::time::Instant::now(),
        }
    }

    /// An object's condition Ready has this reason now.
    pub fn reason(&self, uid: &str, reason: &str) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.get(uid).is_some_and(|before| before == reason) {
            return;
        }
        if let Some(before) = counted.insert(uid.to_owned(), reason.to_owned()) {
            self.gauge(&before).dec();
        }
        self.gauge(reason).inc();
    }

    /// An object is gone.
    pub fn forget(&self, uid: &str) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = counted.remove(uid) {
            self.gauge(&before).dec();
        }
    }

    fn gauge(&self, reason: &str) -> Gauge {
        self.previews.get_or_create_owned(&Readiness {
            reason: reason.to_owned(),
        })
    }

    /// Whether this process holds the lease.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All of it in OpenMetrics' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            let _ = writeln!(out, "# incomplete");
        }
        out
    }
}

/// Work on a database that is going on.
#[derive(Debug)]
pub struct RunningJob {
    metrics: Arc<Metrics>,
    job: &'static str,
    result: &'static str,
    began: std::time::Instant,
}

impl RunningJob {
    /// It came to its end.
    pub fn ended(mut self, succeeded: bool) {
        self.result = if succeeded { "success" } else { "error" };
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let label = Job {
            job: self.job,
            result: self.result,
        };
        self.metrics.jobs.get_or_create(&label).inc();
        self.metrics
            .job_seconds
            .observe(self.began.elapsed().as_secs_f64());
        self.metrics.jobs_running.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_with_the_names_of_the_documentation() {
        let metrics = Arc::new(Metrics::new());
        metrics.reconciled(true, Duration::from_millis(3));
        metrics.job("bring_up").ended(true);
        drop(metrics.job("sync"));
        metrics.reason("a", "Reconciling");
        metrics.reason("a", "Serving");
        metrics.reason("b", "Serving");
        metrics.reason("c", "Serving");
        metrics.forget("c");
        metrics.leads(true);
        let text = metrics.render();
        for line in [
            "previewpg_operator_reconciles_total{result=\"success\"} 1",
            "previewpg_operator_reconcile_seconds_count 1",
            "previewpg_operator_database_jobs_total{job=\"bring_up\",result=\"success\"} 1",
            "previewpg_operator_database_jobs_total{job=\"sync\",result=\"cancelled\"} 1",
            "previewpg_operator_database_jobs_running 0",
            "previewpg_operator_previews{reason=\"Serving\"} 2",
            "previewpg_operator_previews{reason=\"Reconciling\"} 0",
            "previewpg_operator_leader 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in:\n{text}"
            );
        }
    }
}
