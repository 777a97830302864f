//! The database to look like.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CertificateSource, Duration, SecretKey, SecretReference};

/// The database to look like.
#[derive(KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Production {
    /// Where it is and how to log in: exactly one of `uri` and `parameters`. The role needs to read and nothing else.
    pub connection: Connection,

    /// How the server is trusted; counts for more than what the URI says. By default its certificate must be valid for its host name
    /// (`verify-full`) and signed by an authority that the system knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// The longest that one statement may run on production. Defaults to 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub statement_timeout: Option<Duration>,

    /// The most sessions that this preview's proxies together keep for reads that run on production itself; each proxy has at least one.
    /// A client that reads rows of which the preview changed some has one session more, while it needs it. Defaults to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: Option<i32>,

    /// Serve even though the role can write on production. Nothing is written there all the same, but one of three locks is missing.
    /// Defaults to false: such a role is refused, with the reason ProductionRoleCanWrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_writable_role: Option<bool>,
}

/// Where production is and how to log in.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.uri) != has(self.parameters)")
        .message("exactly one of uri and parameters must be set")
)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// The Secret's key that holds the whole connection URI: `postgres://user:password@host:port/database`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<SecretKey>,

    /// The parts of the connection, if there's no URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}

/// The parts of a connection.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    /// The host's name or address, as it's seen from the cluster.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$")
    )]
    pub host: String,

    /// The port. Defaults to 5432.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// The database.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,

    /// The Secret's key that holds the role's name.
    pub username: SecretKey,

    /// The Secret's key that holds the role's password. Not needed if the role logs in by client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretKey>,
}

/// How a server is trusted.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.ca) || !has(self.mode) || self.mode in ['verify-ca', 'verify-full']")
        .message("ca is only used by the modes verify-ca and verify-full"),
    validation = Rule::new("!has(self.mode) || self.mode != 'verify-ca' || has(self.ca)")
        .message("verify-ca needs ca: the authorities that the system knows sign certificates for everybody; set ca, or set mode to verify-full"),
    validation = Rule::new("!has(self.clientCertificate) || !has(self.mode) || self.mode != 'disable'")
        .message("clientCertificate needs TLS: set mode to something else than disable"),
)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// What is asked of the server, in libpq's words: `disable` (no TLS), `require` (TLS, whoever the server is), `verify-ca` (a trusted
    /// certificate), `verify-full` (a trusted certificate for this host's name). Defaults to the URI's `sslmode` if it's one of these, else
    /// to `verify-full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,

    /// Certificates of the authorities to trust, in PEM. Defaults to the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateSource>,

    /// A certificate to log in with: a Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretReference>,
}

/// What is asked of the server, in libpq's words: `disable` (no TLS), `require` (TLS, whoever the server is), `verify-ca` (a trusted
/// certificate), `verify-full` (a trusted certificate for this host's name). Defaults to the URI's `sslmode` if it's one of these, else
/// to `verify-full`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// None.
    Disable,
    /// Always, whoever the server is.
    Require,
    /// Always, with a trusted certificate.
    VerifyCa,
    /// Always, with a trusted certificate for this host's name.
    #[default]
    VerifyFull,
}
