//! PreviewPG's Kubernetes operator: `PreviewDatabase` objects become databases.

pub mod api;
pub mod crd;
pub mod probe;
pub mod reference;
pub mod validate;
