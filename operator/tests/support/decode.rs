//! Manifests as their Kubernetes types: whatever a type doesn't know would be dropped by the API server, or refused.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use previewpg_operator::api::PreviewDatabase;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Decodes a manifest into its type and compares; panics at the first field that is lost or changed.
pub fn check(manifest: &Value) {
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "ConfigMap") => kept::<ConfigMap>(manifest),
        ("v1", "Pod") => kept::<Pod>(manifest),
        ("v1", "Secret") => kept::<Secret>(manifest),
        ("v1", "Service") => kept::<Service>(manifest),
        ("v1", "ServiceAccount") => kept::<ServiceAccount>(manifest),
        ("apps/v1", "Deployment") => kept::<Deployment>(manifest),
        ("batch/v1", "Job") => kept::<Job>(manifest),
        ("networking.k8s.io/v1", "NetworkPolicy") => kept::<NetworkPolicy>(manifest),
        ("policy/v1", "PodDisruptionBudget") => kept::<PodDisruptionBudget>(manifest),
        ("rbac.authorization.k8s.io/v1", "Role") => kept::<Role>(manifest),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => kept::<RoleBinding>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => kept::<ClusterRole>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            kept::<ClusterRoleBinding>(manifest)
        }
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
            kept::<CustomResourceDefinition>(manifest);
        }
        ("previewpg.dev/v1alpha1", "PreviewDatabase") => kept::<PreviewDatabase>(manifest),
        ("monitoring.coreos.com/v1", "ServiceMonitor") => {
            strict::<monitoring::ServiceMonitor>(&manifest["spec"]);
        }
        ("monitoring.coreos.com/v1", "PodMonitor") => {
            strict::<monitoring::PodMonitor>(&manifest["spec"])
        }
        ("monitoring.coreos.com/v1", "PrometheusRule") => {
            strict::<monitoring::PrometheusRule>(&manifest["spec"]);
        }
        (version, kind) => panic!("{version} {kind} is no kind that the chart is known to make"),
    }
}

/// A manifest's type, which must keep all of it.
pub fn decoded<T: DeserializeOwned>(manifest: &Value) -> T {
    serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{error}\n{manifest:#}"))
}

fn kept<T: DeserializeOwned + Serialize>(manifest: &Value) {
    let again = serde_json::to_value(decoded::<T>(manifest)).unwrap();
    assert_kept(
        manifest["kind"].as_str().unwrap_or_default(),
        manifest,
        &again,
    );
}

fn strict<T: DeserializeOwned>(spec: &Value) {
    let _: T = decoded(spec);
}

/// That every value of the first is in the second.
pub fn assert_kept(at: &str, written: &Value, read: &Value) {
    match (written, read) {
        (Value::Object(written), _) => {
            for (name, value) in written {
                let found = read.get(name).unwrap_or(&Value::Null);
                // Empty lists and maps may be left out.
                let empty = value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty);
                if !(empty && found.is_null()) {
                    assert_kept(&format!("{at}.{name}"), value, found);
                }
            }
        }
        (Value::Array(written), Value::Array(read)) => {
            assert_eq!(written.len(), read.len(), "{at}");
            for (number, (written, read)) in written.iter().zip(read).enumerate() {
                assert_kept(&format!("{at}[{number}]"), written, read);
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{at}")
        }
        // A quantity.
        (Value::Number(number), Value::String(text)) => {
            assert_eq!(&number.to_string(), text, "{at}")
        }
        _ => assert_eq!(
            written, read,
            "{at} isn't known to its type, or has another value"
        ),
    }
}

/// The parts of the Prometheus operator's types that we use; anything else is refused.
mod monitoring {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct ServiceMonitor {
        #[serde(rename = "selector")]
        _selector: Selector,
        #[serde(rename = "endpoints")]
        _endpoints: Vec<Endpoint>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct PodMonitor {
        #[serde(rename = "namespaceSelector")]
        _namespace_selector: Namespaces,
        #[serde(rename = "selector")]
        _selector: Selector,
        #[serde(rename = "podTargetLabels")]
        _pod_target_labels: Vec<String>,
        #[serde(rename = "podMetricsEndpoints")]
        _pod_metrics_endpoints: Vec<Endpoint>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Namespaces {
        #[serde(default, rename = "any")]
        _any: bool,
        #[serde(default, rename = "matchNames")]
        _match_names: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Selector {
        #[serde(rename = "matchLabels")]
        _match_labels: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Endpoint {
        #[serde(rename = "port")]
        _port: String,
        #[serde(rename = "interval")]
        _interval: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct PrometheusRule {
        #[serde(rename = "groups")]
        _groups: Vec<Group>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Group {
        #[serde(rename = "name")]
        _name: String,
        #[serde(rename = "rules")]
        _rules: Vec<Rule>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        #[serde(rename = "alert")]
        _alert: String,
        #[serde(rename = "expr")]
        _expr: String,
        #[serde(rename = "for")]
        _for: String,
        #[serde(rename = "labels")]
        _labels: BTreeMap<String, String>,
        #[serde(rename = "annotations")]
        _annotations: BTreeMap<String, String>,
    }
}
