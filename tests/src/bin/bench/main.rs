//! `make bench`: one run, side by side: production directly, a full copy, pgbouncer in session mode, and a preview.
//!
//! Printed as a table of medians and 99th percentiles, each with its ratio to what it is compared with and the goal. There are no limits
//! of time: a goal that isn't reached is shown as such, and nothing fails.
//!
//! The places take turns, many times each, so that what else the machine does falls on all of them alike. `bench --help` tells the scale.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark stops where something fails"
)]

mod measure;
mod places;
mod rewriting;
mod table;

use std::process::{Command, ExitCode};

use clap::Parser;
use measure::Scale;
use places::Places;
use table::Table;

/// Compares production directly, a full copy, pgbouncer in session mode, and a preview, side by side.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    scale: Scale,
    /// Only the parts whose names contain this: pass-through, clean, large, idle, dirty, rewriting, writes, provision.
    #[arg(long, env = "BENCH_ONLY", default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // `preview::binary` expects a test's place in target/; ours is one folder higher.
    if std::env::var_os("PREVIEWPG_BIN").is_none() {
        let own = std::env::current_exe().expect("our own path");
        let binary = own.with_file_name("previewpg");
        assert!(
            binary.is_file(),
            "{} isn't there: cargo build --release --bins",
            binary.display()
        );
        let status = Command::new(own)
            .args(std::env::args_os().skip(1))
            .env("PREVIEWPG_BIN", binary)
            .status();
        return match status.map(|status| status.success()) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run(&options));
    ExitCode::SUCCESS
}

async fn run(Options { scale, only }: &Options) {
    eprintln!("{scale:?}");
    let mut table = Table::default();
    {
        let places = Places::open(scale);
        let wanted = |name: &str| {
            let wanted = name.contains(only);
            if wanted {
                eprintln!("measuring: {name}");
            }
            wanted
        };
        if wanted("pass-through") {
            measure::pass_through(&places, scale, &mut table).await;
        }
        if wanted("clean") {
            measure::clean(&places, scale, &mut table).await;
        }
        if wanted("large") {
            measure::large(&places, scale, &mut table).await;
        }
        if wanted("idle") {
            measure::idle(&places, scale, &mut table).await;
        }
        if wanted("dirty") {
            measure::dirty(&places, scale, &mut table).await;
        }
        if wanted("rewriting") {
            rewriting::measure(&places, &mut table);
        }
        if wanted("writes") {
            measure::writes(&places, &mut table).await;
        }
        if wanted("provision") {
            measure::provisioning(&places, scale, &mut table);
        }
    }
    println!("{table}");
}
