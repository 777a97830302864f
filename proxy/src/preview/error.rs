//! Why a preview's database isn't what it should be: errors with stable reasons.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::connect::ConnectError;
use crate::overlay::provision::{self, RestoreError};

/// Which database an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Production.
    Production,
    /// Fresh.
    Fresh,
}

impl Side {
    /// Its name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Fresh => "fresh",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of failure it is. The names are stable: they may be shown, compared and documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The server can't be reached, or takes no connections now. Trying again helps.
    ConnectionRefused,
    /// The server refuses the role or its password.
    AuthenticationFailed,
    /// TLS can't be had: the certificate isn't trusted, has another name, or a file of ours is wrong.
    CertificateInvalid,
    /// The database doesn't exist.
    DatabaseNotFound,
    /// A server's or a program's version doesn't do.
    VersionUnsupported,
    /// The role lacks a right.
    PermissionDenied,
    /// Production's role can write, and that wasn't allowed.
    ProductionRoleCanWrite,
    /// A database or role of that name is somebody else's.
    NameConflict,
    /// Fresh's database can't hold production's text, or production's locale isn't known there.
    LocaleUnsupported,
    /// `pg_dump` or `pg_restore` can't be run.
    ProgramsMissing,
    /// The spec itself can't be meant.
    InvalidSpec,
    /// It took too long. Trying again may help.
    TimedOut,
    /// Fresh's disk is full.
    DiskFull,
    /// Something else failed.
    Failed,
}

impl Reason {
    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "ConnectionRefused",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::DatabaseNotFound => "DatabaseNotFound",
            Self::VersionUnsupported => "VersionUnsupported",
            Self::PermissionDenied => "PermissionDenied",
            Self::ProductionRoleCanWrite => "ProductionRoleCanWrite",
            Self::NameConflict => "NameConflict",
            Self::LocaleUnsupported => "LocaleUnsupported",
            Self::ProgramsMissing => "ProgramsMissing",
            Self::InvalidSpec => "InvalidSpec",
            Self::TimedOut => "TimedOut",
            Self::DiskFull => "DiskFull",
            Self::Failed => "Failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call failed. No message shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A database can't be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A query failed.
    #[error("{side} didn't answer a question about its catalogs")]
    Ask {
        /// Whose.
        side: Side,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Production's role can write.
    #[error("{0}")]
    Writable(String),
    /// Production's role can read nothing of what is to be brought.
    #[error(
        "production's role {role:?} may SELECT from none of the {tables} tables that are to be brought; GRANT pg_read_all_data TO {role}, or SELECT on them"
    )]
    NothingReadable {
        /// The role.
        role: String,
        /// How many tables there are.
        tables: usize,
    },
    /// Production is older than what is supported.
    #[error(
        "production runs PostgreSQL {version}; {oldest} is the oldest that a preview can be made of"
    )]
    ProductionTooOld {
        /// Its version.
        version: String,
        /// The oldest major version.
        oldest: u32,
    },
    /// A pattern can't be meant.
    #[error(
        "{pattern:?} is no pattern of tables: write schema.table, schema.* or schema, with double quotes around a part that has dots or stars of its own"
    )]
    Pattern {
        /// It.
        pattern: String,
    },
    /// The database can't be made.
    #[error(
        "can't make the database {name:?} on fresh's server, with production's encoding and collation"
    )]
    MakeDatabase {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The database can't be dropped.
    #[error("can't drop the database {name:?} on fresh's server")]
    DropDatabase {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The database is somebody else's.
    #[error(
        "the database {name:?} on fresh's server {whose}; choose another name, or hand it over there: {handover}"
    )]
    DatabaseTaken {
        /// Its name.
        name: String,
        /// Whose it is.
        whose: String,
        /// The statements that would make it ours.
        handover: String,
    },
    /// Provisioning failed.
    #[error(transparent)]
    Provision(#[from] provision::Error),
    /// It took too long.
    #[error("{what} didn't end within {} s", .within.as_secs())]
    TimedOut {
        /// What.
        what: &'static str,
        /// Whose fault it is likely to be.
        side: Side,
        /// The limit.
        within: Duration,
    },
}

