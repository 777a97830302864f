//! What was seen and done → the object's status and its events. Pure.
//!
//! A status is written only when it says something new: the times of looks and measurements alone are no news.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{
    ConditionType, DatabaseStatus, Delta, Endpoint, LastReset, PreviewDatabaseStatus, Reason,
    SchemaStatus,
};
use crate::database::Brought;
use crate::validate::Problem;

/// A condition's message may have 32768 characters; nobody reads that many.
const MESSAGE_MAX: usize = 4096;
/// How much later a connection must be to be news.
const CONNECTION_NEWS: SignedDuration = SignedDuration::from_mins(10);

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is so.
    True,
    /// It isn't.
    False,
    /// It isn't known.
    Unknown,
}

impl Truth {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is thought of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is so.
    pub truth: Truth,
    /// Why.
    pub reason: Reason,
    /// Why, for people. Shows no secret.
    pub message: String,
}

impl Judgement {
    /// It is so.
    #[must_use]
    pub fn holds(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            truth: Truth::True,
            reason,
            message: message.into(),
        }
    }

    /// It isn't.
    #[must_use]
    pub fn fails(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            truth: Truth::False,
            reason,
            message: message.into(),
        }
    }

    /// It isn't known, because an earlier step hasn't succeeded.
    #[must_use]
    pub fn waits(message: impl Into<String>) -> Self {
        Self {
            truth: Truth::Unknown,
            reason: Reason::Waiting,
            message: message.into(),
        }
    }

    /// As a condition says; `None` for a reason that we don't know.
    #[must_use]
    pub fn read(condition: &Condition) -> Option<Self> {
        Some(Self {
            truth: match condition.status.as_str() {
                "True" => Truth::True,
                "False" => Truth::False,
                _ => Truth::Unknown,
            },
            reason: Reason::ALL
                .iter()
                .copied()
                .find(|reason| reason.as_str() == condition.reason)?,
            message: condition.message.clone(),
        })
    }
}

/// What is thought of all conditions but the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgements {
    /// ProductionReachable.
    pub production: Judgement,
    /// FreshReady.
    pub fresh: Judgement,
    /// SchemaSynced.
    pub schema: Judgement,
    /// ProxyAvailable.
    pub proxy: Judgement,
}

impl Judgements {
    /// Nothing is known yet.
    #[must_use]
    pub fn waiting(message: &str) -> Self {
        let waits = || Judgement::waits(message);
        Self {
            production: waits(),
            fresh: waits(),
            schema: waits(),
            proxy: waits(),
        }
    }

    /// The place of a condition; none for the summary.
    pub fn of_mut(&mut self, condition: ConditionType) -> Option<&mut Judgement> {
        match condition {
            ConditionType::Ready => None,
            ConditionType::ProductionReachable => Some(&mut self.production),
            ConditionType::FreshReady => Some(&mut self.fresh),
            ConditionType::SchemaSynced => Some(&mut self.schema),
            ConditionType::ProxyAvailable => Some(&mut self.proxy),
        }
    }

    /// The summary: the first that isn't so, and not for another's sake.
    #[must_use]
    pub fn summary(&self, serving: &str) -> Judgement {
        let Self {
            production,
            fresh,
            schema,
            proxy,
        } = self;
        // A preview whose schema has parted from production's serves on, and Ready says why it's to be looked at.
        let halted = schema.reason == Reason::DriftHalted;
        let schema = Some(schema).filter(|_| !halted);
        // So does one whose volume can't grow.
        let stunted = fresh.reason == Reason::InvalidSpec;
        let fresh = Some(fresh).filter(|_| !stunted);
        let culprit = [Some(production), fresh, schema, Some(proxy)]
            .into_iter()
            .flatten()
            .filter(|each| each.truth != Truth::True)
            // A root cause before what waits for it.
            .min_by_key(|each| each.reason == Reason::Waiting);
        match culprit {
            None if halted => Judgement::holds(Reason::DriftHalted, self.schema.message.clone()),
            None if stunted => Judgement::holds(Reason::InvalidSpec, self.fresh.message.clone()),
            None => Judgement::holds(Reason::Serving, serving),
            Some(each)
                if matches!(
                    each.reason,
                    Reason::Waiting | Reason::Reconciling | Reason::FreshStarting
                ) =>
            {
                Judgement::fails(Reason::Reconciling, each.message.clone())
            }
            Some(each) => Judgement::fails(each.reason, each.message.clone()),
        }
    }

