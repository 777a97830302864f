//! The configuration file as a value.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ConfigError, read_text};
use crate::overlay::provision::TableSelection;

/// The whole file. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The database that is only read. `serve` needs it.
    #[serde(default)]
    pub production: Production,
    /// The database that takes the preview's changes, as its owner. `serve` needs it.
    #[serde(default)]
    pub fresh: Endpoint,
    /// What clients connect to.
    #[serde(default = "defaults::listen")]
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served; absent: nowhere.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// The database's name that clients see; absent: production's.
    #[serde(default)]
    pub database: Option<String>,
    /// Who clients log in as.
    #[serde(default)]
    pub client: Client,
    /// TLS towards clients; absent: none.
    #[serde(default)]
    pub tls: Option<ServerTls>,
    /// Which tables are served, and how.
    #[serde(default)]
    pub tables: Tables,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Sessions on production.
    #[serde(default)]
    pub pool: Pool,
    /// Logs.
    #[serde(default)]
    pub logging: Logging,
}

/// Where production is, and how far it's trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Production {
    /// A file that holds the whole connection URL. Excludes the other ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The connection URL without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Host name, address or socket directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port; 5432 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// TLS towards it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Serve even though the role can write there. The other locks stay.
    #[serde(default)]
    pub allow_writable: bool,
}

impl Production {
    /// The way to it, without what is said of trust.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            url_file: self.url_file.clone(),
            url: self.url.clone(),
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            tls: self.tls.clone(),
        }
    }
}

/// A way to a database: `urlFile`, or `url`, or `host` and the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Endpoint {
    /// A file that holds the whole connection URL. Excludes the other ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The connection URL without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Host name, address or socket directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port; 5432 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A file that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// TLS towards it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
}

/// TLS towards a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientTls {
    /// How much is asked of the server.
    pub mode: TlsMode,
    /// Certificates to trust, in PEM; absent: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// None.
    Disable,
    /// When the server has it.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with a trusted certificate.
    VerifyCa,
    /// Always, with a trusted certificate for this host's name.
    VerifyFull,
}

impl TlsMode {
    /// Its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Who clients log in as: the app role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Client {
    /// The role's name.
    pub user: String,
    /// A file that holds its password. `serve` needs it; `up` makes a password when it's absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            user: "app".to_owned(),
            password_file: None,
        }
    }
}

/// TLS towards clients. Both files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerTls {
    /// The certificate chain, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key, in PEM.
    pub key_file: PathBuf,
    /// Refuse clients that don't use TLS.
    #[serde(default)]
    pub required: bool,
}

/// Which tables are served. What patterns mean: [`TableSelection`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Tables {
    /// The schemas to bring; empty: all but the system's.
    pub schemas: Vec<String>,
    /// The schemas and tables to leave out.
    pub exclude: Vec<String>,
    /// Tables to bring without production's rows.
    pub empty: Vec<String>,
}

impl Tables {
    /// The same as provisioning takes it.
    #[must_use]
    pub fn selection(&self) -> TableSelection {
        TableSelection {
            schemas: self.schemas.clone(),
            exclude: self.exclude.clone(),
            empty: self.empty.clone(),
        }
    }
}

/// Bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Limits {
    /// The most rows that one statement may copy up.
    pub max_copy_up_rows: u64,
    /// The most bytes that one statement may copy up, in MiB.
    pub max_copy_up_mebibytes: u64,
    /// The most clients at a time.
    pub max_clients: u32,
    /// How far sequences start above production's value.
    pub sequence_gap: u64,
    /// How many seconds `serve` goes on taking new clients after SIGTERM, unready already, until nobody sends any more.
    pub linger_seconds: u64,
    /// How many seconds transactions in progress get at the end.
    pub drain_seconds: u64,
    /// How many seconds a client may take to log in.
    pub login_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_copy_up_rows: 100_000,
            max_copy_up_mebibytes: 256,
            max_clients: 1000,
            sequence_gap: 1_000_000,
            linger_seconds: 2,
            drain_seconds: 30,
            login_seconds: 60,
        }
    }
}

/// Sessions on production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Pool {
    /// The most read sessions of the proxy on production at a time. (postgres_fdw's, one for each client that needs it, come on top.)
    pub production_sessions: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            production_sessions: 16,
        }
    }
}

/// Logs, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Logging {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// The least level, or a filter as `tracing` knows it (`info,previewpg_proxy::session=debug`).
    pub filter: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

mod defaults {
    use std::net::{Ipv4Addr, SocketAddr};

    pub(super) fn listen() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 6432))
    }
}

/// What is taken up by a restart only.
const FIXED: [&str; 6] = [
    "listen",
    "admin",
    "database",
    "client.user",
    "tls",
    "logging.format",
];

