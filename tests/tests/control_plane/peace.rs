//! A preview that serves, and whose objects nobody changes: what the operator asks the API server for, with and without the right to watch Secrets.

use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::cluster::Call;
use previewpg_tests::kubernetes::kubelet::pretend;
use previewpg_tests::kubernetes::namespace::name_of;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::{Namespace, Production};
use previewpg_tests::servers::PASSWORD;
use serde_json::json;

use super::{PRETEND, cluster};

/// The shortest interval at which production's schema is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many of them are watched.
const INTERVALS: u32 = 3;

struct Peace {
    namespace: Namespace,
    operator: Operator,
    /// production's URI.
    uri: String,
}

impl Peace {
    /// One preview on a server that's there, with two proxies, and an operator with the chart's settings.
    fn new(name: &str, settings: &[&str], prepare: impl FnOnce(&Namespace)) -> Option<Peace> {
        let cluster = cluster()?;
        pretend(cluster, PRETEND);
        let namespace = Namespace::new(cluster, name);
        let watched = format!("watchNamespaces={{{}}}", namespace.name);
        let mut all = vec!["crds.install=false", &watched];
        all.extend(settings);
        let release = Release::new(cluster, &format!("previewpg-{}", namespace.name), &all);
        let production = Production::shared(cluster);
        let database = production.database("CREATE TABLE customers (id int PRIMARY KEY)");
        let uri = database.url("reader");
        namespace.secret("prod-readonly", &[("uri", &uri)]);
        let fresh = production
            .address("postgres", "postgres")
            .role("postgres", PASSWORD)
            .url();
        namespace.secret("fresh-admin", &[("uri", &fresh)]);
        prepare(&namespace);
        let operator = release.start(&[]);
        let object = json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": "pr-1"},
            "spec": {
                "production": {"connection": {"uri": {"secretKeyRef": {"name": "prod-readonly", "key": "uri"}}}, "tls": {"mode": "disable"}},
                "fresh": {"connection": {"uri": {"secretKeyRef": {"name": "fresh-admin", "key": "uri"}},
                    "database": format!("fresh_{}", database.name), "tls": {"mode": "disable"}}},
                "sync": {"interval": format!("{}s", INTERVAL.as_secs())},
                "proxy": {"replicas": 2},
            },
        });
        namespace.apply(&object.to_string());
        namespace.condition("pr-1", "Ready", "True", "Serving");
        Some(Peace {
            namespace,
            operator,
            uri,
        })
    }

    /// What the operator asks for in some intervals, beside watches and its lease.
    fn asked(&self) -> Vec<Call> {
        let calls = || {
            let mut calls = self.namespace.cluster.audit();
            calls.retain(|call| {
                call.credential == self.operator.credential()
                    && call.verb != "watch"
                    && call.resource != "leases"
            });
            calls
        };
        // What its own last writes set off comes back by the watches first.
        std::thread::sleep(INTERVAL * 2);
        let before = calls().len();
        std::thread::sleep(INTERVAL * INTERVALS);
        calls().split_off(before)
    }

    /// How often production's schema was looked at: the operator was at work.
    fn syncs(&self) -> f64 {
        let (_, metrics) = self.operator.admin("/metrics").unwrap();
        metrics
            .lines()
            .filter(|line| line.contains("database_jobs_total{job=\"sync\",result=\"success\"}"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

#[test]
fn secrets_are_read_by_name_and_nothing_else() {
    let Some(peace) = Peace::new("peace-reads", &[], |_| {}) else {
        return;
    };
    let syncs = peace.syncs();
    let calls = peace.asked();
    assert!(peace.syncs() > syncs);
    let others: Vec<_> = calls
        .iter()
        .filter(|call| call.verb != "get" || call.resource != "secrets")
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    // Two of its own, production's and fresh's.
    let most = 4 * (INTERVALS as usize + 1);
    assert!((1..=most).contains(&calls.len()), "{calls:#?}");
}

#[test]
fn where_secrets_are_watched_nothing_is_read_and_every_change_is_seen_at_once() {
    let Some(peace) = Peace::new("peace-watches", &["watchSecrets=true"], |_| {}) else {
        return;
    };
    let syncs = peace.syncs();
    let calls = peace.asked();
    assert!(peace.syncs() > syncs);
    assert!(calls.is_empty(), "{calls:#?}");

    let namespace = &peace.namespace;
    let calm = json!({"spec": {"sync": {"interval": "1h"}}});
    namespace.patch("PreviewDatabase", "pr-1", &calm);
    namespace.until("the interval to be taken up", || {
        namespace.must_get("PreviewDatabase", "pr-1")["status"]["observedGeneration"] == 2
    });
    let soon = |what: &str, holds: &mut dyn FnMut() -> bool| {
        let began = Instant::now();
        namespace.until(what, holds);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
    };
    let reason = || {
        let object = namespace.must_get("PreviewDatabase", "pr-1");
        let conditions = object["status"]["conditions"].as_array().cloned();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready");
        ready.map(|ready| ready["reason"].clone())
    };
    // Production's Secret: wrong, gone, and mended.
    let wrong = peace.uri.replace(PASSWORD, "wrong");
    namespace.secret("prod-readonly", &[("uri", &wrong)]);
    soon("a wrong password to be told", &mut || {
        reason() == Some("AuthenticationFailed".into())
    });
    namespace.delete("Secret", "prod-readonly");
    soon("a missing Secret to be told", &mut || {
        reason() == Some("SecretNotFound".into())
    });
    namespace.secret("prod-readonly", &[("uri", &peace.uri)]);
    soon("the mended Secret to be taken up", &mut || {
        reason() == Some("Serving".into())
    });
    // Its own: one that's deleted comes back.
    let uid = |secret: &str| {
        namespace
            .get("Secret", secret)
            .map(|it| it["metadata"]["uid"].clone())
    };
    let before = uid("pr-1-app");
    namespace.delete("Secret", "pr-1-app");
    soon("the access Secret to come back", &mut || {
        uid("pr-1-app").is_some_and(|now| Some(now) != before)
    });
}

/// Whoever has roles of their own may have forgotten the right: the log says so, and Secrets are read as without the watch.
#[test]
fn a_watch_that_is_refused_leaves_secrets_to_be_read() {
    let refuse = |namespace: &Namespace| {
        let role = namespace.list("Role", "").remove(0);
        let mut rules = role["rules"].as_array().unwrap().clone();
        rules.retain(|rule| rule["verbs"] != json!(["list", "watch"]));
        assert_eq!(rules.len() + 1, role["rules"].as_array().unwrap().len());
        namespace.patch("Role", &name_of(&role), &json!({"rules": rules}));
    };
    let Some(peace) = Peace::new("peace-refused", &["watchSecrets=true"], refuse) else {
        return;
    };
    let calls = peace.asked();
    assert!(calls.iter().any(|call| call.verb == "get"), "{calls:#?}");
    for call in &calls {
        let refused = call.verb == "list" && call.code == 403;
        assert!(call.verb == "get" || refused, "{call:#?}");
        assert_eq!(call.resource, "secrets");
    }
}