    fn list(self) -> [(ConditionType, Judgement); 4] {
        let Self {
            production,
            fresh,
            schema,
            proxy,
        } = self;
        [
            (ConditionType::ProductionReachable, production),
            (ConditionType::FreshReady, fresh),
            (ConditionType::SchemaSynced, schema),
            (ConditionType::ProxyAvailable, proxy),
        ]
    }
}

/// Judgements of a spec that can't be used.
#[must_use]
pub fn of_problems(problems: &[Problem], before: Judgements) -> (Judgement, Judgements) {
    let mut judgements = before;
    for problem in problems.iter().rev() {
        if let Some(place) = judgements.of_mut(problem.condition) {
            *place = Judgement::fails(problem.reason, problem.message.clone());
        }
    }
    let messages: Vec<_> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let reason = problems
        .first()
        .map_or(Reason::InvalidSpec, |problem| problem.reason);
    (Judgement::fails(reason, messages.join("; ")), judgements)
}

/// What the status is made from. What is `None` stays as it was.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The spec's generation.
    pub generation: Option<i64>,
    /// The summary.
    pub ready: Judgement,
    /// The other conditions.
    pub judgements: Judgements,
    /// Where applications connect to.
    pub endpoint: Option<Endpoint>,
    /// The access Secret.
    pub secret_name: Option<String>,
    /// Proxy pods, and those that take connections.
    pub replicas: Option<(i32, i32)>,
    /// The proxy pods' label selector.
    pub selector: Option<String>,
    /// When the preview ends; the outer `None`: not known.
    pub expiration: Option<Option<Timestamp>>,
    /// What the database came to.
    pub brought: Option<Brought>,
    /// Fresh's database.
    pub fresh_database: Option<String>,
    /// A reset that was done now.
    pub reset: Option<String>,
}

impl Facts {
    /// Only what conditions say.
    #[must_use]
    pub fn new(generation: Option<i64>, ready: Judgement, judgements: Judgements) -> Self {
        Self {
            generation,
            ready,
            judgements,
            endpoint: None,
            secret_name: None,
            replicas: None,
            selector: None,
            expiration: None,
            brought: None,
            fresh_database: None,
            reset: None,
        }
    }
}

/// The status that says it.
#[must_use]
pub fn status(
    before: Option<&PreviewDatabaseStatus>,
    facts: Facts,
    now: Timestamp,
) -> PreviewDatabaseStatus {
    let Facts {
        generation,
        ready,
        judgements,
        endpoint,
        secret_name,
        replicas,
        selector,
        expiration,
        brought,
        fresh_database,
        reset,
    } = facts;
    let mut status = before.cloned().unwrap_or_default();
    let old: BTreeMap<String, Condition> = std::mem::take(&mut status.conditions)
        .into_iter()
        .map(|condition| (condition.type_.clone(), condition))
        .collect();
    status.conditions = std::iter::once((ConditionType::Ready, ready))
        .chain(judgements.list())
        .map(|(kind, judgement)| condition(kind, judgement, generation, &old, now))
        .collect();
    status.observed_generation = generation;
    status.endpoint = endpoint.or(status.endpoint);
    status.secret_name = secret_name.or(status.secret_name);
    status.selector = selector.or(status.selector);
    if let Some((all, ready)) = replicas {
        status.replicas = Some(all);
        status.ready_replicas = Some(ready);
    }
    if let Some(expiration) = expiration {
        status.expiration_time = expiration.map(Time);
    }
    if let Some(brought) = brought {
        take_over(&mut status, brought, fresh_database, now);
    }
    if let Some(token) = reset {
        status.last_reset = Some(LastReset {
            token,
            time: Some(seconds(now)),
        });
    }
    status
}

