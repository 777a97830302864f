//! A client's first packets.
//!
//! Nothing is read beyond a packet, and bytes that a client sent in plaintext behind its SSLRequest never count as if they had come inside TLS: the class of
//! CVE-2021-23214.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::stream::{Socket, Stream};
use super::tls::{ALPN, ServerTls};
use crate::wire::report::Report;
use crate::wire::startup::{
    self, CancelRequest, Startup, StartupError, StartupMessage, TLS_HANDSHAKE,
};

/// PostgreSQL's `authentication_timeout`: the limit for everything up to the end of the login.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Accepted {
    /// A client that wants to log in.
    Client(Greeted),
    /// A cancel request; there's no answer to it, the connection is closed.
    Cancel(CancelRequest),
    /// It was closed before it said anything, as health checks do.
    Nothing,
}

/// A client that has said who it wants to be.
#[derive(Debug)]
pub struct Greeted {
    /// Its connection.
    pub stream: Stream,
    /// Its StartupMessage.
    pub startup: StartupMessage,
    /// Our certificate (PEM), which SCRAM is bound to. `None` without TLS.
    pub certificate_pem: Option<Arc<str>>,
}

/// Why a connection didn't get so far. A report, where the protocol allows one, has been sent.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The connection broke.
    #[error("the connection broke before the login")]
    Io(#[from] io::Error),
    /// The packet can't be served.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// Plaintext behind an SSLRequest.
    #[error("received unencrypted data after SSL request")]
    Injection,
    /// A second SSLRequest or GSSENCRequest, or one inside TLS.
    #[error("unexpected encryption request")]
    Repeated,
    /// Direct TLS without the protocol's name.
    #[error("received direct SSL connection request without ALPN protocol negotiation extension")]
    NoAlpn,
    /// TLS is required here.
    #[error("connection requires TLS")]
    TlsRequired,
}

impl AcceptError {
    /// What the client is told, where it can be told.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        match self {
            Self::Io(_) | Self::NoAlpn => None,
            Self::Startup(error) => Some(error.report()),
            Self::Injection => Some(
                Report::fatal("08P01", self.to_string()).detail(
                    "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
                ),
            ),
            Self::Repeated => Some(Report::fatal("08P01", self.to_string())),
            Self::TlsRequired => Some(
                Report::fatal("28000", self.to_string())
                    .hint("Connect with sslmode=require or stricter."),
            ),
        }
    }
}

/// How clients are greeted.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// TLS, if there's a certificate.
    pub tls: Option<Arc<ServerTls>>,
    /// TCP clients without TLS are refused.
    pub require_tls: bool,
}

impl Greeting {
    /// Reads up to the StartupMessage or CancelRequest. The caller sets the time limit.
    ///
    /// # Errors
    /// See [`AcceptError`]; the client has been told, where it can be.
    pub async fn accept(&self, mut socket: Socket) -> Result<Accepted, AcceptError> {
        let (tls, direct) = match self.plain(&mut socket).await {
            Ok(Plain::Tls { tls, direct }) => (tls, direct),
            Ok(Plain::Done(None)) => return Ok(Accepted::Nothing),
            Ok(Plain::Done(Some(startup))) => {
                return Self::started(Stream::Plain(socket), startup, None).await;
            }
            Err(error) => return Err(told(&mut Stream::Plain(socket), error).await),
        };
        let (stream, certificate_pem) = tls.accept(socket).await?;
        let alpn = stream.get_ref().1.alpn_protocol();
        if direct && alpn != Some(ALPN) {
            return Err(AcceptError::NoAlpn);
        }
        let mut stream = Stream::Server(Box::new(stream));
        match packet(&mut stream).await {
            Ok(None) => Ok(Accepted::Nothing),
            Ok(Some(startup)) => Self::started(stream, startup, certificate_pem).await,
            Err(error) => Err(told(&mut stream, error).await),
        }
    }

    /// Answers what comes in plaintext, up to the handshake or the last packet.
    async fn plain(&self, socket: &mut Socket) -> Result<Plain, AcceptError> {
        let tls = match socket {
            Socket::Tcp(tcp) => {
                let mut byte = [0];
                if let Some(tls) = &self.tls
                    && tcp.peek(&mut byte).await? == 1
                    && byte == [TLS_HANDSHAKE]
                {
                    return Ok(Plain::Tls {
                        tls: Arc::clone(tls),
                        direct: true,
                    });
                }
                self.tls.as_ref()
            }
            // As PostgreSQL: no TLS on Unix-domain sockets.
            Socket::Unix(_) => None,
        };
        let (mut ssl, mut gssenc) = (false, false);
        loop {
            let asked = match packet(socket).await? {
                Some(Startup::Ssl) => &mut ssl,
                Some(Startup::GssEnc) => &mut gssenc,
                Some(Startup::Message(_))
                    if self.require_tls && matches!(socket, Socket::Tcp(_)) =>
                {
                    return Err(AcceptError::TlsRequired);
                }
                other => return Ok(Plain::Done(other)),
            };
            if std::mem::replace(asked, true) {
                return Err(AcceptError::Repeated);
            }
            match tls.filter(|_| ssl) {
                Some(tls) => {
                    if socket.has_input()? {
                        return Err(AcceptError::Injection);
                    }
                    socket.write_all(b"S").await?;
                    return Ok(Plain::Tls {
                        tls: Arc::clone(tls),
                        direct: false,
                    });
                }
                None => socket.write_all(b"N").await?,
            }
        }
    }

    async fn started(
        mut stream: Stream,
        startup: Startup,
        certificate_pem: Option<Arc<str>>,
    ) -> Result<Accepted, AcceptError> {
        match startup {
            Startup::Cancel(request) => Ok(Accepted::Cancel(request)),
            Startup::Message(startup) => Ok(Accepted::Client(Greeted {
                stream,
                startup,
                certificate_pem,
            })),
            Startup::Ssl | Startup::GssEnc => Err(told(&mut stream, AcceptError::Repeated).await),
        }
    }
}

/// How the plaintext part ended.
enum Plain {
    /// A handshake comes.
    Tls { tls: Arc<ServerTls>, direct: bool },
    /// The last packet came without TLS; `None`: the end of the stream.
    Done(Option<Startup>),
}

/// Reads exactly one packet; `None`: the stream ended before it.
async fn packet<S>(stream: &mut S) -> Result<Option<Startup>, AcceptError>
where
    S: AsyncRead + Unpin,
{
    let mut field = [0; 4];
    let Some((first, rest)) = field.split_first_mut() else {
        return Ok(None);
    };
    if stream.read(std::slice::from_mut(first)).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(rest).await?;
    let mut packet = vec![0; startup::length(field)?];
    stream.read_exact(&mut packet).await?;
    Ok(Some(startup::read(&packet)?))
}

/// Tells the client, where it can be told.
async fn told(stream: &mut Stream, error: AcceptError) -> AcceptError {
    if let Some(report) = error.report() {
        refuse(stream, &report).await;
    }
    error
}

/// Sends an error and closes the connection; waits no longer than two seconds for it.
pub async fn refuse(stream: &mut Stream, report: &Report) {
    let frame = report.error_frame();
    let sending = async {
        stream.write_all(&frame).await?;
        stream.shutdown().await
    };
    // Whether the client is still there to read it makes no difference any more.
    let _: Result<io::Result<()>, _> = tokio::time::timeout(Duration::from_secs(2), sending).await;
}

#[cfg(test)]
mod tests;
