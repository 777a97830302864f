//! Whole rows: `SELECT u FROM users u` gives a value of the row type `users`. A derived table's row is an anonymous record, so a whole-row reference is given its type again.

use super::plan::Refusal;
use super::read::Locked;
use super::{Planner, replace};
use crate::overlay::names::{qualified, quote_identifier};
use crate::sql::facts::{Role, Span, Statement};
use crate::sql::patch::Edits;

/// Casts each whole-row reference to a merged relation.
pub(super) fn name_types(
    planner: &Planner<'_>,
    edits: &mut Edits,
    locked: Locked,
) -> Result<(), Refusal> {
    let statement = planner.statement;
    for column in &statement.columns {
        let ([name], [span]) = (column.parts.as_slice(), column.spans.as_slice()) else {
            continue;
        };
        let meant = planner.backed().find(|(at, relation)| {
            let Some(named) = statement.relations.get(*at) else {
                return false;
            };
            let range_name = named.range_name();
            let is_derived = named.role == Role::Read && !planner.stays(*at, locked);
            is_derived
                && range_name == name
                && sees(statement, column.level, named.level)
                && relation.column(name).is_none()
        });
        let Some((at, relation)) = meant else {
            continue;
        };
        if is_shadowed(planner, name, at) {
            continue;
        }
        let alias = quote_identifier(name);
        // Not a row constructor to the parser, which compares those column by column.
        let row = format!(
            "CASE WHEN true THEN ROW({alias}.*)::{} END",
            qualified(&relation.schema, &relation.name)
        );
        let outer = statement
            .relations
            .get(at)
            .and_then(|named| named.level)
            .and_then(|level| statement.levels.get(level));
        // A row that an outer join makes up is NULL, not a row of NULLs.
        let typed = if outer.is_some_and(|level| level.outer_join) {
            format!("CASE WHEN {alias} IS DISTINCT FROM NULL THEN {row} END")
        } else {
            row
        };
        match item_end(planner, column.level, span) {
            Some(end) => {
                let cast = planner.source(&(span.end..end));
                let item = format!("({typed}){cast} AS {alias}");
                replace(edits, &(span.start..end), item)?;
            }
            None => replace(edits, span, format!("({typed})"))?,
        }
    }
    Ok(())
}

/// Whether what stands at one level can refer to what another level's FROM offers.
fn sees(statement: &Statement, from: Option<usize>, offered: Option<usize>) -> bool {
    let mut level = from;
    while let Some(id) = level {
        if Some(id) == offered {
            return true;
        }
        level = statement.levels.get(id).and_then(|level| level.parent);
    }
    false
}

/// Whether a column of another relation at the same level has the name: then that is meant.
fn is_shadowed(planner: &Planner<'_>, name: &str, at: usize) -> bool {
    let level = planner
        .statement
        .relations
        .get(at)
        .and_then(|named| named.level);
    planner
        .statement
        .relations
        .iter()
        .zip(&planner.resolved)
        .any(|(named, resolved)| {
            named.level == level
                && resolved
                    .known()
                    .is_some_and(|relation| relation.column(name).is_some())
        })
}

/// Where the item of its level's target list ends that the reference is by itself, casts of it included: then it names the output column.
fn item_end(planner: &Planner<'_>, level: Option<usize>, span: &Span) -> Option<usize> {
    let list = level
        .and_then(|level| planner.statement.levels.get(level))
        .map(|level| &level.list)?;
    if span.start < list.start || list.end < span.end {
        return None;
    }
    let before = planner.source(&(list.start..span.start)).trim_end();
    let after = planner.source(&(span.end..list.end)).trim_start();
    let begins = before.is_empty()
        || before.ends_with(',')
        || before.eq_ignore_ascii_case("distinct")
        || before.eq_ignore_ascii_case("all");
    if !begins {
        return None;
    }
    let casts = casts(after);
    let rest = after.get(casts..)?.trim_start();
    let end = list.end - planner.source(&(span.end..list.end)).trim_start().len() + casts;
    let end = if casts == 0 { span.end } else { end };
    (rest.is_empty() || rest.starts_with(',')).then_some(end)
}

/// How much of what follows an expression are casts to plain types, `::text`, `::numeric(10, 2)[]`.
fn casts(text: &str) -> usize {
    let mut taken = 0;
    while let Some(named) = text
        .get(taken..)
        .and_then(|rest| rest.trim_start().strip_prefix("::"))
    {
        let is_name =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"' | '[' | ']');
        let name = named.trim_start();
        let mut rest = name.trim_start_matches(is_name);
        if rest.len() == name.len() {
            break;
        }
        if let Some((modifiers, after)) = rest.strip_prefix('(').and_then(|in_| in_.split_once(')'))
        {
            if !modifiers
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '))
            {
                break;
            }
            rest = after.trim_start_matches(['[', ']']);
        }
        taken = text.len() - rest.len();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::casts;

    #[test]
    fn casts_end_where_the_item_does() {
        for (text, taken) in [
            ("::text, 1", "::text"),
            (" ::text ", " ::text"),
            ("::text::\"char\"", "::text::\"char\""),
            ("::public.users[] AS x", "::public.users[]"),
            ("::numeric(10, 2)[], y", "::numeric(10, 2)[]"),
            ("::text || 'x'", "::text"),
            (", y", ""),
            ("", ""),
            ("::", ""),
        ] {
            assert_eq!(text.get(..casts(text)), Some(taken), "{text}");
        }
    }
}
