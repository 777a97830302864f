//! The names and labels of a preview's children.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Who manages the children: the value of their label, and the field manager of what we apply.
pub const MANAGER: &str = "previewpg-operator";
/// The label that every child has, for watches and for finding orphans.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label with the preview's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that tells proxy and fresh apart.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label with the program's name.
pub const NAME: &str = "app.kubernetes.io/name";
/// The label's value.
pub const PREVIEWPG: &str = "previewpg";

/// The longest name of most objects that become DNS labels.
const LABEL_MAX: usize = 63;
/// The longest name of a StatefulSet: its pods have a label with it and a hash of 10 characters.
const STATEFUL_SET_MAX: usize = 52;

/// Which part of a preview an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// What applications connect to.
    Proxy,
    /// The managed PostgreSQL.
    Fresh,
}

impl Component {
    /// Its name in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Fresh => "fresh",
        }
    }
}

/// The names of a preview's children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The preview, and the Service that applications connect to.
    pub preview: String,
    /// The proxies' Deployment, ConfigMap, NetworkPolicy and PodDisruptionBudget.
    pub proxy: String,
    /// The managed PostgreSQL's StatefulSet, Service, ConfigMap and NetworkPolicy.
    pub fresh: String,
    /// The Secret with what only the preview's own pods need.
    pub internal: String,
}

impl Names {
    /// The children of this preview.
    #[must_use]
    pub fn of(preview: &str) -> Self {
        Self {
            preview: preview.to_owned(),
            proxy: suffixed(preview, "proxy", LABEL_MAX),
            fresh: suffixed(preview, "fresh", STATEFUL_SET_MAX),
            internal: suffixed(preview, "internal", LABEL_MAX),
        }
    }

    /// The access Secret, if the spec doesn't name it.
    #[must_use]
    pub fn access(preview: &str) -> String {
        suffixed(preview, "app", LABEL_MAX)
    }
}

/// `name-suffix`, in which a name that's too long is cut and told apart by a hash of the whole.
fn suffixed(name: &str, suffix: &str, max: usize) -> String {
    let whole = format!("{name}-{suffix}");
    if whole.len() <= max {
        return whole;
    }
    let hash = hex(&Sha256::digest(name))
        .chars()
        .take(8)
        .collect::<String>();
    let room = max.saturating_sub(hash.len() + suffix.len() + 2);
    let start: String = name.chars().take(room).collect();
    format!("{}-{hash}-{suffix}", start.trim_end_matches('-'))
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The labels that select the pods of a component.
#[must_use]
pub fn selector(preview: &str, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME.to_owned(), PREVIEWPG.to_owned()),
        (INSTANCE.to_owned(), preview.to_owned()),
        (COMPONENT.to_owned(), component.as_str().to_owned()),
    ])
}

/// The labels of every object of a component.
#[must_use]
pub fn labels(preview: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = selector(preview, component);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_different() {
        let short = Names::of("pr-1");
        assert_eq!(short.proxy, "pr-1-proxy");
        assert_eq!(short.fresh, "pr-1-fresh");
        assert_eq!(short.internal, "pr-1-internal");
        assert_eq!(Names::access("pr-1"), "pr-1-app");

        let long = "p".repeat(51);
        let one = Names::of(&format!("{long}1"));
        let two = Names::of(&format!("{long}2"));
        for names in [&one, &two] {
            assert!(names.proxy.len() <= 63 && names.internal.len() <= 63);
            assert!(names.fresh.len() <= 52, "{}", names.fresh);
            assert!(names.fresh.ends_with("-fresh"));
        }
        assert_ne!(one.fresh, two.fresh);
    }
}
