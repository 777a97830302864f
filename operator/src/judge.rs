//! What was seen of databases and pods → what is thought of each condition. Pure.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};

use crate::api::Reason;
use crate::apply::Growth;
use crate::context::Growing;
use crate::database::{Brought, Failure, Side, Work};
use crate::report::{Judgement, Judgements, Truth};

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct View<'a> {
    /// What the database came to, if the latest work for the present inputs succeeded.
    pub brought: Option<&'a Brought>,
    /// Why the latest work for the present inputs failed.
    pub failure: Option<&'a Failure>,
    /// What runs, and where it is.
    pub running: Option<(&'a Work, &'a str)>,
    /// The managed PostgreSQL.
    pub fresh: Option<Pods>,
    /// The size that the managed PostgreSQL's volume hasn't got yet.
    pub growing: Option<&'a Growing>,
    /// The proxies; `None`: they aren't to be yet.
    pub proxy: Option<Pods>,
    /// The proxies wait for a database that isn't there yet.
    pub early: bool,
}

/// Pods of one kind, as their controller tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pods {
    /// How many there should be.
    pub wanted: i32,
    /// How many there are.
    pub all: i32,
    /// How many of them are ready, as the newest spec has them.
    pub ready: i32,
    /// What keeps them from being made, as their controller says.
    pub trouble: Option<String>,
    /// That they're ready later than they should be, as their controller says.
    pub late: Option<String>,
}

impl Pods {
    /// A StatefulSet's. What isn't there has no pods.
    #[must_use]
    pub fn of_stateful_set(set: Option<&StatefulSet>) -> Self {
        let none = Self {
            wanted: 1,
            ..Self::default()
        };
        let Some((set, status)) = set.and_then(|set| Some((set, set.status.as_ref()?))) else {
            return none;
        };
        let current = status.observed_generation >= set.metadata.generation;
        // The old pod is no good while the new one is to replace it.
        let updated = status.update_revision == status.current_revision
            || status.updated_replicas.unwrap_or(0) >= 1;
        Self {
            wanted: 1,
            all: status.replicas,
            ready: if current && updated {
                status.ready_replicas.unwrap_or(0)
            } else {
                0
            },
            ..none
        }
    }

    /// A Deployment's.
    #[must_use]
    pub fn of_deployment(deployment: Option<&Deployment>, wanted: i32) -> Self {
        let none = Self {
            wanted,
            ..Self::default()
        };
        let Some((deployment, status)) =
            deployment.and_then(|deployment| Some((deployment, deployment.status.as_ref()?)))
        else {
            return none;
        };
        let current = status.observed_generation >= deployment.metadata.generation;
        let condition = |kind: &str| {
            status
                .conditions
                .iter()
                .flatten()
                .find(|condition| condition.type_ == kind)
        };
        let message = |kind: &str, status: &str| {
            condition(kind)
                .filter(|condition| condition.status == status)
                .and_then(|condition| condition.message.clone())
        };
        // With a surge of one and nothing unavailable, pods of before serve until those of now do.
        let ready = status.available_replicas.unwrap_or(0);
        Self {
            wanted,
            all: status.replicas.unwrap_or(0),
            ready: if current { ready } else { 0 },
            trouble: message("ReplicaFailure", "True"),
            late: message("Progressing", "False"),
        }
    }
}

/// Judges. `before` is what was thought the last time.
#[must_use]
pub fn judge(view: &View<'_>, before: &Judgements) -> Judgements {
    Judgements {
        production: production(view, &before.production),
        fresh: with_volume(fresh(view, &before.fresh), view.growing),
        schema: schema(view, &before.schema),
        proxy: proxy(view, &before.proxy),
    }
}

/// What to say while nothing is known yet.
fn at_work(view: &View<'_>) -> Judgement {
    match view.running {
        Some((work, at)) => Judgement {
            truth: Truth::Unknown,
            reason: if matches!(work, Work::Reset { .. }) {
                Reason::Resetting
            } else {
                Reason::Reconciling
            },
            message: match work {
                Work::Reset { .. } => format!("dropping the preview's changes: {at}"),
                _ => format!("bringing the preview's database up: {at}"),
            },
        },
        None => Judgement::waits("the database hasn't been looked at yet"),
    }
}

fn starting(view: &View<'_>) -> bool {
    view.fresh.as_ref().is_some_and(|pods| pods.ready == 0)
}

