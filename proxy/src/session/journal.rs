//! What the log is told of statements: where each ran, for how long, and a fingerprint by which its like is found again. Never their text.
//!
//! Nothing is kept or hashed unless somebody listens (level DEBUG).

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Instant;

use tracing::Level;

use crate::admin::metrics::Placement;

/// So many statements are followed at once; those beyond are left out.
const MOST: usize = 1024;

/// The statements sent whose outcome isn't known yet.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    begun: VecDeque<Begun>,
    /// When a read was handed to production.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Begun {
    placement: Placement,
    fingerprint: u64,
    since: Instant,
}

impl Journal {
    /// A statement was sent to fresh.
    pub(crate) fn begin(&mut self, placement: Placement, text: &str) {
        if tracing::enabled!(Level::DEBUG) && self.begun.len() < MOST {
            self.begun.push_back(Begun {
                placement,
                fingerprint: fingerprint(text),
                since: Instant::now(),
            });
        }
    }

    /// A read was handed to production.
    pub(crate) fn ask(&mut self) {
        if tracing::enabled!(Level::DEBUG) {
            self.asked = Some(Instant::now());
        }
    }

    /// Production has answered it.
    pub(crate) fn read(&mut self, text: &str) {
        if let Some(since) = self.asked.take() {
            Begun {
                placement: Placement::Production,
                fingerprint: fingerprint(text),
                since,
            }
            .tell(false);
        }
    }

    /// The statement sent first has ended.
    pub(crate) fn end(&mut self) {
        if let Some(begun) = self.begun.pop_front() {
            begun.tell(false);
        }
    }

    /// Nothing is under way any more. `failed`: what hasn't ended met an error.
    pub(crate) fn settle(&mut self, failed: bool) {
        for begun in self.begun.drain(..) {
            begun.tell(failed);
        }
    }
}

impl Begun {
    fn tell(&self, failed: bool) {
        tracing::debug!(
            placement = ?self.placement,
            fingerprint = format_args!("{:016x}", self.fingerprint),
            duration = ?self.since.elapsed(),
            failed,
            "a statement ran"
        );
    }
}

/// A hash of a statement's shape: what stands between quotes, and numbers, don't count, so that no value can be guessed from it and
/// statements that differ in values only have the same.
fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut bytes = text.trim().bytes().peekable();
    let mut in_word = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => {
                while bytes.next().is_some_and(|byte| byte != b'\'') {}
                hasher.write_u8(b'?');
            }
            b'0'..=b'9' if !in_word => {
                while bytes
                    .next_if(|byte| byte.is_ascii_digit() || *byte == b'.')
                    .is_some()
                {}
                hasher.write_u8(b'?');
            }
            _ => hasher.write_u8(byte),
        }
        in_word = byte.is_ascii_alphabetic() || byte == b'_' || (in_word && byte.is_ascii_digit());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_shape() {
        let same = [
            "SELECT * FROM t1 WHERE a = 'x' AND b = 17",
            "SELECT * FROM t1 WHERE a = 'secret' AND b = 4.5",
            " SELECT * FROM t1 WHERE a = '' AND b = 1 ",
        ];
        for text in same {
            assert_eq!(fingerprint(text), fingerprint(same[0]), "{text}");
        }
        for text in [
            "SELECT * FROM t2 WHERE a = 'x' AND b = 17",
            "SELECT * FROM t1 WHERE b = 'x' AND b = 17",
            "SELECT * FROM t1",
        ] {
            assert_ne!(fingerprint(text), fingerprint(same[0]), "{text}");
        }
        fingerprint("'unfinished");
    }
}
