//! Production's schema into fresh: `pg_dump` and `pg_restore`, which know every kind of object.
//!
//! Passwords go by the environment, never by arguments. What can't be restored is left out and reported by name.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Options;
use super::plan::Restore;
use crate::net::target::{LIBPQ_VARIABLES, Target};

/// The limit for one run of either program.
const TIME_LIMIT: Duration = Duration::from_secs(1800);

/// An object that fresh lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRestored {
    /// Its kind and name, for example `TABLE public t`.
    pub object: String,
    /// PostgreSQL's error.
    pub message: String,
}

/// Why the schema can't be brought over.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A program can't be started.
    #[error("can't run {program}; install the PostgreSQL client programs, or say where they are")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `pg_dump` is older than production.
    #[error(
        "{program} is of version {dump}, production is {production}; install the client programs of PostgreSQL {production} or newer"
    )]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its major version.
        dump: u32,
        /// Production's major version.
        production: u32,
    },
    /// A program failed as a whole.
    #[error("{program} failed: {message}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// The last lines that it wrote.
        message: String,
    },
    /// A program didn't end.
    #[error("{program} didn't end within {} minutes", TIME_LIMIT.as_secs() / 60)]
    TimeOut {
        /// The program.
        program: PathBuf,
    },
    /// A temporary file can't be used.
    #[error("can't use a temporary file")]
    File(#[source] io::Error),
}

/// One run of `pg_restore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Schemas: the app role's, and extensions want them.
    Schemas,
    /// What only a superuser may own, and other objects need.
    Owner,
    /// Everything else; handed over to the app role afterwards.
    App,
    /// Event triggers: last, so that they see none of this.
    EventTriggers,
}

const PASSES: [Pass; 4] = [Pass::Schemas, Pass::Owner, Pass::App, Pass::EventTriggers];

/// Whether our own event triggers follow what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// No: what is restored is attached afterwards.
    No,
    /// Yes: it changes what is attached already.
    Yes,
}

/// A dump of production's schema, in a folder that goes with it.
#[derive(Debug)]
pub(super) struct Dump {
    folder: tempfile::TempDir,
    /// What is in it that may be restored, in order.
    pub(super) entries: Vec<Entry>,
}

/// An entry of its table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number there.
    id: String,
    /// The line, as `pg_restore --use-list` wants it.
    line: String,
    /// Its kind, schema and name: the same in every dump.
    pub(super) identity: String,
    pass: Pass,
}

/// What couldn't be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// Its entry's identity, if PostgreSQL named it.
    pub(super) identity: Option<String>,
    /// For people.
    pub(super) told: NotRestored,
}

