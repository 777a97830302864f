//! The operator's rights are all that it needs and no more: each is used, and without any of them something fails.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::cluster::Call;
use previewpg_tests::kubernetes::kubelet::pretend;
use previewpg_tests::kubernetes::namespace::name_of;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::{Cluster, Namespace, Production};
use previewpg_tests::servers::PASSWORD;
use serde_json::{Value, json};

use super::{PRETEND, cluster};

/// An API group, a resource and a verb.
type Right = (String, String, String);

/// A namespace, and an operator that watches it alone.
struct Place {
    namespace: Namespace,
    release: Release,
}

impl Place {
    fn new(cluster: &'static Cluster, name: &str) -> Place {
        let namespace = Namespace::new(cluster, name);
        let watched = format!("watchNamespaces={{{}}}", namespace.name);
        let home = format!("previewpg-{}", namespace.name);
        let release = Release::new(cluster, &home, &["crds.install=false", &watched]);
        Place { namespace, release }
    }

    /// The Role in the namespace where previews are.
    fn role(&self) -> Value {
        let mut roles = self.namespace.list("Role", "");
        assert_eq!(roles.len(), 1, "{roles:#?}");
        roles.remove(0)
    }

    /// What the operator asked for here.
    fn calls(&self) -> Vec<Call> {
        let user = self.release.user();
        let mut calls = self.namespace.cluster.audit();
        calls.retain(|call| call.user == user);
        calls
    }

    /// Two previews, of a server of yours and managed, through what may happen to them.
    fn make(&self) {
        let cluster = self.namespace.cluster;
        let production = Production::shared(cluster);
        let database = production.database("CREATE TABLE customers (id int PRIMARY KEY)");
        self.namespace
            .secret("prod-readonly", &[("uri", &database.url("reader"))]);
        let fresh = production
            .address("postgres", "postgres")
            .role("postgres", PASSWORD)
            .url();
        self.namespace.secret("fresh-admin", &[("uri", &fresh)]);
        for (name, fresh) in [
            ("managed", json!({"managed": {"storage": {"size": "1Gi"}}})),
            (
                "own",
                json!({"connection": {
                "uri": {"secretKeyRef": {"name": "fresh-admin", "key": "uri"}},
                "database": format!("fresh_{}", database.name), "tls": {"mode": "disable"}}}),
            ),
        ] {
            self.namespace.apply(&preview(name, fresh, 2).to_string());
        }
    }

    /// What comes later in their lives.
    fn live(&self) {
        let larger = json!({"spec": {"fresh": {"managed": {"storage": {"size": "2Gi"}}}, "proxy": {"replicas": 1, "networkPolicy": {"enabled": false}}}});
        self.namespace.patch("PreviewDatabase", "managed", &larger);
        let fewer =
            json!({"spec": {"proxy": {"replicas": 1, "networkPolicy": {"enabled": false}}}});
        self.namespace.patch("PreviewDatabase", "own", &fewer);
    }
}

fn preview(name: &str, fresh: Value, replicas: u32) -> Value {
    json!({
        "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": name},
        "spec": {
            "production": {
                "connection": {"uri": {"secretKeyRef": {"name": "prod-readonly", "key": "uri"}}},
                "tls": {"mode": "disable"},
            },
            "fresh": fresh,
            "proxy": {"replicas": replicas},
            "lifetime": {"ttl": "10m"},
        },
    })
}

