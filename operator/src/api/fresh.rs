//! Where the preview's own rows and its schema live.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Quantity, Resources, Scheduling, SecretKey, Tls};

/// Where the preview's own rows and its schema live.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.managed) && has(self.connection))")
        .message("at most one of managed and connection may be set")
)]
#[serde(rename_all = "camelCase")]
pub struct Fresh {
    /// The operator runs a PostgreSQL for this preview alone: a StatefulSet with one pod and a volume. This is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,

    /// A server of yours holds the preview, in a database of its own. One small server can hold many previews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<FreshConnection>,

    /// What becomes of the preview's database, or of the managed volume, when the object is deleted: `Delete` (the default) or `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
}

/// A PostgreSQL that the operator runs.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Managed {
    /// The image of PostgreSQL; its version must be at least production's. Defaults to the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// The volume. It holds the rows that the preview changed, not production's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// What PostgreSQL's container requests and is limited to. Defaults to requests of 50m CPU and 64Mi memory and a limit of 512Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where and how its pod runs.
    #[serde(flatten)]
    pub scheduling: Scheduling,
}

/// A volume.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size. Defaults to 10Gi; can only grow, if the storage class allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(string(self)).compareTo(quantity('256Mi')) >= 0")
        .message("must be at least 256Mi: an empty PostgreSQL takes a part of it"))]
    pub size: Option<Quantity>,

    /// Its storage class. Defaults to the cluster's default class; can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// A server of yours.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FreshConnection {
    /// The Secret's key that holds the server's connection URI, as a superuser who can make databases and roles. The database in it is only
    /// used to connect to the server the first time.
    pub uri: SecretKey,

    /// How the server is trusted; counts for more than what the URI says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// The preview's database on that server. It's created, and must not be there already. Defaults to `NAMESPACE_NAME`, cut if that's too
    /// long; can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("!(self in ['postgres', 'template0', 'template1'])")
        .message("must not be one of the server's own databases"))]
    pub database: Option<String>,

    /// Where on that server's machine the authorities of `production.tls.ca` are in a file, for it connects to production as well. Needed
    /// if `production.tls.ca` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024), regex(pattern = r"^/"))]
    pub production_ca_path: Option<String>,
}

/// What becomes of the preview's database, or of the managed volume, when the object is deleted: `Delete` (the default) or `Retain`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It's dropped.
    #[default]
    Delete,
    /// It's kept.
    Retain,
}
