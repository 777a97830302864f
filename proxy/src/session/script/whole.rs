//! What can be said of a query string as a whole: that it's sent as it came, or that its statements are sent one by one, and what then differs from PostgreSQL's own reading of it.

use super::super::conversation::{Conversation, pass};
use super::super::expect::{Expect, OnError};
use super::super::held::{Hold, Parsed, lasts};
use super::super::planner::{Reading, needs_names};
use super::Script;
use crate::admin::metrics::Placement;
use crate::catalog::unheld::Sent;
use crate::rewrite::plan::{Effects, Plan};
use crate::sql::facts::{Kind, Statement, Transaction};
use crate::sql::keyword::Keyword;
use crate::sql::lexer;

/// What to do with a whole string.
pub(super) enum Whole {
    /// Names have to be asked for first.
    Wait,
    /// Send it as it came; each statement's effects, and that the names of one aren't held.
    Forward(Vec<Effects>, Option<Sent>),
    /// Statement by statement; the first one's plan if it's known.
    Each(Option<Plan>),
}

/// What PostgreSQL calls a statement that it refuses in a string of several, which is a transaction block to it. In ours each comes as a message of its own.
pub(super) fn runs_alone(reading: &Reading, statement: &Statement) -> Option<&'static str> {
    if reading.script.statements.len() < 2 {
        return None;
    }
    let concurrently = || lexer::says(reading.statement(statement), Keyword::Concurrently);
    match &statement.kind {
        Kind::Discard(what) if what == "ALL" => Some("DISCARD ALL"),
        Kind::Utility { tag } => match tag.as_str() {
            "VACUUM" => Some("VACUUM"),
            "CREATE DATABASE" => Some("CREATE DATABASE"),
            "DROP DATABASE" => Some("DROP DATABASE"),
            "CREATE TABLESPACE" => Some("CREATE TABLESPACE"),
            "DROP TABLESPACE" => Some("DROP TABLESPACE"),
            "ALTER SYSTEM" => Some("ALTER SYSTEM"),
            "CREATE INDEX" if concurrently() => Some("CREATE INDEX CONCURRENTLY"),
            "REINDEX" if concurrently() => Some("REINDEX CONCURRENTLY"),
            "DROP INDEX" if concurrently() => Some("DROP INDEX CONCURRENTLY"),
            _ => None,
        },
        _ => None,
    }
}

impl Conversation {
    /// Decides about a whole string.
    pub(super) fn whole(&mut self, reading: &Reading) -> Whole {
        let statements = &reading.script.statements;
        if self.in_failed_block() {
            // What follows the end of a failed block is to be planned; the rest is rejected by PostgreSQL itself.
            return if statements.len() > 1 {
                Whole::Each(None)
            } else {
                Whole::Forward(vec![Effects::default(); statements.len()], None)
            };
        }
        let mut stable = true;
        let mut parsed = self.parsed_now();
        let mut all = Vec::with_capacity(statements.len());
        let mut unheld = None;
        for statement in statements {
            let needs = needs_names(statement);
            if needs && !stable {
                return Whole::Each(None);
            }
            if needs && (!self.names_known() || self.awaits_names(statement)) {
                return Whole::Wait;
            }
            let plan = self.plan_to_run(reading, statement);
            let Plan::Pass(effects) = plan else {
                return Whole::Each((statements.len() == 1).then_some(plan));
            };
            if self.warn_of(statement, effects) {
                return Whole::Wait;
            }
            if self.has_unknown(statement) {
                return Whole::Each(None);
            }
            match self.hold(reading, statement, effects, parsed) {
                Hold::Nothing => {}
                Hold::Before(_) => return Whole::Each(None),
                Hold::Unheld(sent) => unheld = Some(sent),
            }
            if lasts(&statement.kind) {
                parsed = Parsed::Later;
            }
            if matches!(statement.kind, Kind::Prepare { .. }) {
                return Whole::Each(None);
            }
            all.push(effects);
            let changes_names = effects.schema
                || effects.search_path
                || matches!(
                    statement.kind,
                    Kind::Discard(_)
                        | Kind::Set(_)
                        | Kind::Transaction(
                            Transaction::Commit | Transaction::Rollback | Transaction::RollbackTo
                        )
                );
            stable &= !changes_names;
        }
        Whole::Forward(all, unheld)
    }

    pub(super) fn forward_whole(
        &mut self,
        script: &Script,
        effects: Vec<Effects>,
        unheld: Option<Sent>,
    ) {
        self.statements.drop_unnamed();
        for (statement, effects) in script.reading.script.statements.iter().zip(effects) {
            self.sent(statement, effects);
            self.placed(Placement::Fresh, script.reading.statement(statement));
        }
        self.flight.send(
            Expect::Query {
                error: OnError::AsIs,
                unheld,
            },
            pass(&script.frame),
        );
    }
}
