//! A valid preview → its children, every one as a typed object. Pure: the same preview gives the same objects.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest as _, Sha256};

pub mod config;
pub mod family;
pub mod fresh;
pub mod names;
pub mod network;
pub mod pod;
pub mod proxy;
pub mod secret;

use names::{Component, Names};

/// PostgreSQL's port, in every pod.
pub const POSTGRES_PORT: i32 = 5432;
/// The port of health and metrics of a proxy.
pub const ADMIN_PORT: i32 = 9187;
/// The annotation of pods with a hash of the configuration that they can't take up while they run.
pub const CONFIG_HASH: &str = "previewpg.dev/config-hash";
/// The annotation of pods with a hash of the secrets that they can't take up while they run.
pub const SECRETS_HASH: &str = "previewpg.dev/secrets-hash";

/// The annotation of a managed PostgreSQL's ConfigMap with the connections that it has.
pub const CONNECTIONS: &str = "previewpg.dev/max-connections";

/// What all children of a preview have in common.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The object's namespace.
    pub namespace: &'a str,
    /// The children's names.
    pub names: &'a Names,
    /// The object, as the children's owner.
    pub owner: &'a OwnerReference,
    /// The containers' pull policy; absent: Kubernetes' choice.
    pub pull_policy: Option<&'a str>,
    /// Which of [`secret::PRODUCTION_FILES`] there are.
    pub production_files: &'a BTreeSet<&'static str>,
    /// Which of [`secret::FRESH_FILES`] there are.
    pub fresh_files: &'a BTreeSet<&'static str>,
}

impl Frame<'_> {
    /// A child's metadata.
    #[must_use]
    pub fn metadata(&self, name: &str, component: Component) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(names::labels(&self.names.preview, component)),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}

/// A hash of texts by name.
#[must_use]
pub fn digest(texts: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, text) in texts {
        for part in [name, text] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    short(&hash.finalize())
}

/// A hash of a secret, which says nothing of it: only for values of many random bits, or beside such.
#[must_use]
pub fn secret_digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    short(&hash.finalize())
}

fn short(hash: &[u8]) -> String {
    names::hex(hash.get(..12).unwrap_or(hash))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::LazyLock;

    static NAMES: LazyLock<Names> = LazyLock::new(|| Names::of("pr-1"));
    static NONE: BTreeSet<&'static str> = BTreeSet::new();
    pub(crate) static OWNER: LazyLock<OwnerReference> = LazyLock::new(|| OwnerReference {
        api_version: "previewpg.dev/v1alpha1".to_owned(),
        kind: "PreviewDatabase".to_owned(),
        name: "pr-1".to_owned(),
        uid: "0b1".to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    });

    pub(crate) fn frame() -> Frame<'static> {
        Frame {
            namespace: "shop",
            names: &NAMES,
            owner: &OWNER,
            pull_policy: None,
            production_files: &NONE,
            fresh_files: &NONE,
        }
    }
}
