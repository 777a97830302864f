//! Walking the headers of a live stream, whatever the size of the frames.
//!
//! A [`Scanner`] stands at one place of one direction's stream. It is shown a buffer that begins at that place and says how many bytes of it may pass as they
//! are, and which frame comes then that somebody wants to look at. A frame larger than the buffer passes in pieces: a row of 1 GB goes through 64 KiB.
//! It knows tags and lengths only; what is inside a frame is for [`super::frontend`] and [`super::backend`].

use super::report::Report;

/// The bytes of a header: the tag and the length.
pub const HEADER: usize = 5;

/// PostgreSQL's limit for messages that are never long (`PQ_SMALL_MESSAGE_LIMIT`), the length's four bytes included.
const SMALL: u32 = 10_000;
/// PostgreSQL's limit for any message (`MaxAllocSize - 1`).
const LARGE: u32 = 0x3fff_fffe;
/// What we collect whole (Query, Parse), if not configured.
const COLLECTED: u32 = 64 << 20;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    Frontend,
    /// From a database.
    Backend,
}

/// How long frames may be: bytes, as the length field counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Query and Parse, which are collected whole. 64 MiB if not configured.
    pub collected: u32,
    /// Everything else that may be long at all. PostgreSQL's own limit, 1 GiB - 2.
    pub any: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            collected: COLLECTED,
            any: LARGE,
        }
    }
}

/// A frame's tag and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub tag: u8,
    /// The length field: it counts itself and the body, not the tag. At least 4.
    pub length: u32,
}

impl Header {
    /// The whole frame's bytes, tag included.
    #[must_use]
    pub fn total(self) -> usize {
        self.length as usize + 1
    }

    /// The body's bytes.
    #[must_use]
    pub fn body(self) -> usize {
        (self.length as usize).saturating_sub(4)
    }
}

/// The stream can't be followed any further: the connection must be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A tag that this direction doesn't have. PostgreSQL's own text.
    #[error("invalid {} message type {tag}", match direction { Direction::Frontend => "frontend", Direction::Backend => "backend" })]
    Tag {
        /// Who sent it.
        direction: Direction,
        /// The tag.
        tag: u8,
    },
    /// A length that this message can't have.
    #[error("invalid message length")]
    Length {
        /// The tag.
        tag: u8,
        /// The length field.
        length: u32,
    },
    /// A length beyond what we collect.
    #[error("message of {length} bytes exceeds the limit of {limit} bytes")]
    TooLong {
        /// The tag.
        tag: u8,
        /// The length field.
        length: u32,
        /// The limit.
        limit: u32,
    },
}

impl FrameError {
    /// The FATAL error to answer with before the connection is closed: 08P01 `protocol_violation`, or 54000 for a statement beyond the configured limit.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::TooLong { .. } => Report::fatal("54000", self.to_string())
                .hint("Send large data as parameters or by COPY, or raise the limit of the preview's proxy."),
            _ => Report::fatal("08P01", self.to_string()),
        }
    }
}

/// What is at the front of a buffer, see [`Scanner::scan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// So many bytes at the buffer's start pass as they are. The scanner has already moved over them.
    pub pass: usize,
    /// What comes then.
    pub next: Next,
}

/// What stands behind the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, or too little for a header: read more.
    More,
    /// A frame that was asked for begins there; `present` bytes of it, header included, are in the buffer (all of it when `present == header.total()`).
    /// The scanner stands in front of it: collect it and call [`Scanner::take`], or let it pass with [`Scanner::pass`].
    Frame {
        /// Its header.
        header: Header,
        /// How much of it is in the buffer.
        present: usize,
    },
    /// Nothing that can be followed: write on what passes, answer with [`FrameError::report`], end the connection.
    Malformed(FrameError),
}

/// A place in one direction's stream of frames.
#[derive(Debug, Clone)]
pub struct Scanner {
    direction: Direction,
    limits: Limits,
    /// Bytes of the frame begun that are still to come.
    remaining: usize,
}

impl Scanner {
    /// At a frame's start.
    #[must_use]
    pub fn new(direction: Direction, limits: Limits) -> Self {
        Self {
            direction,
            limits,
            remaining: 0,
        }
    }