fn production(view: &View<'_>, before: &Judgement) -> Judgement {
    match (view.brought, view.failure) {
        (Some(brought), _) => Judgement::holds(
            Reason::Connected,
            format!(
                "PostgreSQL {}, database {}",
                brought.production_version, brought.production_database
            ),
        ),
        (None, Some(failure)) if failure.side == Side::Production => {
            Judgement::fails(failure.reason, failure.message.clone())
        }
        // Fresh failed, or isn't up: nothing new is known of production.
        _ if before.truth == Truth::True => before.clone(),
        (None, Some(_)) => Judgement::waits("fresh can't be worked on"),
        (None, None) if starting(view) => Judgement::waits("fresh is starting"),
        (None, None) => at_work(view),
    }
}

fn fresh(view: &View<'_>, before: &Judgement) -> Judgement {
    if let Some(pods) = &view.fresh
        && pods.ready == 0
    {
        let message = match &pods.trouble {
            Some(trouble) => format!("the PostgreSQL pod can't start: {trouble}"),
            None => "waiting for the PostgreSQL pod to be ready".to_owned(),
        };
        return Judgement::fails(Reason::FreshStarting, message);
    }
    match (view.brought, view.failure) {
        (Some(brought), _) => Judgement::holds(
            Reason::Connected,
            format!("PostgreSQL {}", brought.fresh_version),
        ),
        (None, Some(failure)) if failure.side == Side::Fresh => {
            Judgement::fails(failure.reason, failure.message.clone())
        }
        _ if before.truth == Truth::True => before.clone(),
        (None, Some(_)) => Judgement::waits("production can't be read"),
        (None, None) => at_work(view),
    }
}

/// A volume that can't grow keeps nobody from being served, and is to be told all the same.
fn with_volume(mut fresh: Judgement, growing: Option<&Growing>) -> Judgement {
    let Some(Growing { size, tried }) = growing else {
        return fresh;
    };
    match tried {
        Some((_, Growth::Refused(words))) => {
            let trouble = format!(
                "the volume can't grow to {size}, as fresh.managed.storage.size asks: {words}. Let its storage class allow expansion, or make the preview anew; it's tried again"
            );
            if fresh.truth == Truth::True {
                return Judgement::fails(
                    Reason::InvalidSpec,
                    format!("{}, but {trouble}", fresh.message),
                );
            }
            fresh.message = format!("{}; {trouble}", fresh.message);
        }
        Some((_, Growth::Unbound | Growth::NoVolume)) => {
            fresh.message = format!(
                "{}; its volume grows to {size} when there is one",
                fresh.message
            );
        }
        Some((_, Growth::Asked)) | None => {}
    }
    fresh
}

fn schema(view: &View<'_>, before: &Judgement) -> Judgement {
    let Some(brought) = view.brought else {
        return match view.failure {
            Some(_) => Judgement::waits("the databases can't be worked on"),
            None if starting(view) && before.truth != Truth::True => {
                Judgement::waits("fresh is starting")
            }
            None if before.truth == Truth::True => before.clone(),
            None => at_work(view),
        };
    };
    if brought.collided > 0 {
        let more = brought.collided.saturating_sub(brought.collisions.len());
        let more = if more == 0 {
            String::new()
        } else {
            format!("; and {more} more")
        };
        return Judgement::fails(
            Reason::DriftHalted,
            format!(
                "production's schema and the preview's collide: {}{more}. Nothing that collides is brought in; change the preview's to match, or reset it",
                brought.collisions.join("; ")
            ),
        );
    }
    let unsupported = brought.tables.unsupported;
    if unsupported > 0 {
        let names: Vec<_> = brought
            .unsupported
            .iter()
            .take(3)
            .map(|table| format!("{} ({})", table.name, table.reason))
            .collect();
        return Judgement::holds(
            Reason::UnsupportedTable,
            format!(
                "{} tables are served; {unsupported} can't be: {}; see status.unsupported",
                brought.tables.served,
                names.join(", ")
            ),
        );
    }
    Judgement::holds(Reason::InSync, format!("{} tables", brought.tables.served))
}

