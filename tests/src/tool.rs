//! Tools that people migrate and use a database with, on a production that holds data: the same run on a full copy and on
//! a preview shows the same and leaves the same behind.
//!
//! A tool is a folder `tests/tools/NAME` with a script `run.sh`:
//!
//! | call | does |
//! |---|---|
//! | `run.sh install` | fetches the tool, at a pinned version, into [`cache`] |
//! | `run.sh fill` | makes production's tables and fills them, at `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE` |
//! | `run.sh tour` | uses and migrates that database, at the same variables, and prints what it sees |
//! | `run.sh after` | of an application: production's own version at production, when the next one has migrated the preview; it prints what the tour printed first, and may write |
//!
//! `TOOL_FOLDER` is an empty folder of the call's own; at `TOOL_COPY_HOST` and `TOOL_COPY_PORT` a tour may make a database to
//! restore into. What a tour prints must not depend on the time, on chance or on the
//! physical order of rows.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{Address, Session};
use crate::digest::{difference, digest};
use crate::preview::Preview;
use crate::servers::{Servers, keep_logs, target_folder};
use crate::suite::at;

/// Differences that a failure shows at most.
const SHOWN: usize = 80;

/// A tool and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The name of its folder.
    pub name: &'static str,
    /// What a superuser does in production's empty database.
    pub production: &'static str,
    /// How many lines a tour prints at least.
    pub lines: usize,
    /// Whether it's an application, with a version that production goes on with: `run.sh after`.
    pub application: bool,
    /// Lines of the tour, or of what is left behind, that may differ: any that contains one of these.
    pub apart: &'static [Apart],
}

/// A documented difference.
#[derive(Debug, Clone, Copy)]
pub struct Apart {
    /// What a line that may differ contains.
    pub contains: &'static str,
    /// Why, as in `docs/limits.md`.
    pub why: &'static str,
}

