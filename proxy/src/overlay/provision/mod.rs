//! Provisioning: from an empty (or adopted) fresh database to one that looks at production.
//!
//! [`inspect()`] reads both databases, [`plan()`] turns what it read into a list of named steps (a value: print it, and nothing ran), and
//! [`execute()`] runs them. Running it again on a provisioned fresh loses nothing and brings in production's new tables.
//! This module opens no connections: it is given two.

use std::path::PathBuf;

use tokio_postgres::Client;

use crate::net::target::Target;

mod contents;
mod drift;
mod execute;
mod follow;
mod foreign_server;
mod inspect;
mod plan;
mod restore;
mod role;
mod runtime;
mod selection;

pub use drift::{Change, Collision, Drift, RelationDrift, drift};
pub use execute::{Outcome, execute};
pub use inspect::{
    Column, Enum, Fresh, Inspection, Known, Preview, Production, Relation, Sequence, UpperColumn,
    fingerprint, inspect,
};
pub use plan::{Action, New, Noted, Plan, Restore, Step, plan};
pub use restore::{NotRestored, RestoreError};
pub(crate) use role::handover as role_handover;
pub(crate) use runtime::{RUNTIME, RUNTIME_VERSION, digest as runtime_digest};
pub use selection::TableSelection;

/// The role that clients log in as.
#[derive(Clone, PartialEq, Eq)]
pub struct AppRole {
    /// Its name.
    pub name: String,
    /// Its password; only its SCRAM verifier is sent to fresh. `None`: left as it is.
    pub password: Option<String>,
}

impl std::fmt::Debug for AppRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppRole")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What to provision, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Production, as `pg_dump` reaches it.
    pub production: Target,
    /// Production, as fresh's server process reaches it, where that differs in address or certificates' paths.
    pub production_from_fresh: Option<Target>,
    /// Fresh, as `pg_restore` reaches it: the owner's credentials.
    pub fresh: Target,
    /// The role that clients log in as.
    pub app: AppRole,
    /// Whose the role is, for its comment: no two previews of a server have the same.
    pub role_tag: String,
    /// Which tables of production are brought.
    pub tables: TableSelection,
    /// How far sequences start above production's last value. 0: right after it.
    pub sequence_gap: i64,
    /// The most rows that one statement may copy up.
    pub copy_up_rows: u64,
    /// The most bytes that one statement may copy up.
    pub copy_up_bytes: u64,
    /// Rows that a foreign scan fetches at a time. A LIMIT isn't sent to production, so a few rows cost a whole batch: measured over 1 M rows, `ORDER BY .. LIMIT 20` takes
    /// 14.9 ms with 10,000, 2.2 ms with 2,000 and 0.6 ms with 100, and an aggregate over all of them 786, 673 and 959 ms.
    pub fetch_size: u32,
    /// The `pg_dump` program: of production's major version or newer.
    pub pg_dump: PathBuf,
    /// The `pg_restore` program.
    pub pg_restore: PathBuf,
}

impl Options {
    /// The usual options between two servers.
    #[must_use]
    pub fn new(production: Target, fresh: Target, app: AppRole) -> Self {
        Self {
            production,
            production_from_fresh: None,
            role_tag: format!("database {}", fresh.database),
            fresh,
            app,
            tables: TableSelection::default(),
            sequence_gap: 1_000_000,
            copy_up_rows: 100_000,
            copy_up_bytes: 256 << 20,
            fetch_size: 1_000,
            pg_dump: PathBuf::from("pg_dump"),
            pg_restore: PathBuf::from("pg_restore"),
        }
    }
}

/// Told of each step before it runs.
pub trait Progress: Send {
    /// `done` of `total` steps have ended; the one called `name` begins.
    fn step(&mut self, done: usize, total: usize, name: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&mut self, _done: usize, _total: usize, _name: &str) {}
}

/// Why provisioning failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Production couldn't be read.
    #[error("can't read production's catalogs")]
    Production(#[source] tokio_postgres::Error),
    /// Fresh couldn't be read.
    #[error("can't read fresh's catalogs")]
    Fresh(#[source] tokio_postgres::Error),
    /// What a catalog query gave isn't what it should give.
    #[error("malformed answer to a catalog query")]
    Malformed(#[from] serde_json::Error),
    /// Fresh's role lacks the rights.
    #[error(
        "the role \"{0}\" is no superuser of fresh; provisioning needs one (clients never get it)"
    )]
    NotSuperuser(String),
    /// Fresh is older than production.
    #[error(
        "fresh runs PostgreSQL {fresh}, older than production's {production}; use {production} or newer for fresh"
    )]
    FreshTooOld {
        /// Fresh's major version.
        fresh: u32,
        /// Production's.
        production: u32,
    },
    /// The encodings differ.
    #[error(
        "fresh's encoding is {fresh}, production's is {production}; create fresh with ENCODING '{production}' TEMPLATE template0"
    )]
    Encoding {
        /// Fresh's.
        fresh: String,
        /// Production's.
        production: String,
    },
    /// The app role's name is somebody else's on fresh's server.
    #[error(
        "the role {role:?} {whose}; choose another name for the role that clients log in as{handover}"
    )]
    RoleTaken {
        /// The role.
        role: String,
        /// Whose it is.
        whose: String,
        /// The way to have it nevertheless, if there is one.
        handover: String,
    },
    /// A step failed.
    #[error("step \"{step}\" failed")]
    Step {
        /// Its name.
        step: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The schema couldn't be brought over.
    #[error("can't bring production's schema into fresh")]
    Restore(#[from] RestoreError),
}

/// Provisions: inspects, plans and executes, while no other provisioning of the same fresh runs (a second one waits).
///
/// # Errors
/// As [`inspect()`] and [`execute()`].
pub async fn provision(
    options: &Options,
    production: &Client,
    fresh: &Client,
    progress: &mut dyn Progress,
) -> Result<Outcome, Error> {
    const LOCK: &str = "SELECT pg_catalog.pg_advisory_lock(1886549618, 0)";
    const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock(1886549618, 0)";
    fresh.batch_execute(LOCK).await.map_err(Error::Fresh)?;
    let outcome = async {
        let inspection = inspect(options, production, fresh).await?;
        restore::check_version(options, inspection.production.version).await?;
        let plan = plan(options, &inspection);
        let outcome = execute(options, &plan, fresh, progress).await?;
        crate::replicas::announce_difference(fresh)
            .await
            .map_err(Error::Fresh)?;
        Ok::<_, Error>(outcome)
    }
    .await;
    let unlocked = fresh.batch_execute(UNLOCK).await.map_err(Error::Fresh);
    let outcome = outcome?;
    unlocked?;
    Ok(outcome)
}
