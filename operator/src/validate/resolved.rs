//! What a spec refers to: which Secrets and ConfigMaps, and what was found of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::problem::Problems;
use crate::api::{
    CertificateSource, ConditionType, Connection, KeySelector, PreviewDatabaseSpec, Reason,
    SecretKey, Tls,
};

/// The Secrets and ConfigMaps that a spec names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Names of Secrets.
    pub secrets: BTreeSet<String>,
    /// Names of ConfigMaps.
    pub config_maps: BTreeSet<String>,
}

impl References {
    /// Those of a spec.
    #[must_use]
    pub fn of(spec: &PreviewDatabaseSpec) -> Self {
        let mut references = Self::default();
        let Connection { uri, parameters } = &spec.production.connection;
        references.keys(uri);
        if let Some(parameters) = parameters {
            references.keys([&parameters.username]);
            references.keys(&parameters.password);
        }
        references.tls(spec.production.tls.as_ref());
        if let Some(connection) = spec
            .fresh
            .as_ref()
            .and_then(|fresh| fresh.connection.as_ref())
        {
            references.keys([&connection.uri]);
            references.tls(connection.tls.as_ref());
        }
        if let Some(tls) = &spec.proxy.tls {
            references.secrets.insert(tls.secret_ref.name.clone());
        }
        references
    }

    fn keys<'a>(&mut self, keys: impl IntoIterator<Item = &'a SecretKey>) {
        self.secrets
            .extend(keys.into_iter().map(|key| key.secret_key_ref.name.clone()));
    }

    fn tls(&mut self, tls: Option<&Tls>) {
        let Some(tls) = tls else { return };
        if let Some(CertificateSource {
            secret_key_ref,
            config_map_key_ref,
        }) = &tls.ca
        {
            self.secrets
                .extend(secret_key_ref.iter().map(|key| key.name.clone()));
            self.config_maps
                .extend(config_map_key_ref.iter().map(|key| key.name.clone()));
        }
        if let Some(certificate) = &tls.client_certificate {
            self.secrets.insert(certificate.secret_ref.name.clone());
        }
    }
}

/// What was found of a spec's references. A name that isn't a key here counts as not there.
#[derive(Clone, Default)]
pub struct Resolved {
    secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

/// Shows names only.
impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("secrets", &self.secrets.keys())
            .field("config_maps", &self.config_maps.keys())
            .finish()
    }
}

impl Resolved {
    /// Adds a Secret that was found.
    pub fn add_secret(&mut self, name: impl Into<String>, secret: Secret) {
        let data = secret.data.unwrap_or_default();
        let values = data.into_iter().map(|(key, value)| (key, value.0));
        self.secrets.insert(name.into(), values.collect());
    }

    /// Adds a ConfigMap that was found.
    pub fn add_config_map(&mut self, name: impl Into<String>, config_map: ConfigMap) {
        self.config_maps
            .insert(name.into(), config_map.data.unwrap_or_default());
    }

    /// A Secret's value, as text.
    pub(super) fn secret(
        &self,
        key: &KeySelector,
        condition: ConditionType,
        problems: &mut Problems,
    ) -> Option<&str> {
        let KeySelector { name, key: wanted } = key;
        let value = SECRET.value(&self.secrets, key, condition, problems)?;
        let text = std::str::from_utf8(value)
            .ok()
            .map(|text| text.trim_end_matches(['\n', '\r']));
        match text {
            Some(text) if !text.is_empty() && !text.contains('\0') => Some(text),
            _ => problems.add(
                condition,
                Reason::SecretInvalid,
                format!("secret \"{name}\" key \"{wanted}\": the value is empty or isn't text"),
            ),
        }
    }

    /// A ConfigMap's value.
    pub(super) fn config_map(
        &self,
        key: &KeySelector,
        condition: ConditionType,
        problems: &mut Problems,
    ) -> Option<&str> {
        CONFIG_MAP
            .value(&self.config_maps, key, condition, problems)
            .map(String::as_str)
    }

    /// Whether a Secret has a key.
    pub(super) fn has(&self, name: &str, key: &str) -> bool {
        self.secrets
            .get(name)
            .is_some_and(|secret| secret.contains_key(key))
    }
}

/// What holds values by key, in words and reasons.
struct Kind {
    word: &'static str,
    kind: &'static str,
    missing: Reason,
    without_key: Reason,
}

const SECRET: Kind = Kind {
    word: "secret",
    kind: "Secret",
    missing: Reason::SecretNotFound,
    without_key: Reason::SecretKeyNotFound,
};

const CONFIG_MAP: Kind = Kind {
    word: "configmap",
    kind: "ConfigMap",
    missing: Reason::ConfigMapNotFound,
    without_key: Reason::ConfigMapKeyNotFound,
};

impl Kind {
    /// A value of one of those that were found.
    fn value<'a, T>(
        &self,
        found: &'a BTreeMap<String, BTreeMap<String, T>>,
        KeySelector { name, key }: &KeySelector,
        condition: ConditionType,
        problems: &mut Problems,
    ) -> Option<&'a T> {
        let Self { word, kind, .. } = self;
        let Some(values) = found.get(name) else {
            return problems.add(
                condition,
                self.missing,
                format!("{word} \"{name}\" key \"{key}\": there is no such {kind} in this namespace; create it"),
            );
        };
        let value = values.get(key);
        if value.is_none() {
            let keys: Vec<_> = values.keys().map(String::as_str).collect();
            return problems.add(
                condition,
                self.without_key,
                format!(
                    "{word} \"{name}\" key \"{key}\": the {kind} has no such key, only {}; add it, or name another one",
                    listed(&keys)
                ),
            );
        }
        value
    }
}

/// The first few of some names.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none at all".to_owned(),
        length if length > SHOWN => format!(
            "{} and {} more",
            names.get(..SHOWN).unwrap_or_default().join(", "),
            length - SHOWN
        ),
        _ => names.join(", "),
    }
}
