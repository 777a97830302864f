//! One reconciliation: resolve → validate → build → apply (what the database needs) → database → apply (what serves it) → report.
//!
//! It never waits for a database: work on one runs beside it ([`crate::jobs`]) and wakes it when it has ended, and when both databases were found to
//! be the right ones: then what serves is applied, so that pods start while the schema is restored.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, Resource as _, ResourceExt as _};

use crate::api::{ConditionType, Endpoint, FINALIZER, PreviewDatabase, Reason, ReclaimPolicy};
use crate::apply::{Applier, ApplyError, Growth, Wanted};
use crate::build::family::{self, Family};
use crate::build::names::{Component, Names, selector};
use crate::build::{fresh as build_fresh, proxy as build_proxy};
use crate::children::Kind;
use crate::context::{Context, Growing, Watched};
use crate::error::Error;
use crate::generated;
use crate::judge::{self, Pods, View};
use crate::report::{self, Facts, Judgement, Judgements};
use crate::secrets::Freshness;
use crate::validate::{Fresh, References, ValidPreview, validate};
use crate::{cleanup, tell};

mod own_secrets;
mod work;

use own_secrets::OwnSecrets;
use work::database;
pub use work::inputs;

/// The limit for one reconciliation: it asks the API server only.
const WITHIN: Duration = Duration::from_secs(60);
/// How soon what a user must mend is looked at again, where Secrets aren't watched.
const MENDED: Duration = Duration::from_secs(10);
/// How soon what the API server refuses is tried again, at the latest.
const REFUSED: Duration = Duration::from_secs(30);
/// How often a status tells where work is.
const PROGRESS: Duration = Duration::from_secs(15);
/// The longest back-off after a failure.
const BACK_OFF: Duration = Duration::from_secs(120);

/// Reconciles an object.
///
/// # Errors
/// When the API server can't be asked, or what it answers can't be told in the object's status.
pub async fn reconcile(object: Arc<Watched>, context: Arc<Context>) -> Result<Action, Error> {
    let began = Instant::now();
    let result = tokio::time::timeout(WITHIN, one(&object, &context))
        .await
        .unwrap_or(Err(Error::TimedOut));
    let result = match result {
        Err(error) => match error.not_yet() {
            Some(wait) => Ok(Action::requeue(wait)),
            None => Err(error),
        },
        done => done,
    };
    context.metrics.reconciled(result.is_ok(), began.elapsed());
    if result.is_ok()
        && let Some(uid) = object.meta().uid.as_deref()
    {
        context.memory.succeeded(uid);
    }
    result
}

/// When to try again after a failure.
pub fn on_error(object: Arc<Watched>, error: &Error, context: Arc<Context>) -> Action {
    let failures = object
        .meta()
        .uid
        .as_deref()
        .map_or(1, |uid| context.memory.failed(uid));
    let wait = Duration::from_secs(1)
        .saturating_mul(1 << failures.saturating_sub(1).min(7))
        .min(BACK_OFF);
    let name = format!(
        "{}/{}",
        object.meta().namespace.as_deref().unwrap_or_default(),
        object.meta().name.as_deref().unwrap_or_default()
    );
    if error.is_conflict() {
        tracing::debug!(
            object = name,
            error = error as &dyn std::error::Error,
            "trying again"
        );
    } else {
        tracing::warn!(object = name, error = error as &dyn std::error::Error, again_in = ?wait, "can't reconcile");
    }
    Action::requeue(wait)
}