fn condition(
    kind: ConditionType,
    judgement: Judgement,
    generation: Option<i64>,
    old: &BTreeMap<String, Condition>,
    now: Timestamp,
) -> Condition {
    let status = judgement.truth.as_str();
    let since = old
        .get(kind.as_str())
        .filter(|old| old.status == status)
        .map_or_else(|| seconds(now), |old| old.last_transition_time.clone());
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: judgement.reason.as_str().to_owned(),
        message: cut(&judgement.message, MESSAGE_MAX),
        observed_generation: generation,
        last_transition_time: since,
    }
}

fn take_over(
    status: &mut PreviewDatabaseStatus,
    brought: Brought,
    fresh_database: Option<String>,
    now: Timestamp,
) {
    let Brought {
        fresh_version,
        production_version,
        production_database,
        fingerprint,
        checked,
        tables,
        unsupported,
        collisions: _,
        collided: _,
        brought_in: _,
        postponed: _,
        delta,
        measured,
    } = brought;
    status.production = Some(DatabaseStatus {
        version: production_version,
        database: production_database,
    });
    status.fresh = Some(DatabaseStatus {
        version: fresh_version,
        database: fresh_database.unwrap_or_default(),
    });
    let changed = status
        .schema
        .as_ref()
        .filter(|schema| schema.fingerprint == fingerprint)
        .map_or_else(
            || Some(seconds(now)),
            |schema| schema.last_change_time.clone(),
        );
    status.schema = Some(SchemaStatus {
        fingerprint,
        last_check_time: checked.and_then(time),
        last_change_time: changed,
    });
    status.tables = Some(tables);
    status.unsupported = unsupported;
    if let Some(delta) = delta {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        status.delta = Some(Delta {
            rows: number(delta.rows),
            whiteouts: number(delta.whiteouts),
            copied_up_rows: number(delta.copied_up_rows),
            bytes: number(delta.bytes),
            measured_time: measured.and_then(time),
        });
        if let Some(last) = delta.last_connection.and_then(time) {
            status.last_connection_time = Some(last);
        }
    }
}

/// Whether a status says nothing that an earlier one doesn't.
#[must_use]
pub fn is_old_news(before: Option<&PreviewDatabaseStatus>, now: &PreviewDatabaseStatus) -> bool {
    let Some(before) = before else {
        return false;
    };
    let mut quiet = now.clone();
    if let (Some(old), Some(new)) = (&before.schema, &mut quiet.schema) {
        new.last_check_time = old.last_check_time.clone();
    }
    if let (Some(old), Some(new)) = (&before.delta, &mut quiet.delta) {
        new.measured_time = old.measured_time.clone();
    }
    if let (Some(old), Some(new)) = (
        &before.last_connection_time,
        &mut quiet.last_connection_time,
    ) && new.0.duration_since(old.0) < CONNECTION_NEWS
    {
        *new = old.clone();
    }
    quiet == *before
}

/// An event to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look.
    pub warning: bool,
    /// Its stable name.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
}

impl News {
    /// As it should be.
    #[must_use]
    pub fn normal(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            message: message.into(),
        }
    }

    /// Somebody should look.
    #[must_use]
    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }
}

/// What is to be told of a change from one status to another.
#[must_use]
pub fn news(before: Option<&PreviewDatabaseStatus>, now: &PreviewDatabaseStatus) -> Option<News> {
    let ready = |status: &PreviewDatabaseStatus| -> Option<Judgement> {
        let name = ConditionType::Ready.as_str();
        let found = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == name)?;
        Judgement::read(found)
    };
    let (old, new) = (before.and_then(ready), ready(now)?);
    if old.is_some_and(|old| old.truth == new.truth && old.reason == new.reason) {
        return None;
    }
    match new.reason {
        // Every change passes through it.
        Reason::Reconciling | Reason::Deleting | Reason::Resetting => None,
        Reason::Expired => Some(News::normal(Reason::Expired, new.message)),
        reason if new.truth == Truth::True && reason != Reason::DriftHalted => {
            Some(News::normal(reason, new.message))
        }
        reason => Some(News::warning(reason, new.message)),
    }
}

/// A text that has at most so many bytes.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// The API's times have whole seconds.
fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

fn time(time: SystemTime) -> Option<Time> {
    Timestamp::try_from(time).ok().map(seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
