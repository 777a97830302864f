//! What lets a refused statement run after all: tables of production that are copied up as a whole, within the limit. They are the preview's own from then
//! on, so whatever looks at them looks at all their rows: a function's body, a stored query, a row's place.

use std::collections::BTreeSet;

use super::plan::Refusal;
use super::{Context, refusal};
use crate::catalog::model::{Catalog, Oid, Relation, RelationKind};

/// The refusal, with the tables of production that have to be copied up for the statement to run: those among `relations`, and those under the views among
/// them. Where they're more than the limit allows, the DETAIL says so.
pub(super) fn unless_copied(
    mut refusal: Refusal,
    relations: impl IntoIterator<Item = Oid>,
    context: Context<'_>,
) -> Refusal {
    let Some(tables) = tables(relations, context.catalog) else {
        return refusal;
    };
    let size = Size::of(&tables, context.catalog);
    if size.is_within(context.catalog) {
        refusal.copy_up = tables.into_iter().collect();
    } else {
        refusal.detail = format!("{} {}", refusal.detail, size.excess(context.catalog));
    }
    refusal
}

/// Refuses a relation that can't be served, unless it can once it's copied up.
pub(super) fn refuse_unserved(relation: &Relation, context: Context<'_>) -> Result<(), Refusal> {
    let lower = relation.lower.as_ref();
    let Some(why) = lower.and_then(|lower| lower.unsupported.as_deref()) else {
        return Ok(());
    };
    let refusal = refusal::unsupported_relation(&relation.name, why);
    Err(unless_copied(refusal, [relation.oid], context))
}

/// The tables, those of a tree as its root; `None` where one can't be copied up, or where there is none. A materialized view of production can't, but whoever
/// reads it hears that it isn't populated.
fn tables(relations: impl IntoIterator<Item = Oid>, catalog: &Catalog) -> Option<BTreeSet<Oid>> {
    let mut to_see: Vec<Oid> = relations.into_iter().collect();
    let (mut seen, mut tables) = (BTreeSet::new(), BTreeSet::new());
    while let Some(oid) = to_see.pop() {
        if !seen.insert(oid) || !catalog.is_backed(oid) {
            continue;
        }
        let relation = catalog.relations.get(&oid)?;
        match &relation.lower {
            Some(_) if relation.is_unpopulated() => {}
            Some(lower) if lower.read_only || lower.unsupported.is_some() && !lower.policed => {
                return None;
            }
            Some(lower) => {
                tables.insert(lower.root);
            }
            None if relation.kind == RelationKind::View => to_see.extend(&relation.reads),
            None => return None,
        }
    }
    (!tables.is_empty()).then_some(tables)
}

/// How much copying them takes, as production estimated it.
struct Size {
    rows: u64,
    bytes: u64,
}

impl Size {
    fn of(tables: &BTreeSet<Oid>, catalog: &Catalog) -> Self {
        let mut size = Self { rows: 0, bytes: 0 };
        for relation in catalog.relations.values() {
            let is_root = relation.kind == RelationKind::Partitioned;
            if let Some(lower) = &relation.lower
                && tables.contains(&lower.root)
                && !is_root
            {
                size.rows = size.rows.saturating_add(lower.rows);
                size.bytes = size.bytes.saturating_add(lower.bytes);
            }
        }
        size
    }

    fn is_within(&self, catalog: &Catalog) -> bool {
        self.rows <= catalog.max_copy_up_rows && self.bytes <= catalog.max_copy_up_bytes
    }

    fn excess(&self, catalog: &Catalog) -> String {
        format!(
            "Copied into the preview as a whole they would work, but that takes about {} rows and {}; the limit is {} rows and {}.",
            self.rows,
            mebibytes(self.bytes),
            catalog.max_copy_up_rows,
            mebibytes(catalog.max_copy_up_bytes)
        )
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1 << 20))
}
