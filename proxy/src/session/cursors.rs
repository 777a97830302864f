//! Which of this transaction's cursors go over merged rows, so that `WHERE CURRENT OF` can't stand on them.
//!
//! Where a row of production is the current one, PostgreSQL finds no row of upper under the cursor, and changes nothing. A cursor that locks its rows has had them
//! copied up, and goes over upper alone; one of a function's goes over tables that were copied up as a whole. On those, PostgreSQL's own answer is right.

use std::collections::BTreeSet;

use crate::rewrite::plan::{Plan, Refusal};
use crate::rewrite::refuse_current_of;
use crate::sql::facts::{Cursor, Kind, Statement};

/// Bytes of an identifier.
const MAX_NAME: usize = 63;

/// Their names. One stays until the transaction's end: whether its cursor was closed before, PostgreSQL alone knows.
#[derive(Debug, Default)]
pub(crate) struct Merged(BTreeSet<String>);

impl Merged {
    /// Notes the cursor that a statement to be run declares, or is bound to as a portal.
    pub(super) fn open(&mut self, portal: &[u8], statement: &Statement, plan: &Plan) {
        let merged = match plan {
            Plan::Production(production) => production.fresh.merged,
            Plan::Fresh(fresh) => fresh.merged,
            Plan::Pass(_) | Plan::Refuse(_) => false,
        };
        if !merged {
            return;
        }
        match &statement.kind {
            Kind::Declare { name, .. } => self.0.insert(name.clone()),
            Kind::Query if !portal.is_empty() => {
                // PostgreSQL knows it by as much of its name as an identifier can have.
                let name = portal.get(..MAX_NAME).unwrap_or(portal);
                self.0.insert(String::from_utf8_lossy(name).into_owned())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Merged;
    use crate::rewrite::plan::{Effects, Fresh, Plan};
    use crate::sql::facts::read;

    fn plan(merged: bool) -> Plan {
        Plan::Fresh(Box::new(Fresh {
            before: Vec::new(),
            text: Some("ours".into()),
            merged,
            dirties: Vec::new(),
            effects: Effects::default(),
            describe_original: true,
        }))
    }

    fn refused(portal: &str, opens: &str, merged: bool, changes: &str) -> bool {
        let statement = |text| read(text, true).statements.remove(0);
        let mut cursors = Merged::default();
        cursors.open(portal.as_bytes(), &statement(opens), &plan(merged));
        let pass = Plan::Pass(Effects::default());
        cursors.refusal(&statement(changes), &pass).is_some()
    }

    #[test]
    fn what_stands_on_merged_rows_is_known_by_postgresqls_name() {
        let change = |cursor: &str| format!("UPDATE t SET a = 1 WHERE CURRENT OF {cursor}");
        let long = "q".repeat(70);
        for (portal, opens, cursor) in [
            ("", "DECLARE C CURSOR FOR SELECT * FROM t", "c"),
            ("p", "SELECT * FROM t", "p"),
            (long.as_str(), "SELECT * FROM t", long.as_str()),
            (
                "",
                &format!("DECLARE {long} CURSOR FOR SELECT 1"),
                &long[..63],
            ),
        ] {
            assert!(refused(portal, opens, true, &change(cursor)), "{opens}");
            assert!(!refused(portal, opens, false, &change(cursor)), "{opens}");
            assert!(!refused(portal, opens, true, &change("other")), "{opens}");
        }
    }
}
