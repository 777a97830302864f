//! The TLS configurations: as a server towards clients, as a client towards databases.
//!
//! rustls with ring, TLS 1.2 and 1.3. The provider is named in every configuration, so nothing depends on what the process installed.
//! Two differences from libpq: a certificate's name must be in its subject alternative names (a common name alone doesn't count), and `prefer`
//! doesn't try again without TLS when a handshake failed.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::stream::Socket;
use super::target::{RootCertificates, SslMode, Target};

mod any_name;
mod end_point;

use any_name::AnyName;
pub use end_point::tls_server_end_point;

/// The name of PostgreSQL's protocol in a TLS handshake (ALPN).
pub const ALPN: &[u8] = b"postgresql";

/// Why a TLS configuration can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or isn't PEM.
    #[error("cannot read {what} from \"{}\"", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("there is no certificate in \"{}\"", .0.display())]
    Empty(PathBuf),
    /// rustls refuses: for example a key that doesn't belong to the certificate.
    #[error("cannot use the certificate and key")]
    Config(#[from] rustls::Error),
    /// The trusted roots can't be used.
    #[error("cannot use the trusted root certificates")]
    Roots(#[from] rustls::server::VerifierBuilderError),
    /// sslmode=verify-* without roots.
    #[error("root certificate file \"{}\" does not exist: provide it, name another one by sslrootcert, use the system's trusted roots with sslrootcert=system, or change sslmode to disable server certificate verification", .0.display())]
    NoRoots(PathBuf),
    /// The operating system has none.
    #[error("the operating system has no trusted root certificates (sslrootcert=system)")]
    NoSystemRoots,
    /// sslcert without sslkey or the other way round.
    #[error("sslcert and sslkey must be given together")]
    HalfClientCertificate,
    /// `sslrootcert=system` with less than verify-full.
    #[error("weak sslmode may not be used with sslrootcert=system: use sslmode=verify-full")]
    WeakSystem,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS towards clients. The certificate is read again by [`ServerTls::reload`]; connections that exist keep theirs.
#[derive(Debug)]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<Identity>,
}

#[derive(Debug)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    config: Arc<ServerConfig>,
    /// `None` where SCRAM can't be bound to it.
    pem: Option<Arc<str>>,
}

impl Identity {
    fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let key = private_key(key)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let pem = chain
            .first()
            .filter(|leaf| tls_server_end_point(leaf).is_some())
            .map(|leaf| pem(leaf));
        Ok(Self {
            chain,
            key,
            config: Arc::new(config),
            pem,
        })
    }
}

impl ServerTls {
    /// Reads the certificate (PEM, the server's own first) and its key (PEM).
    ///
    /// # Errors
    /// When they can't be read or don't belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Identity::load(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads both files again; gives whether they had changed.
    ///
    /// # Errors
    /// As for [`ServerTls::load`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let identity = Identity::load(&self.certificate, &self.key)?;
        let current = self.current.load();
        let changed = current.chain != identity.chain || current.key != identity.key;
        if changed {
            self.current.store(Arc::new(identity));
        }
        Ok(changed)
    }

    /// Does the handshake; gives with the connection the server's certificate (PEM), which SCRAM is bound to, unless it's
    /// of a kind that has no `tls-server-end-point` (RFC 5929).
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept<S>(&self, socket: S) -> io::Result<(server::TlsStream<S>, Option<Arc<str>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let identity = self.current.load_full();
        let stream = TlsAcceptor::from(Arc::clone(&identity.config))
            .accept(socket)
            .await?;
        Ok((stream, identity.pem.clone()))
    }
}

/// TLS towards a database: `sslmode` and the files that belong to it, read once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClientTls {
    mode: SslMode,
    /// `None` with `sslmode=disable`.
    config: Option<Arc<ClientConfig>>,
}

