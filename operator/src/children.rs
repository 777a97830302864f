//! What is known of the children without asking: the caches that watches fill.
//!
//! Only what decisions need is kept of an object: 500 previews have 4000 children. Secrets aren't among them: they are read ([`crate::secrets`]).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};

use crate::build::CONNECTIONS;
use crate::build::names::INSTANCE;

/// A child's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `v1` Service.
    Service,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
}

impl Kind {
    /// The kinds that are watched.
    pub const WATCHED: [Self; 6] = [
        Self::ConfigMap,
        Self::Service,
        Self::Deployment,
        Self::StatefulSet,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
    ];

    /// The kinds of which a spec may ask for fewer than it did before.
    pub const OPTIONAL: [Self; 2] = [Self::NetworkPolicy, Self::PodDisruptionBudget];

    /// Its name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
        }
    }
}

/// A child as it is in the cluster, as far as that decides whether it's to be applied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The UID of its controller.
    pub controller: Option<String>,
    /// Changes whenever somebody changes what we apply, and not with its status.
    pub mark: u64,
}

impl Seen {
    /// Of an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let mut hash = DefaultHasher::new();
        metadata.uid.hash(&mut hash);
        match metadata.generation {
            // The generation counts changes of the spec.
            Some(generation) => {
                generation.hash(&mut hash);
                metadata.labels.hash(&mut hash);
                let annotations: Vec<_> = metadata
                    .annotations
                    .iter()
                    .flatten()
                    // The controllers' own notes.
                    .filter(|(name, _)| !name.starts_with("deployment.kubernetes.io/"))
                    .collect();
                annotations.hash(&mut hash);
            }
            None => metadata.resource_version.hash(&mut hash),
        }
        Self {
            controller: metadata
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
            mark: hash.finish(),
        }
    }
}

/// The caches.
#[derive(Debug, Clone)]
pub struct Children {
    /// ConfigMaps' metadata.
    pub config_maps: Store<PartialObjectMeta<ConfigMap>>,
    /// Services' metadata.
    pub services: Store<PartialObjectMeta<Service>>,
    /// Deployments without their specs.
    pub deployments: Store<Deployment>,
    /// StatefulSets without their specs.
    pub stateful_sets: Store<StatefulSet>,
    /// NetworkPolicies' metadata.
    pub network_policies: Store<PartialObjectMeta<NetworkPolicy>>,
    /// PodDisruptionBudgets' metadata.
    pub budgets: Store<PartialObjectMeta<PodDisruptionBudget>>,
}

impl Children {
    /// Waits until every cache was filled once.
    ///
    /// # Errors
    /// When the operator ends before that.
    pub async fn ready(&self) -> Result<(), kube::runtime::reflector::store::WriterDropped> {
        let Self {
            config_maps,
            services,
            deployments,
            stateful_sets,
            network_policies,
            budgets,
        } = self;
        config_maps.wait_until_ready().await?;
        services.wait_until_ready().await?;
        deployments.wait_until_ready().await?;
        stateful_sets.wait_until_ready().await?;
        network_policies.wait_until_ready().await?;
        budgets.wait_until_ready().await
    }

    /// A child, if its cache has it.
    #[must_use]
    pub fn seen(&self, kind: Kind, namespace: &str, name: &str) -> Option<Seen> {
        match kind {
            Kind::ConfigMap => look(&self.config_maps, namespace, name),
            Kind::Service => look(&self.services, namespace, name),
            Kind::Deployment => look(&self.deployments, namespace, name),
            Kind::StatefulSet => look(&self.stateful_sets, namespace, name),
            Kind::NetworkPolicy => look(&self.network_policies, namespace, name),
            Kind::PodDisruptionBudget => look(&self.budgets, namespace, name),
            Kind::Secret => None,
        }
    }

    /// The names of all children of a kind that an object controls.
    #[must_use]
    pub fn of(&self, kind: Kind, namespace: &str, preview: &str, uid: &str) -> Vec<String> {
        match kind {
            Kind::ConfigMap => owned(&self.config_maps, namespace, preview, uid),
            Kind::Service => owned(&self.services, namespace, preview, uid),
            Kind::Deployment => owned(&self.deployments, namespace, preview, uid),
            Kind::StatefulSet => owned(&self.stateful_sets, namespace, preview, uid),
            Kind::NetworkPolicy => owned(&self.network_policies, namespace, preview, uid),
            Kind::PodDisruptionBudget => owned(&self.budgets, namespace, preview, uid),
            Kind::Secret => Vec::new(),
        }
    }

