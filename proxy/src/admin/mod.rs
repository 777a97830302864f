//! Health, readiness and metrics.
//!
//! [`health`] is what is known of the process' state, [`http`] serves it on the admin port.

pub mod health;
pub mod http;