/// What is taken up by provisioning only.
const PROVISIONED: [&str; 4] = [
    "tables",
    "limits.maxCopyUpRows",
    "limits.maxCopyUpMebibytes",
    "limits.sequenceGap",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            production: Production::default(),
            fresh: Endpoint::default(),
            listen: defaults::listen(),
            admin: None,
            database: None,
            client: Client::default(),
            tls: None,
            tables: Tables::default(),
            limits: Limits::default(),
            pool: Pool::default(),
            logging: Logging::default(),
        }
    }
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// When it can't be read, isn't YAML, has an unknown key, or values that don't fit together.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text("the configuration file", path)?, path)
    }

    /// Reads and validates a file's text; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            // The snippet would print the file's text, in which somebody may have put a password.
            message: error.without_snippet().to_string(),
        })?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.production.endpoint().validate("production")?;
        self.fresh.validate("fresh")?;
        if self.client.user.is_empty() {
            return Err(ConfigError::value("client.user", "is empty"));
        }
        if self.client.user.starts_with("previewpg") || self.client.user.starts_with("pg_") {
            return Err(ConfigError::value(
                "client.user",
                format!(
                    "{:?} is reserved; choose a name that starts neither with previewpg nor with pg_",
                    self.client.user
                ),
            ));
        }
        for (key, value) in [
            ("limits.maxClients", u64::from(self.limits.max_clients)),
            ("limits.loginSeconds", self.limits.login_seconds),
            (
                "pool.productionSessions",
                u64::from(self.pool.production_sessions),
            ),
        ] {
            if value == 0 {
                return Err(ConfigError::value(key, "must be at least 1"));
            }
        }
        Ok(())
    }

    /// The keys whose values differ but are taken up by a restart only.
    #[must_use]
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let differs = [
            self.listen != newer.listen,
            self.admin != newer.admin,
            self.database != newer.database,
            self.client.user != newer.client.user,
            self.tls != newer.tls,
            self.logging.format != newer.logging.format,
        ];
        FIXED
            .into_iter()
            .zip(differs)
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    }

    /// The keys whose values differ but are taken up by provisioning only.
    #[must_use]
    pub fn needs_provisioning(&self, newer: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.limits, &newer.limits);
        let differs = [
            self.tables != newer.tables,
            old.max_copy_up_rows != new.max_copy_up_rows,
            old.max_copy_up_mebibytes != new.max_copy_up_mebibytes,
            old.sequence_gap != new.sequence_gap,
        ];
        PROVISIONED
            .into_iter()
            .zip(differs)
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    }

    /// Every other file that the configuration refers to.
    #[must_use]
    pub fn referred_files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = Vec::new();
        let production = &self.production;
        files.extend(production.url_file.as_deref());
        files.extend(production.password_file.as_deref());
        files.extend(
            production
                .tls
                .as_ref()
                .and_then(|tls| tls.ca_file.as_deref()),
        );
        files.extend(self.fresh.url_file.as_deref());
        files.extend(self.fresh.password_file.as_deref());
        files.extend(
            self.fresh
                .tls
                .as_ref()
                .and_then(|tls| tls.ca_file.as_deref()),
        );
        files.extend(self.client.password_file.as_deref());
        if let Some(tls) = &self.tls {
            files.push(&tls.certificate_file);
            files.push(&tls.key_file);
        }
        files
    }
}

/// What an endpoint must have, to be connected to.
pub(crate) const WAYS: &str = "say where it is by exactly one of urlFile, url and host";

impl Endpoint {
    /// Whether it says where the database is.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.url_file.is_some() || self.url.is_some() || self.host.is_some()
    }

    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        let ways = [
            self.url_file.is_some(),
            self.url.is_some(),
            self.host.is_some(),
        ];
        if ways.iter().filter(|given| **given).count() > 1 {
            return Err(ConfigError::value(key, WAYS));
        }
        if self.host.is_none() {
            let parts = [
                ("port", self.port.is_some()),
                ("database", self.database.is_some()),
                ("user", self.user.is_some()),
            ];
            if let Some((part, _)) = parts.into_iter().find(|(_, given)| *given) {
                return Err(ConfigError::value(
                    format!("{key}.{part}"),
                    "goes with host only; a URL says it itself",
                ));
            }
        } else if self.database.is_none() || self.user.is_none() {
            return Err(ConfigError::value(
                key,
                "host needs database and user beside it",
            ));
        }
        if let Some(url) = &self.url {
            if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
                return Err(ConfigError::value(
                    format!("{key}.url"),
                    "must start with postgres:// or postgresql://",
                ));
            }
            if has_password(url) {
                return Err(ConfigError::value(
                    format!("{key}.url"),
                    "contains a password; put the password into a file and name it by passwordFile, or the whole URL into one named by urlFile",
                ));
            }
        }
        Ok(())
    }
}

/// Whether a URL contains a password, in its authority or as a parameter.
#[must_use]
pub fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before.split('/').next().unwrap_or("");
    let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
    userinfo.is_some_and(|userinfo| userinfo.contains(':'))
        || query
            .split('&')
            .any(|pair| pair.starts_with("password=") || pair.starts_with("passfile="))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
