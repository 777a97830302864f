//! Statements that the client prepared with SQL's PREPARE: fresh keeps them in the form that names had then, so one whose names mean something else
//! by now must not run. (Those of the extended protocol are planned anew by themselves, where they are bound; EXECUTE runs the client's own text.)

use std::collections::VecDeque;
use std::sync::Arc;

use crate::rewrite::plan::{Effects, Plan, Refusal};
use crate::sql::facts::{Kind, Statement};

use super::planner::Reading;

/// How many are remembered; the oldest are forgotten.
const KEPT: usize = 1024;

#[derive(Debug)]
struct Prepared {
    name: String,
    reading: Arc<str>,
    sent: Option<Arc<str>>,
    generation: u64,
    dropped: bool,
}

/// The PREPAREs of one session, also those that may have failed.
#[derive(Debug, Default)]
pub(crate) struct Prepares {
    list: VecDeque<Prepared>,
}

/// The prepared statement that this one runs.
pub(crate) fn executed(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Execute { name, .. }
        | Kind::CreateTableAs {
            execute: Some(name),
        } => Some(name),
        Kind::Explain { inner, .. } => executed(inner),
        _ => None,
    }
}

fn text(plan: &Plan) -> Option<Arc<str>> {
    match plan {
        Plan::Fresh(fresh) => fresh.text.clone(),
        Plan::Production(production) => production.fresh.text.clone(),
        Plan::Pass(_) | Plan::Refuse(_) => None,
    }
}

impl Prepares {
    /// Notes what a statement does to prepared statements.
    pub(crate) fn note(
        &mut self,
        reading: &Reading,
        statement: &Statement,
        plan: &Plan,
        generation: u64,
    ) {
        match &statement.kind {
            Kind::Prepare { name, .. } if !matches!(plan, Plan::Refuse(_)) => {
                let source: Arc<str> = Arc::from(reading.statement(statement));
                let sent = text(plan);
                self.list
                    .retain(|prepared| prepared.name != *name || !prepared.dropped);
                self.list.push_back(Prepared {
                    name: name.clone(),
                    reading: source,
                    sent,
                    generation,
                    dropped: false,
                });
                while self.list.len() > KEPT {
                    self.list.pop_front();
                }
            }
            Kind::Deallocate(which) => {
                let named = |prepared: &&mut Prepared| {
                    which.as_ref().is_none_or(|name| *name == prepared.name)
                };
                self.list
                    .iter_mut()
                    .filter(named)
                    .for_each(|prepared| prepared.dropped = true);
            }
            Kind::Discard(what) if what == "ALL" => {
                self.list
                    .iter_mut()
                    .for_each(|prepared| prepared.dropped = true);
            }
            _ => {}
        }
    }

    /// What a statement would run, where names may mean something else since: the PREPARE's text.
    pub(crate) fn outdated(&self, statement: &Statement, generation: u64) -> Vec<Arc<str>> {
        let Some(name) = executed(&statement.kind) else {
            return Vec::new();
        };
        let same_name = self.list.iter().filter(|prepared| prepared.name == name);
        same_name
            .filter(|prepared| prepared.generation != generation && !prepared.dropped)
            .map(|prepared| Arc::clone(&prepared.reading))
            .collect()
    }

    /// Whether the PREPARE would be sent otherwise now; if not, it's known to hold for this generation.
    pub(crate) fn has_changed(&mut self, source: &str, plan: &Plan, generation: u64) -> bool {
        let now = text(plan);
        let refused = matches!(plan, Plan::Refuse(_));
        let mut changed = false;
        for prepared in self
            .list
            .iter_mut()
            .filter(|prepared| *prepared.reading == *source)
        {
            if refused || prepared.sent != now {
                changed = true;
            } else {
                prepared.generation = generation;
            }
        }
        changed
    }
}

/// A transaction whose snapshot is older than a table's being copied up as a whole.
pub(crate) fn behind() -> Refusal {
    Refusal {
        sqlstate: "40001",
        ..Refusal::new(
            "snapshot",
            "could not serialize access due to a concurrent change of the schema",
            "Another session had a table copied into the preview as a whole after this transaction began.",
            "The transaction might succeed if retried.",
        )
    }
}

/// Whether EXECUTE may run a statement of the extended protocol: as it stands, and without a change to what the session knows.
pub(crate) fn runs_as_it_stands(statement: &Statement, plan: &Plan) -> bool {
    let reads_or_writes = matches!(
        statement.kind,
        Kind::Query | Kind::Insert | Kind::Update | Kind::Delete | Kind::Merge | Kind::Show
    );
    reads_or_writes && *plan == Plan::Pass(Effects::default())
}

/// EXECUTE of a statement that the client prepared by the extended protocol.
pub(crate) fn by_protocol(statement: &Statement) -> Refusal {
    let name = executed(&statement.kind).unwrap_or_default();
    Refusal::new(
        "prepared_by_protocol",
        format!("prepared statement \"{name}\" can't be run by EXECUTE in this preview"),
        "It was prepared by the protocol's Parse, and EXECUTE would run it over the preview's own rows only.",
        "Run it by the protocol's Bind and Execute, or PREPARE it under another name.",
    )
}

/// EXECUTE of a statement that was prepared before a schema change.
pub(crate) fn refusal(statement: &Statement) -> Refusal {
    let name = executed(&statement.kind).unwrap_or_default();
    Refusal::new(
        "prepared_before_change",
        format!("prepared statement \"{name}\" can't run any more in this preview"),
        "A schema change or another search path gave its names another meaning after it was prepared.",
        "DEALLOCATE it and PREPARE it again.",
    )
}
