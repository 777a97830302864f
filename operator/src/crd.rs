//! The CustomResourceDefinition as a file.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::api::PreviewDatabase;

/// The definition of `PreviewDatabase`.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    PreviewDatabase::crd()
}
