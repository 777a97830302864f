//! PostgreSQL's own regression tests: each file's statements on a full copy and on a preview whose production holds the tables, with rows.
//!
//! Production is made by running the file without its DROPs, so that almost all of its tables are production's when the file runs again, whole,
//! on both sides (a CREATE TABLE then fails on both). Statements that the preview refuses are left out on both sides, so that what follows can be compared.
//! A third run, on a copy whose rows have moved in their heaps, tells what depends on the physical order of rows or on chance: that isn't compared.

mod split;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::client::{Address, Session};
use crate::preview::Tenant;
use crate::servers::{Servers, own, tool, workplace};
use crate::suite::{self, Kind, at, cache};

use split::{Chunk, split};

/// Longest run of one file.
const PATIENCE_SECONDS: u32 = 600;

/// The tests read their data from the server's files.
const GRANT: &str = "GRANT pg_read_server_files, pg_write_server_files TO app";

/// Files that make what others use.
const BASE: [&str; 3] = ["test_setup", "create_misc", "create_index"];

/// The reader may only read, whatever a file has granted to everybody, and reads past policies: what it doesn't see isn't there in a preview.
const READ_ONLY: &str = "DO $$ DECLARE place regnamespace; BEGIN
    FOR place IN SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %s FROM public', place);
        EXECUTE format('REVOKE UPDATE ON ALL SEQUENCES IN SCHEMA %s FROM public', place);
        EXECUTE format('REVOKE CREATE ON SCHEMA %s FROM public', place);
    END LOOP;
    ALTER ROLE reader BYPASSRLS; END $$";

/// What a file leaves that no dump of production could be restored with, and what is done to it before: file, statement.
const UNRESTORABLE: [(&str, &str); 3] = [
    // Stored before its column's storage was set to PLAIN, now too long for a page.
    (
        "compression",
        "DELETE FROM cmdata2 WHERE pg_column_size(f1) > 4000 OR length(f1) > 7000",
    ),
    // ANALYZE computes a cast that its column's rows, which the file would have truncated before, don't admit.
    (
        "stats_ext",
        "DROP STATISTICS mcv_lists_stats, mcv_lists_stats_2",
    ),
    // Its function names another one without a schema.
    ("vacuum", "DROP INDEX vaccluster_wrap_do_analyze_idx"),
];

