//! The database step of a reconciliation: which work is to begin, and what the latest came to. It waits for none.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use super::{PROGRESS, place};
use crate::api::{PreviewDatabase, Reason};
use crate::build::family;
use crate::build::names::Names;
use crate::context::Context;
use crate::database::{Brought, Done, Failure, Inputs, ManagedServer, Work};
use crate::error::Error;
use crate::generated::Generated;
use crate::jobs::{Ended, State};
use crate::judge::Pods;
use crate::plan::{self, Decision};
use crate::report::News;
use crate::validate::{Fresh, ValidPreview};

/// How it's with the preview's databases.
pub(super) struct Database {
    pub(super) brought: Option<Brought>,
    pub(super) failure: Option<Failure>,
    pub(super) running: Option<(Work, String)>,
    /// What runs has reached both databases, and found them to be the right ones.
    pub(super) reached: bool,
    pub(super) reset: Option<String>,
    pub(super) news: Vec<News>,
    pub(super) again: Duration,
}

/// Starts the work that is due, and tells what the latest came to.
pub(super) async fn database(
    object: &PreviewDatabase,
    valid: &ValidPreview,
    made: &Generated,
    names: &Names,
    fresh: Option<&Pods>,
    context: &Context,
) -> Result<Database, Error> {
    let uid = object.uid().unwrap_or_default();
    let inputs = inputs(valid, &uid, made, names, context).await?;
    let key = inputs.key();
    let mut state = context.jobs.state(&uid);
    let told = object
        .status
        .as_ref()
        .and_then(|status| status.last_reset.as_ref())
        .map(|reset| reset.token.as_str());
    let starting = fresh.is_some_and(|pods| pods.ready == 0);
    let pending = plan::pending_reset(valid.reset.as_deref(), told, state.ended.as_ref());
    // A pod that becomes ready is seen by a watch.
    let mut again = if starting {
        valid.sync_interval.max(PROGRESS)
    } else {
        PROGRESS
    };
    if !starting {
        let decision = plan::decide(
            &state,
            context.jobs.runs(&uid, key),
            key,
            pending,
            valid.sync_interval,
            Instant::now(),
        );
        match decision {
            Decision::Start(work) => {
                tracing::debug!(object = %place(object), work = work.name(), "starting work on the database");
                let reference = ObjectRef::new(&object.name_any()).within(&valid.namespace);
                context.jobs.start(&uid, reference, inputs, work);
                state = State {
                    ended: state.ended,
                    ..context.jobs.state(&uid)
                };
            }
            Decision::Wait(Some(left)) => again = left,
            Decision::Wait(None) => {}
        }
    }
    let reset = plan::done_reset(state.ended.as_ref())
        .filter(|token| told != Some(*token))
        .map(str::to_owned);
    let (brought, failure, news) = latest(&state, key, &uid, context);
    // A look at production, or another try, is no news: what was known holds until it has ended.
    let running = state.running.filter(|(work, _)| {
        matches!(work, Work::Reset { .. }) || (brought.is_none() && failure.is_none())
    });
    let resetting = matches!(running, Some((Work::Reset { .. }, _)));
    Ok(Database {
        brought: brought.filter(|_| !resetting),
        failure: failure.filter(|_| !resetting),
        running,
        reached: state.reached,
        reset,
        news,
        again,
    })
}

/// What the latest work came to, if it was for the present inputs.
fn latest(
    state: &State,
    key: u64,
    uid: &str,
    context: &Context,
) -> (Option<Brought>, Option<Failure>, Vec<News>) {
    let Some(ended) = state.ended.as_ref().filter(|ended| ended.key == key) else {
        return (None, None, Vec::new());
    };
    let Ended { work, result, .. } = ended;
    match result {
        Err(failure) => (None, Some(failure.clone()), Vec::new()),
        Ok(Done::Dropped { .. }) => (None, None, Vec::new()),
        Ok(Done::Brought { brought, reset }) => {
            let mut news = Vec::new();
            if *reset && context.memory.is_news(uid, &format!("{:?}", ended.at)) {
                let message = match work {
                    Work::Reset { .. } => {
                        "the preview's changes were dropped, as the annotation asks"
                    }
                    _ => {
                        "production's schema collided with the preview's; the preview's changes were dropped, as sync.onConflict asks"
                    }
                };
                news.push(News::normal(Reason::ResetDone, message));
            }
            if let Some(text) = &brought.brought_in
                && context.memory.is_news(uid, &format!("{:?}", ended.at))
            {
                news.push(News::normal(
                    Reason::SchemaChanged,
                    format!("production's schema has changed; brought in: {text}"),
                ));
            }
            (Some(Brought::clone(brought)), None, news)
        }
    }
}

/// What work on a preview's databases needs.
///
/// # Errors
/// When the managed server's address can't be read.
pub async fn inputs(
    valid: &ValidPreview,
    uid: &str,
    made: &Generated,
    names: &Names,
    context: &Context,
) -> Result<Inputs, Error> {
    let host = family::fresh_host(&valid.namespace, names);
    let address = match &valid.fresh {
        Fresh::Managed(_) if context.settings.fresh_by_address => {
            Api::<Service>::namespaced(context.client.clone(), &valid.namespace)
                .get_opt(&names.fresh)
                .await
                .map_err(Error::api("reading the managed server's Service"))?
                .and_then(|service| service.spec?.cluster_ip)
        }
        _ => None,
    };
    Ok(Inputs::new(
        valid,
        uid,
        &ManagedServer {
            host: &host,
            password: &made.fresh_password,
            authority: &made.authority.certificate,
        },
        address.as_deref(),
        &made.app_password,
        context.settings.programs.clone(),
    ))
}