    /// Walks over the frames at the buffer's start for as long as `passes` says so of a frame's header; `passes` is asked once for each frame that passes (and
    /// again for one it refused, each time the scanner stands in front of it).
    ///
    /// The buffer must begin where the scanner stands; the caller removes (writes on) the bytes that pass before the next call.
    pub fn scan(&mut self, buffer: &[u8], mut passes: impl FnMut(Header) -> bool) -> Scan {
        let mut pass = self.remaining.min(buffer.len());
        self.remaining -= pass;
        loop {
            let rest = buffer.get(pass..).unwrap_or_default();
            let next = match self.header(rest) {
                Err(error) => Next::Malformed(error),
                Ok(None) => Next::More,
                Ok(Some(header)) => {
                    let present = header.total().min(rest.len());
                    if passes(header) {
                        pass += present;
                        self.remaining = header.total() - present;
                        continue;
                    }
                    Next::Frame { header, present }
                }
            };
            return Scan { pass, next };
        }
    }

    /// The header at the buffer's start, where the scanner is between frames; `None`: fewer than five bytes.
    ///
    /// # Errors
    /// When it isn't a header of this direction.
    pub fn header(&self, buffer: &[u8]) -> Result<Option<Header>, FrameError> {
        let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<HEADER>() else {
            // A wrong tag is known from its first byte.
            if let Some(&tag) = buffer.first() {
                self.limit(tag)?;
            }
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        let (least, most) = self.limit(tag)?;
        let collected = self.direction == Direction::Frontend && matches!(tag, b'Q' | b'P');
        if length < least || (length > most && !(collected && length <= LARGE)) {
            return Err(FrameError::Length { tag, length });
        }
        if length > most {
            return Err(FrameError::TooLong {
                tag,
                length,
                limit: most,
            });
        }
        Ok(Some(Header { tag, length }))
    }

    /// Lets the frame that begins at the buffer's start pass; gives how many of `present` bytes belong to it. The rest passes by the next [`Scanner::scan`].
    pub fn pass(&mut self, header: Header, present: usize) -> usize {
        let now = header.total().min(present);
        self.remaining = header.total() - now;
        now
    }

    /// The frame at the buffer's start was removed whole: the scanner stands behind it. (Nothing to remember: it stands between frames again.)
    pub fn take(&mut self) {
        self.remaining = 0;
    }

    /// Bytes of the frame begun that are still to come; 0: between frames, where other frames may be put in.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The least and the most that the length field may say.
    fn limit(&self, tag: u8) -> Result<(u32, u32), FrameError> {
        let any = self.limits.any;
        let limit = match self.direction {
            Direction::Frontend => match tag {
                b'Q' => (5, self.limits.collected),
                b'P' => (8, self.limits.collected),
                b'B' => (12, any),
                b'F' => (14, any),
                b'd' => (4, any),
                b'p' => (4, SMALL),
                b'C' | b'D' => (6, SMALL),
                b'E' => (9, SMALL),
                b'f' => (5, SMALL),
                b'H' | b'S' => (4, 4),
                b'X' | b'c' => (4, SMALL),
                _ => return Err(self.unknown(tag)),
            },
            Direction::Backend => match tag {
                b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c' => (4, 4),
                b'Z' => (5, 5),
                b'D' | b'T' | b't' => (6, any),
                b'G' | b'H' | b'W' => (7, any),
                b'R' | b'V' | b'v' | b'K' => (8, any),
                b'E' | b'N' | b'C' => (5, any),
                b'S' => (6, any),
                b'A' => (10, any),
                b'd' => (4, any),
                _ => return Err(self.unknown(tag)),
            },
        };
        Ok(limit)
    }

    fn unknown(&self, tag: u8) -> FrameError {
        FrameError::Tag {
            direction: self.direction,
            tag,
        }
    }
}

/// The body of a whole frame (what follows its header).
#[must_use]
pub fn body(frame: &[u8]) -> &[u8] {
    frame.get(HEADER..).unwrap_or_default()
}
