//! What a statement is, by its first words.

use super::facts::Kind;
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::reader::{Reader, Result};

/// Reads the statement `from .. end`.
pub(super) fn statement(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    match reader.keyword(from) {
        Keyword::Select
        | Keyword::Values
        | Keyword::Table
        | Keyword::With
        | Keyword::Insert
        | Keyword::Update
        | Keyword::Delete
        | Keyword::Merge => query(reader, from, end),
        _ if reader.is(from, TokenKind::Open) => query(reader, from, end),
        _ => Err(reader.unexpected(from, end, "a statement")),
    }
}

fn query(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let query = reader.query_or_write(from, end, false)?;
    Ok(match query.verb {
        Keyword::Insert => Kind::Insert,
        Keyword::Update => Kind::Update,
        Keyword::Delete => Kind::Delete,
        Keyword::Merge => Kind::Merge,
        _ => query
            .into
            .map_or(Kind::Query, |into| Kind::SelectInto { into }),
    })
}
