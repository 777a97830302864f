//! Other people's test suites, run twice: directly on a full copy, and through a preview. No test that passes directly
//! may fail through the preview, but for a short list with reasons.
//!
//! A suite is a script `tests/suites/NAME.sh`:
//!
//! | call | does |
//! |---|---|
//! | `NAME.sh install` | fetches the suite, at a pinned version, into [`cache`] |
//! | `NAME.sh prepare` | puts the suite's own tables into production, with rows, for its run over tables that are there already |
//! | `NAME.sh run RESULTS` | runs it at `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE` and writes a line for each test into the file RESULTS |
//!
//! A line of the results is `ok NAME`, `not ok NAME - MESSAGE` or `skip NAME - WHY`. `tests/suites/NAME.txt` lists the tests
//! that may fail through a preview: `KIND NAME # REASON`, see [`Kind`].
//!
//! A script finds its suite's name in `SUITE`, and keeps in the folder `SUITE_STATE` what `prepare` tells the runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Address;
use crate::digest::{difference, digest};
use crate::preview::Preview;
use crate::servers::{Server, Servers, target_folder};

/// A suite and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Its name: that of its script.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Whether its tables are put into production first.
    pub filled: bool,
    /// What a superuser does in production's database before the copy is made.
    pub production: &'static str,
    /// What a superuser does on the copy's server and on fresh, in the suite's database.
    pub superuser: &'static str,
    /// Whether CI runs it; the others run on demand.
    pub ci: bool,
}

/// Every suite that is run.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "psycopg2",
        title: "psycopg2 2.9.10, its own tests",
        filled: false,
        production: "CREATE EXTENSION hstore",
        superuser: "",
        ci: true,
    },
    Suite {
        name: "tokio_postgres",
        title: "tokio-postgres, its own tests",
        filled: false,
        production: "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree",
        superuser: "",
        ci: true,
    },
    Suite {
        name: "pg8000",
        title: "pg8000 1.31.2, its own tests",
        filled: false,
        production: "CREATE EXTENSION hstore",
        superuser: "",
        ci: true,
    },
    Suite {
        name: "sqlalchemy",
        title: "SQLAlchemy 2.0.43, dialect suite and tests of its PostgreSQL dialect",
        filled: false,
        production: SQLALCHEMY,
        superuser: "",
        ci: true,
    },
    Suite {
        name: "psycopg2-filled",
        title: "psycopg2's, their tables being production's, with rows",
        filled: true,
        production: "CREATE EXTENSION hstore",
        superuser: "",
        ci: true,
    },
    Suite {
        name: "pg8000-filled",
        title: "pg8000's, their tables being production's, with rows",
        filled: true,
        production: "CREATE EXTENSION hstore",
        superuser: "",
        ci: true,
    },
    Suite {
        name: "sqlalchemy-filled",
        title: "SQLAlchemy's, the tables and rows of their classes being production's",
        filled: true,
        production: SQLALCHEMY,
        superuser: "",
        ci: true,
    },
    Suite {
        name: "django",
        title: "Django 5.2.8, tests of its database layer",
        filled: false,
        production: DJANGO,
        superuser: "",
        ci: true,
    },
    Suite {
        name: "django-filled",
        title: "Django's, the tables and rows of their classes being production's",
        filled: true,
        production: DJANGO,
        superuser: "",
        ci: true,
    },
];

/// SQLAlchemy's extensions and schemas.
const SQLALCHEMY: &str = "CREATE EXTENSION hstore; CREATE EXTENSION citext; SET ROLE app; CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2";

/// Extensions that Django's tests use; `app` may not make all of them.
const DJANGO: &str = "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION btree_gin; CREATE EXTENSION btree_gist; \
                      CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent; CREATE EXTENSION pgcrypto";

/// Why a test may fail through a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It does what is documented to be refused.
    Refused,
    /// It sees what differs through any proxy, or by the nature of a preview; it's documented.
    Differs,
    /// A known defect; documented.
    Defect,
    /// It passes now and then, directly as well.
    Flaky,
}

