//! Leader election: of several operators only the one that holds the Lease acts.
//!
//! It's client-go's algorithm: the holder renews the Lease and ends when it couldn't in time; the others take it when they saw no renewal for its
//! whole duration, by their own clock, so that clocks needn't agree. Every write names the resource version that it was decided on: of two
//! that take at the same moment one gets a conflict. Knows nothing of what the leader does.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a Lease that isn't renewed stays its holder's.
    pub duration: Duration,
    /// The holder ends when it couldn't renew for this long: less than `duration`, so that it's gone before another begins.
    pub renew_within: Duration,
    /// The time between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_within: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Why an operator isn't the leader any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another one holds the Lease.
    #[error("the lease is held by {0}")]
    Taken(String),
    /// The API server couldn't be reached in time.
    #[error("the lease couldn't be renewed for {} s", .0.as_secs())]
    NotRenewed(Duration, #[source] Option<kube::Error>),
}

/// One candidate.
#[derive(Clone)]
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What was seen of the Lease, and when it was seen to change last, by our clock.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    holder: String,
    renewed: Option<MicroTime>,
    at: Instant,
    valid: Duration,
}

/// What to do about the Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Take,
    Renew,
    Wait,
}

impl Seen {
    fn look(before: Option<Self>, spec: &LeaseSpec, now: Instant) -> Self {
        let holder = spec.holder_identity.clone().unwrap_or_default();
        match before {
            Some(seen) if seen.holder == holder && seen.renewed == spec.renew_time => seen,
            _ => Self {
                holder,
                renewed: spec.renew_time.clone(),
                at: now,
                valid: Duration::from_secs(
                    spec.lease_duration_seconds
                        .and_then(|seconds| u64::try_from(seconds).ok())
                        .unwrap_or(0),
                ),
            },
        }
    }

    fn step(&self, me: &str, now: Instant) -> Step {
        if self.holder == me {
            Step::Renew
        } else if self.holder.is_empty() || now.duration_since(self.at) > self.valid {
            Step::Take
        } else {
            Step::Wait
        }
    }
}

/// Whether one attempt left us the holder.
enum Attempt {
    Held,
    HeldBy(String),
}

impl Candidate {
    /// A candidate for the Lease `namespace/name`; `identity` must be this process' alone.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        name: impl Into<String>,
        identity: impl Into<String>,
        timing: Timing,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.into(),
            identity: identity.into(),
            timing,
        }
    }

    /// Waits until we are the leader. Errors of the API server are logged and waited out.
    pub async fn acquire(&self) {
        let mut seen = None;
        let mut told = None;
        loop {
            match timeout(self.timing.renew_within, self.attempt(&mut seen)).await {
                Ok(Ok(Attempt::Held)) => return,
                Ok(Ok(Attempt::HeldBy(holder))) => {
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(lease = %self.name, %holder, "waiting for the lease");
                        told = Some(holder);
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.name, error = &error as &dyn std::error::Error, "can't ask for the lease");
                }
                Err(_) => {
                    tracing::warn!(lease = %self.name, "the API server doesn't answer about the lease");
                }
            }
            sleep(self.timing.retry).await;
        }
    }

    /// Renews until that fails; comes back when we aren't the leader any more.
    pub async fn keep(&self) -> Lost {
        let mut seen = None;
        let mut renewed = Instant::now();
        let mut last = None;
        loop {
            sleep(self.timing.retry).await;
            let left = self.timing.renew_within.saturating_sub(renewed.elapsed());
            let began = Instant::now();
            match timeout(left, self.attempt(&mut seen)).await {
                Ok(Ok(Attempt::Held)) => {
                    renewed = began;
                    last = None;
                }
                Ok(Ok(Attempt::HeldBy(holder))) => return Lost::Taken(holder),
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.name, error = &error as &dyn std::error::Error, "can't renew the lease");
                    last = Some(error);
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= self.timing.renew_within {
                return Lost::NotRenewed(self.timing.renew_within, last);
            }
        }
    }

    /// Hands the Lease back, so that another needn't wait for it to run out. Best effort.
    pub async fn release(&self) {
        let released = timeout(self.timing.retry, async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
                return Ok(());
            };
            let Some(spec) = lease.spec.as_mut() else {
                return Ok(());
            };
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        })
        .await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!(lease = %self.name, "the lease couldn't be handed back; the next leader waits until it runs out");
        }
    }

    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<Attempt, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = self.written(None);
            return match self.leases.create(&PostParams::default(), &lease).await {
                Ok(_) => Ok(Attempt::Held),
                Err(error) if is_conflict(&error) => {
                    Ok(Attempt::HeldBy("another operator".to_owned()))
                }
                Err(error) => Err(error),
            };
        };
        let now = Instant::now();
        let spec = lease.spec.clone().unwrap_or_default();
        let looked = Seen::look(seen.take(), &spec, now);
        let step = looked.step(&self.identity, now);
        let holder = looked.holder.clone();
        *seen = Some(looked);
        if step == Step::Wait {
            return Ok(Attempt::HeldBy(holder));
        }
        let written = self.written(Some(&lease));
        match self
            .leases
            .replace(&self.name, &PostParams::default(), &written)
            .await
        {
            Ok(_) => Ok(Attempt::Held),
            // Somebody wrote in between. Who holds it now is looked at next time; as the holder we mustn't end for that.
            Err(error) if is_conflict(&error) && step == Step::Take => {
                Ok(Attempt::HeldBy("another operator".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// The Lease as ours, on the resource version that was read.
    fn written(&self, read: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = read.and_then(|lease| lease.spec.as_ref());
        let ours =
            before.is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        Lease {
            metadata: read.map_or_else(
                || ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
                acquire_time: if ours {
                    before.and_then(|spec| spec.acquire_time.clone())
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_transitions: Some(if ours || read.is_none() {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(holder: &str, second: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Timestamp::from_second(second).ok().map(MicroTime),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_was_seen_unrenewed_for_its_duration() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let first = Seen::look(None, &spec("other", 100), start);
        assert_eq!(first.step("me", after(15)), Step::Wait);
        let renewed = Seen::look(Some(first.clone()), &spec("other", 110), after(10));
        assert_eq!(renewed.step("me", after(16)), Step::Wait);
        assert_eq!(renewed.step("me", after(26)), Step::Take);
        let unchanged = Seen::look(Some(first), &spec("other", 100), after(16));
        assert_eq!(unchanged.step("me", after(16)), Step::Take);
    }

    #[test]
    fn a_lease_that_is_free_or_ours_is_written() {
        let start = Instant::now();
        assert_eq!(
            Seen::look(None, &LeaseSpec::default(), start).step("me", start),
            Step::Take
        );
        assert_eq!(
            Seen::look(None, &spec("me", 1), start).step("me", start),
            Step::Renew
        );
    }
}
