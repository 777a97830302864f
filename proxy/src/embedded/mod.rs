//! A PostgreSQL server of our own, for `up` without `--fresh` and for `demo`.
//!
//! [`binaries`] finds PostgreSQL's programs, [`account`] the unprivileged user that a server started by root runs as, [`settings`]
//! says how it is configured (values only), `directory` the places that it lives in, [`server`] makes, starts, watches and ends it. The server listens on nothing but a socket
//! in a private directory; it knows nothing of the overlay.

pub mod account;
pub mod binaries;
mod directory;
pub mod server;
pub mod settings;

pub use server::{Database, Home, Server, Spec};

use std::path::PathBuf;

/// Why no server of our own could be had.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No PostgreSQL was found that is new enough.
    #[error(transparent)]
    Binaries(#[from] binaries::NotFound),
    /// We are root, and there is nobody else to run as.
    #[error(transparent)]
    Account(#[from] account::AccountError),
    /// The directory belongs to another running `previewpg`.
    #[error(
        "{} is in use by another previewpg (its lock file is held); end that one, or choose another --data directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// The directory holds something else.
    #[error("{} is not empty and holds no database of previewpg's; choose an empty or a new directory for --data", .0.display())]
    NotOurs(PathBuf),
    /// The directory was made by another major version.
    #[error(
        "{} was made by PostgreSQL {found}, but PostgreSQL {chosen} would run it; install PostgreSQL {found}, or choose another --data directory",
        .directory.display()
    )]
    MajorDiffers {
        /// The data directory.
        directory: PathBuf,
        /// The major version in its PG_VERSION file.
        found: String,
        /// The major version of the server that was chosen.
        chosen: u32,
    },
    /// The unprivileged user can't reach the directory.
    #[error(
        "the user {account:?}, which runs the embedded server because previewpg was started by root, can't enter {}; \
         choose a --data directory below one that everybody may enter (/var/lib, /srv), or start previewpg as another user",
        .directory.display()
    )]
    Unreachable {
        /// The directory.
        directory: PathBuf,
        /// The user.
        account: String,
    },
    /// A file or directory can't be made, read or changed.
    #[error("can't {action} {}", .path.display())]
    Files {
        /// What was tried, for example `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program can't be run.
    #[error("can't run {}", .program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed:\n{0}")]
    Initdb(String),
    /// The server ended before it was ready, or was not ready in time.
    #[error("the embedded PostgreSQL server {what}; the end of its log:\n{log}")]
    NotReady {
        /// What happened to it.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs, but a statement of ours failed.
    #[error("the embedded PostgreSQL server refused to {what}")]
    Statement {
        /// What it was asked.
        what: String,
        /// Its answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// production's collation isn't known on this machine.
    #[error(
        "this machine can't sort text as production does (locale {locale:?}, provider {provider}): {reason}; install that locale \
         (Debian, Ubuntu: apt-get install locales-all) or give a fresh database of your own with --fresh"
    )]
    Locale {
        /// production's locale.
        locale: String,
        /// production's locale provider.
        provider: &'static str,
        /// What the server said.
        reason: String,
    },
    /// `postgres_fdw` isn't installed with the server.
    #[error(
        "PostgreSQL {major} in {} comes without the extension postgres_fdw, through which production is read; \
         install its contrib package (Debian and Ubuntu have it in postgresql-{major}; Fedora, RHEL: postgresql-contrib)",
        .directory.display()
    )]
    NoForeignData {
        /// The directory of programs.
        directory: PathBuf,
        /// Its major version.
        major: u32,
    },
}
