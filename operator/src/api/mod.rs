//! The resource `PreviewDatabase`, version `previewpg.dev/v1alpha1`, as its users write it and as its status tells.
//!
//! The documentation of every field here is what `kubectl explain` shows: it's written for users. What the API server can check by itself is
//! said here, as schema and CEL rules; what needs the values of Secrets is checked in [`crate::validate`]. Knows no client and no children.
//!
//! Optional fields have no default in the schema, with the exception of `spec.proxy.replicas` (which the scale subresource reads): what
//! isn't said stays unsaid in the object, and [`crate::validate`] gives it its value.

// KubeSchema makes a `pub` copy of each struct inside of a function.
#![allow(unreachable_pub)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod access;
mod condition;
mod duration;
mod fresh;
mod lifecycle;
mod production;
mod proxy;
mod quantity;
mod reason;
mod reference;
mod rules;
mod scheduling;
mod status;
mod tables;

pub use access::Access;
pub use condition::ConditionType;
pub use duration::{Duration, DurationError};
pub use fresh::{Fresh, FreshConnection, Managed, ReclaimPolicy, Storage};
pub use lifecycle::{Lifetime, OnConflict, Sync};
pub use production::{Connection, Parameters, Production, Tls, TlsMode};
pub use proxy::{MOST_REPLICAS, NetworkPolicy, Pool, Proxy, Service, ServiceType, ServingTls};
pub use quantity::{Quantity, QuantityError, Resources};
pub use reason::Reason;
pub use reference::{CertificateSource, KeySelector, SecretKey, SecretName, SecretReference};
pub use scheduling::Scheduling;
pub use status::{
    DatabaseStatus, Delta, Endpoint, LastReset, PreviewDatabaseStatus, SchemaStatus, TablesStatus,
    UNSUPPORTED_MAX, Unsupported,
};
pub use tables::{Limits, Sequences, Tables};

/// The resource's API group.
pub const GROUP: &str = "previewpg.dev";
/// The resource's version.
pub const VERSION: &str = "v1alpha1";
/// The annotation whose every new value drops the preview's changes once.
pub const RESET_ANNOTATION: &str = "previewpg.dev/reset";
/// The finalizer that keeps an object until its database is gone.
pub const FINALIZER: &str = "previewpg.dev/cleanup";
/// The longest name that an object may have, in characters: its children's names add a suffix, and must fit into 63.
pub const NAME_MAX: usize = 52;

/// What the preview should be: production to look at, and how it's served.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "previewpg.dev",
    version = "v1alpha1",
    kind = "PreviewDatabase",
    plural = "previewdatabases",
    singular = "previewdatabase",
    shortname = "pvdb",
    category = "previewpg",
    namespaced,
    status = "PreviewDatabaseStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL database that looks like a full, writable copy of production without being one. Rows that the preview didn't change are read from production, which is never written to; what it changes is kept in a small database of its own. Applications connect to the Service that has the object's name, with the credentials of the Secret that status.secretName names.",
    scale(
        spec_replicas_path = ".spec.proxy.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the preview serves as the spec says."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or isn't ready; docs/operations.md says what to do for each."
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.endpoint.host",
        description = "The host to connect to."
    ),
    printcolumn(
        name = "Tables",
        type_ = "integer",
        json_path = ".status.tables.served",
        description = "The number of tables served."
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.expirationTime",
        description = "When the preview will be deleted."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "The time since it was created."
    ),
    validation = Rule::new("self.metadata.name.size() <= 52")
        .message("metadata.name must have at most 52 characters: the names of the Deployment, StatefulSet and Secrets add a suffix to it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must start with a letter, end with a letter or digit and contain only lowercase letters, digits and '-': a Service is named after it"),
)]
#[x_kube(
    validation = Rule::new("(has(self.fresh) && has(self.fresh.connection)) == (has(oldSelf.fresh) && has(oldSelf.fresh.connection))")
        .message("the kind of fresh (managed or connection) can't be changed: the preview's changes are there; delete the PreviewDatabase and create it again")
        .field_path(".fresh"),
    validation = Rule::new(rules::unchanged("fresh.managed.storage.storageClassName", "''"))
        .message("fresh.managed.storage.storageClassName can't be changed: the volume is there already; delete the PreviewDatabase and create it again")
        .field_path(".fresh"),
    validation = Rule::new(rules::only_grows("fresh.managed.storage.size", "'10Gi'"))
        .message("fresh.managed.storage.size can only grow (it's 10Gi when it isn't set)")
        .field_path(".fresh"),
    validation = Rule::new(rules::unchanged("fresh.connection.database", "''"))
        .message("fresh.connection.database can't be changed: the preview's changes are in it; delete the PreviewDatabase and create it again")
        .field_path(".fresh"),
    validation = Rule::new(rules::unchanged("access.username", "''"))
        .message("access.username can't be changed: the role owns the preview's tables; delete the PreviewDatabase and create it again")
        .field_path(".access"),
    validation = Rule::new("!(has(self.fresh) && has(self.fresh.connection) && has(self.production.tls) && has(self.production.tls.ca)) || has(self.fresh.connection.productionCaPath)")
        .message("fresh.connection.productionCaPath is needed beside production.tls.ca: that server connects to production as well, and must have the authorities in a file")
        .field_path(".fresh"),
    validation = Rule::new("!(has(self.fresh) && has(self.fresh.connection) && has(self.production.tls) && has(self.production.tls.clientCertificate))")
        .message("production.tls.clientCertificate can't be used with fresh.connection: that server connects to production as well, and has no such file; use fresh.managed")
        .field_path(".fresh"),
)]
#[serde(rename_all = "camelCase")]
pub struct PreviewDatabaseSpec {
    /// The database to look like. It's only ever read.
    pub production: Production,

    /// Where the preview's own rows and its schema live: a small PostgreSQL that the operator runs (`managed`, the default) or a server of
    /// yours (`connection`). The choice can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,

    /// Which of production's tables are served, and how. By default all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,

    /// How changes of production's schema are followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,

    /// When the preview is deleted by itself. By default it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,

    /// The pods that applications connect to, their Service, and what may reach them.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub proxy: Proxy,

    /// What applications log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}
