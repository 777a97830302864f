//! What a change of one of production's relations means for the preview's.

use std::collections::{BTreeMap, BTreeSet};

use super::super::inspect::{Column, Known, Production, Relation, UpperColumn};
use super::column::{Columns, base, describe, describe_upper, longer};
use super::{RelationDrift, name_of};
use crate::overlay::names::{qualified, quote_identifier};

/// Production's relation of that name is gone.
pub(super) fn gone(known: &Known, production: &Production) -> Option<RelationDrift> {
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
pub(super) fn changed(
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
