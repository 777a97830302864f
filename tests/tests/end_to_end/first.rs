//! The first preview, as its users meet it.

use std::collections::BTreeSet;
use std::time::Duration;

use previewpg_tests::digest::difference;
use previewpg_tests::kubernetes::namespace::{condition, is_ready, name_of};
use previewpg_tests::kubernetes::{Namespace, Psql, text};
use serde_json::Value;

use super::Stage;

/// What a preview is made of, by kind.
const CHILDREN: &[&str] = &[
    "ConfigMap",
    "Secret",
    "Service",
    "Deployment",
    "StatefulSet",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PersistentVolumeClaim",
    "Pod",
];

/// A few lines of YAML and an application that knows only the generated Secret: it reads production's rows, migrates and writes, and
/// production doesn't notice.
#[test]
fn an_application_that_knows_only_the_secret() {
    let Some(stage) = Stage::new("first") else {
        return;
    };
    let Stage {
        namespace,
        production,
        ..
    } = &stage;
    let before = production.digest();
    // The application is there first, as in a deployment of everything at once: it starts when the Secret comes.
    namespace.apply_file("app", &[("SECRET", "pr-1-app")]);
    namespace.apply_file("preview", &[]);
    let object = namespace.ready("pr-1");

    let pod = namespace.ready_pods("app=shop", 1).remove(0);
    let counts = namespace.wait("the application's counts", Duration::from_secs(60), || {
        let log = namespace
            .cluster
            .api
            .log(&namespace.name, &pod, "shop", false)
            .ok()?;
        let counts: Vec<_> = log
            .lines()
            .filter(|line| line.parse::<u64>().is_ok())
            .map(ToOwned::to_owned)
            .collect();
        (counts.len() >= 3).then_some(counts)
    });
    assert!(counts.iter().all(|count| count == "10000"), "{counts:?}");

    let mut session = Psql::in_pod(namespace, &pod).unwrap();
    let seen: u32 = session
        .value("SELECT count(*) FROM orders WHERE note = 'seen'")
        .parse()
        .unwrap();
    let untouched: u32 = session
        .value("SELECT count(*) FROM orders WHERE note = 'none'")
        .parse()
        .unwrap();
    assert!(
        seen >= 1 && untouched >= 9000,
        "{seen} seen, {untouched} untouched"
    );
    session.must("DELETE FROM orders WHERE id = 5000");
    session.must("INSERT INTO customers (email) VALUES ('new@example.test')");
    session.must("UPDATE customers SET balance = balance + 1 WHERE id <= 10");
    assert_eq!(session.value("SELECT count(*) FROM orders"), "9999");
    assert_eq!(session.value("SELECT count(*) FROM customers"), "2001");
    assert_eq!(
        session.value("SELECT sum(balance) FROM customers WHERE id <= 10"),
        "65.00"
    );
    let refused = session
        .query("INSERT INTO customers (email) VALUES ('customer7@example.test')")
        .unwrap_err();
    assert_eq!(refused.sqlstate, "23505", "{refused:?}");
    // Production's later changes show, where the preview changed nothing.
    production
        .connect()
        .must("UPDATE customers SET balance = 77 WHERE id = 1000");
    assert_eq!(
        session.value("SELECT balance FROM customers WHERE id = 1000"),
        "77.00"
    );
    production
        .connect()
        .must("UPDATE customers SET balance = 0 WHERE id = 1000");
    let changed = difference(&before, &production.digest());
    assert!(changed.is_empty(), "production changed: {changed:#?}");

    tells_what_it_is(namespace, &object);
    keeps_secrets(&stage);
    admits_only_its_own(namespace);
    is_at_rest(namespace);
}

