//! Views with `security_barrier`: no condition of who reads one may see rows that the view doesn't show, unless it can't tell of them.
//!
//! PostgreSQL calls what is leakproof earlier all the same; it looks at functions' catalog entries. Here a condition of comparisons is taken for one that can't tell,
//! so that reads by a key find their row at production: at worst it fails on a row that the view hides, which such comparisons don't.

use crate::catalog::model::Relation;
use crate::sql::facts::Span;

use super::{Planner, resolve};

/// A view's query, so that what stands outside of it isn't called before it.
pub(crate) fn fenced(view: &Relation, query: String, leaky: bool) -> String {
    if view.barrier && leaky {
        format!("SELECT * FROM ({query}) AS previewpg_barrier OFFSET 0")
    } else {
        query
    }
}

impl Planner<'_> {
    /// Whether the statement reads a view, and a condition of it calls something, computes or casts: that may fail, or tell somebody, of a row that it's called for.
    pub(crate) fn is_leaky(&self) -> bool {
        if !self
            .backed()
            .any(|(_, relation)| relation.definition.is_some())
        {
            return false;
        }
        let spans: Vec<&Span> = self
            .statement
            .levels
            .iter()
            .flat_map(|level| {
                let condition = level.condition.as_ref().map(|condition| &condition.span);
                condition.into_iter().chain(&level.from)
            })
            .collect();
        let inside = |at: usize| spans.iter().any(|span| span.contains(&at));
        let grouped = self.statement.levels.iter().any(|level| level.having);
        self.statement.functions.iter().any(|function| {
            (inside(function.span.start) || grouped) && !self.is_aggregate(&function.name.name)
        }) || !self.statement.unusual_operators.is_empty()
            || spans.iter().any(|span| computes(self.source(span)))
    }

    /// Whether it's one of PostgreSQL's aggregates, and no function of the user's: conditions with one aren't moved into a view.
    fn is_aggregate(&self, name: &str) -> bool {
        let builtin = self.context.catalog.builtins.get(name);
        builtin.is_some_and(|builtin| builtin.aggregate)
            && resolve::routines(
                &crate::sql::facts::Name {
                    schema: None,
                    name: name.to_owned(),
                },
                self.context,
            )
            .next()
            .is_none()
    }
}

/// Whether a text divides, or casts anything but a constant.
fn computes(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let constant_before = |at: usize| {
        let before = lower[..at].trim_end();
        let word = before
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '$' && c != '_')
            .next()
            .unwrap_or_default();
        before.ends_with('\'') || word.starts_with(|c: char| c == '$' || c.is_ascii_digit())
    };
    lower.contains(['/', '%'])
        || lower
            .match_indices("::")
            .any(|(at, _)| !constant_before(at))
        || lower.match_indices("cast").any(|(at, _)| {
            let rest = lower[at + "cast".len()..].trim_start();
            rest.strip_prefix('(').is_some_and(|rest| {
                !rest
                    .trim_start()
                    .starts_with(|c: char| c == '$' || c == '\'' || c.is_ascii_digit())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::computes;

    #[test]
    fn comparisons_and_casts_of_constants_do_not_compute() {
        for text in [
            "id = $1",
            "id = $1::int AND name LIKE 'a'::text",
            "at > CAST($2 AS timestamp) AND n + 1 = 3",
        ] {
            assert!(!computes(text), "{text}");
        }
        for text in [
            "name::int = 1",
            "1 / n > 3",
            "cast ( name AS int) = 1",
            "(a || b)::int = 1",
            "n % 2 = 0",
        ] {
            assert!(computes(text), "{text}");
        }
    }
}
