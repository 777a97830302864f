//! Every script of `tests/scripts` on a full copy and on a preview: nothing may differ.
//!
//! `PREVIEWPG_AGAINST=copy` puts a second full copy in the preview's place: for writing scripts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::path::{Path, PathBuf};

use previewpg_tests::client::{Address, Protocol, Session};
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::oracle::{self, Report, Side};
use previewpg_tests::preview::Tenant;
use previewpg_tests::script::Script;
use previewpg_tests::servers::Servers;

const SHOP: &str = include_str!("../schema/shop.sql");

/// One test for each script and protocol.
macro_rules! scripts {
    ($($name:ident => $path:literal),* $(,)?) => {
        const LISTED: &[&str] = &[$($path),*];
        $(mod $name {
            #[test]
            fn simple() {
                super::both_sides($path, previewpg_tests::client::Protocol::Simple, "simple");
            }
            #[test]
            fn extended() {
                super::both_sides($path, previewpg_tests::client::Protocol::Extended, "extended");
            }
        })*
    };
}

scripts! {
    adversary_calls => "adversary_calls.sql",
    adversary_casts => "adversary_casts.sql",
    adversary_choices => "adversary_choices.sql",
    adversary_hidden_calls => "adversary_hidden_calls.sql",
    adversary_names => "adversary_names.sql",
    breadth => "breadth.sql",
    catalogs => "catalogs.sql",
    collations => "collations.sql",
    copy_in => "copy_in.sql",
    copy_out => "copy_out.sql",
    ctes => "ctes.sql",
    cursors => "cursors.sql",
    ddl_columns => "ddl_columns.sql",
    ddl_constraints => "ddl_constraints.sql",
    ddl_in_functions => "ddl_in_functions.sql",
    ddl_migrations => "ddl_migrations.sql",
    ddl_tables => "ddl_tables.sql",
    deferrable => "deferrable.sql",
    delete => "delete.sql",
    foreign_keys => "foreign_keys.sql",
    functions => "functions.sql",
    hidden_calls_copied => "hidden_calls_copied.sql",
    insert => "insert.sql",
    joins => "joins.sql",
    large_tables => "large_tables.sql",
    locking => "locking.sql",
    messages => "messages.sql",
    modifying_ctes => "modifying_ctes.sql",
    names => "names.sql",
    on_conflict => "on_conflict.sql",
    parameters => "parameters.sql",
    partitions => "partitions.sql",
    prepared => "prepared.sql",
    rails => "rails.sql",
    reads => "reads.sql",
    refused => "refused.sql",
    sequences => "sequences.sql",
    settings => "settings.sql",
    sets_windows => "sets_windows.sql",
    tour_1_federation => "tour/1_federation.sql",
    tour_2_ddl_isolation => "tour/2_ddl_isolation.sql",
    tour_3_insert => "tour/3_insert.sql",
    tour_4_update => "tour/4_update.sql",
    tour_5_columns => "tour/5_columns.sql",
    tour_6_joins => "tour/6_joins.sql",
    tour_7_transactions => "tour/7_transactions.sql",
    transactions => "transactions.sql",
    trees => "trees.sql",
    trees_large => "trees_large.sql",
    truncate => "truncate.sql",
    update => "update.sql",
    views => "views.sql",
    violations => "violations.sql",
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

fn read(path: &str) -> Script {
    let text = std::fs::read_to_string(folder().join(path)).expect("read the script");
    Script::parse(path, &text).unwrap_or_else(|e| panic!("{e}"))
}

/// Whether a server knows ICU's collations.
fn has_icu(database: &Address) -> bool {
    let count = "SELECT count(*) FROM pg_collation WHERE collname LIKE '%-x-icu'";
    let mut session = Session::connect(database).expect("fresh");
    session.query(count).rows() != [["0"]]
}

fn both_sides(path: &str, protocol: Protocol, word: &str) {
    let script = read(path);
    let servers = Servers::shared();
    let database = servers.database("shop", SHOP);
    let mut copy = Side::new(
        "copy",
        &servers.copy.tcp("app", &database),
        &servers.copy.admin(&database),
    );
    let before = digest(&servers.production.admin(&database));
    let report = if std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy") {
        let second = servers.another_copy("shop");
        let mut other = Side::new(
            "second copy",
            &servers.copy.tcp("app", &second),
            &servers.copy.admin(&second),
        );
        oracle::run(&script, protocol, &mut copy, &mut other)
    } else {
        let preview = if script.large {
            Tenant::of_large_tables(&database, "shop")
        } else {
            Tenant::of(&database, "shop")
        };
        if script.icu && !has_icu(&preview.behind()) {
            println!("{path}: LEFT OUT: this PostgreSQL was built without ICU");
            drop(copy);
            return servers.drop_database(&database);
        }
        let mut side = Side::new("preview", &preview.address, &preview.behind());
        let report = oracle::run(&script, protocol, &mut copy, &mut side);
        if !report.differences.is_empty() {
            previewpg_tests::servers::keep_logs();
        }
        report
    };
    let after = digest(&servers.production.admin(&database));
    let touched = difference(&before, &after);
    assert!(
        touched.is_empty(),
        "PRODUCTION WAS TOUCHED by {path}:\n{}",
        touched.join("\n")
    );
    let name = path.trim_end_matches(".sql").replace('/', "_");
    report.check(&format!(
        "cargo test -p previewpg_tests --test equivalence {name}::{word}"
    ));
    drop(copy);
    servers.drop_database(&database);
}

