//! Reading Secrets and ConfigMaps that specs refer to, and the previews' own Secrets.
//!
//! Without the right to watch Secrets, which shows every Secret of a namespace to whoever has it, they are read again when they are older than the caller
//! allows: a hundred previews of the same production cost one request for each interval. With it ([`Metadata`]) they are read again when they have changed.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::GetParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::children::Kind;
use crate::validate::{References, Resolved};
use crate::versions::Versions;

/// How many of a kind are kept before old ones are dropped.
const KEPT: usize = 256;
/// What wasn't asked for in this time is dropped when there are many.
const KEEP: Duration = Duration::from_secs(300);
/// What was read a moment ago is as good as new.
const A_MOMENT: Duration = Duration::from_millis(900);

/// How new something must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Somebody waits for what it says.
    New,
    /// Nothing is known to have changed: it's looked at when it's older than this, at the API server's own leisure.
    AtRest(Duration),
}

/// How to get something that may have been read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As it was read.
    Kept,
    /// From the API server's memory, not older than it was read.
    Look,
    /// From where it's stored.
    Ask,
}

/// Decides. `age` is how long ago it was read, `None` if never; `unchanged` what a watch says of it, `None` without one.
fn way(age: Option<Duration>, freshness: Freshness, unchanged: Option<bool>) -> Way {
    let Some(age) = age else { return Way::Ask };
    match (unchanged, freshness) {
        (Some(true), _) => Way::Kept,
        (Some(false), _) => Way::Ask,
        (None, Freshness::New) if age < A_MOMENT => Way::Kept,
        (None, Freshness::New) => Way::Ask,
        (None, Freshness::AtRest(interval)) if age < interval => Way::Kept,
        (None, Freshness::AtRest(_)) => Way::Look,
    }
}

/// An object that was read.
struct Read<K> {
    at: Instant,
    asked_for: Instant,
    object: Arc<K>,
}

/// The objects of a kind that were read lately, by namespace and name.
struct Cache<K>(Mutex<HashMap<(String, String), Read<K>>>);

impl<K> Cache<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + 'static,
{
    fn new() -> Self {
        Self(Mutex::default())
    }

