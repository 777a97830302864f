//! Other people's test suites by hand.
//!
//! | command | does |
//! |---|---|
//! | `suites run [NAME..]` | runs suites (all of them without a name) on both sides and compares |
//! | `suites regress [FILE..]` | PostgreSQL's regression tests, statement by statement (see `regress.rs`) |
//! | `suites coverage` | writes `docs/coverage.md` from the last runs |
//! | `suites with [--sql FILE] COMMAND..` | makes a production from FILE, a full copy and a preview, and runs the command with `PG*` of the preview, `COPY_URL`, `PREVIEW_URL`, `PRODUCTION_URL` and `FRESH_URL` |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the tests stops where something fails"
)]

use std::process::{Command, ExitCode};
use std::time::Instant;

use previewpg_tests::preview::Preview;
use previewpg_tests::regress::{self, FILES, Regression};
use previewpg_tests::servers::Servers;
use previewpg_tests::suite::{self, SUITES, Suite, at, coverage, coverage_file};

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
            let file = coverage_file();
            let before = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(&file, coverage(&before)).expect("write docs/coverage.md");
            ExitCode::SUCCESS
        }
        Some((command, rest)) if command == "with" => with(rest),
        Some((command, files)) if command == "regress" => regress(files),
        _ => {
            eprintln!(
                "suites run [NAME..] | suites regress [FILE..] | suites coverage | suites with [--sql FILE] COMMAND.."
            );
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

fn regress(files: &[String]) -> ExitCode {
    let regression = Regression::install();
    let mut all = regress::Report::default();
    let mut good = true;
    let named: Vec<&str> = files.iter().map(String::as_str).collect();
    for file in if named.is_empty() { FILES } else { &named } {
        let started = Instant::now();
        // A preview that doesn't come up for one file's tables says nothing of the others.
        let Ok(report) = std::panic::catch_unwind(|| regression.file(file)) else {
            println!("{file}: NOT RUN");
            good = false;
            continue;
        };
        for (place, sql, said) in &report.refused {
            println!("{place} refused\n    {}\n    {}", short(sql), short(said));
        }
        let violations = report.violations(file);
        print!("{violations}");
        println!("{file}: {}", report.summary());
        suite::keep(
            &regress::kept(file),
            &report.coverage(started.elapsed().as_secs()),
        );
        good &= violations.is_empty();
        all.add(report);
    }
    println!("everything: {}", all.summary());
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

fn with(arguments: &[String]) -> ExitCode {
    let (sql, command) = match arguments {
        [option, file, rest @ ..] if option == "--sql" => {
            (std::fs::read_to_string(file).expect("read the SQL"), rest)
        }
        rest => (String::new(), rest),
    };
    let (program, rest) = command.split_first().expect("a command");
    let servers = Servers::shared();
    let database = servers.database("by_hand", &sql);
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
