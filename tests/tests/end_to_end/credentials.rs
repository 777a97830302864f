//! Passwords and certificates change while clients are connected.

use std::time::Duration;

use previewpg_tests::kubernetes::{PATIENCE, Psql, text};
use serde_json::json;

use super::Stage;

/// Production's password is changed and written into the Secret; then production ends every session of the role. Clients of the
/// preview stay connected and read on, rows from production itself and merged ones.
#[test]
fn production_s_password_is_rotated() {
    let Some(mut stage) = Stage::new("rotated") else {
        return;
    };
    stage.preview("rotated", json!({}));
    stage.namespace.ready("rotated");
    let mut session = stage.connect("rotated");
    assert_eq!(session.value("SELECT count(*) FROM orders"), "10000");

    stage.password = "another-one-entirely".to_owned();
    let mut admin = stage.production.connect();
    admin.must(&format!(
        "ALTER ROLE {} PASSWORD '{}'",
        stage.role, stage.password
    ));
    stage.write_secret();
    let end_all = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
        stage.role
    );
    admin.must(&end_all);

    stage.namespace.wait(
        "clean reads by the client that was connected",
        PATIENCE,
        || match session.query("SELECT count(*) FROM orders") {
            Ok(rows) => (rows == ["10000"]).then_some(()),
            Err(failure) => {
                assert_ne!(
                    failure.sqlstate, "lost",
                    "the client's connection ended: {failure:?}"
                );
                None
            }
        },
    );
    // And what goes through the foreign server's user mapping.
    stage.namespace.wait("merged reads", PATIENCE, || {
        let mut session = Psql::connect(&stage.namespace, "rotated").ok()?;
        session
            .query("UPDATE orders SET total = 0 WHERE id = 1")
            .ok()?;
        (session
            .query("SELECT count(*) FROM orders WHERE total = 0")
            .ok()?
            .len()
            == 1)
            .then_some(())
    });
    let object = stage.namespace.ready("rotated");
    assert!(!object.to_string().contains(&stage.password));
}

/// The access Secret's password is changed: what is connected stays, what comes needs the new one, and the Secret is all of a piece.
#[test]
fn the_access_password_is_rotated() {
    let Some(stage) = Stage::new("access") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("access", json!({}));
    namespace.ready("access");
    let mut held = stage.connect("access");
    let old = namespace
        .secret_values("access-app")
        .remove("password")
        .unwrap();
    namespace.patch(
        "Secret",
        "access-app",
        &json!({"stringData": {"password": "chosen-by-a-user"}}),
    );
    let service = namespace.must_get("Service", "access");
    let address = text(&service, "/spec/clusterIP");
    namespace.wait("the new password to be taken", PATIENCE, || {
        Psql::connect_with(namespace, "access", address, "chosen-by-a-user").ok()
    });
    namespace.wait("the old password to be refused", PATIENCE, || {
        let refused = Psql::connect_with(namespace, "access", address, &old).err()?;
        assert!(
            refused.said.contains("password authentication failed"),
            "{refused:?}"
        );
        Some(())
    });
    assert_eq!(
        held.value("SELECT count(*) FROM customers"),
        "2000",
        "who was connected stays"
    );
    namespace.wait(
        "the rest of the Secret to follow",
        Duration::from_secs(30),
        || {
            let values = namespace.secret_values("access-app");
            ["uri", "jdbc-uri", "pgpass"]
                .iter()
                .all(|key| values[*key].contains("chosen-by-a-user"))
                .then_some(())
        },
    );
    namespace.ready("access");
}
