//! A real Kubernetes for tests, and what is asked of it.
//!
//! | module | job |
//! |---|---|
//! | [`api`] | the API server, blocking, objects as JSON |
//! | [`cluster`] | starts and ends `tests/cluster/cluster.py`'s cluster; loads images, runs helm and kubectl |
//! | [`kubelet`] | says of pods that they are ready, where no node runs them |
//! | [`namespace`] | a test's own namespace: apply, wait with a deadline, tell what was seen when it's over |
//! | [`operator`] | `previewpg-operator` as a process of this machine, with the chart's own settings and rights |
//! | [`production`] | a production server on this machine that pods reach |
//! | [`psql`] | a client's session through `psql`, from this machine or in a pod |
//!
//! Manifests are data: YAML files in `tests/cluster/manifests`, with `${NAME}` for what differs between tests.

pub mod api;
pub mod cluster;
pub mod kubelet;
pub mod namespace;
pub mod operator;
pub mod production;
pub mod psql;

pub use api::{Api, Refusal};
pub use cluster::{Cluster, Tier};
pub use namespace::Namespace;
pub use production::Production;
pub use psql::Psql;

use std::time::Duration;

/// How long a test waits for what should take seconds: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Puts `values` into a manifest's `${NAME}` places. A place without a value, or a value without a place, is a mistake in the test.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = text.to_owned();
    for (name, value) in values {
        let place = format!("${{{name}}}");
        assert!(filled.contains(&place), "no {place} in:\n{text}");
        filled = filled.replace(&place, value);
    }
    assert!(
        !filled.contains("${"),
        "a place without a value in:\n{filled}"
    );
    filled
}

/// The documents of a YAML text, empty ones left out.
pub fn documents(yaml: &str) -> Vec<serde_json::Value> {
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|e| panic!("not YAML: {e}\n{yaml}"));
    documents.into_iter().filter(|d| !d.is_null()).collect()
}

/// The text at a JSON pointer, empty if there is none.
pub fn text<'a>(object: &'a serde_json::Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}
