//! A database to connect to, with the certificates that takes.

use std::path::Path;

use previewpg_proxy::net::secret::Secret;
use previewpg_proxy::net::target::{
    Address, ChannelBinding, Host, RootCertificates, SslMode, Target,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::problem::Problems;
use super::resolved::Resolved;
use crate::api::{
    CertificateSource, ConditionType, Connection, KeySelector, Parameters, Reason, SecretKey, Tls,
    TlsMode,
};

/// Which database an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Production.
    Production,
    /// Fresh.
    Fresh,
}

impl Side {
    /// The name of the file with the authorities to trust.
    #[must_use]
    pub fn ca_file(self) -> &'static str {
        match self {
            Self::Production => "production-ca.crt",
            Self::Fresh => "fresh-ca.crt",
        }
    }

    /// The name of the file with the certificate to log in with.
    #[must_use]
    pub fn certificate_file(self) -> &'static str {
        match self {
            Self::Production => "production-tls.crt",
            Self::Fresh => "fresh-tls.crt",
        }
    }

    /// The name of the file with that certificate's key.
    #[must_use]
    pub fn key_file(self) -> &'static str {
        match self {
            Self::Production => "production-tls.key",
            Self::Fresh => "fresh-tls.key",
        }
    }

    fn condition(self) -> ConditionType {
        match self {
            Self::Production => ConditionType::ProductionReachable,
            Self::Fresh => ConditionType::FreshReady,
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Fresh => "fresh.connection",
        }
    }
}

/// A database to connect to. Certificates are values here; who connects writes them into files first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    side: Side,
    /// Without certificates' files.
    target: Target,
    ca: Option<Secret>,
    identity: Option<Identity>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those that it's signed by.
    pub certificate: Secret,
    /// Its key.
    pub key: Secret,
}

impl Endpoint {
    /// The host, database and role, for status and messages.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The files that whoever connects needs, by their names.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, &Secret)> {
        let mut files = Vec::new();
        if let Some(ca) = &self.ca {
            files.push((self.side.ca_file(), ca));
        }
        if let Some(identity) = &self.identity {
            files.push((self.side.certificate_file(), &identity.certificate));
            files.push((self.side.key_file(), &identity.key));
        }
        files
    }

    /// How to connect for a process that finds the [files](Self::files) in this directory.
    #[must_use]
    pub fn target_in(&self, directory: &Path) -> Target {
        let mut target = self.target.clone();
        if self.ca.is_some() {
            let file = directory.join(self.side.ca_file());
            target.sslrootcert = Some(RootCertificates::File(file));
        }
        if self.identity.is_some() {
            target.sslcert = Some(directory.join(self.side.certificate_file()));
            target.sslkey = Some(directory.join(self.side.key_file()));
        }
        target
    }

    pub(super) fn has_ca(&self) -> bool {
        self.ca.is_some()
    }

    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn add_option(&mut self, option: &str) {
        let options = self.target.options.get_or_insert_default();
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str(option);
    }
}

