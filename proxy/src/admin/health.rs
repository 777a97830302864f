//! Whether clients can be served, and if not, why not.

use std::sync::{Mutex, OnceLock, PoisonError};

/// What must hold for clients to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// fresh answers.
    Fresh,
    /// The catalog has been read.
    Catalog,
    /// What is known of tables and names may be believed: the lease is valid.
    Lease,
    /// New clients are taken (not yet started, draining: not).
    Serving,
}

const CONDITIONS: [Condition; 4] = [
    Condition::Fresh,
    Condition::Catalog,
    Condition::Lease,
    Condition::Serving,
];

impl Condition {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Catalog => "catalog",
            Self::Lease => "lease",
            Self::Serving => "serving",
        }
    }
}

/// Tells why production can't be reached, if so.
pub type Production = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The state of all conditions. production isn't one of them, it's told beside them: what doesn't need it is served without it, and it is every
/// replica's: if its absence made them all unready, nobody could connect any more.
pub struct Health {
    /// By condition, in the order of `CONDITIONS`: why it doesn't hold.
    reasons: Mutex<[Option<String>; 4]>,
    production: OnceLock<Production>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("reasons", &self.reasons)
            .finish_non_exhaustive()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            reasons: Mutex::new([
                Some("not asked yet".to_owned()),
                Some("not read yet".to_owned()),
                Some("not asked for yet".to_owned()),
                Some("not started yet".to_owned()),
            ]),
            production: OnceLock::new(),
        }
    }
}

impl Health {
    /// It holds.
    pub fn holds(&self, condition: Condition) {
        self.put(condition, None);
    }

    /// It doesn't hold, for this reason (without secrets: the admin port shows it).
    pub fn fails(&self, condition: Condition, reason: impl Into<String>) {
        self.put(condition, Some(reason.into()));
    }

    /// How production's state is asked for. Only the first call counts.
    pub fn production_is_told_by(&self, tell: Production) {
        let _already_set = self.production.set(tell);
    }

    /// production's state, for who wants to know; `None`: nothing is known of it.
    #[must_use]
    pub fn production(&self) -> Option<Result<(), String>> {
        let tell = self.production.get()?;
        Some(tell().map_or(Ok(()), Err))
    }

    /// What doesn't hold, and why; empty: ready.
    #[must_use]
    pub fn failing(&self) -> Vec<(Condition, String)> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        CONDITIONS
            .into_iter()
            .zip(reasons.iter())
            .filter_map(|(condition, reason)| reason.clone().map(|reason| (condition, reason)))
            .collect()
    }

    fn put(&self, condition: Condition, reason: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        for (each, slot) in CONDITIONS.into_iter().zip(reasons.iter_mut()) {
            if each == condition {
                *slot = reason;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_condition_holds() {
        let health = Health::default();
        assert_eq!(health.failing().len(), CONDITIONS.len());
        for condition in CONDITIONS {
            health.holds(condition);
        }
        assert!(health.failing().is_empty());
        health.fails(Condition::Serving, "draining");
        assert_eq!(
            health.failing(),
            [(Condition::Serving, "draining".to_owned())]
        );
    }
}
