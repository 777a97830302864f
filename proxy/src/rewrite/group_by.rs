//! GROUP BY of a primary key: PostgreSQL lets the table's other columns be selected, for they depend on the key. A derived table has no key,
//! so the columns that are used are added to the GROUP BY list, which changes no group. The key's columns must be items of the list by themselves (also
//! as `1` or by an alias of the select list): one inside of an expression, as in `GROUP BY id / 10`, makes other groups.

use std::collections::BTreeSet;

use super::plan::Refusal;
use super::{Planner, replace};
use crate::catalog::model::Relation;
use crate::overlay::names::quote_identifier;
use crate::sql::facts::{Column, LevelId, Role, Span};
use crate::sql::lexer::{Token, TokenKind, lex};
use crate::sql::patch::Edits;

pub(super) fn complete(planner: &Planner<'_>, edits: &mut Edits) -> Result<(), Refusal> {
    let statement = planner.statement;
    for (id, level) in statement.levels.iter().enumerate() {
        let Some(list) = &level.group_by else {
            continue;
        };
        // PostgreSQL knows no such dependency between grouping sets, and adding to them would change the groups.
        let upper = planner.source(list).to_ascii_uppercase();
        if ["ROLLUP", "CUBE", "GROUPING"]
            .iter()
            .any(|word| upper.contains(word))
        {
            continue;
        }
        let mut added = Vec::new();
        for (at, relation) in planner.backed() {
            let Some(named) = statement.relations.get(at) else {
                continue;
            };
            if named.level != Some(id) || named.role != Role::Read || named.column_aliases {
                continue;
            }
            let range_name = named.range_name();
            let used = Used {
                planner,
                level: id,
                list,
                selected: &level.list,
                relation,
                range_name,
            };
            added.extend(used.dependent_columns());
        }
        if !added.is_empty() {
            replace(
                edits,
                &(list.end..list.end),
                format!(", {}", added.join(", ")),
            )?;
        }
    }
    Ok(())
}

/// The uses of one relation's columns at one level.
struct Used<'p> {
    planner: &'p Planner<'p>,
    level: LevelId,
    list: &'p Span,
    /// The select list.
    selected: &'p Span,
    relation: &'p Relation,
    range_name: &'p str,
}

