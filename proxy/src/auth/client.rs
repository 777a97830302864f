//! The login of clients: SCRAM-SHA-256 (bound to the TLS connection where possible) against a stored verifier.
//!
//! The state machine is `pgwire`'s. An unknown user goes through the same exchange against a verifier that no password fits, with a
//! salt that stays the same for that name, so that names can't be found out.

use std::io;

use bytes::{Buf, BytesMut};
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::error::PgWireError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::verifier::Verifier;
use crate::net::accept::{Greeted, refuse};
use crate::wire::backend::Authentication;
use crate::wire::frame::{self, Direction, FrameError, Limits, Scanner};
use crate::wire::report::Report;
use crate::wire::{MessageError, frontend};

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Why a client isn't let in. It has been told.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The connection broke.
    #[error("the connection broke during the login")]
    Io(#[from] io::Error),
    /// Not within `authentication_timeout`.
    #[error("canceling authentication due to timeout")]
    TimedOut,
    /// A wrong password, or no such user.
    #[error("password authentication failed for user \"{user}\"")]
    Password {
        /// The user's name, as the client gave it.
        user: String,
    },
    /// The stream can't be followed.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame is malformed.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Another message than the login's.
    #[error("expected SASL response, got message type {0}")]
    Unexpected(u8),
    /// A mechanism that wasn't offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// SCRAM's data is malformed, or the channel binding doesn't fit. (Why isn't kept: it would quote the client's proof, from which a password can be guessed.)
    #[error("malformed SCRAM message")]
    Scram,
}

impl LoginError {
    /// What the client is told, in PostgreSQL's words.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let code = match self {
            Self::Io(_) => return None,
            Self::TimedOut => "57014",
            Self::Password { .. } => "28P01",
            Self::Frame(error) => return Some(error.report()),
            Self::Message(_) | Self::Unexpected(_) | Self::Mechanism | Self::Scram => "08P01",
        };
        Some(Report::fatal(code, self.to_string()))
    }
}

/// Logs a client in, up to and including AuthenticationOk (not flushed beyond it): what follows (ParameterStatus, BackendKeyData, ReadyForQuery) is
/// the session's. A NegotiateProtocolVersion that the StartupMessage needs is sent first.
///
/// `verifier` is that of the user the StartupMessage names; `None`: there's no such user.
///
/// # Errors
/// See [`LoginError`]; the client has been told and the connection is closed.
pub async fn login(
    greeted: &mut Greeted,
    verifier: Option<&Verifier>,
    deadline: Instant,
) -> Result<(), LoginError> {
    let result = match timeout_at(deadline, exchange(greeted, verifier)).await {
        Ok(result) => result,
        Err(_) => Err(LoginError::TimedOut),
    };
    if let Err(error) = &result
        && let Some(report) = error.report()
    {
        refuse(&mut greeted.stream, &report).await;
    }
    result
}

async fn exchange(greeted: &mut Greeted, verifier: Option<&Verifier>) -> Result<(), LoginError> {
    let user = greeted.startup.user().to_owned();
    let mut server = ScramServerAuth::new();
    let plus = greeted
        .certificate_pem
        .as_ref()
        .is_some_and(|pem| server.configure_certificate(pem.as_bytes()).is_ok());
    let mut out = BytesMut::new();
    greeted.startup.write_negotiation(&mut out);
    let mut offer = Vec::new();
    if plus {
        offer.extend_from_slice(SCRAM_PLUS.as_bytes());
        offer.push(0);
    }
    offer.extend_from_slice(SCRAM.as_bytes());
    offer.extend_from_slice(&[0, 0]);
    Authentication::Sasl(&offer).write(&mut out)?;
    greeted.stream.write_all(&out).await?;
    greeted.stream.flush().await?;

    let mut buffer = BytesMut::new();
    let body = password_frame(greeted, &mut buffer).await?;
    let (mechanism, data) = frontend::read_sasl_initial(&body)?;
    let data = data.ok_or(LoginError::Mechanism)?;
    let bound = data.starts_with(b"p=");
    let known = match mechanism {
        name if name == SCRAM.as_bytes() => !bound,
        name if name == SCRAM_PLUS.as_bytes() => plus && bound,
        _ => false,
    };
    if !known {
        return Err(LoginError::Mechanism);
    }
    let secret = match verifier {
        Some(verifier) => verifier.secret(),
        None => Verifier::mock(&user).secret(),
    };
    let failed = |error| match error {
        PgWireError::InvalidPassword(_) => LoginError::Password { user: user.clone() },
        _ => LoginError::Scram,
    };
    let (server_first, waiting) = server
        .on_client_first_message_with_secret(data, secret)
        .map_err(failed)?;
    out.clear();
    Authentication::SaslContinue(server_first.as_bytes()).write(&mut out)?;
    greeted.stream.write_all(&out).await?;
    greeted.stream.flush().await?;

    let body = password_frame(greeted, &mut buffer).await?;
    let server_final = waiting.on_client_final_message(&body).map_err(failed)?;
    if verifier.is_none() {
        return Err(LoginError::Password { user });
    }
    out.clear();
    Authentication::SaslFinal(server_final.as_bytes()).write(&mut out)?;
    Authentication::Ok.write(&mut out)?;
    greeted.stream.write_all(&out).await?;
    greeted.stream.flush().await?;
    match buffer.first() {
        // A client waits for AuthenticationOk and ReadyForQuery before it goes on.
        Some(tag) => Err(LoginError::Unexpected(*tag)),
        None => Ok(()),
    }
}

/// Reads one frame of the password family; its body.
async fn password_frame(
    greeted: &mut Greeted,
    buffer: &mut BytesMut,
) -> Result<BytesMut, LoginError> {
    let scanner = Scanner::new(Direction::Frontend, Limits::default());
    loop {
        if let Some(header) = scanner.header(buffer)? {
            if header.tag != b'p' {
                return Err(LoginError::Unexpected(header.tag));
            }
            if buffer.len() >= header.total() {
                let mut body = buffer.split_to(header.total());
                body.advance(frame::HEADER);
                return Ok(body);
            }
        }
        if greeted.stream.read_buf(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

#[cfg(test)]
mod tests;
