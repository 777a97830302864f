//! Production changed its schema while the preview lives: what that means for it. Pure: two descriptions of production and the preview as it is give
//! what is to be done.
//!
//! The rule is what a full copy of the older production, with the preview's own changes, would be after the same changes of the schema:
//! what only adds or loosens is done to upper as well (as a whole column, constraint, index, label), and lower reads the new description. A row that upper holds
//! gets production's value of a new column where production still has the row, else the column's default. What takes away something that the preview
//! still reads can't be done without taking it from the preview, and can't be left, for its rows would be wrong or missing: the relation is *halted*
//! (statements on it are refused) until the preview has made the same change, or is reset. What meets a change of the preview's own is left alone and
//! reported, with both sides named.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inspect::{Column, Enum, Known, Preview, Production, Relation, UpperColumn};
use crate::overlay::names::{qualified, quote_identifier, quote_literal};

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

/// Production's relation of that name is gone.
fn gone(known: &Known, production: &Production) -> Option<RelationDrift> {
    let before = &known.description;
    let upper = known.upper?;
    if !matches!(known.state.as_str(), "merged" | "read_only") {
        return None;
    }
    let mut drift = RelationDrift {
        name: name_of(before),
        upper,
        ..RelationDrift::default()
    };
    let now = (before.oid != 0)
        .then(|| {
            production
                .relations
                .iter()
                .find(|other| other.oid == before.oid)
        })
        .flatten();
    let here = match (&known.schema, &known.name) {
        (Some(schema), Some(name)) if (schema, name) == (&before.schema, &before.name) => {
            "it still has its name".to_owned()
        }
        (Some(schema), Some(name)) => format!("it is {schema}.{name}"),
        _ => "it is still there".to_owned(),
    };
    if let Some(now) = now {
        if known.schema.as_ref() == Some(&now.schema) && known.name.as_ref() == Some(&now.name) {
            // The preview had renamed it likewise.
            return changed(known, now, true, &BTreeSet::new());
        }
        drift.refuse(format!("it was renamed to {}", name_of(now)), here);
    } else {
        drift.refuse("it was dropped, or can't be seen any more".to_owned(), here);
    }
    Some(drift)
}

/// Production's relation is there; `None`: nothing is to be done.
fn changed(
    known: &Known,
    after: &Relation,
    wanted: bool,
    widenings: &BTreeSet<(&str, &str)>,
) -> Option<RelationDrift> {
    let before = &known.description;
    let mut drift = RelationDrift {
        name: name_of(before),
        description: Some(after.clone()),
        ..RelationDrift::default()
    };
    let reading = matches!(known.state.as_str(), "merged" | "read_only");
    let Some(upper) = known.upper else {
        if !same_structure(before, after) {
            drift.collide(
                "its structure has changed".to_owned(),
                "it was dropped".to_owned(),
            );
        }
        return (!drift.collisions.is_empty()).then_some(drift);
    };
    drift.upper = upper;
    if reading && !wanted {
        drift.refuse(
            "the selection shows none of its rows any more".to_owned(),
            "it showed them before".to_owned(),
        );
        return Some(drift);
    }
    if reading && !after.select {
        drift.refuse(
            "the role that reads it has lost its SELECT right".to_owned(),
            "its rows are still to be shown".to_owned(),
        );
        return Some(drift);
    }
    if same_structure(before, after) && !known.halted {
        return None;
    }
    if reading
        && (before.kind != after.kind
            || before.partition != after.partition
            || before.inherits != after.inherits
            || after.inherits && !same_structure(before, after))
    {
        drift.refuse(
            "it is another kind of table now, or another's part".to_owned(),
            "it is as it was".to_owned(),
        );
        return Some(drift);
    }
    if known.state == "unsupported" {
        // What stood in the way may be gone.
        drift.anew = true;
        return Some(drift);
    }
    let paired = Columns::of(before, after);
    let renamed =
        known.schema.as_ref() != Some(&after.schema) || known.name.as_ref() != Some(&after.name);
    let mut planner = Planner {
        known,
        after,
        target: qualified(
            known.schema.as_deref().unwrap_or(&after.schema),
            known.name.as_deref().unwrap_or(&after.name),
        ),
        reading,
        renamed,
        widenings,
        reads: BTreeMap::new(),
        drift,
    };
    planner.columns(&paired);
    planner.key(&paired);
    planner.promises();
    let Planner {
        mut drift, reads, ..
    } = planner;
    if reading && drift.halt.is_none() {
        drift.reads = Some(reads);
    }
    if drift.anew {
        // The key must be there when it's attached.
        let promises = std::mem::take(&mut drift.promises);
        drift.structure.extend(promises);
        drift.fill.clear();
    }
    if drift.halt.is_some() {
        drift.structure.clear();
        drift.promises.clear();
        drift.fill.clear();
        drift.anew = false;
    }
    Some(drift)
}

