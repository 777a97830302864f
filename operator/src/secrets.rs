//! Reading Secrets and ConfigMaps that specs refer to, and the previews' own Secrets.
//!
//! They can't be watched: the operator has no right to list Secrets, and none is worth that right. They are read again when they are older than the
//! caller allows, so that a hundred previews of the same production cost one request for each interval.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use crate::validate::{References, Resolved};

/// How many are kept before old ones are dropped.
const KEPT: usize = 256;
/// What is older than this is dropped when there are many.
const KEEP: Duration = Duration::from_secs(300);

/// A Secret that was read lately.
#[derive(Clone)]
struct Read {
    at: Instant,
    secret: Arc<Secret>,
}

/// The reader, with what it read lately.
pub struct Reader {
    client: Client,
    secrets: Mutex<HashMap<(String, String), Read>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader that has read nothing.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            secrets: Mutex::default(),
        }
    }

    /// A Secret as it was at most `age` ago; `None`: it isn't there (which is never remembered).
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        age: Duration,
    ) -> Result<Option<Arc<Secret>>, kube::Error> {
        let key = (namespace.to_owned(), name.to_owned());
        let read = self.lock().get(&key).cloned();
        if let Some(read) = read
            && read.at.elapsed() < age
        {
            return Ok(Some(read.secret));
        }
        let at = Instant::now();
        let found = Api::<Secret>::namespaced(self.client.clone(), namespace)
            .get_opt(name)
            .await?;
        let mut secrets = self.lock();
        Ok(match found {
            Some(mut secret) => {
                secret.metadata.managed_fields = None;
                let secret = Arc::new(secret);
                if secrets.len() >= KEPT {
                    secrets.retain(|_, read| read.at.elapsed() < KEEP);
                }
                secrets.insert(
                    key,
                    Read {
                        at,
                        secret: Arc::clone(&secret),
                    },
                );
                Some(secret)
            }
            None => {
                secrets.remove(&key);
                None
            }
        })
    }

    /// A Secret was written or deleted: it's read again next time.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Reads all that a spec refers to; what isn't there is left out.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub async fn resolve(
        &self,
        namespace: &str,
        references: &References,
        age: Duration,
    ) -> Result<Resolved, kube::Error> {
        let References {
            secrets,
            config_maps,
        } = references;
        let mut resolved = Resolved::default();
        for name in secrets {
            if let Some(secret) = self.secret(namespace, name, age).await? {
                resolved.add_secret(name, Secret::clone(&secret));
            }
        }
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        for name in config_maps {
            if let Some(config_map) = api.get_opt(name).await? {
                resolved.add_config_map(name, config_map);
            }
        }
        Ok(resolved)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Read>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
