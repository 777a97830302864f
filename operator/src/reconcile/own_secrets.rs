//! The preview's own Secrets, as they are before they're applied: what was generated is read back from them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use crate::api::PreviewDatabase;
use crate::build::names::Names;
use crate::children::Seen;
use crate::context::Context;
use crate::error::Error;
use crate::secrets::Freshness;
use crate::validate::ValidPreview;

/// The preview's own Secrets, those that are its own.
pub(super) struct OwnSecrets {
    pub(super) access: Option<Arc<Secret>>,
    pub(super) internal: Option<Arc<Secret>>,
    /// The access Secret under the name that the status tells, where that's another.
    pub(super) former: Option<Arc<Secret>>,
    pub(super) former_name: Option<String>,
}

impl OwnSecrets {
    /// Reads them.
    pub(super) async fn read(
        object: &PreviewDatabase,
        valid: &ValidPreview,
        freshness: Freshness,
        context: &Context,
    ) -> Result<Self, Error> {
        let namespace = &valid.namespace;
        let uid = object.uid();
        let read = async |name: &str| -> Result<Option<Arc<Secret>>, Error> {
            let found = context
                .reader
                .secret(namespace, name, freshness)
                .await
                .map_err(Error::api("reading the preview's own Secrets"))?;
            // Nobody else's password is taken for ours: `check` refuses the name later.
            Ok(found.filter(|secret| Seen::of(&secret.metadata).controller == uid))
        };
        let former_name = object
            .status
            .as_ref()
            .and_then(|status| status.secret_name.clone())
            .filter(|former| *former != valid.access.secret_name);
        Ok(Self {
            access: read(&valid.access.secret_name).await?,
            internal: read(&Names::of(&valid.name).internal).await?,
            former: match &former_name {
                Some(name) => read(name).await?,
                None => None,
            },
            former_name,
        })
    }

    /// Their names and marks.
    pub(super) fn seen(&self) -> Vec<(String, Seen)> {
        [&self.access, &self.internal]
            .into_iter()
            .flatten()
            .map(|secret| (secret.name_any(), Seen::of(&secret.metadata)))
            .collect()
    }
}
