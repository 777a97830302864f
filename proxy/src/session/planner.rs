//! Reading a client's texts and planning them: the session's side of [`crate::sql`] and [`crate::rewrite`].
//!
//! Readings are kept by text, for the whole process: clients say the same things again and again. Plans aren't, for they depend on the
//! session's names; a prepared statement keeps its own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;

use super::prepared;
use crate::rewrite::plan::Plan;
use crate::rewrite::{self, Context};
use crate::sql::facts::{self, Kind, Script, Statement};

/// Texts beyond this aren't kept, in bytes: they are bulk data, hardly said twice.
const KEPT_TEXT: usize = 8 << 10;
/// How many readings are kept.
const KEPT: usize = 2048;

/// What a session asks of the pure parts. One for the whole process.
pub trait Planner: Send + Sync {
    /// Reads a query string, with `standard_conforming_strings` as the session has it.
    fn read(&self, text: &str, standard_strings: bool) -> Script;
    /// Plans one of its statements.
    fn plan(&self, text: &str, statement: &Statement, context: Context<'_>) -> Plan;
}

/// The planner of [`crate::rewrite`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewriter;

impl Planner for Rewriter {
    fn read(&self, text: &str, standard_strings: bool) -> Script {
        facts::read(text, standard_strings)
    }

    fn plan(&self, text: &str, statement: &Statement, context: Context<'_>) -> Plan {
        rewrite::plan(text, statement, context)
    }
}

/// How a client's bytes are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// UTF-8, and SQL_ASCII, which names none.
    Utf8,
    /// LATIN1: a byte is the code point.
    Latin1,
    /// ASCII bytes are always ASCII characters.
    AsciiSafe,
    /// ASCII bytes may be parts of other characters: a text's structure can't be told from its bytes.
    Unsafe,
}

impl Encoding {
    /// Of a value of `client_encoding`, as ParameterStatus reports it. PostgreSQL documentation, "Supported Character Sets".
    pub(crate) fn named(name: &[u8]) -> Self {
        match name {
            b"UTF8" | b"SQL_ASCII" => Self::Utf8,
            b"LATIN1" => Self::Latin1,
            b"SJIS" | b"SHIFT_JIS_2004" | b"BIG5" | b"GBK" | b"UHC" | b"JOHAB" | b"GB18030" => {
                Self::Unsafe
            }
            _ => Self::AsciiSafe,
        }
    }
}

/// A query string, read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The text as it was read: see `widened`.
    pub(crate) text: String,
    /// Its statements; spans are of `text`.
    pub(crate) script: Script,
    /// `text` has one character for each byte of what the client sent.
    widened: bool,
    /// A relation's name in it can't be compared with the catalog's: its characters aren't known.
    pub(crate) foreign_names: bool,
}

impl Reading {
    fn new(
        bytes: &[u8],
        encoding: Encoding,
        standard_strings: bool,
        planner: &dyn Planner,
    ) -> Self {
        let (text, widened) = match (encoding, std::str::from_utf8(bytes)) {
            (Encoding::Utf8, Ok(text)) => (text.to_owned(), false),
            (_, Ok(text)) if text.is_ascii() => (text.to_owned(), false),
            _ => (bytes.iter().map(|byte| char::from(*byte)).collect(), true),
        };
        let script = planner.read(&text, standard_strings);
        let foreign = |statement: &Statement| {
            matches!(statement.kind, Kind::Unreadable { .. })
                || statement.relations.iter().any(|relation| {
                    !relation.name.name.is_ascii()
                        || relation
                            .name
                            .schema
                            .as_ref()
                            .is_some_and(|schema| !schema.is_ascii())
                })
        };
        let foreign_names =
            widened && encoding != Encoding::Latin1 && script.statements.iter().any(foreign);
        Self {
            text,
            script,
            widened,
            foreign_names,
        }
    }

