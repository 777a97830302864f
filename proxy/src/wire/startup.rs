//! What comes before the frames: a packet without tag.

use bytes::{BufMut, BytesMut};

use super::reader::Reader;
use super::report::Report;
use super::{MessageError, writer};

/// PostgreSQL's limit for these packets (`MAX_STARTUP_PACKET_LENGTH`), the length included.
pub const LIMIT: u32 = 10_000;
/// The first byte of a TLS handshake: a client that starts TLS without asking (`sslnegotiation=direct`, PostgreSQL 17).
pub const TLS_HANDSHAKE: u8 = 0x16;
/// The newest minor version of protocol 3 that we speak.
pub const NEWEST_MINOR: u16 = 2;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// Why a first packet is refused. The connection is closed after [`StartupError::report`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// Its length is impossible.
    #[error("invalid length of startup packet")]
    Length,
    /// It has no proper end, or a parameter without value.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// A protocol that we don't speak.
    #[error(
        "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"
    )]
    Version {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// No user's name.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A name or a value that isn't UTF-8.
    #[error("startup parameter \"{0}\" is not valid UTF-8")]
    Encoding(String),
    /// The client wants to replicate.
    #[error("replication connections are not supported by a preview")]
    Replication,
    /// The boolean of `replication` isn't one.
    #[error("invalid value for parameter \"replication\": \"{0}\"")]
    ReplicationValue(String),
}

impl StartupError {
    /// The FATAL error to answer with.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = |code| Report::fatal(code, self.to_string());
        match self {
            Self::Length | Self::Layout | Self::Encoding(_) => report("08P01"),
            Self::Version { .. } => report("0A000"),
            Self::NoUser => report("28000"),
            Self::Replication => report("0A000")
                .detail("The write-ahead log of a preview holds only what the preview changed.")
                .hint(
                    "Connect without the replication parameter; replicate from production itself.",
                ),
            Self::ReplicationValue(_) => report("22023"),
        }
    }
}

/// A first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// SSLRequest.
    Ssl,
    /// GSSENCRequest.
    GssEnc,
    /// CancelRequest.
    Cancel(CancelRequest),
    /// StartupMessage.
    Message(StartupMessage),
}

/// CancelRequest: cancel what that session runs.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// The process's id.
    pub process: u32,
    /// The secret: 4 bytes, or up to 256 with protocol 3.2.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelRequest")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl CancelRequest {
    /// Appends it as a packet.
    pub fn write(&self, out: &mut BytesMut) {
        let written = writer::counted(out, |out| {
            out.put_u32(CANCEL);
            out.put_u32(self.process);
            out.put_slice(&self.secret);
            Ok(())
        });
        debug_assert!(written.is_ok(), "a key is at most 256 bytes");
    }
}

/// StartupMessage of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupMessage {
    /// The minor version that the client asks for.
    pub minor: u16,
    /// The parameters in order, `user` and `database` among them, those of `_pq_.` not. No name twice: the last value counts, as in PostgreSQL.
    pub parameters: Vec<(String, String)>,
    /// The protocol extensions (`_pq_.`) asked for: we have none.
    pub extensions: Vec<String>,
}

impl StartupMessage {
    /// A parameter's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.get("user").unwrap_or_default()
    }

    /// The database's name: the user's, if none is given.
    #[must_use]
    pub fn database(&self) -> &str {
        match self.get("database") {
            None | Some("") => self.user(),
            Some(name) => name,
        }
    }

    /// The minor version to speak with this client.
    #[must_use]
    pub fn negotiated_minor(&self) -> u16 {
        self.minor.min(NEWEST_MINOR)
    }

    /// Appends the NegotiateProtocolVersion that this message needs: when it asks for a newer minor version than ours, or for extensions. Gives
    /// whether one was needed.
    pub fn write_negotiation(&self, out: &mut BytesMut) -> bool {
        if self.minor <= NEWEST_MINOR && self.extensions.is_empty() {
            return false;
        }
        writer::frame(out, b'v', |out| {
            out.put_u16(3);
            out.put_u16(self.negotiated_minor());
            out.put_u32(u32::try_from(self.extensions.len()).map_err(|_| MessageError::TooLong)?);
            for name in &self.extensions {
                writer::string(out, name.as_bytes())?;
            }
            Ok(())
        })
        .is_ok()
    }
}