impl Kind {
    fn parse(word: &str) -> Option<Kind> {
        Some(match word {
            "refused" => Kind::Refused,
            "differs" => Kind::Differs,
            "defect" => Kind::Defect,
            "flaky" => Kind::Flaky,
            _ => return None,
        })
    }
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, with its message.
    Failed(String),
    /// It wasn't run.
    Skipped,
}

/// Both runs of a suite, and what follows.
#[derive(Debug)]
pub struct Report {
    suite: Suite,
    direct: BTreeMap<String, Outcome>,
    preview: BTreeMap<String, Outcome>,
    listed: BTreeMap<String, (Kind, String)>,
    /// How long each run took.
    took: [Duration; 2],
    /// How many statements the proxy ran, and how many it refused.
    statements: (u64, u64),
    refusals: Vec<String>,
    touched: Vec<String>,
}

impl Suite {
    /// A suite by its name.
    pub fn named(name: &str) -> Option<Suite> {
        SUITES.iter().find(|suite| suite.name == name).copied()
    }

    fn script(&self) -> Command {
        // `NAME-filled` is the script NAME's, over tables that are there.
        let name = self.name.trim_end_matches("-filled");
        let mut command = Command::new("bash");
        command
            .arg(folder().join(format!("{name}.sh")))
            .env("SUITES_CACHE", cache())
            .env("SUITE", self.name)
            .env("SUITE_STATE", kept(self.name, "state"));
        command
    }

    /// Runs it on both sides, at the same time: a suite waits more than it works.
    pub fn run(&self) -> Report {
        must(self.script().arg("install"), "install");
        let database = format!("suite_{}", self.name.replace('-', "_"));
        let servers = Servers::shared();
        self.make_production(&servers.production, &database);
        servers.restore(&database);
        let copy = &servers.copy;
        copy.connect(&database).must(self.superuser);
        let before = digest(&servers.production.admin(&database));

        let preview = Preview::of(&database);
        let mut behind = crate::client::Session::connect(&preview.behind()).expect("fresh");
        behind.must(self.superuser);
        let directly = copy.tcp("app", &database);
        let ((direct, direct_took), (through, preview_took)) = thread::scope(|both| {
            let direct = both.spawn(|| self.once("direct", &directly));
            let through = self.once("preview", &preview.address);
            (direct.join().expect("the direct run"), through)
        });
        let metrics = preview.admin.as_deref().map(metrics).unwrap_or_default();
        let log = preview.stderr();
        assert!(!log.contains("panicked"), "the proxy panicked:\n{log}");
        drop(behind);
        drop(preview);
        let touched = difference(&before, &digest(&servers.production.admin(&database)));
        Report {
            suite: *self,
            direct,
            preview: through,
            listed: listed(self.name),
            took: [direct_took, preview_took],
            statements: counted(&metrics),
            refusals: metrics
                .lines()
                .filter(|line| line.starts_with("previewpg_refusals_total"))
                .map(ToOwned::to_owned)
                .collect(),
            touched,
        }
    }

    /// Its row of [`coverage`].
    fn row(&self, report: &Value) -> String {
        let number = |key: &str| report[key].as_u64().unwrap_or_default();
        format!(
            "| {}{} | {} | {} | {} | {} | {} | {} | {} | {} | {}, {} | {} |",
            self.title,
            match report["only"].as_str() {
                None | Some("") => String::new(),
                Some(modules) => format!(" (of its modules {})", modules.replace(' ', ", ")),
            },
            report["direct"],
            report["preview"],
            list(report, "refused").len(),
            list(report, "differs").len(),
            list(report, "defects").len(),
            report["different"],
            report["statements"],
            share(number("statements_refused"), number("statements")),
            report["seconds"][0],
            report["seconds"][1],
            if self.ci { "yes" } else { "no" },
        )
    }

