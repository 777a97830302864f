//! What applications log in with.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What applications log in with.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The Secret that the operator writes the connection into: keys `host`, `port`, `dbname`, `username`, `password`, `uri`, `jdbc-uri`,
    /// `pgpass` and `ca.crt`. Defaults to the object's name with `-app` after it. If you change its `password`, new connections need the
    /// new one and those that are open stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub secret_name: Option<String>,

    /// The role that applications log in as. It owns the preview's tables. Defaults to `app`, or with
    /// `fresh.connection` to the name of the preview's database there; can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("!self.startsWith('pg_') && !self.startsWith('previewpg')")
        .message("names that begin with pg_ or previewpg are reserved"))]
    pub username: Option<String>,

    /// The name of the database that applications see. Defaults to production's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub database: Option<String>,
}
