//! The pods that applications connect to.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Resources, Scheduling, SecretName};

/// The most proxy pods that a preview may have.
pub const MOST_REPLICAS: u32 = 16;

/// The pods that applications connect to.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// How many proxy pods serve the preview, 1 to 16. `kubectl scale pvdb NAME --replicas=N` sets it. A managed PostgreSQL has connections for 4 of
    /// them; when there are to be more for the first time it's restarted, once, which ends sessions and loses no change. Defaults to 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: i32,

    /// The proxy's image. Defaults to the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// The Service that applications connect to. It has the object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,

    /// TLS towards applications. By default the operator issues a certificate for the Service's names; its authority is in the access
    /// Secret's key `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServingTls>,

    /// Bounds on connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,

    /// What a proxy's container requests and is limited to. Defaults to requests of 50m CPU and 32Mi memory and a limit of 256Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// What may connect. Without it, a NetworkPolicy admits the pods of the object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,

    /// Where and how the pods run.
    #[serde(flatten)]
    pub scheduling: Scheduling,
}

fn one() -> i32 {
    1
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            replicas: one(),
            image: None,
            service: None,
            tls: None,
            pool: None,
            resources: None,
            network_policy: None,
            scheduling: Scheduling::default(),
        }
    }
}

/// The Service that applications connect to.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `ClusterIP` (the default), `LoadBalancer` or `NodePort`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,

    /// The port that applications connect to. Defaults to 5432.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// Annotations of the Service, for the controller that makes load balancers or names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

/// `ClusterIP` (the default), `LoadBalancer` or `NodePort`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From inside of the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// From outside as well, by a load balancer.
    LoadBalancer,
    /// From outside as well, by a port of every node.
    NodePort,
}

impl ServiceType {
    /// Its name in a Service.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
            Self::NodePort => "NodePort",
        }
    }
}

/// TLS towards applications.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingTls {
    /// A Secret of type `kubernetes.io/tls` with the certificate to show, such as cert-manager makes. Its key `ca.crt`, if there, is handed
    /// on in the access Secret.
    pub secret_ref: SecretName,
}

/// Bounds on connections, for each proxy pod.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// The most applications' connections that one proxy takes. Defaults to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_client_connections: Option<i32>,

    /// The most sessions that one proxy keeps for reads that run on production itself. Defaults to its share of
    /// `production.maxConnections`, which also bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub production_pool_size: Option<i32>,
}

/// What may connect to the proxies.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether NetworkPolicies are made for the preview's pods. Defaults to true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Who may connect, as in a NetworkPolicy's ingress rule. Defaults to every pod of the object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub from: Option<Vec<NetworkPolicyPeer>>,
}