/// Everything but what changes by itself.
fn same_structure(one: &Relation, other: &Relation) -> bool {
    let plain = |relation: &Relation| Relation {
        rows: 0,
        bytes: 0,
        oid: 0,
        adopted: false,
        ..relation.clone()
    };
    plain(one) == plain(other)
}

/// Production's columns of before and after, paired.
struct Columns<'a> {
    pairs: Vec<(Option<&'a Column>, Option<&'a Column>)>,
}

impl<'a> Columns<'a> {
    /// A column keeps its number when it's renamed; in a table that was made anew the names alone count.
    fn of(before: &'a Relation, after: &'a Relation) -> Self {
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
    fn now(&self, before: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .find(|(old, _)| old.is_some_and(|old| old.name == before))
            .and_then(|(_, new)| *new)
            .map(|new| new.name.as_str())
    }
}

struct Planner<'a> {
    known: &'a Known,
    after: &'a Relation,
    /// Upper's name, quoted.
    target: String,
    reading: bool,
    /// The preview renamed it.
    renamed: bool,
    widenings: &'a BTreeSet<(&'a str, &'a str)>,
    reads: BTreeMap<String, String>,
    drift: RelationDrift,
}

impl Planner<'_> {
    fn columns(&mut self, paired: &Columns<'_>) {
        for (old, new) in &paired.pairs {
            match (old, new) {
                (None, Some(new)) => self.added(new),
                (Some(old), None) => self.dropped(old),
                (Some(old), Some(new)) => self.kept(old, new),
                (None, None) => {}
            }
        }
    }

    /// Upper's column that reads a column of production.
    fn reader(&self, column: &str) -> Option<&UpperColumn> {
        let known = self.known;
        known
            .columns
            .iter()
            .find(|here| here.reads.as_deref() == Some(column))
            // Without lower, names alone tell.
            .or_else(|| {
                (!self.reading)
                    .then(|| known.columns.iter().find(|here| here.name == column))
                    .flatten()
            })
    }

    fn added(&mut self, new: &Column) {
        if self.reading
            && let Some(reader) = self.reader(&new.name)
        {
            // It was brought in before, and something else of the relation was not.
            self.reads.insert(reader.name.clone(), new.name.clone());
            return;
        }
        let own = self.known.columns.iter().find(|here| here.name == new.name);
        if let Some(own) = own {
            if own.type_name == new.type_name && (!own.not_null || new.not_null) {
                if self.reading {
                    self.reads.insert(own.name.clone(), new.name.clone());
                    self.drift.notes.push(format!(
                        "{}: column \"{}\" shows production's, which has it now, too",
                        self.drift.name, own.name
                    ));
                }
            } else {
                self.drift.collide(
                    format!("column \"{}\" was added as {}", new.name, describe(new)),
                    format!(
                        "column \"{}\" was added as {}",
                        own.name,
                        describe_upper(own)
                    ),
                );
            }
            return;
        }
        let what = format!("column \"{}\" was added as {}", new.name, describe(new));
        if self.renamed {
            let here = self.whereabouts();
            self.drift.collide(what, here);
            return;
        }
        if self.after.partition {
            // It comes with its root's.
            if self.reading {
                self.reads.insert(new.name.clone(), new.name.clone());
            }
            return;
        }
        let identifier = quote_identifier(&new.name);
        let mut definition = format!(
            "ALTER TABLE {} ADD COLUMN {identifier} {}",
            self.target, new.type_name
        );
        if let Some(collation) = &new.collation {
            definition.push_str(&format!(" COLLATE {collation}"));
        }
        match (&new.default, new.generated, new.identity.as_str()) {
            (Some(expression), true, _) => {
                definition.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
            }
            (Some(expression), false, _) => definition.push_str(&format!(" DEFAULT {expression}")),
            (None, _, "a") => definition.push_str(" GENERATED ALWAYS AS IDENTITY"),
            (None, _, "d") => definition.push_str(" GENERATED BY DEFAULT AS IDENTITY"),
            _ => {}
        }
        let change = self.drift.change(definition, what, false);
        self.drift.structure.push(change);
        if self.reading {
            self.reads.insert(new.name.clone(), new.name.clone());
            if !new.generated {
                self.drift.fill.push(new.name.clone());
            }
        }
        if new.not_null && new.identity.is_empty() {
            let change = self.drift.change(
                format!(
                    "ALTER TABLE {} ALTER COLUMN {identifier} SET NOT NULL",
                    self.target
                ),
                format!("column \"{}\" is NOT NULL", new.name),
                false,
            );
            self.drift.promises.push(change);
        }
    }

    fn whereabouts(&self) -> String {
        format!(
            "it is {}.{}",
            self.known.schema.as_deref().unwrap_or_default(),
            self.known.name.as_deref().unwrap_or_default()
        )
    }

    fn dropped(&mut self, old: &Column) {
        if let Some(reader) = self.reader(&old.name).filter(|_| self.reading) {
            let here = format!("column \"{}\" shows it", reader.name);
            self.drift
                .refuse(format!("column \"{}\" was dropped", old.name), here);
        }
    }

    fn kept(&mut self, old: &Column, new: &Column) {
        let Some(reader) = self
            .reader(&old.name)
            // After a rename that was brought in already.
            .or_else(|| self.reader(&new.name))
            .cloned()
        else {
            // The preview dropped it, or it never came: nothing reads it.
            return;
        };
        if old.name != new.name && reader.name != new.name {
            let renamed = format!("column \"{}\" was renamed to \"{}\"", old.name, new.name);
            let here = format!("it is \"{}\"", reader.name);
            if self.reading {
                self.drift.refuse(renamed, here);
            }
            return;
        }
        if self.reading {
            self.reads.insert(reader.name.clone(), new.name.clone());
        }
        if old.type_name != new.type_name || old.collation != new.collation {
            self.retyped(&reader, old, new);
        }
        self.loosened(&reader, old, new);
        if old.default != new.default && !old.generated && !new.generated && !self.renamed {
            self.other_default(&reader, old, new);
        }
    }

    fn retyped(&mut self, reader: &UpperColumn, old: &Column, new: &Column) {
        let what = format!("column \"{}\" is {} now", new.name, describe(new));
        if reader.type_name == new.type_name {
            return;
        }
        let here = format!("it is {}", describe_upper(reader));
        let untouched = reader.type_name == old.type_name && !self.renamed;
        let lossless = self.widens(&old.type_name, &new.type_name);
        let nothing_held = !self.known.written && self.reading;
        if untouched && (lossless || nothing_held) && !self.after.partition {
            let identifier = quote_identifier(&reader.name);
            let using = if lossless {
                String::new()
            } else {
                // There are no rows here; all come from production in the new type.
                format!(" USING NULL::{}", new.type_name)
            };
            let change = self.drift.change(
                format!(
                    "ALTER TABLE {} ALTER COLUMN {identifier} TYPE {}{}{using}",
                    self.target,
                    new.type_name,
                    new.collation
                        .as_ref()
                        .map(|collation| format!(" COLLATE {collation}"))
                        .unwrap_or_default()
                ),
                what,
                self.reading,
            );
            self.drift.structure.push(change);
        } else if self.after.partition && (untouched && (lossless || nothing_held)) {
            // Its root's change comes down to it.
        } else if !self.reading || self.widens(&new.type_name, &reader.type_name) {
            self.drift.collide(what, here);
        } else {
            self.drift.refuse(what, here);
        }
    }

    /// NOT NULL was dropped or set.
    fn loosened(&mut self, reader: &UpperColumn, old: &Column, new: &Column) {
        if old.not_null == new.not_null
            || reader.not_null == new.not_null
            || self.renamed
            || self.after.partition
        {
            return;
        }
        let identifier = quote_identifier(&reader.name);
        let (action, what) = if new.not_null {
            ("SET", "is NOT NULL now")
        } else {
            ("DROP", "may be NULL now")
        };
        let change = self.drift.change(
            format!(
                "ALTER TABLE {} ALTER COLUMN {identifier} {action} NOT NULL",
                self.target
            ),
            format!("column \"{}\" {what}", new.name),
            !new.not_null && self.reading,
        );
        if new.not_null {
            self.drift.promises.push(change);
        } else {
            self.drift.structure.push(change);
        }
    }

    fn other_default(&mut self, reader: &UpperColumn, old: &Column, new: &Column) {
        if reader.default == new.default {
            return;
        }
        let what = format!(
            "the default of column \"{}\" is {} now",
            new.name,
            new.default.as_deref().unwrap_or("none")
        );
        if reader.default != old.default {
            let here = format!("it is {}", reader.default.as_deref().unwrap_or("none"));
            self.drift.collide(what, here);
            return;
        }
        let identifier = quote_identifier(&reader.name);
        let action = new.default.as_ref().map_or_else(
            || "DROP DEFAULT".to_owned(),
            |to| format!("SET DEFAULT {to}"),
        );
        let change = self.drift.change(
            format!(
                "ALTER TABLE {} ALTER COLUMN {identifier} {action}",
                self.target
            ),
            what,
            false,
        );
        self.drift.promises.push(change);
    }

    /// The key that claims are kept by must be one on production still.
    fn key(&mut self, paired: &Columns<'_>) {
        if self.known.state != "merged" || self.known.key.is_empty() {
            return;
        }
        let origins: Option<BTreeSet<&str>> = self
            .known
            .key
            .iter()
            .map(|name| {
                let column = self.known.columns.iter().find(|here| here.name == *name)?;
                let reads = column.reads.as_deref()?;
                paired.now(reads).or_else(|| {
                    self.reads.get(name).map(String::as_str).and_then(|now| {
                        self.after
                            .columns
                            .iter()
                            .find(|c| c.name == now)
                            .map(|c| c.name.as_str())
                    })
                })
            })
            .collect();
        let nullable = |name: &str| {
            self.after
                .columns
                .iter()
                .any(|column| column.name == name && !column.not_null)
        };
        let holds =
            origins.as_ref().is_some_and(|origins| {
                !origins.iter().any(|name| nullable(name))
                    && self.after.keys.iter().any(|key| {
                        key.iter().map(String::as_str).collect::<BTreeSet<_>>() == *origins
                    })
            });
        if holds {
            return;
        }
        if !self.known.written && !self.renamed && !self.after.partition && self.after.kind == "r" {
            self.drift.anew = true;
            return;
        }
        let there = self.after.keys.first().map_or_else(
            || "it has no key any more".to_owned(),
            |key| format!("its key is ({}) now", key.join(", ")),
        );
        let here = format!(
            "its changed rows are known by ({})",
            self.known.key.join(", ")
        );
        self.drift.refuse(there, here);
    }

    /// Constraints and indexes.
    fn promises(&mut self) {
        if !matches!(self.known.state.as_str(), "merged" | "detached" | "empty") {
            return;
        }
        let before = &self.known.description;
        // Foreign keys last: they want the keys that they refer to.
        let (foreign, others): (Vec<_>, Vec<_>) = self
            .after
            .constraints
            .iter()
            .partition(|(_, definition)| definition.starts_with("FOREIGN KEY"));
        let gone: Vec<(String, String, String)> = before
            .constraints
            .iter()
            .filter(|(name, definition)| self.after.constraints.get(*name) != Some(*definition))
            .map(|(name, definition)| (name.clone(), definition.clone(), "CONSTRAINT".to_owned()))
            .chain(
                before
                    .indexes
                    .iter()
                    .filter(|(name, definition)| self.after.indexes.get(*name) != Some(*definition))
                    .map(|(name, definition)| {
                        (name.clone(), definition.clone(), "INDEX".to_owned())
                    }),
            )
            .collect();
        for (name, definition, kind) in gone {
            self.dropped_promise(&name, &definition, &kind);
        }
        for (name, definition) in others {
            self.new_promise(name, definition, "constraint");
        }
        for (name, definition) in &self.after.indexes {
            self.new_promise(name, definition, "index");
        }
        for (name, definition) in foreign {
            self.new_promise(name, definition, "constraint");
        }
    }

    fn dropped_promise(&mut self, name: &str, definition: &str, kind: &str) {
        let constraint = kind == "CONSTRAINT";
        let here = if constraint {
            self.known.constraints.get(name)
        } else {
            self.known.indexes.get(name)
        };
        let there = if constraint {
            self.after.constraints.get(name)
        } else {
            self.after.indexes.get(name)
        };
        let what = format!("{} \"{name}\" was dropped", kind.to_lowercase());
        match here {
            None => {}
            // The preview has changed it likewise.
            Some(here) if there == Some(here) => {}
            Some(here) if here == definition && !self.renamed => {
                let identifier = quote_identifier(name);
                let sql = if constraint {
                    format!("ALTER TABLE {} DROP CONSTRAINT {identifier}", self.target)
                } else {
                    format!(
                        "DROP INDEX {}",
                        qualified(&self.known.description.schema, name)
                    )
                };
                let change = self.drift.change(sql, what, false);
                self.drift.promises.push(change);
            }
            Some(here) => {
                let here = format!("it is {here}");
                self.drift.collide(what, here);
            }
        }
    }

    fn new_promise(&mut self, name: &str, definition: &str, kind: &str) {
        let (here, before) = if kind == "constraint" {
            (
                self.known.constraints.get(name),
                self.known.description.constraints.get(name),
            )
        } else {
            (
                self.known.indexes.get(name),
                self.known.description.indexes.get(name),
            )
        };
        if before.is_some_and(|before| before == definition) {
            return;
        }
        let what = format!("{kind} \"{name}\" was added: {definition}");
        match here {
            Some(here) if here == definition => return,
            // One that is replaced was dropped just before, if it was as production had it.
            Some(here) if before != Some(here) => {
                let here = format!("\"{name}\" is {here}");
                self.drift.collide(what, here);
                return;
            }
            _ => {}
        }
        if self.renamed {
            let here = self.whereabouts();
            self.drift.collide(what, here);
            return;
        }
        let sql = if kind == "constraint" {
            format!(
                "ALTER TABLE {} ADD CONSTRAINT {} {definition}",
                self.target,
                quote_identifier(name)
            )
        } else {
            definition.to_owned()
        };
        let change = self.drift.change(sql, what, false);
        self.drift.promises.push(change);
    }

    /// A change of type that loses nothing.
    fn widens(&self, from: &str, to: &str) -> bool {
        if from == to {
            return true;
        }
        let (from_base, from_modifier) = base(from);
        let (to_base, to_modifier) = base(to);
        if to_modifier.is_empty() {
            return from_base == to_base || self.widenings.contains(&(from_base, to_base));
        }
        from_base == to_base && longer(from_base, &from_modifier, &to_modifier)
    }
}

/// Whether a type's modifiers only give more room.
fn longer(name: &str, from: &[u32], to: &[u32]) -> bool {
    match (name, from, to) {
        ("character varying" | "bit varying", [from], [to]) => to >= from,
        ("numeric", [from, from_scale], [to, to_scale]) => to_scale == from_scale && to >= from,
        _ => false,
    }
}

/// `numeric(10,2)` as its name and modifiers.
fn base(name: &str) -> (&str, Vec<u32>) {
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

fn describe(column: &Column) -> String {
    format!(
        "{}{}",
        column.type_name,
        if column.not_null { " NOT NULL" } else { "" }
    )
}

fn describe_upper(column: &UpperColumn) -> String {
    format!(
        "{}{}",
        column.type_name,
        if column.not_null { " NOT NULL" } else { "" }
    )
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
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]
mod tests;
