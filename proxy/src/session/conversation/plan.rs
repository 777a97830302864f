//! Planning what the client says: once names are known, with what the session's settings and what is prepared have to do with it.

use super::super::expect::{Answer, OnError};
use super::super::planner::{Reading, needs_names};
use super::super::prepared;
use super::{Asked, Conversation};
use crate::rewrite::plan::{Fresh, Plan, Refusal};
use crate::sql::facts::{Kind, Statement};

impl Conversation {
    /// Whether what names mean is known; if not, it is asked for.
    pub(crate) fn names_known(&mut self) -> bool {
        if self.barred() {
            return false;
        }
        if !self.sight.is_current() {
            self.ask(Asked::Current);
            return false;
        }
        let Some((rows, question)) = self.sight.lacks() else {
            return true;
        };
        if !self.asking {
            self.asking = true;
            let in_batch = self.flight.open;
            self.flight.run(
                b"previewpg_names",
                question.as_bytes(),
                rows,
                OnError::DropPosition,
            );
            if in_batch {
                self.flight.flush();
            } else {
                self.flight.sync(Answer::Swallow);
            }
        }
        false
    }

    /// Plans a statement. Names must be known.
    pub(crate) fn plan(&mut self, reading: &Reading, statement: &Statement) -> Plan {
        let started = std::time::Instant::now();
        let plan = self
            .common
            .readings
            .plan(reading, statement, self.sight.context());
        self.common.metrics.rewritten(started.elapsed());
        if self.sight.is_behind() && needs_names(statement) {
            return Plan::Refuse(prepared::behind());
        }
        let plan = self.with_executed(plan, reading, statement);
        let changes = !matches!(plan, Plan::Pass(_));
        if changes && !self.sight.readable() {
            return Plan::Refuse(Refusal::new(
                "client_encoding",
                "a statement over merged rows can't be read in this client_encoding",
                "In this encoding ASCII bytes may be parts of other characters, so the statement can't be changed safely.",
                "SET client_encoding = 'UTF8'.",
            ));
        }
        if reading.foreign_names {
            return Plan::Refuse(Refusal::new(
                "client_encoding",
                "a relation's name with characters beyond ASCII can't be read in this client_encoding",
                "The preview has to compare names with the catalog's, which is UTF8.",
                "SET client_encoding = 'UTF8'.",
            ));
        }
        if self.executes_past_the_plan(reading, statement) {
            return Plan::Refuse(prepared::by_protocol(statement));
        }
        if matches!(statement.kind, Kind::Prepare { .. }) && self.prepares.is_full() {
            return Plan::Refuse(prepared::too_many());
        }
        let generation = self.sight.generation();
        if let Some((name, source)) = self.prepares.outdated(statement, generation)
            && let Some((_, now)) = self.plan_of_prepare(&source)
        {
            let refusal = match now {
                Plan::Refuse(refusal) => Some(refusal),
                now => self.prepares.refuse_changed(name, &now, generation),
            };
            if let Some(refusal) = refusal {
                return Plan::Refuse(refusal);
            }
        }
        plan
    }

    /// Why a statement that is about to run can't stand on its cursor; notes the one that it declares, or is bound to as a portal. Not a part of its plan, which is kept: what a cursor's
    /// name stands for may be another one each time.
    pub(crate) fn refuse_cursor(
        &mut self,
        portal: &[u8],
        statement: &Statement,
        plan: &Plan,
    ) -> Option<Refusal> {
        let cursors = &mut self.sight.cursors;
        cursors.open(portal, statement, plan);
        cursors.refusal(statement, plan)
    }

    /// An EXECUTE's plan, with the effects of what it runs.
    fn with_executed(&self, plan: Plan, reading: &Reading, statement: &Statement) -> Plan {
        let Some(reading) = self.executed_reading(reading, statement) else {
            return plan;
        };
        let context = self.sight.context();
        let executed = reading.script.statements.first();
        let effects = executed
            .map(|first| {
                self.common
                    .readings
                    .plan(&reading, first, context)
                    .effects()
            })
            .unwrap_or_default();
        match plan {
            Plan::Pass(own) => Plan::Pass(own.and(effects)),
            Plan::Fresh(fresh) => Plan::Fresh(Box::new(Fresh {
                effects: fresh.effects.and(effects),
                ..*fresh
            })),
            plan => plan,
        }
    }

    /// Whether it's an EXECUTE of what Parse prepared, which fresh keeps in the client's own text, and which isn't to run as that.
    /// EXPLAIN alone runs nothing, and may show the plan of that text: sqlx reads there which columns of an outer join may be NULL.
    fn executes_past_the_plan(&self, reading: &Reading, statement: &Statement) -> bool {
        if matches!(statement.kind, Kind::Explain { analyze: false, .. }) {
            return false;
        }
        let Some(parsed) = self.parsed_reading(reading, statement) else {
            return false;
        };
        parsed.script.statements.first().is_some_and(|first| {
            let context = self.sight.context();
            let plan = self.common.readings.plan(parsed, first, context);
            parsed.foreign_names || !prepared::runs_as_it_stands(first, &plan)
        })
    }
}
