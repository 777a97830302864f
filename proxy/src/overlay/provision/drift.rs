//! Production changed its schema while the preview lives: what that means for it. Pure: two descriptions of production and the preview as it is give
//! what is to be done.
//!
//! The rule is what a full copy of the older production, with the preview's own changes, would be after the same changes of the schema:
//! what only adds or loosens is done to upper as well (as a whole column, constraint, index, label), and lower reads the new description. A row that upper holds
//! gets production's value of a new column where production still has the row, else the column's default. What takes away something that the preview
//! still reads can't be done without taking it from the preview, and can't be left, for its rows would be wrong or missing: the relation is *halted*
//! (statements on it are refused) until the preview has made the same change, or is reset. What meets a change of the preview's own is left alone and
//! reported, with both sides named.

mod column;
mod relation;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::relation::{changed, gone};
use super::inspect::{Enum, Known, Preview, Production, Relation};
use crate::overlay::names::{qualified, quote_literal};

/// A change of production's schema that meets the preview's own and was left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collision {
    /// What it is about: `schema.table`, or the name of another object with its kind.
    pub object: String,
    /// What production has.
    pub production: String,
    /// What the preview has.
    pub preview: String,
    /// Statements on the table are refused until it is resolved: its rows can't be shown truly.
    pub refused: bool,
}

/// All that is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Statements before everything else: labels of enums. None of them may run in a transaction with what uses it.
    pub labels: Vec<Change>,
    /// One for each relation that isn't as production is.
    pub relations: Vec<RelationDrift>,
    /// Functions and views that production has replaced.
    pub definitions: Vec<Change>,
    /// Functions and views that both sides have replaced: otherwise, as far as their texts tell.
    pub disputed: Vec<Disputed>,
    /// What meets the preview's own changes, beside relations.
    pub collisions: Vec<Collision>,
}

/// A function or view that both sides have replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disputed {
    /// The statement that makes production's, as production prints it.
    pub production: String,
    /// The same of the preview's, as fresh prints it.
    pub preview: String,
    /// What is reported unless they mean the same.
    pub collision: Collision,
}

/// What is to be done about one relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelationDrift {
    /// Production's name of it, `schema.table`.
    pub name: String,
    /// Upper's OID.
    pub upper: u32,
    /// Production's new description; `None`: production has it no more.
    pub description: Option<Relation>,
    /// Done to upper in one transaction.
    pub structure: Vec<Change>,
    /// Upper's columns that read production: which column of it. For a relation that looks at production.
    pub reads: Option<BTreeMap<String, String>>,
    /// Columns to fill from production in rows that upper holds.
    pub fill: Vec<String>,
    /// Attached as if for the first time: it holds nothing, and its key has changed.
    pub anew: bool,
    /// Done afterwards, each by itself: what rows of the preview may break.
    pub promises: Vec<Change>,
    /// What comes in without a statement, for people.
    pub notes: Vec<String>,
    /// What was left alone.
    pub collisions: Vec<Collision>,
    /// Why statements on it are refused from now on. A sentence without its full stop.
    pub halt: Option<String>,
}

/// A statement, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// It.
    pub sql: String,
    /// What it brings in, for people.
    pub what: String,
    /// What is reported when it fails. Its `preview` is completed by the error.
    pub otherwise: Collision,
}

impl RelationDrift {
    fn collide(&mut self, production: String, preview: String) {
        self.collisions.push(Collision {
            object: self.name.clone(),
            production,
            preview,
            refused: false,
        });
    }

    /// Its rows can't be shown truly.
    fn refuse(&mut self, production: String, preview: String) {
        self.halt.get_or_insert_with(|| {
            format!("Production has changed: {production}; here {preview}. Make the same change in the preview, or reset it")
        });
        self.collisions.push(Collision {
            object: self.name.clone(),
            production,
            preview,
            refused: true,
        });
    }

    fn change(&self, sql: String, what: String, refused: bool) -> Change {
        Change {
            sql,
            otherwise: Collision {
                object: self.name.clone(),
                production: what.clone(),
                preview: String::new(),
                refused,
            },
            what: format!("{}: {what}", self.name),
        }
    }
}

