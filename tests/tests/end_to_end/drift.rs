//! Production's schema changes while a preview lives.

use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::{PATIENCE, text};
use serde_json::json;

use super::Stage;

#[test]
fn additions_are_brought_in_and_collisions_are_told() {
    let Some(stage) = Stage::new("drift") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("drift", json!({"sync": {"interval": "10s"}}));
    let first = namespace.ready("drift");
    let mut session = stage.connect("drift");
    session.must("UPDATE orders SET total = 5 WHERE id = 1");
    session.must("CREATE TABLE gadgets (id int PRIMARY KEY)");

    let mut admin = stage.production.connect();
    admin.must("SET SESSION AUTHORIZATION app");
    admin.must("CREATE TABLE coupons (id int PRIMARY KEY, code text); INSERT INTO coupons VALUES (1, 'spring')");
    admin.must("ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web'");
    namespace.wait("the new table", PATIENCE, || {
        let rows = session.query("SELECT code FROM coupons").ok()?;
        (rows == ["spring"]).then_some(())
    });
    namespace.wait("the new column", PATIENCE, || {
        let rows = session
            .query("SELECT count(*) FROM orders WHERE channel = 'web'")
            .ok()?;
        (rows == ["10000"]).then_some(())
    });
    assert_eq!(
        session.value("SELECT total FROM orders WHERE id = 1"),
        "5.00",
        "what the preview changed stays"
    );
    // The status follows when the work is done.
    let now = namespace.wait("another fingerprint", PATIENCE, || {
        let now = namespace.must_get("PreviewDatabase", "drift");
        let changed = now.pointer("/status/schema/fingerprint")
            != first.pointer("/status/schema/fingerprint");
        changed.then_some(now)
    });
    assert_eq!(now["status"]["tables"]["served"], 3, "{:#}", now["status"]);
    namespace.event("drift", "SchemaChanged");

    // Production makes a table of a name that the preview has taken, with another shape.
    admin.must("CREATE TABLE gadgets (id text PRIMARY KEY, name text)");
    let halted = namespace.condition("drift", "SchemaSynced", "False", "DriftHalted");
    let message = text(condition(&halted, "SchemaSynced").unwrap(), "/message").to_owned();
    assert!(message.contains("gadgets"), "{message}");
    // What the preview has goes on as it was.
    session.must("INSERT INTO gadgets VALUES (7)");
    assert_eq!(session.value("SELECT count(*) FROM orders"), "10000");
    // The way out: give it all up, or give up the one.
    session.must("DROP TABLE gadgets");
    namespace.wait("production's table", PATIENCE, || {
        session.query("SELECT id, name FROM gadgets").ok()
    });
    namespace.condition("drift", "SchemaSynced", "True", "InSync");
}
