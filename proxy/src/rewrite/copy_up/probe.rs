//! The search for the rows of production that a part of a statement may touch: the query, and what of the statement can be used in it.

use super::super::plan::{Before, Refusal};
use super::super::read::Locked;
use super::{Planner, whole};
use crate::catalog::model::{Lower, Relation};
use crate::overlay::merged::{KeyValue, unclaimed, unclaimed_key};
use crate::overlay::names::quote_identifier;
use crate::sql::facts::{Level, Span, Write};
use crate::sql::lexer::lex;
use crate::sql::patch::Edits;
use crate::sql::words::highest_parameter;

/// The search for the rows of one lower relation that a part of a statement may touch.
pub(super) struct Probe<'p, 'a> {
    pub(super) planner: &'p Planner<'a>,
    pub(super) relation: &'a Relation,
    pub(super) lower: &'a Lower,
    pub(super) alias: &'a str,
    /// In place of lower: a query for a view's rows, with lower's row in `previewpg_row`.
    pub(super) through: Option<String>,
    pub(super) edits: Edits,
}

/// The parts of a search for rows.
#[derive(Default)]
pub(super) struct Search {
    /// It may find others once those that it finds are copied up.
    pub(super) unsteady: bool,
    /// A WITH list, with its keyword.
    pub(super) with: String,
    /// FROM items besides lower, or in place of it.
    pub(super) from: From,
    /// Conditions, to be joined by AND.
    pub(super) conditions: Vec<String>,
    /// ORDER BY and LIMIT.
    pub(super) tail: Option<String>,
}

/// Where a search looks.
#[derive(Default)]
pub(super) enum From {
    /// In lower alone.
    #[default]
    Lower,
    /// In lower and other items.
    With(String),
    /// In items one of which is lower already.
    Instead(String),
}

impl<'p, 'a> Probe<'p, 'a> {
    pub(super) fn new(
        planner: &'p Planner<'a>,
        relation: &'a Relation,
        lower: &'a Lower,
        alias: &'a str,
        locked: Locked,
    ) -> Result<Self, Refusal> {
        let mut edits = Edits::default();
        planner.merge_reads(&mut edits, locked)?;
        planner.hide_ours(&mut edits)?;
        Ok(Self {
            planner,
            relation,
            lower,
            alias,
            through: None,
            edits,
        })
    }

    /// The rows that an UPDATE or DELETE may touch.
    pub(super) fn condition(&self, write: &Write) -> Result<Vec<Before>, Refusal> {
        let Some(level) = self.planner.level(write.level) else {
            return Ok(vec![self.whole()]);
        };
        let mut search = Search::default();
        let with = self.with(write, level)?;
        if let Some(from) = &level.from {
            self.check_skip_locked(from)?;
            if !self.is_usable(from, level, with.as_ref()) {
                return Ok(vec![self.whole()]);
            }
            search.unsteady |= self.is_unsteady(from);
            search.from = From::With(self.render(from)?);
        }
        for conjunct in level
            .condition
            .iter()
            .flat_map(|condition| &condition.conjuncts)
        {
            self.check_skip_locked(conjunct)?;
            if self.is_usable(conjunct, level, with.as_ref()) {
                search.unsteady |= self.is_unsteady(conjunct);
                search.conditions.push(self.render(conjunct)?);
            }
        }
        search.unsteady |= write
            .with
            .as_ref()
            .is_some_and(|with| self.is_unsteady(with));
        search.with = with.unwrap_or_default();
        if search.conditions.is_empty() && self.through.is_none() {
            return Ok(vec![self.whole()]);
        }
        self.rows(search)
    }

    pub(super) fn is_unsteady(&self, span: &Span) -> bool {
        self.planner.is_unsteady(span, self.relation.oid)
    }

    /// Whether a part of the statement gives the same when it's evaluated in front of it. `with`: the WITH list that can be had there.
    pub(super) fn is_usable(&self, span: &Span, level: &Level, with: Option<&String>) -> bool {
        !self.planner.is_volatile(span)
            && (with.is_some() || !self.planner.mentions(span, &level.ctes))
    }

    /// The rows that a MERGE may touch.
    pub(super) fn merge(
        &self,
        write: &Write,
        source: &Span,
        on: &Span,
        by_source: bool,
    ) -> Result<Vec<Before>, Refusal> {
        self.check_skip_locked(source)?;
        let Some(level) = self.planner.level(write.level) else {
            return Ok(vec![self.whole()]);
        };
        let with = self.with(write, level)?;
        let usable = |span| self.is_usable(span, level, with.as_ref());
        if by_source || !usable(source) || !usable(on) {
            return Ok(vec![self.whole()]);
        }
        let parts = [source, on].into_iter().chain(&write.with);
        self.rows(Search {
            unsteady: parts.into_iter().any(|span| self.is_unsteady(span)),
            from: From::With(self.render(source)?),
            conditions: vec![self.render(on)?],
            with: with.unwrap_or_default(),
            tail: None,
        })
    }

    /// The statement's own WITH list, where nothing prevents that it's evaluated in front of the statement as well: `None` if it
    /// changes rows, isn't stable, or names of an outer WITH list are visible.
    pub(super) fn with(&self, write: &Write, level: &Level) -> Result<Option<String>, Refusal> {
        let Some(span) = &write.with else {
            return Ok(level.ctes.is_empty().then(String::new));
        };
        let modifies = self
            .planner
            .statement
            .writes
            .iter()
            .any(|other| span.start <= other.span.start && other.span.end <= span.end);
        if modifies || write.in_cte || self.planner.is_volatile(span) {
            return Ok(None);
        }
        self.check_skip_locked(span)?;
        self.render(span)
            .map(|with| Some(with.trim_end().to_owned()))
    }

