//! Columns: which of before is which now, and what a type's modifiers say.

use super::super::inspect::{Column, Relation, UpperColumn};

/// Production's columns of before and after, paired.
pub(super) struct Columns<'a> {
    pub(super) pairs: Vec<(Option<&'a Column>, Option<&'a Column>)>,
}

impl<'a> Columns<'a> {
    /// A column keeps its number when it's renamed; in a table that was made anew the names alone count.
    pub(super) fn of(before: &'a Relation, after: &'a Relation) -> Self {
        let same_table = before.oid == after.oid && before.oid != 0;
        let same = |one: &Column, other: &Column| {
            if same_table {
                one.number == other.number
            } else {
                one.name == other.name
            }
        };
        // One that was dropped and added again under its name and type.
        let again = |old: &Column| {
            after.columns.iter().find(|new| {
                (&new.name, &new.type_name) == (&old.name, &old.type_name)
                    && !before.columns.iter().any(|other| same(other, new))
            })
        };
        let mut pairs: Vec<(Option<&Column>, Option<&Column>)> = before
            .columns
            .iter()
            .map(|old| {
                let now = after.columns.iter().find(|new| same(old, new));
                (Some(old), now.or_else(|| again(old)))
            })
            .collect();
        let added: Vec<&Column> = after
            .columns
            .iter()
            .filter(|new| {
                !pairs
                    .iter()
                    .any(|(_, paired)| paired.is_some_and(|paired| std::ptr::eq(paired, *new)))
            })
            .collect();
        pairs.extend(added.into_iter().map(|new| (None, Some(new))));
        Self { pairs }
    }

    /// A column's name now.
    pub(super) fn now(&self, before: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .find(|(old, _)| old.is_some_and(|old| old.name == before))
            .and_then(|(_, new)| *new)
            .map(|new| new.name.as_str())
    }
}

/// Whether a type's modifiers only give more room.
pub(super) fn longer(name: &str, from: &[u32], to: &[u32]) -> bool {
    match (name, from, to) {
        ("character varying" | "bit varying", [from], [to]) => to >= from,
        ("numeric", [from, from_scale], [to, to_scale]) => to_scale == from_scale && to >= from,
        _ => false,
    }
}

/// `numeric(10,2)` as its name and modifiers.
pub(super) fn base(name: &str) -> (&str, Vec<u32>) {
    let Some((base, rest)) = name.split_once('(') else {
        return (name, Vec::new());
    };
    let modifiers: Option<Vec<u32>> = rest
        .strip_suffix(')')
        .map(|inner| {
            inner
                .split(',')
                .map(|part| part.trim().parse().ok())
                .collect()
        })
        .unwrap_or_default();
    // What can't be read is nothing's equal: a type of its own.
    modifiers.map_or((name, Vec::new()), |modifiers| (base, modifiers))
}

pub(super) fn describe(column: &Column) -> String {
    format!(
        "{}{}",
        column.type_name,
        if column.not_null { " NOT NULL" } else { "" }
    )
}

pub(super) fn describe_upper(column: &UpperColumn) -> String {
    format!(
        "{}{}",
        column.type_name,
        if column.not_null { " NOT NULL" } else { "" }
    )
}
