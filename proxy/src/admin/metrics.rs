//! What is counted, by Prometheus' conventions. Knows no HTTP.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::catalog::lease::Lease;

/// Where a statement ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// On fresh, as the client wrote it.
    Fresh,
    /// On production, directly.
    Production,
    /// On fresh, over merged rows.
    Merged,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Placed {
    placement: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Construct {
    construct: &'static str,
}

/// The process's counters. Cheap to update; shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: Gauge,
    connections_total: Counter,
    /// Of [`Placement`]'s values, in order: no look-up by label for each statement.
    statements: [Counter; 3],
    rewrite: Histogram,
    copied_up: Counter,
    production_sessions: Gauge,
    refusals: Family<Construct, Counter>,
    replicas: Gauge,
    replicas_expired: Counter,
    lease_valid: Gauge,
    lease: OnceLock<Arc<Lease>>,
    acknowledgements: Histogram,
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
        let mut registry = Registry::with_prefix("previewpg");
        let connections = Gauge::default();
        registry.register("connections", "Clients connected now", connections.clone());
        let connections_total = Counter::default();
        registry.register(
            "connections_accepted",
            "Clients that logged in",
            connections_total.clone(),
        );
        let statements = Family::<Placed, Counter>::default();
        registry.register(
            "statements",
            "Statements run, by where they ran",
            statements.clone(),
        );
        // From 1 µs: planning a cached statement; up to about 1 s.
        let rewrite = Histogram::new((0..11).map(|n| 1e-6 * 4_f64.powi(n)));
        registry.register(
            "rewrite_seconds",
            "Time to plan a statement",
            rewrite.clone(),
        );
        let copied_up = Counter::default();
        registry.register(
            "rows_copied_up",
            "Rows copied up from production by statements",
            copied_up.clone(),
        );
        let production_sessions = Gauge::default();
        registry.register(
            "production_sessions_in_use",
            "Production sessions that run a read now",
            production_sessions.clone(),
        );
        let refusals = Family::default();
        registry.register(
            "refusals",
            "Statements refused (SQLSTATE 0A000), by construct",
            refusals.clone(),
        );
        let replicas = Gauge::default();
        registry.register(
            "replicas",
            "Replicas that serve this fresh, this one included",
            replicas.clone(),
        );
        let replicas_expired = Counter::default();
        registry.register(
            "replicas_expired",
            "Other replicas that this one found to have let their lease run out",
            replicas_expired.clone(),
        );
        let lease_valid = Gauge::default();
        registry.register(
            "lease_valid",
            "Whether this replica's lease is valid (1), or nothing is planned and read on production (0)",
            lease_valid.clone(),
        );
        // From 1 ms to 4 s: a lease is waited out in less.
        let acknowledgements = Histogram::new((0..13).map(|n| 1e-3 * 2_f64.powi(n)));
        registry.register(
            "acknowledgement_wait_seconds",
            "Time that clients waited until other replicas knew of the first write to a table or of a schema change",
            acknowledgements.clone(),
        );
        Self {
            registry,
            connections,
            connections_total,
            statements: ["fresh", "production", "merged"]
                .map(|placement| statements.get_or_create_owned(&Placed { placement })),
            rewrite,
            copied_up,
            production_sessions,
            refusals,
            replicas,
            replicas_expired,
            lease_valid,
            lease: OnceLock::new(),
            acknowledgements,
        }
    }

    /// A client logged in. Counted for as long as the guard lives.
    #[must_use]
    pub fn connected(&self) -> InUse {
        self.connections_total.inc();
        InUse::new(&self.connections)
    }

    /// A read runs on production. Counted for as long as the guard lives.
    #[must_use]
    pub fn production_session(&self) -> InUse {
        InUse::new(&self.production_sessions)
    }

    /// A statement was sent.
    pub fn placed(&self, placement: Placement) {
        let [fresh, production, merged] = &self.statements;
        match placement {
            Placement::Fresh => fresh.inc(),
            Placement::Production => production.inc(),
            Placement::Merged => merged.inc(),
        };
    }

    /// A statement was planned.
    pub fn rewritten(&self, took: Duration) {
        self.rewrite.observe(took.as_secs_f64());
    }

    /// Rows were copied up.
    pub fn copied_up(&self, rows: u64) {
        self.copied_up.inc_by(rows);
    }

    /// A statement was refused; `construct` as in [`crate::rewrite::plan::Refusal`].
    pub fn refused(&self, construct: &'static str) {
        self.refusals.get_or_create(&Construct { construct }).inc();
    }

    /// So many replicas serve this fresh, this one included.
    pub fn replicas(&self, count: usize) {
        self.replicas.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Another replica had let its lease run out.
    pub fn replica_expired(&self) {
        self.replicas_expired.inc();
    }

    /// The lease whose validity is shown.
    pub fn lease_of(&self, lease: Arc<Lease>) {
        let _already_set = self.lease.set(lease);
    }

    /// A client waited for other replicas.
    pub fn acknowledged(&self, took: Duration) {
        self.acknowledgements.observe(took.as_secs_f64());
    }

    /// All of it in OpenMetrics' text format (`application/openmetrics-text; version=1.0.0; charset=utf-8`).
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(lease) = self.lease.get() {
            self.lease_valid.set(i64::from(lease.is_valid()));
        }
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            // Writing to a String doesn't fail; whatever an encoder of ours did, a scraper is to see that it isn't all.
            let _ = writeln!(out, "# incomplete");
        }
        out
    }
}

/// Counts one in a gauge for as long as it lives.
#[derive(Debug)]
pub struct InUse(Gauge);

impl InUse {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_with_the_names_of_the_documentation() {
        let metrics = Metrics::new();
        let client = metrics.connected();
        metrics.placed(Placement::Merged);
        metrics.placed(Placement::Merged);
        metrics.refused("function_body");
        metrics.copied_up(7);
        metrics.rewritten(Duration::from_micros(3));
        let text = metrics.render();
        for line in [
            "previewpg_connections 1",
            "previewpg_connections_accepted_total 1",
            "previewpg_statements_total{placement=\"merged\"} 2",
            "previewpg_refusals_total{construct=\"function_body\"} 1",
            "previewpg_rows_copied_up_total 7",
            "previewpg_rewrite_seconds_count 1",
            "previewpg_production_sessions_in_use 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in:\n{text}"
            );
        }
        drop(client);
        assert!(
            metrics
                .render()
                .lines()
                .any(|found| found == "previewpg_connections 0")
        );
    }
}
