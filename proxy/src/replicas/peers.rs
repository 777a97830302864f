//! Which other replicas have let their lease run out, told from how often their rows were renewed.

use std::collections::HashMap;
use std::time::Instant;

use super::WAITED_OUT;

/// A replica's row: its number, and how often it has renewed its lease.
pub type Renewals = (i64, i64);

/// What one replica has seen of the others.
#[derive(Debug, Default)]
pub struct Peers {
    /// By number: the renewals, and when that many were first seen.
    seen: HashMap<i64, (i64, Instant)>,
}

impl Peers {
    /// Takes what a renewal told of the others at `now` (after the answer came); gives those that may be thrown out, if they still are as they were seen.
    pub fn observe(&mut self, others: &[Renewals], now: Instant) -> Vec<Renewals> {
        self.seen
            .retain(|id, _| others.iter().any(|(other, _)| other == id));
        let mut out = Vec::new();
        for (id, renewed) in others {
            let seen = self.seen.entry(*id).or_insert((*renewed, now));
            if seen.0 != *renewed {
                *seen = (*renewed, now);
            } else if now.saturating_duration_since(seen.1) >= WAITED_OUT {
                out.push((*id, *renewed));
            }
        }
        out
    }

    /// Forgets everything: fresh may have lost the last renewals in a crash.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::RENEWAL;
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_who_has_not_renewed_for_the_whole_time_is_thrown_out() {
        let start = Instant::now();
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let mut peers = Peers::default();
        assert!(peers.observe(&[(1, 5), (2, 9)], at(0)).is_empty());
        assert!(peers.observe(&[(1, 6), (2, 9)], at(1300)).is_empty());
        assert_eq!(peers.observe(&[(1, 6), (2, 9)], at(2600)), [(2, 9)]);
        // It came back in the meantime.
        assert!(peers.observe(&[(1, 7), (2, 10)], at(2700)).is_empty());
        assert!(peers.observe(&[(1, 7), (2, 10)], at(5200)).is_empty());
        assert_eq!(
            peers.observe(&[(1, 7), (2, 10)], at(5300)),
            [(1, 7), (2, 10)]
        );
    }

    #[test]
    fn what_was_seen_of_a_row_does_not_count_for_another_or_after_a_crash() {
        let start = Instant::now();
        let mut peers = Peers::default();
        assert!(peers.observe(&[(1, 5)], start).is_empty());
        assert!(peers.observe(&[], start + RENEWAL).is_empty());
        assert!(peers.observe(&[(1, 5)], start + WAITED_OUT).is_empty());
        peers.forget();
        assert!(peers.observe(&[(1, 5)], start + 2 * WAITED_OUT).is_empty());
        assert_eq!(peers.observe(&[(1, 5)], start + 3 * WAITED_OUT), [(1, 5)]);
    }
}
