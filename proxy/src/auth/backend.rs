//! Logging in at a database, frame by frame, so that the connection can then carry a client's own frames.
//!
//! Methods: trust, password (only where nobody can listen: TLS or a Unix-domain socket), MD5, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
//! The state machines are `postgres_protocol::authentication`'s: it checks the server's nonce and signature.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::authentication::sasl::{self, ScramSha256};
use postgres_protocol::authentication::{md5_hash, sasl::ChannelBinding as Binding};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::net::stream::{Socket, Stream};
use crate::net::target::{Address, ChannelBinding, Host, SslMode, Target};
use crate::net::tls::{ClientTls, certificate_problem, peer_end_point};
use crate::wire::backend::{
    Authentication, BackendKey, read_parameter_status, read_ready_for_query,
};
use crate::wire::frame::{self, Direction, Limits, Scanner};
use crate::wire::report::Report;
use crate::wire::startup::{self, CancelRequest};
use crate::wire::{MessageError, frontend};

/// What a frame of the login may be long. (libpq's limit for an error is 30,000 bytes as well.)
const LOGIN_FRAME: u32 = 30_000;
/// So many notices of the login are kept.
const NOTICES: usize = 64;

/// A session at a database, logged in and idle.
#[derive(Debug)]
pub struct Backend {
    /// The connection.
    pub stream: Stream,
    /// The parameters reported (ParameterStatus), in order.
    pub parameters: Vec<(String, String)>,
    /// The body of BackendKeyData; `None`: the server has no cancel requests.
    pub key: Option<BackendKey>,
    /// What came behind the first ReadyForQuery: as a rule nothing.
    pub leftover: BytesMut,
    /// The notices of the login.
    pub notices: Vec<Report>,
    cancel: CancelHandle,
}

impl Backend {
    /// How what this session runs is cancelled.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }
}

