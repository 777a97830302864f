//! ON CONFLICT: the rows of production that the rows to insert may conflict with.

use super::super::plan::{Before, Refusal};
use super::probe::{From, Probe, Search};
use crate::catalog::model::Key;
use crate::overlay::names::{identifier_list, quote_identifier};
use crate::sql::facts::{Conflict, ConflictTarget, InsertSource, Span, Write};

/// What is known of the rows of an INSERT.
enum Inserted {
    /// None of them can conflict: all are defaults.
    Nothing,
    /// Nothing can be told before it runs.
    Unknown,
    /// A query gives them.
    Rows {
        /// A WITH list, with its keyword, or nothing.
        with: String,
        /// The query.
        rows: String,
    },
}

impl<'a> Probe<'_, 'a> {
    /// The rows that the rows of an INSERT may conflict with.
    pub(super) fn conflict(
        &self,
        write: &Write,
        columns: Option<&[String]>,
        source: &InsertSource,
        conflict: &Conflict,
    ) -> Result<Vec<Before>, Refusal> {
        let Some(keys) = self.arbiters(conflict) else {
            return Ok(vec![self.whole()]);
        };
        let mut before = Vec::new();
        for key in keys {
            // An expression may be of any column.
            let wanted: Vec<&str> = if key.partial {
                self.relation
                    .columns
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect()
            } else {
                key.columns.iter().map(String::as_str).collect()
            };
            match self.inserted(write, columns, source, &wanted)? {
                Inserted::Nothing => {}
                Inserted::Unknown => return Ok(vec![self.whole()]),
                Inserted::Rows { with, rows } => {
                    let unsteady = self.is_unsteady(&write.span);
                    before.extend(self.conflicts(key, &wanted, &with, &rows, unsteady)?);
                }
            }
        }
        Ok(before)
    }

    /// The rows of lower whose key is that of a row to insert.
    fn conflicts(
        &self,
        key: &Key,
        wanted: &[&str],
        with: &str,
        rows: &str,
        unsteady: bool,
    ) -> Result<Vec<Before>, Refusal> {
        let values: Vec<String> = (1..=key.expressions.len())
            .map(|n| format!("previewpg_{n}"))
            .collect();
        let values = values.join(", ");
        let expressions = key.expressions.join(", ");
        let comma = if with.is_empty() {
            "WITH ".to_owned()
        } else {
            format!("{with}, ")
        };
        let predicate = key
            .predicate
            .as_ref()
            .map(|predicate| format!(" WHERE {predicate}"))
            .unwrap_or_default();
        let with = format!(
            "{comma}previewpg_row ({}) AS ({rows}), previewpg_new ({values}) AS MATERIALIZED (SELECT {expressions} FROM previewpg_row{predicate})",
            identifier_list(wanted.iter().copied()),
        );
        let mut conditions: Vec<String> = (1..)
            .zip(&key.expressions)
            .map(|(n, expression)| {
                format!("({expression}) = ANY (ARRAY(SELECT previewpg_{n} FROM previewpg_new))")
            })
            .collect();
        if key.expressions.len() > 1 {
            conditions.push(format!(
                "({expressions}) IN (SELECT {values} FROM previewpg_new)"
            ));
        }
        conditions.extend(key.predicate.clone());
        self.rows(Search {
            unsteady,
            with,
            from: From::Lower,
            conditions,
            tail: None,
        })
    }

    /// The keys that an ON CONFLICT clause looks at; `None`: an exclusion constraint may be among them.
    fn arbiters(&self, conflict: &Conflict) -> Option<Vec<&'a Key>> {
        let keys = || self.relation.keys.iter();
        let found: Vec<&Key> = match &conflict.target {
            ConflictTarget::Any => keys().collect(),
            ConflictTarget::Constraint(name) => keys()
                .filter(|key| key.constraint && key.name == *name)
                .collect(),
            ConflictTarget::Columns(names) => keys()
                .filter(|key| {
                    !key.exclusion
                        && !key.partial
                        && key.columns.len() == names.len()
                        && key.columns.iter().all(|column| names.contains(column))
                })
                .collect(),
            ConflictTarget::Expressions => keys().filter(|key| !key.exclusion).collect(),
        };
        (!found.iter().any(|key| key.exclusion)).then_some(found)
    }

    /// A query for the values of the columns wanted in the rows to insert.
    fn inserted(
        &self,
        write: &Write,
        columns: Option<&[String]>,
        source: &InsertSource,
        wanted: &[&str],
    ) -> Result<Inserted, Refusal> {
        // A generated column's value is computed of others'; a function of the user's says volatile by default and may well give an existing key.
        let generated = |name: &&str| {
            self.relation
                .column(name)
                .is_some_and(|column| column.generated)
        };
        if wanted.iter().any(generated) || self.planner.calls_volatile_routine(&write.span) {
            return Ok(Inserted::Unknown);
        }
        let all: Vec<&str> = match columns {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => self
                .relation
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect(),
        };
        match source {
            InsertSource::Default => Ok(Inserted::Nothing),
            InsertSource::Values(rows) => {
                let with = self.level_with(write)?;
                let names = self
                    .planner
                    .level(write.level)
                    .map(|level| level.ctes.as_slice())
                    .unwrap_or_default();
                let mut lines = Vec::with_capacity(rows.len());
                for row in rows {
                    let mut values = Vec::with_capacity(wanted.len());
                    for name in wanted {
                        let given = all
                            .iter()
                            .position(|column| column == name)
                            .and_then(|at| row.get(at));
                        let given = given.and_then(Option::as_ref);
                        if with.is_none()
                            && given.is_some_and(|span| self.planner.mentions(span, names))
                        {
                            return Ok(Inserted::Unknown);
                        }
                        values.push(self.value(name, given)?);
                    }
                    lines.push(format!("({})", values.join(", ")));
                }
                Ok(Inserted::Rows {
                    with: with.unwrap_or_default(),
                    rows: format!("VALUES {}", lines.join(", ")),
                })
            }
            InsertSource::Query(query) => {
                let Some(level) = self.planner.level(write.level) else {
                    return Ok(Inserted::Unknown);
                };
                let with = self.with(write, level)?;
                if !self.is_usable(query, level, with.as_ref()) {
                    return Ok(Inserted::Unknown);
                }
                let mut values = Vec::with_capacity(wanted.len());
                for name in wanted {
                    values.push(if all.contains(name) {
                        self.cast(name, &quote_identifier(name))
                    } else {
                        self.value(name, None)?
                    });
                }
                // Without a column list the query may give fewer columns than the table has: no more are named than are looked at.
                let last = all
                    .iter()
                    .rposition(|name| wanted.contains(name))
                    .map_or(0, |last| last + 1);
                let named = if columns.is_some() { all.len() } else { last };
                let names = identifier_list(all.iter().take(named).copied());
                let query = self.render(query)?;
                let rows = format!(
                    "SELECT {} FROM ({query}) AS previewpg_s ({names})",
                    values.join(", ")
                );
                Ok(Inserted::Rows {
                    with: with.unwrap_or_default(),
                    rows,
                })
            }
        }
    }

    fn level_with(&self, write: &Write) -> Result<Option<String>, Refusal> {
        match self.planner.level(write.level) {
            Some(level) => self.with(write, level),
            None => Ok(None),
        }
    }

    /// A column's value in a row to insert: as given, or its default. What is made anew at each evaluation can't be an existing key: NULL.
    fn value(&self, column: &str, given: Option<&Span>) -> Result<String, Refusal> {
        let default = || {
            let column = self.relation.column(column);
            column
                .and_then(|column| column.stable_default.clone())
                .unwrap_or_else(|| "NULL".to_owned())
        };
        let text = match given {
            Some(span) if self.planner.is_volatile(span) => "NULL".to_owned(),
            Some(span) => self.render(span)?,
            None => default(),
        };
        Ok(self.cast(column, &text))
    }

    fn cast(&self, column: &str, text: &str) -> String {
        match self.relation.column(column) {
            Some(column) => format!("CAST({text} AS {})", column.type_name),
            None => text.to_owned(),
        }
    }
}