/// Checks the length field of a first packet; gives the bytes that follow it.
///
/// # Errors
/// When it's impossible.
pub fn length(field: [u8; 4]) -> Result<usize, StartupError> {
    let length = u32::from_be_bytes(field);
    if !(8..=LIMIT).contains(&length) {
        return Err(StartupError::Length);
    }
    Ok(length as usize - 4)
}

/// Reads a first packet, without its length field.
///
/// # Errors
/// When it can't be served.
pub fn read(packet: &[u8]) -> Result<Startup, StartupError> {
    let mut reader = Reader::new(packet);
    let code = reader.u32().map_err(|_| StartupError::Length)?;
    let exact = |startup| match packet.len() {
        4 => Ok(startup),
        _ => Err(StartupError::Length),
    };
    match code {
        SSL => exact(Startup::Ssl),
        GSSENC => exact(Startup::GssEnc),
        CANCEL => {
            let process = reader.u32().map_err(|_| StartupError::Length)?;
            let secret = reader.peek();
            if !(4..=256).contains(&secret.len()) {
                return Err(StartupError::Length);
            }
            Ok(Startup::Cancel(CancelRequest {
                process,
                secret: secret.to_vec(),
            }))
        }
        version => {
            let [a, b, c, d] = version.to_be_bytes();
            let major = u16::from_be_bytes([a, b]);
            let minor = u16::from_be_bytes([c, d]);
            if major != 3 {
                return Err(StartupError::Version { major, minor });
            }
            message(minor, reader).map(Startup::Message)
        }
    }
}

fn message(minor: u16, mut reader: Reader<'_>) -> Result<StartupMessage, StartupError> {
    let mut startup = StartupMessage {
        minor,
        parameters: Vec::new(),
        extensions: Vec::new(),
    };
    loop {
        let name = reader.string().map_err(|_| StartupError::Layout)?;
        if name.is_empty() {
            break;
        }
        let value = reader.string().map_err(|_| StartupError::Layout)?;
        let name = std::str::from_utf8(name)
            .map_err(|_| StartupError::Encoding(String::from_utf8_lossy(name).into_owned()))?;
        if name.starts_with("_pq_.") {
            startup.extensions.push(name.to_owned());
            continue;
        }
        let value = match std::str::from_utf8(value) {
            Ok(value) => value.to_owned(),
            // PostgreSQL keeps only the ASCII of it as well.
            Err(_) if name == "application_name" => value
                .iter()
                .map(|byte| match byte {
                    32..=126 => char::from(*byte),
                    _ => '?',
                })
                .collect(),
            Err(_) => return Err(StartupError::Encoding(name.to_owned())),
        };
        match startup.parameters.iter_mut().find(|(n, _)| n == name) {
            Some(parameter) => parameter.1 = value,
            None => startup.parameters.push((name.to_owned(), value)),
        }
    }
    reader.end().map_err(|_| StartupError::Layout)?;
    if startup.user().is_empty() {
        return Err(StartupError::NoUser);
    }
    match startup
        .get("replication")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("false" | "off" | "no" | "0" | "f" | "n") => {}
        Some("database" | "true" | "on" | "yes" | "1" | "t" | "y") => {
            return Err(StartupError::Replication);
        }
        Some(other) => return Err(StartupError::ReplicationValue(other.to_owned())),
    }
    startup.parameters.retain(|(name, _)| name != "replication");
    Ok(startup)
}

/// Appends an SSLRequest.
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(SSL);
}

/// Appends a StartupMessage of protocol 3.0.
///
/// # Errors
/// When a name is empty or a text has a NUL in it, or the packet is longer than [`LIMIT`].
pub fn startup_message<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    out: &mut BytesMut,
) -> Result<(), MessageError> {
    let start = out.len();
    writer::counted(out, |out| {
        out.put_u32(3 << 16);
        for (name, value) in parameters {
            if name.is_empty() {
                return Err(MessageError::Value);
            }
            writer::string(out, name.as_bytes())?;
            writer::string(out, value.as_bytes())?;
        }
        out.put_u8(0);
        if out.len() - start > LIMIT as usize {
            return Err(MessageError::TooLong);
        }
        Ok(())
    })
}
