//! The table of results.

use std::fmt;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// Milliseconds; less is better.
    Milliseconds,
    /// Microseconds; less is better.
    Microseconds,
    /// Number per second; more is better.
    PerSecond,
    /// MiB per second; more is better.
    MebibytesPerSecond,
    /// KiB; less is better.
    Kibibytes,
}

/// A goal: the preview's figure against another one, or by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At most so many times the other.
    AtMostTimes(f64, Side),
    /// At least so many times the other.
    AtLeastTimes(f64, Side),
    /// At most this.
    AtMost(f64),
    /// None: shown for its own sake.
    None,
}

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Production directly.
    Production,
    /// A full copy directly.
    Copy,
    /// pgbouncer before production.
    Bouncer,
    /// The preview.
    Preview,
}

const SIDES: [(Side, &str); 4] = [
    (Side::Production, "production"),
    (Side::Copy, "full copy"),
    (Side::Bouncer, "pgbouncer"),
    (Side::Preview, "preview"),
];

/// One figure of each side.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) name: String,
    /// In which unit.
    pub(crate) unit: Unit,
    /// The figures of those who were measured.
    pub(crate) figures: Vec<(Side, f64)>,
    /// What the preview should reach.
    pub(crate) goal: Goal,
}

/// All results.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    /// Adds a line.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, figures: &[(Side, f64)], goal: Goal) {
        self.0.push(Line {
            name: name.to_owned(),
            unit,
            figures: figures.to_vec(),
            goal,
        });
    }
}

impl Line {
    fn figure(&self, side: Side) -> Option<f64> {
        self.figures
            .iter()
            .find(|(each, _)| *each == side)
            .map(|(_, figure)| *figure)
    }

    fn verdict(&self) -> (String, String) {
        let Some(preview) = self.figure(Side::Preview) else {
            return (String::new(), String::new());
        };
        let against = |side: Side| {
            self.figure(side)
                .filter(|other| *other > 0.0)
                .map(|other| preview / other)
        };
        let word = |met: bool| if met { "reached" } else { "NOT reached" };
        let name = |side: Side| {
            SIDES
                .iter()
                .find(|(each, _)| *each == side)
                .map_or("", |(_, name)| name)
        };
        match self.goal {
            Goal::AtMostTimes(limit, side) => match against(side) {
                Some(ratio) => (
                    format!("{ratio:.2} x {}", name(side)),
                    format!("≤ {limit} x: {}", word(ratio <= limit)),
                ),
                None => (String::new(), "not measured".to_owned()),
            },
            Goal::AtLeastTimes(limit, side) => match against(side) {
                Some(ratio) => (
                    format!("{ratio:.2} x {}", name(side)),
                    format!("≥ {limit} x: {}", word(ratio >= limit)),
                ),
                None => (String::new(), "not measured".to_owned()),
            },
            Goal::AtMost(limit) => (
                String::new(),
                format!("≤ {}: {}", self.unit.text(limit), word(preview <= limit)),
            ),
            Goal::None => (
                against(Side::Production)
                    .map(|ratio| format!("{ratio:.2} x production"))
                    .unwrap_or_default(),
                String::new(),
            ),
        }
    }
}

impl Unit {
    fn text(self, figure: f64) -> String {
        match self {
            Self::Milliseconds if figure < 10.0 => format!("{figure:.3} ms"),
            Self::Milliseconds => format!("{figure:.0} ms"),
            Self::Microseconds => format!("{figure:.1} µs"),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::MebibytesPerSecond => format!("{figure:.0} MiB/s"),
            Self::Kibibytes if figure < 4096.0 => format!("{figure:.1} KiB"),
            Self::Kibibytes => format!("{:.1} MiB", figure / 1024.0),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![vec!["measured".to_owned()]];
        if let Some(head) = rows.first_mut() {
            head.extend(SIDES.iter().map(|(_, name)| (*name).to_owned()));
            head.extend(["ratio".to_owned(), "goal".to_owned()]);
        }
        for line in &self.0 {
            let mut row = vec![line.name.clone()];
            for (side, _) in SIDES {
                row.push(
                    line.figure(side)
                        .map(|figure| line.unit.text(figure))
                        .unwrap_or_default(),
                );
            }
            let (ratio, goal) = line.verdict();
            row.extend([ratio, goal]);
            rows.push(row);
        }
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "| {} |", rule.join(" | "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_and_shown() {
        let mut table = Table::default();
        let figures = [(Side::Bouncer, 0.1), (Side::Preview, 0.12)];
        table.add(
            "select",
            Unit::Milliseconds,
            &figures,
            Goal::AtMostTimes(1.3, Side::Bouncer),
        );
        table.add(
            "select",
            Unit::Milliseconds,
            &figures,
            Goal::AtMostTimes(1.0, Side::Bouncer),
        );
        table.add(
            "memory",
            Unit::Kibibytes,
            &[(Side::Preview, 50_000.0)],
            Goal::AtMost(40_960.0),
        );
        table.add(
            "lost",
            Unit::PerSecond,
            &[(Side::Preview, 1.0)],
            Goal::AtLeastTimes(1.0, Side::Copy),
        );
        let text = table.to_string();
        for part in [
            "1.20 x pgbouncer",
            "≤ 1.3 x: reached",
            "≤ 1 x: NOT reached",
            "≤ 40.0 MiB: NOT reached",
            "not measured",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}
