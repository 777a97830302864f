//! `make bench`: one run, side by side: production directly, a full copy, pgbouncer in session mode, and a preview.
//!
//! Printed as a table of medians and 99th percentiles, each with its ratio to what it is compared with and the goal. There are no limits
//! of time: a goal that isn't reached is shown as such, and nothing fails.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `BENCH_ROWS` | 1000000 | rows of the largest table |
//! | `BENCH_SECONDS` | 3 | how long a throughput is measured |
//! | `BENCH_MEBIBYTES` | 1024 | size of the large result |
//! | `BENCH_CLIENTS` | 1000 | idle clients |
//! | `BENCH_TABLES` | 200 | tables to provision |
//! | `BENCH_ONLY` | | only the parts whose names contain this |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops where something fails"
)]

mod measure;
mod places;
mod table;

use std::process::{Command, ExitCode};

use measure::Scale;
use places::Places;
use table::Table;

fn main() -> ExitCode {
    // `preview::binary` expects a test's place in target/; ours is one folder higher.
    if std::env::var_os("PREVIEWPG_BIN").is_none() {
        let own = std::env::current_exe().expect("our own path");
        let binary = own.with_file_name("previewpg");
        assert!(
            binary.is_file(),
            "{} isn't there: cargo build --release --bins",
            binary.display()
        );
        let status = Command::new(own).env("PREVIEWPG_BIN", binary).status();
        return match status.map(|status| status.success()) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
    ExitCode::SUCCESS
}

async fn run() {
    let scale = Scale::from_environment();
    eprintln!("{scale:?}");
    let mut table = Table::default();
    {
        let places = Places::open(&scale);
        let wanted = |name: &str| {
            let wanted = std::env::var("BENCH_ONLY").map_or(true, |only| name.contains(&only));
            if wanted {
                eprintln!("measuring: {name}");
            }
            wanted
        };
        if wanted("pass-through") {
            measure::pass_through(&places, &scale, &mut table).await;
        }
        if wanted("clean") {
            measure::clean(&places, &scale, &mut table).await;
        }
        if wanted("large") {
            measure::large(&places, &scale, &mut table).await;
        }
        if wanted("idle") {
            measure::idle(&places, &scale, &mut table).await;
        }
        if wanted("dirty") {
            measure::dirty(&places, &scale, &mut table).await;
        }
        if wanted("writes") {
            measure::writes(&places, &mut table).await;
        }
        if wanted("provision") {
            measure::provisioning(&places, &scale, &mut table);
        }
    }
    println!("{table}");
}
