//! Health, readiness and metrics.
//!
//! [`health`] is what is known of the process' state, [`metrics`] what is counted, [`http`] serves both on the admin port.

pub mod health;
pub mod http;
pub mod metrics;
