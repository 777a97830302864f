//! The end of an object: when its time is over, and what becomes of its database when it's deleted.
//!
//! An object is never kept for ever: a database that can't be dropped in time is left, and an event says so.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use crate::api::{FINALIZER, PreviewDatabase, Reason, ReclaimPolicy};
use crate::apply::Applier;
use crate::build::family;
use crate::build::fresh::claim_of;
use crate::build::names::{MANAGER, Names};
use crate::children::Kind;
use crate::context::Context;
use crate::database::{Done, Failure};
use crate::error::Error;
use crate::generated;
use crate::plan::{self, Decision};
use crate::reconcile::{before, inputs, owner, place};
use crate::report::{Facts, Judgement, News};
use crate::secrets::Freshness;
use crate::tell;
use crate::validate::{References, validate};

/// How soon it's looked again whether a database is gone.
const AGAIN: Duration = Duration::from_secs(2);

/// When an object's time is over.
#[must_use]
pub fn end_of_life(object: &PreviewDatabase) -> Option<Timestamp> {
    let lifetime = object.spec.lifetime.as_ref()?;
    match (&lifetime.ttl, &lifetime.expires_at) {
        (_, Some(Time(end))) => Some(*end),
        (Some(ttl), None) => {
            let ttl = SignedDuration::try_from(ttl.to_std().ok()?).ok()?;
            object.creation_timestamp()?.0.checked_add(ttl).ok()
        }
        (None, None) => None,
    }
}

/// What is to become of the preview's own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The volume goes with the object, which owns it.
    VolumeDropped,
    /// The volume stays; nothing owns it.
    VolumeKept,
    /// The database is dropped, by us.
    DatabaseDropped,
    /// The database stays.
    DatabaseKept,
}

fn fate(object: &PreviewDatabase) -> Fate {
    let fresh = object.spec.fresh.as_ref();
    let connection = fresh.is_some_and(|fresh| fresh.connection.is_some());
    match (
        connection,
        fresh
            .and_then(|fresh| fresh.reclaim_policy)
            .unwrap_or_default(),
    ) {
        (true, ReclaimPolicy::Delete) => Fate::DatabaseDropped,
        (true, ReclaimPolicy::Retain) => Fate::DatabaseKept,
        (false, ReclaimPolicy::Delete) => Fate::VolumeDropped,
        (false, ReclaimPolicy::Retain) => Fate::VolumeKept,
    }
}

/// Whether the object ever got as far as work on its database.
#[must_use]
pub fn was_begun(object: &PreviewDatabase) -> bool {
    object
        .status
        .as_ref()
        .is_some_and(|status| status.endpoint.is_some() || status.schema.is_some())
}

/// Ends a deleted object. When it returns an action that waits for a change, the object may go.
///
/// # Errors
/// When the API server can't be asked, or the database isn't gone yet (`NotYet`).
pub async fn cleanup(object: &PreviewDatabase, context: &Context) -> Result<Action, Error> {
    let uid = object.uid().unwrap_or_default();
    let news = match fate(object) {
        Fate::VolumeDropped => drop_volume(object, &uid, context).await?,
        Fate::VolumeKept => {
            let fresh = Names::of(&object.name_any()).fresh;
            let namespace = object.namespace().unwrap_or_default();
            // The policy may have been another until now.
            applier(&namespace, &uid, context)
                .own_claim(&fresh, None)
                .await?;
            News::normal(
                Reason::DatabaseRetained,
                format!(
                    "the managed PostgreSQL's volume is kept: PersistentVolumeClaim {}",
                    claim_of(&fresh)
                ),
            )
        }
        Fate::DatabaseKept => News::normal(
            Reason::DatabaseRetained,
            "the preview's database is kept on fresh's server",
        ),
        // Work on databases begins only after the endpoint was told of: nothing was made.
        Fate::DatabaseDropped if !was_begun(object) => News::normal(
            Reason::DatabaseDropped,
            "there was no database of the preview's on fresh's server yet",
        ),
        Fate::DatabaseDropped => drop_database(object, &uid, context).await?,
    };
    tell::event(object, &news, context).await;
    context.forget(&uid);
    Ok(Action::await_change())
}

