//! Statements that the client prepared with SQL's PREPARE: fresh keeps them in the form that names had then, so one whose names mean something else
//! by now is prepared anew before it's executed. (Those of the extended protocol are planned anew by themselves, where they are bound; EXECUTE runs the client's own text.)
//!
//! First it's prepared under a name of ours: PostgreSQL says what it has against the text now, as it would at EXECUTE, and what columns it gives; they must be the ones that it
//! had. A transaction's end changes nothing about what is prepared.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::conversation::Conversation;
use super::expect::{Describe, Expect, OnError, Rows};
use super::planner::Reading;
use crate::overlay::names::{quote_identifier, quote_literal};
use crate::rewrite::plan::{Effects, Plan, Refusal};
use crate::sql::facts::{self, Kind, Statement};
use crate::wire::backend;
use crate::wire::frontend::{self, Subject};

/// How many a session may have: each is remembered with its text.
const KEPT: usize = 4096;

/// The name of what prepares anew, and the beginning of that of what is tried.
const AGAIN: &str = "previewpg_again";

/// Asks for the types of a prepared statement's parameters.
const TYPES: &str = "SELECT '(' || (SELECT pg_catalog.string_agg(u.type::pg_catalog.text, ', ' ORDER BY u.place) \
    FROM pg_catalog.unnest(p.parameter_types) WITH ORDINALITY AS u(type, place)) || ')' FROM pg_catalog.pg_prepared_statements AS p";

/// What is refused until it's prepared anew.
const OUTDATED: &str = "prepared_before_change";

#[derive(Debug)]
struct Prepared {
    /// The client's PREPARE, in its encoding.
    source: Bytes,
    /// What was sent in its place.
    sent: Option<Arc<str>>,
    /// The generation of names that it's known to hold for; 0: none.
    generation: u64,
    /// Not known before fresh has said them.
    columns: Option<Columns>,
}

/// How far preparing one anew has come, with what is known by then.
#[derive(Debug, Default)]
enum Step {
    #[default]
    None,
    /// The types that its parameters have were asked for, as PREPARE names them: they stay. `None`: it has no parameters.
    Asked { types: Option<String> },
    /// It was prepared under a name of ours, and gives these columns.
    Tried {
        types: Option<String>,
        columns: Option<Columns>,
    },
}

/// What a statement gives (RowDescription's body); `None`: no rows.
type Columns = Option<Bytes>;

/// The PREPAREs of one session.
#[derive(Debug, Default)]
pub(crate) struct Prepares {
    made: HashMap<String, Prepared>,
    /// Those that were sent and haven't ended, in order.
    sent: VecDeque<(String, Prepared)>,
    /// The one that is to be prepared anew, if a statement was refused for that.
    due: Option<String>,
    step: Step,
    /// Of what was tried last.
    serial: u64,
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
    /// A PREPARE was sent in this form.
    fn sending(&mut self, name: &str, source: Bytes, sent: Option<Arc<str>>) {
        let prepared = Prepared {
            source,
            sent,
            generation: 0,
            columns: None,
        };
        self.sent.push_back((name.to_owned(), prepared));
    }

    /// The first that was sent has ended without an error.
    pub(crate) fn completed(&mut self) {
        if let Some((name, prepared)) = self.sent.pop_front() {
            self.made.insert(name, prepared);
        }
    }

    /// The client's PREPARE of this name, in its encoding.
    pub(crate) fn source(&self, name: &str) -> Option<&Bytes> {
        self.made.get(name).map(|prepared| &prepared.source)
    }

    /// Whether no more can be remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.made.len() + self.sent.len() >= KEPT
    }

    /// An error: what was sent isn't run.
    pub(crate) fn failed(&mut self) {
        self.sent.clear();
        self.step = Step::None;
    }

    /// The name of ours for what is tried.
    fn trial(&self) -> String {
        format!("{AGAIN}{}", self.serial)
    }

    /// The types of the parameters of what is to be prepared anew.
    pub(crate) fn typed(&mut self, found: Option<&[u8]>) {
        if let Step::Asked { types } = &mut self.step {
            *types = found.map(|types| String::from_utf8_lossy(types).into_owned());
        }
    }

    /// One is gone, or all are.
    pub(crate) fn gone(&mut self, name: Option<&str>) {
        match name {
            Some(name) => {
                self.made.remove(name);
            }
            None => self.made.clear(),
        }
    }

    /// The columns of one, or of what is tried.
    pub(crate) fn described(&mut self, name: &str, found: Columns) {
        match (self.made.get_mut(name), &mut self.step) {
            (Some(prepared), _) => prepared.columns = Some(found),
            (None, Step::Tried { columns, .. }) => *columns = Some(found),
            (None, _) => {}
        }
    }

    /// What a statement would run, where names may mean something else since: its name, and the client's PREPARE.
    pub(crate) fn outdated(
        &self,
        statement: &Statement,
        generation: u64,
    ) -> Option<(String, Bytes)> {
        let name = executed(&statement.kind)?;
        let prepared = self.made.get(name)?;
        (prepared.generation != generation).then(|| (name.to_owned(), prepared.source.clone()))
    }

    /// Refuses where the PREPARE would be sent otherwise now; if not, it's known to hold for this generation.
    pub(crate) fn refuse_changed(
        &mut self,
        name: String,
        plan: &Plan,
        generation: u64,
    ) -> Option<Refusal> {
        let prepared = self.made.get_mut(&name)?;
        if prepared.sent == text(plan) {
            prepared.generation = generation;
            return None;
        }
        self.due = Some(name);
        Some(outdated())
    }

    /// Whether what was tried gives the columns that it had.
    fn same_columns(&self, name: &str, tried: Option<&Columns>) -> bool {
        let had = self.made.get(name).map(|prepared| &prepared.columns);
        match (had, tried) {
            (Some(Some(had)), Some(tried)) => same_columns(had.as_ref(), tried.as_ref()),
            _ => true,
        }
    }
}

