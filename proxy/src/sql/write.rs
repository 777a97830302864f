//! INSERT, UPDATE, DELETE and MERGE.

use super::expression::Place;
use super::facts::{
    Conflict, ConflictTarget, Cursor, InsertSource, LevelId, Role, Span, Write, WriteKind,
};
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::query::ends_clause;
use super::reader::{Reader, Result};

/// A write that is being read.
struct Begun {
    write: usize,
    level: LevelId,
    outer: Option<LevelId>,
    /// The token after the target and its alias.
    at: usize,
}

fn ends_set(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::From | Keyword::Where | Keyword::Returning)
}

impl Reader<'_> {
    /// Reads the rows-changing statement `from .. end`, whose WITH clause (if any) begins at `start`.
    pub(super) fn write(
        &mut self,
        start: usize,
        from: usize,
        end: usize,
        in_cte: bool,
    ) -> Result<()> {
        let with = (start < from).then(|| self.span(start, from));
        let span = self.span(from, end);
        let id = self.new_level(from);
        let query = self.span(start, end);
        if let Some(level) = self.out.levels.get_mut(id) {
            level.query = query;
            level.span = span.clone();
        }
        match self.keyword(from) {
            Keyword::Insert => self.insert(from, end, id, with, in_cte),
            Keyword::Update => self.update(from, end, id, with, in_cte),
            Keyword::Delete => self.delete(from, end, id, with, in_cte),
            _ => self.merge(from, end, id, with, in_cte),
        }
    }

    /// Reads the target at `at`, and begins the write.
    fn target(
        &mut self,
        from: usize,
        at: usize,
        end: usize,
        id: LevelId,
        with: Option<Span>,
        in_cte: bool,
    ) -> Result<Begun> {
        let outer = self.level.replace(id);
        let insert = self.is_keyword(from, Keyword::Insert);
        let named = self.relation_name(at, end, "the target")?;
        let write = self.out.writes.len();
        let target = self.relation(&named, Role::Target(write));
        let mut at = named.end;
        let mut range = named.name.name.clone();
        let explicit = at < end && self.is_keyword(at, Keyword::As);
        // `UPDATE t SET` never means an alias named set.
        let implicit =
            at < end && !insert && self.is_column_name(at) && !self.is_keyword(at, Keyword::Set);
        if explicit || implicit {
            at += usize::from(explicit);
            if at >= end || !self.is_column_name(at) {
                return Err(self.unexpected(at, end, "an alias"));
            }
            range = self.name(at);
            self.account(at, at + 1);
            let alias = Some((range.clone(), self.span(at, at + 1)));
            if let Some(relation) = self.out.relations.get_mut(target) {
                relation.alias = alias;
            }
            at += 1;
        }
        self.in_range(id, Some(range));
        self.out.writes.push(Write {
            kind: WriteKind::Delete { current_of: None },
            target,
            level: id,
            span: self.span(from, end),
            with,
            in_cte,
            returning: None,
        });
        Ok(Begun {
            write,
            level: id,
            outer,
            at,
        })
    }

    /// Reads RETURNING, if it stands there, and ends the write.
    fn finish_write(
        &mut self,
        begun: &Begun,
        at: usize,
        end: usize,
        kind: WriteKind,
    ) -> Result<()> {
        let mut returning = None;
        if at < end {
            let mut at = self.expect(at, end, Keyword::Returning, "a statement")?;
            if self.is_keyword(at, Keyword::With) && self.is(at + 1, TokenKind::Open) {
                let close = self.mate(at + 1);
                for (start, stop) in self.commas(at + 2, close) {
                    if stop != start + 3 || !self.is_keyword(start + 1, Keyword::As) {
                        return Err(self.unexpected(start, stop, "RETURNING WITH"));
                    }
                    let name = self.name(start + 2);
                    self.account(start, stop);
                    self.in_range(begun.level, Some(name));
                }
                at = close + 1;
            }
            let stop = self.boundary(at, end, ends_clause);
            self.expect_end(stop, end, "RETURNING")?;
            self.expressions(at, end, Place::List)?;
            returning = Some(self.span(at, end));
        }
        if let Some(write) = self.out.writes.get_mut(begun.write) {
            write.kind = kind;
            write.returning = returning;
        }
        self.level = begun.outer;
        Ok(())
    }

    fn insert(
        &mut self,
        from: usize,
        end: usize,
        id: LevelId,
        with: Option<Span>,
        in_cte: bool,
    ) -> Result<()> {
        let at = self.expect(from + 1, end, Keyword::Into, "INSERT")?;
        let begun = self.target(from, at, end, id, with, in_cte)?;
        let mut at = begun.at;
        let mut columns = None;
        if at < end && self.is(at, TokenKind::Open) && !self.holds_query(at) {
            let close = self.mate(at);
            columns = Some(self.assigned(at + 1, close)?);
            at = close + 1;
        }
        let overriding = at < end && self.is_keyword(at, Keyword::Overriding);
        if overriding {
            at = self.expect(at + 2, end, Keyword::Value, "OVERRIDING")?;
        }
        let (next, source) = self.insert_source(at, end)?;
        at = next;
        let mut conflict = None;
        if at < end && self.are(at, &[Keyword::On, Keyword::Conflict]) {
            let (next, found) = self.conflict(at, end)?;
            conflict = Some(found);
            at = next;
        }
        self.finish_write(
            &begun,
            at,
            end,
            WriteKind::Insert {
                columns,
                source,
                conflict,
                overriding,
            },
        )
    }

    /// The names that are assigned to in `a, b[1], c.d`.
    fn assigned(&mut self, from: usize, end: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (start, stop) in self.commas(from, end) {
            names.push(self.assigned_name(start, stop)?);
        }
        Ok(names)
    }

    /// The name of the assignment target `from .. end`.
    fn assigned_name(&mut self, from: usize, end: usize) -> Result<String> {
        if from >= end || !self.is_column_name(from) {
            return Err(self.unexpected(from, end, "a column list"));
        }
        let name = self.name(from);
        self.account(from, from + 1);
        let mut at = from + 1;
        while at < end {
            if self.is(at, TokenKind::OpenBracket) {
                let close = self.mate(at);
                self.expressions(at + 1, close, Place::Plain)?;
                at = close + 1;
            } else if self.is(at, TokenKind::Dot) && self.is_identifier(at + 1) {
                self.account(at, at + 2);
                at += 2;
            } else {
                return Err(self.unexpected(at, end, "a column list"));
            }
        }
        Ok(name)
    }

    fn insert_source(&mut self, from: usize, end: usize) -> Result<(usize, InsertSource)> {
        if self.are(from, &[Keyword::Default, Keyword::Values]) {
            return Ok((from + 2, InsertSource::Default));
        }
        if self.is_keyword(from, Keyword::Values)
            && let Some(stop) = self.plain_values(from, end)
        {
            return Ok((stop, InsertSource::Values(self.rows(from + 1, stop)?)));
        }
        let query = self.query_prefix(from, end)?;
        Ok((query.end, InsertSource::Query(self.span(from, query.end))))
    }

    /// The end of `VALUES (..), (..)`, when nothing of a query's further clauses follows.
    fn plain_values(&self, from: usize, end: usize) -> Option<usize> {
        let mut at = from + 1;
        loop {
            if at >= end || !self.is(at, TokenKind::Open) {
                return None;
            }
            at = self.mate(at) + 1;
            if at >= end || matches!(self.keyword(at), Keyword::On | Keyword::Returning) {
                return Some(at);
            }
            if !self.is(at, TokenKind::Comma) {
                return None;
            }
            at += 1;
        }
    }

    fn rows(&mut self, from: usize, end: usize) -> Result<Vec<Vec<Option<Span>>>> {
        let mut rows = Vec::new();
        let mut at = from;
        while at < end {
            let close = self.mate(at);
            let mut row = Vec::new();
            for (start, stop) in self.commas(at + 1, close) {
                if start >= stop {
                    return Err(self.unexpected(stop, end, "VALUES"));
                }
                if stop == start + 1 && self.is_keyword(start, Keyword::Default) {
                    row.push(None);
                    continue;
                }
                self.expressions(start, stop, Place::Plain)?;
                row.push(Some(self.span(start, stop)));
            }
            rows.push(row);
            at = close + 2;
        }
        Ok(rows)
    }

    fn conflict(&mut self, from: usize, end: usize) -> Result<(usize, Conflict)> {
        let mut at = from + 2;
        let mut target = ConflictTarget::Any;
        if at < end && self.is(at, TokenKind::Open) {
            let close = self.mate(at);
            let columns: Option<Vec<String>> = self
                .commas(at + 1, close)
                .into_iter()
                .map(|(start, stop)| {
                    (stop == start + 1 && self.is_column_name(start)).then(|| self.name(start))
                })
                .collect();
            self.expressions(at + 1, close, Place::Plain)?;
            target = columns.map_or(ConflictTarget::Expressions, ConflictTarget::Columns);
            at = close + 1;
            if at < end && self.is_keyword(at, Keyword::Where) {
                let stop = self.boundary(at + 1, end, |keyword| keyword == Keyword::Do);
                self.expressions(at + 1, stop, Place::Plain)?;
                target = ConflictTarget::Expressions;
                at = stop;
            }
        } else if self.are(at, &[Keyword::On, Keyword::Constraint]) && self.is_column_name(at + 2) {
            target = ConflictTarget::Constraint(self.name(at + 2));
            self.account(at + 2, at + 3);
            at += 3;
        }
        at = self.expect(at, end, Keyword::Do, "ON CONFLICT")?;
        let mut update = None;
        if self.are(at, &[Keyword::Update, Keyword::Set]) {
            let stop = self.boundary(at + 2, end, ends_set);
            update = Some(self.assignments(at + 2, stop)?);
            at = stop;
            if at < end && self.is_keyword(at, Keyword::Where) {
                let stop = self.boundary(at + 1, end, ends_set);
                self.condition(at + 1, stop, "WHERE")?;
                at = stop;
            }
        } else {
            at = self.expect(at, end, Keyword::Nothing, "ON CONFLICT")?;
        }
        Ok((
            at,
            Conflict {
                span: self.span(from, at),
                target,
                update,
            },
        ))
    }

    /// Reads `a = x, (b, c) = (y, z)`; the names assigned to.
    fn assignments(&mut self, from: usize, end: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let parts = self.commas(from, end);
        if parts.is_empty() {
            return Err(self.unexpected(from, end, "SET"));
        }
        for (start, stop) in parts {
            let mut equals = start;
            while equals < stop && !self.is_operator(equals, b"=") {
                equals = if matches!(
                    self.kind(equals),
                    Some(TokenKind::Open | TokenKind::OpenBracket)
                ) {
                    self.mate(equals) + 1
                } else {
                    equals + 1
                };
            }
            if equals + 1 >= stop {
                return Err(self.unexpected(equals, stop, "SET"));
            }
            if self.is(start, TokenKind::Open) {
                if self.mate(start) + 1 != equals {
                    return Err(self.unexpected(start, stop, "SET"));
                }
                names.extend(self.assigned(start + 1, equals - 1)?);
            } else {
                names.push(self.assigned_name(start, equals)?);
            }
            self.expressions(equals + 1, stop, Place::Plain)?;
        }
        Ok(names)
    }

    fn update(
        &mut self,
        from: usize,
        end: usize,
        id: LevelId,
        with: Option<Span>,
        in_cte: bool,
    ) -> Result<()> {
        let begun = self.target(from, from + 1, end, id, with, in_cte)?;
        let mut at = self.expect(begun.at, end, Keyword::Set, "UPDATE")?;
        let stop = self.boundary(at, end, ends_set);
        let columns = self.assignments(at, stop)?;
        let list = self.span(at, stop);
        if let Some(level) = self.current() {
            level.list = list;
        }
        at = stop;
        if at < end && self.is_keyword(at, Keyword::From) {
            at = self.read_from(at + 1, end, id)?;
        }
        let (at, current_of) = self.where_or_current(at, end)?;
        self.finish_write(
            &begun,
            at,
            end,
            WriteKind::Update {
                columns,
                current_of,
            },
        )
    }

    fn delete(
        &mut self,
        from: usize,
        end: usize,
        id: LevelId,
        with: Option<Span>,
        in_cte: bool,
    ) -> Result<()> {
        let at = self.expect(from + 1, end, Keyword::From, "DELETE")?;
        let begun = self.target(from, at, end, id, with, in_cte)?;
        let mut at = begun.at;
        if at < end && self.is_keyword(at, Keyword::Using) {
            at = self.read_from(at + 1, end, id)?;
        }
        let (at, current_of) = self.where_or_current(at, end)?;
        self.finish_write(&begun, at, end, WriteKind::Delete { current_of })
    }

    fn where_or_current(&mut self, at: usize, end: usize) -> Result<(usize, Option<Cursor>)> {
        if at >= end || !self.is_keyword(at, Keyword::Where) {
            return Ok((at, None));
        }
        if self.are(at + 1, &[Keyword::Current, Keyword::Of])
            && (self.is_column_name(at + 3) || self.is(at + 3, TokenKind::Parameter))
        {
            self.account(at + 3, at + 4);
            let cursor = if self.is(at + 3, TokenKind::Parameter) {
                Cursor::Parameter
            } else {
                Cursor::Named(self.name(at + 3))
            };
            return Ok((at + 4, Some(cursor)));
        }
        Ok((self.where_clause(at, end)?, None))
    }

    fn merge(
        &mut self,
        from: usize,
        end: usize,
        id: LevelId,
        with: Option<Span>,
        in_cte: bool,
    ) -> Result<()> {
        let at = self.expect(from + 1, end, Keyword::Into, "MERGE")?;
        let begun = self.target(from, at, end, id, with, in_cte)?;
        let using = self.expect(begun.at, end, Keyword::Using, "MERGE")?;
        let condition = self.read_from(using, end, id)?;
        let source = self.span(using, condition);
        let condition = self.expect(condition, end, Keyword::On, "MERGE")?;
        let mut at = self.arm_end(condition, end, &[Keyword::When]);
        let on = self.condition(condition, at, "ON")?.span;
        let (mut by_source, mut inserts) = (false, false);
        while at < end && self.is_keyword(at, Keyword::When) {
            at += 1;
            at += usize::from(self.is_keyword(at, Keyword::Not));
            at = self.expect(at, end, Keyword::Matched, "WHEN")?;
            if self.is_keyword(at, Keyword::By) {
                by_source |= self.is_keyword(at + 1, Keyword::Source);
                at += 2;
            }
            if self.is_keyword(at, Keyword::And) {
                let stop = self.arm_end(at + 1, end, &[Keyword::Then]);
                self.condition(at + 1, stop, "WHEN")?;
                at = stop;
            }
            at = self.expect(at, end, Keyword::Then, "WHEN")?;
            let stop = self.arm_end(at, end, &[Keyword::When, Keyword::Returning]);
            inserts |= self.is_keyword(at, Keyword::Insert);
            self.merge_action(at, stop)?;
            at = stop;
        }
        self.finish_write(
            &begun,
            at,
            end,
            WriteKind::Merge {
                source,
                on,
                by_source,
                inserts,
            },
        )
    }

    /// The first of the words outside of parentheses and of CASE.
    fn arm_end(&self, from: usize, end: usize, words: &[Keyword]) -> usize {
        let mut cases = 0_usize;
        let mut at = from;
        while at < end {
            match self.keyword(at) {
                Keyword::Case => cases += 1,
                Keyword::End => cases = cases.saturating_sub(1),
                keyword if cases == 0 && words.contains(&keyword) => return at,
                _ if matches!(
                    self.kind(at),
                    Some(TokenKind::Open | TokenKind::OpenBracket)
                ) =>
                {
                    at = self.mate(at)
                }
                _ => {}
            }
            at += 1;
        }
        end
    }

    fn merge_action(&mut self, from: usize, end: usize) -> Result<()> {
        if self.are(from, &[Keyword::Do, Keyword::Nothing]) {
            return self.expect_end(from + 2, end, "WHEN");
        }
        if self.is_keyword(from, Keyword::Delete) {
            return self.expect_end(from + 1, end, "WHEN");
        }
        if self.are(from, &[Keyword::Update, Keyword::Set]) {
            return self.assignments(from + 2, end).map(drop);
        }
        let mut at = self.expect(from, end, Keyword::Insert, "WHEN")?;
        if self.is(at, TokenKind::Open) {
            let close = self.mate(at);
            self.assigned(at + 1, close)?;
            at = close + 1;
        }
        if self.is_keyword(at, Keyword::Overriding) {
            at = self.expect(at + 2, end, Keyword::Value, "OVERRIDING")?;
        }
        if self.are(at, &[Keyword::Default, Keyword::Values]) {
            return self.expect_end(at + 2, end, "WHEN");
        }
        at = self.expect(at, end, Keyword::Values, "WHEN")?;
        if at >= end || !self.is(at, TokenKind::Open) {
            return Err(self.unexpected(at, end, "VALUES"));
        }
        let close = self.mate(at);
        self.expressions(at + 1, close, Place::Plain)?;
        self.expect_end(close + 1, end, "WHEN")
    }
}
