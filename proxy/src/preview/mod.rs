//! The library that brings a fresh database to what a [`Spec`] says, and that measures, resets and drops it.
//!
//! `previewpg up` and `previewpg provision` use it, and so does the operator. Everything here can be called again at any time: what is there already
//! is kept, what the preview changed is never lost (except by [`reset`] and [`drop_database`]). Every call has a time limit and may be cancelled by
//! dropping its future; what was begun is then taken up by the next call. Errors carry a stable [`Reason`], the [`Side`] that they are about, and no secrets.
//!
//! This module knows no Kubernetes and no clients' connections; the SQL that it runs in fresh is [`overlay`](crate::overlay)'s.

use std::path::PathBuf;
use std::time::Duration;

use crate::net::target::Target;

pub mod connect;
mod database;
mod error;
pub mod likeness;
mod measure;
pub mod rights;
mod steps;

pub use crate::overlay::provision::{
    AppRole, Collision, NotRestored, Progress, Quiet, TableSelection,
};
pub use database::{Dropped, drop_database};
pub use error::{Error, Reason, Side};
pub use measure::{Delta, measure};
pub use steps::{
    ProductionReport, Report, Unsupported, bring_up, check_production, fingerprint, reset,
};
pub(crate) use steps::{options, refuse_writing};

/// What a preview's database is to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Production, as this process and `pg_dump` reach it.
    pub production: Target,
    /// Production, as fresh's server process reaches it, where that differs: another address, other paths of certificates. The role, its password and
    /// the database are those of this target, too.
    pub production_from_fresh: Option<Target>,
    /// Go on with a role that can write on production. The other locks stay.
    pub allow_writable_production: bool,
    /// Fresh's server, as a superuser. Its database is only used to make and drop the preview's.
    pub fresh: Target,
    /// The preview's database there; made, as production's is, if it's missing.
    pub database: String,
    /// Whose database it is: kept as the database's comment (`previewpg: TAG`). A database with another comment, or one without that isn't empty, is
    /// refused. `None`: whatever is there is taken, and no comment is written.
    pub owner_tag: Option<String>,
    /// The role that clients log in as. Roles belong to the server: one that another preview uses with another password is refused.
    pub app: AppRole,
    /// Which tables are brought.
    pub tables: TableSelection,
    /// How far sequences start above production's last value. 0: right after it.
    pub sequence_gap: i64,
    /// What one statement may copy up.
    pub limits: CopyUpLimits,
    /// The directory of `pg_dump` and `pg_restore`, of production's major version or newer; `None`: they are looked for on PATH.
    pub programs: Option<PathBuf>,
    /// The limit for [`bring_up`] and [`reset`] as a whole.
    pub time_limit: Duration,
}

impl Spec {
    /// The usual spec: everything of production, with the default limits.
    #[must_use]
    pub fn new(
        production: Target,
        fresh: Target,
        database: impl Into<String>,
        app: AppRole,
    ) -> Self {
        Self {
            production,
            production_from_fresh: None,
            allow_writable_production: false,
            fresh,
            database: database.into(),
            owner_tag: None,
            app,
            tables: TableSelection::default(),
            sequence_gap: 1_000_000,
            limits: CopyUpLimits::default(),
            programs: None,
            time_limit: Duration::from_secs(900),
        }
    }

    /// The preview's database, as a superuser.
    #[must_use]
    pub fn owner(&self) -> Target {
        Target {
            database: self.database.clone(),
            ..self.fresh.clone()
        }
    }
}

/// The most that one statement may copy up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyUpLimits {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Default for CopyUpLimits {
    fn default() -> Self {
        Self {
            rows: 100_000,
            bytes: 256 << 20,
        }
    }
}
