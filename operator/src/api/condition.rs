//! The conditions of a preview's status.

use std::fmt;

/// A condition's type. Conditions are the API: there's no phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The summary: the preview serves as the spec says.
    Ready,
    /// Production can be reached and read with the credentials that the spec names.
    ProductionReachable,
    /// Fresh is up and the preview's database is there.
    FreshReady,
    /// The preview has production's schema as it was at the last check.
    SchemaSynced,
    /// Enough proxy pods take connections.
    ProxyAvailable,
}

impl ConditionType {
    /// All of them, the summary first.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::ProductionReachable,
        Self::FreshReady,
        Self::SchemaSynced,
        Self::ProxyAvailable,
    ];

    /// Its name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ProductionReachable => "ProductionReachable",
            Self::FreshReady => "FreshReady",
            Self::SchemaSynced => "SchemaSynced",
            Self::ProxyAvailable => "ProxyAvailable",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