    fn make_production(&self, production: &Server, database: &str) {
        production
            .connect("postgres")
            .must(&format!("CREATE DATABASE {database} OWNER app"));
        production.connect(database).must(self.production);
        if self.filled {
            let state = kept(self.name, "state");
            let _ = fs::remove_dir_all(&state);
            fs::create_dir_all(&state).expect("make the state's folder");
            let mut script = self.script();
            script.arg("prepare");
            at(&mut script, &production.tcp("app", database));
            must(&mut script, "prepare");
        }
        production.connect(database).must("ANALYZE");
    }

    fn once(&self, side: &str, address: &Address) -> (BTreeMap<String, Outcome>, Duration) {
        let kept = kept(self.name, side);
        let results = kept.join("results");
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir_all(&kept).expect("make the results' folder");
        let mut script = self.script();
        script.arg("run").arg(&results).current_dir(&kept);
        at(&mut script, address);
        let log = fs::File::create(kept.join("log")).expect("make the log");
        script
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log);
        let started = Instant::now();
        let status = script.status().expect("run the suite");
        let took = started.elapsed();
        let text = fs::read(&results).unwrap_or_default();
        let outcomes = parse(&String::from_utf8_lossy(&text));
        assert!(
            !outcomes.is_empty(),
            "{} ran no test ({status}), see {}",
            self.name,
            kept.join("log").display()
        );
        (outcomes, took)
    }
}

impl Report {
    /// What is against the rule, as text; empty if nothing is.
    pub fn violations(&self) -> String {
        let mut text = String::new();
        for (name, message) in self.failed_through_preview() {
            if !self.listed.contains_key(name) {
                let _ = writeln!(
                    text,
                    "{name} passes directly and fails through the preview:\n    {message}"
                );
            }
        }
        for (name, (kind, reason)) in &self.listed {
            let failed = self
                .failed_through_preview()
                .any(|(failed, _)| failed == name);
            if *kind != Kind::Flaky && !failed {
                let _ = writeln!(
                    text,
                    "{name} is listed ({reason}) and doesn't fail any more: take it off the list"
                );
            }
        }
        if !self.touched.is_empty() {
            let _ = writeln!(text, "PRODUCTION WAS TOUCHED: {:?}", self.touched);
        }
        text
    }

    fn failed_through_preview(&self) -> impl Iterator<Item = (&str, &str)> {
        self.direct.iter().filter_map(|(name, outcome)| {
            let message = match (outcome, self.preview.get(name)) {
                (Outcome::Passed, Some(Outcome::Failed(message))) => message.as_str(),
                (Outcome::Passed, Some(Outcome::Skipped)) => "skipped",
                (Outcome::Passed, None) => "not run",
                _ => return None,
            };
            Some((name.as_str(), message))
        })
    }

    fn passed(of: &BTreeMap<String, Outcome>) -> usize {
        of.values()
            .filter(|outcome| **outcome == Outcome::Passed)
            .count()
    }

    /// The result for [`coverage`], kept beside the logs.
    pub fn keep(&self) {
        let listed = |kind: Kind| -> Vec<Value> {
            self.failed_through_preview()
                .filter_map(|(name, _)| self.listed.get(name))
                .filter(|(listed, _)| *listed == kind)
                .map(|(_, reason)| json!(reason))
                .collect()
        };
        let unlisted = self
            .failed_through_preview()
            .filter(|(name, _)| !self.listed.contains_key(*name))
            .count();
        let value = json!({
            "direct": Self::passed(&self.direct),
            "preview": Self::passed(&self.preview),
            "refused": listed(Kind::Refused),
            "differs": listed(Kind::Differs),
            "defects": listed(Kind::Defect),
            "different": unlisted,
            "seconds": self.took.map(|took| took.as_secs()),
            "statements": self.statements.0,
            "statements_refused": self.statements.1,
            "only": std::env::var("SUITE_MODULES").unwrap_or_default(),
        });
        keep(self.suite.name, &value);
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        format!(
            "{}: {} passed directly in {} s, {} through the preview in {} s; {} statements, {} refused{}",
            self.suite.name,
            Self::passed(&self.direct),
            self.took[0].as_secs(),
            Self::passed(&self.preview),
            self.took[1].as_secs(),
            self.statements.0,
            self.statements.1,
            self.refusals
                .iter()
                .fold(String::new(), |text, line| text + "\n    " + line),
        )
    }
}

