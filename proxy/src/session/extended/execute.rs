//! Execute: a portal runs on fresh, or its read on production.

use bytes::Bytes;

use super::super::conversation::{Asked, Conversation, Work, pass};
use super::super::expect::{Answer, Expect, OnError, Rows};
use super::super::production::{Read, ReadEvent};
use super::super::statement::{Columns, Portal};
use crate::admin::metrics::Placement;
use crate::rewrite::plan::{Effects, Plan, Refusal};
use crate::wire::frame::body;
use crate::wire::frontend::{self, Bind};

impl Conversation {
    /// Execute.
    pub(crate) fn execute(&mut self, frame: Bytes) -> Option<Work> {
        let forward = Expect::Execute {
            rows: Rows::Forward,
            error: OnError::AsIs,
        };
        let Ok(message) = frontend::Execute::read(body(&frame)) else {
            self.flight.send(forward, pass(&frame));
            return None;
        };
        let Some(portal) = self.statements.portal(message.portal).cloned() else {
            self.flight.send(forward, pass(&frame));
            return None;
        };
        if let Some(refusal) = self.refuse_portal(&portal) {
            self.refuse_parse(&refusal);
            return None;
        }
        if let (Some(bound), Plan::Production(plan)) = (&portal.read, portal.plan.as_ref()) {
            if message.max_rows == 0 && !portal.stays {
                if !self.answered() {
                    self.flight.flush();
                    return Some(Work::Execute(frame));
                }
                if let Ok(bind) = Bind::read(&bound.bind) {
                    let formats: Vec<i16> = bind.result_formats().collect();
                    let in_block = self.status == b'T';
                    if !self.flight.executed
                        && self.sight.may_leave(in_block)
                        && !(in_block && plan.transaction_time)
                        && self.may_read_formats(plan, &bound.description, &formats)
                    {
                        let read = Read::bound(plan, bound, &mut self.sight);
                        self.ask(Asked::Read(Box::new(read)));
                        return Some(Work::Execute(frame));
                    }
                }
            }
            if let Some(reading) = &portal.reading {
                match self.compare_columns(&plan.fresh, reading, &bound.description) {
                    Columns::Same => {}
                    Columns::Asked => {
                        self.stay(message.portal);
                        return Some(Work::Execute(frame));
                    }
                    Columns::Other => {
                        self.refuse_columns();
                        return None;
                    }
                }
            }
            self.materialize(message.portal, &portal);
        }
        self.run_portal(&frame, message.portal);
        None
    }

    /// Why what a portal runs can't stand on its cursor, which may have been declared since it was bound.
    fn refuse_portal(&self, portal: &Portal) -> Option<Refusal> {
        let reading = portal.reading.as_ref()?;
        let statement = reading.script.statements.first()?;
        self.sight.cursors.refusal(statement, &portal.plan)
    }

    /// This portal's read isn't for production any more.
    fn stay(&mut self, name: &[u8]) {
        if let Some(portal) = self.statements.portal(name).cloned() {
            let name = Bytes::copy_from_slice(name);
            self.statements.bind(
                name,
                Portal {
                    stays: true,
                    ..portal
                },
            );
        }
    }

    /// Sends the Bind that was kept for production to fresh after all.
    fn materialize(&mut self, name: &[u8], portal: &Portal) {
        let (Some(bound), Plan::Production(plan), Some(reading)) =
            (&portal.read, portal.plan.as_ref(), &portal.reading)
        else {
            return;
        };
        let Ok(message) = Bind::read(&bound.bind) else {
            return;
        };
        self.bind_on_fresh(
            &plan.fresh,
            reading,
            &message,
            &bound.description,
            Answer::Swallow,
        );
        self.statements.bind(
            Bytes::copy_from_slice(name),
            Portal {
                read: None,
                ..portal.clone()
            },
        );
    }

    fn run_portal(&mut self, frame: &[u8], name: &[u8]) {
        let Some(portal) = self.statements.portal(name).cloned() else {
            return;
        };
        let (effects, placement, ours) = match portal.plan.as_ref() {
            Plan::Pass(effects) => (*effects, Placement::Fresh, false),
            Plan::Fresh(fresh) => (fresh.effects, Placement::Merged, fresh.text.is_some()),
            Plan::Production(plan) => (plan.fresh.effects, Placement::Merged, true),
            Plan::Refuse(_) => (Effects::default(), Placement::Fresh, false),
        };
        let error = if ours {
            OnError::DropPosition
        } else {
            OnError::AsIs
        };
        self.flight.send(
            Expect::Execute {
                rows: Rows::Forward,
                error,
            },
            pass(frame),
        );
        let Some(reading) = &portal.reading else {
            return self.placed(placement, "");
        };
        self.placed(placement, &reading.text);
        if let Some(statement) = reading.script.statements.first() {
            self.sent(statement, effects);
            self.sent_prepare(reading, statement, &portal.plan);
        }
    }

    /// The read of an Execute ended.
    pub(crate) fn execute_ended(&mut self, end: ReadEvent) {
        let Some(Work::Execute(frame)) = self.work.take() else {
            return;
        };
        let Ok(message) = frontend::Execute::read(body(&frame)) else {
            return;
        };
        match end {
            ReadEvent::Rows(_) => self.work = Some(Work::Execute(frame)),
            ReadEvent::Done => {
                let portal = self.statements.portal(message.portal);
                let reading = portal.and_then(|portal| portal.reading.clone());
                self.placed_on_production(reading.as_ref().map_or("", |reading| &reading.text));
            }
            ReadEvent::Failed(report) => self.fail(report),
            ReadEvent::Fallback => {
                self.stay(message.portal);
                self.work = Some(Work::Execute(frame));
            }
        }
    }
}