    async fn get(
        &self,
        client: &Client,
        versions: Option<&Versions<K>>,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<K>>, kube::Error> {
        let key = (namespace.to_owned(), name.to_owned());
        let now = Instant::now();
        let kept = self.lock().get_mut(&key).map(|read| {
            read.asked_for = now;
            (read.at, Arc::clone(&read.object))
        });
        let version = kept
            .as_ref()
            .and_then(|(_, object)| object.meta().resource_version.clone());
        let unchanged =
            versions.and_then(|versions| versions.is_at(namespace, name, version.as_deref()?));
        let age = kept.as_ref().map(|(at, _)| now.duration_since(*at));
        let way = way(age, freshness, unchanged);
        let api = Api::<K>::namespaced(client.clone(), namespace);
        let mut found = None;
        match (way, kept, version) {
            (Way::Kept, Some((_, object)), _) => return Ok(Some(object)),
            (Way::Look, Some(_), Some(version)) => {
                match api.get_with(name, &GetParams::at(&version)).await {
                    Ok(object) => found = Some(object),
                    // It's gone, or that memory has never known this version: who stores it knows.
                    Err(kube::Error::Api(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            _ => {}
        }
        if found.is_none() {
            found = api.get_opt(name).await?;
        }
        let mut reads = self.lock();
        let Some(mut object) = found else {
            reads.remove(&key);
            return Ok(None);
        };
        object.meta_mut().managed_fields = None;
        let object = Arc::new(object);
        if reads.len() >= KEPT {
            reads.retain(|_, read| now.duration_since(read.asked_for) < KEEP);
        }
        let read = Read {
            at: now,
            asked_for: now,
            object: Arc::clone(&object),
        };
        reads.insert(key, read);
        Ok(Some(object))
    }

    fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Read<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What watches tell of all Secrets and ConfigMaps, where the operator may watch them: names and versions, nothing of what's in them.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Secrets'.
    pub secrets: Versions<Secret>,
    /// ConfigMaps'.
    pub config_maps: Versions<ConfigMap>,
}

/// Which object refers to what.
struct User {
    namespace: String,
    name: String,
    references: References,
}

/// The reader, with what it read lately.
pub struct Reader {
    client: Client,
    secrets: Cache<Secret>,
    config_maps: Cache<ConfigMap>,
    metadata: Option<Metadata>,
    /// By UID.
    users: Mutex<HashMap<String, User>>,
}

impl Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader that has read nothing. `metadata`: what changes is told, and nothing need be looked at.
    #[must_use]
    pub fn new(client: Client, metadata: Option<Metadata>) -> Self {
        Self {
            client,
            secrets: Cache::new(),
            config_maps: Cache::new(),
            metadata,
            users: Mutex::default(),
        }
    }

    /// A Secret; `None`: it isn't there (which is never remembered).
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        freshness: Freshness,
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        let versions = self.metadata.as_ref().map(|metadata| &metadata.secrets);
        self.secrets
            .get(&self.client, versions, namespace, name, freshness)
            .await
    }

    /// A Secret was written or deleted: it's read again next time.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.secrets.forget(namespace, name);
    }

    /// Reads all that an object's spec refers to; what isn't there is left out.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub async fn resolve(
        &self,
        object: &ObjectMeta,
        references: References,
        freshness: Freshness,
    ) -> Result<Resolved, kube::Error> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let References {
            secrets,
            config_maps,
        } = &references;
        let mut resolved = Resolved::default();
        for name in secrets {
            if let Some(secret) = self.secret(namespace, name, freshness).await? {
                resolved.add_secret(name, Secret::clone(&secret));
            }
        }
        let versions = self.metadata.as_ref().map(|metadata| &metadata.config_maps);
        for name in config_maps {
            let found = self
                .config_maps
                .get(&self.client, versions, namespace, name, freshness)
                .await?;
            if let Some(config_map) = found {
                resolved.add_config_map(name, ConfigMap::clone(&config_map));
            }
        }
        let user = User {
            namespace: namespace.to_owned(),
            name: object.name.clone().unwrap_or_default(),
            references,
        };
        self.users()
            .insert(object.uid.clone().unwrap_or_default(), user);
        Ok(resolved)
    }

    /// An object is gone.
    pub fn forget_user(&self, uid: &str) {
        self.users().remove(uid);
    }

    /// The names of the objects in a namespace that refer to a Secret or ConfigMap.
    #[must_use]
    pub fn users_of(&self, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
        self.users()
            .values()
            .filter(|user| {
                let named = match kind {
                    Kind::Secret => &user.references.secrets,
                    _ => &user.references.config_maps,
                };
                user.namespace == namespace && named.contains(name)
            })
            .map(|user| user.name.clone())
            .collect()
    }

    fn users(&self) -> std::sync::MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_was_never_read_or_has_changed_is_asked_for() {
        let at_rest = Freshness::AtRest(MINUTE);
        for freshness in [Freshness::New, at_rest] {
            assert_eq!(way(None, freshness, None), Way::Ask);
            assert_eq!(way(Some(Duration::ZERO), freshness, Some(false)), Way::Ask);
        }
    }

    #[test]
    fn without_a_watch_what_is_old_is_looked_at() {
        let at_rest = Freshness::AtRest(MINUTE);
        for (age, freshness, expected) in [
            (100, Freshness::New, Way::Kept),
            (1000, Freshness::New, Way::Ask),
            (1000, at_rest, Way::Kept),
            (61_000, at_rest, Way::Look),
        ] {
            let age = Some(Duration::from_millis(age));
            assert_eq!(way(age, freshness, None), expected, "{age:?} {freshness:?}");
        }
    }

    #[test]
    fn with_a_watch_what_has_not_changed_is_never_read_again() {
        let long = Some(MINUTE * 600);
        for freshness in [Freshness::New, Freshness::AtRest(MINUTE)] {
            assert_eq!(way(long, freshness, Some(true)), Way::Kept);
        }
    }
}
