//! Which version each object of a kind has, as a watch of metadata tells: what has the version that was read hasn't changed since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

/// The versions of all objects of a kind.
#[derive(Debug)]
pub struct Versions<K>
where
    PartialObjectMeta<K>: Resource<DynamicType = ()> + 'static,
{
    kept: Store<PartialObjectMeta<K>>,
    /// The watch has failed or begun anew, and the cache isn't what it told since.
    unsettled: Arc<AtomicBool>,
}

impl<K> Clone for Versions<K>
where
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + 'static,
{
    fn clone(&self) -> Self {
        Self {
            kept: self.kept.clone(),
            unsettled: Arc::clone(&self.unsettled),
        }
    }
}

impl<K> Versions<K>
where
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + 'static,
{
    /// As the cache has them that a watch fills.
    #[must_use]
    pub fn new(kept: Store<PartialObjectMeta<K>>) -> Self {
        Self {
            kept,
            unsettled: Arc::default(),
        }
    }

    /// The watch has said something, after which the cache is right or isn't.
    pub fn told(&self, is_right: bool) {
        self.unsettled.store(!is_right, Ordering::Release);
    }

    /// Whether an object has this version. `None`: the watch can't tell, because it isn't filled, or has failed.
    #[must_use]
    pub fn is_at(&self, namespace: &str, name: &str, version: &str) -> Option<bool> {
        if self.unsettled.load(Ordering::Acquire) {
            return None;
        }
        self.kept.wait_until_ready().now_or_never()?.ok()?;
        let found = self.kept.get(&ObjectRef::new(name).within(namespace));
        let now = found.and_then(|object| object.metadata.resource_version.clone());
        Some(now.as_deref() == Some(version))
    }
}

/// Leaves of an object's metadata only what its version and its owner are told by.
pub fn strip(metadata: &mut ObjectMeta) {
    *metadata = ObjectMeta {
        name: metadata.name.take(),
        namespace: metadata.namespace.take(),
        uid: metadata.uid.take(),
        resource_version: metadata.resource_version.take(),
        owner_references: metadata.owner_references.take(),
        ..ObjectMeta::default()
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Secret;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;

    fn secret(name: &str, version: &str) -> PartialObjectMeta<Secret> {
        PartialObjectMeta {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("shop".to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..PartialObjectMeta::default()
        }
    }

    #[test]
    fn a_version_is_known_as_long_as_the_watch_is_good() {
        let (reader, mut writer) = store::<PartialObjectMeta<Secret>>();
        let versions = Versions::new(reader);
        let at = |name: &str, version: &str| versions.is_at("shop", name, version);
        assert_eq!(at("a", "1"), None, "not filled yet");
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitApply(secret("a", "1")));
        writer.apply_watcher_event(&Event::InitDone);
        assert_eq!(at("a", "1"), Some(true));
        assert_eq!(at("b", "1"), Some(false), "it's gone");
        writer.apply_watcher_event(&Event::Apply(secret("a", "2")));
        assert_eq!(at("a", "1"), Some(false));
        versions.told(false);
        assert_eq!(at("a", "2"), None);
        versions.told(true);
        assert_eq!(at("a", "2"), Some(true));
    }
}
