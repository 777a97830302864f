//! Other people's test suites by hand.
//!
//! | command | does |
//! |---|---|
//! | `suites run [NAME..]` | runs suites (all of them without a name) on both sides and compares |
//! | `suites coverage` | prints `docs/coverage.md` from the last runs |
//! | `suites with [--sql FILE] COMMAND..` | makes a production from FILE, a full copy and a preview, and runs the command with `PG*` of the preview, `COPY_URL`, `PREVIEW_URL`, `PRODUCTION_URL` and `FRESH_URL` |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the tests stops where something fails"
)]

use std::path::Path;
use std::process::{Command, ExitCode};

use previewpg_tests::preview::Preview;
use previewpg_tests::regress::Regression;
use previewpg_tests::servers::Servers;
use previewpg_tests::suite::{SUITES, Suite, at, coverage};

fn main() -> ExitCode {
    // `preview::binary` expects a test's place in target/; ours is one folder higher.
    if std::env::var_os("PREVIEWPG_BIN").is_none() {
        let own = std::env::current_exe().expect("our own path");
        let binary = own.with_file_name("previewpg");
        let status = Command::new(own)
            .args(std::env::args_os().skip(1))
            .env("PREVIEWPG_BIN", binary)
            .status();
        return match status.map(|status| status.success()) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, names)) if command == "run" => run(names),
        Some((command, _)) if command == "coverage" => {
            print!("{}", coverage());
            ExitCode::SUCCESS
        }
        Some((command, rest)) if command == "with" => with(rest),
        Some((command, [folder, files @ ..])) if command == "regress" => regress(folder, files),
        _ => {
            eprintln!("suites run [NAME..] | suites coverage | suites with [--sql FILE] COMMAND..");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> ExitCode {
    let mut good = true;
    let suites: Vec<Suite> = if names.is_empty() {
        SUITES.to_vec()
    } else {
        let named = |name: &String| Suite::named(name).unwrap_or_else(|| panic!("no suite {name}"));
        names.iter().map(named).collect()
    };
    for suite in suites {
        let report = suite.run();
        report.keep();
        let violations = report.violations();
        print!("{violations}");
        println!("{}", report.summary());
        good &= violations.is_empty();
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Files that make what others use.
const BASE: [&str; 3] = ["test_setup", "create_misc", "create_index"];

fn regress(folder: &str, files: &[String]) -> ExitCode {
    let regression = Regression::new(Path::new(folder), &BASE);
    let mut good = true;
    for file in files {
        let report = regression.file(file);
        for (place, sql, said) in &report.refused {
            println!("REFUSED {place}\n    {}\n    {}", short(sql), short(said));
        }
        for difference in &report.different {
            println!(
                "DIFFERENT {}\n    {}\n  copy:\n{}\n  preview:\n{}",
                difference.place,
                short(&difference.sql),
                short_lines(&difference.copy),
                short_lines(&difference.preview)
            );
        }
        println!(
            "{file}: {} same, {} refused, {} different; {} plans, {} open",
            report.same,
            report.refused.len(),
            report.different.len(),
            report.plans,
            report.open
        );
        good &= report.different.is_empty();
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn short(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect()
}

fn short_lines(text: &str) -> String {
    text.lines()
        .take(12)
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn with(arguments: &[String]) -> ExitCode {
    let (sql, command) = match arguments {
        [option, file, rest @ ..] if option == "--sql" => {
            (std::fs::read_to_string(file).expect("read the SQL"), rest)
        }
        rest => (String::new(), rest),
    };
    let (program, rest) = command.split_first().expect("a command");
    let servers = Servers::shared();
    let database = servers.database("with", &sql);
    let preview = Preview::of(&database);
    let mut command = Command::new(program);
    at(&mut command, &preview.address);
    let status = command
        .args(rest)
        .env("PREVIEW_URL", preview.address.url())
        .env("COPY_URL", servers.copy.tcp("app", &database).url())
        .env("PRODUCTION_URL", servers.production.admin(&database).url())
        .env("FRESH_URL", preview.behind().url())
        .status()
        .expect("run the command");
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
