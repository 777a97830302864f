//! The table of results.

use std::fmt;
use std::time::Duration;

/// A figure and what it should be at most.
struct Line {
    what: String,
    figure: String,
    goal: String,
    reached: Option<bool>,
}

/// All results.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    /// A time, in seconds.
    pub(crate) fn time(&mut self, what: &str, time: Duration, goal: Option<Duration>) {
        self.add(
            what,
            time.as_secs_f64(),
            "s",
            goal.map(|goal| goal.as_secs_f64()),
        );
    }

    /// Memory, in MiB.
    pub(crate) fn memory(&mut self, what: &str, bytes: u64, goal: Option<u64>) {
        let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        self.add(what, mebibytes(bytes), "MiB", goal.map(mebibytes));
    }

    /// A number of things.
    pub(crate) fn count(&mut self, what: &str, count: usize, goal: Option<usize>) {
        self.add(what, count as f64, "", goal.map(|goal| goal as f64));
    }

    fn add(&mut self, what: &str, figure: f64, unit: &str, goal: Option<f64>) {
        let decimals = usize::from(unit == "s");
        let show = |value: f64| format!("{value:.decimals$} {unit}").trim_end().to_owned();
        let line = Line {
            what: what.to_owned(),
            figure: show(figure),
            goal: goal
                .map(|goal| format!("≤ {}", show(goal)))
                .unwrap_or_default(),
            reached: goal.map(|goal| figure <= goal),
        };
        eprintln!("{}: {}", line.what, line.figure);
        self.0.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | goal | |\n|---|---|---|---|")?;
        for line in &self.0 {
            let mark = match line.reached {
                Some(true) => "reached",
                Some(false) => "**missed**",
                None => "",
            };
            writeln!(
                f,
                "| {} | {} | {} | {mark} |",
                line.what, line.figure, line.goal
            )?;
        }
        Ok(())
    }
}
