//! Reset, expiry, deletion.

use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::{PATIENCE, Production, text};
use serde_json::json;

use super::Stage;

/// A new value of the annotation drops the preview's changes, once.
#[test]
fn a_reset_drops_the_changes_once() {
    let Some(stage) = Stage::new("reset") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("again", json!({}));
    namespace.ready("again");
    let mut session = stage.connect("again");
    session.must("DELETE FROM orders WHERE id <= 5000");
    session.must("CREATE TABLE mine (id int)");
    let reset = |token: &str| json!({"metadata": {"annotations": {"previewpg.dev/reset": token}}});
    namespace.patch("PreviewDatabase", "again", &reset("1"));
    let object = namespace.wait("the reset", PATIENCE, || {
        let object = namespace.must_get("PreviewDatabase", "again");
        (text(&object, "/status/lastReset/token") == "1").then_some(object)
    });
    assert!(
        !text(&object, "/status/lastReset/time").is_empty(),
        "{object:#}"
    );
    namespace.ready("again");
    let mut session = stage.connect("again");
    assert_eq!(session.value("SELECT count(*) FROM orders"), "10000");
    assert_eq!(session.query("TABLE mine").unwrap_err().sqlstate, "42P01");
    namespace.event("again", "ResetDone");
    // The same value asks for nothing.
    session.must("DELETE FROM orders WHERE id = 1");
    namespace.patch(
        "PreviewDatabase",
        "again",
        &json!({"spec": {"proxy": {"pool": {"maxClientConnections": 77}}}}),
    );
    namespace.ready("again");
    assert_eq!(
        stage.connect("again").value("SELECT count(*) FROM orders"),
        "9999"
    );
}

/// A preview whose time is over goes by itself, with its pods and its volume.
#[test]
fn an_expired_preview_goes() {
    let Some(stage) = Stage::new("expiry") else {
        return;
    };
    let namespace = &stage.namespace;
    let object = stage.preview("brief", json!({"lifetime": {"ttl": "3m"}}));
    let made = Instant::now();
    let object_ready = namespace.ready("brief");
    assert!(
        !text(&object_ready, "/status/expirationTime").is_empty(),
        "{object_ready:#}"
    );
    assert_eq!(object["metadata"]["uid"], object_ready["metadata"]["uid"]);
    namespace.gone("PreviewDatabase", "brief");
    assert!(
        made.elapsed() > Duration::from_secs(175),
        "it went after {:?}",
        made.elapsed()
    );
    for kind in [
        "Deployment",
        "StatefulSet",
        "Service",
        "Secret",
        "PersistentVolumeClaim",
        "Pod",
    ] {
        namespace.until(&format!("no {kind}"), || {
            namespace
                .list(kind, "app.kubernetes.io/instance=brief")
                .is_empty()
        });
    }
}

/// Deleted means gone, volume and all; unless it says that it's kept.
#[test]
fn a_deleted_preview_leaves_what_its_policy_says() {
    let Some(stage) = Stage::new("deletion") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("goes", json!({}));
    stage.preview("stays", json!({"fresh": {"reclaimPolicy": "Retain"}}));
    namespace.ready("goes");
    namespace.ready("stays");
    let mut clients = [stage.connect("goes"), stage.connect("stays")];
    for client in &mut clients {
        client.must("CREATE TABLE mine AS SELECT 1 AS id");
    }
    namespace.delete("PreviewDatabase", "goes");
    namespace.delete("PreviewDatabase", "stays");
    namespace.gone("PreviewDatabase", "goes");
    namespace.gone("PreviewDatabase", "stays");
    for name in ["goes", "stays"] {
        for kind in [
            "Deployment",
            "StatefulSet",
            "Service",
            "ConfigMap",
            "NetworkPolicy",
            "Pod",
        ] {
            let selector = format!("app.kubernetes.io/instance={name}");
            namespace.until(&format!("no {kind} of {name}"), || {
                namespace.list(kind, &selector).is_empty()
            });
        }
    }
    let claims = |name: &str| {
        namespace.list(
            "PersistentVolumeClaim",
            &format!("app.kubernetes.io/instance={name}"),
        )
    };
    namespace.until("the volume to go", || claims("goes").is_empty());
    assert_eq!(claims("stays").len(), 1, "the volume was to stay");
}

/// One small server for many previews: a database for each, dropped or kept with it; a name that is taken by another is left alone.
#[test]
fn a_database_for_each_preview_on_one_server() {
    let Some(stage) = Stage::new("shared") else {
        return;
    };
    let namespace = &stage.namespace;
    let cluster = namespace.cluster;
    let server: &'static Production = Box::leak(Box::new(Production::start(cluster, "fresh")));
    namespace.secret(
        "fresh-admin",
        &[("uri", &server.address("postgres", "postgres").url())],
    );
    let fresh = |database: &str, policy: &str| {
        json!({"fresh": {
            "connection": {"uri": {"secretKeyRef": {"name": "fresh-admin", "key": "uri"}}, "database": database,
                           "tls": {"mode": "disable"}},
            "reclaimPolicy": policy,
        }})
    };
    let mut admin = server.server.connect("postgres");
    admin.must("CREATE DATABASE somebody_else_s");
    server
        .server
        .connect("somebody_else_s")
        .must("CREATE TABLE precious (id int)");
    stage.preview("one", fresh("pr_one", "Delete"));
    stage.preview("two", fresh("pr_two", "Retain"));
    stage.preview("taken", fresh("somebody_else_s", "Delete"));
    namespace.ready("one");
    namespace.ready("two");
    namespace.condition("taken", "Ready", "False", "NameConflict");
    let (mut one, mut two) = (stage.connect("one"), stage.connect("two"));
    one.must("DELETE FROM orders");
    assert_eq!(one.value("SELECT count(*) FROM orders"), "0");
    assert_eq!(two.value("SELECT count(*) FROM orders"), "10000");
    for name in ["one", "two", "taken"] {
        namespace.delete("PreviewDatabase", name);
    }
    for name in ["one", "two", "taken"] {
        namespace.gone("PreviewDatabase", name);
    }
    let databases = admin
        .must("SELECT datname FROM pg_database WHERE datname LIKE 'pr\\_%' OR datname LIKE 'some%' ORDER BY 1")
        .rows()
        .concat();
    assert_eq!(databases, ["pr_two", "somebody_else_s"]);
}