/// The files that are run when none is named: those about tables, rows and what is done with them, and about objects and catalogs that could look otherwise.
/// Left out: server-wide objects (tablespaces, roles, databases, publications), functions that no table has a part in, and checks of PostgreSQL's own catalogs.
pub const FILES: &[&str] = &[
    "advisory_lock",
    "aggregates",
    "alter_generic",
    "alter_table",
    "arrays",
    "async",
    "bit",
    "bitmapops",
    "boolean",
    "box",
    "brin",
    "brin_bloom",
    "brin_multi",
    "btree_index",
    "case",
    "char",
    "circle",
    "cluster",
    "collate",
    "collate.icu.utf8",
    "collate.linux.utf8",
    "combocid",
    "compression",
    "constraints",
    "copy",
    "copy2",
    "copydml",
    "copyselect",
    "create_aggregate",
    "create_am",
    "create_cast",
    "create_function_sql",
    "create_index",
    "create_index_spgist",
    "create_operator",
    "create_procedure",
    "create_schema",
    "create_table",
    "create_table_like",
    "create_type",
    "create_view",
    "date",
    "delete",
    "dependency",
    "domain",
    "drop_if_exists",
    "encoding",
    "enum",
    "equivclass",
    "errors",
    "event_trigger",
    "explain",
    "expressions",
    "fast_default",
    "float4",
    "float8",
    "foreign_data",
    "foreign_key",
    "functional_deps",
    "generated",
    "geometry",
    "gin",
    "gist",
    "groupingsets",
    "guc",
    "hash_index",
    "hash_part",
    "horology",
    "identity",
    "incremental_sort",
    "index_including",
    "index_including_gist",
    "indexing",
    "indirect_toast",
    "inet",
    "inherit",
    "insert",
    "insert_conflict",
    "int2",
    "int4",
    "int8",
    "interval",
    "join",
    "join_hash",
    "json",
    "jsonb",
    "jsonb_jsonpath",
    "largeobject",
    "limit",
    "line",
    "lock",
    "lseg",
    "macaddr",
    "macaddr8",
    "matview",
    "memoize",
    "merge",
    "misc",
    "misc_functions",
    "money",
    "multirangetypes",
    "mvcc",
    "name",
    "namespace",
    "numeric",
    "numeric_big",
    "numerology",
    "object_address",
    "oid",
    "partition_aggregate",
    "partition_info",
    "partition_join",
    "partition_prune",
    "path",
    "pg_lsn",
    "plancache",
    "plpgsql",
    "point",
    "polygon",
    "polymorphism",
    "portals",
    "portals_p2",
    "prepare",
    "prepared_xacts",
    "privileges",
    "psql",
    "psql_crosstab",
    "rangefuncs",
    "rangetypes",
    "regproc",
    "reloptions",
    "replica_identity",
    "returning",
    "rowsecurity",
    "rowtypes",
    "rules",
    "select",
    "select_distinct",
    "select_distinct_on",
    "select_having",
    "select_implicit",
    "select_into",
    "select_parallel",
    "select_views",
    "sequence",
    "spgist",
    "stats",
    "stats_ext",
    "strings",
    "subselect",
    "sysviews",
    "tablesample",
    "temp",
    "text",
    "tid",
    "tidrangescan",
    "tidscan",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "transactions",
    "triggers",
    "truncate",
    "tsdicts",
    "tsearch",
    "tsrf",
    "tstypes",
    "tuplesort",
    "txid",
    "typed_table",
    "unicode",
    "union",
    "updatable_views",
    "update",
    "uuid",
    "vacuum",
    "vacuum_parallel",
    "varchar",
    "window",
    "with",
    "write_parallel",
    "xid",
    "xml",
    "xmlmap",
];

/// Those that CI runs: short ones with little that's refused, and those that defects were found in.
pub const IN_CI: &[&str] = &[
    "foreign_key",
    "generated",
    "inherit",
    "insert_conflict",
    "returning",
    "subselect",
    "truncate",
    "updatable_views",
];

/// Where a file's result is kept, for [`suite::keep`].
pub fn kept(file: &str) -> String {
    format!("regress/{file}")
}

/// What both sides said to one statement.
#[derive(Debug)]
pub struct Difference {
    /// `FILE:LINE`.
    pub place: String,
    /// The statement.
    pub sql: String,
    /// What the copy said.
    pub copy: String,
    /// What the preview said.
    pub preview: String,
}

/// What became of one file.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements whose answers are the same.
    pub same: usize,
    /// Refused by the preview: place, statement, and what it said.
    pub refused: Vec<(String, String, String)>,
    /// Whose answers depend on chance, or only say that a difference before them has failed the transaction.
    pub open: usize,
    /// EXPLAINs: plans are not part of the test of truth.
    pub plans: usize,
    /// Statements that name a relation of production.
    pub over_production: usize,
    /// The rest.
    pub different: Vec<Difference>,
}

