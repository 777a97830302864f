//! What a real API server does with the definition, the chart and the operator's objects. There are no pods here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "control_plane/admission.rs"]
mod admission;
#[path = "control_plane/helm.rs"]
mod helm;
#[path = "control_plane/images.rs"]
mod images;
#[path = "control_plane/leases.rs"]
mod leases;
#[path = "control_plane/many.rs"]
mod many;
#[path = "control_plane/peace.rs"]
mod peace;
#[path = "control_plane/rights.rs"]
mod rights;

use std::sync::OnceLock;

use previewpg_tests::kubernetes::{Cluster, Tier};

/// The namespaces of which pods are said to be ready begin so; those of other tests have no nodes.
const PRETEND: &[&str] = &["rights", "rule", "peace"];

/// The cluster, with the definition installed.
fn cluster() -> Option<&'static Cluster> {
    static DEFINED: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared(Tier::ControlPlane)?;
    DEFINED.get_or_init(|| admission::define(cluster));
    Some(cluster)
}
