//! Which statements are prepared on a session: the last ones used, up to a number.

use std::collections::HashMap;
use std::sync::Arc;

/// So many statements are kept prepared on a session.
const LIMIT: usize = 64;

/// The statements prepared on a session, by text and parameter types. The whole text counts, not a hash of it: two statements are never mistaken for each other.
#[derive(Debug, Default)]
pub struct Statements {
    known: HashMap<Key, Use>,
    /// Counts uses and gives names.
    clock: u64,
}

/// Text and parameter types.
type Key = (Arc<str>, Box<[u32]>);

#[derive(Debug)]
struct Use {
    /// What its name is made of.
    number: u64,
    /// When it was used last, by the clock.
    last: u64,
}

/// How a statement is had on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// It's prepared under this name.
    Known(String),
    /// It has to be prepared under this name; close `evicted` first, if any.
    New {
        /// The new name.
        name: String,
        /// The name of the statement that made room.
        evicted: Option<String>,
    },
}

impl Statements {
    /// Looks for the statement; if it's new, it counts as prepared from now on. When preparing it fails, say so by [`Statements::forget`].
    pub fn prepare(&mut self, text: &Arc<str>, types: &[u32]) -> Prepared {
        self.clock += 1;
        let key = (Arc::clone(text), types.into());
        if let Some(known) = self.known.get_mut(&key) {
            known.last = self.clock;
            return Prepared::Known(name(known.number));
        }
        let oldest = (self.known.len() >= LIMIT)
            .then(|| self.known.iter().min_by_key(|(_, known)| known.last))
            .flatten()
            .map(|(key, _)| key.clone());
        let evicted = oldest
            .and_then(|key| self.known.remove(&key))
            .map(|known| name(known.number));
        let (number, last) = (self.clock, self.clock);
        self.known.insert(key, Use { number, last });
        Prepared::New {
            name: name(self.clock),
            evicted,
        }
    }

    /// The statement isn't prepared (any more).
    pub fn forget(&mut self, text: &Arc<str>, types: &[u32]) {
        self.known.remove(&(Arc::clone(text), types.into()));
    }

    /// None is prepared any more (DISCARD ALL, DEALLOCATE ALL).
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// How many are prepared.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is prepared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn name(number: u64) -> String {
    format!("previewpg_{number}")
}