fn tells_what_it_is(namespace: &Namespace, object: &Value) {
    let status = &object["status"];
    let of = |pointer| text(status, pointer).to_owned();
    assert_eq!(
        of("/endpoint/host"),
        format!("pr-1.{}.svc", namespace.name),
        "{status:#}"
    );
    assert_eq!(status["endpoint"]["port"], 5432, "{status:#}");
    assert_eq!(of("/secretName"), "pr-1-app", "{status:#}");
    assert!(of("/production/version").starts_with("1"), "{status:#}");
    assert!(of("/fresh/version").starts_with("18"), "{status:#}");
    assert!(
        of("/schema/fingerprint").starts_with("sha256:"),
        "{status:#}"
    );
    assert_eq!(status["tables"]["served"], 2, "{status:#}");
    for kind in [
        "Ready",
        "ProductionReachable",
        "FreshReady",
        "SchemaSynced",
        "ProxyAvailable",
    ] {
        let condition =
            condition(object, kind).unwrap_or_else(|| panic!("no condition {kind}: {status:#}"));
        assert_eq!(text(condition, "/status"), "True", "{condition:#}");
    }
    let keys: BTreeSet<String> = namespace.secret_values("pr-1-app").into_keys().collect();
    let promised = [
        "ca.crt", "dbname", "host", "jdbc-uri", "password", "pgpass", "port", "uri", "username",
    ];
    assert_eq!(keys, promised.map(ToOwned::to_owned).into());
    let listed = namespace
        .cluster
        .kubectl(&["--namespace", &namespace.name, "get", "pvdb"]);
    assert!(
        listed.contains("True") && listed.contains("Serving"),
        "{listed}"
    );
    // The proxies and the database have no business with the API server.
    for pod in namespace.list("Pod", "app.kubernetes.io/instance=pr-1") {
        assert_eq!(
            pod["spec"]["automountServiceAccountToken"], false,
            "{pod:#}"
        );
    }
}

/// Production's password and the access password stand nowhere but in Secrets.
fn keeps_secrets(stage: &Stage) {
    let namespace = &stage.namespace;
    let access = namespace
        .secret_values("pr-1-app")
        .remove("password")
        .unwrap();
    let mut places: Vec<(String, String)> = CHILDREN
        .iter()
        .chain(&["PreviewDatabase", "Event", "ReplicaSet"])
        .filter(|kind| **kind != "Secret")
        .flat_map(|kind| namespace.list(kind, ""))
        .map(|object| {
            (
                format!("{} {}", text(&object, "/kind"), name_of(&object)),
                object.to_string(),
            )
        })
        .collect();
    places.push((
        "the operator's log".to_owned(),
        namespace.cluster.whole_operator_log(),
    ));
    for pod in namespace.list("Pod", "app.kubernetes.io/instance=pr-1") {
        let (name, container) = (
            name_of(&pod),
            text(&pod, "/spec/containers/0/name").to_owned(),
        );
        let log = namespace
            .cluster
            .api
            .log(&namespace.name, &name, &container, false)
            .unwrap_or_default();
        places.push((format!("the log of {name}"), log));
    }
    for (place, content) in &places {
        for secret in [&stage.password, &access] {
            assert!(
                !content.contains(secret.as_str()),
                "a password stands in {place}"
            );
        }
    }
}

/// Pods of the namespace may connect; others may not, and nobody but the proxies may reach the database behind them.
fn admits_only_its_own(namespace: &Namespace) {
    let elsewhere = Namespace::new(namespace.cluster, "elsewhere");
    namespace.apply_file("client", &[("NAME", "friend")]);
    elsewhere.apply_file("client", &[("NAME", "stranger")]);
    let friend = namespace.ready_pods("app=friend", 1).remove(0);
    let stranger = elsewhere.ready_pods("app=stranger", 1).remove(0);
    let proxy = format!("pr-1.{}.svc", namespace.name);
    let fresh = format!("pr-1-fresh.{}.svc", namespace.name);
    let reaches = |home: &Namespace, pod: &str, host: &str| {
        let out = home
            .exec(pod, &["pg_isready", "--timeout=3", "--host", host])
            .output()
            .unwrap();
        out.status.success()
    };
    namespace.until("the friend to reach the proxy", || {
        reaches(namespace, &friend, &proxy)
    });
    assert!(
        !reaches(&elsewhere, &stranger, &proxy),
        "a pod of another namespace reaches the proxy"
    );
    assert!(
        !reaches(namespace, &friend, &fresh),
        "a pod that isn't a proxy reaches fresh"
    );
}

/// Applying the same again changes nothing, and a preview that serves is left alone.
fn is_at_rest(namespace: &Namespace) {
    let versions = || -> Vec<(String, String, String)> {
        CHILDREN
            .iter()
            .chain(&["PreviewDatabase"])
            .flat_map(|kind| namespace.list(kind, ""))
            .filter(|object| !is_pod_that_isnt_ready(object))
            .map(|object| {
                let of = |pointer| text(&object, pointer).to_owned();
                (
                    of("/kind"),
                    of("/metadata/name"),
                    of("/metadata/resourceVersion"),
                )
            })
            .collect()
    };
    let before = versions();
    namespace.apply_file("preview", &[]);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(before, versions());
}

fn is_pod_that_isnt_ready(object: &Value) -> bool {
    text(object, "/kind") == "Pod" && !is_ready(object)
}
