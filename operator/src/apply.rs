//! Children → the cluster, by server-side apply.
//!
//! Nothing is touched before it's known of every child that its name is free or ours. What is there as it was left isn't applied again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::Value;

use crate::build::names::MANAGER;
use crate::children::{Children, Kind, Ledger, Seen};

/// Why a child couldn't be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The name is somebody else's.
    #[error(
        "there is a {kind} {name:?} in this namespace that isn't this preview's; nothing was changed: delete or rename it, or create the PreviewDatabase under another name"
    )]
    NameConflict {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The API server refused or couldn't be reached.
    #[error("can't apply {kind} {name:?}")]
    Api {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A child can't be written as JSON: a defect.
    #[error("{0} can't be written as JSON")]
    Json(&'static str, #[source] serde_json::Error),
}

/// A child to be applied.
#[derive(Debug, Clone)]
pub struct Wanted {
    kind: Kind,
    name: String,
    resource: ApiResource,
    value: Value,
    hash: u64,
}

impl Wanted {
    /// Of a typed object.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn new<K>(kind: Kind, object: &K) -> Result<Self, ApplyError>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let value = serde_json::to_value(object)
            .map_err(|source| ApplyError::Json(kind.as_str(), source))?;
        let mut hash = DefaultHasher::new();
        value.to_string().hash(&mut hash);
        Ok(Self {
            kind,
            name: object.meta().name.clone().unwrap_or_default(),
            resource: ApiResource::erase::<K>(&()),
            value,
            hash: hash.finish(),
        })
    }

    /// Its kind and name.
    #[must_use]
    pub fn id(&self) -> (Kind, &str) {
        (self.kind, &self.name)
    }
}

/// What was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The children.
    pub children: Vec<(Kind, String)>,
    /// The size that the managed server's volume should have, if that's another than it was made with.
    pub grows: Option<String>,
}

/// What became of the wish for a larger volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Growth {
    /// The API server took it; the storage's own controller does it.
    Asked,
    /// There's no claim yet.
    NoVolume,
    /// The claim has no volume yet.
    Unbound,
    /// The volume can't grow: the API server's words.
    Refused(String),
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        Kind::Secret => ApiResource::erase::<Secret>(&()),
        Kind::Service => ApiResource::erase::<Service>(&()),
        Kind::Deployment => ApiResource::erase::<Deployment>(&()),
        Kind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        Kind::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
        Kind::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
    }
}

/// Applies the children of one object.
#[derive(Clone)]
pub struct Applier<'a> {
    /// Towards the API server.
    pub client: &'a Client,
    /// What watches know.
    pub children: &'a Children,
    /// What was applied before.
    pub ledger: &'a Ledger,
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's UID.
    pub uid: &'a str,
    /// The Secrets that were read just now, as they are.
    pub secrets: Vec<(String, Seen)>,
}

