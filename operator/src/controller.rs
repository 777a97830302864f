//! Watches → reconciliations: of one namespace, or of all.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::Event;
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::build::names::{MANAGED_BY, MANAGER};
use crate::children::{Children, Kind, Ledger};
use crate::context::{Context, Memory, Settings, Watched};
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::reconcile::{on_error, reconcile};
use crate::secrets::{Metadata, Reader};
use crate::versions::{Versions, strip};

/// Events of one object that come together are one reconciliation.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// What a controller is started with.
#[derive(Clone)]
pub struct Start {
    /// Towards the API server.
    pub client: Client,
    /// What the operator was started with.
    pub settings: Arc<Settings>,
    /// How many objects are reconciled at a time.
    pub concurrency: u16,
    /// Bounds the work on databases of all controllers.
    pub permits: Arc<Semaphore>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Turns true when the operator is to end.
    pub ending: watch::Receiver<bool>,
}

impl Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The API of a kind, in one namespace or in all.
fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A watch of children, kept in a cache, whose every event wakes the owner.
fn children<K>(
    api: Api<K>,
    strip: fn(&mut K),
) -> (
    Store<K>,
    impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, writer): (Store<K>, Writer<K>) = store();
    let config = watcher::Config::default()
        .labels(&format!("{MANAGED_BY}={MANAGER}"))
        .page_size(PAGE);
    let stream = watcher(api, config)
        .default_backoff()
        .modify(move |object| {
            object.meta_mut().managed_fields = None;
            strip(object);
        })
        .reflect(writer)
        .touched_objects()
        .predicate_filter(predicates::resource_version, PredicateConfig::default());
    (reader, stream)
}

/// A watch of the versions of all objects of a kind, whose every event wakes the previews that have to do with it.
fn versions<K>(
    api: Api<PartialObjectMeta<K>>,
) -> (
    Versions<K>,
    impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static,
)
where
    PartialObjectMeta<K>:
        Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, writer) = store::<PartialObjectMeta<K>>();
    let versions = Versions::new(reader);
    let told = versions.clone();
    let stream = watcher(api, watcher::Config::default().page_size(PAGE))
        .default_backoff()
        .modify(|object| strip(object.meta_mut()))
        .reflect(writer)
        .inspect(move |event| {
            // While all of them come anew, the cache has those of before.
            let settled = matches!(
                event,
                Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)
            );
            told.told(settled);
        })
        .touched_objects();
    (versions, stream)
}

/// The objects that have to do with a Secret or ConfigMap: who made it, and who refers to it.
fn concerned(context: &Context, kind: Kind, metadata: &ObjectMeta) -> Vec<ObjectRef<Watched>> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let owners = metadata
        .owner_references
        .iter()
        .flatten()
        .filter(|owner| owner.controller == Some(true) && owner.kind == Watched::kind(&()))
        .map(|owner| owner.name.clone());
    owners
        .chain(context.reader.users_of(kind, namespace, name))
        .map(|name| ObjectRef::new(&name).within(namespace))
        .collect()
}

/// How many objects a list brings at a time: with thousands of them at once, most of the operator's memory would be for its first moments.
const PAGE: u32 = 50;

fn nothing<K>(_: &mut K) {}

/// Reconciles until `ending` turns true and what was begun has ended. `namespace` is `None` for all.
///
/// `ready` is told when the caches were filled for the first time.
pub async fn run(start: Start, namespace: Option<String>, ready: impl FnOnce() + Send + 'static) {
    let Start {
        client,
        settings,
        concurrency,
        permits,
        metrics,
        mut ending,
    } = start;
    let namespace = namespace.as_deref();
    let (config_maps, of_config_maps) =
        children::<PartialObjectMeta<ConfigMap>>(api(&client, namespace), nothing);
    let (services, of_services) =
        children::<PartialObjectMeta<Service>>(api(&client, namespace), nothing);
    let (deployments, of_deployments) =
        children::<Deployment>(api(&client, namespace), |deployment| deployment.spec = None);
    let (stateful_sets, of_stateful_sets) =
        children::<StatefulSet>(api(&client, namespace), |set| set.spec = None);
    let (network_policies, of_network_policies) =
        children::<PartialObjectMeta<NetworkPolicy>>(api(&client, namespace), nothing);
    let (budgets, of_budgets) =
        children::<PartialObjectMeta<PodDisruptionBudget>>(api(&client, namespace), nothing);
    let children = Children {
        config_maps,
        services,
        deployments,
        stateful_sets,
        network_policies,
        budgets,
    };

    let (wake, woken) = mpsc::unbounded_channel::<ObjectRef<Watched>>();
    let woken = stream::unfold(woken, |mut woken| async {
        woken.recv().await.map(|object| (object, woken))
    });
    let of_all = settings.watch_secrets.then(|| {
        (
            versions::<Secret>(api(&client, namespace)),
            versions::<ConfigMap>(api(&client, namespace)),
        )
    });
    let metadata = of_all
        .as_ref()
        .map(|((secrets, _), (config_maps, _))| Metadata {
            secrets: secrets.clone(),
            config_maps: config_maps.clone(),
        });
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), Reporter::from(MANAGER)),
        reader: Reader::new(client.clone(), metadata),
        jobs: Jobs::new(permits, wake, Arc::clone(&metrics)),
        client: client.clone(),
        settings,
        children: children.clone(),
        ledger: Ledger::default(),
        metrics,
        memory: Memory::default(),
    });

    let (reader, writer): (Store<Watched>, Writer<Watched>) = store();
    // The status is our own, and so no reason to reconcile.
    let by_others = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::finalizers)
        .combine(deletion);
    let previews = watcher(
        api::<Watched>(&client, namespace),
        watcher::Config::default().page_size(PAGE),
    )
    .default_backoff()
    .modify(|object| object.meta_mut().managed_fields = None)
    .reflect(writer)
    .applied_objects()
    .predicate_filter(by_others, PredicateConfig::default());

    let filled = children.clone();
    let tell_ready = tokio::spawn(async move {
        if filled.ready().await.is_ok() {
            ready();
        }
    });
    let config = Config::default()
        .concurrency(concurrency)
        .debounce(DEBOUNCE);
    let mut controller = Controller::for_stream(previews, reader).with_config(config);
    if let Some(((_, of_secrets), (_, of_config_maps))) = of_all {
        let (one, other) = (Arc::clone(&context), Arc::clone(&context));
        controller = controller
            .watches_stream(of_secrets, move |object| {
                concerned(&one, Kind::Secret, &object.metadata)
            })
            .watches_stream(of_config_maps, move |object| {
                concerned(&other, Kind::ConfigMap, &object.metadata)
            });
    }
    controller
        .owns_stream(of_config_maps)
        .owns_stream(of_services)
        .owns_stream(of_deployments)
        .owns_stream(of_stateful_sets)
        .owns_stream(of_network_policies)
        .owns_stream(of_budgets)
        .reconcile_on(woken)
        .graceful_shutdown_on(async move {
            // Whoever could tell is gone: that's an end, too.
            let _ = ending.wait_for(|ending| *ending).await;
        })
        .run(reconcile, on_error, context)
        .for_each(|result| async move {
            match result {
                Ok(_) | Err(kube::runtime::controller::Error::ReconcilerFailed(..)) => {}
                // It's deleted.
                Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a watch failed; it's taken up again"
                    );
                }
            }
        })
        .await;
    tell_ready.abort();
}

/// Whether it's deleted.
fn deletion(object: &Watched) -> Option<u64> {
    Some(u64::from(object.meta().deletion_timestamp.is_some()))
}
