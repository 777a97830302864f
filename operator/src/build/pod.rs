//! What all pods have in common: no rights, no service account's token, and where they run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, EmptyDirVolumeSource, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::{Resources, Scheduling};

/// The user and group that a component's processes run as.
pub const PROXY_USER: i64 = 10_001;
/// The user and group of the managed PostgreSQL. Its files are readable for nobody else.
pub const FRESH_USER: i64 = 10_002;

/// A pod's security context: what the Pod Security Standard `restricted` asks for. Volumes belong to the group.
#[must_use]
pub fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        // Else every start makes PostgreSQL's data directory group-writable, and PostgreSQL then refuses it.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// A container's security context.
#[must_use]
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        ..SecurityContext::default()
    }
}

/// A pod's spec with everything but its containers and volumes.
#[must_use]
pub fn pod(user: i64, scheduling: &Scheduling, spread: &BTreeMap<String, String>) -> PodSpec {
    let Scheduling {
        node_selector,
        tolerations,
        affinity,
        topology_spread_constraints,
        priority_class_name,
        // Of the pod's metadata, not of its spec.
        pod_labels: _,
        pod_annotations: _,
        image_pull_secrets,
    } = scheduling;
    let constraints = if topology_spread_constraints.is_empty() {
        vec![spread_over_nodes(spread)]
    } else {
        topology_spread_constraints.clone()
    };
    PodSpec {
        automount_service_account_token: Some(false),
        // The environment variables of all Services of the namespace are of no use.
        enable_service_links: Some(false),
        security_context: Some(pod_security(user)),
        node_selector: some(node_selector.clone()),
        tolerations: (!tolerations.is_empty()).then(|| tolerations.clone()),
        affinity: affinity.clone(),
        topology_spread_constraints: Some(constraints),
        priority_class_name: priority_class_name.clone(),
        image_pull_secrets: (!image_pull_secrets.is_empty()).then(|| image_pull_secrets.clone()),
        ..PodSpec::default()
    }
}

/// Pods of one preview on different nodes, where there are some.
fn spread_over_nodes(labels: &BTreeMap<String, String>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(labels.clone()),
            match_expressions: None,
        }),
        ..TopologySpreadConstraint::default()
    }
}

/// What a container requests and is limited to: as the spec says, else these values of `cpu` and `memory`.
#[must_use]
pub fn resources(
    given: Option<&Resources>,
    cpu: &str,
    memory: &str,
    memory_limit: &str,
) -> ResourceRequirements {
    given.map_or_else(
        || ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ])),
            limits: Some(BTreeMap::from([(
                "memory".to_owned(),
                Quantity(memory_limit.to_owned()),
            )])),
            claims: None,
        },
        ResourceRequirements::from,
    )
}

/// Labels or annotations of a pod: the spec's, and ours, which count for more.
#[must_use]
pub fn over(
    given: &BTreeMap<String, String>,
    ours: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = given.clone();
    all.extend(ours);
    all
}

/// A small directory in memory or on disk, as long as the pod lives.
#[must_use]
pub fn scratch(name: &str, in_memory: bool, size: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: in_memory.then(|| "Memory".to_owned()),
            size_limit: Some(Quantity(size.to_owned())),
        }),
        ..Volume::default()
    }
}

/// A volume's place in a container.
#[must_use]
pub fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn some(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}
