//! Helpers of the integration tests.

pub mod overlay_servers;
