//! The second witness: an independent parser looks at what the reader has read.
//!
//! Wherever `sqlparser` finds a table, the reader must know of a relation, a function or a name of a WITH clause. Where it doesn't, one
//! of the two is wrong, and the statement isn't served. What `sqlparser` can't parse (some 10 % of PostgreSQL's
//! regression tests, about 1 % of what applications send) has one witness only.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::panic::catch_unwind;

use sqlparser::ast::{Statement as Parsed, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::facts::{Kind, Statement};

/// The most bytes that are parsed. Trees of longer chains of operators could not be dropped within a thread's stack.
const LONGEST: usize = 8192;
/// The parser's own limit of nesting.
const DEEPEST: usize = 40;

/// A table that the parser sees in the statement `text` (whose facts are `facts`, with `facts.span` its place) and the reader doesn't.
pub(super) fn objects(text: &[u8], facts: &Statement) -> Option<String> {
    let reads = matches!(
        facts.kind,
        Kind::Query
            | Kind::SelectInto { .. }
            | Kind::Insert
            | Kind::Update
            | Kind::Delete
            | Kind::Merge
            | Kind::CreateTableAs { .. }
            | Kind::CreateView { .. }
    );
    if !reads || facts.span.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text.get(facts.span.clone())?).ok()?;
    // Somebody else's parser is fed with anything that a client sends: a panic in it counts as a failure to parse.
    let parse = || {
        let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEEPEST);
        parser
            .try_with_sql(text)
            .and_then(|mut parser| parser.parse_statements())
    };
    let parsed = catch_unwind(parse).ok()?.ok()?;
    let known = facts
        .relations
        .iter()
        .map(|relation| &relation.name_span)
        .chain(facts.functions.iter().map(|function| &function.span));
    let mut tables = Tables {
        lines: std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, byte)| *byte == b'\n')
                    .map(|(at, _)| at + 1),
            )
            .collect(),
        text,
        known: known
            .map(|span| (span.start - facts.span.start, span.end - facts.span.start))
            .collect(),
        ctes: facts
            .levels
            .iter()
            .flat_map(|level| &level.ctes)
            .map(String::as_str)
            .collect(),
    };
    parsed
        .iter()
        .find_map(|parsed: &Parsed| match parsed.visit(&mut tables) {
            ControlFlow::Break(table) => Some(table),
            ControlFlow::Continue(()) => None,
        })
}

struct Tables<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    known: HashSet<(usize, usize)>,
    ctes: HashSet<&'a str>,
}

impl Tables<'_> {
    /// The byte at a place that the parser gives in lines and characters, from 1.
    fn offset(&self, place: sqlparser::tokenizer::Location) -> Option<usize> {
        let line = *self
            .lines
            .get(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let rest = self.text.get(line..)?;
        Some(
            line + rest
                .char_indices()
                .nth(column)
                .map_or(rest.len(), |(at, _)| at),
        )
    }
}

impl Visitor for Tables<'_> {
    type Break = String;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        let TableFactor::Table {
            name, args: None, ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
        let Some((first, last)) = parts
            .as_deref()
            .and_then(|parts| parts.first().copied().zip(parts.last().copied()))
        else {
            return ControlFlow::Continue(());
        };
        // It takes ONLY for a table, and the table for its alias.
        let only = last.quote_style.is_none() && last.value.eq_ignore_ascii_case("only");
        let folded = if last.quote_style.is_none() {
            last.value.to_ascii_lowercase()
        } else {
            last.value.clone()
        };
        let cte = name.0.len() == 1 && self.ctes.contains(folded.as_str());
        let place = self
            .offset(first.span.start)
            .zip(self.offset(last.span.end));
        if only || cte || place.is_some_and(|place| self.known.contains(&place)) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(folded)
    }
}
