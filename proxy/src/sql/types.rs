//! Names of types: where they end, and which of them are the grammar's own.

use super::facts::Name;
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::reader::{Reader, Result};

impl Reader<'_> {
    /// The type that begins at `at`: its name, if it isn't one of the grammar's own, and where it ends.
    pub(super) fn type_name(&self, at: usize, end: usize) -> Result<(Option<Name>, usize)> {
        let mut at = at;
        if self.is_keyword(at, Keyword::Setof) {
            at += 1;
        }
        if at >= end || !self.is_identifier(at) {
            return Err(self.unexpected(at, end, "a type"));
        }
        let mut name = None;
        let mut next = at + 1;
        match self.keyword(at) {
            Keyword::Double if self.is_keyword(next, Keyword::Precision) => next += 1,
            Keyword::Timestamp | Keyword::Time => {
                next = self.modifiers(next);
                let zone = if self.is_keyword(next, Keyword::With)
                    || self.is_keyword(next, Keyword::Without)
                {
                    next + 1
                } else {
                    next
                };
                if zone > next && self.are(zone, &[Keyword::Time, Keyword::Zone]) {
                    next = zone + 2;
                }
            }
            Keyword::National
                if matches!(self.keyword(next), Keyword::Char | Keyword::Character) =>
            {
                next += 1;
                next += usize::from(self.is_keyword(next, Keyword::Varying));
            }
            Keyword::Bit | Keyword::Char | Keyword::Character | Keyword::Nchar => {
                next += usize::from(self.is_keyword(next, Keyword::Varying))
            }
            Keyword::Interval => next = self.interval_fields(self.modifiers(next)),
            Keyword::Bigint
            | Keyword::Boolean
            | Keyword::Dec
            | Keyword::Decimal
            | Keyword::Float
            | Keyword::Int
            | Keyword::Integer
            | Keyword::Numeric
            | Keyword::Real
            | Keyword::Smallint
            | Keyword::Varchar => {}
            _ => {
                next = self.chain(at, end);
                name = Some(self.chain_name(at, next));
                if self.is_operator(next, b"%") && self.is_keyword(next + 1, Keyword::Type) {
                    next += 2;
                }
            }
        }
        next = self.modifiers(next);
        if self.is_keyword(next, Keyword::Array) {
            next += 1;
        }
        while next < end && self.is(next, TokenKind::OpenBracket) {
            next = self.mate(next) + 1;
        }
        Ok((name, next.min(end)))
    }

    fn modifiers(&self, at: usize) -> usize {
        if self.is(at, TokenKind::Open) {
            self.mate(at) + 1
        } else {
            at
        }
    }

    /// `YEAR TO MONTH`, `SECOND(3)`, ...
    pub(super) fn interval_fields(&self, at: usize) -> usize {
        let field = |at: usize| {
            matches!(
                self.keyword(at),
                Keyword::Year
                    | Keyword::Month
                    | Keyword::Day
                    | Keyword::Hour
                    | Keyword::Minute
                    | Keyword::Second
            )
        };
        if !field(at) {
            return at;
        }
        let mut next = at + 1;
        if self.is_keyword(next, Keyword::To) && field(next + 1) {
            next += 2;
        }
        if self.is_keyword(next - 1, Keyword::Second) {
            self.modifiers(next)
        } else {
            next
        }
    }

    /// Reads a type and notes its name.
    pub(super) fn typed(&mut self, at: usize, end: usize) -> Result<usize> {
        let (name, next) = self.type_name(at, end)?;
        self.out.types.extend(name);
        self.account(at, next);
        Ok(next)
    }
}
