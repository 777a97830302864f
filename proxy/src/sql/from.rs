//! The items of FROM and USING: tables, subqueries, functions, joins.

use super::expression::{Place, is_keyword_function};
use super::facts::{LevelId, Name, Relation, RelationId, Role, Span};
use super::keyword::{Category, Keyword};
use super::lexer::TokenKind;
use super::query::ends_clause;
use super::reader::{Reader, Result};

/// A relation's name as it stands in the text.
pub(super) struct Named {
    /// The name.
    pub(super) name: Name,
    /// The token after it, its parenthesis and its `*`.
    pub(super) end: usize,
    span: Span,
    name_span: Span,
    only: bool,
}

/// An alias and where it ends.
struct Alias {
    name: Option<(String, Span)>,
    columns: bool,
    end: usize,
}

impl Reader<'_> {
    /// Reads `[ONLY] [(] name [)] [*]`.
    pub(super) fn relation_name(&mut self, from: usize, end: usize, place: &str) -> Result<Named> {
        let only = self.is_keyword(from, Keyword::Only);
        let first = from + usize::from(only);
        let parenthesis = only && self.is(first, TokenKind::Open);
        let start = first + usize::from(parenthesis);
        if start >= end || !self.is_column_name(start) {
            return Err(self.unexpected(start, end, place));
        }
        let name_end = self.chain(start, end);
        if self.is_star(name_end - 1) || name_end - start > 5 {
            return Err(self.unexpected(name_end - 1, end, place));
        }
        self.account(start, name_end);
        let mut at = name_end;
        if parenthesis {
            if !self.is(at, TokenKind::Close) {
                return Err(self.unexpected(at, end, place));
            }
            at += 1;
        } else if !only && at < end && self.is_star(at) {
            at += 1;
        }
        Ok(Named {
            name: self.chain_name(start, name_end),
            end: at,
            span: self.span(from, at),
            name_span: self.span(start, name_end),
            only,
        })
    }

    /// Notes a relation without an alias.
    pub(super) fn relation(&mut self, named: &Named, role: Role) -> RelationId {
        self.out.relations.push(Relation {
            name: named.name.clone(),
            span: named.span.clone(),
            name_span: named.name_span.clone(),
            only: named.only,
            alias: None,
            column_aliases: false,
            role,
            level: self.level,
            sampled: false,
        });
        self.out.relations.len() - 1
    }

    /// The name is one of a WITH clause in scope.
    pub(super) fn is_cte(&self, name: &Name) -> bool {
        name.schema.is_none() && self.ctes.contains(&name.name)
    }

    /// Reads the items that begin at `from` into the level `id`, which is the current one; where they end.
    pub(super) fn read_from(&mut self, from: usize, end: usize, id: LevelId) -> Result<usize> {
        // For each open parenthesis, the joins that still want a condition.
        let mut joins = vec![0_usize];
        let mut expecting = true;
        let mut at = from;
        while at < end {
            if expecting {
                if self.is(at, TokenKind::Open) && !self.holds_query(at) {
                    joins.push(0);
                    at += 1;
                } else {
                    at = self.read_item(at, end, id)?;
                    expecting = false;
                }
                continue;
            }
            if self.is(at, TokenKind::Comma) && joins.len() == 1 {
                expecting = true;
                at += 1;
                continue;
            }
            if self.is(at, TokenKind::Close) && joins.len() > 1 {
                joins.pop();
                let alias = self.alias(at + 1, end, false)?;
                self.in_range(id, alias.name.as_ref().map(|(name, _)| name.clone()));
                at = alias.end;
                continue;
            }
            let wanting = joins.last_mut();
            match (self.join(at), wanting) {
                (Some((next, qualified, outer)), Some(wanting)) => {
                    *wanting += usize::from(qualified);
                    if outer && let Some(level) = self.out.levels.get_mut(id) {
                        level.outer_join = true;
                    }
                    expecting = true;
                    at = next;
                }
                (None, Some(wanting)) if *wanting > 0 && self.is_keyword(at, Keyword::On) => {
                    *wanting -= 1;
                    let stop = self.join_condition_end(at + 1, end);
                    if stop == at + 1 {
                        return Err(self.unexpected(stop, end, "ON"));
                    }
                    self.expressions(at + 1, stop, Place::Plain)?;
                    at = stop;
                }
                (None, Some(wanting))
                    if *wanting > 0
                        && self.is_keyword(at, Keyword::Using)
                        && self.is(at + 1, TokenKind::Open) =>
                {
                    *wanting -= 1;
                    let columns = at + 1;
                    at = self.mate(columns) + 1;
                    self.account(columns, at);
                    if at < end && self.is_keyword(at, Keyword::As) && self.is_column_name(at + 1) {
                        let name = self.name(at + 1);
                        self.account(at + 1, at + 2);
                        self.in_range(id, Some(name));
                        at += 2;
                    }
                }
                _ => break,
            }
        }
        if expecting || joins != [0] {
            return Err(self.unexpected(at, end, "FROM"));
        }
        let span = self.span(from, at);
        if let Some(level) = self.out.levels.get_mut(id) {
            level.from = Some(span);
        }
        Ok(at)
    }

    pub(super) fn in_range(&mut self, id: LevelId, name: Option<String>) {
        if let Some(level) = self.out.levels.get_mut(id) {
            level.range.extend(name);
        }
    }

    /// The join words at `at`: the token after them, whether a condition must follow, whether it is an outer join.
    fn join(&self, at: usize) -> Option<(usize, bool, bool)> {
        let natural = self.is_keyword(at, Keyword::Natural);
        let mut next = at + usize::from(natural);
        let kind = self.keyword(next);
        match kind {
            Keyword::Join => {}
            Keyword::Cross | Keyword::Inner => next += 1,
            Keyword::Left | Keyword::Right | Keyword::Full => {
                next += 1;
                next += usize::from(self.is_keyword(next, Keyword::Outer));
            }
            _ => return None,
        }
        let outer = matches!(kind, Keyword::Left | Keyword::Right | Keyword::Full);
        self.is_keyword(next, Keyword::Join).then_some((
            next + 1,
            !natural && kind != Keyword::Cross,
            outer,
        ))
    }

    fn join_condition_end(&self, from: usize, end: usize) -> usize {
        let mut cases = 0_usize;
        let mut at = from;
        while at < end {
            match self.kind(at) {
                Some(TokenKind::Open | TokenKind::OpenBracket) => at = self.mate(at),
                Some(TokenKind::Close | TokenKind::Comma) => return at,
                Some(TokenKind::Word) => match self.keyword(at) {
                    Keyword::Case => cases += 1,
                    Keyword::End => cases = cases.saturating_sub(1),
                    Keyword::When if cases == 0 => return at,
                    Keyword::Using => return at,
                    Keyword::From | Keyword::For | Keyword::Group
                        if self.belongs_to_expression(at, from) => {}
                    keyword if ends_clause(keyword) || self.join(at).is_some() => return at,
                    _ => {}
                },
                _ => {}
            }
            at += 1;
        }
        end
    }

    /// Reads one item with its alias and TABLESAMPLE; where it ends.
    fn read_item(&mut self, from: usize, end: usize, id: LevelId) -> Result<usize> {
        let mut at = from + usize::from(self.is_keyword(from, Keyword::Lateral));
        if at >= end {
            return Err(self.unexpected(at, end, "FROM"));
        }
        let mut default = None;
        if self.is(at, TokenKind::Open) && self.holds_query(at) {
            let close = self.mate(at);
            self.query(at + 1, close)?;
            at = close + 1;
        } else if self.are(at, &[Keyword::Rows, Keyword::From]) && self.is(at + 2, TokenKind::Open)
        {
            let close = self.mate(at + 2);
            for (start, stop) in self.commas(at + 3, close) {
                let call = self.function_item(start, stop)?;
                let next = self.definitions(call, stop)?;
                self.expect_end(next, stop, "ROWS FROM")?;
            }
            at = self.ordinality(close + 1);
        } else if matches!(self.keyword(at), Keyword::Xmltable | Keyword::JsonTable)
            && self.is(at + 1, TokenKind::Open)
        {
            let close = self.mate(at + 1);
            default = Some(self.name(at));
            if self.is_keyword(at, Keyword::JsonTable) {
                self.function(at, at + 1);
            }
            self.table_function(at + 2, close)?;
            at = close + 1;
        } else if self.is_function_item(at, end) {
            let name_end = self.chain(at, end);
            default = Some(self.name(name_end - 1));
            at = self.function_item(at, end)?;
            at = self.ordinality(at);
        } else {
            return self.table_item(at, end, id);
        }
        let alias = self.alias(at, end, true)?;
        self.in_range(id, alias.name.map(|(name, _)| name).or(default));
        Ok(alias.end)
    }

    fn table_item(&mut self, from: usize, end: usize, id: LevelId) -> Result<usize> {
        let named = self.relation_name(from, end, "FROM")?;
        let alias = self.alias(named.end, end, false)?;
        let mut at = alias.end;
        let mut sampled = false;
        if at < end && self.is_keyword(at, Keyword::Tablesample) {
            sampled = true;
            let name_end = self.chain(at + 1, end);
            self.account(at + 1, name_end);
            if !self.is(name_end, TokenKind::Open) {
                return Err(self.unexpected(name_end, end, "TABLESAMPLE"));
            }
            let close = self.mate(name_end);
            self.expressions(name_end + 1, close, Place::Plain)?;
            at = close + 1;
            if at < end
                && self.is_keyword(at, Keyword::Repeatable)
                && self.is(at + 1, TokenKind::Open)
            {
                let close = self.mate(at + 1);
                self.expressions(at + 2, close, Place::Plain)?;
                at = close + 1;
            }
        }
        let range = alias
            .name
            .as_ref()
            .map_or_else(|| named.name.name.clone(), |(name, _)| name.clone());
        self.in_range(id, Some(range));
        if !self.is_cte(&named.name) {
            let relation = self.relation(&named, Role::Read);
            if let Some(relation) = self.out.relations.get_mut(relation) {
                relation.alias = alias.name;
                relation.column_aliases = alias.columns;
                relation.sampled = sampled;
            }
        }
        Ok(at)
    }

    fn is_function_item(&self, at: usize, end: usize) -> bool {
        let cast = self.is_keyword(at, Keyword::Cast) && self.is(at + 1, TokenKind::Open);
        if cast
            || is_keyword_function(self.keyword(at))
            || self.are(at, &[Keyword::Collation, Keyword::For])
        {
            return true;
        }
        if !self.is_identifier(at) || self.keyword(at).category() == Category::Reserved {
            return false;
        }
        let next = self.chain(at, end);
        next < end && self.is(next, TokenKind::Open)
    }

    /// Reads a function call; where it ends.
    fn function_item(&mut self, from: usize, end: usize) -> Result<usize> {
        let collation = self.are(from, &[Keyword::Collation, Keyword::For]);
        let name_end = if collation {
            from + 2
        } else {
            self.chain(from, end)
        };
        let stop = if name_end < end && self.is(name_end, TokenKind::Open) {
            self.mate(name_end) + 1
        } else {
            name_end
        };
        self.expressions(from, stop, Place::Plain)?;
        Ok(stop)
    }

    fn ordinality(&self, at: usize) -> usize {
        if self.are(at, &[Keyword::With, Keyword::Ordinality]) {
            at + 2
        } else {
            at
        }
    }

    /// `AS (name type, ..)`, if it stands there.
    fn definitions(&mut self, at: usize, end: usize) -> Result<usize> {
        if at < end && self.is_keyword(at, Keyword::As) && self.is(at + 1, TokenKind::Open) {
            self.column_definitions(at + 1)?;
            return Ok(self.mate(at + 1) + 1);
        }
        Ok(at)
    }

    /// The names and, if given, types between the parentheses at `open`.
    fn column_definitions(&mut self, open: usize) -> Result<()> {
        for (start, stop) in self.commas(open + 1, self.mate(open)) {
            if !self.is_column_name(start) {
                return Err(self.unexpected(start, stop, "an alias"));
            }
            self.account(start, start + 1);
            if start + 1 < stop {
                let next = self.typed(start + 1, stop)?;
                let collate = next < stop && self.is_keyword(next, Keyword::Collate);
                let next = if collate {
                    self.chain(next + 1, stop)
                } else {
                    next
                };
                self.account(start, next);
                self.expect_end(next, stop, "an alias")?;
            }
        }
        Ok(())
    }

    /// Reads `[AS] name [(columns)]` or, for functions, `AS (definitions)`.
    fn alias(&mut self, from: usize, end: usize, function: bool) -> Result<Alias> {
        let mut at = from;
        if at < end && self.is_keyword(at, Keyword::As) {
            if function && self.is(at + 1, TokenKind::Open) {
                let end = self.definitions(at, end)?;
                return Ok(Alias {
                    name: None,
                    columns: true,
                    end,
                });
            }
            at += 1;
            if at >= end || !self.is_column_name(at) {
                return Err(self.unexpected(at, end, "an alias"));
            }
        }
        if at >= end || !self.is_column_name(at) {
            return Ok(Alias {
                name: None,
                columns: false,
                end: at,
            });
        }
        let name = Some((self.name(at), self.span(at, at + 1)));
        self.account(at, at + 1);
        at += 1;
        let columns = at < end && self.is(at, TokenKind::Open);
        if columns {
            self.column_definitions(at)?;
            at = self.mate(at) + 1;
        }
        Ok(Alias {
            name,
            columns,
            end: at,
        })
    }

    /// The arguments of `XMLTABLE` or `JSON_TABLE`: expressions, and after COLUMNS definitions of columns.
    fn table_function(&mut self, from: usize, end: usize) -> Result<()> {
        let columns = self.boundary(from, end, |keyword| keyword == Keyword::Columns);
        self.expressions(from, columns, Place::Plain)?;
        if columns >= end {
            return Ok(());
        }
        let (start, stop) = match self.kind(columns + 1) {
            Some(TokenKind::Open) => (columns + 2, self.mate(columns + 1)),
            _ => (columns + 1, end),
        };
        self.table_columns(start, stop)?;
        if stop < end {
            self.expressions(stop + 1, end, Place::Plain)
        } else {
            Ok(())
        }
    }

    fn table_columns(&mut self, from: usize, end: usize) -> Result<()> {
        for (start, stop) in self.commas(from, end) {
            if self.is_keyword(start, Keyword::Nested) {
                let columns = self.boundary(start, stop, |keyword| keyword == Keyword::Columns);
                if !self.is(columns + 1, TokenKind::Open) {
                    return Err(self.unexpected(columns + 1, stop, "NESTED"));
                }
                let close = self.mate(columns + 1);
                self.deeper(columns + 2, close, |reader| {
                    reader.table_columns(columns + 2, close)
                })?;
                continue;
            }
            if !self.is_column_name(start) {
                return Err(self.unexpected(start, stop, "COLUMNS"));
            }
            self.account(start, start + 1);
            if self.is_keyword(start + 1, Keyword::For) {
                continue;
            }
            let mut at = self.typed(start + 1, stop)?;
            // What follows is a chain of words, each with an expression or none; only the expressions matter.
            while at < stop {
                if self.is(at, TokenKind::Open)
                    || !self.is_identifier(at)
                    || self.keyword(at) == Keyword::Other
                {
                    let word = |keyword: Keyword| {
                        matches!(
                            keyword,
                            Keyword::Path
                                | Keyword::Default
                                | Keyword::Not
                                | Keyword::Null
                                | Keyword::On
                        )
                    };
                    let next = self.boundary(at, stop, word);
                    self.expressions(at, next, Place::Plain)?;
                    at = next.max(at + 1);
                } else {
                    at += 1;
                }
            }
        }
        Ok(())
    }
}