/// As PostgreSQL compares what a cached plan gives.
fn same_columns(had: Option<&Bytes>, gives: Option<&Bytes>) -> bool {
    let fields = |row: &Bytes| -> Option<Vec<(Vec<u8>, u32, i32)>> {
        let fields = backend::read_row_description(row).ok()?;
        let told =
            |field: &backend::Field<'_>| (field.name.to_vec(), field.type_oid, field.type_modifier);
        Some(fields.iter().map(told).collect())
    };
    had.map(fields) == gives.map(fields)
}

impl Conversation {
    /// A PREPARE was sent in this form: fresh is asked for its columns.
    pub(crate) fn sent_prepare(&mut self, reading: &Reading, statement: &Statement, plan: &Plan) {
        let Kind::Prepare { name, .. } = &statement.kind else {
            return;
        };
        let encoding = self.sight.encoding();
        let source = reading.encode(reading.statement(statement), encoding);
        let (Some(source), Some(encoded)) = (source, reading.encode(name, encoding)) else {
            return;
        };
        self.prepares.sending(name, source, text(plan));
        self.ask_columns(name.clone(), &encoded);
    }

    fn ask_columns(&mut self, name: String, encoded: &[u8]) {
        let expect = Expect::Describe {
            what: Describe::Prepared(name),
            error: OnError::DropPosition,
        };
        self.flight.send(expect, |out| {
            frontend::describe(Subject::Statement, encoded, out)
        });
    }

    fn reading_of_prepare(&self, source: &Bytes) -> Arc<Reading> {
        let (encoding, strings) = (self.sight.encoding(), self.sight.standard_strings());
        self.common.readings.read(source, encoding, strings)
    }

    /// What an EXECUTE runs, by SQL's PREPARE or the protocol's Parse. `reading`: its own.
    pub(crate) fn executed_reading(
        &self,
        reading: &Reading,
        statement: &Statement,
    ) -> Option<Arc<Reading>> {
        let name = executed(&statement.kind)?;
        match self.prepares.source(name) {
            Some(source) => Some(self.reading_of_prepare(source)),
            None => self.parsed_reading(reading, statement).cloned(),
        }
    }

    /// The same, if the protocol's Parse made it.
    pub(crate) fn parsed_reading(
        &self,
        reading: &Reading,
        statement: &Statement,
    ) -> Option<&Arc<Reading>> {
        let name = reading.encode(executed(&statement.kind)?, self.sight.encoding())?;
        self.statements.get(&name)?.reading.as_ref()
    }

    /// What the client's PREPARE would be sent as now. `None`: it has no statement.
    pub(crate) fn plan_of_prepare(&self, source: &Bytes) -> Option<(Arc<Reading>, Plan)> {
        let reading = self.reading_of_prepare(source);
        let statement = reading.script.statements.first()?;
        let context = self.sight.context();
        let plan = self.common.readings.plan(&reading, statement, context);
        Some((reading, plan))
    }