async fn one(watched: &Watched, context: &Context) -> Result<Action, Error> {
    context.children.ready().await?;
    let object = match &watched.0 {
        Ok(object) => object,
        Err(invalid) => return cleanup::unreadable(invalid, context).await,
    };
    let api: Api<PreviewDatabase> = Api::namespaced(
        context.client.clone(),
        &object.namespace().unwrap_or_default(),
    );
    let object = with_last_told(object, context);
    finalizer(&api, FINALIZER, Arc::new(object), |event| async {
        match event {
            Event::Apply(object) => match apply(&object, context).await {
                Err(error) => refused(&object, context, error).await,
                done => {
                    context.memory.accepted(&object.uid().unwrap_or_default());
                    done
                }
            },
            Event::Cleanup(object) => cleanup::cleanup(&object, context).await,
        }
    })
    .await
    .map_err(|error| Error::Finalizer(Box::new(error)))
}

/// The object with the status that this process wrote last: watches may be behind.
fn with_last_told(object: &PreviewDatabase, context: &Context) -> PreviewDatabase {
    let mut object = object.clone();
    if let Some(status) = context.memory.last_told(&object.uid().unwrap_or_default()) {
        object.status = Some(status);
    }
    object
}

/// What the API server refuses is told in the status: the log is for the operator's owner, the status for the object's.
async fn refused(
    object: &PreviewDatabase,
    context: &Context,
    error: Error,
) -> Result<Action, Error> {
    let ready = match &error {
        Error::Apply(conflict @ ApplyError::NameConflict { .. }) => {
            Judgement::fails(Reason::NameConflict, conflict.to_string())
        }
        _ => {
            if let Some(message) = error.forbidden() {
                Judgement::fails(
                    Reason::Forbidden,
                    format!("the API server refuses the operator: {message}"),
                )
            } else if let Some(message) = error.invalid() {
                Judgement::fails(
                    Reason::InvalidSpec,
                    format!("the API server finds what the spec asks for invalid: {message}"),
                )
            } else {
                return Err(error);
            }
        }
    };
    tracing::warn!(
        object = %place(object),
        error = &error as &dyn std::error::Error,
        "the API server refuses"
    );
    let facts = Facts::new(object.metadata.generation, ready, before(object));
    tell::report(object, facts, &[], context).await?;
    let wait = if error.forbidden().is_some() {
        refused_again(context.memory.refused(&object.uid().unwrap_or_default()))
    } else {
        REFUSED
    };
    Ok(Action::requeue(wait))
}

/// How soon what was forbidden is tried again, after so many refusals in a row. A right may come late, and an API server knows a definition
/// only some seconds after it was installed.
fn refused_again(refusals: u32) -> Duration {
    Duration::from_secs(1)
        .saturating_mul(1 << refusals.clamp(1, 8))
        .min(REFUSED)
}

/// `namespace/name`, for logs.
#[must_use]
pub fn place(object: &PreviewDatabase) -> String {
    format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    )
}

/// What was thought of the conditions the last time.
#[must_use]
pub fn before(object: &PreviewDatabase) -> Judgements {
    let mut judgements = Judgements::waiting("not looked at yet");
    for condition in object.status.iter().flat_map(|status| &status.conditions) {
        let kind = ConditionType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == condition.type_);
        if let Some(place) = kind.and_then(|kind| judgements.of_mut(kind))
            && let Some(read) = Judgement::read(condition)
        {
            *place = read;
        }
    }
    judgements
}

/// What the object's owner has written, as a hash.
fn asked(object: &PreviewDatabase) -> u64 {
    let mut hash = DefaultHasher::new();
    object.metadata.generation.hash(&mut hash);
    object.metadata.annotations.hash(&mut hash);
    hash.finish()
}

