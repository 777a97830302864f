//! Query expressions: WITH, the cores of SELECT, VALUES and TABLE, set operations, and the clauses after them.

use super::expression::Place;
use super::facts::{Level, LevelId, Lock, LockStrength, LockWait, Role, Span};
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::reader::{MOST_CTES, Reader, Result, Unread, ends_core};

/// A query expression that was read.
pub(super) struct Query {
    /// The token after it.
    pub(super) end: usize,
    /// The place of INTO's name list, when it's a SELECT INTO.
    pub(super) into: Option<Span>,
    /// The keyword of the main part: SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE.
    pub(super) verb: Keyword,
    arms: Vec<LevelId>,
}

/// The word ends a clause of a SELECT (or what INSERT's source is followed by).
pub(super) fn ends_clause(keyword: Keyword) -> bool {
    ends_core(keyword)
        || matches!(
            keyword,
            Keyword::Into
                | Keyword::From
                | Keyword::Where
                | Keyword::Group
                | Keyword::Having
                | Keyword::Window
                | Keyword::On
                | Keyword::Returning
        )
}

/// The clauses after a query expression's last core.
#[derive(Default)]
struct Tail {
    order_by: Option<Span>,
    limit: Option<Span>,
    with_ties: bool,
    offset: Option<Span>,
    locks: Vec<Lock>,
}

