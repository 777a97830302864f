//! Running a plan.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::plan::{Action, PRODUCTION_PASSWORD, Plan, Step};
use super::restore::{NotRestored, restore};
use super::{Collision, Error, Options, Progress, role};
use crate::overlay::names::quote_literal;

/// Relations attached in one round trip.
const GROUP: usize = 16;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Every relation of production that was looked at, in order.
    pub relations: Vec<Attached>,
    /// Tables of production that the selection leaves out.
    pub excluded: Vec<String>,
    /// Tables that are there without production's rows.
    pub empty: Vec<String>,
    /// Production's schema's fingerprint.
    pub fingerprint: String,
    /// What came in because production has changed since the last time.
    pub brought_in: Vec<String>,
    /// Changes of production that meet the preview's own.
    pub collisions: Vec<Collision>,
    /// What is left for the next time.
    pub postponed: Vec<String>,
    /// Objects of production's schema that fresh lacks.
    pub not_restored: Vec<NotRestored>,
}

/// A relation of production after provisioning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// `schema.name` on production.
    pub name: String,
    /// `merged`, `detached`, `read_only` or `unsupported`.
    pub state: String,
    /// Why it isn't merged.
    pub reason: Option<String>,
    /// It has no key: the first UPDATE or DELETE copies it up as a whole.
    pub keyless: bool,
}

/// Runs a plan's steps in order. A failed step ends it; running the plan again goes on from there.
///
/// # Errors
/// When a step fails.
pub async fn execute(
    options: &Options,
    plan: &Plan,
    fresh: &Client,
    progress: &mut dyn Progress,
) -> Result<Outcome, Error> {
    let outcome = run(options, plan, fresh, progress).await;
    if outcome.is_err() {
        // Best effort: the first error is the one that matters.
        let _ = fresh.batch_execute("ROLLBACK; RESET ALL").await;
    }
    outcome
}

async fn run(
    options: &Options,
    plan: &Plan,
    fresh: &Client,
    progress: &mut dyn Progress,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome {
        excluded: plan.excluded.clone(),
        empty: plan.empty.clone(),
        fingerprint: plan.fingerprint.clone(),
        ..Outcome::default()
    };
    let total = plan.steps.len();
    let mut done = 0;
    while let Some(step) = plan.steps.get(done) {
        progress.step(done, total, &step.name);
        match &step.action {
            Action::Sql(text) => batch(fresh, step, text).await?,
            Action::Role(_) => role::put(options, fresh).await?,
            Action::SecretSql(text) => batch(fresh, step, &reveal(options, text)).await?,
            Action::Restore(wanted) => {
                let app = quote_literal(&options.app.name);
                let answer = fresh
                    .query_one("SELECT previewpg.begin_restore()", &[])
                    .await
                    .map_err(|source| Error::Step {
                        step: step.name.clone(),
                        source,
                    })?;
                let role: String = answer.try_get(0).map_err(Error::Fresh)?;
                let restored = restore(options, wanted, &role).await;
                batch(fresh, step, &format!("SELECT previewpg.end_restore({app})")).await?;
                outcome.not_restored.extend(restored?);
            }
            Action::Attach(_) => {
                let group: Vec<&str> = plan
                    .steps
                    .iter()
                    .skip(done)
                    .take(GROUP)
                    .map_while(|step| match &step.action {
                        Action::Attach(text) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect();
                batch(fresh, step, &group.join(";\n")).await?;
                done += group.len();
                continue;
            }
        }
        done += 1;
    }
    progress.step(total, total, "done");
    outcome.relations = attached(fresh).await.map_err(Error::Fresh)?;
    outcome
        .relations
        .extend(plan.absent.iter().map(|(name, reason)| Attached {
            name: name.clone(),
            state: "unsupported".to_owned(),
            reason: Some(reason.clone()),
            keyless: false,
        }));
    outcome
        .relations
        .sort_by(|one, other| one.name.cmp(&other.name));
    Ok(outcome)
}

async fn batch(fresh: &Client, step: &Step, text: &str) -> Result<(), Error> {
    fresh
        .batch_execute(text)
        .await
        .map_err(|source| Error::Step {
            step: step.name.clone(),
            source,
        })
}

fn reveal(options: &Options, text: &str) -> String {
    let production = options
        .production_from_fresh
        .as_ref()
        .unwrap_or(&options.production)
        .password
        .as_ref()
        .map_or("", |password| password.expose());
    text.replace(PRODUCTION_PASSWORD, &quote_literal(production))
}

async fn attached(fresh: &Client) -> Result<Vec<Attached>, tokio_postgres::Error> {
    let answer = fresh
        .simple_query(
            "SELECT production_schema || '.' || production_name, state, reason, key_numbers = '{}' \
             FROM previewpg.relation ORDER BY production_schema, production_name",
        )
        .await?;
    Ok(answer
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Attached {
                name: row.get(0)?.to_owned(),
                state: row.get(1)?.to_owned(),
                reason: row.get(2).map(str::to_owned),
                keyless: row.get(3) == Some("t"),
            }),
            _ => None,
        })
        .collect())
}
