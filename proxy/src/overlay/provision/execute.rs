//! Running a plan.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, SimpleQueryMessage};

use super::contents::{Sorted, is_same_object, is_table, sort, told};
use super::drift::digest;
use super::inspect::Relation;
use super::plan::{Action, New, Noted, PRODUCTION_PASSWORD, Plan, Step};
use super::restore::{self, Dump, Entry, Followed, Lost, NotRestored};
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
    let mut run = Run {
        options,
        fresh,
        outcome: Outcome {
            excluded: plan.excluded.clone(),
            empty: plan.empty.clone(),
            fingerprint: plan.fingerprint.clone(),
            ..Outcome::default()
        },
        restored: Restored::default(),
        unfinished: BTreeSet::new(),
    };
    let total = plan.steps.len();
    let mut done = 0;
    while let Some(step) = plan.steps.get(done) {
        progress.step(done, total, &step.name);
        if let Action::Attach(_) = &step.action {
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
            batch(fresh, &step.name, &group.join(";\n")).await?;
            done += group.len();
            continue;
        }
        run.step(step).await?;
        done += 1;
    }
    progress.step(total, total, "done");
    let mut outcome = run.outcome;
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

/// A run in progress.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) fresh: &'a Client,
    pub(super) outcome: Outcome,
    restored: Restored,
    /// Production's relations whose changes aren't all brought in.
    pub(super) unfinished: BTreeSet<String>,
}

/// What came of restoring.
#[derive(Default)]
struct Restored {
    /// A dump was made.
    dumped: bool,
    /// The dump, and the entries that wait.
    waiting: Option<(Dump, Vec<Entry>)>,
    /// The identities of what fresh has.
    objects: BTreeSet<String>,
    /// What fresh lacks.
    lost: Vec<NotRestored>,
    /// What it has of its own under a name of production's.
    collisions: Vec<Collision>,
    /// Views and functions that are the same on both sides.
    same: BTreeSet<String>,
}