impl ClientTls {
    /// Reads what the target's `sslmode`, `sslrootcert`, `sslcert` and `sslkey` name.
    ///
    /// # Errors
    /// When a file is missing or can't be used.
    pub fn new(target: &Target) -> Result<Self, TlsError> {
        let mode = target.sslmode;
        if mode == SslMode::Disable {
            return Ok(Self { mode, config: None });
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier(mode, target.sslrootcert.as_ref())?);
        let mut config = match (&target.sslcert, &target.sslkey) {
            (Some(certificate), Some(key)) => {
                builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::HalfClientCertificate),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            mode,
            config: Some(Arc::new(config)),
        })
    }

    /// The target's `sslmode`.
    #[must_use]
    pub fn mode(&self) -> SslMode {
        self.mode
    }

    /// Does the handshake with `host`.
    ///
    /// # Errors
    /// When the handshake fails, or the certificate isn't what `sslmode` asks for.
    pub async fn connect(
        &self,
        socket: Socket,
        host: &str,
    ) -> io::Result<Box<client::TlsStream<Socket>>> {
        let connector = self.connector(host);
        connector.handshake(socket).await.map(Box::new)
    }

    fn connector(&self, host: &str) -> Connector {
        Connector {
            config: self.config.clone(),
            host: host.to_owned(),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File {
        what: "certificates",
        path: path.to_owned(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(file)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(file)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(chain)
}

fn pem(certificate: &CertificateDer<'_>) -> Arc<str> {
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n").into()
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        what: "a private key",
        path: path.to_owned(),
        source,
    })
}

/// Who checks the server's certificate, as libpq would.
fn verifier(
    mode: SslMode,
    roots: Option<&RootCertificates>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let default = std::env::home_dir()
        .unwrap_or_default()
        .join(".postgresql/root.crt");
    let file = match roots {
        Some(RootCertificates::System) if mode < SslMode::VerifyFull => {
            return Err(TlsError::WeakSystem);
        }
        Some(RootCertificates::System) => None,
        Some(RootCertificates::File(path)) if path.exists() => Some(path.clone()),
        None if default.exists() => Some(default),
        missing if mode >= SslMode::VerifyCa => {
            return Err(TlsError::NoRoots(match missing {
                Some(RootCertificates::File(path)) => path.clone(),
                _ => default,
            }));
        }
        _ => return Ok(Arc::new(AnyName::unchecked(provider()))),
    };
    if mode == SslMode::Prefer {
        return Ok(Arc::new(AnyName::unchecked(provider())));
    }
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for root in certificates(&path)? {
                store.add(root)?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(TlsError::NoSystemRoots);
            }
        }
    }
    let store = Arc::new(store);
    if mode == SslMode::VerifyFull {
        return Ok(WebPkiServerVerifier::builder_with_provider(store, provider()).build()?);
    }
    Ok(Arc::new(AnyName::signed_by(store, provider())))
}

/// Whether a failed handshake means that the server's certificate isn't what we trust (as opposed to a broken connection), in a user's words.
#[must_use]
pub fn certificate_problem(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match error {
        rustls::Error::InvalidCertificate(problem) => Some(match problem {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the server's certificate is for another host name ({problem})")
            }
            CertificateError::UnknownIssuer => {
                "the server's certificate is not signed by a trusted root".to_owned()
            }
            problem => format!("the server's certificate is not valid ({problem})"),
        }),
        _ => None,
    }
}

/// One handshake to come; tokio-postgres asks for it in two steps.
#[derive(Debug)]
pub struct Connector {
    config: Option<Arc<ClientConfig>>,
    host: String,
}

impl Connector {
    async fn handshake<S>(self, socket: S) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self
            .config
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "sslmode is disable"))?;
        let name = ServerName::try_from(self.host)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(config).connect(name, socket).await
    }
}

impl<S> tokio_postgres::tls::MakeTlsConnect<S> for ClientTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connector> {
        Ok(self.connector(domain))
    }
}

impl<S> tokio_postgres::tls::TlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = PostgresStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<PostgresStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.handshake(stream).await.map(PostgresStream) })
    }
}

/// A TLS connection of tokio-postgres.
#[derive(Debug)]
pub struct PostgresStream<S>(client::TlsStream<S>);

impl<S> tokio_postgres::tls::TlsStream for PostgresStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn channel_binding(&self) -> tokio_postgres::tls::ChannelBinding {
        match peer_end_point(&self.0) {
            Some(hash) => tokio_postgres::tls::ChannelBinding::tls_server_end_point(hash),
            None => tokio_postgres::tls::ChannelBinding::none(),
        }
    }
}

/// What SCRAM can be bound to on a connection to a database (RFC 5929 `tls-server-end-point`).
#[must_use]
pub fn peer_end_point<S>(stream: &client::TlsStream<S>) -> Option<Vec<u8>> {
    let (_, connection) = stream.get_ref();
    tls_server_end_point(connection.peer_certificates()?.first()?)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PostgresStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PostgresStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
