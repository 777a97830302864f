//! What applications connect to: the proxies' configuration, Deployment, Service and PodDisruptionBudget.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, KeyToPath,
    PodTemplateSpec, Probe, SecretVolumeSource, Service, ServicePort, ServiceSpec, Volume,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::config::{ACCESS, DIRECTORY, DRAIN_SECONDS, FILE, INTERNAL, TLS};
use super::names::{Component, selector};
use super::pod::{PROXY_USER, container_security, mount, over, pod, resources, scratch};
use super::secret::{
    CERTIFICATE, CERTIFICATE_KEY, FRESH, FRESH_FILES, PASSWORD, PRODUCTION, PRODUCTION_FILES,
    SERVING_CERTIFICATE, SERVING_KEY, items,
};
use super::{ADMIN_PORT, CONFIG_HASH, Frame, POSTGRES_PORT, digest};
use crate::validate;

/// How long a pod may take from SIGTERM to its end: a while in which it still serves, and the drain.
const GRACE_SECONDS: i64 = DRAIN_SECONDS as i64 + 20;

/// What the proxies are built from.
#[derive(Debug)]
pub struct Input<'a> {
    /// The spec.
    pub proxy: &'a validate::Proxy,
    /// The image.
    pub image: &'a str,
    /// The configuration file's text.
    pub config: &'a str,
    /// What a running proxy doesn't take up: it's replaced when this changes.
    pub fixed: &'a str,
    /// The access Secret's name.
    pub access_secret: &'a str,
}

/// The children that applications connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// The configuration.
    pub config: ConfigMap,
    /// The pods.
    pub deployment: Deployment,
    /// Their address.
    pub service: Service,
    /// How many of them may be evicted at a time; absent with one pod, which could never be evicted.
    pub budget: Option<PodDisruptionBudget>,
}

/// Builds them.
#[must_use]
pub fn build(frame: &Frame<'_>, input: &Input<'_>) -> Proxy {
    let name = frame.names.proxy.as_str();
    let selected = selector(&frame.names.preview, Component::Proxy);
    let label_selector = LabelSelector {
        match_labels: Some(selected.clone()),
        match_expressions: None,
    };
    let config = ConfigMap {
        metadata: frame.metadata(name, Component::Proxy),
        data: Some(BTreeMap::from([(FILE.to_owned(), input.config.to_owned())])),
        ..ConfigMap::default()
    };
    let deployment = Deployment {
        metadata: frame.metadata(name, Component::Proxy),
        spec: Some(DeploymentSpec {
            replicas: Some(input.proxy.replicas),
            selector: label_selector.clone(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(300),
            // Nodes learn of a pod behind a Service a moment after it's ready, and whoever waited for it connects at once.
            min_ready_seconds: Some(1),
            template: template(frame, input),
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let budget = (input.proxy.replicas > 1).then(|| PodDisruptionBudget {
        metadata: frame.metadata(name, Component::Proxy),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    });
    Proxy {
        config,
        deployment,
        service: service(frame, input),
        budget,
    }
}

fn service(frame: &Frame<'_>, input: &Input<'_>) -> Service {
    let mut metadata = frame.metadata(&frame.names.preview, Component::Proxy);
    metadata.annotations =
        Some(input.proxy.service_annotations.clone()).filter(|annotations| !annotations.is_empty());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(input.proxy.service_type.as_str().to_owned()),
            selector: Some(selector(&frame.names.preview, Component::Proxy)),
            ports: Some(vec![ServicePort {
                name: Some("postgres".to_owned()),
                port: i32::from(input.proxy.port),
                target_port: Some(IntOrString::String("postgres".to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn template(frame: &Frame<'_>, input: &Input<'_>) -> PodTemplateSpec {
    let scheduling = &input.proxy.scheduling;
    let selected = selector(&frame.names.preview, Component::Proxy);
    let fixed = BTreeMap::from([(FILE.to_owned(), input.fixed.to_owned())]);
    let mut spec = pod(PROXY_USER, scheduling, &selected);
    spec.termination_grace_period_seconds = Some(GRACE_SECONDS);
    spec.containers = vec![container(frame, input)];
    spec.volumes = Some(volumes(frame, input));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(over(&scheduling.pod_labels, selected)),
            annotations: Some(over(
                &scheduling.pod_annotations,
                BTreeMap::from([(CONFIG_HASH.to_owned(), digest(&fixed))]),
            )),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

fn container(frame: &Frame<'_>, input: &Input<'_>) -> Container {
    let port = |name: &str, number: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let probe = |path: &str, period: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    Container {
        name: "previewpg".to_owned(),
        image: Some(input.image.to_owned()),
        image_pull_policy: frame.pull_policy.map(str::to_owned),
        command: Some(vec!["previewpg".to_owned()]),
        args: Some(vec![
            "serve".to_owned(),
            "--config".to_owned(),
            format!("{DIRECTORY}/{FILE}"),
        ]),
        ports: Some(vec![
            port("postgres", POSTGRES_PORT),
            port("metrics", ADMIN_PORT),
        ]),
        resources: Some(resources(
            input.proxy.resources.as_ref(),
            "50m",
            "32Mi",
            "256Mi",
        )),
        security_context: Some(container_security()),
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        // Often: a first connection waits for it.
        readiness_probe: Some(probe("/readyz", 1, 4)),
        volume_mounts: Some(vec![
            mount("config", DIRECTORY, true),
            mount("internal", INTERNAL, true),
            mount("access", ACCESS, true),
            mount("tls", TLS, true),
            mount("tmp", "/tmp", false),
        ]),
        ..Container::default()
    }
}

fn volumes(frame: &Frame<'_>, input: &Input<'_>) -> Vec<Volume> {
    let secret = |name: &str, secret: &str, items: Vec<KeyToPath>| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            items: Some(items),
            optional: None,
        }),
        ..Volume::default()
    };
    let files = PRODUCTION_FILES
        .into_iter()
        .filter(|key| frame.production_files.contains(key))
        .chain(
            FRESH_FILES
                .into_iter()
                .filter(|key| frame.fresh_files.contains(key)),
        );
    let (certificate, key) = match input.proxy.serving {
        Some(_) => (SERVING_CERTIFICATE, SERVING_KEY),
        None => (CERTIFICATE, CERTIFICATE_KEY),
    };
    let shown = [(certificate, CERTIFICATE), (key, CERTIFICATE_KEY)]
        .into_iter()
        .map(|(key, path)| KeyToPath {
            key: key.to_owned(),
            path: path.to_owned(),
            mode: None,
        })
        .collect();
    vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: frame.names.proxy.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        secret(
            "internal",
            &frame.names.internal,
            items([PRODUCTION, FRESH].into_iter().chain(files)),
        ),
        secret("access", input.access_secret, items([PASSWORD])),
        secret("tls", &frame.names.internal, shown),
        scratch("tmp", false, "256Mi"),
    ]
}
