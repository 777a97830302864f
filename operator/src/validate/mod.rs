//! The raw spec and what it refers to → a valid preview, or a list of what's wrong.
//!
//! Pure: [`References::of`] says what to fetch, [`validate`] makes strong types of it. Defaults that aren't in the schema are given here.
//! What the API server refuses is refused here again, in short: an object may be older than the definition. Knows no children and no
//! client; whether a database can be reached is for others to find out.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use previewpg_proxy::net::target::{RootCertificates, Target};
use sha2::{Digest as _, Sha256};

use crate::api::{
    self, ConditionType, MOST_REPLICAS, Managed, OnConflict, PreviewDatabase, Quantity,
    RESET_ANNOTATION, ReclaimPolicy, ServiceType,
};

mod endpoint;
mod problem;
mod resolved;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use endpoint::{Endpoint, Identity, Side};
pub use problem::Problem;
use problem::Problems;
pub use resolved::{References, Resolved};

/// The longest that an identifier of PostgreSQL may be, in bytes.
const IDENTIFIER_MAX: usize = 63;

/// A preview that can be: every value is there and in its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidPreview {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The database to look like.
    pub production: Production,
    /// Where the preview's own rows and its schema live.
    pub fresh: Fresh,
    /// What becomes of them when the object is deleted.
    pub reclaim: ReclaimPolicy,
    /// Which tables are served.
    pub tables: Tables,
    /// How often production's schema is looked at.
    pub sync_interval: Duration,
    /// What to do when both schemas collide.
    pub on_conflict: OnConflict,
    /// When the preview is to be deleted.
    pub expiration: Option<Timestamp>,
    /// The annotation's value that asks for a reset.
    pub reset: Option<String>,
    /// The pods that applications connect to.
    pub proxy: Proxy,
    /// What applications log in with.
    pub access: Access,
    /// The preview's database on fresh's server. On a managed one it's the database's name that applications see, but stays what it was when that
    /// changes (as it does with production's, unless the spec says it): the preview's changes are in it.
    pub database: String,
}

/// The database to look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Production {
    /// Where it is. Its options set the `statement_timeout`.
    pub endpoint: Endpoint,
    /// The longest that one statement may run there.
    pub statement_timeout: Duration,
    /// Serve even though the role can write.
    pub allow_writable_role: bool,
}

/// Where the preview's own rows and its schema live.
#[derive(Debug, Clone, PartialEq)]
pub enum Fresh {
    /// The operator runs a PostgreSQL. What the spec says of it holds as it is.
    Managed(Managed),
    /// A server of the user's.
    Connection(FreshConnection),
}

/// A server of the user's.
#[derive(Debug, Clone, PartialEq)]
pub struct FreshConnection {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The preview's database on it.
    pub database: String,
    /// Where on it production's authorities are.
    pub production_ca_path: Option<String>,
}

/// Which tables are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Only these schemas; empty: all.
    pub schemas: Vec<String>,
    /// Patterns of tables to leave out.
    pub exclude: Vec<String>,
    /// Patterns of tables to serve without rows.
    pub empty: Vec<String>,
    /// How far sequences start above production's value.
    pub sequence_gap: i64,
    /// The most rows that a statement copies up.
    pub max_copy_up_rows: u64,
    /// The most bytes that a statement copies up.
    pub max_copy_up_bytes: u64,
}

/// The pods that applications connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// How many; 1 to 16.
    pub replicas: i32,
    /// The image; absent: the operator's own.
    pub image: Option<String>,
    /// The Service's type.
    pub service_type: ServiceType,
    /// The Service's port.
    pub port: u16,
    /// The Service's annotations.
    pub service_annotations: std::collections::BTreeMap<String, String>,
    /// The certificate to show; absent: the operator issues one.
    pub serving: Option<Serving>,
    /// The most clients of one proxy.
    pub max_clients: u32,
    /// The most sessions that one proxy keeps for reads on production.
    pub production_sessions: u32,
    /// What a container requests and is limited to, if it's said.
    pub resources: Option<api::Resources>,
    /// Who may connect.
    pub network: Network,
    /// Where and how the pods run.
    pub scheduling: api::Scheduling,
}

/// A certificate of the user's to show to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The certificate and its key.
    pub identity: Identity,
    /// The authority that it's signed by, in PEM, if the Secret has it.
    pub ca: Option<String>,
}

/// Who may connect.
#[derive(Debug, Clone, PartialEq)]
pub enum Network {
    /// No NetworkPolicy is made.
    Open,
    /// Every pod of the namespace.
    Namespace,
    /// These.
    From(Vec<NetworkPolicyPeer>),
}

/// What applications log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The Secret that it's written into.
    pub secret_name: String,
    /// The role.
    pub username: String,
    /// The database's name that applications see.
    pub database: String,
}

