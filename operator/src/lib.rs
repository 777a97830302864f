//! PreviewPG's Kubernetes operator: `PreviewDatabase` objects become databases.

pub mod api;
pub mod apply;
pub mod build;
pub mod certificate;
pub mod children;
pub mod cleanup;
pub mod cli;
pub mod context;
pub mod controller;
pub mod crd;
pub mod database;
pub mod error;
pub mod generated;
pub mod jobs;
pub mod judge;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod probe;
pub mod reconcile;
pub mod reference;
pub mod report;
pub mod run;
pub mod secrets;
pub mod tell;
pub mod validate;
