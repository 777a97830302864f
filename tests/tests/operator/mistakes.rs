//! What users get wrong: a condition that says it, an event, no secret in either, and recovery by itself when it's mended.

use std::sync::OnceLock;

use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::{PATIENCE, text};
use previewpg_tests::servers::{FRESH_BIN, PASSWORD, Server, free_port, fresh_programs};
use serde_json::{Value, json};

use super::Stage;

/// Makes a mistake, waits for what is said about it, mends it, and waits for the preview.
fn mistake(
    name: &str,
    (kind, reason): (&str, &str),
    words: &[&str],
    spec: Value,
    make: impl FnOnce(&Stage),
    mend: impl FnOnce(&Stage),
) {
    let Some(stage) = Stage::new(name) else {
        return;
    };
    make(&stage);
    stage.preview("wrong", spec);
    let object = stage.namespace.condition("wrong", kind, "False", reason);
    let ready = condition(&object, "Ready").expect("the summary");
    assert_eq!(
        (text(ready, "/status"), text(ready, "/reason")),
        ("False", reason),
        "{:#}",
        object["status"]
    );
    let message = text(condition(&object, kind).unwrap(), "/message");
    for word in words {
        assert!(message.contains(word), "{word:?} isn't in {message:?}");
    }
    let note = stage.namespace.event("wrong", reason);
    for said in [
        message,
        &note,
        &object["status"].to_string(),
        &stage.namespace.cluster.operator_log(&stage.namespace.name),
    ] {
        assert!(!said.contains(PASSWORD), "a password is shown: {said}");
    }
    mend(&stage);
    stage.namespace.ready("wrong");
    let told = stage
        .namespace
        .events("wrong")
        .into_iter()
        .filter(|(_, r, _)| r == reason)
        .count();
    assert_eq!(
        told,
        1,
        "told again and again: {:#?}",
        stage.namespace.events("wrong")
    );
}

const NONE: Value = Value::Null;

fn nothing() -> Value {
    json!({})
}