/// Dumps production's schema.
pub(super) async fn dump(options: &Options, wanted: &Restore) -> Result<Dump, RestoreError> {
    let folder = tempfile::tempdir().map_err(RestoreError::File)?;
    let file = folder.path().join(FILE);
    let mut arguments: Vec<OsString> = [
        "--format=custom",
        "--schema-only",
        "--no-owner",
        "--no-privileges",
        "--no-publications",
        "--no-subscriptions",
        "--no-security-labels",
        "--no-tablespaces",
        "--lock-wait-timeout=5s",
        "--no-password",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(pair("--file=", file.as_os_str()));
    for (schema, name) in &wanted.tables {
        arguments.push(format!("--table={}.{}", pattern(schema), pattern(name)).into());
    }
    for (schema, name) in &wanted.exclude_tables {
        arguments.push(format!("--exclude-table={}.{}", pattern(schema), pattern(name)).into());
    }
    if wanted.tables.is_empty() {
        for schema in &wanted.include_schemas {
            arguments.push(format!("--schema={}", pattern(schema)).into());
        }
        if !wanted.include_schemas.is_empty() {
            arguments.push("--extension=*".into());
        }
        for schema in &wanted.exclude_schemas {
            arguments.push(format!("--exclude-schema={}", pattern(schema)).into());
        }
    }
    run(
        &options.pg_dump,
        &arguments,
        Some((&options.production, "-c default_transaction_read_only=on")),
    )
    .await
    .and_then(|output| succeeded(&options.pg_dump, output))?;
    let listing = run(
        &options.pg_restore,
        &["--list".into(), file.into_os_string()],
        None,
    )
    .await
    .and_then(|output| succeeded(&options.pg_restore, output))?;
    let entries = String::from_utf8_lossy(&listing.stdout)
        .lines()
        .filter_map(entry)
        .collect();
    Ok(Dump { folder, entries })
}

impl Dump {
    /// Restores those entries; what the app role gets belongs to `role` afterwards.
    pub(super) async fn restore(
        &self,
        options: &Options,
        wanted: &[&Entry],
        role: &str,
        followed: Followed,
    ) -> Result<Vec<Lost>, RestoreError> {
        let session = match followed {
            Followed::No => "-c session_replication_role=replica -c lock_timeout=10s",
            Followed::Yes => "-c lock_timeout=10s",
        };
        let mut lost = Vec::new();
        for pass in PASSES {
            let entries: Vec<&&Entry> = wanted.iter().filter(|entry| entry.pass == pass).collect();
            if entries.is_empty() {
                continue;
            }
            let list = self.folder.path().join("list");
            let lines: Vec<&str> = entries.iter().map(|entry| entry.line.as_str()).collect();
            tokio::fs::write(&list, lines.join("\n"))
                .await
                .map_err(RestoreError::File)?;
            let mut arguments: Vec<OsString> = [
                "--no-owner",
                "--no-privileges",
                "--no-tablespaces",
                "--no-password",
                // Else a complaint doesn't name its object.
                "--verbose",
            ]
            .map(OsString::from)
            .to_vec();
            arguments.push(format!("--dbname={}", connection_string(&options.fresh)).into());
            arguments.push(pair("--use-list=", list.as_os_str()));
            if matches!(pass, Pass::Schemas | Pass::App) {
                arguments.push(format!("--role={role}").into());
            }
            arguments.push(self.folder.path().join(FILE).into_os_string());
            let output = run(
                &options.pg_restore,
                &arguments,
                Some((&options.fresh, session)),
            )
            .await?;
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            let errors = errors(&complaints);
            if errors.is_empty() {
                succeeded(&options.pg_restore, output)?;
            }
            lost.extend(errors.into_iter().map(|(id, told)| {
                Lost {
                    identity: entries
                        .iter()
                        .find(|entry| Some(&entry.id) == id.as_ref())
                        .map(|entry| entry.identity.clone()),
                    told,
                }
            }));
        }
        Ok(lost)
    }
}

/// The dump's file.
const FILE: &str = "schema.dump";

fn pair(option: &str, value: &std::ffi::OsStr) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(value);
    argument
}

/// A name as a pattern of `pg_dump` that matches only itself.
fn pattern(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// For `pg_restore --dbname`, which wants one; everything secret is in the environment.
fn connection_string(server: &Target) -> String {
    format!(
        "dbname='{}'",
        server.database.replace('\\', "\\\\").replace('\'', "\\'")
    )
}

/// `pg_dump`'s major version against production's (`server_version_num`).
pub(super) async fn check_version(options: &Options, production: u32) -> Result<(), RestoreError> {
    let output = run(&options.pg_dump, &["--version".into()], None)
        .await
        .and_then(|output| succeeded(&options.pg_dump, output))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match major(&text) {
        Some(dump) if dump < production / 10_000 => Err(RestoreError::TooOld {
            program: options.pg_dump.clone(),
            dump,
            production: production / 10_000,
        }),
        _ => Ok(()),
    }
}

/// The major version in `pg_dump (PostgreSQL) 15.18 (Debian ..)`.
fn major(text: &str) -> Option<u32> {
    let version = text.split_once(") ").map_or(text, |(_, version)| version);
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

async fn run(
    program: &Path,
    arguments: &[OsString],
    session: Option<(&Target, &str)>,
) -> Result<Output, RestoreError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for variable in LIBPQ_VARIABLES {
        command.env_remove(variable);
    }
    if let Some((target, options)) = session {
        let own = target.options.as_deref().unwrap_or_default();
        command
            .envs(target.libpq_environment())
            .env("PGAPPNAME", "previewpg")
            .env("PGOPTIONS", format!("{own} {options}").trim_start());
    }
    match tokio::time::timeout(TIME_LIMIT, command.output()).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(RestoreError::Start {
            program: program.to_owned(),
            source,
        }),
        Err(_) => Err(RestoreError::TimeOut {
            program: program.to_owned(),
        }),
    }
}

