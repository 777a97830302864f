//! The managed PostgreSQL: one pod with a volume, which holds what the preview changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, ExecAction,
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, Probe, SecretVolumeSource,
    Service, ServicePort, ServiceSpec, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{Component, selector};
use super::pod::{FRESH_USER, container_security, mount, over, pod, resources, scratch};
use super::secret::{FRESH_PASSWORD, FRESH_SERVER_CERTIFICATE, FRESH_SERVER_KEY, PRODUCTION_FILES};
use super::{CONFIG_HASH, CONNECTIONS, Frame, POSTGRES_PORT, SECRETS_HASH, digest};
use crate::api::{MOST_REPLICAS, Managed};

/// The server's superuser.
pub const SUPERUSER: &str = "previewpg";
/// The directory of the internal Secret's files in the pod.
pub const INTERNAL: &str = "/etc/previewpg/internal";
/// The size of the volume, if the spec doesn't say.
pub const STORAGE: &str = "10Gi";
/// The name of the claim in the StatefulSet.
pub const CLAIM: &str = "data";
/// In seconds: longer than any recovery.
const A_DAY: i32 = 86_400;
/// PostgreSQL's own limit of `max_connections`.
const MOST_CONNECTIONS: u32 = 262_143;

const START: &str = include_str!("fresh-start.sh");
const DATA: &str = "/var/lib/previewpg";
const RUN: &str = "/var/run/previewpg";
const SETTINGS: &str = "/etc/previewpg/postgres";

/// What the managed PostgreSQL is built from.
#[derive(Debug)]
pub struct Input<'a> {
    /// The spec.
    pub managed: &'a Managed,
    /// The image.
    pub image: &'a str,
    /// The most clients of one proxy, each of which has a connection here.
    pub clients: u32,
    /// How many proxies there are to be.
    pub proxies: u32,
    /// The connections that it has, if it's there.
    pub has: Option<u32>,
    /// The internal Secret's name.
    pub secret: &'a str,
    /// What restarts the server when it changes: a hash of the superuser's password.
    pub password_hash: &'a str,
}

/// The children that make the managed PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Fresh {
    /// How it starts and its settings.
    pub config: ConfigMap,
    /// Its address.
    pub service: Service,
    /// It.
    pub stateful_set: StatefulSet,
}

