//! Several sessions, every order of their statements, on a full copy and on a preview.
//!
//! A [`Scenario`] is a list of statements for each session. Every interleaving of them is run on both sides, each on
//! rows of its own (a *group* of the shop's tables `parents`, `children` and `tasks`, put in for `{g}`), twice: on
//! rows that are production's, and on rows that were changed before. Compared is the whole trace: who had to wait,
//! whom it was that a commit released, and every answer.
//!
//! A statement whose session still waits is kept back until the session is free, as a person at two terminals would.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::client::{Answer, Event, Protocol, Request};
use crate::oracle::Side;

/// After this a session that gives no answer is said to wait, whatever the lock tables say.
const SLOW: Duration = Duration::from_secs(4);

/// Sessions and what each of them does.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The statements of each session.
    pub sessions: &'static [&'static [&'static str]],
    /// What's looked at when all have finished.
    pub observe: &'static str,
    /// The preview may wait where a copy doesn't (one lock for each parent table instead of one for each parent) or let
    /// another waiter go first (all who wait for a claim wake together): then
    /// its outcome must be one that the copy has in some order.
    pub may_wait_more: bool,
    /// How long each wait is watched: longer than the deadlock and lock time-outs where a scenario is about them.
    pub settle: Duration,
    /// No more interleavings than that, evenly chosen.
    pub most: usize,
    /// A known defect: some interleaving differs, and the test fails as soon as none does.
    pub known: Option<&'static str>,
}

/// What happened in one interleaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// In order: what was run, who waited, what was answered.
    pub lines: Vec<String>,
    /// Each session's answers and what was observed, without who waited for whom.
    pub outcome: Vec<String>,
}

/// All orders of `counts[i]` statements of session `i`, or `most` of them.
pub fn interleavings(counts: &[usize], most: usize) -> Vec<Vec<usize>> {
    fn go(left: &mut [usize], order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if left.iter().all(|n| *n == 0) {
            all.push(order.clone());
            return;
        }
        for session in 0..left.len() {
            if left[session] > 0 {
                left[session] -= 1;
                order.push(session);
                go(left, order, all);
                order.pop();
                left[session] += 1;
            }
        }
    }
    let mut all = Vec::new();
    go(&mut counts.to_vec(), &mut Vec::new(), &mut all);
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}

impl Scenario {
    /// Its interleavings.
    fn orders(&self) -> Vec<Vec<usize>> {
        let counts: Vec<usize> = self.sessions.iter().map(|s| s.len()).collect();
        interleavings(&counts, self.most)
    }

    /// How many groups a run of it takes.
    pub fn groups(&self) -> u32 {
        u32::try_from(self.orders().len() * 2).unwrap_or(u32::MAX)
    }
}

/// Runs a scenario on both sides, on the groups from `group` on; the differences, readable.
pub fn run(
    scenario: &Scenario,
    mut group: u32,
    copy: &mut Side,
    preview: &mut Side,
) -> Vec<String> {
    let orders = scenario.orders();
    let mut results = Vec::new();
    let mut possible = BTreeSet::new();
    for changed_before in [false, true] {
        for order in &orders {
            let expected = trace(scenario, order, group, changed_before, copy);
            let found = trace(scenario, order, group, changed_before, preview);
            possible.insert(expected.outcome.clone());
            results.push((order, changed_before, expected, found));
            group += 1;
        }
    }
    let mut differences = Vec::new();
    for (order, changed_before, expected, found) in results {
        let allowed = scenario.may_wait_more
            && found.lines.iter().any(|l| l.ends_with("waits"))
            && possible.contains(&found.outcome);
        if expected != found && !allowed {
            let order: Vec<char> = order.iter().map(|s| session_name(*s)).collect();
            differences.push(format!(
                "{} in the order {}, rows {}:\n  copy:\n    {}\n  preview:\n    {}",
                scenario.name,
                order.iter().collect::<String>(),
                if changed_before {
                    "changed before"
                } else {
                    "of production"
                },
                expected.lines.join("\n    "),
                found.lines.join("\n    "),
            ));
        }
    }
    differences
}

fn session_name(number: usize) -> char {
    char::from(b'a' + u8::try_from(number).unwrap_or(25))
}

struct Lane {
    name: char,
    /// Statements whose turn has come while the session waited.
    backlog: VecDeque<String>,
    running: String,
    told_waiting: bool,
    answers: Vec<String>,
}

