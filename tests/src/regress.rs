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
use std::path::Path;
use std::process::{Command, Stdio};

use crate::client::{Address, Session};
use crate::preview::Tenant;
use crate::servers::{Servers, tool, workplace};
use crate::suite::at;

use split::{Chunk, split};

/// Longest run of one file.
const PATIENCE_SECONDS: u32 = 300;

/// The tests read their data from the server's files.
const FILES: &str = "GRANT pg_read_server_files, pg_write_server_files TO app";

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
    /// Whose answers depend on chance.
    pub open: usize,
    /// EXPLAINs: plans are not part of the test of truth.
    pub plans: usize,
    /// The rest.
    pub different: Vec<Difference>,
}

/// The files of PostgreSQL's regression tests, and a database that those that come first have been run in.
pub struct Regression<'a> {
    folder: &'a Path,
}

impl<'a> Regression<'a> {
    /// Makes the database that every file starts from: `base` are the files that make what others use.
    pub fn new(folder: &'a Path, base: &[&str]) -> Regression<'a> {
        let servers = Servers::shared();
        let regression = Regression { folder };
        for server in [&servers.production, &servers.copy] {
            server.connect("postgres").must(FILES);
        }
        servers
            .production
            .connect("postgres")
            .must("CREATE DATABASE regression OWNER app");
        for file in base {
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
        servers.restore(&database);

        let mut refused: Vec<(String, String, String)> = Vec::new();
        let mut chunks = self.chunks(file, |_| true);
        let mut report = Report::default();
        let preview = loop {
            let tenant = Tenant::of_its_own(&database);
            Session::connect(&tenant.behind())
                .expect("fresh")
                .must(FILES);
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
        for (((chunk, copy), other), preview) in chunks.iter().zip(&copy).zip(&other).zip(&preview)
        {
            let [copy, other, preview] = [copy, other, preview].map(|said| comparable(chunk, said));
            if copy == preview {
                report.same += 1;
            } else if copy != other {
                report.open += 1;
            } else if chunk.explains() {
                report.plans += 1;
            } else {
                report.different.push(Difference {
                    place: format!("{file}:{}", chunk.line),
                    sql: chunk.text.clone(),
                    copy,
                    preview,
                });
            }
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
            .env("PG_ABS_SRCDIR", self.folder)
            .env("PG_ABS_BUILDDIR", &results)
            .env("PG_LIBDIR", self.folder)
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

/// An error of ours: 0A000 with our words.
fn is_refusal(said: &str) -> bool {
    said.contains("0A000") && said.contains("preview")
}

/// An answer without what isn't part of its meaning.
fn comparable(chunk: &Chunk, said: &str) -> String {
    let mut lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("LOCATION:"))
        .map(str::trim_end)
        .collect();
    if !chunk.orders() {
        lines.sort_unstable();
    }
    lines.join("\n")
}
