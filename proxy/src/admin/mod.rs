//! Health, readiness and metrics.

pub mod metrics;
