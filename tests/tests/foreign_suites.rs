//! Other people's test suites, directly on a full copy and through a preview: no test that passes directly may fail
//! through the preview. What may, and why, stands in `tests/suites/NAME.txt`.
//!
//! All suites run here, of PostgreSQL's regression tests some: `make suites-all` runs every file and writes `docs/coverage.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::fmt::Write as _;

use previewpg_tests::regress::{self, Regression};
use previewpg_tests::servers::keep_logs;
use previewpg_tests::suite::Suite;

fn run(name: &str) {
    let report = Suite::named(name).expect("a suite of this name").run();
    println!("{}", report.summary());
    report.keep();
    let violations = report.violations();
    if !violations.is_empty() {
        keep_logs();
    }
    assert!(
        violations.is_empty(),
        "{violations}\nreproduce: cargo build --bins && target/debug/suites run {name}"
    );
}

#[test]
fn psycopg2() {
    run("psycopg2");
}

#[test]
fn pg8000() {
    run("pg8000");
}

#[test]
fn psycopg2_with_tables_in_production() {
    run("psycopg2-filled");
}

#[test]
fn pg8000_with_tables_in_production() {
    run("pg8000-filled");
}

#[test]
fn regression_tests_of_postgresql() {
    let regression = Regression::install();
    let mut violations = String::new();
    for file in regress::IN_CI {
        let report = regression.file(file);
        println!("{file}: {}", report.summary());
        let _ = write!(violations, "{}", report.violations(file));
    }
    if !violations.is_empty() {
        keep_logs();
    }
    assert!(
        violations.is_empty(),
        "{violations}\nreproduce: cargo build --bins && target/debug/suites regress FILE"
    );
}

#[test]
fn tokio_postgres() {
    run("tokio_postgres");
}

#[test]
fn sqlalchemy() {
    run("sqlalchemy");
}

#[test]
fn sqlalchemy_with_tables_in_production() {
    run("sqlalchemy-filled");
}

#[test]
fn django() {
    run("django");
}

#[test]
fn django_with_tables_in_production() {
    run("django-filled");
}