impl Report {
    /// Differences that aren't on the list, and what is on the list and isn't different any more.
    pub fn violations(&self, file: &str) -> String {
        let listed = suite::listed("regress");
        let mut text = String::new();
        for difference in &self.different {
            if !listed.contains_key(&difference.place) {
                let sorted = |text: &str| {
                    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                    lines.sort_unstable();
                    lines
                };
                let order = if sorted(&difference.copy) == sorted(&difference.preview) {
                    " (the same lines in another order)"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "{}{order}\n{}\n  copy:\n{}\n  preview:\n{}",
                    difference.place,
                    indented(&difference.sql, 20),
                    indented(&difference.copy, 60),
                    indented(&difference.preview, 60)
                );
            }
        }
        for (place, (kind, reason)) in &listed {
            let here = place
                .strip_prefix(file)
                .is_some_and(|rest| rest.starts_with(':'));
            let differs = self
                .different
                .iter()
                .any(|difference| difference.place == *place);
            if here && !differs && *kind != Kind::Flaky {
                let _ = writeln!(
                    text,
                    "{place} is listed ({reason}) and isn't different any more: take it off the list"
                );
            }
        }
        text
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        format!(
            "{} same, {} refused, {} different; not compared: {} plans, {} that depend on chance",
            self.same,
            self.refused.len(),
            self.different.len(),
            self.plans,
            self.open
        )
    }

    /// Adds what became of another file.
    pub fn add(&mut self, other: Report) {
        self.same += other.same;
        self.open += other.open;
        self.plans += other.plans;
        self.over_production += other.over_production;
        self.refused.extend(other.refused);
        self.different.extend(other.different);
    }

    /// For [`suite::coverage`]: in place of tests, statements.
    pub fn coverage(&self, seconds: u64) -> serde_json::Value {
        let listed = suite::listed("regress");
        let of = |kind: Kind| -> Vec<&str> {
            let listed = self
                .different
                .iter()
                .filter_map(|difference| listed.get(&difference.place));
            listed
                .filter(|(of, _)| *of == kind)
                .map(|(_, reason)| reason.as_str())
                .collect()
        };
        let unlisted = self
            .different
            .iter()
            .filter(|difference| !listed.contains_key(&difference.place));
        let refused: Vec<String> = self
            .refused
            .iter()
            .map(|(_, _, said)| construct(said))
            .collect();
        let all = self.same + self.different.len() + refused.len();
        serde_json::json!({
            "direct": all,
            "preview": self.same,
            "refused": refused,
            "differs": of(Kind::Differs),
            "defects": of(Kind::Defect),
            "different": unlisted.count(),
            "seconds": [0, seconds],
            "statements": all,
            "statements_refused": self.refused.len(),
            "over_production": self.over_production,
            "plans": self.plans,
            "open": self.open,
        })
    }
}

/// A refusal's message without the names in it, and the first sentence of its reason.
fn construct(said: &str) -> String {
    let part = |start: &str| {
        let line = said.lines().find_map(|line| line.split_once(start))?;
        Some(line.1.trim().to_owned())
    };
    let detail = part("DETAIL: ").unwrap_or_default();
    let reason = detail
        .split_once(". ")
        .map_or(detail.clone(), |(first, _)| format!("{first}."));
    let text = format!("{}: {reason}", part("0A000: ").unwrap_or_default());
    let mut quoted = false;
    let mut generic = String::new();
    for c in text.chars() {
        match c {
            '"' if quoted => quoted = false,
            '"' => {
                quoted = true;
                generic.push('…');
            }
            c if !quoted => generic.push(c),
            _ => {}
        }
    }
    generic.replace('|', "\\|")
}

