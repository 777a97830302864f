//! Bringing in what production has changed: one relation at a time, each in a transaction, with the app role's rights.
//!
//! What evaluates code of the schema (defaults, checks, index expressions) must not run with the owner's rights: clients can replace the functions in it.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::Collision;
use super::drift::{Change, Disputed, RelationDrift};
use super::execute::{Run, batch};
use super::{Error, execute};
use crate::overlay::names::{quote_identifier, quote_literal};

/// How often a relation that a client holds is tried.
const TRIES: u32 = 3;
/// How long to wait between tries.
const PAUSE: Duration = Duration::from_millis(300);
/// A transaction that changes a relation: it doesn't keep clients waiting behind it, and its queries read tables rather than catalogs.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on; SET LOCAL plan_cache_mode = auto";

/// How a view reads here that was made by [`under_another_name`].
const PRINT: &str =
    "SELECT pg_catalog.pg_get_viewdef('pg_temp.previewpg_compared'::pg_catalog.regclass)";

/// A view's definition under the name that [`PRINT`] knows, and what stands in front of its query.
fn under_another_name<'a>(object: &str, definition: &'a str) -> Option<(String, &'a str)> {
    let rest = definition.strip_prefix("CREATE OR REPLACE ")?;
    let rest = rest.strip_prefix(object)?;
    let (options, _) = rest.split_once(" AS ")?;
    let head = definition.len() - rest.len() + options.len();
    object.starts_with("VIEW ").then(|| {
        let create = format!("CREATE TEMPORARY VIEW previewpg_compared{rest}");
        (create, &definition[..head])
    })
}

/// How an attempt ended that changed nothing.
enum Failure {
    /// A client holds a lock.
    Busy,
    /// Production's rows can't be shown truly.
    Unfit(Collision),
    /// Something else.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if is_busy(&error) {
            Self::Busy
        } else {
            Self::Failed(error)
        }
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Step { source, .. } if matches!(
        source.code(),
        Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE)
    ))
}

/// The server's own words, if it refused a statement; other failures are for the caller.
fn refused(error: Error) -> Result<String, Error> {
    match &error {
        Error::Step { source, .. } if !is_busy(&error) => match source.as_db_error() {
            Some(told) => Ok(told.message().to_owned()),
            None => Err(error),
        },
        _ => Err(error),
    }
}

