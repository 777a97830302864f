//! Conditions, taken apart where AND joins them at the top.

use super::expression::{Place, is_keyword_function};
use super::facts::{Condition, Span};
use super::keyword::{Category, Keyword};
use super::lexer::TokenKind;
use super::reader::{Reader, Result};

impl Reader<'_> {
    /// Reads the condition `from .. end`.
    pub(super) fn condition(&mut self, from: usize, end: usize, place: &str) -> Result<Condition> {
        if from >= end {
            return Err(self.unexpected(from, end, place));
        }
        self.expressions(from, end, Place::Plain)?;
        Ok(Condition {
            span: self.span(from, end),
            conjuncts: self.conjuncts(from, end),
        })
    }

    /// The parts of a condition that AND joins at its top.
    fn conjuncts(&self, from: usize, end: usize) -> Vec<Span> {
        let (mut from, mut end) = (from, end);
        while self.is(from, TokenKind::Open)
            && self.mate(from) + 1 == end
            && !self.holds_query(from)
        {
            from += 1;
            end -= 1;
        }
        let mut parts = Vec::new();
        let mut start = from;
        let mut cases = 0_usize;
        let mut between = 0_usize;
        let mut at = from;
        while at < end {
            match self.kind(at) {
                Some(TokenKind::Open | TokenKind::OpenBracket) => at = self.mate(at),
                Some(TokenKind::Word) => match self.keyword(at) {
                    Keyword::Case => cases += 1,
                    Keyword::End => cases = cases.saturating_sub(1),
                    // As an operator it has an operand before it; otherwise it names a column.
                    Keyword::Between if cases == 0 && at > start && self.ends_operand(at - 1) => {
                        between += 1
                    }
                    Keyword::And if cases == 0 && between > 0 => between -= 1,
                    Keyword::And if cases == 0 => {
                        parts.push(self.span(start, at));
                        start = at + 1;
                    }
                    Keyword::Or if cases == 0 => return vec![self.span(from, end)],
                    _ => {}
                },
                _ => {}
            }
            at += 1;
        }
        parts.push(self.span(start, end));
        parts
    }

    /// The token can end an operand (or is the NOT of `NOT BETWEEN`).
    fn ends_operand(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(TokenKind::Word) => match self.keyword(at) {
                Keyword::Not => at > 0 && self.ends_operand(at - 1),
                Keyword::End
                | Keyword::Null
                | Keyword::True
                | Keyword::False
                | Keyword::Default
                | Keyword::Isnull
                | Keyword::Notnull => true,
                keyword if is_keyword_function(keyword) => true,
                keyword => keyword.category() != Category::Reserved,
            },
            Some(
                TokenKind::Operator | TokenKind::Open | TokenKind::OpenBracket | TokenKind::Comma,
            )
            | None => false,
            Some(_) => true,
        }
    }
}