    /// The connections that an object's managed PostgreSQL has, as its ConfigMap says.
    #[must_use]
    pub fn connections(&self, namespace: &str, name: &str, uid: &str) -> Option<u32> {
        let config = self
            .config_maps
            .get(&ObjectRef::new(name).within(namespace))?;
        let is_ours = Seen::of(config.meta()).controller.as_deref() == Some(uid);
        is_ours
            .then(|| config.annotations().get(CONNECTIONS)?.parse().ok())
            .flatten()
    }

    /// A Deployment, without its spec.
    #[must_use]
    pub fn deployment(&self, namespace: &str, name: &str) -> Option<std::sync::Arc<Deployment>> {
        self.deployments
            .get(&ObjectRef::new(name).within(namespace))
    }

    /// A StatefulSet, without its spec.
    #[must_use]
    pub fn stateful_set(&self, namespace: &str, name: &str) -> Option<std::sync::Arc<StatefulSet>> {
        self.stateful_sets
            .get(&ObjectRef::new(name).within(namespace))
    }
}

fn look<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Seen>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store
        .get(&ObjectRef::new(name).within(namespace))
        .map(|object| Seen::of(object.meta()))
}

fn owned<K>(store: &Store<K>, namespace: &str, preview: &str, uid: &str) -> Vec<String>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store
        .state_filter(|object| {
            object.meta().namespace.as_deref() == Some(namespace)
                && object
                    .labels()
                    .get(INSTANCE)
                    .is_some_and(|name| name == preview)
        })
        .into_iter()
        .filter(|object| Seen::of(object.meta()).controller.as_deref() == Some(uid))
        .map(|object| object.name_any())
        .collect()
}

/// What was applied: the child needn't be applied again as long as it should be the same and is seen as it was left.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<String, Entries>>);

/// One object's children, by kind and name.
type Entries = BTreeMap<(Kind, String), Entry>;

/// One child in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    wanted: u64,
    left: u64,
}

impl Ledger {
    /// Whether a child that should be `wanted` (a hash) and is `seen` was left so by us.
    #[must_use]
    pub fn is_applied(&self, uid: &str, kind: Kind, name: &str, wanted: u64, seen: &Seen) -> bool {
        self.lock()
            .get(uid)
            .and_then(|children| children.get(&(kind, name.to_owned())))
            .is_some_and(|entry| entry.wanted == wanted && entry.left == seen.mark)
    }

    /// A child was applied.
    pub fn applied(&self, uid: &str, kind: Kind, name: &str, wanted: u64, left: &Seen) {
        self.lock().entry(uid.to_owned()).or_default().insert(
            (kind, name.to_owned()),
            Entry {
                wanted,
                left: left.mark,
            },
        );
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(generation: Option<i64>, version: &str, revision: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u".to_owned()),
            generation,
            resource_version: Some(version.to_owned()),
            annotations: Some(BTreeMap::from([(
                "deployment.kubernetes.io/revision".to_owned(),
                revision.to_owned(),
            )])),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_status_is_no_change() {
        let seen = Seen::of(&metadata(Some(1), "5", "1"));
        assert_eq!(seen, Seen::of(&metadata(Some(1), "6", "2")));
        assert_ne!(seen, Seen::of(&metadata(Some(2), "6", "2")));
        let mut unnoted = metadata(Some(1), "5", "1");
        unnoted.annotations = None;
        assert_eq!(seen, Seen::of(&unnoted), "the controller's first note");
        let mut labelled = metadata(Some(1), "5", "1");
        labelled.labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert_ne!(seen, Seen::of(&labelled));
        assert_ne!(
            Seen::of(&metadata(None, "5", "1")),
            Seen::of(&metadata(None, "6", "1"))
        );
    }

    #[test]
    fn the_ledger_knows_what_was_left() {
        let ledger = Ledger::default();
        let seen = Seen::of(&metadata(Some(1), "5", "1"));
        let changed = Seen::of(&metadata(Some(2), "6", "1"));
        assert!(!ledger.is_applied("u", Kind::Service, "a", 7, &seen));
        ledger.applied("u", Kind::Service, "a", 7, &seen);
        assert!(ledger.is_applied("u", Kind::Service, "a", 7, &seen));
        assert!(!ledger.is_applied("u", Kind::Service, "a", 8, &seen));
        assert!(!ledger.is_applied("u", Kind::Service, "a", 7, &changed));
        assert!(!ledger.is_applied("u", Kind::ConfigMap, "a", 7, &seen));
        ledger.forget("u");
        assert!(!ledger.is_applied("u", Kind::Service, "a", 7, &seen));
    }
}
