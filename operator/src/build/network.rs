//! Who may connect to the preview's pods.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{Component, selector};
use super::{ADMIN_PORT, Frame, POSTGRES_PORT};

/// Where the operator connects from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorSource {
    /// The operator's namespace, if it runs in the cluster.
    pub namespace: Option<String>,
    /// Labels of the operator's pods there.
    pub labels: BTreeMap<String, String>,
    /// Addresses that it connects from, if it runs outside of the cluster (CIDR).
    pub addresses: Vec<String>,
}

impl OperatorSource {
    fn peers(&self) -> Vec<NetworkPolicyPeer> {
        let inside = self.namespace.as_ref().map(|namespace| NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector {
                match_labels: Some(BTreeMap::from([(
                    "kubernetes.io/metadata.name".to_owned(),
                    namespace.clone(),
                )])),
                match_expressions: None,
            }),
            pod_selector: Some(LabelSelector {
                match_labels: Some(self.labels.clone()),
                match_expressions: None,
            }),
            ip_block: None,
        });
        let outside = self.addresses.iter().map(|cidr| NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: cidr.clone(),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        });
        inside.into_iter().chain(outside).collect()
    }
}

/// The proxies take connections from these peers (absent: every pod of the namespace), and whoever scrapes metrics.
#[must_use]
pub fn proxy(frame: &Frame<'_>, from: Option<&[NetworkPolicyPeer]>) -> NetworkPolicy {
    let peers = from.map_or_else(
        || {
            vec![NetworkPolicyPeer {
                pod_selector: Some(LabelSelector::default()),
                ..NetworkPolicyPeer::default()
            }]
        },
        <[_]>::to_vec,
    );
    let mut rules = vec![NetworkPolicyIngressRule {
        from: None,
        ports: Some(vec![port(ADMIN_PORT)]),
    }];
    // A rule without peers admits everybody; a list without peers is to admit nobody.
    if !peers.is_empty() {
        rules.insert(
            0,
            NetworkPolicyIngressRule {
                from: Some(peers),
                ports: Some(vec![port(POSTGRES_PORT)]),
            },
        );
    }
    policy(frame, &frame.names.proxy, Component::Proxy, rules)
}

/// The managed PostgreSQL takes connections from the preview's proxies and the operator only.
#[must_use]
pub fn fresh(frame: &Frame<'_>, operator: &OperatorSource) -> NetworkPolicy {
    let mut peers = vec![NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some(selector(&frame.names.preview, Component::Proxy)),
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
    }];
    peers.extend(operator.peers());
    let rule = NetworkPolicyIngressRule {
        from: Some(peers),
        ports: Some(vec![port(POSTGRES_PORT)]),
    };
    policy(frame, &frame.names.fresh, Component::Fresh, vec![rule])
}

fn policy(
    frame: &Frame<'_>,
    name: &str,
    component: Component,
    rules: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: frame.metadata(name, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(&frame.names.preview, component)),
                match_expressions: None,
            }),
            // What leaves the pods isn't bounded: production may be anywhere.
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules),
            egress: None,
        }),
    }
}

fn port(number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::build::tests::frame;

    fn rules(policy: NetworkPolicy) -> Vec<NetworkPolicyIngressRule> {
        policy.spec.unwrap().ingress.unwrap()
    }

    #[test]
    fn nobody_is_admitted_by_an_empty_list() {
        let all = rules(proxy(&frame(), None));
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].from.as_ref().unwrap().len(), 1);
        let none = rules(proxy(&frame(), Some(&[])));
        assert_eq!(none.len(), 1);
        assert_eq!(none[0].ports.as_ref().unwrap(), &[port(ADMIN_PORT)]);
    }

    #[test]
    fn fresh_is_for_proxies_and_the_operator() {
        let source = OperatorSource {
            namespace: Some("previewpg".to_owned()),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            addresses: vec!["10.0.0.1/32".to_owned()],
        };
        let peers = rules(fresh(&frame(), &source))[0].from.clone().unwrap();
        assert_eq!(peers.len(), 3);
        assert!(
            peers
                .iter()
                .all(|peer| peer.pod_selector.is_some() || peer.ip_block.is_some())
        );
        assert_eq!(
            rules(fresh(&frame(), &OperatorSource::default()))[0]
                .from
                .as_ref()
                .unwrap()
                .len(),
            1
        );
    }
}
