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
    self, FRESH, FRESH_CA, FRESH_FILES, PRODUCTION, PRODUCTION_FILES, SERVING_CERTIFICATE,
    SERVING_KEY,
};
use super::{Frame, fresh, proxy, secret_digest};
use crate::database::{ManagedServer, fresh_server};
use crate::generated::{CertificateNames, Generated};
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

/// The names that the preview's certificates are for.
#[must_use]
pub fn certificate_names(valid: &ValidPreview) -> CertificateNames {
    let namespace = &valid.namespace;
    let of = |service: &str| {
        vec![
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}.svc"),
            "localhost".to_owned(),
        ]
    };
    CertificateNames {
        proxy: of(&valid.name),
        fresh: match valid.fresh {
            Fresh::Managed(_) => Some(of(&Names::of(&valid.name).fresh)),
            Fresh::Connection(_) => None,
        },
    }
}

/// Builds all children. `connections` are those that the managed PostgreSQL has, if it's there.
///
/// # Errors
/// When the proxies' configuration can't be written.
pub fn build(
    valid: &ValidPreview,
    generated: &Generated,
    owner: &OwnerReference,
    defaults: &Defaults,
    connections: Option<u32>,
) -> Result<Family, serde_saphyr::ser::Error> {
    let names = Names::of(&valid.name);
    let managed_host = fresh_host(&valid.namespace, &names);
    let managed = ManagedServer {
        host: &managed_host,
        password: &generated.fresh_password,
        authority: &generated.authority.certificate,
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
                clients: valid.proxy.max_clients,
                proxies: valid.proxy.replicas.unsigned_abs(),
                has: connections,
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
    match &valid.fresh {
        Fresh::Connection(connection) => add(&connection.endpoint),
        Fresh::Managed(_) => {
            files.insert(FRESH_CA, managed.authority.as_bytes().to_vec());
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
    use serde_json::{Value, json};
    use std::time::SystemTime;

    use crate::api::PreviewDatabase;
    use crate::build::tests::OWNER;
    use crate::validate::{Resolved, validate};

    fn valid(name: &str, more: Value) -> ValidPreview {
        let mut spec = json!({"production": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let object: PreviewDatabase = serde_json::from_value(json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
        }))
        .unwrap();
        let mut resolved = Resolved::default();
        for (name, uri) in [
            ("prod", "postgres://reader:sesame@db.example/shop"),
            ("fresh", "postgres://admin:open@fresh.example/postgres"),
        ] {
            resolved.add_secret(
                name,
                Secret {
                    data: Some(BTreeMap::from([(
                        "uri".to_owned(),
                        ByteString(uri.as_bytes().to_vec()),
                    )])),
                    ..Secret::default()
                },
            );
        }
        validate(&object, &resolved).unwrap()
    }

    fn family(valid: &ValidPreview) -> Family {
        family_of(valid, None)
    }

    fn family_of(valid: &ValidPreview, connections: Option<u32>) -> Family {
        let made = crate::generated::read_or_make(
            "shop/pr-1",
            None,
            None,
            &certificate_names(valid),
            SystemTime::now(),
        )
        .unwrap();
        let defaults = Defaults {
            proxy_image: "proxy:1".to_owned(),
            fresh_image: "fresh:1".to_owned(),
            pull_policy: Some("Never".to_owned()),
            operator: OperatorSource::default(),
        };
        build(valid, &made, &OWNER, &defaults, connections).unwrap()
    }

    fn pods(family: &Family) -> Vec<PodTemplateSpec> {
        let proxy = family.proxy.deployment.spec.clone().unwrap().template;
        let fresh = family
            .fresh
            .clone()
            .map(|fresh| fresh.stateful_set.spec.unwrap().template);
        std::iter::once(proxy).chain(fresh).collect()
    }

    /// Pod Security Standards, "Restricted".
    fn is_restricted(pod: &PodSpec) {
        let security = pod.security_context.as_ref().unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert!(security.run_as_user.unwrap() > 0);
        assert_eq!(
            security.seccomp_profile.as_ref().unwrap().type_,
            "RuntimeDefault"
        );
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert!(pod.init_containers.is_none() && pod.host_network.is_none());
        for container in &pod.containers {
            let security = container.security_context.as_ref().unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(
                security.capabilities.as_ref().unwrap().drop.as_deref(),
                Some(&["ALL".to_owned()][..])
            );
            assert!(container.resources.as_ref().unwrap().requests.is_some());
            assert_eq!(container.image_pull_policy.as_deref(), Some("Never"));
        }
        for volume in pod.volumes.as_ref().unwrap() {
            let kinds = [
                volume.config_map.is_some(),
                volume.secret.is_some(),
                volume.empty_dir.is_some(),
            ];
            assert!(kinds.contains(&true), "{}", volume.name);
        }
    }

    #[test]
    fn pods_have_no_rights() {
        let family = family(&valid("pr-1", json!({})));
        let pods = pods(&family);
        assert_eq!(pods.len(), 2);
        for template in pods {
            is_restricted(&template.spec.unwrap());
        }
    }

    #[test]
    fn secrets_are_in_secrets_only_and_mounted_by_who_needs_them() {
        let family = family(&valid("pr-1", json!({})));
        let internal = family.internal.data.as_ref().unwrap();
        let key = String::from_utf8(internal.get("ca.key").unwrap().0.clone()).unwrap();
        let password =
            String::from_utf8(internal.get("fresh-password").unwrap().0.clone()).unwrap();
        for shown in [
            serde_json::to_string(&family.proxy.deployment).unwrap(),
            serde_json::to_string(&family.proxy.config).unwrap(),
            serde_json::to_string(&family.proxy.service).unwrap(),
            format!("{:?}", family.fresh),
        ] {
            for hidden in ["sesame", &password, key.lines().nth(1).unwrap()] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
        let mounted = |template: &PodTemplateSpec| -> Vec<String> {
            let volumes = template.spec.as_ref().unwrap().volumes.clone().unwrap();
            volumes
                .into_iter()
                .filter_map(|volume| volume.secret?.items)
                .flatten()
                .map(|item| item.key)
                .collect()
        };
        let pods = pods(&family);
        assert_eq!(
            mounted(&pods[0]),
            [
                "production",
                "fresh",
                "fresh-ca.crt",
                "password",
                "tls.crt",
                "tls.key"
            ]
        );
        assert_eq!(
            mounted(&pods[1]),
            ["fresh-password", "fresh-server.crt", "fresh-server.key"]
        );
    }

    #[test]
    fn production_is_verified_unless_the_spec_says_otherwise() {
        let family = family(&valid("pr-1", json!({})));
        let data = family.internal.data.unwrap();
        let text = |key: &str| String::from_utf8(data.get(key).unwrap().0.clone()).unwrap();
        assert!(text("production").contains("sslmode='verify-full' sslrootcert='system'"));
        assert!(text("production").contains("statement_timeout=30000"));
        assert!(
            text("fresh").starts_with("host='pr-1-fresh.shop.svc' port='5432' user='previewpg'")
        );
        assert!(text("fresh").contains("dbname='shop'"));
    }

    #[test]
    fn the_managed_server_is_verified_and_takes_nothing_without_tls() {
        let family = family(&valid("pr-1", json!({})));
        let data = family.internal.data.unwrap();
        let text = |key: &str| String::from_utf8(data.get(key).unwrap().0.clone()).unwrap();
        assert!(
            text("fresh").contains(
                "sslmode='verify-full' sslrootcert='/etc/previewpg/internal/fresh-ca.crt'"
            ),
            "{}",
            text("fresh")
        );
        assert_eq!(text("fresh-ca.crt"), text("ca.crt"));
        let files = family.fresh.unwrap().config.data.unwrap();
        assert!(!files["pg_hba.conf"].contains("host "));
        assert!(files["pg_hba.conf"].contains("hostssl all all all scram-sha-256"));
        for setting in [
            "ssl = on",
            "ssl_cert_file = '/etc/previewpg/internal/fresh-server.crt'",
            "ssl_key_file = '/etc/previewpg/internal/fresh-server.key'",
        ] {
            assert!(files["postgresql.conf"].contains(setting), "{setting}");
        }
    }

    #[test]
    fn names_fit_for_the_longest_object() {
        let family = family(&valid(&"p".repeat(52), json!({"proxy": {"replicas": 2}})));
        let fresh = family.fresh.as_ref().unwrap();
        let names = [
            &family.access.metadata,
            &family.internal.metadata,
            &family.proxy.config.metadata,
            &family.proxy.deployment.metadata,
            &family.proxy.service.metadata,
            &family.proxy.budget.as_ref().unwrap().metadata,
            &family.proxy_policy.as_ref().unwrap().metadata,
            &family.fresh_policy.as_ref().unwrap().metadata,
            &fresh.config.metadata,
            &fresh.service.metadata,
            &fresh.stateful_set.metadata,
        ];
        for metadata in names {
            let name = metadata.name.as_deref().unwrap();
            assert!(name.len() <= 63, "{name}");
            let owners = metadata.owner_references.as_ref().unwrap();
            assert_eq!(owners.len(), 1);
            assert_eq!(owners[0].controller, Some(true));
        }
        assert!(fresh.stateful_set.metadata.name.as_deref().unwrap().len() <= 52);
    }

    #[test]
    fn a_server_of_the_users_has_no_pod() {
        let spec = json!({"fresh": {"connection": {"uri": {"secretKeyRef": {"name": "fresh", "key": "uri"}}}}});
        let valid = valid("pr-1", spec);
        let family = family(&valid);
        assert!(family.fresh.is_none() && family.fresh_policy.is_none());
        let data = family.internal.data.unwrap();
        let fresh = String::from_utf8(data.get("fresh").unwrap().0.clone()).unwrap();
        assert!(
            fresh.contains("fresh.example") && fresh.contains("dbname='shop_pr_1'")
                || fresh.contains("dbname='shop_pr-1'"),
            "{fresh}"
        );
    }

    #[test]
    fn a_pod_is_replaced_for_what_it_cannot_take_up() {
        let hash = |more: Value| {
            let template = family(&valid("pr-1", more))
                .proxy
                .deployment
                .spec
                .unwrap()
                .template;
            template.metadata.unwrap().annotations.unwrap()[crate::build::CONFIG_HASH].clone()
        };
        let plain = hash(json!({}));
        assert_eq!(
            plain,
            hash(json!({"tables": {"empty": ["public.jobs"]}, "proxy": {"replicas": 3}}))
        );
        assert_ne!(plain, hash(json!({"access": {"database": "other"}})));
    }

    #[test]
    fn a_server_that_recovers_is_never_killed_for_it() {
        let set = family(&valid("pr-1", json!({})))
            .fresh
            .unwrap()
            .stateful_set;
        let template = set.spec.unwrap().template;
        let container = &template.spec.unwrap().containers[0];
        assert!(container.liveness_probe.is_none());
        let startup = container.startup_probe.as_ref().unwrap();
        assert_eq!(startup.period_seconds, Some(1));
        assert!(startup.failure_threshold >= Some(86_400));
    }

    #[test]
    fn a_volume_outlives_its_stateful_set() {
        for policy in ["Delete", "Retain"] {
            let spec = json!({"fresh": {"reclaimPolicy": policy, "managed": {"storage": {"size": "2Gi"}}}});
            let set = family(&valid("pr-1", spec)).fresh.unwrap().stateful_set;
            let spec = set.spec.unwrap();
            let retention = spec.persistent_volume_claim_retention_policy.unwrap();
            assert_eq!(retention.when_deleted.as_deref(), Some("Retain"));
            assert_eq!(retention.when_scaled.as_deref(), Some("Retain"));
            let claim = spec.volume_claim_templates.unwrap().remove(0).spec.unwrap();
            assert_eq!(
                claim.resources.unwrap().requests.unwrap()["storage"].0,
                "2Gi"
            );
        }
    }

    #[test]
    fn a_few_more_proxies_leave_the_managed_server_alone() {
        let server = |replicas: i32, has: Option<u32>| {
            let more = json!({"proxy": {"replicas": replicas}});
            let fresh = family_of(&valid("pr-1", more), has).fresh.unwrap();
            let mut template = fresh.stateful_set.spec.unwrap().template;
            let annotations = template.metadata.as_mut().unwrap().annotations.as_mut();
            // Each family here has a password of its own.
            annotations.unwrap().remove(crate::build::SECRETS_HASH);
            let told =
                fresh.config.metadata.annotations.unwrap()[crate::build::CONNECTIONS].clone();
            let settings = &fresh.config.data.unwrap()["postgresql.conf"];
            assert!(settings.contains(&format!("max_connections = {told}\n")));
            (template, told.parse().unwrap())
        };
        let (few, has) = server(1, None);
        assert_eq!(server(4, Some(has)), (few.clone(), has));
        // Idle previews needn't pay for what hardly one of them asks for.
        let (many, more) = server(5, Some(has));
        assert!(more > has && many != few);
        assert_eq!(server(16, Some(more)), (many.clone(), more));
        // Nobody's session is ended to take connections away again.
        assert_eq!(server(1, Some(more)), (many, more));
    }
}