fn succeeded(program: &Path, output: Output) -> Result<Output, RestoreError> {
    if output.status.success() {
        return Ok(output);
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    let mut last: Vec<&str> = complaints.trim_end().lines().rev().take(4).collect();
    last.reverse();
    Err(RestoreError::Failed {
        program: program.to_owned(),
        message: last.join("; "),
    })
}

/// An entry of the table of contents, unless it's one that is left out.
pub(super) fn entry(line: &str) -> Option<Entry> {
    let pass = pass_of(line)?;
    let (id, rest) = line.split_once("; ")?;
    // Two OIDs, kind, schema and name, owner.
    let text = rest.splitn(3, ' ').nth(2)?;
    let identity = text.rsplit_once(' ').map_or(text, |(identity, _)| identity);
    Some(Entry {
        id: id.to_owned(),
        line: line.to_owned(),
        identity: identity.to_owned(),
        pass,
    })
}

/// Which run restores an entry of the table of contents; `None`: left out.
fn pass_of(line: &str) -> Option<Pass> {
    // "215; 1259 16386 TABLE public users postgres"
    if line.starts_with(';') {
        return None;
    }
    let (_, rest) = line.split_once("; ")?;
    let mut words = rest.splitn(3, ' ');
    let entry = words.nth(2)?;
    let is = |kind: &str| {
        entry
            .strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with(' '))
    };
    if entry.starts_with("SCHEMA - public ")
        || entry.starts_with("COMMENT - SCHEMA public ")
        || entry.contains(" previewpg_")
        || [
            "TABLE DATA",
            "PUBLICATION",
            "PUBLICATION TABLE",
            "SUBSCRIPTION",
            "USER MAPPING",
            "ACL",
            "DEFAULT ACL",
            "DATABASE",
            "DATABASE PROPERTIES",
        ]
        .into_iter()
        .any(is)
    {
        return None;
    }
    Some(match () {
        () if is("SCHEMA") => Pass::Schemas,
        () if is("EXTENSION") || is("FOREIGN DATA WRAPPER") || is("ACCESS METHOD") => Pass::Owner,
        () if is("EVENT TRIGGER") => Pass::EventTriggers,
        () => Pass::App,
    })
}

/// The objects that `pg_restore` complained about: their entries' numbers, and what is to be told.
fn errors(complaints: &str) -> Vec<(Option<String>, NotRestored)> {
    let mut errors = Vec::new();
    let mut object = None;
    let mut id = None;
    for line in complaints.lines() {
        if let Some((_, entry)) = line.split_once("from TOC entry ") {
            object = entry.splitn(4, ' ').nth(3).map(str::to_owned);
            id = entry.split_once(';').map(|(id, _)| id.to_owned());
        } else if let Some((_, message)) = line.split_once("could not execute query: ") {
            let told = NotRestored {
                object: object.clone().unwrap_or_else(|| "an object".to_owned()),
                message: message.trim_start_matches("ERROR:").trim().to_owned(),
            };
            errors.push((id.clone(), told));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_to_the_run_that_may_create_them() {
        let cases = [
            (";", None),
            ("; Archive created at", None),
            ("5; 2615 2200 SCHEMA - public pg_database_owner", None),
            ("6; 2615 16400 SCHEMA - shop postgres", Some(Pass::Schemas)),
            ("2; 3079 16386 EXTENSION - citext ", Some(Pass::Owner)),
            ("3312; 0 0 COMMENT - EXTENSION citext ", Some(Pass::App)),
            (
                "215; 1259 16390 TABLE public users postgres",
                Some(Pass::App),
            ),
            ("215; 1259 16390 TABLE DATA public users postgres", None),
            (
                "215; 1259 16390 USER MAPPING - USER MAPPING a SERVER s a",
                None,
            ),
            (
                "9; 3466 1 EVENT TRIGGER - e postgres",
                Some(Pass::EventTriggers),
            ),
            ("not an entry", None),
        ];
        for (line, pass) in cases {
            assert_eq!(pass_of(line), pass, "{line}");
        }
    }

    #[test]
    fn an_entry_is_the_same_in_every_dump() {
        let identity = |line| entry(line).map(|entry| entry.identity);
        assert_eq!(
            identity("215; 1259 16390 TABLE public users postgres"),
            identity("7; 1259 99 TABLE public users boss")
        );
        assert_eq!(
            identity("9; 2606 1 FK CONSTRAINT public orders orders_user_fk postgres").as_deref(),
            Some("FK CONSTRAINT public orders orders_user_fk")
        );
        assert_eq!(
            identity("215; 1259 16390 TABLE DATA public users postgres"),
            None
        );
    }

    #[test]
    fn complaints_name_their_objects() {
        let text = "pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 218; 1259 16390 TABLE t postgres\n\
            pg_restore: error: could not execute query: ERROR:  type \"x\" does not exist\n\
            Command was: CREATE TABLE public.t (a x);\n\
            pg_restore: warning: errors ignored on restore: 1\n";
        assert_eq!(
            errors(text),
            [(
                Some("218".to_owned()),
                NotRestored {
                    object: "TABLE t postgres".to_owned(),
                    message: "type \"x\" does not exist".to_owned()
                }
            )]
        );
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0)"),
            Some(15)
        );
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("nonsense"), None);
    }
}
