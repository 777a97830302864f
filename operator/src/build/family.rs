//! All children of a preview, from the valid preview.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::config::{self, INTERNAL, connection_string};
use super::names::Names;
use super::network::{self, OperatorSource};
use super::secret::{
    self, FRESH, FRESH_FILES, PRODUCTION, PRODUCTION_FILES, SERVING_CERTIFICATE, SERVING_KEY,
};
use super::{Frame, fresh, proxy, secret_digest};
use crate::database::{ManagedServer, fresh_server};
use crate::generated::Generated;
use crate::validate::{Fresh, Identity, Network, ValidPreview};

/// What the operator was started with, as far as children show it.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The proxies' image.
    pub proxy_image: String,
    /// The managed PostgreSQL's image.
    pub fresh_image: String,
    /// The pull policy.
    pub pull_policy: Option<String>,
    /// Where the operator connects from.
    pub operator: OperatorSource,
}

/// All children. Whoever applies them takes this apart without `..`, so that none can be forgotten.
#[derive(Debug, Clone)]
pub struct Family {
    /// What applications log in with.
    pub access: Secret,
    /// What only the preview's own pods need.
    pub internal: Secret,
    /// The managed PostgreSQL.
    pub fresh: Option<fresh::Fresh>,
    /// Who may connect to it.
    pub fresh_policy: Option<NetworkPolicy>,
    /// What applications connect to.
    pub proxy: proxy::Proxy,
    /// Who may connect to them.
    pub proxy_policy: Option<NetworkPolicy>,
}

/// The proxies' Service as it's seen from any namespace.
#[must_use]
pub fn host(namespace: &str, preview: &str) -> String {
    format!("{preview}.{namespace}.svc")
}

/// The managed PostgreSQL's Service as it's seen from any namespace.
#[must_use]
pub fn fresh_host(namespace: &str, names: &Names) -> String {
    format!("{}.{namespace}.svc", names.fresh)
}

/// The names that the proxies' certificate is for.
#[must_use]
pub fn certificate_names(namespace: &str, preview: &str) -> Vec<String> {
    let host = host(namespace, preview);
    vec![
        preview.to_owned(),
        format!("{preview}.{namespace}"),
        format!("{host}.cluster.local"),
        host,
        "localhost".to_owned(),
    ]
}

/// Builds all children.
///
/// # Errors
/// When the proxies' configuration can't be written.
pub fn build(
    valid: &ValidPreview,
    generated: &Generated,
    owner: &OwnerReference,
    defaults: &Defaults,
) -> Result<Family, serde_saphyr::ser::Error> {
    let names = Names::of(&valid.name);
    let managed_host = fresh_host(&valid.namespace, &names);
    let managed = ManagedServer {
        host: &managed_host,
        password: &generated.fresh_password,
    };
    let files = files(valid, &managed);
    let among = |keys: [&'static str; 3]| -> BTreeSet<&'static str> {
        keys.into_iter()
            .filter(|key| files.contains_key(key))
            .collect()
    };
    let (production_files, fresh_files) = (among(PRODUCTION_FILES), among(FRESH_FILES));
    let frame = Frame {
        namespace: &valid.namespace,
        names: &names,
        owner,
        pull_policy: defaults.pull_policy.as_deref(),
        production_files: &production_files,
        fresh_files: &fresh_files,
    };
    let config = proxy_config(valid);
    let (text, fixed) = (config::text(&config)?, config::text(&config.fixed())?);
    let authority = match &valid.proxy.serving {
        Some(serving) => serving.ca.as_deref(),
        None => Some(generated.authority.certificate.as_str()),
    };
    let access = secret::access(
        &frame,
        &secret::Access {
            name: &valid.access.secret_name,
            host: &host(&valid.namespace, &valid.name),
            port: valid.proxy.port,
            database: &valid.access.database,
            username: &valid.access.username,
            authority,
        },
        &generated.app_password,
    );
    let proxy = proxy::build(
        &frame,
        &proxy::Input {
            proxy: &valid.proxy,
            image: valid
                .proxy
                .image
                .as_deref()
                .unwrap_or(&defaults.proxy_image),
            config: &text,
            fixed: &fixed,
            access_secret: &valid.access.secret_name,
        },
    );
    let (proxy_policy, guarded) = match &valid.proxy.network {
        Network::Open => (None, false),
        Network::Namespace => (Some(network::proxy(&frame, None)), true),
        Network::From(peers) => (Some(network::proxy(&frame, Some(peers))), true),
    };
    let fresh = match &valid.fresh {
        Fresh::Connection(_) => None,
        Fresh::Managed(managed) => Some(fresh::build(
            &frame,
            &fresh::Input {
                managed,
                image: managed
                    .image
                    .as_deref()
                    .filter(|image| !image.is_empty())
                    .unwrap_or(&defaults.fresh_image),
                reclaim: valid.reclaim,
                connections: valid
                    .proxy
                    .replicas
                    .unsigned_abs()
                    .saturating_mul(valid.proxy.max_clients),
                secret: &names.internal,
                password_hash: &secret_digest(&[generated.fresh_password.as_bytes()]),
            },
        )),
    };
    Ok(Family {
        access,
        internal: secret::internal(&frame, generated, files),
        fresh_policy: (guarded && fresh.is_some())
            .then(|| network::fresh(&frame, &defaults.operator)),
        fresh,
        proxy,
        proxy_policy,
    })
}

/// The files of the internal Secret that say how to reach databases.
fn files(valid: &ValidPreview, managed: &ManagedServer<'_>) -> BTreeMap<&'static str, Vec<u8>> {
    let directory = Path::new(INTERNAL);
    let production = valid.production.endpoint.target_in(directory);
    let mut fresh = fresh_server(valid, managed, directory);
    valid.database().clone_into(&mut fresh.database);
    let mut files = BTreeMap::from([
        (PRODUCTION, connection_string(&production).into_bytes()),
        (FRESH, connection_string(&fresh).into_bytes()),
    ]);
    let mut add = |endpoint: &crate::validate::Endpoint| {
        for (name, text) in endpoint.files() {
            files.insert(name, text.expose().as_bytes().to_vec());
        }
    };
    add(&valid.production.endpoint);
    if let Fresh::Connection(connection) = &valid.fresh {
        add(&connection.endpoint);
    }
    if let Some(serving) = &valid.proxy.serving {
        let Identity { certificate, key } = &serving.identity;
        for (name, text) in [(SERVING_CERTIFICATE, certificate), (SERVING_KEY, key)] {
            files.insert(name, text.expose().as_bytes().to_vec());
        }
    }
    files
}

fn proxy_config(valid: &ValidPreview) -> config::Input<'_> {
    let tables = &valid.tables;
    config::Input {
        database: &valid.access.database,
        username: &valid.access.username,
        allow_writable_role: valid.production.allow_writable_role,
        schemas: &tables.schemas,
        exclude: &tables.exclude,
        empty: &tables.empty,
        max_copy_up_rows: tables.max_copy_up_rows,
        max_copy_up_bytes: tables.max_copy_up_bytes,
        sequence_gap: u64::try_from(tables.sequence_gap).unwrap_or(0),
        max_clients: valid.proxy.max_clients,
        production_sessions: valid.proxy.production_sessions,
    }
}
