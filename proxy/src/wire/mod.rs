//! Bytes ↔ frames. Knows no SQL and no databases, and does no I/O.
//!
//! PostgreSQL's protocol (documentation, "Frontend/Backend Protocol") is a stream of frames: a tag, a length, a body.
//!
//! | module | job |
//! |---|---|
//! | [`frame`] | walks the headers of a live stream, whatever the size of the frames; nothing is allocated |
//! | [`frontend`] | typed reading and writing of the frames that clients send |
//! | [`backend`] | the same for the frames that databases send |
//! | [`report`] | ErrorResponse and NoticeResponse |
//! | [`startup`] | what comes before the frames: SSLRequest, CancelRequest, StartupMessage, ... |
//!
//! # Whose messages
//! Everything here is our own. `pgwire::messages` and `postgres_protocol::message` hold text as `String` and `&str`, but text on the wire is in the
//! client's encoding and must pass byte for byte; their decoders also panic or shift the stream on malformed frames.
//! Text is `&[u8]` here, reading never panics, and writing refuses what would shift the stream. The login uses the state machines of both
//! crates (SCRAM, MD5), see `auth`.

pub mod backend;
pub mod frame;
pub mod frontend;
mod reader;
pub mod report;
pub mod startup;
mod writer;

/// Why a frame's body can't be read, or what was given can't be written as a frame. The texts are PostgreSQL's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A count or a length says more than there is.
    #[error("insufficient data left in message")]
    Truncated,
    /// There is more than the message's fields.
    #[error("invalid message format")]
    Trailing,
    /// A string without its terminating NUL, or with a NUL inside.
    #[error("invalid string in message")]
    String,
    /// A field has a value that the protocol doesn't know.
    #[error("invalid value in message")]
    Value,
    /// The frame would be longer than the protocol can say.
    #[error("message is too long")]
    TooLong,
}

impl MessageError {
    /// The SQLSTATE that PostgreSQL gives: `protocol_violation`, or `program_limit_exceeded` for a message that's too long.
    #[must_use]
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::TooLong => "54000",
            _ => "08P01",
        }
    }

    /// The error to answer with. PostgreSQL answers `ERROR` and skips up to the next Sync.
    #[must_use]
    pub fn report(self) -> report::Report {
        report::Report::error(self.sqlstate(), self.to_string())
    }
}

/// The transaction status of ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    Idle,
    /// `T`: in a transaction block.
    Block,
    /// `E`: in a failed transaction block.
    Failed,
}

impl TransactionStatus {
    /// The byte on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Block => b'T',
            Self::Failed => b'E',
        }
    }

    /// From the byte on the wire.
    ///
    /// # Errors
    /// When the byte isn't one of the three.
    pub fn from_byte(byte: u8) -> Result<Self, MessageError> {
        match byte {
            b'I' => Ok(Self::Idle),
            b'T' => Ok(Self::Block),
            b'E' => Ok(Self::Failed),
            _ => Err(MessageError::Value),
        }
    }
}

#[cfg(test)]
mod tests;