/// Why there's no session at a database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It can't be reached.
    #[error("cannot connect to {place}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing within the time limit.
    #[error("no answer from {place} within {} s", limit.as_secs_f32())]
    TimedOut {
        /// Where.
        place: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke in the middle of the login.
    #[error("{place} closed the connection during the login")]
    Broken {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The server has no TLS.
    #[error("{place} does not support TLS, but sslmode asks for it")]
    NoTls {
        /// Where.
        place: String,
    },
    /// The handshake failed.
    #[error("the TLS handshake with {place} failed: {reason}")]
    Tls {
        /// Where.
        place: String,
        /// In a user's words.
        reason: String,
        /// Why.
        source: io::Error,
    },
    /// The server says no: its own error.
    #[error("{place} refuses: {report}")]
    Refused {
        /// Where.
        place: String,
        /// The server's error, to be handed on as it is.
        report: Box<Report>,
    },
    /// The server asks for a password and there is none.
    #[error("{place} asks for a password, and none is configured")]
    NoPassword {
        /// Where.
        place: String,
    },
    /// The server asks for something we don't do.
    #[error("{place} asks for {what}")]
    Method {
        /// Where.
        place: String,
        /// What it asks for, and why it isn't done.
        what: String,
    },
    /// SCRAM failed on our side: the server couldn't prove that it knows the password.
    #[error("{place} could not be authenticated: {reason}")]
    Server {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// What the server says isn't the protocol.
    #[error("{place} does not speak PostgreSQL's protocol: {reason}")]
    Protocol {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// What we should send can't be said.
    #[error("the login cannot be sent to {place}")]
    Request {
        /// Where.
        place: String,
        /// Why.
        source: MessageError,
    },
}

impl ConnectError {
    /// The server's own error, when it said no.
    #[must_use]
    pub fn server_report(&self) -> Option<&Report> {
        match self {
            Self::Refused { report, .. } => Some(report),
            _ => None,
        }
    }
}

/// Cancels what one session runs. Cheap to clone; may outlive the session.
#[derive(Debug, Clone)]
pub struct CancelHandle {
    host: Host,
    tls: ClientTls,
    request: Option<CancelRequest>,
    limit: Duration,
}

impl CancelHandle {
    /// Sends the request and waits until the server has taken it.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn cancel(&self) -> Result<(), ConnectError> {
        match &self.request {
            Some(request) => cancel_at(&self.host, &self.tls, self.limit, request).await,
            None => Ok(()),
        }
    }
}

/// Connects to the target and logs in. `parameters` go into the StartupMessage besides `user`, `database`, and the target's `options` and
/// `application_name`, which they replace where they have the same name.
///
/// # Errors
/// See [`ConnectError`]; of several hosts the last one's, unless one let us in or said no.
pub async fn connect(
    target: &Target,
    parameters: &[(String, String)],
    tls: &ClientTls,
) -> Result<Backend, ConnectError> {
    let limit = target.attempt_limit();
    let mut last = None;
    for host in &target.hosts {
        match timeout(limit, login(target, host, parameters, tls)).await {
            Ok(Err(error @ (ConnectError::Unreachable { .. } | ConnectError::Broken { .. }))) => {
                last = Some(error)
            }
            Ok(result) => return result,
            Err(_) => {
                last = Some(ConnectError::TimedOut {
                    place: host.to_string(),
                    limit,
                });
            }
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Unreachable {
        place: "the database".to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "no host is given"),
    }))
}

/// Sends a CancelRequest (a client's, passed on) to the target and waits until the server has taken it.
///
/// # Errors
/// When the server can't be reached.
pub async fn cancel(
    target: &Target,
    tls: &ClientTls,
    request: &CancelRequest,
) -> Result<(), ConnectError> {
    let limit = target.attempt_limit();
    let mut result = Ok(());
    for host in &target.hosts {
        result = cancel_at(host, tls, limit, request).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

async fn cancel_at(
    host: &Host,
    tls: &ClientTls,
    limit: Duration,
    request: &CancelRequest,
) -> Result<(), ConnectError> {
    let sending = async {
        let mut stream = open(host, tls).await?;
        let mut packet = BytesMut::new();
        request.write(&mut packet);
        let broken = |source| ConnectError::Broken {
            place: host.to_string(),
            source,
        };
        stream.write_all(&packet).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        // The server closes the connection when it has passed the signal on. That it does so rudely is no news.
        let _ = stream.read(&mut [0]).await;
        Ok(())
    };
    timeout(limit, sending).await.unwrap_or_else(|_| {
        Err(ConnectError::TimedOut {
            place: host.to_string(),
            limit,
        })
    })
}

/// Connects, with TLS as `sslmode` says.
async fn open(host: &Host, tls: &ClientTls) -> Result<Stream, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable {
        place: host.to_string(),
        source,
    };
    let name = match &host.address {
        Address::Unix(_) => {
            let socket = UnixStream::connect(host.socket_path())
                .await
                .map_err(unreachable)?;
            return Ok(Stream::from(socket));
        }
        Address::Tcp(name) => name,
    };
    let mut socket = Socket::Tcp(
        TcpStream::connect((name.as_str(), host.port))
            .await
            .map_err(unreachable)?,
    );
    socket.tune().map_err(unreachable)?;
    if tls.mode() == SslMode::Disable {
        return Ok(Stream::Plain(socket));
    }
    let broken = |source| ConnectError::Broken {
        place: host.to_string(),
        source,
    };
    let mut request = BytesMut::new();
    startup::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(broken)?;
    // Exactly one byte: whatever follows it belongs to the handshake, which then fails (CVE-2021-23222).
    match socket.read_u8().await.map_err(broken)? {
        b'S' => match tls.connect(socket, name).await {
            Ok(stream) => Ok(Stream::Client(stream)),
            Err(source) => Err(ConnectError::Tls {
                place: host.to_string(),
                reason: certificate_problem(&source).unwrap_or_else(|| source.to_string()),
                source,
            }),
        },
        b'N' if tls.mode() == SslMode::Prefer => Ok(Stream::Plain(socket)),
        b'N' => Err(ConnectError::NoTls {
            place: host.to_string(),
        }),
        // An error here isn't authenticated by anything: its text isn't shown (CVE-2024-10977).
        other => Err(ConnectError::Protocol {
            place: host.to_string(),
            reason: format!("byte {other:#04x} in answer to SSLRequest"),
        }),
    }
}

async fn login(
    target: &Target,
    host: &Host,
    parameters: &[(String, String)],
    tls: &ClientTls,
) -> Result<Backend, ConnectError> {
    let mut login = Login {
        place: host.to_string(),
        stream: open(host, tls).await?,
        buffer: BytesMut::with_capacity(4096),
        scanner: Scanner::new(
            Direction::Backend,
            Limits {
                any: LOGIN_FRAME,
                ..Limits::default()
            },
        ),
        notices: Vec::new(),
    };
    login.start(target, parameters).await?;
    login.authenticate(target).await?;
    let mut reported = Vec::new();
    let mut key = None;
    loop {
        let (tag, body) = login.frame().await?;
        match tag {
            b'S' => {
                let (name, value) =
                    read_parameter_status(&body).map_err(|error| login.malformed(error))?;
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                reported.push((text(name), text(value)));
            }
            b'K' => key = Some(BackendKey::read(&body).map_err(|error| login.malformed(error))?),
            b'Z' => {
                read_ready_for_query(&body).map_err(|error| login.malformed(error))?;
                break;
            }
            tag => return Err(login.unexpected(tag)),
        }
    }
    let request = key.as_ref().map(|key: &BackendKey| CancelRequest {
        process: key.process,
        secret: key.secret.clone(),
    });
    Ok(Backend {
        stream: login.stream,
        parameters: reported,
        key,
        leftover: login.buffer,
        notices: login.notices,
        cancel: CancelHandle {
            host: host.clone(),
            tls: tls.clone(),
            request,
            limit: target.attempt_limit(),
        },
    })
}

/// A login in progress.
struct Login {
    place: String,
    stream: Stream,
    buffer: BytesMut,
    scanner: Scanner,
    notices: Vec<Report>,
}

impl Login {
    /// The next frame's tag and body. Notices are put aside; an error ends the login.
    async fn frame(&mut self) -> Result<(u8, BytesMut), ConnectError> {
        loop {
            let header = self
                .scanner
                .header(&self.buffer)
                .map_err(|error| self.protocol(error.to_string()))?;
            if let Some(header) = header
                && self.buffer.len() >= header.total()
            {
                let mut body = self.buffer.split_to(header.total());
                body.advance(frame::HEADER);
                match header.tag {
                    b'E' => {
                        return Err(ConnectError::Refused {
                            place: self.place.clone(),
                            report: Box::new(
                                Report::read(&body).map_err(|error| self.malformed(error))?,
                            ),
                        });
                    }
                    b'N' => {
                        let notice = Report::read(&body).map_err(|error| self.malformed(error))?;
                        if self.notices.len() < NOTICES {
                            self.notices.push(notice);
                        }
                    }
                    tag => return Ok((tag, body)),
                }
                continue;
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            let source = match read {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Err(self.broken(source));
        }
    }

    async fn send(&mut self, packet: &[u8]) -> Result<(), ConnectError> {
        let sent = async {
            self.stream.write_all(packet).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|source| self.broken(source))
    }

    async fn start(
        &mut self,
        target: &Target,
        parameters: &[(String, String)],
    ) -> Result<(), ConnectError> {
        let given = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !matches!(*name, "user" | "database" | "replication"));
        let own = [
            ("options", target.options.as_deref()),
            ("application_name", target.application_name.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|(name, _)| !parameters.iter().any(|(given, _)| given == name));
        let identity = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
        ];
        let mut packet = BytesMut::new();
        startup::startup_message(identity.into_iter().chain(own).chain(given), &mut packet)
            .map_err(|source| self.request(source))?;
        self.send(&packet).await
    }

    async fn authenticate(&mut self, target: &Target) -> Result<(), ConnectError> {
        let mut bound = false;
        loop {
            let (tag, body) = self.frame().await?;
            if tag != b'R' {
                return Err(self.unexpected(tag));
            }
            match Authentication::read(&body).map_err(|error| self.malformed(error))? {
                Authentication::Ok
                    if target.channel_binding == ChannelBinding::Require && !bound =>
                {
                    return Err(
                        self.method("no channel binding, which channel_binding=require asks for")
                    );
                }
                Authentication::Ok => return Ok(()),
                Authentication::Cleartext => {
                    if !self.stream.is_tls() && !self.stream.is_unix() {
                        return Err(self.method(
                            "the password in clear text over a connection without TLS; use sslmode=require or stricter, or SCRAM",
                        ));
                    }
                    let password = self.password(target)?;
                    self.send_password(password.as_bytes()).await?;
                }
                Authentication::Md5(salt) => {
                    let password = self.password(target)?;
                    let hash = md5_hash(target.user.as_bytes(), password.as_bytes(), salt);
                    self.send_password(hash.as_bytes()).await?;
                }
                offer @ Authentication::Sasl(_) => {
                    let offers =
                        |name: &str| offer.mechanisms().any(|offered| offered == name.as_bytes());
                    let (plain, plus) = (
                        offers(sasl::SCRAM_SHA_256),
                        offers(sasl::SCRAM_SHA_256_PLUS),
                    );
                    bound = self.scram(target, plain, plus).await?;
                }
                Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                    return Err(self.unexpected(b'R'));
                }
                Authentication::Other(2 | 6..=9) => {
                    return Err(
                        self.method("a Kerberos, GSSAPI or SSPI login, which is not supported")
                    );
                }
                Authentication::Other(number) => {
                    return Err(self.method(&format!(
                        "authentication method {number}, which is not supported"
                    )));
                }
            }
        }
    }

    /// The whole exchange; gives whether it was bound to the TLS connection.
    async fn scram(
        &mut self,
        target: &Target,
        plain: bool,
        plus: bool,
    ) -> Result<bool, ConnectError> {
        let end_point = match &self.stream {
            Stream::Client(stream) if target.channel_binding != ChannelBinding::Disable => {
                peer_end_point(stream)
            }
            _ => None,
        };
        let (mechanism, binding, bound) = match (end_point, plain, plus) {
            (Some(hash), _, true) => (
                sasl::SCRAM_SHA_256_PLUS,
                Binding::tls_server_end_point(hash),
                true,
            ),
            (_, true, _) if target.channel_binding == ChannelBinding::Require => {
                return Err(self.method(
                    "SCRAM without channel binding, which channel_binding=require asks for",
                ));
            }
            (Some(_), true, false) => (sasl::SCRAM_SHA_256, Binding::unrequested(), false),
            (None, true, _) => (sasl::SCRAM_SHA_256, Binding::unsupported(), false),
            _ => return Err(self.method("a SASL mechanism that is not supported")),
        };
        let password = self.password(target)?;
        let mut scram = ScramSha256::new(password.as_bytes(), binding);
        let mut packet = BytesMut::new();
        frontend::sasl_initial(mechanism.as_bytes(), scram.message(), &mut packet)
            .map_err(|source| self.request(source))?;
        self.send(&packet).await?;

        let body = self.authentication().await?;
        match Authentication::read(&body) {
            Ok(Authentication::SaslContinue(data)) if iterations(data) <= ITERATIONS => {
                scram.update(data).map_err(|error| self.server(&error))?;
            }
            Ok(Authentication::SaslContinue(_)) => {
                return Err(self.protocol(format!("more than {ITERATIONS} iterations of SCRAM")));
            }
            _ => return Err(self.unexpected(b'R')),
        }
        packet.clear();
        frontend::sasl_response(scram.message(), &mut packet)
            .map_err(|source| self.request(source))?;
        self.send(&packet).await?;

        let body = self.authentication().await?;
        match Authentication::read(&body) {
            Ok(Authentication::SaslFinal(data)) => {
                scram.finish(data).map_err(|error| self.server(&error))?;
                Ok(bound)
            }
            _ => Err(self.unexpected(b'R')),
        }
    }

    async fn authentication(&mut self) -> Result<BytesMut, ConnectError> {
        match self.frame().await? {
            (b'R', body) => Ok(body),
            (tag, _) => Err(self.unexpected(tag)),
        }
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), ConnectError> {
        let mut packet = BytesMut::new();
        frontend::password(password, &mut packet).map_err(|source| self.request(source))?;
        self.send(&packet).await
    }

    fn password<'a>(&self, target: &'a Target) -> Result<&'a str, ConnectError> {
        match &target.password {
            Some(password) => Ok(password.expose()),
            None => Err(ConnectError::NoPassword {
                place: self.place.clone(),
            }),
        }
    }

    fn broken(&self, source: io::Error) -> ConnectError {
        ConnectError::Broken {
            place: self.place.clone(),
            source,
        }
    }

    fn request(&self, source: MessageError) -> ConnectError {
        ConnectError::Request {
            place: self.place.clone(),
            source,
        }
    }

    fn method(&self, what: &str) -> ConnectError {
        ConnectError::Method {
            place: self.place.clone(),
            what: what.to_owned(),
        }
    }

    fn server(&self, error: &io::Error) -> ConnectError {
        ConnectError::Server {
            place: self.place.clone(),
            reason: error.to_string(),
        }
    }

    fn protocol(&self, reason: String) -> ConnectError {
        ConnectError::Protocol {
            place: self.place.clone(),
            reason,
        }
    }

    fn malformed(&self, error: MessageError) -> ConnectError {
        self.protocol(error.to_string())
    }

    fn unexpected(&self, tag: u8) -> ConnectError {
        self.protocol(format!("unexpected message type {tag} during the login"))
    }
}

/// A server may not keep us busy for longer than this many rounds take.
const ITERATIONS: u32 = 1_000_000;

/// The iteration count of SCRAM's server-first message; 0 when there's none, which the state machine refuses.
fn iterations(server_first: &[u8]) -> u32 {
    std::str::from_utf8(server_first)
        .unwrap_or_default()
        .split(',')
        .find_map(|part| part.strip_prefix("i="))
        .map_or(0, |count| count.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
