//! Which statements are prepared on a session: the last ones used, up to a number.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

/// So many statements are kept prepared on a session.
const LIMIT: usize = 64;

/// The statements prepared on a session, by text and parameter types. The whole text counts, not a hash of it: two statements are never mistaken for each other.
#[derive(Debug, Default)]
pub struct Statements {
    known: HashMap<Key, Use>,
    /// Names that are to be closed.
    closing: Vec<String>,
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
    /// What its columns were found to agree with.
    columns: Option<Bytes>,
}

/// How a statement is had on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// It's prepared.
    Known {
        /// Its name.
        name: String,
        /// What its columns were found to agree with, see [`Statements::agree`].
        columns: Option<Bytes>,
    },
    /// It has to be prepared under this name; close those of `evicted` first.
    New {
        /// The new name.
        name: String,
        /// The names of statements that made room or can't run any more.
        evicted: Vec<String>,
    },
}

impl Statements {
    /// Looks for the statement; if it's new, it counts as prepared from now on. When preparing it fails, say so by [`Statements::forget`].
    pub fn prepare(&mut self, text: &Arc<str>, types: &[u32]) -> Prepared {
        self.clock += 1;
        let key = (Arc::clone(text), types.into());
        if let Some(known) = self.known.get_mut(&key) {
            known.last = self.clock;
            return Prepared::Known {
                name: name(known.number),
                columns: known.columns.clone(),
            };
        }
        let oldest = (self.known.len() >= LIMIT)
            .then(|| self.known.iter().min_by_key(|(_, known)| known.last))
            .flatten()
            .map(|(key, _)| key.clone());
        let oldest = oldest.and_then(|key| self.known.remove(&key));
        self.closing.extend(oldest.map(|known| name(known.number)));
        let (number, last) = (self.clock, self.clock);
        let new = Use {
            number,
            last,
            columns: None,
        };
        self.known.insert(key, new);
        Prepared::New {
            name: name(self.clock),
            evicted: std::mem::take(&mut self.closing),
        }
    }

    /// The columns of a statement that is prepared were compared with `columns` (the body of a RowDescription) and agree.
    /// PostgreSQL fixes a prepared statement's columns when it's parsed: an execution that would give others fails instead, see
    /// [`Statements::outdated`]. So they agree for as long as it's prepared.
    pub fn agree(&mut self, text: &Arc<str>, types: &[u32], columns: &Bytes) {
        if let Some(known) = self.known.get_mut(&(Arc::clone(text), types.into())) {
            known.columns = Some(columns.clone());
        }
    }

    /// A statement that is prepared can't run any more ("cached plan must not change result type"): it has to be prepared anew.
    pub fn outdated(&mut self, text: &Arc<str>, types: &[u32]) {
        let known = self.known.remove(&(Arc::clone(text), types.into()));
        self.closing.extend(known.map(|known| name(known.number)));
    }

    /// The statement isn't prepared (any more).
    pub fn forget(&mut self, text: &Arc<str>, types: &[u32]) {
        self.known.remove(&(Arc::clone(text), types.into()));
    }

    /// None is prepared any more (DISCARD ALL, DEALLOCATE ALL).
    pub fn clear(&mut self) {
        self.known.clear();
        self.closing.clear();
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
