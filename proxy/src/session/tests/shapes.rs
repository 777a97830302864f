//! Production changes under statements that are prepared there: its columns are compared once, when a statement is parsed, and PostgreSQL itself
//! doesn't let a prepared statement's columns change afterwards.

use std::sync::Arc;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

use super::support::{Preview, TestPlanner};

async fn client(preview: &Preview) -> Client {
    let text = format!(
        "host=127.0.0.1 port={} user=app password=secret dbname=full",
        preview.port
    );
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What both databases have before each change; `{place}` tells them apart.
const BASE: &str = "DO $$ BEGIN IF 'v' = (SELECT relkind FROM pg_class WHERE oid = to_regclass('public.production')) THEN DROP VIEW public.production;
        ELSE DROP TABLE IF EXISTS public.production; END IF; END $$; DROP TABLE IF EXISTS shape CASCADE; DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO app;
    CREATE TABLE shape (place text, a int, b int, v varchar(10)); INSERT INTO shape VALUES ('{place}', 1, 2, 'v');
    CREATE VIEW production AS SELECT * FROM shape; GRANT SELECT ON shape, production TO app";

/// Changes on production alone, and whose rows are to be seen after them.
const CHANGES: [(&str, &str); 13] = [
    ("SELECT 1", "production"),
    ("UPDATE shape SET a = a + 0", "production"),
    ("ANALYZE shape", "production"),
    (
        "CREATE OR REPLACE VIEW production AS SELECT 'replaced'::text AS place, a, b, v FROM shape",
        "replaced",
    ),
    // Other columns, one way or another: as many and of the same types, but in another order; more; other types and type modifiers; other names.
    (
        "DROP VIEW production; CREATE VIEW production AS SELECT place, b, a, v FROM shape",
        "fresh",
    ),
    (
        "CREATE OR REPLACE VIEW production AS SELECT *, 5 AS more FROM shape",
        "fresh",
    ),
    (
        "DROP VIEW production; CREATE VIEW production AS SELECT place, a::bigint, b, v FROM shape",
        "fresh",
    ),
    (
        "DROP VIEW production; CREATE VIEW production AS SELECT place, a, b, v::varchar(5) FROM shape",
        "fresh",
    ),
    ("ALTER VIEW production RENAME COLUMN a TO c", "fresh"),
    ("DROP VIEW production", "fresh"),
    (
        "DROP VIEW production; ALTER TABLE shape DROP a; ALTER TABLE shape ADD a int DEFAULT 9; ALTER TABLE shape RENAME TO production",
        "fresh",
    ),
    (
        "DROP VIEW production; ALTER TABLE shape ALTER a TYPE text; ALTER TABLE shape RENAME TO production",
        "fresh",
    ),
    // A table that comes first in the search path.
    (
        "CREATE TABLE app.production (place text, b int, a int, v text); \
         INSERT INTO app.production VALUES ('hidden', 1, 2, 'v'); GRANT SELECT ON app.production TO app",
        "fresh",
    ),
];

async fn prepared(client: &Client, statement: &Statement) -> (String, i32, i32) {
    let row = client.query_one(statement, &[]).await.unwrap();
    (row.get("place"), row.get("a"), row.get("b"))
}

async fn simple(client: &Client, text: &str) -> (String, i32, i32) {
    let messages = client.simple_query(text).await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |name: &str| row.unwrap().get(name).unwrap().to_owned();
    (
        field("place"),
        field("a").parse().unwrap(),
        field("b").parse().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_changes_under_prepared_statements() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    let text = "SELECT production.* FROM production, orig WHERE orig.id = 1";
    for (change, place) in CHANGES {
        let base = |database: &str, place| {
            preview.sql_in(database, &BASE.replace("{place}", place));
        };
        base("fresh", "fresh");
        base("full", "production");
        let client = client(&preview).await;
        client
            .batch_execute("SET search_path = app, public")
            .await
            .unwrap();
        let statement = client.prepare(text).await.unwrap();
        let expected = |place: &str| (place.to_owned(), 1, 2);
        for _ in 0..3 {
            assert_eq!(
                prepared(&client, &statement).await,
                expected("production"),
                "before {change}"
            );
            assert_eq!(simple(&client, text).await, expected("production"));
        }
        preview.sql_in("full", change);
        preview.sql_in("full", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO app");
        for _ in 0..3 {
            assert_eq!(
                prepared(&client, &statement).await,
                expected(place),
                "{change}"
            );
            assert_eq!(
                simple(&client, text).await,
                expected(place),
                "{change}, by the simple protocol"
            );
        }
        // Back again: production is asked again, at the latest once a statement prepared meanwhile was found to be outdated.
        base("full", "production");
        prepared(&client, &statement).await;
        assert_eq!(
            prepared(&client, &statement).await,
            expected("production"),
            "after {change}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_idle_session_is_replaced_without_an_error() {
    let preview = Preview::start(Arc::new(TestPlanner::default())).await;
    for database in ["fresh", "full"] {
        preview.sql_in(database, &BASE.replace("{place}", database));
    }
    let client = client(&preview).await;
    let statement = client
        .prepare("SELECT production.* FROM production, orig WHERE orig.id = 1")
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(prepared(&client, &statement).await.0, "full");
        preview.sql_in(
            "postgres",
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'previewpg'",
        );
    }
    assert_eq!(prepared(&client, &statement).await.0, "full");
}