    /// Prepares anew what an EXECUTE that was refused for that runs. Gives whether that has to be waited for; then the statement is planned again.
    pub(crate) fn prepare_again(&mut self, refusal: &Refusal) -> bool {
        let Some(name) = self.prepares.due.take().filter(|_| is_outdated(refusal)) else {
            return false;
        };
        let Some(prepared) = self.prepares.made.get(&name) else {
            return false;
        };
        let Some((reading, plan)) = self.plan_of_prepare(&prepared.source) else {
            return false;
        };
        let Some(statement) = reading.script.statements.first() else {
            return false;
        };
        let (encoding, strings) = (self.sight.encoding(), self.sight.standard_strings());
        let sent = text(&plan);
        let now = sent
            .as_deref()
            .unwrap_or_else(|| reading.statement(statement));
        let (texts, step) = match std::mem::take(&mut self.prepares.step) {
            Step::None => {
                let of = format!("{TYPES} WHERE p.name = {}", quote_literal(&name));
                (Some(vec![(of, Rows::Types)]), Step::Asked { types: None })
            }
            Step::Asked { types } => {
                self.prepares.serial += 1;
                let trial = renamed(now, &self.prepares.trial(), types.as_deref(), strings);
                let texts = trial.map(|trial| vec![(trial, Rows::Drop)]);
                let columns = None;
                (texts, Step::Tried { types, columns })
            }
            Step::Tried { types, columns } => {
                let trial = format!("DEALLOCATE {}", self.prepares.trial());
                let mut texts = vec![(trial, Rows::Drop)];
                if self.prepares.same_columns(&name, columns.as_ref()) {
                    let quoted = quote_identifier(&name);
                    texts.push((format!("DEALLOCATE {quoted}"), Rows::Drop));
                    // As it stands, PostgreSQL's errors of it tell the right place.
                    let declared = matches!(&statement.kind, Kind::Prepare { types: Some(_), .. });
                    let again = match types.as_deref() {
                        None => Some(now.to_owned()),
                        Some(_) if declared => Some(now.to_owned()),
                        types => renamed(now, &quoted, types, strings),
                    };
                    texts.extend(again.map(|text| (text, Rows::Drop)));
                }
                (Some(texts), Step::None)
            }
        };
        let encoded = texts.and_then(|texts| {
            let encoded =
                |(text, rows): (String, Rows)| Some((reading.encode(&text, encoding)?, rows));
            texts.into_iter().map(encoded).collect::<Option<Vec<_>>>()
        });
        let Some(encoded) = encoded else {
            return false;
        };
        let count = encoded.len();
        for (text, rows) in encoded {
            self.run_again(&text, rows);
        }
        match &step {
            Step::Tried { .. } => {
                let trial = self.prepares.trial();
                self.ask_columns(trial.clone(), trial.as_bytes());
            }
            Step::Asked { .. } => {}
            // It was put in the place of the former, or has other columns.
            Step::None if count < 3 => return false,
            Step::None => {
                let generation = self.sight.generation();
                if let Some(prepared) = self.prepares.made.get_mut(&name) {
                    (prepared.sent, prepared.generation) = (sent, generation);
                }
            }
        }
        self.prepares.step = step;
        self.flight.flush();
        self.barrier = true;
        true
    }

    fn run_again(&mut self, text: &[u8], rows: Rows) {
        // One that failed is there still.
        self.flight.send(Expect::our_close(), |out| {
            frontend::close(Subject::Statement, AGAIN.as_bytes(), out)
        });
        let error = OnError::DropPosition;
        self.flight.run(AGAIN.as_bytes(), text, rows, error);
    }
}

/// A PREPARE under another name, with these types unless it has its own.
fn renamed(text: &str, name: &str, known: Option<&str>, standard_strings: bool) -> Option<String> {
    let script = facts::read(text, standard_strings);
    let [statement] = script.statements.as_slice() else {
        return None;
    };
    let Kind::Prepare { types, span, .. } = &statement.kind else {
        return None;
    };
    let types = match types {
        Some(types) => text.get(types.clone())?,
        None => known.unwrap_or_default(),
    };
    let query = text.get(span.clone())?;
    Some(format!("PREPARE {name} {types} AS {query}"))
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
    // Names are held in front of the EXECUTE.
    let held = Effects {
        names: plan.effects().names,
        ..Effects::default()
    };
    reads_or_writes && *plan == Plan::Pass(held)
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

/// PREPARE of one more than can be remembered.
pub(crate) fn too_many() -> Refusal {
    Refusal::new(
        "too_many_prepared",
        format!("a session of a preview can't PREPARE more than {KEPT} statements"),
        "The preview has to remember each of them, for a schema change may give its names another meaning.",
        "DEALLOCATE what isn't used any more.",
    )
}

/// EXECUTE of a statement that was prepared before a schema change, unless it can be prepared anew.
fn outdated() -> Refusal {
    Refusal::new(OUTDATED, "cached plan must not change result type", "", "")
}

/// Whether a statement that was refused may run after all once what it executes is prepared anew.
pub(crate) fn is_outdated(refusal: &Refusal) -> bool {
    refusal.construct == OUTDATED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_one_is_remembered_or_refused() {
        let mut prepares = Prepares::default();
        for number in 0..KEPT {
            assert!(!prepares.is_full());
            prepares.sending(&number.to_string(), Bytes::new(), None);
            if number % 2 == 0 {
                prepares.completed();
            }
        }
        assert!(prepares.is_full());
        prepares.gone(None);
        prepares.failed();
        assert!(!prepares.is_full());
    }
}