impl Tool {
    /// Runs it on both sides, and fails if they differ or if production was touched.
    pub fn run(&self) {
        let started = Instant::now();
        self.call("install", None);
        let database = format!("tool_{}", self.name);
        let servers = Servers::shared();
        let production = servers.production.tcp("app", &database);
        servers
            .production
            .connect("postgres")
            .must(&format!("CREATE DATABASE {database} OWNER app"));
        let mut admin = servers.production.connect(&database);
        admin.must(self.production);
        self.call("fill", Some(("production", &production)));
        admin.must("ANALYZE");
        drop(admin);
        servers.restore(&database);
        let before = digest(&servers.production.admin(&database));
        let second = (std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy"))
            .then(|| servers.another_copy(&database));

        let copy = servers.copy.tcp("app", &database);
        let (expected, direct) = self.tour("copy", &copy);
        assert!(
            expected.len() >= self.lines,
            "{} saw next to nothing: {expected:?}",
            self.name
        );
        let left_expected = state(&copy);

        let (found, left_found, through, _open) = if let Some(second) = second {
            let second = servers.copy.tcp("app", &second);
            let (found, took) = self.tour("second-copy", &second);
            (found, state(&second), took, None)
        } else {
            let preview = Preview::of(&database);
            let (found, took) = self.tour("preview", &preview.address);
            let left = state(&preview.address);
            let log = preview.stderr();
            assert!(!log.contains("panicked"), "the proxy panicked:\n{log}");
            (found, left, took, Some(preview))
        };
        let touched = difference(&before, &digest(&servers.production.admin(&database)));
        assert!(touched.is_empty(), "PRODUCTION WAS TOUCHED: {touched:?}");
        if self.application {
            let text = self.call("after", Some(("production-after", &production)));
            let goes_on: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            let first = expected.get(..goes_on.len()).unwrap_or_default();
            let differences = self.told(first, &goes_on, "production's own version, afterwards");
            assert!(
                differences.is_empty() && !goes_on.is_empty(),
                "{} doesn't see at production what it saw before:\n{}",
                self.name,
                differences.join("\n")
            );
        }

        let mut differences = self.told(&expected, &found, "the tour");
        differences.extend(self.told(&left_expected, &left_found, "what is left behind"));
        if !differences.is_empty() {
            keep_logs();
        }
        assert!(
            differences.is_empty(),
            "{} (- full copy, + preview):\n{}\n\nboth tours are in {}; reproduce: cargo test -p previewpg_tests --test tools {}",
            self.name,
            differences
                .get(..differences.len().min(SHOWN))
                .unwrap_or_default()
                .join("\n"),
            self.kept("").display(),
            self.name
        );
        println!(
            "{}: {} lines seen on both sides, {} lines left behind; {:.1} s directly, {:.1} s through the preview, {:.1} s in all",
            self.name,
            expected.len(),
            left_expected.len(),
            direct.as_secs_f64(),
            through.as_secs_f64(),
            started.elapsed().as_secs_f64()
        );
        servers.drop_database(&database);
    }

    fn kept(&self, file: &str) -> PathBuf {
        target_folder().join("tools").join(self.name).join(file)
    }

    fn call(&self, what: &str, place: Option<(&str, &Address)>) -> String {
        let mut script = Command::new("bash");
        script
            .arg(folder().join(self.name).join("run.sh"))
            .arg(what)
            .env("TOOLS_CACHE", cache())
            // A debug build's lease of connections and a busy machine take their time.
            .env("PGCONNECT_TIMEOUT", "60");
        if what == "tour" {
            // Where a tour may make a database to restore into.
            let copy = Servers::shared().copy.tcp("app", "postgres");
            script
                .env("TOOL_COPY_HOST", copy.host)
                .env("TOOL_COPY_PORT", copy.port.to_string());
        }
        let side = place.map_or(what, |(side, _)| side);
        let own = self.kept(&format!("{side}.folder"));
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own).expect("make the call's folder");
        script.env("TOOL_FOLDER", &own);
        if let Some((_, address)) = place {
            at(&mut script, address);
        }
        let out = script.output().expect("run the tool's script");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = String::from_utf8_lossy(&out.stderr);
        fs::write(self.kept(&format!("{side}.out")), &text).expect("keep what it printed");
        fs::write(self.kept(&format!("{side}.err")), said.as_bytes()).expect("keep what it said");
        if !out.status.success() {
            keep_logs();
            panic!(
                "{} {what} failed at the {side} ({}):\n{}\n{}",
                self.name,
                out.status,
                last_lines(&text),
                last_lines(&said)
            );
        }
        text
    }

    fn tour(&self, side: &str, address: &Address) -> (Vec<String>, Duration) {
        let started = Instant::now();
        let text = self.call("tour", Some((side, address)));
        let lines = text.lines().map(ToOwned::to_owned).collect();
        (lines, started.elapsed())
    }

    /// What differs between two lists of lines, but for what is documented.
    fn told(&self, expected: &[String], found: &[String], what: &str) -> Vec<String> {
        let keep = |line: &&String| !self.apart.iter().any(|apart| line.contains(apart.contains));
        let [expected, found] =
            [expected, found].map(|lines| lines.iter().filter(keep).cloned().collect::<Vec<_>>());
        let mut told = only_on_one(&expected, &found);
        if told.is_empty() && expected != found {
            let at = expected.iter().zip(&found).position(|(a, b)| a != b);
            told.push(format!(
                "the same lines in another order or number, from line {at:?} on: {:?}",
                at.and_then(|at| Some((expected.get(at)?, found.get(at)?)))
            ));
        }
        if !told.is_empty() {
            told.insert(0, format!("{what}:"));
        }
        told
    }
}