fn indented(text: &str, most: usize) -> String {
    text.lines()
        .take(most)
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The files of PostgreSQL's regression tests, and a database that those that come first have been run in.
pub struct Regression {
    folder: PathBuf,
}

impl Regression {
    /// Fetches the tests and makes the database that every file starts from.
    pub fn install() -> Regression {
        let out = Command::new("bash")
            .arg(suite::folder().join("regress.sh"))
            .arg("install")
            .env("SUITES_CACHE", cache())
            .output()
            .expect("run regress.sh");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "regress.sh install: {said}");
        let fetched = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        // The server reads the tests' data as its own user.
        let folder = workplace().join("regress");
        let status = Command::new("cp")
            .arg("-r")
            .arg(&fetched)
            .arg(&folder)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "copy {fetched}"
        );
        own(&folder);
        let servers = Servers::shared();
        let regression = Regression { folder };
        for server in [&servers.production, &servers.copy] {
            server.connect("postgres").must(GRANT);
        }
        servers
            .production
            .connect("postgres")
            .must("CREATE DATABASE regression OWNER app");
        for file in BASE {
            let chunks = regression.chunks(file, |_| true);
            regression.run(&servers.production.tcp("app", "regression"), &chunks);
        }
        // A reader who may create objects would be refused.
        servers
            .production
            .connect("regression")
            .must("REVOKE ALL ON SCHEMA public FROM public");
        regression
    }

    fn chunks(&self, file: &str, keep: impl Fn(&Chunk) -> bool) -> Vec<Chunk> {
        let text =
            fs::read(self.folder.join("sql").join(format!("{file}.sql"))).expect("read the test");
        split(&String::from_utf8_lossy(&text))
            .into_iter()
            .filter(|chunk| keep(chunk))
            .collect()
    }

    /// Runs one file everywhere.
    pub fn file(&self, file: &str) -> Report {
        let servers = Servers::shared();
        let database = format!("regression_{file}").replace('.', "_");
        servers.production.copy_database("regression", &database);
        let made = self.chunks(file, |chunk| {
            !chunk.drops() && !chunk.text.starts_with('\\')
        });
        self.run(&servers.production.tcp("app", &database), &made);
        for (_, statement) in UNRESTORABLE.iter().filter(|(of, _)| *of == file) {
            servers.production.connect(&database).must(statement);
        }
        servers.production.connect(&database).must(READ_ONLY);
        servers.restore(&database);

        let relations = relations(&servers.production.admin(&database));
        let mut refused: Vec<(String, String, String)> = Vec::new();
        let mut chunks = self.chunks(file, |_| true);
        let mut report = Report {
            over_production: chunks
                .iter()
                .filter(|chunk| chunk.names(&relations))
                .count(),
            ..Report::default()
        };
        let preview = loop {
            let tenant = Tenant::of_its_own(&database);
            Session::connect(&tenant.behind())
                .expect("fresh")
                .must(GRANT);
            let said = self.run(&tenant.address, &chunks);
            drop(tenant);
            let mut left_out = BTreeSet::new();
            for (chunk, said) in chunks.iter().zip(&said) {
                if is_refusal(said) {
                    refused.push((
                        format!("{file}:{}", chunk.line),
                        chunk.text.clone(),
                        said.clone(),
                    ));
                    left_out.insert(chunk.line);
                }
            }
            if left_out.is_empty() {
                break said;
            }
            chunks.retain(|chunk| !left_out.contains(&chunk.line));
        };
        Tenant::forget(&database);
        let shuffled = servers.another_copy(&database);
        let other = self.run(&servers.copy.tcp("app", &shuffled), &chunks);
        let copy = self.run(&servers.copy.tcp("app", &database), &chunks);
        let mut failed = false;
        for (((chunk, copy), other), preview) in chunks.iter().zip(&copy).zip(&other).zip(&preview)
        {
            let [copy, other, preview] = [copy, other, preview].map(|said| comparable(chunk, said));
            let follows = preview.contains("ERROR:  25P02");
            if copy == preview {
                report.same += 1;
                failed &= follows;
                continue;
            }
            if (failed && follows) || copy != other {
                report.open += 1;
            } else if chunk.explains() {
                report.plans += 1;
            } else {
                report.different.push(Difference {
                    place: format!("{file}:{}", chunk.line),
                    sql: chunk.text.clone(),
                    copy,
                    preview: preview.clone(),
                });
            }
            failed |= preview.contains("ERROR:");
        }
        report.refused = refused;
        servers.drop_database(&database);
        servers
            .copy
            .connect("postgres")
            .query(&format!("DROP DATABASE {shuffled} WITH (FORCE)"));
        report
    }

    /// Has psql run the chunks; gives what it said to each. One that wasn't reached has an answer that says so.
    fn run(&self, address: &Address, chunks: &[Chunk]) -> Vec<String> {
        let mut script = String::from("\\set VERBOSITY verbose\n\\set SHOW_CONTEXT errors\n");
        for (number, chunk) in chunks.iter().enumerate() {
            let _ = writeln!(script, "{}\n\\echo @@@ {number}", chunk.text);
        }
        let mut command = Command::new("sh");
        command.args(["-c", "exec timeout \"$0\" \"$1\" -X -q 2>&1"]);
        command.arg(PATIENCE_SECONDS.to_string()).arg(tool("psql"));
        at(&mut command, address);
        let results = workplace().join("results");
        let _ = fs::create_dir_all(&results);
        let _ = fs::set_permissions(
            &results,
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        );
        let mut child = command
            .current_dir(&results)
            .env("PGTZ", "PST8PDT")
            .env("PGDATESTYLE", "Postgres, MDY")
            .env("PGOPTIONS", "-c intervalstyle=postgres_verbose")
            .env("PG_ABS_SRCDIR", &self.folder)
            // The tests' own files are in its folder `results`.
            .env("PG_ABS_BUILDDIR", workplace())
            .env("PG_LIBDIR", &self.folder)
            .env("PG_DLSUFFIX", ".so")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run psql");
        let mut stdin = child.stdin.take().expect("its standard input");
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let out = child.wait_with_output().expect("psql");
        let _ = writer.join();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut answers: Vec<String> = vec!["(not reached)".to_owned(); chunks.len()];
        let mut answer = String::new();
        for line in text.lines() {
            match line.strip_prefix("@@@ ").map(str::parse::<usize>) {
                Some(Ok(number)) => {
                    if let Some(place) = answers.get_mut(number) {
                        *place = std::mem::take(&mut answer);
                    }
                }
                _ => {
                    answer += line;
                    answer.push('\n');
                }
            }
        }
        answers
    }
}