/// Builds it.
#[must_use]
pub fn build(frame: &Frame<'_>, input: &Input<'_>) -> Fresh {
    let name = frame.names.fresh.as_str();
    let connections = connections(input);
    let files = files(connections);
    let config_hash = digest(&files);
    let mut metadata = frame.metadata(name, Component::Fresh);
    metadata.annotations = Some(BTreeMap::from([(
        CONNECTIONS.to_owned(),
        connections.to_string(),
    )]));
    let config = ConfigMap {
        metadata,
        data: Some(files),
        ..ConfigMap::default()
    };
    let selected = selector(&frame.names.preview, Component::Fresh);
    let service = Service {
        metadata: frame.metadata(name, Component::Fresh),
        spec: Some(ServiceSpec {
            selector: Some(selected.clone()),
            ports: Some(vec![ServicePort {
                name: Some("postgres".to_owned()),
                port: POSTGRES_PORT,
                target_port: Some(IntOrString::String("postgres".to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    let stateful_set = StatefulSet {
        metadata: frame.metadata(name, Component::Fresh),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(name.to_owned()),
            selector: LabelSelector {
                match_labels: Some(selected.clone()),
                match_expressions: None,
            },
            pod_management_policy: Some("Parallel".to_owned()),
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    // A StatefulSet that is deleted comes back, and what was changed must be there still. The claim goes
                    // with the preview, which owns it (`Applier::own_claim`).
                    when_deleted: Some("Retain".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            template: template(frame, input, &config_hash),
            volume_claim_templates: Some(vec![claim(frame, input.managed)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    Fresh {
        config,
        service,
        stateful_set,
    }
}

fn template(frame: &Frame<'_>, input: &Input<'_>, config_hash: &str) -> PodTemplateSpec {
    let scheduling = &input.managed.scheduling;
    let selected = selector(&frame.names.preview, Component::Fresh);
    let mut spec = pod(FRESH_USER, scheduling, &selected);
    // One pod can't be spread.
    if scheduling.topology_spread_constraints.is_empty() {
        spec.topology_spread_constraints = None;
    }
    spec.termination_grace_period_seconds = Some(60);
    spec.containers = vec![container(frame, input)];
    spec.volumes = Some(vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: frame.names.fresh.clone(),
                default_mode: Some(0o444),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "internal".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(input.secret.to_owned()),
                default_mode: Some(0o440),
                items: Some(super::secret::items(
                    [FRESH_PASSWORD, FRESH_SERVER_CERTIFICATE, FRESH_SERVER_KEY]
                        .into_iter()
                        .chain(
                            PRODUCTION_FILES
                                .into_iter()
                                .filter(|key| frame.production_files.contains(key)),
                        ),
                )),
                optional: None,
            }),
            ..Volume::default()
        },
        scratch("run", true, "16Mi"),
        scratch("tmp", false, "1Gi"),
        // Parallel queries share memory there; a container has 64 MiB of it otherwise.
        scratch("shm", true, "128Mi"),
    ]);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(over(&scheduling.pod_labels, selected)),
            annotations: Some(over(
                &scheduling.pod_annotations,
                BTreeMap::from([
                    (CONFIG_HASH.to_owned(), config_hash.to_owned()),
                    (SECRETS_HASH.to_owned(), input.password_hash.to_owned()),
                ]),
            )),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

fn container(frame: &Frame<'_>, input: &Input<'_>) -> Container {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    Container {
        name: "postgres".to_owned(),
        image: Some(input.image.to_owned()),
        image_pull_policy: frame.pull_policy.map(str::to_owned),
        command: Some(vec!["sh".to_owned(), format!("{SETTINGS}/start.sh")]),
        env: Some(vec![variable("PGDATA", &format!("{DATA}/pgdata"))]),
        ports: Some(vec![ContainerPort {
            name: Some("postgres".to_owned()),
            container_port: POSTGRES_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources(
            input.managed.resources.as_ref(),
            "50m",
            "64Mi",
            "512Mi",
        )),
        security_context: Some(container_security()),
        // No liveness probe: a server that recovers from a crash is slow to answer, and to kill it then starts the recovery again. That goes for the
        // startup probe, too, which is only there to look more often while somebody waits.
        startup_probe: Some(probe(1, A_DAY)),
        readiness_probe: Some(probe(2, 3)),
        volume_mounts: Some(vec![
            mount(CLAIM, DATA, false),
            mount("config", SETTINGS, true),
            // initdb wants its user to have a name.
            VolumeMount {
                sub_path: Some("passwd".to_owned()),
                ..mount("config", "/etc/passwd", true)
            },
            mount("internal", INTERNAL, true),
            mount("run", RUN, false),
            mount("tmp", "/tmp", false),
            mount("shm", "/dev/shm", false),
        ]),
        ..Container::default()
    }
}

fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(
                ["pg_isready", "-q", "-h", RUN]
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            ),
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn claim(frame: &Frame<'_>, managed: &Managed) -> PersistentVolumeClaim {
    let storage = managed.storage.clone().unwrap_or_default();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(CLAIM.to_owned()),
            labels: Some(super::names::labels(&frame.names.preview, Component::Fresh)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    k8s_openapi::apimachinery::pkg::api::resource::Quantity(size(managed)),
                )])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// The size of the volume.
#[must_use]
pub fn size(managed: &Managed) -> String {
    managed
        .storage
        .as_ref()
        .and_then(|storage| storage.size.as_ref())
        .map_or_else(|| STORAGE.to_owned(), |size| size.0.clone())
}

fn files(connections: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("start.sh".to_owned(), START.to_owned()),
        ("postgresql.conf".to_owned(), settings(connections)),
        (
            "pg_hba.conf".to_owned(),
            "local all all scram-sha-256\nhostssl all all all scram-sha-256\n".to_owned(),
        ),
        (
            "passwd".to_owned(),
            format!(
                "root:x:0:0:root:/:/bin/sh\npostgres:x:{FRESH_USER}:{FRESH_USER}:PostgreSQL:{DATA}:/bin/sh\n"
            ),
        ),
    ])
}

/// A few proxies, one that is being replaced included: nobody needs more for a preview, as a rule.
const FEW_PROXIES: u32 = 5;
/// Connections of the operator, and of whoever looks.
const OTHER_CONNECTIONS: u32 = 50;

/// As many connections as it needs, and never fewer than it has: to take some away is a restart, which ends sessions for a few megabytes.
fn connections(input: &Input<'_>) -> u32 {
    max_connections(input.clients, input.proxies)
        .max(input.has.unwrap_or(0))
        .min(MOST_CONNECTIONS)
}

/// The server's connections: what a few proxies (or as many as there may ever be) hold, and some others. To change them is a restart, and
/// one more proxy mustn't be one; nor one more client of each. Each takes about 10 kB whether it's there or not.
fn max_connections(clients: u32, proxies: u32) -> u32 {
    let proxies = if proxies < FEW_PROXIES {
        FEW_PROXIES
    } else {
        MOST_REPLICAS
    };
    let needed = proxies
        .saturating_mul(clients)
        .saturating_add(OTHER_CONNECTIONS);
    [1050, 3250, 8000, 16_000]
        .into_iter()
        .find(|step| *step >= needed)
        .unwrap_or(needed)
        .min(MOST_CONNECTIONS)
}

/// Locks are shared by all connections: there are to be as many as 500 connections have by default, for schemas of many tables.
fn locks_each(connections: u32) -> u32 {
    const LOCKS: u32 = 32_000;
    LOCKS.div_ceil(connections.max(1)).clamp(10, 64)
}

/// Small, and safe for its data: an idle one is to stay below 100 MB. What doesn't fit into `shared_buffers` is in the kernel's cache, which goes when memory is needed elsewhere.
/// `jit` is off because what the overlay runs is short; `wal_level` and `max_wal_senders` because nothing follows it, and it follows nothing.
fn settings(connections: u32) -> String {
    let mut text = format!("hba_file = '{SETTINGS}/pg_hba.conf'\n");
    let locks = locks_each(connections).to_string();
    let connections = connections.to_string();
    for (name, value) in [
        ("listen_addresses", "'*'"),
        ("port", "5432"),
        ("unix_socket_directories", &format!("'{RUN}'")),
        ("max_connections", &connections),
        ("max_locks_per_transaction", &locks),
        // Beyond these a serializable transaction's reads are noted by page.
        ("max_pred_locks_per_transaction", "10"),
        ("max_prepared_transactions", "64"),
        ("password_encryption", "'scram-sha-256'"),
        ("ssl", "on"),
        (
            "ssl_cert_file",
            &format!("'{INTERNAL}/{FRESH_SERVER_CERTIFICATE}'"),
        ),
        ("ssl_key_file", &format!("'{INTERNAL}/{FRESH_SERVER_KEY}'")),
        ("shared_buffers", "'16MB'"),
        ("huge_pages", "off"),
        ("max_wal_size", "'512MB'"),
        ("min_wal_size", "'64MB'"),
        ("wal_level", "replica"),
        ("max_wal_senders", "0"),
        ("max_logical_replication_workers", "0"),
        ("checkpoint_timeout", "'15min'"),
        ("jit", "off"),
        ("autovacuum_naptime", "'30s'"),
        ("log_checkpoints", "off"),
        // A statement may hold a password.
        ("log_min_error_statement", "panic"),
        ("log_line_prefix", "'%m [%p] '"),
        ("lc_messages", "'C'"),
        ("tcp_keepalives_idle", "60"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ] {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

/// The claim of the StatefulSet's only pod.
#[must_use]
pub fn claim_of(stateful_set: &str) -> String {
    format!("{CLAIM}-{stateful_set}-0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_suffice_for_the_proxies_and_seldom_change() {
        for (clients, proxies, expected) in [
            (1, 1, 1050),
            (77, 2, 1050),
            (200, 1, 1050),
            (200, 4, 1050),
            (200, 5, 3250),
            (200, 16, 3250),
            (201, 1, 3250),
            (201, 16, 8000),
            (2000, 16, 32_050),
        ] {
            let connections = max_connections(clients, proxies);
            assert_eq!(
                connections, expected,
                "{clients} clients, {proxies} proxies"
            );
            assert!(connections >= clients * proxies + OTHER_CONNECTIONS);
            assert!(
                locks_each(connections) * connections >= 32_000,
                "{connections}"
            );
        }
        assert_eq!(max_connections(u32::MAX, 1), MOST_CONNECTIONS);
    }
}
