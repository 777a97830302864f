//! Which work on a database is to begin now. Pure.

use std::time::{Duration, Instant};

use crate::database::{Done, Work};
use crate::jobs::{Ended, State};

/// What was postponed, for example because a client held a lock, is tried again after this.
const POSTPONED: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Begin this; what runs is given up.
    Start(Work),
    /// Nothing for so long; `None`: until what runs has ended.
    Wait(Option<Duration>),
}

/// Decides. `key` stands for the inputs as they are now, `reset` for a reset that is asked for and hasn't been done.
#[must_use]
pub fn decide(
    state: &State,
    runs_for_key: bool,
    key: u64,
    reset: Option<&str>,
    interval: Duration,
    now: Instant,
) -> Decision {
    let wanted = |otherwise: Work| match reset {
        Some(token) => Work::Reset {
            token: token.to_owned(),
        },
        None => otherwise,
    };
    if let Some((running, _)) = &state.running {
        let resets =
            |work: &Work, token: &str| matches!(work, Work::Reset { token: of } if of == token);
        let suits = runs_for_key && reset.is_none_or(|token| resets(running, token));
        return if suits {
            Decision::Wait(None)
        } else {
            Decision::Start(wanted(Work::BringUp))
        };
    }
    let Some(ended) = &state.ended else {
        return Decision::Start(wanted(Work::BringUp));
    };
    let age = now.duration_since(ended.at);
    match &ended.result {
        _ if ended.key != key => Decision::Start(wanted(Work::BringUp)),
        Err(_) => after(ended.retry_after(), age, || wanted(Work::BringUp)),
        Ok(_) if reset.is_some() => Decision::Start(wanted(Work::BringUp)),
        Ok(Done::Dropped { .. }) => Decision::Start(Work::BringUp),
        Ok(Done::Brought { brought, .. }) => {
            let due = if brought.postponed > 0 {
                POSTPONED.min(interval)
            } else {
                interval
            };
            after(due, age, || Work::Sync {
                last: brought.clone(),
            })
        }
    }
}

fn after(due: Duration, age: Duration, work: impl FnOnce() -> Work) -> Decision {
    match due.checked_sub(age) {
        Some(left) if !left.is_zero() => Decision::Wait(Some(left)),
        _ => Decision::Start(work()),
    }
}

/// Decides for an object that is being deleted: drop, until it's done.
#[must_use]
pub fn decide_drop(state: &State, now: Instant) -> Decision {
    match (&state.running, &state.ended) {
        (Some((Work::Drop, _)), _) => Decision::Wait(None),
        (
            None,
            Some(
                ended @ Ended {
                    work: Work::Drop,
                    result: Err(_),
                    ..
                },
            ),
        ) => after(ended.retry_after(), now.duration_since(ended.at), || {
            Work::Drop
        }),
        _ => Decision::Start(Work::Drop),
    }
}

/// The reset that is asked for and not yet done: `asked` is the annotation's value, `told` the status' token.
#[must_use]
pub fn pending_reset<'a>(
    asked: Option<&'a str>,
    told: Option<&str>,
    ended: Option<&Ended>,
) -> Option<&'a str> {
    asked.filter(|asked| told != Some(*asked) && done_reset(ended) != Some(*asked))
}

