//! Deletion, expiry and reset, with databases that are there and that aren't.

use std::time::{Duration, Instant};

use previewpg_tests::client::Session;
use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::{PATIENCE, Production, text};
use previewpg_tests::servers::PASSWORD;
use serde_json::json;

use super::Stage;

#[test]
fn a_deleted_preview_s_database_goes_though_clients_are_connected() {
    let Some(stage) = Stage::new("goes") else {
        return;
    };
    stage.preview("one", json!({}));
    stage.namespace.ready("one");
    assert!(stage.has_database("one"));
    let mut client = stage
        .production
        .production
        .server
        .connect(&stage.fresh_database("one"));
    client.must("SELECT 1");
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
    assert!(!stage.has_database("one"));
    stage.namespace.event("one", "DatabaseDropped");
    assert!(
        client.query("SELECT 1").error().is_some(),
        "the client's connection goes on"
    );
}

#[test]
fn a_retained_database_stays() {
    let Some(stage) = Stage::new("stays") else {
        return;
    };
    stage.preview("one", json!({"fresh": {"reclaimPolicy": "Retain"}}));
    stage.namespace.ready("one");
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
    assert!(stage.has_database("one"));
    stage.namespace.event("one", "DatabaseRetained");
}

/// The same name again, after Retain: another object, which isn't given what it didn't make. What the message says hands it over.
#[test]
fn a_retained_database_is_handed_over() {
    let Some(stage) = Stage::new("again") else {
        return;
    };
    let retain = json!({"fresh": {"reclaimPolicy": "Retain"}});
    stage.preview("one", retain.clone());
    stage.namespace.ready("one");
    let database = stage.fresh_database("one");
    let connect = || stage.production.production.server.connect(&database);
    connect().must("CREATE TABLE kept AS SELECT 42 AS id");
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
    stage.preview("one", retain);
    let object = stage
        .namespace
        .condition("one", "FreshReady", "False", "NameConflict");
    let message = text(condition(&object, "FreshReady").unwrap(), "/message");
    let (_, statements) = message.split_once("there: ").expect("what to do");
    for object in ["DATABASE", "ROLE"] {
        assert!(
            statements.contains(&format!("COMMENT ON {object} ")),
            "{message}"
        );
    }
    stage.admin().must(statements);
    stage.namespace.ready("one");
    assert_eq!(connect().value("SELECT id FROM kept"), "42");
}

/// A preview whose databases don't answer any more is let go, after a while and with a word about what may be left.
#[test]
fn databases_that_are_gone_hold_nothing_back() {
    let Some(stage) = Stage::new("unreachable") else {
        return;
    };
    let mut server = Production::start(stage.namespace.cluster, "doomed");
    let address = server
        .address("postgres", "postgres")
        .role("postgres", PASSWORD);
    stage.fresh_secret(&address.url());
    stage.preview("one", json!({}));
    stage.namespace.ready("one");
    server.server.stop();
    let began = Instant::now();
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    let note = stage.namespace.event("one", "CleanupAbandoned");
    assert!(note.contains(&stage.fresh_database("one")), "{note}");
}

/// The Secrets went first, as when a whole namespace is deleted.
#[test]
fn secrets_that_are_gone_hold_nothing_back() {
    let Some(stage) = Stage::new("secretless") else {
        return;
    };
    stage.preview("one", json!({}));
    stage.namespace.ready("one");
    stage.namespace.delete("Secret", "prod-readonly");
    stage.namespace.delete("Secret", "fresh-admin");
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
}

/// `kubectl delete namespace` isn't held up by the previews in it.
#[test]
fn a_namespace_goes_with_its_previews() {
    let Some(stage) = Stage::new("wholly") else {
        return;
    };
    for name in ["one", "two", "three"] {
        stage.preview(name, json!({}));
    }
    for name in ["one", "two", "three"] {
        stage.namespace.ready(name);
    }
    let api = &stage.namespace.cluster.api;
    api.delete("Namespace", "", &stage.namespace.name);
    stage.namespace.until("the namespace to go", || {
        api.get("Namespace", "", &stage.namespace.name).is_none()
    });
}

/// A preview that never worked can be deleted, too.
#[test]
fn what_never_was_is_deleted_at_once() {
    let Some(stage) = Stage::new("never") else {
        return;
    };
    stage.production_secret("postgres://reader:x@127.0.0.1:1/nowhere");
    stage.preview("one", json!({}));
    stage
        .namespace
        .condition("one", "Ready", "False", "ConnectionRefused");
    let began = Instant::now();
    stage.namespace.delete("PreviewDatabase", "one");
    stage.namespace.gone("PreviewDatabase", "one");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn its_time_is_over() {
    let Some(stage) = Stage::new("expires") else {
        return;
    };
    stage.preview("one", json!({"lifetime": {"ttl": "10m"}}));
    let object = stage.namespace.ready("one");
    assert!(!text(&object, "/status/expirationTime").is_empty());
    // Less time, by a change of the spec.
    stage.namespace.patch(
        "PreviewDatabase",
        "one",
        &json!({"spec": {"lifetime": {"ttl": "1m"}}}),
    );
    stage.namespace.gone("PreviewDatabase", "one");
    assert!(!stage.has_database("one"));
    stage.namespace.event("one", "Expired");
}

#[test]
fn a_reset_begins_anew() {
    let Some(stage) = Stage::new("reset") else {
        return;
    };
    stage.preview("one", json!({}));
    stage.namespace.ready("one");
    let database = stage.fresh_database("one");
    let connect = || -> Session { stage.production.production.server.connect(&database) };
    connect().must("CREATE TABLE mine (id int)");
    let annotation = json!({"metadata": {"annotations": {"previewpg.dev/reset": "now"}}});
    stage.namespace.patch("PreviewDatabase", "one", &annotation);
    stage.namespace.wait("the reset", PATIENCE, || {
        let object = stage.namespace.must_get("PreviewDatabase", "one");
        (text(&object, "/status/lastReset/token") == "now").then_some(())
    });
    stage.namespace.ready("one");
    assert_eq!(connect().query("TABLE mine").sqlstate(), Some("42P01"));
}