#[test]
fn every_script_is_listed() {
    let mut found = Vec::new();
    let mut statements = 0;
    for (prefix, folder) in [("", folder()), ("tour/", folder().join("tour"))] {
        for entry in std::fs::read_dir(folder).expect("the scripts").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".sql") {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    found.sort();
    let mut listed: Vec<String> = LISTED.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(found, listed);
    for path in LISTED {
        statements += read(path).statements.len();
    }
    assert!(statements >= 300, "only {statements} statements");
}

/// Runs a script on two copies, the second one changed by `injected` first.
fn on_two_copies(script: &str, injected: &str) -> Report {
    let servers = Servers::shared();
    let first = servers.database("shop", SHOP);
    let second = servers.another_copy("shop");
    servers.copy.connect(&second).must(injected);
    let side = |name, database: &str| {
        Side::new(
            name,
            &servers.copy.tcp("app", database),
            &servers.copy.admin(database),
        )
    };
    let script = format!("BEGIN;\n{};\nROLLBACK", script.trim_end_matches(';'));
    let script = Script::parse("self-check", &script).unwrap();
    let mut report = Report::default();
    for protocol in [Protocol::Simple, Protocol::Extended] {
        let found = oracle::run(
            &script,
            protocol,
            &mut side("first", &first),
            &mut side("second", &second),
        );
        report.differences.extend(found.differences);
    }
    report
}

#[test]
fn the_oracle_sees_every_kind_of_difference() {
    for (script, injected) in [
        (
            "SELECT name FROM users",
            "UPDATE users SET name = 'x' WHERE id = 77",
        ),
        (
            "SELECT id FROM users ORDER BY id DESC LIMIT 3",
            "INSERT INTO users (id, email, name) VALUES (5000, 'n', 'n')",
        ),
        (
            "SELECT * FROM counters WHERE false",
            "ALTER TABLE counters RENAME value TO worth",
        ),
        (
            "SELECT value FROM counters WHERE false",
            "ALTER TABLE counters ALTER value TYPE int",
        ),
        (
            "SELECT * FROM counters WHERE false",
            "ALTER TABLE counters ADD more int",
        ),
        (
            "UPDATE counters SET value = 0",
            "DELETE FROM counters WHERE name = 'c3'",
        ),
        (
            "INSERT INTO counters VALUES ('c1')",
            "ALTER INDEX counters_pkey RENAME TO other_pkey",
        ),
        (
            "INSERT INTO counters VALUES ('c1')",
            "DELETE FROM counters WHERE name = 'c1'",
        ),
        (
            "DROP TABLE IF EXISTS nothing",
            "CREATE TABLE nothing (); ALTER TABLE nothing OWNER TO app",
        ),
        (
            "SELECT status FROM orders WHERE false",
            "ALTER TYPE order_status RENAME TO state_of_order",
        ),
        (
            "SELECT 1 FROM counters WHERE name = 'c1' AND value = 1",
            "UPDATE counters SET value = 2",
        ),
        (
            "COPY counters TO STDOUT",
            "UPDATE counters SET value = 2 WHERE name = 'c1'",
        ),
        (
            "DELETE FROM products WHERE id = 1",
            "ALTER TABLE order_items DROP CONSTRAINT order_items_product_id_fkey",
        ),
    ] {
        let report = on_two_copies(script, injected);
        assert!(
            report.differences.len() >= 2,
            "not seen on both protocols: {script} after {injected}: {:?}",
            report.differences
        );
    }
}

#[test]
fn the_oracle_sees_no_difference_between_two_copies() {
    let report = on_two_copies(
        "SELECT * FROM users ORDER BY id; INSERT INTO counters VALUES ('c1'); DROP TABLE IF EXISTS nothing;
         CREATE TYPE later AS ENUM ('a'); SELECT 'a'::later; COPY orders TO STDOUT; SELECT * FROM events;
         -- params: 3, 'paid'\nSELECT * FROM orders WHERE id = $1 AND status = $2;",
        "CREATE TYPE shifts_all_oids AS ENUM ('x')",
    );
    report.check("this test");
}

#[test]
fn the_digest_sees_every_kind_of_change() {
    let servers = Servers::shared();
    let database = servers.another_copy("shop");
    let admin = servers.copy.admin(&database);
    let mut last = digest(&admin);
    for change in [
        "UPDATE billing.users SET vat = 'x' WHERE id = 3",
        "SELECT nextval('ticket')",
        "ALTER TABLE users ALTER name DROP NOT NULL",
        "CREATE INDEX ON users (name)",
        "CREATE SCHEMA extra",
        "CREATE OR REPLACE FUNCTION order_count(who bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "ALTER TABLE users DISABLE TRIGGER users_touch",
        "ALTER TYPE order_status ADD VALUE 'lost'",
        "VACUUM FULL counters",
        "GRANT SELECT ON users TO PUBLIC",
    ] {
        servers.copy.connect(&database).must(change);
        let now = digest(&admin);
        assert!(!difference(&last, &now).is_empty(), "not seen: {change}");
        last = now;
    }
    assert_eq!(last, digest(&admin));
}