impl Reader<'_> {
    /// Reads the query that fills `from .. end`.
    pub(super) fn query(&mut self, from: usize, end: usize) -> Result<Query> {
        let query = self.deeper(from, end, |reader| reader.query_expression(from, end, None))?;
        self.expect_end(query.end, end, "a query")?;
        Ok(query)
    }

    /// Reads the query at `from`, as far as it goes.
    pub(super) fn query_prefix(&mut self, from: usize, end: usize) -> Result<Query> {
        self.deeper(from, end, |reader| reader.query_expression(from, end, None))
    }

    /// Reads a query or a rows-changing statement that fills `from .. end`; `in_cte`: it stands in a WITH clause.
    pub(super) fn query_or_write(
        &mut self,
        from: usize,
        end: usize,
        in_cte: bool,
    ) -> Result<Query> {
        let query = self.deeper(from, end, |reader| {
            reader.query_expression(from, end, Some(in_cte))
        })?;
        self.expect_end(query.end, end, "a statement")?;
        Ok(query)
    }

    fn query_expression(&mut self, from: usize, end: usize, write: Option<bool>) -> Result<Query> {
        let (mut from, mut inner) = (from, end);
        while self.is(from, TokenKind::Open)
            && self.holds_query(from)
            && self.mate(from) + 1 == inner
        {
            from += 1;
            inner -= 1;
        }
        let outer = self.ctes.len();
        let at = if self.is_keyword(from, Keyword::With) {
            self.with(from, inner)?
        } else {
            from
        };
        let verb = self.keyword(at);
        let mut query = match (verb, write) {
            (
                Keyword::Insert | Keyword::Update | Keyword::Delete | Keyword::Merge,
                Some(in_cte),
            ) => {
                self.write(from, at, inner, in_cte)?;
                Query {
                    end: inner,
                    into: None,
                    verb,
                    arms: Vec::new(),
                }
            }
            _ => self.body(from, at, inner)?,
        };
        self.ctes.truncate(outer);
        if inner < end {
            self.expect_end(query.end, inner, "a query")?;
            query.end = end;
        }
        Ok(query)
    }

    /// Reads `WITH ..`, leaves its names in scope; where the main part begins.
    fn with(&mut self, from: usize, end: usize) -> Result<usize> {
        let recursive = self.is_keyword(from + 1, Keyword::Recursive);
        let mut at = from + 1 + usize::from(recursive);
        let mut parts = Vec::new();
        loop {
            if !self.is_column_name(at) {
                return Err(self.unexpected(at, end, "WITH"));
            }
            let name = at;
            at += 1;
            if self.is(at, TokenKind::Open) {
                at = self.mate(at) + 1;
            }
            self.account(name, at);
            at = self.expect(at, end, Keyword::As, "WITH")?;
            at += usize::from(self.is_keyword(at, Keyword::Not));
            at += usize::from(self.is_keyword(at, Keyword::Materialized));
            if !self.is(at, TokenKind::Open) {
                return Err(self.unexpected(at, end, "WITH"));
            }
            parts.push((self.name(name), at));
            at = self.search_and_cycle(self.mate(at) + 1, end)?;
            if !self.is(at, TokenKind::Comma) {
                break;
            }
            at += 1;
        }
        if self.ctes.len() + parts.len() > MOST_CTES {
            return Err(Unread("too many WITH clauses".into()));
        }
        if recursive {
            self.ctes.extend(parts.iter().map(|(name, _)| name.clone()));
        }
        for (name, open) in parts {
            self.query_or_write(open + 1, self.mate(open), true)?;
            if !recursive {
                self.ctes.push(name);
            }
        }
        Ok(at)
    }

    /// Skips SEARCH and CYCLE.
    fn search_and_cycle(&mut self, from: usize, end: usize) -> Result<usize> {
        let mut at = from;
        if self.is_keyword(at, Keyword::Search) {
            let set = self.boundary(at, end, |keyword| keyword == Keyword::Set);
            at = self.expect(set, end, Keyword::Set, "SEARCH")? + 1;
        }
        if self.is_keyword(at, Keyword::Cycle) {
            let using = self.boundary(at, end, |keyword| keyword == Keyword::Using);
            at = self.expect(using, end, Keyword::Using, "CYCLE")? + 1;
        }
        self.account(from, at);
        Ok(at)
    }

    /// Reads everything after WITH; `start` is where the query expression begins.
    fn body(&mut self, start: usize, from: usize, end: usize) -> Result<Query> {
        let mut verb = self.keyword(from);
        let mut own = Vec::new();
        let mut nested = Vec::new();
        let mut into = None;
        let mut set_operation = false;
        let mut at = from;
        loop {
            match self.keyword(at) {
                Keyword::Select if at < end => {
                    let (next, level, place) = self.core(at, end)?;
                    own.push(level);
                    into = into.or(place);
                    at = next;
                }
                Keyword::Values if at < end => {
                    own.push(self.new_level(at));
                    at = self.values(at, end)?;
                }
                Keyword::Table if at < end => {
                    own.push(self.new_level(at));
                    at = self.table(at, end)?;
                }
                _ if at < end && self.is(at, TokenKind::Open) && self.mate(at) < end => {
                    let close = self.mate(at);
                    let query = self.query(at + 1, close)?;
                    if at == from {
                        verb = query.verb;
                    }
                    into = into.or(query.into);
                    nested.extend(query.arms);
                    at = close + 1;
                }
                _ => return Err(self.unexpected(at, end, "a query")),
            }
            if at >= end
                || !matches!(
                    self.keyword(at),
                    Keyword::Union | Keyword::Intersect | Keyword::Except
                )
            {
                break;
            }
            set_operation = true;
            at += 1;
            at += usize::from(matches!(self.keyword(at), Keyword::All | Keyword::Distinct));
        }
        let outer = self.level;
        self.level = own.first().or(nested.first()).copied();
        let (end, tail) = self.tail(at, end)?;
        self.level = outer;

        let span = self.span(start, end);
        for &id in &nested {
            if let Some(level) = self.out.levels.get_mut(id) {
                level.set_operation |= set_operation;
            }
        }
        // Clauses after a single query in parentheses are that query's own.
        let arms = if set_operation {
            own.clone()
        } else {
            own.iter().chain(&nested).copied().collect()
        };
        for id in arms {
            let Some(level) = self.out.levels.get_mut(id) else {
                continue;
            };
            level.query = span.clone();
            level.set_operation |= set_operation;
            level.order_by = tail.order_by.clone().or(level.order_by.take());
            level.limit = tail.limit.clone().or(level.limit.take());
            level.with_ties |= tail.with_ties;
            level.offset = tail.offset.clone().or(level.offset.take());
            level.locks.extend(tail.locks.iter().cloned());
        }
        own.extend(nested);
        Ok(Query {
            end,
            into,
            verb,
            arms: own,
        })
    }

    /// A new level inside of the one being read.
    pub(super) fn new_level(&mut self, at: usize) -> LevelId {
        let span = self.span(at, at + 1);
        let ctes = self.ctes.iter().rev().cloned().collect();
        let level = Level {
            query: span.clone(),
            span: span.clone(),
            parent: self.level,
            list: span.end..span.end,
            ctes,
            ..Level::default()
        };
        self.out.levels.push(level);
        self.out.levels.len() - 1
    }

    /// The level being read, to be filled.
    pub(super) fn current(&mut self) -> Option<&mut Level> {
        let id = self.level?;
        self.out.levels.get_mut(id)
    }

    /// Reads `VALUES (..), (..)` as the newest level.
    fn values(&mut self, from: usize, end: usize) -> Result<usize> {
        let outer = self.level.replace(self.out.levels.len() - 1);
        let mut at = from + 1;
        loop {
            if at >= end || !self.is(at, TokenKind::Open) {
                return Err(self.unexpected(at, end, "VALUES"));
            }
            let close = self.mate(at);
            self.expressions(at + 1, close, Place::Plain)?;
            at = close + 1;
            if at >= end || !self.is(at, TokenKind::Comma) {
                break;
            }
            at += 1;
        }
        let (span, list) = (self.span(from, at), self.span(from + 1, at));
        if let Some(level) = self.current() {
            level.span = span;
            level.list = list;
        }
        self.level = outer;
        Ok(at)
    }

    /// Reads `TABLE name` as the newest level.
    fn table(&mut self, from: usize, end: usize) -> Result<usize> {
        let outer = self.level.replace(self.out.levels.len() - 1);
        let named = self.relation_name(from + 1, end, "TABLE")?;
        let at = named.end;
        let (span, name) = (self.span(from, at), named.name.name.clone());
        if !self.is_cte(&named.name) {
            let id = self.relation(&named, Role::Table);
            if let Some(relation) = self.out.relations.get_mut(id) {
                relation.span = span.clone();
            }
        }
        if let Some(level) = self.current() {
            level.span = span;
            level.range.push(name);
        }
        self.level = outer;
        Ok(at)
    }

    /// Reads one SELECT, up to a set operation or the clauses of the query expression; also the place of INTO.
    fn core(&mut self, from: usize, end: usize) -> Result<(usize, LevelId, Option<Span>)> {
        let id = self.new_level(from);
        let outer = self.level.replace(id);
        let mut distinct = false;
        let mut into = None;
        let mut at = from + 1;
        if self.is_keyword(at, Keyword::All) {
            at += 1;
        } else if self.is_keyword(at, Keyword::Distinct) {
            distinct = true;
            at += 1;
            if self.is_keyword(at, Keyword::On) && self.is(at + 1, TokenKind::Open) {
                let close = self.mate(at + 1);
                self.expressions(at + 2, close, Place::Plain)?;
                at = close + 1;
            }
        }
        let list_end = self.boundary(at, end, ends_clause);
        self.expressions(at, list_end, Place::List)?;
        let list = self.span(at, list_end);
        at = list_end;
        if at < end && self.is_keyword(at, Keyword::Into) {
            let next = self.read_into(at, end)?;
            into = Some(self.span(at, next));
            at = next;
        }
        if at < end && self.is_keyword(at, Keyword::From) {
            at = self.read_from(at + 1, end, id)?;
        }
        if at < end && self.is_keyword(at, Keyword::Where) {
            at = self.where_clause(at, end)?;
        }
        if at < end && self.are(at, &[Keyword::Group, Keyword::By]) {
            distinct = true;
            at += 2;
            at += usize::from(matches!(self.keyword(at), Keyword::All | Keyword::Distinct));
            let stop = self.boundary(at, end, ends_clause);
            self.expressions(at, stop, Place::Grouping)?;
            let span = self.span(at, stop);
            if let Some(level) = self.current() {
                level.group_by = Some(span);
            }
            at = stop;
        }
        if at < end && self.is_keyword(at, Keyword::Having) {
            distinct = true;
            let stop = self.boundary(at + 1, end, ends_clause);
            self.expressions(at + 1, stop, Place::Plain)?;
            if let Some(level) = self.current() {
                level.having = true;
            }
            at = stop;
        }
        if at < end && self.is_keyword(at, Keyword::Window) {
            distinct = true;
            at = self.window_clause(at + 1, end)?;
        }
        let span = self.span(from, at);
        if let Some(level) = self.current() {
            level.span = span;
            level.list = list;
            level.distinct = distinct;
        }
        self.level = outer;
        Ok((at, id, into))
    }

    /// Reads `INTO [TEMP|UNLOGGED] [TABLE] name`.
    fn read_into(&mut self, from: usize, end: usize) -> Result<usize> {
        let mut at = from + 1;
        at += usize::from(
            matches!(self.keyword(at), Keyword::Local | Keyword::Global)
                && matches!(self.keyword(at + 1), Keyword::Temp | Keyword::Temporary),
        );
        if matches!(
            self.keyword(at),
            Keyword::Temp | Keyword::Temporary | Keyword::Unlogged
        ) && (self.is_identifier(at + 1))
        {
            at += 1;
        }
        at += usize::from(self.is_keyword(at, Keyword::Table));
        let named = self.relation_name(at, end, "INTO")?;
        self.relation(&named, Role::New);
        Ok(named.end)
    }

    /// Reads `WHERE ..` into the current level.
    pub(super) fn where_clause(&mut self, from: usize, end: usize) -> Result<usize> {
        let stop = self.boundary(from + 1, end, ends_clause);
        let condition = self.condition(from + 1, stop, "WHERE")?;
        if let Some(level) = self.current() {
            level.condition = Some(condition);
        }
        Ok(stop)
    }

    fn window_clause(&mut self, from: usize, end: usize) -> Result<usize> {
        let mut at = from;
        loop {
            if !self.is_column_name(at) {
                return Err(self.unexpected(at, end, "WINDOW"));
            }
            self.account(at, at + 1);
            at = self.expect(at + 1, end, Keyword::As, "WINDOW")?;
            if at >= end || !self.is(at, TokenKind::Open) {
                return Err(self.unexpected(at, end, "WINDOW"));
            }
            let close = self.mate(at);
            self.window_definition(at + 1, close)?;
            at = close + 1;
            if at >= end || !self.is(at, TokenKind::Comma) {
                return Ok(at);
            }
            at += 1;
        }
    }

    /// Reads ORDER BY, LIMIT, OFFSET, FETCH and locking clauses.
    fn tail(&mut self, from: usize, end: usize) -> Result<(usize, Tail)> {
        let mut tail = Tail::default();
        let mut at = from;
        if at < end && self.are(at, &[Keyword::Order, Keyword::By]) {
            let stop = self.boundary(at + 2, end, ends_clause);
            self.expressions(at + 2, stop, Place::Plain)?;
            tail.order_by = Some(self.span(at + 2, stop));
            at = stop;
        }
        while at < end {
            let stop = self.boundary(at + 1, end, ends_clause);
            match self.keyword(at) {
                Keyword::Limit => {
                    if !(self.is_keyword(at + 1, Keyword::All) && stop == at + 2) {
                        self.expressions(at + 1, stop, Place::Plain)?;
                        tail.limit = Some(self.span(at + 1, stop));
                    }
                    at = stop;
                }
                Keyword::Offset => {
                    let unit = usize::from(
                        stop > at + 2
                            && matches!(self.keyword(stop - 1), Keyword::Row | Keyword::Rows),
                    );
                    self.expressions(at + 1, stop - unit, Place::Plain)?;
                    tail.offset = Some(self.span(at + 1, stop - unit));
                    at = stop;
                }
                Keyword::Fetch
                    if matches!(self.keyword(at + 1), Keyword::First | Keyword::Next) =>
                {
                    let unit = self.boundary(at + 2, end, |keyword| {
                        matches!(keyword, Keyword::Row | Keyword::Rows)
                    });
                    self.expressions(at + 2, unit, Place::Plain)?;
                    tail.limit = Some(self.span(at + 2, unit));
                    if self.are(unit + 1, &[Keyword::With, Keyword::Ties]) {
                        tail.with_ties = true;
                        at = unit + 3;
                    } else {
                        at = self.expect(unit + 1, end, Keyword::Only, "FETCH")?;
                    }
                }
                Keyword::For if self.are(at + 1, &[Keyword::Read, Keyword::Only]) => at += 3,
                Keyword::For => {
                    let (next, lock) = self.lock(at, end)?;
                    tail.locks.push(lock);
                    at = next;
                }
                _ => break,
            }
        }
        Ok((at, tail))
    }

    fn lock(&mut self, from: usize, end: usize) -> Result<(usize, Lock)> {
        let forms: [(&[Keyword], LockStrength); 4] = [
            (&[Keyword::Update], LockStrength::Update),
            (
                &[Keyword::No, Keyword::Key, Keyword::Update],
                LockStrength::NoKeyUpdate,
            ),
            (&[Keyword::Share], LockStrength::Share),
            (&[Keyword::Key, Keyword::Share], LockStrength::KeyShare),
        ];
        let Some((words, strength)) = forms
            .into_iter()
            .find(|(words, _)| self.are(from + 1, words))
        else {
            return Err(self.unexpected(from + 1, end, "FOR"));
        };
        let mut at = from + 1 + words.len();
        let mut of = Vec::new();
        if self.is_keyword(at, Keyword::Of) {
            loop {
                if !self.is_column_name(at + 1) {
                    return Err(self.unexpected(at + 1, end, "FOR UPDATE OF"));
                }
                let next = self.chain(at + 1, end);
                of.push(self.name(next - 1));
                self.account(at + 1, next);
                at = next;
                if at >= end || !self.is(at, TokenKind::Comma) {
                    break;
                }
            }
        }
        let mut wait = LockWait::Block;
        if self.is_keyword(at, Keyword::Nowait) {
            wait = LockWait::Error;
            at += 1;
        } else if self.are(at, &[Keyword::Skip, Keyword::Locked]) {
            wait = LockWait::Skip;
            at += 2;
        }
        Ok((
            at,
            Lock {
                span: self.span(from, at),
                strength,
                of,
                wait,
            },
        ))
    }
}
