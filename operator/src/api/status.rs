//! What the operator has seen and done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most entries that `status.unsupported` has.
pub const UNSUPPORTED_MAX: usize = 32;

/// What the operator has seen and done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewDatabaseStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready is the summary. The others say which part isn't as it should be: ProductionReachable, FreshReady, SchemaSynced, ProxyAvailable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,

    /// Where applications connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,

    /// The Secret that has everything needed to connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// The number of proxy pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// The number of proxy pods that take connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// The label selector of the proxy pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Production, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<DatabaseStatus>,

    /// Fresh, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<DatabaseStatus>,

    /// Production's schema, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,

    /// How many tables there are of each sort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<TablesStatus>,

    /// What can't be served and why; the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub unsupported: Vec<Unsupported>,

    /// How far the preview has gone from production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,

    /// When an application last connected, as far as it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_connection_time: Option<Time>,

    /// When the preview will be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,

    /// The last time that the preview's changes were dropped on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset: Option<LastReset>,
}

/// Where applications connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The Service's name as it's seen from any namespace.
    pub host: String,
    /// The Service's port.
    pub port: u16,
}

/// A database, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// PostgreSQL's version.
    pub version: String,
    /// The database's name.
    pub database: String,
}

/// Production's schema, as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// Changes when the schema does.
    pub fingerprint: String,
    /// When it was last looked at. Not written at every look: only together with another change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// When it was last seen to have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<Time>,
}

/// How many tables there are of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TablesStatus {
    /// Served, empty ones included.
    pub served: i32,
    /// Left out, as the spec says.
    pub excluded: i32,
    /// Served without production's rows, as the spec says.
    pub empty: i32,
    /// Those that can't be served; see `status.unsupported`.
    pub unsupported: i32,
}

/// A relation that can't be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unsupported {
    /// Its name, as `schema.table`.
    pub name: String,
    /// Why it can't be served.
    pub reason: String,
}

/// How far the preview has gone from production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// Rows that the preview owns: inserted, changed or copied up.
    pub rows: i64,
    /// Rows of production that the preview deleted.
    pub whiteouts: i64,
    /// Rows of production that were copied up.
    pub copied_up_rows: i64,
    /// What the preview's own rows take on disk, in bytes.
    pub bytes: i64,
    /// When this was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_time: Option<Time>,
}

/// The last time that the preview's changes were dropped on request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastReset {
    /// The annotation's value that asked for it.
    pub token: String,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}
