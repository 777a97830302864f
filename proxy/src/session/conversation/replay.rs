//! The client's last batch, to be planned once more where another session's schema change came in between.

use bytes::{Bytes, BytesMut};

/// Messages beyond this aren't kept, in bytes.
const KEPT: usize = 16 << 10;

/// What the client said since it was last ready, and whether it's being said again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// From a Query, or from a Bind on to its Sync: nothing before it is said again.
    frames: Vec<Bytes>,
    bytes: usize,
    /// These frames can't be said again, or were already.
    spent: bool,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    None,
    /// The error was kept from the client, ReadyForQuery will be.
    Begun,
    /// To be put in front of what the client says next.
    Due,
    /// They were: what comes now is the same again.
    Again,
}

impl Replay {
    /// The client said this. `first`: outside of a transaction block, with nothing said since fresh was told to be ready.
    pub(super) fn heard(&mut self, tag: u8, frame: &Bytes, first: bool) {
        if self.state == State::Again {
            return;
        }
        if first || tag == b'Q' {
            self.forget();
            self.spent = !first;
        }
        // What the first execution of several gave, the client may have heard.
        self.spent |= tag == b'B' && !self.frames.is_empty();
        // A Parse before the first Bind was answered and stays.
        if self.frames.is_empty() && !matches!(tag, b'Q' | b'B') {
            self.spent |= !matches!(tag, b'P' | b'D' | b'H');
            return;
        }
        self.bytes += frame.len();
        self.spent |= self.bytes > KEPT || matches!(tag, b'F' | b'd' | b'c' | b'f');
        if self.spent {
            self.frames.clear();
        } else {
            self.frames.push(frame.clone());
        }
    }

    fn forget(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.spent = false;
    }

    /// Says the batch again, if that can be; gives whether it can.
    pub(super) fn begin(&mut self) -> bool {
        let can = self.state == State::None && !self.spent && !self.frames.is_empty();
        if can {
            self.state = State::Begun;
        }
        can
    }

    /// Whether the error was kept, or the rows were, and ReadyForQuery is still to come.
    pub(super) fn is_begun(&self) -> bool {
        self.state == State::Begun
    }

    /// Whether what is kept is all that the client said since it was last ready (or was, when it was said again).
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Again || (!self.spent && !self.frames.is_empty())
    }

    /// It isn't said again after all.
    pub(super) fn give_up(&mut self) {
        self.state = State::None;
    }

    /// ReadyForQuery came; gives whether it is to be kept from the client.
    pub(super) fn ready(&mut self) -> bool {
        let begun = self.state == State::Begun;
        self.state = if begun { State::Due } else { State::None };
        begun
    }

    /// Whether there's something to be put back.
    pub(super) fn is_due(&self) -> bool {
        self.state == State::Due
    }

    /// Puts the batch in front of what the client says next.
    pub(super) fn put_back(&mut self, buffer: &mut BytesMut) {
        if self.state == State::Due {
            self.state = State::Again;
            let mut all = BytesMut::with_capacity(self.bytes + buffer.len());
            self.frames
                .drain(..)
                .for_each(|frame| all.extend_from_slice(&frame));
            all.extend_from_slice(buffer);
            *buffer = all;
        }
    }
}