fn proxy(view: &View<'_>, before: &Judgement) -> Judgement {
    let Some(pods) = &view.proxy else {
        return Judgement::waits("proxies start when the database is there");
    };
    let Pods {
        wanted,
        all,
        ready,
        trouble,
        late,
    } = pods;
    if view.early && trouble.is_none() {
        return Judgement::waits(format!("{all} of {wanted} proxies wait for the database"));
    }
    let trouble = trouble.as_ref().or(late.as_ref());
    let count = format!("{ready} of {wanted} proxies take connections");
    if ready >= wanted && *wanted > 0 {
        return Judgement::holds(Reason::Available, count);
    }
    match trouble {
        Some(trouble) => Judgement::fails(Reason::ProxyUnavailable, format!("{count}: {trouble}")),
        // The first start isn't a failure.
        None if before.reason != Reason::Available && before.reason != Reason::ProxyUnavailable => {
            Judgement {
                truth: Truth::False,
                reason: Reason::Reconciling,
                message: count,
            }
        }
        None => Judgement::fails(Reason::ProxyUnavailable, count),
    }
}

/// What Ready says when all is well.
#[must_use]
pub fn serving(brought: Option<&Brought>) -> String {
    match brought {
        Some(brought) if brought.tables.unsupported > 0 => format!(
            "{} tables served, {} can't be",
            brought.tables.served, brought.tables.unsupported
        ),
        Some(brought) => format!("{} tables served", brought.tables.served),
        None => "served".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api;

    fn brought() -> Brought {
        Brought {
            production_version: "16.4".to_owned(),
            production_database: "shop".to_owned(),
            fresh_version: "18.1".to_owned(),
            tables: api::TablesStatus {
                served: 41,
                ..api::TablesStatus::default()
            },
            ..Brought::default()
        }
    }

    fn pods(ready: i32) -> Option<Pods> {
        Some(Pods {
            wanted: 1,
            all: 1,
            ready,
            ..Pods::default()
        })
    }

    fn reasons(judgements: &Judgements) -> [Reason; 4] {
        [
            judgements.production.reason,
            judgements.fresh.reason,
            judgements.schema.reason,
            judgements.proxy.reason,
        ]
    }

    #[test]
    fn from_nothing_to_serving() {
        let before = Judgements::waiting("new");
        let first = judge(
            &View {
                fresh: pods(0),
                ..View::default()
            },
            &before,
        );
        assert_eq!(
            reasons(&first),
            [
                Reason::Waiting,
                Reason::FreshStarting,
                Reason::Waiting,
                Reason::Waiting
            ]
        );
        let work = Work::BringUp;
        let second = judge(
            &View {
                fresh: pods(1),
                running: Some((&work, "step 3 of 9, server")),
                ..View::default()
            },
            &first,
        );
        assert_eq!(
            second.schema.message,
            "bringing the preview's database up: step 3 of 9, server"
        );
        assert_eq!(second.summary("").reason, Reason::Reconciling);
        let brought = brought();
        let third = judge(
            &View {
                brought: Some(&brought),
                fresh: pods(1),
                proxy: pods(0),
                ..View::default()
            },
            &second,
        );
        assert_eq!(third.proxy.reason, Reason::Reconciling);
        let fourth = judge(
            &View {
                brought: Some(&brought),
                fresh: pods(1),
                proxy: pods(1),
                ..View::default()
            },
            &third,
        );
        assert_eq!(
            reasons(&fourth),
            [
                Reason::Connected,
                Reason::Connected,
                Reason::InSync,
                Reason::Available
            ]
        );
        assert_eq!(
            fourth.summary(&serving(Some(&brought))).message,
            "41 tables served"
        );
        let fifth = judge(
            &View {
                brought: Some(&brought),
                fresh: pods(1),
                proxy: pods(0),
                ..View::default()
            },
            &fourth,
        );
        assert_eq!(fifth.proxy.reason, Reason::ProxyUnavailable);
    }

    #[test]
    fn proxies_that_wait_for_their_database_are_no_failure() {
        let work = Work::BringUp;
        let view = View {
            running: Some((&work, "step 4 of 9, schema")),
            proxy: pods(0).map(|pods| Pods {
                late: Some("timed out progressing".to_owned()),
                ..pods
            }),
            early: true,
            ..View::default()
        };
        let judged = judge(&view, &Judgements::waiting(""));
        assert_eq!(judged.proxy.reason, Reason::Waiting);
        assert_eq!(judged.proxy.message, "1 of 1 proxies wait for the database");
        let ready = judged.summary("");
        assert!(ready.message.contains("step 4 of 9"), "{}", ready.message);
        let brought = brought();
        let view = View {
            brought: Some(&brought),
            early: false,
            ..view
        };
        let judged = judge(&view, &judged);
        assert_eq!(judged.proxy.reason, Reason::ProxyUnavailable);
    }

    #[test]
    fn a_failure_is_the_fault_of_one_side() {
        let brought = brought();
        let good = judge(
            &View {
                brought: Some(&brought),
                proxy: pods(1),
                ..View::default()
            },
            &Judgements::waiting(""),
        );
        let failure = Failure {
            side: Side::Production,
            reason: Reason::ConnectionRefused,
            message: "nothing answers".to_owned(),
        };
        let judged = judge(
            &View {
                failure: Some(&failure),
                proxy: pods(1),
                ..View::default()
            },
            &good,
        );
        assert_eq!(
            reasons(&judged),
            [
                Reason::ConnectionRefused,
                Reason::Connected,
                Reason::Waiting,
                Reason::Available
            ]
        );
        assert_eq!(judged.summary("").message, "nothing answers");
        let failure = Failure {
            side: Side::Fresh,
            ..failure
        };
        let judged = judge(
            &View {
                failure: Some(&failure),
                ..View::default()
            },
            &Judgements::waiting(""),
        );
        assert_eq!(
            reasons(&judged)[..2],
            [Reason::Waiting, Reason::ConnectionRefused]
        );
    }

    #[test]
    fn a_volume_that_cannot_grow_is_told_while_the_preview_serves() {
        let brought = brought();
        let growing = |outcome| Growing {
            size: "20Gi".to_owned(),
            tried: Some((std::time::Instant::now(), outcome)),
        };
        let judged = |growing: &Growing, ready| {
            judge(
                &View {
                    brought: Some(&brought),
                    fresh: pods(ready),
                    growing: Some(growing),
                    proxy: pods(1),
                    ..View::default()
                },
                &Judgements::waiting(""),
            )
        };
        let refused = growing(Growth::Refused("only some can".to_owned()));
        let serving = judged(&refused, 1);
        assert_eq!(
            (serving.fresh.truth, serving.fresh.reason),
            (Truth::False, Reason::InvalidSpec)
        );
        let ready = serving.summary("");
        assert_eq!(
            (ready.truth, ready.reason),
            (Truth::True, Reason::InvalidSpec)
        );
        for words in ["20Gi", "only some can", "expansion"] {
            assert!(ready.message.contains(words), "{}", ready.message);
        }
        // A server that doesn't start, perhaps because its volume is full.
        let starting = judged(&refused, 0);
        assert_eq!(starting.fresh.reason, Reason::FreshStarting);
        assert!(
            starting.fresh.message.contains("20Gi"),
            "{}",
            starting.fresh.message
        );
        assert_eq!(starting.summary("").truth, Truth::False);
        let unbound = judged(&growing(Growth::Unbound), 1);
        assert_eq!(unbound.fresh.truth, Truth::True);
        assert!(
            unbound.fresh.message.contains("when there is one"),
            "{}",
            unbound.fresh.message
        );
    }

    #[test]
    fn drift_names_both_sides() {
        let brought = Brought {
            collided: 2,
            collisions: vec!["public.t: production has a, the preview has b".to_owned()],
            ..brought()
        };
        let judged = judge(
            &View {
                brought: Some(&brought),
                proxy: pods(1),
                ..View::default()
            },
            &Judgements::waiting(""),
        );
        assert_eq!(judged.schema.reason, Reason::DriftHalted);
        assert!(
            judged
                .schema
                .message
                .contains("the preview has b; and 1 more.")
        );
        assert_eq!(judged.summary("").truth, Truth::True);
    }

    #[test]
    fn a_deployment_that_was_not_seen_yet_is_not_available() {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"generation": 2},
            "status": {"observedGeneration": 1, "replicas": 1, "availableReplicas": 1}
        }))
        .unwrap();
        assert_eq!(Pods::of_deployment(Some(&deployment), 1).ready, 0);
        let refused: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"generation": 1},
            "status": {"observedGeneration": 1, "conditions": [
                {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}
            ]}
        }))
        .unwrap();
        let pods = Pods::of_deployment(Some(&refused), 2);
        assert_eq!(pods.trouble.as_deref(), Some("violates PodSecurity"));
        // Told at once, whether they could serve anybody or not.
        let told = judge(
            &View {
                proxy: Some(pods),
                early: true,
                ..View::default()
            },
            &Judgements::waiting(""),
        );
        assert_eq!(told.proxy.reason, Reason::ProxyUnavailable);
        assert_eq!(Pods::of_deployment(None, 2).wanted, 2);
    }
}
