//! `make bench-cluster`: what previews cost on a real Kubernetes, as a table with the goals.
//!
//! A goal that isn't reached is shown as such, and nothing fails. Images are there already, as on a node that has had a preview.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `BENCH_ROWS` | 10000000 | rows of the large production |
//! | `BENCH_RUNS` | 3 | how often each time to Ready is measured; the median is shown |
//! | `BENCH_PREVIEWS` | 500 | previews that one operator serves |
//! | `BENCH_ONLY` | | `ready`, `idle` or `many`: only this part |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops where something fails"
)]

mod many;
mod ready;
mod table;

use std::process::{Command, ExitCode};

use previewpg_tests::kubernetes::{Cluster, Tier};
use table::Table;

/// The number that an environment variable holds.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .map(|text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
        })
        .unwrap_or(default)
}

fn main() -> ExitCode {
    // `preview::binary` expects a test's place in target/; ours is one folder higher.
    if std::env::var_os("PREVIEWPG_BIN").is_none() {
        let own = std::env::current_exe().expect("our own path");
        let status = Command::new(&own)
            .env("PREVIEWPG_BIN", own.with_file_name("previewpg"))
            .status();
        return match status.map(|status| status.success()) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    let mut table = Table::default();
    if wanted("ready") || wanted("idle") {
        let Some(cluster) = Cluster::shared(Tier::Node) else {
            return ExitCode::FAILURE;
        };
        let place = ready::Place::new(cluster);
        if wanted("ready") {
            place.times(
                number("BENCH_ROWS", 10_000_000),
                number("BENCH_RUNS", 3),
                &mut table,
            );
        }
        if wanted("idle") {
            place.idle(&mut table);
        }
    }
    if wanted("many") {
        // A cluster of its own: the node of the other couldn't hold so many pods, nor need it.
        let cluster = Box::leak(Box::new(Cluster::start(Tier::ControlPlane)));
        many::measure(cluster, number("BENCH_PREVIEWS", 500), &mut table);
    }
    println!("{table}");
    ExitCode::SUCCESS
}
