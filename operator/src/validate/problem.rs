//! What's wrong with a spec, or with what it refers to.

use std::fmt;

use crate::api::{ConditionType, Reason};

/// One thing that's wrong. Its message says where and what to do, and shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its stable name.
    pub reason: Reason,
    /// The condition that it keeps from being true, beside Ready.
    pub condition: ConditionType,
    /// What it is, for people.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Where problems are gathered: all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// Notes one; gives nothing, to stand where a value isn't to be had.
    pub(super) fn add<T>(
        &mut self,
        condition: ConditionType,
        reason: Reason,
        message: impl Into<String>,
    ) -> Option<T> {
        self.0.push(Problem {
            reason,
            condition,
            message: message.into(),
        });
        None
    }

    /// Notes a value of the spec that can't be.
    pub(super) fn spec<T>(
        &mut self,
        condition: ConditionType,
        field: &str,
        what: impl fmt::Display,
    ) -> Option<T> {
        self.add(
            condition,
            Reason::InvalidSpec,
            format!("spec.{field}: {what}"),
        )
    }
}
