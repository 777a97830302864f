//! Of several operators one acts.

use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::cluster::Call;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::{Cluster, Namespace, text};
use serde_json::json;

use super::cluster;

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

    fn holder(&self) -> String {
        let lease =
            self.namespace
                .cluster
                .api
                .get("Lease", &self.release.namespace, &self.release.lease());
        lease
            .map(|lease| text(&lease, "/spec/holderIdentity").to_owned())
            .unwrap_or_default()
    }

    /// Waits until somebody other than `before` holds the Lease; who.
    fn other_holder(&self, before: &str, patience: Duration) -> String {
        self.namespace
            .wait("another holder of the lease", patience, || {
                let holder = self.holder();
                (!holder.is_empty() && holder != before).then_some(holder)
            })
    }

    /// What a process wrote.
    fn writes(&self, operator: &Operator) -> Vec<Call> {
        let mut calls = self.namespace.cluster.audit();
        calls.retain(|call| call.credential == operator.credential() && call.writes());
        calls
    }

    /// A preview that can't work: what is to be seen is that somebody says so.
    fn ask(&self, name: &str) {
        let object = json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": name},
            "spec": {"production": {"connection": {"uri": {"secretKeyRef": {"name": "nowhere", "key": "uri"}}}}},
        });
        self.namespace.apply(&object.to_string());
        self.namespace
            .condition(name, "Ready", "False", "SecretNotFound");
    }
}

/// The second waits; it takes over at once when the first ends well, and when the Lease runs out if the first is killed.
#[test]
fn the_second_waits_and_takes_over() {
    let Some(cluster) = cluster() else { return };
    let place = Place::new(cluster, "lease-over");
    let mut first = place.release.start(&[]);
    let holder = place.other_holder("", Duration::from_secs(30));
    let mut second = place.release.start(&[]);
    place.ask("one");
    assert!(
        !place.writes(&first).is_empty() && place.writes(&second).is_empty(),
        "the second acts"
    );
    assert_eq!(place.holder(), holder);
    first.signal("TERM");
    let status = first.ended(Duration::from_secs(30));
    assert!(status.success(), "{status}:\n{}", first.log());
    let began = Instant::now();
    let holder = place.other_holder(&holder, Duration::from_secs(30));
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "the lease wasn't handed back: {:?}",
        began.elapsed()
    );
    place.ask("two");
    assert!(!place.writes(&second).is_empty());

    let third = place.release.start(&[]);
    second.signal("KILL");
    second.ended(Duration::from_secs(10));
    place.other_holder(&holder, Duration::from_secs(60));
    place.ask("three");
    assert!(!place.writes(&third).is_empty());
}

/// One that lost the Lease ends, with a status that makes whoever started it start it again.
#[test]
fn losing_the_lease_ends_the_operator() {
    let Some(cluster) = cluster() else { return };
    let place = Place::new(cluster, "lease-lost");
    let mut operator = place.release.start(&[]);
    let holder = place.other_holder("", Duration::from_secs(30));
    assert!(operator.runs());
    let now = cluster
        .api
        .get("Lease", &place.release.namespace, &place.release.lease())
        .unwrap();
    let taken =
        json!({"spec": {"holderIdentity": "somebody-else", "renewTime": now["spec"]["renewTime"]}});
    cluster.api.patch(
        "Lease",
        &place.release.namespace,
        &place.release.lease(),
        &taken,
    );
    let status = operator.ended(Duration::from_secs(30));
    assert!(!status.success(), "it ends as if all were well");
    assert_ne!(place.holder(), holder);
    assert!(operator.log().contains("lease"), "{}", operator.log());
}

/// One that slept through the end of its Lease writes nothing when it wakes up: another has been at work since.
#[test]
fn one_that_slept_writes_nothing_more() {
    let Some(cluster) = cluster() else { return };
    let place = Place::new(cluster, "lease-slept");
    let mut sleeper = place.release.start(&[]);
    let holder = place.other_holder("", Duration::from_secs(30));
    place.ask("one");
    let heir = place.release.start(&[]);
    sleeper.signal("STOP");
    place.other_holder(&holder, Duration::from_secs(60));
    place.ask("two");
    assert!(!place.writes(&heir).is_empty());
    // Something to do for whoever thinks that it may.
    place.namespace.patch(
        "PreviewDatabase",
        "two",
        &json!({"spec": {"sync": {"interval": "77s"}}}),
    );
    place
        .namespace
        .condition("two", "Ready", "False", "SecretNotFound");
    let before = place.writes(&sleeper).len();
    sleeper.signal("CONT");
    let status = sleeper.ended(Duration::from_secs(30));
    assert!(!status.success(), "it ends as if all were well");
    let after = place.writes(&sleeper);
    assert_eq!(
        after.len(),
        before,
        "it wrote after it woke up: {:#?}",
        &after[before..]
    );
}