impl Run<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), Error> {
        match &step.action {
            Action::Sql(text) | Action::Attach(text) => batch(self.fresh, &step.name, text).await,
            Action::Role(_) => role::put(self.options, self.fresh).await,
            Action::SecretSql(text) => {
                batch(self.fresh, &step.name, &reveal(self.options, text)).await
            }
            Action::Restore(wanted) => {
                let dump = restore::dump(self.options, wanted).await?;
                let entries: Vec<&Entry> = dump.entries.iter().collect();
                // A dump of some tables tells nothing of the others.
                self.restored.dumped = wanted.tables.is_empty();
                self.restored.objects = dump
                    .entries
                    .iter()
                    .map(|entry| entry.identity.clone())
                    .collect();
                let lost = self.restore(&dump, &entries, Followed::No, &[]).await?;
                self.lost(lost, false);
                Ok(())
            }
            Action::RestoreNew(new) => self.restore_new(new).await,
            Action::RestoreRest => self.restore_rest().await,
            Action::Change(change) => self.change(change).await,
            Action::Drift(drift) => self.drift(drift).await,
            Action::Compare(disputed) => self.compare(disputed).await,
            Action::Collide(collisions) => {
                self.outcome.collisions.extend(collisions.iter().cloned());
                Ok(())
            }
            Action::Note(noted) => self.note(noted).await,
        }
    }

    /// Restores, and hands what was made over to the app role. `unattached` are tables whose rows are still to come, in a preview that is in use: they would look
    /// empty. So until they are attached every proxy refuses them, and knows it before clients may read them.
    async fn restore(
        &self,
        dump: &Dump,
        entries: &[&Entry],
        followed: Followed,
        unattached: &[(&str, &str)],
    ) -> Result<Vec<Lost>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let app = quote_literal(&self.options.app.name);
        let answer = self
            .fresh
            .query_one("SELECT previewpg.begin_restore()", &[])
            .await
            .map_err(Error::Fresh)?;
        let role: String = answer.try_get(0).map_err(Error::Fresh)?;
        let restored = dump.restore(self.options, entries, &role, followed).await;
        if !unattached.is_empty() {
            let statement = format!(
                "SELECT previewpg.bringing({}::jsonb)",
                quote_literal(&json(&unattached))
            );
            batch(self.fresh, "refuse what isn't attached yet", &statement).await?;
            crate::replicas::announce_change(self.fresh)
                .await
                .map_err(Error::Fresh)?;
        }
        batch(
            self.fresh,
            "hand over what was restored",
            &format!("SELECT previewpg.end_restore({app})"),
        )
        .await?;
        Ok(restored?)
    }

    async fn restore_new(&mut self, new: &New) -> Result<(), Error> {
        let bringing: Vec<(&str, &str)> = new
            .new
            .iter()
            .map(|relation| (relation.schema.as_str(), relation.name.as_str()))
            .collect();
        put_meta(self.fresh, &[("bringing", json(&bringing))]).await?;
        let dump = restore::dump(self.options, &new.dump).await?;
        let Sorted {
            early,
            mut late,
            known,
        } = sort(&dump.entries, new);
        self.restored.dumped = true;
        self.restored.objects = known;
        self.restored.objects.extend(
            early
                .iter()
                .chain(&late)
                .map(|entry| entry.identity.clone()),
        );
        self.restored.same.clone_from(&new.definitions);
        let entries: Vec<&Entry> = early.iter().collect();
        let unattached: Vec<(&str, &str)> = new
            .new
            .iter()
            .filter(|relation| {
                let tables = &self.options.tables;
                !tables.is_empty_one(&relation.schema, &relation.name)
            })
            .map(|relation| (relation.schema.as_str(), relation.name.as_str()))
            .collect();
        let lost = self
            .restore(&dump, &entries, Followed::No, &unattached)
            .await?;
        // What needs a column that isn't there yet is tried again.
        let (again, lost): (Vec<Lost>, Vec<Lost>) = lost.into_iter().partition(|lost| {
            lost.told.message.contains("does not exist")
                && early.iter().any(|entry| {
                    Some(&entry.identity) == lost.identity.as_ref() && !is_table(entry)
                })
        });
        self.lost(lost, true);
        let again: Vec<Entry> = early
            .iter()
            .filter(|entry| {
                again
                    .iter()
                    .any(|lost| lost.identity.as_ref() == Some(&entry.identity))
            })
            .cloned()
            .collect();
        late.splice(0..0, again);
        let brought: Vec<String> = early
            .iter()
            .filter(|entry| {
                self.restored.objects.contains(&entry.identity) && !late.contains(entry)
            })
            .filter_map(told)
            .collect();
        self.outcome.brought_in.extend(brought);
        self.restored.waiting = Some((dump, late));
        Ok(())
    }

    async fn restore_rest(&mut self) -> Result<(), Error> {
        let Some((dump, late)) = self.restored.waiting.take() else {
            return Ok(());
        };
        let entries: Vec<&Entry> = late.iter().collect();
        let lost = self.restore(&dump, &entries, Followed::Yes, &[]).await?;
        self.lost(lost, true);
        let brought: Vec<String> = late
            .iter()
            .filter(|entry| self.restored.objects.contains(&entry.identity))
            .filter_map(told)
            .collect();
        self.outcome.brought_in.extend(brought);
        Ok(())
    }

    /// What could not be restored, or is there already.
    fn lost(&mut self, lost: Vec<Lost>, lives: bool) {
        for Lost { identity, told } in lost {
            if let Some(identity) = &identity {
                if lives
                    && told.message.contains("already exists")
                    && self
                        .restored
                        .same
                        .iter()
                        .any(|name| is_same_object(name, identity))
                {
                    continue;
                }
                self.restored.objects.remove(identity);
            }
            if lives && told.message.contains("already exists") {
                self.restored.collisions.push(Collision {
                    object: identity.unwrap_or(told.object),
                    production: "it was added".to_owned(),
                    preview: "it has one of that name of its own".to_owned(),
                    refused: false,
                });
            } else {
                self.restored.lost.push(told);
            }
        }
    }

    /// Notes how production was.
    async fn note(&mut self, noted: &Noted) -> Result<(), Error> {
        let (lost, collisions) = if self.restored.dumped {
            (
                std::mem::take(&mut self.restored.lost),
                std::mem::take(&mut self.restored.collisions),
            )
        } else {
            // What fresh lacked the last time it still lacks.
            (
                get_meta(self.fresh, "not_restored").await?,
                get_meta(self.fresh, "own_objects").await?,
            )
        };
        let mut values = vec![
            ("fingerprint", noted.fingerprint.clone()),
            ("not_restored", json(&lost)),
            ("own_objects", json(&collisions)),
            ("bringing", "[]".to_owned()),
        ];
        if self.restored.dumped {
            values.push(("objects", json(&self.restored.objects)));
        } else if get_meta::<Option<BTreeSet<String>>>(self.fresh, "objects")
            .await?
            .is_none()
        {
            values.push(("objects", "[]".to_owned()));
        }
        self.outcome.not_restored.extend(lost);
        self.outcome.collisions.extend(collisions);
        let (theirs, own) = self.definitions(noted).await?;
        values.push(("definitions", json(&theirs)));
        values.push(("own_definitions", json(&own)));
        put_meta(self.fresh, &values).await?;
        let relations: Vec<&Relation> = noted
            .relations
            .iter()
            .filter(|relation| {
                !self
                    .unfinished
                    .contains(&format!("{}.{}", relation.schema, relation.name))
            })
            .collect();
        batch(
            self.fresh,
            "note that all is done",
            &format!(
                "INSERT INTO previewpg.meta VALUES ('provisioned', pg_catalog.now()::text) ON CONFLICT (name) DO UPDATE SET value = excluded.value; \
                 SELECT previewpg.note_production({}::jsonb); RESET ALL",
                quote_literal(&json(&relations))
            ),
        )
        .await?;
        Ok(())
    }

    /// The digests of views and functions: production's, and what they are here where the preview has them as they were brought.
    async fn definitions(
        &self,
        noted: &Noted,
    ) -> Result<(BTreeMap<String, String>, BTreeMap<String, String>), Error> {
        let before: BTreeMap<String, String> = get_meta(self.fresh, "definitions").await?;
        let mut own: BTreeMap<String, String> = get_meta(self.fresh, "own_definitions").await?;
        let [now] = super::inspect::read(self.fresh, [include_str!("../sql/definitions.sql")])
            .await
            .map_err(Error::Fresh)?;
        let now: BTreeMap<String, String> = serde_json::from_str(&now)?;
        let mut theirs = noted.definitions.clone();
        for (name, current) in &mut theirs {
            let collides = self.outcome.collisions.iter().any(|collision| {
                collision.object == *name || is_same_object(name, &collision.object)
            });
            match before.get(name) {
                // It's told again until it is resolved.
                Some(old) if collides => current.clone_from(old),
                Some(old) if old == current => {}
                None if collides => {}
                _ => {
                    if let Some(here) = now.get(name) {
                        own.insert(name.clone(), digest(here));
                    }
                }
            }
        }
        Ok((theirs, own))
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    // Strings in lists and maps: that can't fail.
    serde_json::to_string(value).unwrap_or_default()
}

async fn put_meta(fresh: &Client, values: &[(&str, String)]) -> Result<(), Error> {
    let rows: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("({}, {})", quote_literal(name), quote_literal(value)))
        .collect();
    batch(
        fresh,
        "store notes",
        &format!(
            "INSERT INTO previewpg.meta VALUES {} ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            rows.join(", ")
        ),
    )
    .await
}

/// A note, or nothing where there's none that can be read.
async fn get_meta<T: serde::de::DeserializeOwned + Default>(
    fresh: &Client,
    name: &str,
) -> Result<T, Error> {
    let row = fresh
        .query_opt(
            "SELECT m.value FROM previewpg.meta AS m WHERE m.name = $1",
            &[&name],
        )
        .await
        .map_err(Error::Fresh)?;
    Ok(row
        .and_then(|row| row.try_get::<_, String>(0).ok())
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

pub(super) async fn batch(fresh: &Client, step: &str, text: &str) -> Result<(), Error> {
    fresh
        .batch_execute(text)
        .await
        .map_err(|source| Error::Step {
            step: step.to_owned(),
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
