//! How a preview follows production's schema, and when it ends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// How changes of production's schema are followed.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// How often production's schema is looked at. Defaults to 60s; at least 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s')").message("must be at least 10s"))]
    pub interval: Option<Duration>,

    /// What to do when a change of production's schema collides with one of the preview's: `Halt` (the default) keeps serving, brings in
    /// nothing more and reports both sides in the condition SchemaSynced; `Reset` drops the preview's changes and starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// What to do when a change of production's schema collides with one of the preview's: `Halt` (the default) keeps serving, brings in
/// nothing more and reports both sides in the condition SchemaSynced; `Reset` drops the preview's changes and starts anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnConflict {
    /// Keep serving and report.
    #[default]
    Halt,
    /// Drop the preview's changes.
    Reset,
}

/// When the preview is deleted by itself.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.ttl) && has(self.expiresAt))")
        .message("at most one of ttl and expiresAt may be set")
)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// How long after its creation the preview is deleted, as in `72h`. At least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("must be at least 1m"))]
    pub ttl: Option<Duration>,

    /// When the preview is deleted. Move it to let a preview live on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}