    /// A text made from this one, in the client's encoding; `None`: it has characters that the encoding (as far as we know it) lacks.
    pub(crate) fn encode(&self, text: &str, encoding: Encoding) -> Option<Bytes> {
        if text.is_ascii() || (encoding == Encoding::Utf8 && !self.widened) {
            return Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).ok())
            .collect::<Option<Vec<u8>>>()
            .map(Bytes::from)
    }

    /// The client's own text of one statement.
    pub(crate) fn statement(&self, statement: &Statement) -> &str {
        self.text.get(statement.span.clone()).unwrap_or(&self.text)
    }

    /// How many characters (as PostgreSQL counts them in error positions) stand before a statement.
    pub(crate) fn offset(&self, statement: &Statement) -> usize {
        self.text
            .get(..statement.span.start)
            .map_or(0, |before| before.chars().count())
    }
}

/// Whether planning this needs to know what names mean.
pub(crate) fn needs_names(statement: &Statement) -> bool {
    match statement.kind {
        Kind::Transaction(_)
        | Kind::Set(_)
        | Kind::Show
        | Kind::Session
        | Kind::Deallocate(_)
        | Kind::Cursor
        | Kind::Discard(_) => false,
        Kind::Unreadable { .. } | Kind::Do | Kind::Call => true,
        // What it runs is looked at again.
        _ if prepared::executed(&statement.kind).is_some() => true,
        _ => {
            !(statement.relations.is_empty()
                && statement.functions.is_empty()
                && statement.types.is_empty()
                && statement.words.is_empty())
        }
    }
}

/// The process's readings.
pub(crate) struct Readings {
    planner: Arc<dyn Planner>,
    kept: Cache<(Bytes, Encoding, bool), Arc<Reading>>,
    /// Rewritten statements that gave their originals' columns, by hash.
    same_columns: Cache<u64, ()>,
    /// Those that didn't, and the catalog's version then.
    other_columns: Cache<u64, u64>,
    hasher: RandomState,
}

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

impl Readings {
    pub(crate) fn new(planner: Arc<dyn Planner>) -> Self {
        Self {
            planner,
            kept: Cache::new(KEPT),
            same_columns: Cache::new(KEPT),
            other_columns: Cache::new(KEPT),
            hasher: RandomState::new(),
        }
    }

    /// Reads a text, or remembers it.
    pub(crate) fn read(
        &self,
        text: &[u8],
        encoding: Encoding,
        standard_strings: bool,
    ) -> Arc<Reading> {
        let read = || {
            Arc::new(Reading::new(
                text,
                encoding,
                standard_strings,
                self.planner.as_ref(),
            ))
        };
        if text.len() > KEPT_TEXT {
            return read();
        }
        let key = (Bytes::copy_from_slice(text), encoding, standard_strings);
        if let Some(reading) = self.kept.get(&key) {
            return reading;
        }
        let reading = read();
        self.kept.insert(key, Arc::clone(&reading));
        reading
    }

    /// Whether what runs in an original's place gave the original's columns before, so that they needn't be compared before it runs.
    pub(crate) fn has_same_columns(&self, original: &[u8], text: &[u8], types: &[u32]) -> bool {
        let key = self.hasher.hash_one((original, text, types));
        self.same_columns.get(&key).is_some()
    }

    /// It gives the original's columns.
    pub(crate) fn same_columns(&self, original: &[u8], text: &[u8], types: &[u32]) {
        let key = self.hasher.hash_one((original, text, types));
        self.same_columns.insert(key, ());
    }

    /// Whether it was found to give other columns with this version of the catalog, read for the comparison.
    pub(crate) fn has_other_columns(
        &self,
        original: &[u8],
        text: &[u8],
        types: &[u32],
        version: u64,
    ) -> bool {
        let key = self.hasher.hash_one((original, text, types));
        self.other_columns.get(&key) == Some(version)
    }

    /// It gives other columns.
    pub(crate) fn other_columns(&self, original: &[u8], text: &[u8], types: &[u32], version: u64) {
        let key = self.hasher.hash_one((original, text, types));
        self.other_columns.insert(key, version);
    }

    /// Plans one statement.
    pub(crate) fn plan(
        &self,
        reading: &Reading,
        statement: &Statement,
        context: Context<'_>,
    ) -> Plan {
        self.planner.plan(&reading.text, statement, context)
    }
}
