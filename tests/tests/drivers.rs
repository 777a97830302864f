//! Other people's clients, with their defaults: what each sees on a full copy and through a preview is the same.
//!
//! `tests/drivers/run.sh install` fetches them; `PREVIEWPG_AGAINST=copy` puts a second full copy in the preview's place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use previewpg_tests::client::Address;
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::preview::Preview;
use previewpg_tests::servers::{Servers, keep_logs};

const SHOP: &str = include_str!("../schema/shop.sql");

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers/run.sh"))
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let out = script().arg("install").output().expect("run.sh");
        assert!(
            out.status.success(),
            "run.sh install: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    });
}

/// What a driver prints, without what is chance.
fn seen(driver: &str, address: &Address) -> Vec<String> {
    let out = script()
        .arg(driver)
        .args([&address.host, &address.port.to_string(), &address.user])
        .args([&address.password, &address.database])
        .output()
        .expect("run.sh");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{driver} failed: {text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    text.lines()
        // Which line of PostgreSQL's source raised an error isn't part of its meaning.
        .filter(|line| !line.starts_with("LOCATION:"))
        .map(ToOwned::to_owned)
        .collect()
}

fn same(driver: &str) {
    install();
    let servers = Servers::shared();
    let database = servers.database("shop", SHOP);
    let before = digest(&servers.production.admin(&database));
    let expected = seen(driver, &servers.copy.tcp("app", &database));
    assert!(
        expected.len() > 20,
        "{driver} saw next to nothing: {expected:?}"
    );
    let found = if std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy") {
        let second = servers.another_copy("shop");
        seen(driver, &servers.copy.tcp("app", &second))
    } else {
        let preview = Preview::of(&database);
        seen(driver, &preview.address)
    };
    let differences = difference(&expected, &found);
    if !differences.is_empty() {
        keep_logs();
    }
    assert!(
        differences.is_empty() && expected.len() == found.len(),
        "{driver} sees a difference (- full copy, + preview):\n{}\n\nreproduce: cargo test -p previewpg_tests \
         --test drivers {driver}",
        differences
            .get(..differences.len().min(60))
            .unwrap_or_default()
            .join("\n")
    );
    let touched = difference(&before, &digest(&servers.production.admin(&database)));
    assert!(touched.is_empty(), "PRODUCTION WAS TOUCHED: {touched:?}");
}

#[test]
fn psql() {
    same("psql");
}

#[test]
fn psycopg() {
    same("psycopg");
}

#[test]
fn jdbc() {
    same("jdbc");
}

#[test]
fn node() {
    same("node");
}

/// `pg_dump` through a preview is `pg_dump` of the full copy.
#[test]
fn pg_dump() {
    let servers = Servers::shared();
    let database = servers.database("shop", SHOP);
    let dump = |address: &Address| {
        let out = Command::new(previewpg_tests::servers::tool("pg_dump"))
            .args([
                "--inserts",
                "-h",
                &address.host,
                "-p",
                &address.port.to_string(),
            ])
            .args(["-U", &address.user, &address.database])
            .env("PGPASSWORD", &address.password)
            .output()
            .expect("run pg_dump");
        assert!(
            out.status.success(),
            "pg_dump: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        // psql's \restrict key is drawn anew for each dump; rows come in the order of their heaps.
        let mut lines: Vec<String> = text
            .lines()
            .filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"))
            .filter(|l| !l.is_empty() && *l != "--")
            // A materialized view's rows are read from production; in fresh it holds none, and isn't refreshed by the dump.
            .filter(|l| {
                !l.starts_with("REFRESH MATERIALIZED") && !l.contains("MATERIALIZED VIEW DATA")
            })
            .map(ToOwned::to_owned)
            .collect();
        lines.sort();
        lines
    };
    let expected = dump(&servers.copy.tcp("app", &database));
    assert!(expected.len() > 10_000);
    let found = if std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy") {
        dump(&servers.copy.tcp("app", &servers.another_copy("shop")))
    } else {
        dump(&Preview::of(&database).address)
    };
    if expected != found {
        let (only_copy, only_preview): (Vec<_>, Vec<_>) = (
            expected
                .iter()
                .filter(|l| found.binary_search(l).is_err())
                .collect(),
            found
                .iter()
                .filter(|l| expected.binary_search(l).is_err())
                .collect(),
        );
        panic!(
            "{} lines only on the copy, {} only on the preview:\n- {}\n+ {}",
            only_copy.len(),
            only_preview.len(),
            only_copy
                .iter()
                .take(20)
                .map(|s| s.as_str())
                .collect::<Vec<_>>()
                .join("\n- "),
            only_preview
                .iter()
                .take(20)
                .map(|s| s.as_str())
                .collect::<Vec<_>>()
                .join("\n+ ")
        );
    }
}
