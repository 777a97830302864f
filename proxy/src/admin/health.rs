//! Whether clients can be served, and if not, why not.

use std::sync::{Mutex, PoisonError};

/// What must hold for clients to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// fresh answers.
    Fresh,
    /// The catalog has been read.
    Catalog,
    /// New clients are taken (not yet started, draining: not).
    Serving,
}

const CONDITIONS: [Condition; 3] = [Condition::Fresh, Condition::Catalog, Condition::Serving];

impl Condition {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Catalog => "catalog",
            Self::Serving => "serving",
        }
    }
}

/// The state of all conditions. production isn't one of them: what doesn't need it is served without it.
#[derive(Debug)]
pub struct Health {
    /// By condition, in the order of `CONDITIONS`: why it doesn't hold.
    reasons: Mutex<[Option<String>; 3]>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            reasons: Mutex::new([
                Some("not asked yet".to_owned()),
                Some("not read yet".to_owned()),
                Some("not started yet".to_owned()),
            ]),
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