impl Run<'_> {
    /// A statement of its own. When it can't be run, what it brings in is left alone.
    pub(super) async fn change(&mut self, change: &Change) -> Result<(), Error> {
        let sql = format!(
            "SET ROLE {}; {}; RESET ROLE",
            quote_identifier(&self.options.app.name),
            change.sql
        );
        let done = batch(self.fresh, &change.what, &sql).await;
        if done.is_err() {
            batch(self.fresh, &change.what, "RESET ROLE").await?;
        }
        self.came(change, done)
    }

    /// A definition that both sides have changed: told, unless both have become the same. Another major version prints a view otherwise, so production's is read again here.
    pub(super) async fn compare(&mut self, disputed: &Disputed) -> Result<(), Error> {
        let collision = &disputed.collision;
        if let Some((create, head)) = under_another_name(&collision.object, &disputed.production) {
            let app = quote_identifier(&self.options.app.name);
            let sql = format!("BEGIN; SET LOCAL ROLE {app}; {create}; {PRINT}");
            // One that can't be made isn't the same, either.
            let answers = self.fresh.simple_query(&sql).await.unwrap_or_default();
            self.roll_back().await?;
            let same = format!("{head} AS ");
            let same = disputed.preview.strip_prefix(&same);
            if answers.iter().any(|answer| {
                matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == same && same.is_some())
            }) {
                return Ok(());
            }
        }
        self.outcome.collisions.push(collision.clone());
        Ok(())
    }

    /// Notes what came of a change.
    fn came(&mut self, change: &Change, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Ok(()) => self.outcome.brought_in.push(change.what.clone()),
            Err(error) if is_busy(&error) => {
                self.unfinished.insert(change.otherwise.object.clone());
                self.outcome.postponed.push(change.what.clone());
            }
            Err(error) => {
                let told = refused(error)?;
                self.unfinished.insert(change.otherwise.object.clone());
                self.outcome.collisions.push(Collision {
                    preview: told,
                    ..change.otherwise.clone()
                });
            }
        }
        Ok(())
    }

    /// One relation that production has changed.
    pub(super) async fn drift(&mut self, drift: &RelationDrift) -> Result<(), Error> {
        if !drift.collisions.is_empty() {
            self.unfinished.insert(drift.name.clone());
            self.outcome
                .collisions
                .extend(drift.collisions.iter().cloned());
        }
        if let Some(why) = &drift.halt {
            return self.halt(drift, why).await;
        }
        if drift.upper == 0 {
            return Ok(());
        }
        for attempt in 1.. {
            match self.attempt(drift).await {
                Ok(()) => break,
                Err(Failure::Busy) if attempt < TRIES => {
                    self.roll_back().await?;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Failure::Busy) => {
                    self.roll_back().await?;
                    self.unfinished.insert(drift.name.clone());
                    self.outcome
                        .postponed
                        .push(format!("{}: it is in use", drift.name));
                    return Ok(());
                }
                Err(Failure::Unfit(collision)) => {
                    self.roll_back().await?;
                    self.unfinished.insert(drift.name.clone());
                    let why = format!(
                        "Production has changed: {}; here it can't be followed: {}",
                        collision.production, collision.preview
                    );
                    self.outcome.collisions.push(collision);
                    return self.halt(drift, &why).await;
                }
                Err(Failure::Failed(error)) => {
                    self.roll_back().await?;
                    return Err(error);
                }
            }
        }
        for change in &drift.promises {
            let sql = format!(
                "{BEGIN}; SET LOCAL session_replication_role = origin; SET LOCAL previewpg.promised = 'on'; SET LOCAL ROLE {}; {}; COMMIT",
                quote_identifier(&self.options.app.name),
                change.sql
            );
            let done = batch(self.fresh, &change.what, &sql).await;
            if done.is_err() {
                self.roll_back().await?;
            }
            self.came(change, done)?;
        }
        Ok(())
    }

    async fn attempt(&mut self, drift: &RelationDrift) -> Result<(), Failure> {
        let name = &drift.name;
        let app = quote_identifier(&self.options.app.name);
        batch(self.fresh, name, BEGIN).await?;
        let mut brought_in = Vec::new();
        let mut collisions = Vec::new();
        for change in &drift.structure {
            let sql = format!(
                "SAVEPOINT previewpg_change; SET LOCAL ROLE {app}; {}; SET LOCAL ROLE NONE; RELEASE previewpg_change",
                change.sql
            );
            match batch(self.fresh, &change.what, &sql).await {
                Ok(()) => brought_in.push(change.what.clone()),
                Err(error) if is_busy(&error) => return Err(Failure::Busy),
                Err(error) => {
                    let collision = Collision {
                        preview: refused(error)?,
                        ..change.otherwise.clone()
                    };
                    batch(self.fresh, name, "ROLLBACK TO previewpg_change").await?;
                    if collision.refused {
                        return Err(Failure::Unfit(collision));
                    }
                    collisions.push(collision);
                }
            }
        }
        if let Some(statement) = lower(drift) {
            match batch(self.fresh, name, &statement).await {
                Ok(()) => {}
                Err(error) if is_busy(&error) => return Err(Failure::Busy),
                Err(error) => {
                    return Err(Failure::Unfit(Collision {
                        object: name.clone(),
                        production: "its columns are others now".to_owned(),
                        preview: refused(error)?,
                        refused: true,
                    }));
                }
            }
        }
        for column in &drift.fill {
            let statement = format!(
                "SELECT previewpg.fill({}::oid, {})",
                drift.upper,
                quote_literal(column)
            );
            batch(self.fresh, &format!("fill {name}.{column}"), &statement).await?;
        }
        // Proxies that serve this fresh look again.
        batch(self.fresh, name, "SELECT previewpg.changed(); COMMIT").await?;
        if !collisions.is_empty() {
            self.unfinished.insert(name.clone());
        }
        self.outcome.brought_in.extend(brought_in);
        self.outcome.brought_in.extend(drift.notes.iter().cloned());
        self.outcome.collisions.extend(collisions);
        Ok(())
    }

    async fn roll_back(&self) -> Result<(), Error> {
        batch(self.fresh, "roll back", "ROLLBACK").await
    }

    async fn halt(&mut self, drift: &RelationDrift, why: &str) -> Result<(), Error> {
        self.unfinished.insert(drift.name.clone());
        let statement = format!(
            "SELECT previewpg.halt({}::oid, {})",
            drift.upper,
            quote_literal(why)
        );
        batch(self.fresh, &format!("halt {}", drift.name), &statement).await
    }
}

/// What makes lower anew.
fn lower(drift: &RelationDrift) -> Option<String> {
    let description = execute::json(drift.description.as_ref()?);
    if drift.anew {
        return Some(format!(
            "SELECT previewpg.attach_anew({}::oid, {}::jsonb)",
            drift.upper,
            quote_literal(&description)
        ));
    }
    drift.reads.as_ref().map(|reads| {
        format!(
            "SELECT previewpg.reattach({}::oid, {}::jsonb, {}::jsonb)",
            drift.upper,
            quote_literal(&description),
            quote_literal(&execute::json(reads))
        )
    })
}