async fn apply(object: &PreviewDatabase, context: &Context) -> Result<Action, Error> {
    let uid = object.uid().unwrap_or_default();
    let namespace = object.namespace().unwrap_or_default();
    let now = Timestamp::now();
    let end = cleanup::end_of_life(object);
    if let Some(end) = end
        && end <= now
    {
        return expire(object, end, context).await;
    }

    // resolve
    let at_rest = Freshness::AtRest(sync_interval(object).saturating_sub(Duration::from_secs(2)));
    let asked = asked(object);
    let (theirs, ours) = if context.memory.is_changed(&uid, asked) {
        (Freshness::New, Freshness::New)
    } else if is_ready(object) {
        (at_rest, at_rest)
    } else if is_starting(object) {
        // It may take long, and our own Secrets are as we left them.
        (Freshness::New, at_rest)
    } else {
        (Freshness::New, Freshness::New)
    };
    let resolved = context
        .reader
        .resolve(&object.metadata, References::of(&object.spec), theirs)
        .await
        .map_err(Error::api("reading what the spec refers to"))?;

    // validate
    let valid = match validate(object, &resolved) {
        Ok(valid) => valid,
        Err(problems) => {
            let (ready, judgements) = report::of_problems(&problems, before(object));
            let mut facts = Facts::new(object.metadata.generation, ready, judgements);
            facts.expiration = Some(end);
            tell::report(object, facts, &[], context).await?;
            return Ok(Action::requeue(
                until(end, now).map_or(MENDED, |left| left.min(MENDED)),
            ));
        }
    };

    // build
    let own = OwnSecrets::read(object, &valid, ours, context).await?;
    let made = generated::read_or_make(
        &place(object),
        own.access.as_deref().or(own.former.as_deref()),
        own.internal.as_deref(),
        &family::certificate_names(&valid),
        SystemTime::now(),
    )?;
    let owner = owner(object);
    let names = Names::of(&valid.name);
    let connections = context.children.connections(&namespace, &names.fresh, &uid);
    let family = family::build(
        &valid,
        &made,
        &owner,
        &context.settings.defaults,
        connections,
    )?;
    let (foundation, serving) = wanted(family)?;

    // apply: all that the database needs
    let applier = Applier {
        client: &context.client,
        children: &context.children,
        ledger: &context.ledger,
        namespace: &namespace,
        uid: &uid,
        secrets: own.seen(),
    };
    applier.check(&foundation).await?;
    // Early, so that a conflict is told before a database is made. While that takes its time, nobody need be asked again and again.
    if !context.memory.is_checked(&uid, asked) {
        applier.check(&serving).await?;
        context.memory.checked(&uid, asked);
    }
    let applied = applier.apply(&foundation).await?;
    if let Some(size) = applied.grows {
        context.memory.grows(&uid, size);
    }
    for (kind, name) in applied.children {
        tracing::info!(object = %place(object), kind = kind.as_str(), name, "applied");
        if kind == Kind::Secret {
            context.reader.forget(&namespace, &name);
        }
    }

    // database
    let endpoint = Endpoint {
        host: family::host(&namespace, &valid.name),
        port: valid.proxy.port,
    };
    if !cleanup::was_begun(object) {
        // Before anything is made on a server: a deletion must know that there may be something.
        let judgements = before(object);
        let facts = Facts {
            endpoint: Some(endpoint.clone()),
            secret_name: Some(valid.access.secret_name.clone()),
            expiration: Some(valid.expiration),
            ..Facts::new(
                object.metadata.generation,
                judgements.summary(""),
                judgements,
            )
        };
        tell::report(object, facts, &[], context).await?;
    }
    let fresh = matches!(valid.fresh, Fresh::Managed(_)).then(|| {
        Pods::of_stateful_set(
            context
                .children
                .stateful_set(&namespace, &names.fresh)
                .as_deref(),
        )
    });
    let mut growing = None;
    if let Some(pods) = &fresh {
        keep_claim(object, &valid, &names, pods, &applier, context).await?;
        growing = grow(&names, &applier, context).await?;
    }
    let database = database(object, &valid, &made, &names, fresh.as_ref(), context).await?;

    // apply: what serves it
    let provisioned = object
        .status
        .as_ref()
        .is_some_and(|status| status.schema.is_some());
    let serves = database.brought.is_some() || (provisioned && database.running.is_none());
    // The first proxies start beside the first provisioning, and wait in their pods for its end. Not sooner than its checks have succeeded: what a
    // pod has mounted changes a minute later than the Secret. Proxies that serve aren't touched while their database is worked on.
    let starts = !provisioned && database.reached;
    if serves || starts {
        applier.check(&serving).await?;
        for (kind, name) in applier.apply(&serving).await?.children {
            tracing::info!(object = %place(object), kind = kind.as_str(), name, "applied");
        }
    }
    if serves {
        let kept: Vec<_> = foundation.iter().chain(&serving).map(Wanted::id).collect();
        applier.prune(&valid.name, &Kind::OPTIONAL, &kept).await?;
        if let Some(former) = &own.former_name {
            applier.delete(Kind::Secret, former).await?;
            context.reader.forget(&namespace, former);
        }
    }

    // report
    let deployment = context.children.deployment(&namespace, &names.proxy);
    let pods = (serves || deployment.is_some())
        .then(|| Pods::of_deployment(deployment.as_deref(), valid.proxy.replicas));
    let view = View {
        brought: database.brought.as_ref(),
        failure: database.failure.as_ref(),
        running: database
            .running
            .as_ref()
            .map(|(work, at)| (work, at.as_str())),
        fresh,
        growing: growing.as_ref(),
        proxy: pods.clone(),
        early: !serves && !provisioned,
    };
    let judgements = judge::judge(&view, &before(object));
    let ready = judgements.summary(&judge::serving(database.brought.as_ref()));
    let facts = Facts {
        endpoint: Some(endpoint),
        // The former name is told until its Secret is gone: nothing else remembers it.
        secret_name: Some(
            own.former_name
                .filter(|_| !serves)
                .unwrap_or_else(|| valid.access.secret_name.clone()),
        ),
        replicas: Some(pods.map_or((0, 0), |pods| (pods.all, pods.ready))),
        selector: Some(selector_text(&valid.name)),
        expiration: Some(valid.expiration),
        brought: database.brought,
        fresh_database: Some(valid.database().to_owned()),
        reset: database.reset,
        ..Facts::new(object.metadata.generation, ready, judgements)
    };
    let told = with_last_told(object, context);
    tell::report(&told, facts, &database.news, context).await?;

    let renewal = made
        .renewal()
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    let growth = growing.map(|_| REFUSED);
    let next = [Some(database.again), until(end, now), Some(renewal), growth]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(MENDED);
    Ok(Action::requeue(next.max(Duration::from_millis(100))))
}

