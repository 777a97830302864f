//! Having a refused statement run after all: the tables of production that it needs as a whole are copied up, and the statement is planned again.
//!
//! First PostgreSQL says whether it accepts the statement's text; then the tables are copied in a transaction of their own, so that nobody waits for the client's,
//! and, where that couldn't be, in the client's. Which tables, and whether that's possible at all, the planner says ([`Refusal::copy_up`]).

use std::sync::Arc;

use bytes::BytesMut;

use super::conversation::{ApartStatement, Asked, Conversation};
use super::expect::{Expect, OnError, Rows};
use super::report;
use crate::catalog::model::Oid;
use crate::rewrite::plan::Refusal;
use crate::wire::frame::HEADER;
use crate::wire::frontend::{self, Subject};

/// What was done to have a refused statement run after all.
#[derive(Debug, Default)]
pub(crate) struct Copying {
    /// The tables that were asked for last.
    tables: Vec<Oid>,
    done: Copied,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Copied {
    /// Nothing yet.
    #[default]
    Nothing,
    /// PostgreSQL accepts the statement's text.
    Parsed,
    /// In a transaction of its own.
    Apart,
    /// The same, and what it changed is published.
    Published,
    /// In the client's transaction.
    Here,
}

impl Conversation {
    /// Copies up the tables that let a refused statement run, in a transaction of its own first, so that nobody waits for the client's. Gives whether that has
    /// to be waited for; then the statement is planned again. `text`: the client's, and what an error of it means, where PostgreSQL hasn't accepted it yet.
    pub(crate) fn copy_whole(
        &mut self,
        refusal: &Refusal,
        copying: &mut Copying,
        text: Option<(&[u8], OnError)>,
    ) -> bool {
        const NAME: &[u8] = b"previewpg_whole";
        if *copying.tables != *refusal.copy_up {
            // Progress was made, or this is the beginning.
            if copying
                .tables
                .iter()
                .any(|oid| refusal.copy_up.contains(oid))
            {
                return false;
            }
            *copying = Copying {
                tables: refusal.copy_up.to_vec(),
                done: Copied::Nothing,
            };
        }
        if copying.tables.is_empty() {
            return false;
        }
        if copying.done == Copied::Nothing {
            copying.done = Copied::Parsed;
            if let Some((text, error)) = text {
                self.parse_only(text, &[], error);
                self.flight.flush();
                self.barrier = true;
                return true;
            }
        }
        if self.mark(&copying.tables) {
            return true;
        }
        let in_block = self.status == b'T' || self.flight.executed;
        match copying.done {
            Copied::Parsed if self.sight.may_go_apart(in_block) => {
                copying.done = Copied::Apart;
                // What the client's own transaction holds is no reason to wait.
                let patience = if in_block { "'200ms'" } else { "NULL" };
                let mut bind = BytesMut::new();
                if frontend::bind(b"", b"", &[], &mut bind).is_err() {
                    return false;
                }
                let bind = bind.freeze().slice(HEADER..);
                let statements = [
                    whole(&copying.tables, patience),
                    "SELECT previewpg.hide_copied()".to_owned(),
                ];
                let statements = statements.map(|text| ApartStatement {
                    text: Arc::from(text),
                    types: Box::default(),
                    bind: bind.clone(),
                });
                self.ask(Asked::Apart(statements.into()));
                true
            }
            Copied::Apart => {
                copying.done = Copied::Published;
                self.ask(Asked::Reload);
                true
            }
            Copied::Parsed | Copied::Published => {
                copying.done = Copied::Here;
                let refused = Box::new(report::refusal(refusal));
                // One that failed is there still.
                self.flight.send(Expect::our_close(), |out| {
                    frontend::close(Subject::Statement, NAME, out)
                });
                self.flight.run(
                    NAME,
                    whole(&copying.tables, "NULL").as_bytes(),
                    Rows::CopiedUp,
                    OnError::Refuse(refused),
                );
                self.flight.flush();
                self.barrier = true;
                true
            }
            Copied::Here | Copied::Nothing => false,
        }
    }
}

/// The statement that makes tables the preview's own, see `previewpg.copy_up_whole`.
fn whole(tables: &[Oid], patience: &str) -> String {
    let oids: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!(
        "SELECT previewpg.copy_up_whole(ARRAY[{}]::pg_catalog.oid[], {patience})",
        oids.join(", ")
    )
}