impl Error {
    pub(super) fn ask(side: Side) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Ask { side, source }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Connect(ConnectError::Tls { .. }) => Reason::CertificateInvalid,
            Self::Connect(ConnectError::Refused { source, .. }) => connecting(source),
            Self::Connect(ConnectError::TimedOut { .. }) => Reason::ConnectionRefused,
            Self::Ask { source, .. } | Self::DropDatabase { source, .. } => asking(source),
            Self::MakeDatabase { source, .. } => match source.code() {
                Some(
                    &SqlState::WRONG_OBJECT_TYPE
                    | &SqlState::INVALID_PARAMETER_VALUE
                    | &SqlState::FEATURE_NOT_SUPPORTED,
                ) => Reason::LocaleUnsupported,
                _ => asking(source),
            },
            Self::Writable(_) => Reason::ProductionRoleCanWrite,
            Self::NothingReadable { .. } => Reason::PermissionDenied,
            Self::ProductionTooOld { .. } => Reason::VersionUnsupported,
            Self::Pattern { .. } => Reason::InvalidSpec,
            Self::DatabaseTaken { .. } => Reason::NameConflict,
            Self::Provision(error) => provisioning(error),
            Self::TimedOut { .. } => Reason::TimedOut,
        }
    }

    /// Which database it is about.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::Connect(error) => {
                if error.side() == Side::Production.as_str() {
                    Side::Production
                } else {
                    Side::Fresh
                }
            }
            Self::Ask { side, .. } | Self::TimedOut { side, .. } => *side,
            Self::Writable(_)
            | Self::NothingReadable { .. }
            | Self::ProductionTooOld { .. }
            | Self::Pattern { .. } => Side::Production,
            Self::MakeDatabase { .. } | Self::DropDatabase { .. } | Self::DatabaseTaken { .. } => {
                Side::Fresh
            }
            Self::Provision(error) => match error {
                provision::Error::Production(_)
                | provision::Error::Restore(RestoreError::TooOld { .. }) => Side::Production,
                provision::Error::Restore(RestoreError::Failed { program, .. })
                    if program.ends_with("pg_dump") =>
                {
                    Side::Production
                }
                _ => Side::Fresh,
            },
        }
    }
}

fn provisioning(error: &provision::Error) -> Reason {
    match error {
        provision::Error::Production(source)
        | provision::Error::Fresh(source)
        | provision::Error::Step { source, .. } => asking(source),
        provision::Error::Malformed(_) => Reason::Failed,
        provision::Error::NotSuperuser(_) => Reason::PermissionDenied,
        provision::Error::FreshTooOld { .. } => Reason::VersionUnsupported,
        provision::Error::Encoding { .. } => Reason::LocaleUnsupported,
        provision::Error::RoleTaken { .. } => Reason::NameConflict,
        provision::Error::Restore(error) => match error {
            RestoreError::Start { .. } => Reason::ProgramsMissing,
            RestoreError::TooOld { .. } => Reason::VersionUnsupported,
            RestoreError::TimeOut { .. } => Reason::TimedOut,
            RestoreError::Failed { message, .. } if message.contains("permission denied") => {
                Reason::PermissionDenied
            }
            RestoreError::Failed { .. } | RestoreError::File(_) => Reason::Failed,
        },
    }
}

/// The class of a failure to connect.
fn connecting(error: &tokio_postgres::Error) -> Reason {
    if let Some(code) = error.code() {
        return match *code {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Reason::AuthenticationFailed
            }
            SqlState::INVALID_CATALOG_NAME => Reason::DatabaseNotFound,
            SqlState::INSUFFICIENT_PRIVILEGE => Reason::PermissionDenied,
            _ => Reason::ConnectionRefused,
        };
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return Reason::CertificateInvalid;
        }
        // rustls' errors come wrapped into an I/O error.
        if let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            && inner.is::<rustls::Error>()
        {
            return Reason::CertificateInvalid;
        }
        cause = error.source();
    }
    let text = error.to_string();
    if text.contains("TLS") {
        // "error performing TLS handshake: server does not support TLS"
        Reason::CertificateInvalid
    } else if text.contains("authentication") || text.contains("password") {
        Reason::AuthenticationFailed
    } else {
        Reason::ConnectionRefused
    }
}

/// The class of a statement's failure.
fn asking(error: &tokio_postgres::Error) -> Reason {
    let Some(code) = error.code() else {
        return Reason::ConnectionRefused;
    };
    match *code {
        SqlState::INSUFFICIENT_PRIVILEGE => Reason::PermissionDenied,
        SqlState::DISK_FULL => Reason::DiskFull,
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => Reason::TimedOut,
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            Reason::ConnectionRefused
        }
        SqlState::DUPLICATE_DATABASE => Reason::NameConflict,
        // postgres_fdw can't reach production.
        SqlState::SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION => Reason::ConnectionRefused,
        _ => Reason::Failed,
    }
}