/// The managed volume goes with the object, or with nothing. A server that runs has one; one that starts may have another than before.
async fn keep_claim(
    object: &PreviewDatabase,
    valid: &ValidPreview,
    names: &Names,
    pods: &Pods,
    applier: &Applier<'_>,
    context: &Context,
) -> Result<(), Error> {
    let uid = applier.uid;
    if pods.ready == 0 {
        context.memory.claim_left(uid, None);
    } else if !context.memory.is_claim_left(uid, valid.reclaim) {
        let owner = (valid.reclaim == ReclaimPolicy::Delete).then(|| owner(object));
        if applier.own_claim(&names.fresh, owner).await? {
            context.memory.claim_left(uid, Some(valid.reclaim));
        }
    }
    Ok(())
}

/// Asks for the larger volume that the spec asks for, now and then until it's granted; what is still to be.
async fn grow(
    names: &Names,
    applier: &Applier<'_>,
    context: &Context,
) -> Result<Option<Growing>, Error> {
    let uid = applier.uid;
    let Some(growing) = context.memory.growing(uid) else {
        return Ok(None);
    };
    if growing
        .tried
        .as_ref()
        .is_none_or(|(at, _)| at.elapsed() >= REFUSED)
    {
        let outcome = applier.grow_claim(&names.fresh, &growing.size).await?;
        if let Growth::Refused(message) = &outcome {
            tracing::warn!(
                namespace = applier.namespace,
                stateful_set = names.fresh,
                size = growing.size,
                message,
                "the volume can't grow"
            );
        }
        context.memory.growth_tried(uid, outcome);
    }
    Ok(context.memory.growing(uid))
}