/// Keeps a report for [`coverage`].
pub fn keep(name: &str, report: &Value) {
    let path = kept(name, "report.json");
    let text = serde_json::to_string_pretty(report).expect("JSON of our own");
    let _ = fs::create_dir_all(path.with_file_name(""));
    fs::write(path, text).expect("keep the report");
}

/// The file that [`coverage`] is for.
pub fn coverage_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coverage.md")
}

/// `docs/coverage.md`, from the reports that are kept, and from what stood there before: a suite or file that wasn't run here keeps its row.
pub fn coverage(before: &str) -> String {
    let mut text = String::from(
        "# Coverage\n\n\
         Other people's test suites, run directly on a full copy and through a preview, both at the same time (`make suites-all` runs them and writes this table). *No test that passes\n\
         directly may fail through the preview*; those that do are listed in `tests/suites`, each with its reason. Of the statements that the suites send, at most 1 % may be refused.\n\n\
         | suite | passed directly | passed through the preview | refused | can be told apart | known defects | different | statements | of them refused | seconds (direct, preview) | runs in CI |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut reasons = Reasons::default();
    let mut rows = Vec::new();
    for suite in SUITES {
        if let Some(report) = kept_report(suite.name) {
            rows.push(suite.row(&report));
            reasons.add(suite.name, &report);
        } else if let Some(row) = row(before, suite.title) {
            rows.push(row.to_owned());
            reasons.take(suite.name, before);
        }
    }
    for row in &rows {
        let _ = writeln!(text, "{row}");
    }
    let _ = writeln!(text, "{}", total(&rows));
    text += "\nReasons, with the number of tests that each accounts for:\n\n| | reason | tests |\n|---|---|---|\n";
    text += &reasons.table();
    text + &regression(before)
}

/// How many statements were refused, and which share of all: for people.
fn share(refused: u64, statements: u64) -> String {
    // Hundredths of a percent, rounded up: what is refused shows.
    let share = (refused * 10_000).div_ceil(statements.max(1));
    format!("{refused} ({}.{:02} %)", share / 100, share % 100)
}

/// The last row of the suites' table: the sums of the rows above.
fn total(rows: &[String]) -> String {
    let mut sums = [0_u64; 8];
    for row in rows {
        let cells = row.split(" | ").skip(1);
        for (sum, cell) in sums.iter_mut().zip(cells) {
            let number = cell.split(' ').next().unwrap_or_default();
            *sum += number.parse::<u64>().unwrap_or_default();
        }
    }
    let [.., statements, refused] = sums;
    let counts = sums[..7].iter().map(u64::to_string).collect::<Vec<_>>();
    let share = share(refused, statements);
    format!("| **all** | {} | {share} | | |", counts.join(" | "))
}

/// A table's row by its first cell.
fn row<'a>(text: &'a str, first: &str) -> Option<&'a str> {
    text.lines().find(|line| {
        line.strip_prefix("| ")
            .and_then(|rest| rest.strip_prefix(first))
            .is_some_and(|rest| rest.starts_with(" |") || rest.starts_with(" (of its modules"))
    })
}