fn trace(
    scenario: &Scenario,
    order: &[usize],
    group: u32,
    changed: bool,
    side: &mut Side,
) -> Trace {
    let fill = |sql: &str| sql.replace("{g}", &group.to_string());
    if changed {
        let control = side.session("control");
        for table in ["parents", "tasks"] {
            control.must(&format!("UPDATE {table} SET grp = grp WHERE grp = {group}"));
        }
        control.must(&format!(
            "UPDATE children SET n = n WHERE id / 100 = {group}"
        ));
    }
    let mut lanes: Vec<Lane> = (0..scenario.sessions.len())
        .map(|number| Lane {
            name: session_name(number),
            backlog: VecDeque::new(),
            running: String::new(),
            told_waiting: false,
            answers: Vec::new(),
        })
        .collect();
    let mut next = vec![0; lanes.len()];
    let mut lines = Vec::new();
    for &number in order {
        let (Some(lane), Some(at)) = (lanes.get_mut(number), next.get_mut(number)) else {
            continue;
        };
        let sql = scenario.sessions.get(number).and_then(|s| s.get(*at));
        lane.backlog
            .push_back(fill(sql.copied().unwrap_or_default()));
        *at += 1;
        let from = lines.len();
        settle(side, &mut lanes, &mut lines, scenario.settle);
        in_order(&mut lines, from, number);
    }
    let deadline = Instant::now() + Duration::from_secs(8);
    while lanes.iter().any(|l| !l.running.is_empty()) && Instant::now() < deadline {
        let from = lines.len();
        settle(side, &mut lanes, &mut lines, Duration::from_millis(50));
        in_order(&mut lines, from, 0);
    }
    for lane in &lanes {
        let name = lane.name.to_string();
        if !lane.running.is_empty() {
            lines.push(format!("{name} is stuck in {}", lane.running));
            side.forget(&name);
        } else if side.session(&name).query("ROLLBACK").closed() {
            side.forget(&name);
        }
    }
    let observed = side.session("control").query(&fill(scenario.observe));
    let observed = format!("at the end: {}", show(&observed));
    lines.push(observed.clone());
    let mut outcome: Vec<String> = lanes
        .iter()
        .flat_map(|l| l.answers.iter().map(|a| format!("{} {a}", l.name)))
        .collect();
    outcome.push(observed);
    let neutral = |lines: Vec<String>| -> Vec<String> {
        let group = group.to_string();
        lines.iter().map(|l| l.replace(&group, "{g}")).collect()
    };
    Trace {
        lines: neutral(lines),
        outcome: neutral(outcome),
    }
}

/// Answers to one step come at the same moment, and who is read first is chance: the session whose turn it was
/// first, then the others by name.
fn in_order(lines: &mut [String], from: usize, turn: usize) {
    let turn = session_name(turn);
    if let Some(step) = lines.get_mut(from..) {
        step.sort_by_key(|line| {
            let name = line.chars().next().unwrap_or_default();
            (name != turn, name)
        });
    }
}

/// Starts what can be started and takes what is answered, until nothing moves any more.
fn settle(side: &mut Side, lanes: &mut [Lane], lines: &mut Vec<String>, watch: Duration) {
    let mut quiet_since: Option<Instant> = None;
    let began = Instant::now();
    loop {
        let mut moved = false;
        for lane in lanes.iter_mut() {
            let session = side.session(&lane.name.to_string());
            if lane.running.is_empty() {
                let Some(sql) = lane.backlog.pop_front() else {
                    continue;
                };
                session.start(
                    Protocol::Simple,
                    Request {
                        sql: sql.clone(),
                        ..Request::default()
                    },
                );
                lane.running = sql;
                lane.told_waiting = false;
                moved = true;
            }
            if let Some(answer) = session.poll(Duration::from_millis(2)) {
                let text = show(&answer);
                lines.push(format!("{} {} → {text}", lane.name, lane.running));
                lane.answers.push(text);
                lane.running.clear();
                moved = true;
            }
        }
        if moved {
            quiet_since = None;
            continue;
        }
        if lanes.iter().all(|l| l.running.is_empty()) {
            return;
        }
        let pids: Vec<(usize, i32)> = lanes
            .iter()
            .enumerate()
            .filter(|(_, l)| !l.running.is_empty())
            .map(|(n, l)| (n, side.session(&l.name.to_string()).pid))
            .collect();
        let waiting = side.waiting();
        let ours = |pid: &i32| pids.iter().any(|(_, p)| p == pid);
        let somebody_else = waiting.iter().any(|pid| !ours(pid));
        let all_wait = pids.iter().all(|(_, pid)| waiting.contains(pid))
            || (somebody_else && began.elapsed() > Duration::from_millis(300))
            || began.elapsed() > SLOW;
        if !all_wait {
            quiet_since = None;
            continue;
        }
        let since = *quiet_since.get_or_insert_with(Instant::now);
        if since.elapsed() < watch.max(Duration::from_millis(8)) {
            std::thread::sleep(Duration::from_millis(3));
            continue;
        }
        for lane in lanes.iter_mut() {
            if !lane.running.is_empty() && !lane.told_waiting {
                lane.told_waiting = true;
                lines.push(format!("{} {} → waits", lane.name, lane.running));
            }
        }
        return;
    }
}

/// An answer in one line. Places in the heap and process ids, which are chance, are left out.
fn show(answer: &Answer) -> String {
    let mut words = Vec::new();
    for event in &answer.events {
        match event {
            Event::Complete(tag) => words.push(tag.clone()),
            Event::Row(values) => words.push(format!(
                "({})",
                values
                    .iter()
                    .map(|v| v
                        .as_ref()
                        .map_or("∅".into(), |b| String::from_utf8_lossy(b)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
            Event::Error(fields) => {
                let field = |key| fields.get(&key).map_or("", String::as_str);
                let chance = matches!(field('C'), "40P01" | "40001" | "55P03" | "57014");
                // A claim's conflict doesn't tell whether the row was changed or deleted.
                let message =
                    field('M').replace("due to concurrent delete", "due to concurrent update");
                words.push(format!("ERROR {}: {message}", field('C')));
                if !chance {
                    words.push(format!("[{}] [{}]", field('D'), field('n')));
                }
            }
            Event::Notice(fields) => {
                words.push(format!(
                    "{}: {}",
                    fields.get(&'V').map_or("", String::as_str),
                    fields.get(&'M').map_or("", String::as_str)
                ));
            }
            Event::Closed => words.push("connection closed".to_owned()),
            _ => {}
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_are_enumerated() {
        assert_eq!(interleavings(&[3, 3], 100).len(), 20);
        assert_eq!(interleavings(&[1, 1, 1], 100).len(), 6);
        assert!(interleavings(&[4, 4, 4], 50).len() <= 50);
        for order in interleavings(&[2, 3], 100) {
            assert_eq!(order.iter().filter(|s| **s == 1).count(), 3);
        }
    }
}
