//! Where a database is and how to log in there, as libpq reads it: `postgres://` URLs and `key=value` strings.
//!
//! (documentation, "Connection Strings" and "Parameter Key Words"). No environment variables, password files and service files are read;
//! without a host it is `localhost`, and a user must be given.
//! Without `sslmode` it is `prefer`, as for libpq: TLS if the server has it, certificates not checked. Databases
//! that are reached over a network should be given `verify-full`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

mod convert;
mod parse;

pub use convert::LIBPQ_VARIABLES;

/// The limit for one attempt to connect and log in, if the target gives none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a database is and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect; tried in order, never empty.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// How TLS is used.
    pub sslmode: SslMode,
    /// Who signs the server's certificate; `None`: `~/.postgresql/root.crt`, if there.
    pub sslrootcert: Option<RootCertificates>,
    /// The client certificate's file (PEM).
    pub sslcert: Option<PathBuf>,
    /// Its key's file (PEM).
    pub sslkey: Option<PathBuf>,
    /// Whether SCRAM is bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Command-line options of the session (`-c name=value ..`).
    pub options: Option<String>,
    /// The application's name.
    pub application_name: Option<String>,
    /// The limit for one attempt to connect and log in; `None`: ours, 10 s.
    pub connect_timeout: Option<Duration>,
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: Address,
    /// The port; of a Unix-domain socket the number in its name.
    pub port: u16,
}

/// A host's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address.
    Tcp(String),
    /// The folder of the Unix-domain socket.
    Unix(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; not checked. `allow` is read as this.
    Prefer,
    /// TLS; not checked, unless `sslrootcert` is given (then as `verify-ca`).
    Require,
    /// TLS; the certificate's signature is checked.
    VerifyCa,
    /// TLS; the certificate's signature and name are checked.
    VerifyFull,
}

/// libpq's `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// `system`: those that the operating system trusts.
    System,
    /// A file (PEM).
    File(PathBuf),
}

/// libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Log in no other way.
    Require,
}

/// Why a connection string can't be used. Never shows a value that could be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not well-formed.
    #[error("malformed connection string: {0}")]
    Syntax(&'static str),
    /// A key that libpq doesn't know, or one we don't support.
    #[error("connection string: parameter \"{0}\" is not supported; remove it")]
    Key(String),
    /// A value that isn't possible.
    #[error("connection string: invalid value for parameter \"{key}\": {expected}")]
    Value {
        /// The parameter.
        key: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// There's no user, and it isn't guessed from the operating system.
    #[error("connection string: no user; add it, as in postgres://user@host/database")]
    NoUser,
}

impl Host {
    /// The Unix-domain socket's path (of a TCP host: its name, which isn't one).
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        match &self.address {
            Address::Unix(folder) => folder.join(format!(".s.PGSQL.{}", self.port)),
            Address::Tcp(name) => PathBuf::from(name),
        }
    }
}

/// For people: `host:port`, or the socket's path.
impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Address::Tcp(name) => write!(f, "{name}:{}", self.port),
            Address::Unix(_) => write!(f, "{}", self.socket_path().display()),
        }
    }
}

impl Target {
    /// Reads a `postgres://` (`postgresql://`) URL or a `key=value` string.
    ///
    /// # Errors
    /// When it's malformed, or has a parameter that we don't support.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        parse::target(text)
    }

    /// The limit for one attempt to connect and log in.
    #[must_use]
    pub fn attempt_limit(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