fn applier<'a>(namespace: &'a str, uid: &'a str, context: &'a Context) -> Applier<'a> {
    Applier {
        client: &context.client,
        children: &context.children,
        ledger: &context.ledger,
        namespace,
        uid,
        secrets: Vec::new(),
    }
}

/// Lets a managed server's volume go with the object; gives what is to be told.
async fn drop_volume(
    object: &PreviewDatabase,
    uid: &str,
    context: &Context,
) -> Result<News, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let fresh = Names::of(&object.name_any()).fresh;
    // A preview that was kept may have left a volume of this name: it's this object's only if its server took it up.
    let ours = context
        .children
        .seen(Kind::StatefulSet, &namespace, &fresh)
        .is_some_and(|seen| seen.controller.as_deref() == Some(uid));
    if ours
        && let Err(error) = applier(&namespace, uid, context)
            .own_claim(&fresh, Some(owner(object)))
            .await
    {
        if since_deletion(object) < context.settings.cleanup_within {
            return Err(error.into());
        }
        return Ok(News::warning(
            Reason::CleanupAbandoned,
            format!(
                "PersistentVolumeClaim {} couldn't be made to go with the preview and may be left: {error}",
                claim_of(&fresh)
            ),
        ));
    }
    Ok(News::normal(
        Reason::DatabaseDropped,
        "the managed PostgreSQL is deleted with its volume",
    ))
}

/// How long the object has been deleted.
fn since_deletion(object: &PreviewDatabase) -> Duration {
    let deleted = object
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or_else(Timestamp::now, |time| time.0);
    Duration::try_from(Timestamp::now().duration_since(deleted)).unwrap_or_default()
}

/// Drops the database on a server of the user's; gives what is to be told when the object may go.
async fn drop_database(
    object: &PreviewDatabase,
    uid: &str,
    context: &Context,
) -> Result<News, Error> {
    let judgements = before(object);
    let ready = Judgement::fails(
        Reason::Deleting,
        "the preview's database is being dropped on fresh's server",
    );
    let facts = Facts::new(object.metadata.generation, ready, judgements);
    tell::report(object, facts, &[], context).await?;

    let state = context.jobs.state(uid);
    let mut trouble = None;
    if let Some(ended) = &state.ended
        && ended.work == crate::database::Work::Drop
    {
        match &ended.result {
            Ok(Done::Dropped { existed: true }) => {
                return Ok(News::normal(
                    Reason::DatabaseDropped,
                    "the preview's database was dropped on fresh's server",
                ));
            }
            Ok(_) => {
                return Ok(News::normal(
                    Reason::DatabaseDropped,
                    "there was no database of the preview's on fresh's server",
                ));
            }
            Err(Failure {
                reason: Reason::NameConflict,
                message,
                ..
            }) => return Ok(News::warning(Reason::CleanupAbandoned, message.clone())),
            Err(failure) => trouble = Some(failure.message.clone()),
        }
    }
    match plan::decide_drop(&state, Instant::now()) {
        Decision::Wait(_) => {}
        Decision::Start(work) => {
            let namespace = object.namespace().unwrap_or_default();
            let resolved = context
                .reader
                .resolve(
                    &object.metadata,
                    References::of(&object.spec),
                    Freshness::New,
                )
                .await
                .map_err(Error::api("reading what the spec refers to"))?;
            match validate(object, &resolved) {
                Err(problems) => {
                    trouble = problems.first().map(|problem| problem.message.clone());
                }
                Ok(valid) => {
                    // Proxies would connect again while the database is being dropped.
                    let applier = applier(&namespace, uid, context);
                    let names = Names::of(&valid.name);
                    applier.delete(Kind::Deployment, &names.proxy).await?;
                    let none: Option<Arc<Secret>> = None;
                    let made = generated::read_or_make(
                        &place(object),
                        none.as_deref(),
                        None,
                        &family::certificate_names(&valid),
                        SystemTime::now(),
                    )?;
                    let inputs = inputs(&valid, uid, &made, &names, context).await?;
                    let reference = ObjectRef::new(&valid.name).within(&namespace);
                    context.jobs.start(uid, reference, inputs, work);
                }
            }
        }
    }
    if since_deletion(object) >= context.settings.cleanup_within {
        let why = trouble.unwrap_or_else(|| "fresh's server doesn't answer".to_owned());
        return Ok(News::warning(
            Reason::CleanupAbandoned,
            format!(
                "the preview's database couldn't be dropped within {} s and is left on fresh's server: {why}",
                context.settings.cleanup_within.as_secs()
            ),
        ));
    }
    Err(Error::NotYet(AGAIN))
}