/// Production's endpoint.
pub(super) fn production(
    connection: &Connection,
    tls: Option<&Tls>,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Endpoint> {
    let side = Side::Production;
    let target = match (&connection.uri, &connection.parameters) {
        (Some(uri), None) => from_uri(side, uri, resolved, problems),
        (None, Some(parameters)) => from_parameters(side, parameters, resolved, problems),
        _ => problems.spec(
            side.condition(),
            "production.connection",
            "exactly one of uri and parameters must be set",
        ),
    };
    with_tls(side, target, tls, resolved, problems)
}

/// Fresh's endpoint, on a server of the user's.
pub(super) fn fresh(
    uri: &SecretKey,
    tls: Option<&Tls>,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Endpoint> {
    let target = from_uri(Side::Fresh, uri, resolved, problems);
    with_tls(Side::Fresh, target, tls, resolved, problems)
}

fn from_uri(
    side: Side,
    uri: &SecretKey,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Target> {
    let KeySelector { name, key } = &uri.secret_key_ref;
    let text = resolved.secret(&uri.secret_key_ref, side.condition(), problems)?;
    let mut invalid = |what: &dyn std::fmt::Display| {
        problems.add(
            side.condition(),
            Reason::SecretInvalid,
            format!("secret \"{name}\" key \"{key}\": {what}"),
        )
    };
    let target = match Target::parse(text) {
        Ok(target) => target,
        Err(error) => return invalid(&error),
    };
    // The files would be the operator's own.
    if target
        .hosts
        .iter()
        .any(|host| matches!(host.address, Address::Unix(_)))
    {
        return invalid(
            &"the host is a directory; name a host that can be reached from the cluster",
        );
    }
    if matches!(target.sslrootcert, Some(RootCertificates::File(_)))
        || target.sslcert.is_some()
        || target.sslkey.is_some()
    {
        return invalid(&format_args!(
            "sslrootcert, sslcert and sslkey name files, which aren't there; use spec.{}.tls",
            side.field()
        ));
    }
    Some(target)
}

fn from_parameters(
    side: Side,
    parameters: &Parameters,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Target> {
    let mut value = |key: &SecretKey| {
        resolved
            .secret(&key.secret_key_ref, side.condition(), problems)
            .map(str::to_owned)
    };
    let user = value(&parameters.username);
    let password = parameters.password.as_ref().map(value);
    Some(Target {
        hosts: vec![Host {
            address: Address::Tcp(parameters.host.clone()),
            port: parameters.port.unwrap_or(5432),
        }],
        user: user?,
        password: match password {
            Some(password) => Some(Secret::new(password?)),
            None => None,
        },
        database: parameters.database.clone(),
        sslmode: SslMode::Prefer,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        channel_binding: ChannelBinding::Prefer,
        options: None,
        application_name: None,
        connect_timeout: None,
    })
}

/// Lays the spec's TLS over the URI's. `prefer`, which is also what a URI says by saying nothing, isn't taken for an answer: it would give
/// TLS up in silence.
fn with_tls(
    side: Side,
    target: Option<Target>,
    tls: Option<&Tls>,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Endpoint> {
    let (ca, identity) = match tls {
        Some(tls) => (
            tls.ca
                .as_ref()
                .map(|ca| authorities(side, ca, resolved, problems)),
            tls.client_certificate.as_ref().map(|certificate| {
                identity(
                    &certificate.secret_ref.name,
                    side.condition(),
                    resolved,
                    problems,
                )
            }),
        ),
        None => (None, None),
    };
    // Everything has been looked at: all problems are known.
    let mut target = target?;
    let ca = ca.map_or(Some(None), |ca| ca.map(Some))?;
    let identity = identity.map_or(Some(None), |identity| identity.map(Some))?;
    let from_uri = target.sslmode;
    target.sslmode = match tls.and_then(|tls| tls.mode) {
        Some(TlsMode::Disable) => SslMode::Disable,
        Some(TlsMode::Require) => SslMode::Require,
        Some(TlsMode::VerifyCa) => SslMode::VerifyCa,
        Some(TlsMode::VerifyFull) => SslMode::VerifyFull,
        None if from_uri == SslMode::Prefer => SslMode::VerifyFull,
        None => from_uri,
    };
    let field = format!("{}.tls", side.field());
    let verifies = target.sslmode >= SslMode::VerifyCa;
    if ca.is_some() && !verifies {
        return problems.spec(
            side.condition(),
            &field,
            format_args!(
                "ca isn't used, because the URI says sslmode={}; set mode to verify-full",
                target.sslmode.as_str()
            ),
        );
    }
    if identity.is_some() && target.sslmode == SslMode::Disable {
        return problems.spec(
            side.condition(),
            &field,
            "clientCertificate isn't used, because the URI says sslmode=disable; set mode to verify-full",
        );
    }
    target.sslrootcert = None;
    if verifies && ca.is_none() {
        if target.sslmode == SslMode::VerifyCa {
            return problems.spec(
                side.condition(),
                &field,
                "verify-ca needs ca: the authorities that the system knows sign certificates for everybody; set ca, or set mode to verify-full",
            );
        }
        target.sslrootcert = Some(RootCertificates::System);
    }
    if target.sslmode == SslMode::Disable && target.channel_binding == ChannelBinding::Require {
        return problems.spec(
            side.condition(),
            &field,
            "the URI says channel_binding=require, which needs TLS; remove it, or set mode to verify-full",
        );
    }
    Some(Endpoint {
        side,
        target,
        ca,
        identity,
    })
}

fn authorities(
    side: Side,
    source: &CertificateSource,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Secret> {
    let condition = side.condition();
    let (key, kind, reason, text) = match (&source.secret_key_ref, &source.config_map_key_ref) {
        (Some(key), None) => (
            key,
            "secret",
            Reason::SecretInvalid,
            resolved.secret(key, condition, problems)?,
        ),
        (None, Some(key)) => (
            key,
            "configmap",
            Reason::ConfigMapInvalid,
            resolved.config_map(key, condition, problems)?,
        ),
        _ => {
            return problems.spec(
                condition,
                &format!("{}.tls.ca", side.field()),
                "exactly one of secretKeyRef and configMapKeyRef must be set",
            );
        }
    };
    if is_certificate(text) {
        Some(Secret::new(text))
    } else {
        problems.add(
            condition,
            reason,
            format!(
                "{kind} \"{}\" key \"{}\": there is no certificate in PEM",
                key.name, key.key
            ),
        )
    }
}

/// The certificate and key of a Secret of type `kubernetes.io/tls`.
pub(super) fn identity(
    secret: &str,
    condition: ConditionType,
    resolved: &Resolved,
    problems: &mut Problems,
) -> Option<Identity> {
    let key = |key: &str| KeySelector {
        name: secret.to_owned(),
        key: key.to_owned(),
    };
    let certificate = resolved.secret(&key("tls.crt"), condition, problems)?;
    let private = resolved.secret(&key("tls.key"), condition, problems)?;
    let mut invalid = |key: &str, what: &str| {
        problems.add(
            condition,
            Reason::SecretInvalid,
            format!("secret \"{secret}\" key \"{key}\": there is no {what} in PEM"),
        )
    };
    if !is_certificate(certificate) {
        return invalid("tls.crt", "certificate");
    }
    if PrivateKeyDer::from_pem_slice(private.as_bytes()).is_err() {
        return invalid("tls.key", "private key");
    }
    Some(Identity {
        certificate: Secret::new(certificate),
        key: Secret::new(private),
    })
}

/// Whether a text is certificates in PEM, at least one.
pub(super) fn is_certificate(text: &str) -> bool {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    certificates.is_ok_and(|certificates| !certificates.is_empty())
}