/// The part of [`coverage`] about PostgreSQL's regression tests.
fn regression(before: &str) -> String {
    let mut text = String::from(
        "\n## PostgreSQL's regression tests\n\n\
         Statement by statement, of a preview whose production holds the file's tables and their rows, against a full copy. Statements that the preview refuses are left out on both sides.\n\
         Not compared: plans, and answers that depend on chance (two copies' differ).\n\n\
         | file | statements | over production's relations | same | refused | can be told apart | known defects | different | not compared |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut reasons = Reasons::default();
    let mut sums = [0_u64; 8];
    for file in crate::regress::FILES {
        let Some(report) = kept_report(&crate::regress::kept(file)) else {
            if let Some(row) = row(before, file) {
                let _ = writeln!(text, "{row}");
                let numbers = row
                    .split('|')
                    .skip(2)
                    .map(|cell| cell.trim().parse::<u64>());
                for (sum, n) in sums.iter_mut().zip(numbers) {
                    *sum += n.unwrap_or_default();
                }
                reasons.take(file, before);
            }
            continue;
        };
        let number = |key: &str| report[key].as_u64().unwrap_or_default();
        let many = |key: &str| list(&report, key).len() as u64;
        let row = [
            number("statements"),
            number("over_production"),
            number("preview"),
            many("refused"),
            many("differs"),
            many("defects"),
            number("different"),
            number("plans") + number("open"),
        ];
        let _ = writeln!(
            text,
            "| {file} | {} |",
            row.map(|n| n.to_string()).join(" | ")
        );
        for (sum, n) in sums.iter_mut().zip(row) {
            *sum += n;
        }
        reasons.add(file, &report);
    }
    let _ = writeln!(
        text,
        "| **all** | {} |",
        sums.map(|n| n.to_string()).join(" | ")
    );
    text += "\n| | reason | statements |\n|---|---|---|\n";
    text + &reasons.table()
}

/// How many tests each reason accounts for, suite by suite.
#[derive(Default)]
struct Reasons(BTreeMap<(&'static str, String), BTreeMap<String, usize>>);

impl Reasons {
    fn add(&mut self, of: &str, report: &Value) {
        for (key, word) in [
            ("refused", "refused"),
            ("differs", "can be told apart"),
            ("defects", "known defect"),
        ] {
            for reason in list(report, key) {
                let reason = reason.as_str().unwrap_or_default().to_owned();
                let by_suite = self.0.entry((word, reason)).or_default();
                *by_suite.entry(of.to_owned()).or_default() += 1;
            }
        }
    }

    /// What stood in the table about a suite that wasn't run again.
    fn take(&mut self, of: &str, before: &str) {
        for line in before.lines() {
            let cells: Vec<&str> = line.split(" | ").collect();
            let [word, reason, tests] = cells.as_slice() else {
                continue;
            };
            let word = ["refused", "can be told apart", "known defect"]
                .into_iter()
                .find(|known| word.strip_prefix("| ") == Some(known));
            let count = tests.trim_end_matches(" |").split(", ").find_map(|test| {
                let (name, n) = test.split_once(": ")?;
                (name == of).then(|| n.parse::<usize>().ok()).flatten()
            });
            if let (Some(word), Some(count)) = (word, count) {
                let by_suite = self.0.entry((word, (*reason).to_owned())).or_default();
                by_suite.insert(of.to_owned(), count);
            }
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        for ((word, reason), by_suite) in &self.0 {
            let tests: Vec<String> = by_suite
                .iter()
                .map(|(suite, n)| format!("{suite}: {n}"))
                .collect();
            let _ = writeln!(text, "| {word} | {reason} | {} |", tests.join(", "));
        }
        text
    }
}

fn kept_report(name: &str) -> Option<Value> {
    let text = fs::read_to_string(kept(name, "report.json")).ok()?;
    serde_json::from_str(&text).ok()
}

fn list(report: &Value, key: &str) -> Vec<Value> {
    report[key].as_array().cloned().unwrap_or_default()
}

/// Sets a command's `PG*` variables.
pub fn at(command: &mut Command, address: &Address) {
    command
        .env("PGHOST", &address.host)
        .env("PGPORT", address.port.to_string())
        .env("PGUSER", &address.user)
        .env("PGPASSWORD", &address.password)
        .env("PGDATABASE", &address.database);
}

/// Where suites are installed: `$SUITES_CACHE`, or a folder of `$XDG_CACHE_HOME`.
pub fn cache() -> PathBuf {
    if let Some(path) = std::env::var_os("SUITES_CACHE") {
        return path.into();
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&home).join(".cache"), PathBuf::from)
        .join("previewpg/suites")
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites")
}

/// What a run leaves: `target/suites/NAME/SIDE`.
fn kept(name: &str, side: &str) -> PathBuf {
    target_folder().join("suites").join(name).join(side)
}

fn must(command: &mut Command, what: &str) {
    let out = command.output().expect("run the suite's script");
    assert!(
        out.status.success(),
        "{what}: {}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Reads lines of results; the last one of a test counts, unless it passed after a failure (of its tear-down).
fn parse(text: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for line in text.lines() {
        let (outcome, rest) = if let Some(rest) = line.strip_prefix("ok ") {
            (Outcome::Passed, rest)
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            let message = rest.split_once(" - ").map_or("", |(_, message)| message);
            (Outcome::Failed(message.to_owned()), rest)
        } else if let Some(rest) = line.strip_prefix("skip ") {
            (Outcome::Skipped, rest)
        } else {
            continue;
        };
        let name = rest.split(" - ").next().unwrap_or(rest).to_owned();
        let failed = matches!(outcomes.get(&name), Some(Outcome::Failed(_)));
        if !failed {
            outcomes.insert(name, outcome);
        }
    }
    outcomes
}

pub(crate) fn listed(name: &str) -> BTreeMap<String, (Kind, String)> {
    let path = folder().join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (rest, reason) = line
                .split_once(" # ")
                .unwrap_or_else(|| panic!("{}: no reason: {line}", path.display()));
            let (kind, test) = rest
                .split_once(' ')
                .and_then(|(kind, test)| Some((Kind::parse(kind)?, test.trim())))
                .unwrap_or_else(|| panic!("{}: KIND NAME # REASON: {line}", path.display()));
            (test.to_owned(), (kind, reason.to_owned()))
        })
        .collect()
}

fn metrics(admin: &str) -> String {
    let out = Command::new("curl")
        .args([
            "-s",
            "--max-time",
            "10",
            &format!("{}/metrics", admin.trim_end_matches('/')),
        ])
        .output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default()
}

fn counted(metrics: &str) -> (u64, u64) {
    let sum = |name: &str| {
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    };
    (
        sum("previewpg_statements_total"),
        sum("previewpg_refusals_total"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tear_down_is_a_failure() {
        let outcomes =
            parse("ok a\nnot ok a - tear down\nok b\nnot ok c - x - y\nskip d - why\nnoise");
        assert_eq!(outcomes["a"], Outcome::Failed("tear down".to_owned()));
        assert_eq!(outcomes["b"], Outcome::Passed);
        assert_eq!(outcomes["c"], Outcome::Failed("x - y".to_owned()));
        assert_eq!(outcomes["d"], Outcome::Skipped);
        assert_eq!(outcomes.len(), 4);
    }

    #[test]
    fn what_was_not_run_again_keeps_its_row_and_reasons() {
        let before =
            "| a suite | 3 |\n| refused | why, so | a: 2, b: 1 |\n| known defect | bad | b: 1 |\n";
        assert_eq!(row(before, "a suite"), Some("| a suite | 3 |"));
        assert_eq!(row(before, "a"), None);
        let mut reasons = Reasons::default();
        reasons.take("a", before);
        assert_eq!(reasons.table(), "| refused | why, so | a: 2 |\n");
    }

    #[test]
    fn the_last_row_has_the_sums_of_all_suites() {
        let rows = [
            "| a (of its modules b, c) | 5 | 4 | 1 | 0 | 0 | 0 | 900 | 2 (0.23 %) | 46, 150 | yes |",
            "| d, its own | 7 | 7 | 0 | 0 | 0 | 0 | 100 | 0 (0.00 %) | 1, 2 | no |",
        ];
        assert_eq!(
            total(&rows.map(str::to_owned)),
            "| **all** | 12 | 11 | 1 | 0 | 0 | 0 | 1000 | 2 (0.20 %) | | |"
        );
        assert_eq!(share(1, 133_849), "1 (0.01 %)");
        assert_eq!(share(0, 0), "0 (0.00 %)");
    }

    #[test]
    fn every_list_is_readable_and_every_suite_has_a_script() {
        for suite in SUITES {
            listed(suite.name);
            let script = format!("{}.sh", suite.name.trim_end_matches("-filled"));
            assert!(folder().join(&script).is_file(), "{script}");
        }
    }
}