impl Used<'_> {
    /// The columns to add, qualified; none where the GROUP BY list hasn't the whole primary key.
    fn dependent_columns(&self) -> Vec<String> {
        let Some(key) = self.relation.primary_key() else {
            return Vec::new();
        };
        let grouped: BTreeSet<&str> = self
            .items(self.list)
            .into_iter()
            .filter_map(|item| self.grouped(&item))
            .collect();
        let mut used = BTreeSet::new();
        for column in &self.planner.statement.columns {
            let Some(name) = self.names(column) else {
                continue;
            };
            let inside = column
                .spans
                .first()
                .is_some_and(|span| self.list.start <= span.start && span.end <= self.list.end);
            if inside {
                // Part of an expression, if it's no item by itself.
            } else if name == "*" {
                used.extend(
                    self.relation
                        .columns
                        .iter()
                        .map(|column| column.name.as_str()),
                );
            } else {
                used.insert(name);
            }
        }
        if !key
            .columns
            .iter()
            .all(|column| grouped.contains(column.as_str()))
        {
            return Vec::new();
        }
        used.difference(&grouped)
            .map(|name| {
                format!(
                    "{}.{}",
                    quote_identifier(self.range_name),
                    quote_identifier(name)
                )
            })
            .collect()
    }

    /// The relation's column that an item of the GROUP BY list is, by itself or as an item of the select list.
    fn grouped(&self, item: &Span) -> Option<&str> {
        if let Some(column) = self.column_at(item) {
            return self
                .names(column)
                .or_else(|| self.selected_as(column.parts.as_slice()));
        }
        let place: usize = self.planner.source(item).parse().ok()?;
        let selected = self.items(self.selected);
        let before = selected.get(..place)?;
        // What `*` stands for would have to be counted.
        if before.iter().any(|item| self.is_wildcard(item)) {
            return None;
        }
        self.output(before.last()?).map(|(column, _)| column)
    }

    /// The relation's column that the select list gives this name, where no relation has a column of the name: that would come first.
    fn selected_as(&self, parts: &[String]) -> Option<&str> {
        let [name] = parts else { return None };
        let statement = self.planner.statement;
        let here = statement
            .relations
            .iter()
            .zip(&self.planner.resolved)
            .filter(|(named, _)| named.level == Some(self.level) && named.role == Role::Read);
        let mut known = 0;
        for (_, resolution) in here {
            if resolution.known()?.column(name).is_some() {
                return None;
            }
            known += 1;
        }
        if statement.levels.get(self.level)?.range.len() != known {
            return None;
        }
        self.items(self.selected)
            .iter()
            .filter_map(|item| self.output(item))
            .find(|(_, alias)| alias.as_deref() == Some(name))
            .map(|(column, _)| column)
    }

    /// The relation's column that an item of the select list is, and its alias.
    fn output(&self, item: &Span) -> Option<(&str, Option<String>)> {
        let tokens = lex(self.planner.source(item).as_bytes(), true);
        let at = |token: &Token| item.start + token.start as usize..item.start + token.end as usize;
        let (end, alias) = match tokens.as_slice() {
            // A name after a column that no dot stands before.
            [rest @ .., before, last] if last.is_identifier() && before.kind != TokenKind::Dot => {
                let column = match (before.is_identifier(), rest.last()) {
                    (true, Some(column)) if column.kind != TokenKind::Dot => at(column),
                    _ => at(before),
                };
                (column.end, Some(self.identifier(&at(last))))
            }
            [.., last] => (at(last).end, None),
            [] => return None,
        };
        let column = self.column_at(&(item.start..end))?;
        Some((self.names(column)?, alias))
    }

    /// An identifier as PostgreSQL reads it.
    fn identifier(&self, span: &Span) -> String {
        let text = self.planner.source(span);
        match text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => text.to_ascii_lowercase(),
        }
    }

    fn is_wildcard(&self, item: &Span) -> bool {
        self.planner.source(item).ends_with('*')
    }

    /// The reference to a column that a text is, at the level itself.
    fn column_at(&self, item: &Span) -> Option<&Column> {
        self.planner.statement.columns.iter().find(|column| {
            column.level == Some(self.level)
                && column.spans.first().map(|span| span.start) == Some(item.start)
                && column.spans.last().map(|span| span.end) == Some(item.end)
        })
    }

    /// A list's items; `(a, b)` is two of them.
    fn items(&self, list: &Span) -> Vec<Span> {
        let tokens = lex(self.planner.source(list).as_bytes(), true);
        items(&tokens)
            .into_iter()
            .map(|item| list.start + item.start..list.start + item.end)
            .collect()
    }

    /// The name of the relation's column that a reference means (`*` for all), if it means one.
    fn names<'c>(&self, column: &'c Column) -> Option<&'c str> {
        let (name, qualifiers) = column.parts.split_last()?;
        let here = column.level == Some(self.level);
        let meant = match qualifiers.last() {
            Some(qualifier) => {
                qualifier == self.range_name && (here || self.is_below(column.level))
            }
            None => here,
        };
        (meant && (name == "*" || self.relation.column(name).is_some())).then_some(name.as_str())
    }

    fn is_below(&self, level: Option<LevelId>) -> bool {
        let mut level = level;
        while let Some(id) = level {
            if id == self.level {
                return true;
            }
            level = self
                .planner
                .statement
                .levels
                .get(id)
                .and_then(|level| level.parent);
        }
        false
    }
}

/// What stands between commas that are in no parentheses, of lists in parentheses as well.
fn items(tokens: &[Token]) -> Vec<Span> {
    let mut found = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for at in 0..=tokens.len() {
        let token = tokens.get(at);
        match token.map(|token| token.kind) {
            Some(TokenKind::Open | TokenKind::OpenBracket) => depth += 1,
            Some(TokenKind::Close | TokenKind::CloseBracket) => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = match token {
            Some(token) => token.kind == TokenKind::Comma && depth == 0,
            None => true,
        };
        if !ends {
            continue;
        }
        let item = tokens.get(from..at).unwrap_or_default();
        from = at + 1;
        match item {
            [open, inner @ .., close]
                if open.kind == TokenKind::Open
                    && close.kind == TokenKind::Close
                    && is_one(inner) =>
            {
                found.extend(items(inner));
            }
            [first, .., last] => found.push(first.start as usize..last.end as usize),
            [only] => found.push(only.span()),
            [] => {}
        }
    }
    found
}

/// Whether parentheses around these tokens belong together.
fn is_one(inner: &[Token]) -> bool {
    let mut depth = 0_usize;
    inner.iter().all(|token| match token.kind {
        TokenKind::Open => {
            depth += 1;
            true
        }
        TokenKind::Close if depth == 0 => false,
        TokenKind::Close => {
            depth -= 1;
            true
        }
        _ => true,
    })
}
