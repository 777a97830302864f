//! Which of this transaction's cursors go over merged rows, so that `WHERE CURRENT OF` can't stand on them.
//!
//! Where a row of production is the current one, PostgreSQL finds no row of upper under the cursor, and changes nothing. A cursor that locks its rows has had them
//! copied up, and goes over upper alone; one of a function's goes over tables that were copied up as a whole. On those, PostgreSQL's own answer is right.

use std::collections::BTreeSet;

use crate::rewrite::plan::{Plan, Refusal};
use crate::rewrite::refuse_current_of;
use crate::sql::facts::{Cursor, Kind, Statement};

/// Their names. One stays until the transaction's end: whether its cursor was closed before, PostgreSQL alone knows.
#[derive(Debug, Default)]
pub(crate) struct Merged(BTreeSet<String>);

impl Merged {
    /// Notes the cursor that a statement to be run declares, or is bound to as a portal.
    pub(super) fn open(&mut self, portal: &[u8], statement: &Statement, plan: &Plan) {
        let merged = match plan {
            Plan::Production(_) => true,
            Plan::Fresh(fresh) => fresh.text.is_some(),
            Plan::Pass(_) | Plan::Refuse(_) => false,
        };
        if !merged || statement.locks_rows() {
            return;
        }
        match &statement.kind {
            Kind::Declare { name, .. } => self.0.insert(name.clone()),
            Kind::Query if !portal.is_empty() => {
                self.0.insert(String::from_utf8_lossy(portal).into_owned())
            }
            _ => false,
        };
    }

    /// Why a statement can't change the row under its cursor.
    pub(super) fn refusal(&self, statement: &Statement, plan: &Plan) -> Option<Refusal> {
        if plan.effects().current_of && !self.0.is_empty() {
            let called = statement.functions.first();
            return Some(refuse_current_of(
                called.map_or("", |called| &called.name.name),
            ));
        }
        statement.writes.iter().find_map(|write| {
            let merged = match write.kind.current_of()? {
                Cursor::Named(name) => self.0.contains(name),
                Cursor::Parameter => !self.0.is_empty(),
            };
            let target = statement.relations.get(write.target);
            merged.then(|| refuse_current_of(target.map_or("", |target| &target.name.name)))
        })
    }

    /// The transaction has ended, and its cursors with it. (PostgreSQL itself refuses those that are held.)
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