#[test]
fn a_secret_that_isn_t_there() {
    mistake(
        "no-secret",
        ("ProductionReachable", "SecretNotFound"),
        &["prod-readonly"],
        nothing(),
        |stage| stage.namespace.delete("Secret", "prod-readonly"),
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_key_that_isn_t_there() {
    mistake(
        "no-key",
        ("ProductionReachable", "SecretKeyNotFound"),
        &["prod-readonly", "uri"],
        nothing(),
        |stage| {
            stage.namespace.delete("Secret", "prod-readonly");
            stage
                .namespace
                .secret("prod-readonly", &[("url", &stage.production.url("reader"))]);
        },
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_secret_that_makes_no_sense() {
    mistake(
        "no-sense",
        ("ProductionReachable", "SecretInvalid"),
        &["prod-readonly", "uri"],
        nothing(),
        |stage| stage.production_secret(&format!("mysql://reader:{PASSWORD}@db/shop")),
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_wrong_password() {
    mistake(
        "password",
        ("ProductionReachable", "AuthenticationFailed"),
        &["reader"],
        nothing(),
        |stage| {
            stage.production_secret(
                &stage
                    .production
                    .url("reader")
                    .replace(PASSWORD, "not-this-one"),
            )
        },
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_role_that_can_write() {
    mistake(
        "writer",
        ("ProductionReachable", "ProductionRoleCanWrite"),
        &["writer"],
        nothing(),
        |stage| stage.production_secret(&stage.production.url("writer")),
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

/// A table that the role may not read is told, and served as soon as it may.
#[test]
fn a_role_that_cannot_read() {
    let Some(stage) = Stage::new("blind") else {
        return;
    };
    let role = format!("blind_{}", stage.production.name);
    stage
        .admin()
        .must(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
    stage.production_secret(&stage.production.url(&role));
    stage.preview("wrong", json!({"sync": {"interval": "10s"}}));
    let object = stage
        .namespace
        .condition("wrong", "SchemaSynced", "True", "UnsupportedTable");
    let message = text(condition(&object, "SchemaSynced").unwrap(), "/message");
    assert!(message.contains("public.customers"), "{message}");
    assert_eq!(
        text(&object, "/status/unsupported/0/name"),
        "public.customers"
    );
    stage
        .admin()
        .must(&format!("GRANT pg_read_all_data TO {role}"));
    let object = stage
        .namespace
        .condition("wrong", "SchemaSynced", "True", "InSync");
    assert_eq!(object["status"]["tables"]["served"], 1, "{object:#}");
}

#[test]
fn a_port_where_nobody_listens() {
    mistake(
        "refused",
        ("ProductionReachable", "ConnectionRefused"),
        &[],
        nothing(),
        |stage| {
            let right = stage.production.production.server.port.to_string();
            stage.production_secret(
                &stage
                    .production
                    .url("reader")
                    .replace(&right, &free_port().to_string()),
            );
        },
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_database_that_doesn_t_exist() {
    mistake(
        "nodb",
        ("ProductionReachable", "DatabaseNotFound"),
        &["nowhere"],
        nothing(),
        |stage| {
            stage.production_secret(
                &stage
                    .production
                    .url("reader")
                    .replace(&stage.production.name, "nowhere"),
            )
        },
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_production_without_tls() {
    mistake(
        "notls",
        ("ProductionReachable", "CertificateInvalid"),
        &["TLS"],
        json!({"production": {"tls": NONE}}),
        |_| (),
        |stage| {
            stage.preview("wrong", nothing());
        },
    );
}

#[test]
fn a_fresh_server_that_isn_t_there() {
    mistake(
        "nofresh",
        ("FreshReady", "ConnectionRefused"),
        &[],
        nothing(),
        |stage| {
            let right = stage.production.production.server.port.to_string();
            stage.fresh_secret(&stage.admin_url().replace(&right, &free_port().to_string()));
        },
        |stage| stage.fresh_secret(&stage.admin_url()),
    );
}

/// Needs a newer PostgreSQL than the machine's own: see `.ci/postgres18`.
#[test]
fn a_fresh_server_that_s_older_than_production() {
    let Some(newer) = fresh_programs() else {
        eprintln!("left out: {FRESH_BIN} isn't set");
        return;
    };
    let server = OnceLock::new();
    mistake(
        "oldfresh",
        ("FreshReady", "VersionUnsupported"),
        &["18", "older"],
        nothing(),
        |stage| {
            let server = server.get_or_init(|| Server::start_from("newer", None, "", Some(newer)));
            server.connect("postgres").must(&format!(
                "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
            ));
            stage.production_secret(&server.tcp("reader", "postgres").url());
        },
        |stage| stage.production_secret(&stage.production.url("reader")),
    );
}

#[test]
fn a_fresh_role_that_isn_t_a_superuser() {
    mistake(
        "nosuper",
        ("FreshReady", "PermissionDenied"),
        &["create database"],
        nothing(),
        |stage| stage.fresh_secret(&stage.production.production.address("app", "postgres").url()),
        |stage| stage.fresh_secret(&stage.admin_url()),
    );
}

/// Somebody else's Service has the name: it stays as it is, and the preview says so.
#[test]
fn a_service_of_somebody_else_s() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "wrong", "labels": {"whose": "theirs"}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
    });
    mistake(
        "service",
        ("Ready", "NameConflict"),
        &["Service", "wrong"],
        nothing(),
        move |stage| {
            stage.namespace.apply(&service.to_string());
        },
        |stage| {
            let now = stage.namespace.must_get("Service", "wrong");
            assert_eq!(
                now["spec"]["selector"],
                json!({"app": "theirs"}),
                "it was touched"
            );
            assert!(
                now["metadata"].get("ownerReferences").is_none(),
                "it was taken over"
            );
            stage.namespace.delete("Service", "wrong");
        },
    );
}

/// A database that is there and has nothing in it yet is somebody's as well: it isn't taken over, and isn't dropped with the preview.
#[test]
fn an_empty_database_of_somebody_else_s() {
    mistake(
        "empty",
        ("FreshReady", "NameConflict"),
        &["fresh_", "COMMENT ON DATABASE"],
        nothing(),
        |stage| {
            let name = stage.fresh_database("wrong");
            stage.admin().must(&format!("CREATE DATABASE {name}"));
        },
        |stage| {
            stage.namespace.delete("PreviewDatabase", "wrong");
            stage.namespace.gone("PreviewDatabase", "wrong");
            stage.namespace.event("wrong", "CleanupAbandoned");
            assert!(stage.has_database("wrong"), "it was dropped");
            let name = stage.fresh_database("wrong");
            stage.admin().must(&format!("DROP DATABASE {name}"));
            stage.preview("wrong", nothing());
        },
    );
}

/// A managed volume that can't grow: the preview says so and goes on, until its storage class lets it.
#[test]
fn a_volume_that_cannot_grow() {
    let Some(stage) = Stage::new("stunted") else {
        return;
    };
    let namespace = &stage.namespace;
    let class = format!("fixed-{}", namespace.name);
    let object = |kind: &str, version: &str, more: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": class}});
        super::merge(&mut object, more);
        object.to_string()
    };
    let storage = |grows: bool| {
        object(
            "StorageClass",
            "storage.k8s.io/v1",
            json!({"provisioner": "example.test/none", "volumeBindingMode": "Immediate", "allowVolumeExpansion": grows}),
        )
    };
    namespace.cluster.api.apply("", &storage(false));
    namespace.cluster.api.apply(
        "",
        &object(
            "PersistentVolume",
            "v1",
            json!({"spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "hostPath": {"path": "/nowhere"}, "persistentVolumeReclaimPolicy": "Retain",
            }}),
        ),
    );
    let sized = |size: &str| json!({"fresh": {"connection": null, "managed": {"storage": {"size": size, "storageClassName": class}}}});
    stage.preview("small", sized("1Gi"));
    let claim = "data-small-fresh-0";
    namespace.until("the volume to be bound", || {
        namespace
            .get("PersistentVolumeClaim", claim)
            .is_some_and(|claim| text(&claim, "/status/phase") == "Bound")
    });
    stage.preview("small", sized("2Gi"));
    let says = |words: &str| {
        namespace.wait(&format!("FreshReady to say {words:?}"), PATIENCE, || {
            let object = namespace.get("PreviewDatabase", "small")?;
            let message = text(condition(&object, "FreshReady")?, "/message").to_owned();
            message.contains(words).then_some(message)
        })
    };
    let message = says("can't grow to 2Gi");
    assert!(message.contains("storageclass"), "{message}");
    // The cluster's own words, and nothing of it in a hurry.
    let asked = || {
        let calls = namespace.cluster.audit();
        let patches = calls.iter().filter(|call| {
            call.namespace == namespace.name
                && call.resource == "persistentvolumeclaims"
                && call.code == 403
        });
        patches.count()
    };
    let before = asked();
    std::thread::sleep(std::time::Duration::from_secs(20));
    assert!(
        asked() - before <= 1,
        "{} requests in 20 s",
        asked() - before
    );
    namespace.cluster.api.apply("", &storage(true));
    namespace.until("the claim to ask for more", || {
        namespace
            .get("PersistentVolumeClaim", claim)
            .is_some_and(|claim| text(&claim, "/spec/resources/requests/storage") == "2Gi")
    });
    namespace.cluster.api.delete("PersistentVolume", "", &class);
    namespace.cluster.api.delete("StorageClass", "", &class);
}

/// Somebody else's database has the name: it stays as it is.
#[test]
fn a_database_of_somebody_else_s() {
    mistake(
        "database",
        ("FreshReady", "NameConflict"),
        &["fresh_"],
        nothing(),
        |stage| {
            let name = stage.fresh_database("wrong");
            stage.admin().must(&format!("CREATE DATABASE {name}"));
            stage
                .production
                .production
                .server
                .connect(&name)
                .must("CREATE TABLE precious (id int)");
        },
        |stage| {
            let name = stage.fresh_database("wrong");
            stage
                .production
                .production
                .server
                .connect(&name)
                .must("TABLE precious");
            stage
                .admin()
                .must(&format!("DROP DATABASE {name} WITH (FORCE)"));
        },
    );
}