fn is_ready(object: &PreviewDatabase) -> bool {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| {
            condition.type_ == ConditionType::Ready.as_str() && condition.status == "True"
        })
}

/// Whether it waits for its managed PostgreSQL, as far as was told.
fn is_starting(object: &PreviewDatabase) -> bool {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| {
            condition.type_ == ConditionType::FreshReady.as_str()
                && condition.reason == Reason::FreshStarting.as_str()
        })
}

fn sync_interval(object: &PreviewDatabase) -> Duration {
    object
        .spec
        .sync
        .as_ref()
        .and_then(|sync| sync.interval.as_ref())
        .and_then(|interval| interval.to_std().ok())
        .unwrap_or(Duration::from_secs(60))
}

fn until(end: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    end.map(|end| Duration::try_from(end.duration_since(now)).unwrap_or_default())
}

fn selector_text(preview: &str) -> String {
    selector(preview, Component::Proxy)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The object as its children's owner.
#[must_use]
pub fn owner(object: &PreviewDatabase) -> OwnerReference {
    OwnerReference {
        api_version: PreviewDatabase::api_version(&()).into_owned(),
        kind: PreviewDatabase::kind(&()).into_owned(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

async fn expire(
    object: &PreviewDatabase,
    end: Timestamp,
    context: &Context,
) -> Result<Action, Error> {
    let message = format!("its time was over at {end}; it's deleted");
    let ready = Judgement::fails(Reason::Expired, message);
    let facts = Facts::new(object.metadata.generation, ready, before(object));
    tell::report(object, facts, &[], context).await?;
    let api: Api<PreviewDatabase> = Api::namespaced(
        context.client.clone(),
        &object.namespace().unwrap_or_default(),
    );
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    api.delete(&object.name_any(), &params)
        .await
        .map_err(Error::api("deleting the expired object"))?;
    tracing::info!(object = %place(object), %end, "expired");
    Ok(Action::await_change())
}

/// The children in the order in which they're applied: what the database needs, and what serves it.
fn wanted(family: Family) -> Result<(Vec<Wanted>, Vec<Wanted>), ApplyError> {
    let Family {
        access,
        internal,
        fresh,
        fresh_policy,
        proxy,
        proxy_policy,
    } = family;
    let build_proxy::Proxy {
        config,
        deployment,
        service,
        budget,
    } = proxy;
    let mut foundation = vec![
        Wanted::new(Kind::Secret, &internal)?,
        Wanted::new(Kind::Secret, &access)?,
        Wanted::new(Kind::Service, &service)?,
    ];
    if let Some(policy) = fresh_policy {
        foundation.push(Wanted::new(Kind::NetworkPolicy, &policy)?);
    }
    if let Some(fresh) = fresh {
        let build_fresh::Fresh {
            config,
            service,
            stateful_set,
        } = fresh;
        foundation.push(Wanted::new(Kind::ConfigMap, &config)?);
        foundation.push(Wanted::new(Kind::Service, &service)?);
        foundation.push(Wanted::new(Kind::StatefulSet, &stateful_set)?);
    }
    let mut serving = Vec::new();
    if let Some(policy) = proxy_policy {
        serving.push(Wanted::new(Kind::NetworkPolicy, &policy)?);
    }
    serving.push(Wanted::new(Kind::ConfigMap, &config)?);
    serving.push(Wanted::new(Kind::Deployment, &deployment)?);
    if let Some(budget) = budget {
        serving.push(Wanted::new(Kind::PodDisruptionBudget, &budget)?);
    }
    Ok((foundation, serving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_tried_again_soon_and_then_less_often() {
        let waits: Vec<_> = [1, 2, 3, 4, 5, 100]
            .map(|refusals| refused_again(refusals).as_secs())
            .into();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
    }
}