/// What is to be done so that the preview shows production as it is now. `wanted` tells which relations still are to show production's rows.
#[must_use]
pub fn drift(
    preview: &Preview,
    production: &Production,
    wanted: impl Fn(&Relation) -> bool,
) -> Drift {
    let mut drift = Drift {
        labels: preview
            .enums
            .iter()
            .filter_map(|here| {
                production
                    .enums
                    .iter()
                    .find(|there| (&there.schema, &there.name) == (&here.schema, &here.name))
                    .map(|there| labels(here, there))
            })
            .flatten()
            .collect(),
        ..Drift::default()
    };
    let by_name: BTreeMap<(&str, &str), &Relation> = production
        .relations
        .iter()
        .map(|relation| ((relation.schema.as_str(), relation.name.as_str()), relation))
        .collect();
    let widenings: BTreeSet<(&str, &str)> = preview
        .widenings
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    for known in &preview.relations {
        let before = &known.description;
        let after = by_name
            .get(&(before.schema.as_str(), before.name.as_str()))
            .copied();
        let found = match after {
            Some(after) => changed(known, after, wanted(after), &widenings),
            None => gone(known, production),
        };
        drift.relations.extend(found);
    }
    replaced(preview, production, &mut drift);
    drift
}

/// The names of production's relations that a known one was renamed to: they aren't new.
pub(super) fn renamed<'a>(
    preview: &'a Preview,
    production: &'a Production,
) -> impl Iterator<Item = (&'a Known, &'a Relation)> {
    preview.relations.iter().filter_map(|known| {
        let before = &known.description;
        let still = production
            .relations
            .iter()
            .any(|relation| same_name(relation, before));
        (!still && before.oid != 0)
            .then(|| {
                production
                    .relations
                    .iter()
                    .find(|relation| relation.oid == before.oid)
            })
            .flatten()
            .map(|relation| (known, relation))
    })
}

fn same_name(one: &Relation, other: &Relation) -> bool {
    (&one.schema, &one.name) == (&other.schema, &other.name)
}

fn name_of(relation: &Relation) -> String {
    format!("{}.{}", relation.schema, relation.name)
}

/// The labels that production's enum has and the preview's lacks.
fn labels(here: &Enum, there: &Enum) -> Vec<Change> {
    let name = format!("{}.{}", there.schema, there.name);
    let target = qualified(&there.schema, &there.name);
    let present: BTreeSet<&str> = here
        .labels
        .iter()
        .flatten()
        .map(|(_, label)| label.as_str())
        .collect();
    let mut previous: Option<&str> = None;
    let mut changes = Vec::new();
    for (_, label) in there.labels.iter().flatten() {
        if !present.contains(label.as_str()) {
            let place = previous.map_or_else(
                || {
                    here.labels
                        .iter()
                        .flatten()
                        .next()
                        .map(|(_, first)| format!(" BEFORE {}", quote_literal(first)))
                        .unwrap_or_default()
                },
                |previous| format!(" AFTER {}", quote_literal(previous)),
            );
            let what = format!("value {} was added", quote_literal(label));
            changes.push(Change {
                sql: format!(
                    "ALTER TYPE {target} ADD VALUE IF NOT EXISTS {}{place}",
                    quote_literal(label)
                ),
                what: format!("type {name}: {what}"),
                otherwise: Collision {
                    object: format!("type {name}"),
                    production: what,
                    preview: String::new(),
                    refused: false,
                },
            });
        }
        previous = Some(label);
    }
    changes
}

/// Functions and views that are defined otherwise than before.
fn replaced(preview: &Preview, production: &Production, drift: &mut Drift) {
    let Some(before) = preview
        .settings
        .get("definitions")
        .and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok())
    else {
        return;
    };
    let own = preview
        .settings
        .get("own_definitions")
        .and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok())
        .unwrap_or_default();
    for (name, definition) in &production.definitions {
        let (Some(old), Some(here)) = (before.get(name), preview.definitions.get(name)) else {
            // A new one is restored; one that the preview dropped stays away.
            continue;
        };
        if *old == digest(definition) || digest(here) == digest(definition) {
            continue;
        }
        let collision = Collision {
            object: name.clone(),
            production: "it was defined anew".to_owned(),
            preview: String::new(),
            refused: false,
        };
        if own.get(name).is_some_and(|old| *old == digest(here)) {
            drift.definitions.push(Change {
                sql: definition.clone(),
                what: format!("{name} as it is defined now"),
                otherwise: collision,
            });
        } else {
            drift.disputed.push(Disputed {
                production: definition.clone(),
                preview: here.clone(),
                collision: Collision {
                    preview: "it was defined anew, too".to_owned(),
                    ..collision
                },
            });
        }
    }
}

/// A definition in a few characters.
pub(super) fn digest(definition: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(definition.trim().as_bytes())
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]
mod tests;