    pub(super) fn whole(&self) -> Before {
        whole(self.relation.oid, false)
    }

    pub(super) fn rows(&self, search: Search) -> Result<Vec<Before>, Refusal> {
        let Some(copy_up) = &self.lower.copy_up else {
            return Ok(vec![self.whole()]);
        };
        let unsteady = search.unsteady;
        let rows = self.search(search);
        let copy = Before::of(call(copy_up, &rows));
        if !unsteady {
            return Ok(vec![copy]);
        }
        let settle = self.settle(&rows);
        Ok(vec![copy.clone(), copy, settle])
    }

    /// After a search that may find other rows each time: the whole table, if it still finds some.
    pub(super) fn settle(&self, rows: &str) -> Before {
        Before::of(format!(
            "SELECT previewpg.settle({}::oid, (SELECT pg_catalog.count(*) FROM ({rows}) AS previewpg_s))",
            self.relation.oid
        ))
    }

    /// A query for lower's unclaimed rows that the search finds.
    pub(super) fn search(&self, search: Search) -> String {
        let alias = self.quoted_alias();
        let view = &self.lower.view;
        let (source, row, unclaimed) = match &self.through {
            Some(rows) => (
                format!("({rows}) AS {alias}"),
                format!("{alias}.previewpg_row"),
                "true".to_owned(),
            ),
            None => (
                format!("{view} AS {alias}"),
                format!("ROW({alias}.*)::{view}"),
                unclaimed(self.lower, self.alias),
            ),
        };
        let unclaimed = match self.key_gate(&search) {
            Some(gate) => format!("{unclaimed} AND {gate}"),
            None => unclaimed,
        };
        let from = match &search.from {
            From::Lower => source,
            From::With(others) => format!("{source}, {others}"),
            From::Instead(items) => items.clone(),
        };
        // The nullable side of an outer join has no row there.
        let there: String = match (&search.from, self.lower.key.first()) {
            (From::Instead(_), Some(key)) => {
                format!(" AND {alias}.{} IS NOT NULL", quote_identifier(key))
            }
            _ => String::new(),
        };
        let conditions: String = search
            .conditions
            .iter()
            .map(|condition| format!(" AND ({condition})"))
            .collect();
        // One more than the limit allows, so that the copy-up can tell that there are too many.
        let limit = self
            .planner
            .context
            .catalog
            .max_copy_up_rows
            .saturating_add(1);
        let tail = search.tail.unwrap_or_else(|| format!("LIMIT {limit}"));
        let with = if search.with.is_empty() {
            String::new()
        } else {
            format!("{} ", search.with.trim_end())
        };
        format!(
            "{with}SELECT {row} AS previewpg_r FROM {from} WHERE {unclaimed}{there}{conditions} {tail}"
        )
    }

    /// For a search by key: that it isn't claimed. An operator of the user's may mean anything.
    fn key_gate(&self, search: &Search) -> Option<String> {
        if self.through.is_some()
            || !matches!(search.from, From::Lower)
            || self.planner.context.catalog.user_operators
        {
            return None;
        }
        let values: Vec<KeyValue<'_>> = search
            .conditions
            .iter()
            .filter_map(|condition| self.equality(condition))
            .collect();
        unclaimed_key(self.lower, &values)
    }

    /// The column and the value of `column = value`, where the value is a parameter or a plain literal.
    fn equality<'c>(&self, condition: &'c str) -> Option<KeyValue<'c>> {
        let (column, value) = condition.split_once('=')?;
        let value = value.trim();
        let is_literal = match value.as_bytes() {
            [b'\'', inside @ .., b'\''] => !inside.contains(&b'\'') && !inside.contains(&b'\\'),
            [b'$', digits @ ..] | digits => {
                (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
            }
        };
        let mut names = column.trim().split('.').map(plain_name);
        let column = match (names.next()??, names.next(), names.next()) {
            (column, None, _) => column,
            (alias, Some(column), None) if alias == self.alias => column?,
            _ => return None,
        };
        let type_oid = self.relation.column(&column)?.type_oid;
        is_literal.then_some(KeyValue {
            column,
            type_oid,
            value,
        })
    }

    pub(super) fn render(&self, span: &Span) -> Result<String, Refusal> {
        self.planner.render(span, &self.edits)
    }

    pub(super) fn quoted_alias(&self) -> String {
        quote_identifier(self.alias)
    }
}

/// A name as it is compared, of one that needs no further thought.
fn plain_name(text: &str) -> Option<String> {
    if let Some(inside) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        return (!inside.contains('"')).then(|| inside.to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    (!text.is_empty()
        && text.chars().all(is_plain)
        && !text.starts_with(|c: char| c.is_ascii_digit()))
    .then(|| text.to_ascii_lowercase())
}

/// Calls the copy-up function for the rows of a query, unless there are none: each call costs the session its cached plans.
pub(super) fn call(copy_up: &str, rows: &str) -> String {
    format!(
        "SELECT {copy_up}(pg_catalog.array_agg(previewpg_r)) FROM ({rows}) AS previewpg_s HAVING pg_catalog.count(*) > 0"
    )
}

/// The highest `$n` of a text of ours.
pub(super) fn parameters(text: &str) -> u16 {
    highest_parameter(text.as_bytes(), &lex(text.as_bytes(), true))
}