/// The lines that one side has more often, in their order, `-` those of the first.
fn only_on_one(expected: &[String], found: &[String]) -> Vec<String> {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for line in expected {
        *counts.entry(line).or_default() += 1;
    }
    for line in found {
        *counts.entry(line).or_default() -= 1;
    }
    let mut told = Vec::new();
    for (lines, mark, sign) in [(expected, '-', 1), (found, '+', -1)] {
        for line in lines {
            if let Some(count) = counts.get_mut(line.as_str()).filter(|n| **n * sign > 0) {
                *count -= sign;
                told.push(format!("{mark} {line}"));
            }
        }
    }
    told
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// What a client can see of a database's schema, a line for each thing: `d`.
const SCHEMA: &str = "
WITH ours AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
     rel AS (SELECT c.*, c.oid::regclass::text AS named FROM pg_catalog.pg_class c JOIN ours ON ours.oid = c.relnamespace)
SELECT format('relation %s %s %s %s', named, relkind, relpersistence, obj_description(oid, 'pg_class')) AS d FROM rel
UNION ALL SELECT format('column %s.%s %s %s %s %s %s%s %s %s', named,
    row_number() OVER (PARTITION BY rel.oid ORDER BY attnum), attname, format_type(atttypid, atttypmod), attnotnull,
    pg_get_expr(adbin, adrelid), attidentity, attgenerated, attcollation::regcollation, col_description(rel.oid, attnum))
FROM rel JOIN pg_catalog.pg_attribute ON attrelid = rel.oid LEFT JOIN pg_catalog.pg_attrdef ON adrelid = rel.oid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm', 'c')
UNION ALL SELECT format('constraint %s %s %s %s', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
FROM pg_catalog.pg_constraint WHERE connamespace IN (SELECT oid FROM ours) AND conrelid <> 0
UNION ALL SELECT format('index %s %s%s', pg_get_indexdef(indexrelid), indisprimary, indisvalid)
FROM pg_catalog.pg_index JOIN rel ON rel.oid = indexrelid
UNION ALL SELECT format('view %s %s', named, pg_get_viewdef(oid)) FROM rel WHERE relkind IN ('v', 'm')
UNION ALL SELECT format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)) FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT format('function %s %s', oid::regprocedure, prosrc) FROM pg_catalog.pg_proc
WHERE pronamespace IN (SELECT oid FROM ours) AND prolang IN (SELECT oid FROM pg_catalog.pg_language WHERE lanname IN ('sql', 'plpgsql'))
UNION ALL SELECT format('enum %s %s', enumtypid::regtype, string_agg(enumlabel, ',' ORDER BY enumsortorder))
FROM pg_catalog.pg_enum GROUP BY enumtypid
UNION ALL SELECT format('schema %s', nspname) FROM ours
UNION ALL SELECT format('extension %s', extname) FROM pg_catalog.pg_extension
ORDER BY 1";

/// The database as its client sees it: schema, every row of every table and view, sequences.
pub fn state(address: &Address) -> Vec<String> {
    let mut session =
        Session::connect(address).unwrap_or_else(|e| panic!("log in for the state: {e:?}"));
    session.must("SET extra_float_digits = 3; SET timezone = 'UTC'; SET search_path = pg_catalog");
    let mut lines: Vec<String> = session.must(SCHEMA).rows().concat();
    let today = session
        .must("SELECT current_date - 1, current_date")
        .rows()
        .concat();
    let relations = session.must(
        "SELECT format('%I.%I', nspname, relname), relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1",
    );
    for row in relations.rows() {
        let [relation, kind] = row.as_slice() else {
            continue;
        };
        let sql = if kind == "S" {
            format!("SELECT last_value, is_called FROM {relation}")
        } else {
            format!("SELECT * FROM {relation}")
        };
        let mut rows: Vec<String> = session
            .must(&sql)
            .rows()
            .iter()
            .map(|row| format!("row {relation} {}", timeless(row, &today)))
            .collect();
        rows.sort();
        lines.push(format!("rows {relation} {}", rows.len()));
        lines.extend(rows);
    }
    lines
}

/// A row without the moment at which it was written.
fn timeless(row: &[String], today: &[String]) -> String {
    let values: Vec<&str> = row
        .iter()
        .map(|value| {
            let moment = value.len() > 18
                && value.as_bytes().get(10) == Some(&b' ')
                && today.iter().any(|day| value.starts_with(day.as_str()));
            if moment { "<now>" } else { value }
        })
        .collect();
    values.join("|")
}

/// Where tools are installed: `$TOOLS_CACHE`, or a folder of `$XDG_CACHE_HOME`.
pub fn cache() -> PathBuf {
    if let Some(path) = std::env::var_os("TOOLS_CACHE") {
        return path.into();
    }
    crate::suite::cache().with_file_name("tools")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}