impl std::fmt::Debug for Applier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Applier<'_> {
    /// Makes sure that every name is free or this object's.
    ///
    /// # Errors
    /// `NameConflict` for the first that isn't.
    pub async fn check(&self, wanted: &[Wanted]) -> Result<(), ApplyError> {
        for child in wanted {
            let seen = match self.seen(child) {
                Some(seen) => Some(seen),
                // Watches see what has our label only.
                None => self
                    .api(&child.resource)
                    .get_metadata_opt(&child.name)
                    .await
                    .map_err(|source| failed(child, source))?
                    .map(|object| Seen::of(&object.metadata)),
            };
            if seen.is_some_and(|seen| seen.controller.as_deref() != Some(self.uid)) {
                return Err(ApplyError::NameConflict {
                    kind: child.kind.as_str(),
                    name: child.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Applies what isn't as it was left.
    ///
    /// # Errors
    /// When the API server refuses one, or can't be reached.
    pub async fn apply(&self, wanted: &[Wanted]) -> Result<Applied, ApplyError> {
        let mut applied = Applied::default();
        for child in wanted {
            let seen = self.seen(child);
            if seen.is_some_and(|seen| {
                self.ledger
                    .is_applied(self.uid, child.kind, &child.name, child.hash, &seen)
            }) {
                continue;
            }
            if let Some(size) = self.apply_one(child).await? {
                applied.grows = Some(size);
            }
            applied.children.push((child.kind, child.name.clone()));
        }
        Ok(applied)
    }

    /// Applies a child; the size that its volume should have, if that's another than it was made with.
    async fn apply_one(&self, child: &Wanted) -> Result<Option<String>, ApplyError> {
        let (value, grows) = if child.kind == Kind::StatefulSet {
            self.with_its_claims(child).await?
        } else {
            (child.value.clone(), None)
        };
        let left = self
            .api(&child.resource)
            .patch(
                &child.name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(&value),
            )
            .await
            .map_err(|source| failed(child, source))?;
        self.ledger.applied(
            self.uid,
            child.kind,
            &child.name,
            child.hash,
            &Seen::of(&left.metadata),
        );
        Ok(grows)
    }

    /// A StatefulSet's claims can't be changed: it's applied with those that it has. The size that the volume should have, if that's another.
    async fn with_its_claims(&self, child: &Wanted) -> Result<(Value, Option<String>), ApplyError> {
        const CLAIMS: &str = "/spec/volumeClaimTemplates";
        const SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
        let mut value = child.value.clone();
        let existing = self
            .api(&child.resource)
            .get_opt(&child.name)
            .await
            .map_err(|source| failed(child, source))?;
        let Some(existing) = existing else {
            return Ok((value, None));
        };
        let Some(claims) = existing.data.pointer(CLAIMS).cloned() else {
            return Ok((value, None));
        };
        let grows = value
            .pointer(SIZE)
            .filter(|size| Some(*size) != existing.data.pointer(SIZE))
            .and_then(Value::as_str)
            .map(str::to_owned);
        if let Some(place) = value.pointer_mut(CLAIMS) {
            *place = claims;
        }
        Ok((value, grows))
    }

    /// Asks for a larger volume.
    ///
    /// # Errors
    /// When the operator may not, or the API server can't be reached.
    pub async fn grow_claim(&self, stateful_set: &str, size: &str) -> Result<Growth, ApplyError> {
        let larger = serde_json::json!({"spec": {"resources": {"requests": {"storage": size}}}});
        match self.patch_claim(stateful_set, &larger).await {
            Ok(true) => Ok(Growth::Asked),
            Ok(false) => Ok(Growth::NoVolume),
            Err(ApplyError::Api {
                source: kube::Error::Api(status),
                ..
            }) if refuses_growth(&status) => {
                let message = status.message.lines().next().unwrap_or_default();
                Ok(if message.contains("for bound claims") {
                    Growth::Unbound
                } else {
                    Growth::Refused(message.to_owned())
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the object (or nobody, `None`) the owner of its managed server's volume; whether there is one. It then goes with its owner
    /// and with nothing else: StatefulSets are told to leave it.
    ///
    /// # Errors
    /// When the API server refuses or can't be reached.
    pub async fn own_claim(
        &self,
        stateful_set: &str,
        owner: Option<OwnerReference>,
    ) -> Result<bool, ApplyError> {
        let owners = owner.map(|owner| {
            // The StatefulSet's pod is what uses it, and nothing waits for it.
            [OwnerReference {
                controller: None,
                block_owner_deletion: None,
                ..owner
            }]
        });
        let owned = serde_json::json!({"metadata": {"ownerReferences": owners}});
        self.patch_claim(stateful_set, &owned).await
    }

    /// Changes the claim of a StatefulSet's pod; whether there is one.
    async fn patch_claim(&self, stateful_set: &str, change: &Value) -> Result<bool, ApplyError> {
        let claim = crate::build::fresh::claim_of(stateful_set);
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), self.namespace);
        match claims.patch(&claim, &params, &Patch::Merge(change)).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(source) => Err(ApplyError::Api {
                kind: "PersistentVolumeClaim",
                name: claim,
                source,
            }),
        }
    }

    /// Deletes the object's children of these kinds that aren't in `kept`.
    ///
    /// # Errors
    /// When the API server refuses or can't be reached.
    pub async fn prune(
        &self,
        preview: &str,
        kinds: &[Kind],
        kept: &[(Kind, &str)],
    ) -> Result<(), ApplyError> {
        for &kind in kinds {
            for name in self.children.of(kind, self.namespace, preview, self.uid) {
                if !kept.contains(&(kind, name.as_str())) {
                    self.delete(kind, &name).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes a child that's this object's; what isn't there, or isn't ours, is left alone.
    ///
    /// # Errors
    /// When the API server refuses or can't be reached.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), ApplyError> {
        let api = self.api(&resource(kind));
        let wrap = |source| ApplyError::Api {
            kind: kind.as_str(),
            name: name.to_owned(),
            source,
        };
        let Some(object) = api.get_metadata_opt(name).await.map_err(wrap)? else {
            return Ok(());
        };
        if Seen::of(&object.metadata).controller.as_deref() != Some(self.uid) {
            return Ok(());
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(wrap(source)),
        }
    }

    fn seen(&self, child: &Wanted) -> Option<Seen> {
        if child.kind == Kind::Secret {
            return self
                .secrets
                .iter()
                .find(|(name, _)| *name == child.name)
                .map(|(_, seen)| seen.clone());
        }
        self.children.seen(child.kind, self.namespace, &child.name)
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), self.namespace, resource)
    }
}

/// Whether an answer is about the volume, rather than about the operator's rights.
fn refuses_growth(status: &kube::core::Status) -> bool {
    match status.code {
        422 => true,
        403 => !status.message.contains("cannot patch resource"),
        _ => false,
    }
}

fn failed(child: &Wanted, source: kube::Error) -> ApplyError {
    ApplyError::Api {
        kind: child.kind.as_str(),
        name: child.name.clone(),
        source,
    }
}