/// The token of the reset that was done last.
#[must_use]
pub fn done_reset(ended: Option<&Ended>) -> Option<&str> {
    match ended {
        Some(Ended {
            work: Work::Reset { token },
            result: Ok(_),
            ..
        }) => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use crate::database::{Brought, Failure, Side};

    const MINUTE: Duration = Duration::from_secs(60);

    fn ended(work: Work, result: Result<Done, Failure>, age: u64) -> State {
        let failures = u32::from(result.is_err());
        State {
            running: None,
            reached: false,
            ended: Some(Ended {
                work,
                key: 1,
                at: Instant::now() - Duration::from_secs(age),
                result,
                failures,
            }),
        }
    }

    fn brought(postponed: usize) -> Result<Done, Failure> {
        Ok(Done::Brought {
            brought: Box::new(Brought {
                postponed,
                ..Brought::default()
            }),
            reset: false,
        })
    }

    fn failed() -> Result<Done, Failure> {
        Err(Failure {
            side: Side::Fresh,
            reason: Reason::ConnectionRefused,
            message: String::new(),
        })
    }

    fn running(work: Work) -> State {
        State {
            running: Some((work, String::new())),
            reached: false,
            ended: None,
        }
    }

    fn reset(token: &str) -> Work {
        Work::Reset {
            token: token.to_owned(),
        }
    }

    fn decided(state: &State, key: u64, token: Option<&str>) -> Decision {
        decide(state, key == 1, key, token, MINUTE, Instant::now())
    }

    #[test]
    fn a_database_is_brought_up_first_and_after_every_change() {
        let up = Decision::Start(Work::BringUp);
        assert_eq!(decided(&State::default(), 1, None), up);
        assert_eq!(decided(&ended(Work::BringUp, brought(0), 1), 2, None), up);
        assert_eq!(decided(&running(Work::BringUp), 2, None), up);
        assert_eq!(
            decided(&running(Work::BringUp), 1, None),
            Decision::Wait(None)
        );
    }

    #[test]
    fn production_is_looked_at_when_the_interval_is_over() {
        let fresh = decided(&ended(Work::BringUp, brought(0), 10), 1, None);
        assert!(
            matches!(fresh, Decision::Wait(Some(left)) if left > Duration::from_secs(45) && left <= MINUTE),
            "{fresh:?}"
        );
        for (postponed, age) in [(0, 60), (1, 10)] {
            let due = decided(&ended(Work::BringUp, brought(postponed), age), 1, None);
            assert!(matches!(due, Decision::Start(Work::Sync { .. })), "{due:?}");
        }
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let mut state = ended(Work::BringUp, failed(), 1);
        assert!(matches!(
            decided(&state, 1, None),
            Decision::Wait(Some(left)) if left <= Duration::from_secs(1)
        ));
        state = ended(Work::BringUp, failed(), 2);
        assert_eq!(decided(&state, 1, None), Decision::Start(Work::BringUp));
        if let Some(ended) = &mut state.ended {
            ended.failures = 3;
            assert_eq!(ended.retry_after(), Duration::from_secs(8));
            ended.failures = 300;
            assert_eq!(ended.retry_after(), MINUTE);
        }
        assert_eq!(
            decided(&state, 2, None),
            Decision::Start(Work::BringUp),
            "a mended secret is tried at once"
        );
    }

    #[test]
    fn a_reset_is_done_once() {
        let asked = Decision::Start(reset("a"));
        assert_eq!(decided(&State::default(), 1, Some("a")), asked);
        assert_eq!(decided(&running(Work::BringUp), 1, Some("a")), asked);
        assert_eq!(
            decided(&running(reset("a")), 1, Some("a")),
            Decision::Wait(None)
        );
        assert_eq!(
            decided(&running(reset("a")), 1, Some("b")),
            Decision::Start(reset("b"))
        );
        assert_eq!(
            decided(&ended(Work::BringUp, brought(0), 1), 1, Some("a")),
            asked
        );
        let done = ended(reset("a"), brought(0), 1).ended;
        assert_eq!(pending_reset(Some("a"), None, done.as_ref()), None);
        assert_eq!(pending_reset(Some("a"), Some("a"), None), None);
        assert_eq!(
            pending_reset(Some("b"), Some("a"), done.as_ref()),
            Some("b")
        );
        assert_eq!(pending_reset(None, Some("a"), None), None);
        let failed = ended(reset("a"), failed(), 1).ended;
        assert_eq!(pending_reset(Some("a"), None, failed.as_ref()), Some("a"));
    }

    #[test]
    fn a_drop_is_tried_until_it_is_done() {
        let now = Instant::now();
        for state in [
            State::default(),
            running(Work::BringUp),
            ended(Work::BringUp, failed(), 0),
            ended(Work::Drop, failed(), 5),
        ] {
            assert_eq!(decide_drop(&state, now), Decision::Start(Work::Drop));
        }
        assert_eq!(decide_drop(&running(Work::Drop), now), Decision::Wait(None));
        assert!(matches!(
            decide_drop(&ended(Work::Drop, failed(), 0), now),
            Decision::Wait(Some(_))
        ));
    }
}