fn rights_of(rules: &Value) -> BTreeSet<Right> {
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let values = rule[field].as_array().cloned().unwrap_or_default();
        values
            .iter()
            .map(|value| value.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    assert!(
                        ![&group, &resource, &verb].iter().any(|word| *word == "*"),
                        "{rule}"
                    );
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

/// All that a preview goes through asks for every right that the chart gives, and is never refused.
#[test]
fn every_right_is_used_and_none_is_missing() {
    let Some(cluster) = cluster() else { return };
    pretend(cluster, PRETEND);
    let place = Place::new(cluster, "rights");
    let rights = rights_of(&place.role()["rules"]);
    let _operator = place.release.start(&[]);
    place.make();
    let namespace = &place.namespace;
    namespace.condition("own", "Ready", "True", "Serving");
    namespace.until("a claim", || {
        !namespace.list("PersistentVolumeClaim", "").is_empty()
    });
    place.live();
    // Nothing binds the claim here, and what isn't bound can't grow: it's the attempt that counts.
    namespace.until("a request for a larger claim", || {
        place
            .calls()
            .iter()
            .any(|call| call.resource == "persistentvolumeclaims" && call.verb == "patch")
    });
    // Children that are bent or deleted are put right.
    for kind in ["ConfigMap", "Service", "Deployment", "Secret"] {
        for child in namespace.list(kind, "app.kubernetes.io/instance=own") {
            namespace.delete(kind, &name_of(&child));
        }
    }
    namespace.condition("own", "Ready", "True", "Serving");
    // The condition may be of before.
    namespace.until("the Secret for applications again", || {
        namespace.get("Secret", "own-app").is_some()
    });
    // Its Secret for applications gets another name.
    namespace.patch(
        "PreviewDatabase",
        "own",
        &json!({"spec": {"access": {"secretName": "another"}}}),
    );
    namespace.until("the Secret under its new name only", || {
        namespace.get("Secret", "another").is_some() && namespace.get("Secret", "own-app").is_none()
    });
    // One expires, one is deleted.
    namespace.patch(
        "PreviewDatabase",
        "own",
        &json!({"spec": {"lifetime": {"ttl": "1m"}}}),
    );
    namespace.delete("PreviewDatabase", "managed");
    namespace.gone("PreviewDatabase", "managed");
    namespace.gone("PreviewDatabase", "own");

    let calls = place.calls();
    let refused: Vec<_> = calls.iter().filter(|call| !call.allowed).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let used: BTreeSet<Right> = calls
        .iter()
        .filter(|call| call.namespace == namespace.name)
        .map(|call| (call.group.clone(), call.resource.clone(), call.verb.clone()))
        .collect();
    let unused: Vec<_> = rights
        .difference(&used)
        // Checked by an admission plugin when a child names its owner, and by server-side apply of what isn't there yet: neither
        // is a request of its own. The other test shows that they are needed.
        .filter(|(_, resource, verb)| resource != "previewdatabases/finalizers" && verb != "create")
        // Checked by the same plugin when a volume gets its owner; without it no volume goes with its preview.
        .filter(|(_, resource, verb)| resource != "persistentvolumeclaims" || verb != "delete")
        .collect();
    assert!(unused.is_empty(), "never asked for: {unused:#?}");
}

/// Each of the Role's rules is taken away from an operator of its own, which then runs into it.
#[test]
fn without_any_rule_something_fails() {
    let Some(cluster) = cluster() else { return };
    pretend(cluster, PRETEND);
    let count = Place::new(cluster, "rules").role()["rules"]
        .as_array()
        .map_or(0, Vec::len);
    assert!(count > 5, "{count} rules");
    let places: Vec<(Place, Value, Operator)> = (0..count)
        .map(|n| {
            let place = Place::new(cluster, &format!("rule{n}"));
            let mut role = place.role();
            let rule = role["rules"].as_array_mut().unwrap().remove(n);
            let patch = json!({"rules": role["rules"]});
            place.namespace.patch("Role", &name_of(&role), &patch);
            place.make();
            let operator = place.release.start(&[]);
            (place, rule, operator)
        })
        .collect();
    let started = Instant::now();
    let mut grown = false;
    let mut left: Vec<&(Place, Value, Operator)> = places.iter().collect();
    while !left.is_empty() {
        left.retain(|(place, rule, _)| {
            let missing = rights_of(&json!([rule]));
            !place.calls().iter().any(|call| {
                // The right on finalizers is checked when a child names its owner.
                let finalizers = missing
                    .iter()
                    .any(|(_, resource, _)| resource.ends_with("/finalizers"));
                let right = (call.group.clone(), call.resource.clone(), call.verb.clone());
                call.code == 403 && (missing.contains(&right) || finalizers)
            })
        });
        if !grown && started.elapsed() > Duration::from_secs(20) {
            grown = true;
            for (place, ..) in &left {
                place.live();
            }
        }
        if started.elapsed() > Duration::from_secs(180) {
            let rules: Vec<_> = left.iter().map(|(_, rule, _)| rule.to_string()).collect();
            panic!("nothing fails without: {rules:#?}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