impl ValidPreview {
    /// The preview's database on fresh's server.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// How fresh's server process reaches production: from the managed pod, which finds the certificates in `directory`, or from the
    /// user's server, which has files of its own.
    #[must_use]
    pub fn production_from_fresh(&self, directory: &Path) -> Target {
        let mut target = self.production.endpoint.target_in(directory);
        if let Fresh::Connection(FreshConnection {
            production_ca_path: Some(path),
            ..
        }) = &self.fresh
        {
            target.sslrootcert = Some(RootCertificates::File(path.into()));
        }
        target
    }
}

/// Makes strong types of an object and what it refers to.
///
/// # Errors
/// Everything that's wrong with it, at least one problem.
pub fn validate(
    object: &PreviewDatabase,
    resolved: &Resolved,
) -> Result<ValidPreview, Vec<Problem>> {
    let mut problems = Problems::default();
    let valid = preview(object, resolved, &mut problems);
    match valid {
        Some(valid) if problems.0.is_empty() => Ok(valid),
        _ => {
            if problems.0.is_empty() {
                let _: Option<()> = problems.spec(ConditionType::Ready, "", "can't be used");
            }
            Err(problems.0)
        }
    }
}

fn preview(
    object: &PreviewDatabase,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<ValidPreview> {
    let spec = &object.spec;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // Each part is looked at before the first that's missing ends this: all problems are told.
    let name_fits = name_fits(&name, problems);
    let production = production(&spec.production, resolved, problems);
    let fresh = fresh(object, production.as_ref(), resolved, problems);
    let tables = tables(spec.tables.as_ref(), problems);
    let sync = spec.sync.clone().unwrap_or_default();
    let sync_interval = duration(
        sync.interval.as_ref(),
        "sync.interval",
        (Duration::from_secs(60), Duration::from_secs(10)),
        ConditionType::Ready,
        problems,
    );
    let expiration = expiration(object, problems);
    let proxy = proxy(spec, resolved, problems);
    let (production, fresh) = (production?, fresh?);
    let access = access(object, &production, &fresh, problems);
    name_fits.then_some(())?;
    let access = access?;
    let database = match &fresh {
        Fresh::Managed(_) => known_database(object)
            .unwrap_or(&access.database)
            .to_owned(),
        Fresh::Connection(connection) => connection.database.clone(),
    };
    Some(ValidPreview {
        namespace,
        name,
        reclaim: spec
            .fresh
            .as_ref()
            .and_then(|fresh| fresh.reclaim_policy)
            .unwrap_or_default(),
        production,
        fresh,
        tables: tables?,
        sync_interval: sync_interval?,
        on_conflict: sync.on_conflict.unwrap_or_default(),
        expiration: expiration?,
        reset: object
            .annotations()
            .get(RESET_ANNOTATION)
            .filter(|value| !value.is_empty())
            .cloned(),
        proxy: proxy?,
        access,
        database,
    })
}

/// The preview's database, as the status tells.
fn known_database(object: &PreviewDatabase) -> Option<&str> {
    let fresh = object.status.as_ref()?.fresh.as_ref()?;
    Some(fresh.database.as_str()).filter(|name| !name.is_empty())
}

fn name_fits(name: &str, problems: &mut Problems) -> bool {
    let fits = name.len() <= api::NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-');
    if !fits {
        let _: Option<()> = problems.add(
            ConditionType::Ready,
            api::Reason::InvalidSpec,
            "metadata.name must have at most 52 lowercase letters, digits and '-', start with a letter and not end with '-'; create the object under another name",
        );
    }
    fits
}

fn production(
    spec: &api::Production,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Production> {
    let endpoint = endpoint::production(&spec.connection, spec.tls.as_ref(), resolved, problems);
    let statement_timeout = duration(
        spec.statement_timeout.as_ref(),
        "production.statementTimeout",
        (Duration::from_secs(30), Duration::from_secs(1)),
        ConditionType::ProductionReachable,
        problems,
    );
    let (mut endpoint, statement_timeout) = (endpoint?, statement_timeout?);
    endpoint.add_option(&format!(
        "-c statement_timeout={}",
        statement_timeout.as_millis()
    ));
    Some(Production {
        endpoint,
        statement_timeout,
        allow_writable_role: spec.allow_writable_role.unwrap_or(false),
    })
}

fn fresh(
    object: &PreviewDatabase,
    production: Option<&Production>,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Fresh> {
    const CONDITION: ConditionType = ConditionType::FreshReady;
    let spec = object.spec.fresh.clone().unwrap_or_default();
    let connection = match (spec.managed, spec.connection) {
        (managed, None) => return managed_fresh(managed.unwrap_or_default(), problems),
        (None, Some(connection)) => connection,
        (Some(_), Some(_)) => {
            return problems.spec(
                CONDITION,
                "fresh",
                "at most one of managed and connection may be set",
            );
        }
    };
    let endpoint = endpoint::fresh(&connection.uri, connection.tls.as_ref(), resolved, problems);
    if let Some(production) = production {
        if production.endpoint.has_identity() {
            return problems.spec(
                CONDITION,
                "production.tls.clientCertificate",
                "can't be used with fresh.connection: that server connects to production as well, and has no such file; use fresh.managed",
            );
        }
        if production.endpoint.has_ca() && connection.production_ca_path.is_none() {
            return problems.spec(
                CONDITION,
                "fresh.connection.productionCaPath",
                "is needed beside production.tls.ca: that server connects to production as well, and must have the authorities in a file",
            );
        }
    }
    let database = connection.database.unwrap_or_else(|| {
        database_name(&object.namespace().unwrap_or_default(), &object.name_any())
    });
    let database = identifier(database, "fresh.connection.database", CONDITION, problems);
    Some(Fresh::Connection(FreshConnection {
        endpoint: endpoint?,
        database: database?,
        production_ca_path: connection.production_ca_path,
    }))
}

fn managed_fresh(managed: Managed, problems: &mut Problems) -> Option<Fresh> {
    let size = managed
        .storage
        .as_ref()
        .and_then(|storage| storage.size.as_ref());
    if let Some(size) = size {
        bytes(
            size,
            "fresh.managed.storage.size",
            ConditionType::FreshReady,
            problems,
        )?;
    }
    Some(Fresh::Managed(managed))
}

/// The database's name on a server that many previews share: what no other object has.
fn database_name(namespace: &str, name: &str) -> String {
    let whole = format!("{namespace}_{name}");
    if whole.len() <= IDENTIFIER_MAX {
        return whole;
    }
    // Both are ASCII, so every cut is between characters.
    let digest = Sha256::digest(whole.as_bytes());
    let mark: String = digest
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept: String = whole.chars().take(IDENTIFIER_MAX - 11).collect();
    format!("{kept}_{mark}")
}

fn tables(spec: Option<&api::Tables>, problems: &mut Problems) -> Option<Tables> {
    const CONDITION: ConditionType = ConditionType::SchemaSynced;
    let spec = spec.cloned().unwrap_or_default();
    let limits = spec.limits.unwrap_or_default();
    let sequence_gap = spec
        .sequences
        .and_then(|sequences| sequences.offset)
        .unwrap_or(1_000_000);
    if sequence_gap < 0 {
        return problems.spec(CONDITION, "tables.sequences.offset", "must not be negative");
    }
    let rows = limits.max_copy_up_rows.unwrap_or(100_000);
    let Some(max_copy_up_rows) = u64::try_from(rows).ok().filter(|rows| *rows > 0) else {
        return problems.spec(
            CONDITION,
            "tables.limits.maxCopyUpRows",
            "must be at least 1",
        );
    };
    let max_copy_up_bytes = match &limits.max_copy_up_bytes {
        Some(quantity) => bytes(
            quantity,
            "tables.limits.maxCopyUpBytes",
            CONDITION,
            problems,
        )?,
        None => 256 << 20,
    };
    if max_copy_up_bytes == 0 {
        return problems.spec(
            CONDITION,
            "tables.limits.maxCopyUpBytes",
            "must be positive",
        );
    }
    Some(Tables {
        schemas: spec.schemas,
        exclude: spec.exclude,
        empty: spec.empty,
        sequence_gap,
        max_copy_up_rows,
        max_copy_up_bytes,
    })
}

/// When the preview ends; the outer `None` stands for a problem.
fn expiration(object: &PreviewDatabase, problems: &mut Problems) -> Option<Option<Timestamp>> {
    let lifetime = object.spec.lifetime.clone().unwrap_or_default();
    match (lifetime.ttl, lifetime.expires_at) {
        (None, None) => Some(None),
        (None, Some(time)) => Some(Some(time.0)),
        (Some(_), Some(_)) => problems.spec(
            ConditionType::Ready,
            "lifetime",
            "at most one of ttl and expiresAt may be set",
        ),
        (Some(ttl), None) => {
            let ttl = duration(
                Some(&ttl),
                "lifetime.ttl",
                (Duration::ZERO, Duration::from_secs(60)),
                ConditionType::Ready,
                problems,
            )?;
            // An object that was never stored has no time of creation; it can't expire either.
            let end = object.creation_timestamp().and_then(|created| {
                let ttl = SignedDuration::try_from(ttl).ok()?;
                created.0.checked_add(ttl).ok()
            });
            Some(end)
        }
    }
}

fn proxy(
    spec: &api::PreviewDatabaseSpec,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Proxy> {
    const CONDITION: ConditionType = ConditionType::ProxyAvailable;
    let proxy = spec.proxy.clone();
    let pool = proxy.pool.unwrap_or_default();
    let service = proxy.service.unwrap_or_default();
    let serving = proxy.tls.map(|tls| {
        let secret = &tls.secret_ref.name;
        let identity = endpoint::identity(secret, CONDITION, resolved, problems)?;
        let ca = if resolved.has(secret, "ca.crt") {
            let key = api::KeySelector {
                name: secret.clone(),
                key: "ca.crt".to_owned(),
            };
            Some(resolved.secret(&key, CONDITION, problems)?.to_owned())
        } else {
            None
        };
        Some(Serving { identity, ca })
    });
    if !(1..=MOST_REPLICAS.cast_signed()).contains(&proxy.replicas) {
        return problems.spec(CONDITION, "proxy.replicas", "must be from 1 to 16");
    }
    let mut positive = |value: Option<i32>, field: &str| match value.map(u32::try_from) {
        None => Some(None),
        Some(Ok(value)) if value > 0 => Some(Some(value)),
        Some(_) => problems.spec(CONDITION, field, "must be at least 1"),
    };
    let max_connections = positive(spec.production.max_connections, "production.maxConnections");
    let max_clients = positive(
        pool.max_client_connections,
        "proxy.pool.maxClientConnections",
    );
    let pool_size = positive(pool.production_pool_size, "proxy.pool.productionPoolSize");
    let share = (max_connections?.unwrap_or(8) / proxy.replicas.unsigned_abs()).max(1);
    let port = service.port.unwrap_or(5432);
    if port == 0 {
        return problems.spec(CONDITION, "proxy.service.port", "must be from 1 to 65535");
    }
    let network = proxy.network_policy.unwrap_or_default();
    Some(Proxy {
        replicas: proxy.replicas,
        image: proxy.image.filter(|image| !image.is_empty()),
        service_type: service.service_type.unwrap_or_default(),
        port,
        service_annotations: service.annotations,
        serving: match serving {
            Some(serving) => Some(serving?),
            None => None,
        },
        max_clients: max_clients?.unwrap_or(200),
        production_sessions: pool_size?.map_or(share, |size| size.min(share)),
        resources: proxy.resources,
        network: match (network.enabled, network.from) {
            (Some(false), _) => Network::Open,
            (_, Some(peers)) => Network::From(peers),
            (_, None) => Network::Namespace,
        },
        scheduling: proxy.scheduling,
    })
}

fn access(
    object: &PreviewDatabase,
    production: &Production,
    fresh: &Fresh,
    problems: &mut Problems,
) -> Option<Access> {
    const CONDITION: ConditionType = ConditionType::Ready;
    let spec = object.spec.access.clone().unwrap_or_default();
    let username = spec.username.unwrap_or_else(|| match fresh {
        Fresh::Managed(_) => "app".to_owned(),
        // Roles belong to the server, which other previews use as well.
        Fresh::Connection(connection) => connection.database.clone(),
    });
    let username = identifier(username, "access.username", CONDITION, problems);
    if username
        .as_ref()
        .is_some_and(|name| name.starts_with("pg_") || name.starts_with("previewpg"))
    {
        return problems.spec(
            CONDITION,
            "access.username",
            "names that begin with pg_ or previewpg are reserved",
        );
    }
    let database = spec
        .database
        .unwrap_or_else(|| production.endpoint.target().database.clone());
    let database = identifier(database, "access.database", CONDITION, problems);
    Some(Access {
        secret_name: spec
            .secret_name
            .unwrap_or_else(|| format!("{}-app", object.name_any())),
        username: username?,
        database: database?,
    })
}

/// A name that PostgreSQL takes whole.
fn identifier(
    name: String,
    field: &str,
    condition: ConditionType,
    problems: &mut Problems,
) -> Option<String> {
    if name.is_empty() || name.len() > IDENTIFIER_MAX || name.contains('\0') {
        return problems.spec(
            condition,
            field,
            format_args!("must have from 1 to {IDENTIFIER_MAX} bytes"),
        );
    }
    Some(name)
}

/// A duration with its default and its least value.
fn duration(
    value: Option<&api::Duration>,
    field: &str,
    (default, least): (Duration, Duration),
    condition: ConditionType,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(value) = value else {
        return Some(default);
    };
    match value.to_std() {
        Ok(value) if value >= least => Some(value),
        Ok(_) => problems.spec(
            condition,
            field,
            format_args!("must be at least {}s", least.as_secs()),
        ),
        Err(error) => problems.spec(condition, field, error),
    }
}

fn bytes(
    quantity: &Quantity,
    field: &str,
    condition: ConditionType,
    problems: &mut Problems,
) -> Option<u64> {
    match quantity.bytes() {
        Ok(bytes) => Some(bytes),
        Err(error) => problems.spec(condition, field, error),
    }
}
