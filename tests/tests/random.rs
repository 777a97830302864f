//! Random schemas, data and workloads on a full copy and on a preview.
//!
//! `PREVIEWPG_SEEDS=100` runs as many seeds (the default is 40: about two minutes), `PREVIEWPG_SEEDS=77..78` just these. A seed that fails
//! is shrunk and printed. `PREVIEWPG_AGAINST=copy` puts a second full copy in the preview's place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::ops::Range;
use std::time::Duration;

use previewpg_tests::client::Protocol;
use previewpg_tests::digest::{difference, digest};
use previewpg_tests::oracle::{self, Side};
use previewpg_tests::preview::Tenant;
use previewpg_tests::random::Case;
use previewpg_tests::script::{Script, Statement};
use previewpg_tests::servers::{Servers, keep_logs};

/// How long a failing seed may be shrunk.
const SHRINK: Duration = Duration::from_secs(60);

fn seeds() -> Range<u64> {
    let Ok(wanted) = std::env::var("PREVIEWPG_SEEDS") else {
        return 0..40;
    };
    match wanted.split_once("..") {
        Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
        None => 0..wanted.parse().unwrap(),
    }
}

/// Differences of a case; the database `template` of both servers holds its schema.
fn differences(case: &Case, template: &str) -> Vec<String> {
    let servers = Servers::shared();
    let copied = servers.another_copy(template);
    let script = Script {
        name: format!("seed {}", case.seed),
        statements: case
            .statements
            .iter()
            .map(|statement| Statement {
                either_violation: true,
                ..statement.clone()
            })
            .collect(),
        large: false,
        icu: false,
    };
    let protocol = if case.seed.is_multiple_of(2) {
        Protocol::Simple
    } else {
        Protocol::Extended
    };
    let mut copy = Side::new(
        "copy",
        &servers.copy.tcp("app", &copied),
        &servers.copy.admin(&copied),
    );
    let found = if std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy") {
        let second = servers.another_copy(template);
        let mut other = Side::new(
            "second copy",
            &servers.copy.tcp("app", &second),
            &servers.copy.admin(&second),
        );
        oracle::run(&script, protocol, &mut copy, &mut other).differences
    } else {
        let preview = Tenant::of_its_own(template);
        let mut side = Side::new("preview", &preview.address, &preview.behind());
        oracle::run(&script, protocol, &mut copy, &mut side).differences
    };
    drop(copy);
    servers.drop_database(&copied);
    found
}

fn check(half: u64) {
    let servers = Servers::shared();
    let mut failed = Vec::new();
    for seed in seeds().filter(|s| s % 2 == half) {
        let case = Case::new(seed);
        let template = format!("seed_{seed}");
        servers.production.create_template(&template, &case.schema);
        servers.restore(&template);
        let before = digest(&servers.production.admin(&template));
        if !differences(&case, &template).is_empty() {
            keep_logs();
            let small = case.shrink(SHRINK, |c| !differences(c, &template).is_empty());
            let found = differences(&small, &template);
            let words = found.join("\n");
            println!("{}\n\n{words}\n", small.to_script());
            failed.push(seed);
        }
        let after = digest(&servers.production.admin(&template));
        let touched = difference(&before, &after);
        assert!(touched.is_empty(), "PRODUCTION WAS TOUCHED: {touched:?}");
        servers.drop_database(&template);
        Tenant::forget(&template);
        if failed.len() >= 2 {
            break;
        }
    }
    assert!(
        failed.is_empty(),
        "seeds {failed:?} differ (scripts above); reproduce: PREVIEWPG_SEEDS={0}..{1} \
         cargo test -p previewpg_tests --test random",
        failed[0],
        failed[0] + 1
    );
}

#[test]
fn even_seeds_by_the_simple_protocol() {
    check(0);
}

#[test]
fn odd_seeds_by_the_extended_protocol() {
    check(1);
}