/// The names of a database's relations.
fn relations(address: &Address) -> BTreeSet<String> {
    let names = Session::connect(address).expect("production").query(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
    );
    names.rows().into_iter().flatten().collect()
}

/// An error of ours: 0A000 with our words.
fn is_refusal(said: &str) -> bool {
    said.contains("0A000") && said.contains("preview")
}

/// `pg_temp_3` → `pg_temp_N`: which number a session gets is chance.
fn without_temporary_numbers(line: &str) -> String {
    let mut parts = line.split("pg_temp_");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += "pg_temp_";
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < part.len() {
            text.push('N');
        }
        text += rest;
    }
    text
}

/// An answer without what isn't part of its meaning.
fn comparable(chunk: &Chunk, said: &str) -> String {
    let mut lines: Vec<String> = said
        .lines()
        .filter(|line| !line.starts_with("LOCATION:"))
        .map(|line| without_temporary_numbers(line.trim_end()))
        .collect();
    if !chunk.orders() {
        lines.sort_unstable();
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_temporary_schema_is_chance() {
        assert_eq!(
            without_temporary_numbers("pg_temp_12.a pg_temp_x pg_temp_3"),
            "pg_temp_N.a pg_temp_x pg_temp_N"
        );
    }

    #[test]
    fn a_construct_has_the_first_sentence_of_its_reason() {
        let said = "ERROR:  0A000: it can't run\nDETAIL:  Nobody knows. It takes 3 rows.";
        assert_eq!(construct(said), "it can't run: Nobody knows.");
    }

    #[test]
    fn a_construct_has_no_names_in_it() {
        let said = "ERROR:  0A000: relation \"a|b\" can't be served in this preview\nDETAIL:  It is a view over \"c\".\nHINT:  Ask.";
        assert_eq!(
            construct(said),
            "relation … can't be served in this preview: It is a view over …."
        );
    }
}