/// An object that isn't a PreviewDatabase as this operator knows it: of a newer version, or written past the API server's checks.
///
/// # Errors
/// When the API server can't be asked.
pub async fn unreadable(invalid: &InvalidObject, context: &Context) -> Result<Action, Error> {
    let metadata = &invalid.metadata;
    let (namespace, name) = (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    );
    tracing::warn!(object = %format!("{namespace}/{name}"), error = %invalid.error, "the object can't be read");
    let api: Api<PreviewDatabase> = Api::namespaced(context.client.clone(), &namespace);
    let ours = metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER);
    let Some(deleted) = &metadata.deletion_timestamp else {
        return Ok(Action::await_change());
    };
    let since = Duration::try_from(Timestamp::now().duration_since(deleted.0)).unwrap_or_default();
    if !ours {
        return Ok(Action::await_change());
    }
    if since < context.settings.cleanup_within {
        return Ok(Action::requeue(AGAIN));
    }
    let left: Vec<&String> = metadata
        .finalizers
        .iter()
        .flatten()
        .filter(|finalizer| *finalizer != FINALIZER)
        .collect();
    let body = serde_json::json!({"metadata": {"finalizers": left, "resourceVersion": metadata.resource_version}});
    api.patch_metadata(
        &name,
        &PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        },
        &Patch::Merge(&body),
    )
    .await
    .map_err(Error::api("removing the finalizer"))?;
    if let Some(uid) = &metadata.uid {
        context.forget(uid);
    }
    Ok(Action::await_change())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn object(spec: serde_json::Value) -> PreviewDatabase {
        let mut whole = serde_json::json!({
            "production": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}
        });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(serde_json::json!({
            "apiVersion": "previewpg.dev/v1alpha1",
            "kind": "PreviewDatabase",
            "metadata": {"name": "pr-1", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": whole,
        }))
        .unwrap()
    }

    #[test]
    fn the_policy_and_the_kind_of_fresh_decide() {
        let connection =
            serde_json::json!({"uri": {"secretKeyRef": {"name": "fresh", "key": "uri"}}});
        for (fresh, expected) in [
            (serde_json::json!(null), Fate::VolumeDropped),
            (
                serde_json::json!({"reclaimPolicy": "Retain"}),
                Fate::VolumeKept,
            ),
            (
                serde_json::json!({"connection": connection}),
                Fate::DatabaseDropped,
            ),
            (
                serde_json::json!({"connection": connection, "reclaimPolicy": "Retain"}),
                Fate::DatabaseKept,
            ),
        ] {
            assert_eq!(
                fate(&object(serde_json::json!({"fresh": fresh}))),
                expected,
                "{fresh}"
            );
        }
    }

    #[test]
    fn what_was_never_begun_needs_no_end() {
        let mut object = object(serde_json::json!({}));
        assert!(!was_begun(&object));
        object.status = Some(crate::api::PreviewDatabaseStatus::default());
        assert!(!was_begun(&object));
        if let Some(status) = &mut object.status {
            status.endpoint = Some(crate::api::Endpoint {
                host: "pr-1.shop.svc".to_owned(),
                port: 5432,
            });
        }
        assert!(was_begun(&object));
    }

    #[test]
    fn a_life_ends_by_either_rule() {
        let end = |lifetime: serde_json::Value| {
            end_of_life(&object(serde_json::json!({"lifetime": lifetime})))
                .map(|end| end.to_string())
        };
        assert_eq!(
            end(serde_json::json!({"ttl": "36h"})).as_deref(),
            Some("2026-01-02T12:00:00Z")
        );
        assert_eq!(
            end(serde_json::json!({"expiresAt": "2026-03-01T00:00:00Z"})).as_deref(),
            Some("2026-03-01T00:00:00Z")
        );
        assert_eq!(end(serde_json::json!({})), None);
    }
}
