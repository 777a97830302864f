//! What is told of what was seen.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn good() -> Judgements {
    Judgements {
        production: Judgement::holds(Reason::Connected, "16.4"),
        fresh: Judgement::holds(Reason::Connected, "18.1"),
        schema: Judgement::holds(Reason::InSync, "41 tables"),
        proxy: Judgement::holds(Reason::Available, "1 of 1"),
    }
}

fn facts(judgements: Judgements) -> Facts {
    Facts {
        brought: Some(Brought {
            fingerprint: "sha256:1".to_owned(),
            checked: SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(5)),
            delta: Some(previewpg_proxy::preview::Delta {
                rows: 3,
                ..Default::default()
            }),
            ..Brought::default()
        }),
        ..Facts::new(Some(1), judgements.summary("41 tables served"), judgements)
    }
}

#[test]
fn the_summary_names_the_root_cause() {
    let mut judgements = good();
    assert_eq!(judgements.summary("x").reason, Reason::Serving);
    judgements.proxy = Judgement::waits("for the database");
    assert_eq!(judgements.summary("x").reason, Reason::Reconciling);
    judgements.schema = Judgement::waits("for production");
    judgements.production = Judgement::fails(Reason::AuthenticationFailed, "no");
    let summary = judgements.summary("x");
    assert_eq!(
        (summary.truth, summary.reason, summary.message.as_str()),
        (Truth::False, Reason::AuthenticationFailed, "no")
    );
    judgements.production = Judgement::waits("a");
    judgements.fresh = Judgement::fails(Reason::FreshStarting, "pod");
    assert_eq!(
        judgements.summary("x"),
        Judgement::fails(Reason::Reconciling, "pod")
    );
}

#[test]
fn a_halted_preview_serves_and_says_so() {
    let mut judgements = good();
    judgements.schema = Judgement::fails(Reason::DriftHalted, "t: …");
    let summary = judgements.summary("x");
    assert_eq!(
        (summary.truth, summary.reason),
        (Truth::True, Reason::DriftHalted)
    );
    judgements.proxy = Judgement::fails(Reason::ProxyUnavailable, "0 of 1");
    assert_eq!(judgements.summary("x").reason, Reason::ProxyUnavailable);
}

#[test]
fn transitions_keep_their_time_until_the_status_changes() {
    let first = status(None, facts(good()), at(100));
    let mut other = good();
    other.schema = Judgement::holds(Reason::UnsupportedTable, "one isn't");
    let second = status(Some(&first), facts(other.clone()), at(200));
    assert!(
        second
            .conditions
            .iter()
            .all(|condition| condition.last_transition_time.0 == at(100))
    );
    other.proxy = Judgement::fails(Reason::ProxyUnavailable, "0 of 1");
    let third = status(Some(&second), facts(other), at(300));
    let times: Vec<_> = third
        .conditions
        .iter()
        .map(|condition| {
            (
                condition.type_.as_str(),
                condition.last_transition_time.0.as_second(),
            )
        })
        .collect();
    assert_eq!(
        times,
        [
            ("Ready", 300),
            ("ProductionReachable", 100),
            ("FreshReady", 100),
            ("SchemaSynced", 100),
            ("ProxyAvailable", 300)
        ]
    );
    assert!(
        third
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(1))
    );
}

#[test]
fn looks_and_measurements_alone_are_no_news() {
    let first = status(None, facts(good()), at(100));
    assert!(!is_old_news(None, &first));
    let mut later = facts(good());
    let brought = later.brought.as_mut().unwrap();
    brought.checked = Some(SystemTime::now());
    brought.measured = Some(SystemTime::now());
    let second = status(Some(&first), later.clone(), at(200));
    assert_ne!(first, second);
    assert!(is_old_news(Some(&first), &second));
    later.brought.as_mut().unwrap().delta.as_mut().unwrap().rows = 4;
    assert!(!is_old_news(
        Some(&first),
        &status(Some(&first), later.clone(), at(200))
    ));
    later.brought.as_mut().unwrap().fingerprint = "sha256:2".to_owned();
    let third = status(Some(&first), later, at(200));
    assert_eq!(third.schema.unwrap().last_change_time.unwrap().0, at(200));
    assert_eq!(first.schema.unwrap().last_change_time.unwrap().0, at(100));
}

#[test]
fn what_is_not_known_stays() {
    let first = status(
        None,
        Facts {
            secret_name: Some("pr-1-app".to_owned()),
            replicas: Some((2, 1)),
            reset: Some("7".to_owned()),
            ..facts(good())
        },
        at(100),
    );
    let judgements = Judgements::waiting("x");
    let second = status(
        Some(&first),
        Facts::new(Some(2), judgements.summary("x"), judgements),
        at(200),
    );
    assert_eq!(second.secret_name.as_deref(), Some("pr-1-app"));
    assert_eq!((second.replicas, second.ready_replicas), (Some(2), Some(1)));
    assert_eq!(second.last_reset.unwrap().token, "7");
    assert_eq!(second.schema, first.schema);
    assert_eq!(second.observed_generation, Some(2));
}

#[test]
fn events_are_of_transitions() {
    let serving = status(None, facts(good()), at(100));
    assert_eq!(
        news(None, &serving),
        Some(News::normal(Reason::Serving, "41 tables served"))
    );
    assert_eq!(news(Some(&serving), &serving), None);
    let mut bad = good();
    bad.production = Judgement::fails(Reason::ConnectionRefused, "nothing answers");
    let failing = status(Some(&serving), facts(bad), at(200));
    assert_eq!(
        news(Some(&serving), &failing),
        Some(News::warning(Reason::ConnectionRefused, "nothing answers"))
    );
    let waiting = Judgements::waiting("x");
    let working = status(
        None,
        Facts::new(Some(1), waiting.summary("x"), waiting),
        at(1),
    );
    assert_eq!(news(None, &working), None);
}

#[test]
fn problems_are_told_all_at_once() {
    let problem = |condition, reason, message: &str| Problem {
        reason,
        condition,
        message: message.to_owned(),
    };
    let (ready, judgements) = of_problems(
        &[
            problem(
                ConditionType::ProductionReachable,
                Reason::SecretNotFound,
                "a",
            ),
            problem(
                ConditionType::ProductionReachable,
                Reason::SecretInvalid,
                "b",
            ),
            problem(ConditionType::Ready, Reason::InvalidSpec, "c"),
        ],
        Judgements::waiting("x"),
    );
    assert_eq!(ready, Judgement::fails(Reason::SecretNotFound, "a; b; c"));
    assert_eq!(
        judgements.production,
        Judgement::fails(Reason::SecretNotFound, "a")
    );
    assert_eq!(judgements.proxy.reason, Reason::Waiting);
}

#[test]
fn long_messages_are_cut_between_characters() {
    assert_eq!(cut("abc", 3), "abc");
    assert_eq!(cut("äääää", 7), "ää…");
    assert!(cut(&"ä".repeat(3000), MESSAGE_MAX).len() <= MESSAGE_MAX);
}
