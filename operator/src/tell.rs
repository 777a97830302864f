//! Writing an object's status and events.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};

use crate::api::PreviewDatabase;
use crate::build::names::MANAGER;
use crate::context::Context;
use crate::error::Error;
use crate::report::{Facts, News, cut, is_old_news, news, status};

/// The longest note of an event, in bytes.
const NOTE_MAX: usize = 1024;

/// Writes the status, if it says something new, and tells of what has changed.
///
/// # Errors
/// When the API server refuses the status or can't be reached.
pub async fn report(
    object: &PreviewDatabase,
    facts: Facts,
    more: &[News],
    context: &Context,
) -> Result<(), Error> {
    let uid = object.uid().unwrap_or_default();
    let before = object.status.as_ref();
    context.metrics.reason(&uid, facts.ready.reason.as_str());
    let now = status(before, facts, Timestamp::now());
    if !is_old_news(before, &now) {
        let api: Api<PreviewDatabase> = Api::namespaced(
            context.client.clone(),
            &object.namespace().unwrap_or_default(),
        );
        let body = serde_json::json!({
            "apiVersion": PreviewDatabase::api_version(&()),
            "kind": PreviewDatabase::kind(&()),
            "metadata": {"name": object.name_any(), "uid": uid},
            "status": now,
        });
        api.patch_status(
            &object.name_any(),
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&body),
        )
        .await
        .map_err(Error::api("writing the status"))?;
        context.memory.told(&uid, &now);
    }
    for each in news(before, &now).iter().chain(more) {
        event(object, each, context).await;
    }
    Ok(())
}

/// Records an event. That it can't be recorded is logged and no more.
pub async fn event(object: &PreviewDatabase, news: &News, context: &Context) {
    let event = Event {
        type_: if news.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: news.reason.as_str().to_owned(),
        note: Some(cut(&news.message, NOTE_MAX)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let place = crate::reconcile::place(object);
    tracing::info!(object = %place, reason = news.reason.as_str(), "{}", news.message);
    if let Err(error) = context
        .recorder
        .publish(&event, &object.object_ref(&()))
        .await
    {
        tracing::warn!(object = %place, error = &error as &dyn std::error::Error, "can't record an event");
    }
}
