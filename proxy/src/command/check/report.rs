//! What was found, judged and printed.

use std::fmt::Write as _;

use serde::Serialize;

use crate::command::rights::Rights;
use crate::overlay::provision::TableSelection;

/// What production's catalogs say.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Its database.
    pub database: String,
    /// Its version, as it prints it.
    pub version: String,
    /// Its major version.
    pub major: u32,
    /// Its encoding.
    pub encoding: String,
    /// Its collation.
    pub collation: String,
    /// `max_connections`.
    pub max_connections: i32,
    /// Client connections at this moment, as far as the role may see.
    pub connections: i64,
    /// It's a hot standby.
    pub standby: bool,
    /// What the role may do.
    pub rights: Rights,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its sequences.
    pub sequences: Vec<Sequence>,
    /// Its functions that mention tables.
    pub functions: Vec<Function>,
    /// Its extensions with their versions.
    pub extensions: Vec<String>,
}

/// The kind of a relation with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    Partitioned,
    /// A materialized view.
    MaterializedView,
    /// A foreign table of production's own.
    Foreign,
}

impl Kind {
    /// From `pg_class.relkind`.
    #[must_use]
    pub fn from_letter(letter: &str) -> Self {
        match letter {
            "p" => Self::Partitioned,
            "m" => Self::MaterializedView,
            "f" => Self::Foreign,
            _ => Self::Table,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::MaterializedView => "materialized view",
            Self::Foreign => "foreign table",
        }
    }
}

/// A table of production.
#[derive(Debug, Clone, Serialize)]
#[allow(clippy::struct_excessive_bools)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The role may read it.
    pub selectable: bool,
    /// The planner's estimate of its rows.
    pub rows: f64,
    /// Its size with indexes and TOAST, in bytes.
    pub bytes: u64,
    /// It has a primary key, or a unique index over NOT NULL columns.
    pub keyed: bool,
    /// It's a partition.
    pub partition: bool,
    /// It has parents or children by (non-partition) inheritance.
    pub inherits: bool,
    /// Row-level security applies to the role.
    pub row_security: bool,
    /// It has rewrite rules.
    pub rules: bool,
    /// Its columns of types that identify objects of the server (`oid`, `regclass`, ..).
    pub identifiers: Vec<String>,
}

/// A sequence of production.
#[derive(Debug, Clone, Serialize)]
pub struct Sequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The role may read its value.
    pub selectable: bool,
}

/// A function whose body mentions tables.
#[derive(Debug, Clone, Serialize)]
pub struct Function {
    /// Its name and arguments.
    pub signature: String,
    /// Its language.
    pub language: String,
    /// It's a trigger's.
    pub trigger: bool,
    /// The tables whose names stand in its text.
    pub mentions: Vec<String>,
}

/// How a table would be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// Reads and writes.
    Full,
    /// Reads and INSERTs; the first UPDATE or DELETE copies the whole table.
    WithoutKey,
    /// Reads only.
    ReadOnly,
    /// Its table is there, production's rows are not, because that was asked for.
    Empty,
    /// Not at all, because that was asked for.
    Excluded,
    /// Not at all, or not for every statement.
    No,
}

impl Served {
    fn words(self) -> &'static str {
        match self {
            Self::Full => "yes",
            Self::WithoutKey => "yes, no key",
            Self::ReadOnly => "read only",
            Self::Empty => "empty",
            Self::Excluded => "excluded",
            Self::No => "NO",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The table.
    #[serde(flatten)]
    pub table: Table,
    /// How it would be served.
    pub service: Served,
    /// It would be served in some way.
    pub served: bool,
    /// What is to be known about it.
    pub notes: Vec<String>,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was found, tables aside.
    pub database: String,
    /// production's version.
    pub version: String,
    /// Its encoding.
    pub encoding: String,
    /// Its collation.
    pub collation: String,
    /// The role's rights.
    pub rights: Rights,
    /// Every table and its verdict.
    pub tables: Vec<Verdict>,
    /// What is to be known beside tables.
    pub notes: Vec<String>,
    /// The functions that mention tables.
    pub functions: Vec<Function>,
    /// The extensions that fresh needs, too.
    pub extensions: Vec<String>,
    /// The size of a full copy, in bytes.
    pub copy_bytes: u64,
    /// The estimated number of rows of a full copy.
    pub copy_rows: f64,
}

/// Judges what was found. `limit` is the most rows that a statement may copy up, `sessions` the proxy's own limit on production.
#[must_use]
pub fn judge(found: Found, selection: &TableSelection, limit: u64, sessions: u32) -> Report {
    let notes = notes(&found, sessions);
    let tables: Vec<Verdict> = found
        .tables
        .into_iter()
        .map(|table| verdict(table, selection, limit))
        .collect();
    Report {
        database: found.database,
        version: found.version,
        encoding: found.encoding,
        collation: found.collation,
        rights: found.rights,
        notes,
        functions: found.functions,
        extensions: found.extensions,
        copy_bytes: tables.iter().map(|each| each.table.bytes).sum(),
        copy_rows: tables
            .iter()
            .filter(|each| each.table.kind != Kind::Partitioned)
            .map(|each| each.table.rows)
            .sum(),
        tables,
    }
}

fn verdict(table: Table, selection: &TableSelection, limit: u64) -> Verdict {
    let mut notes = Vec::new();
    let service = if !selection.includes(&table.schema, &table.name) {
        Served::Excluded
    } else if selection.is_empty_one(&table.schema, &table.name) {
        Served::Empty
    } else if !table.selectable {
        notes.push("the role may not SELECT: it would be refused".to_owned());
        Served::No
    } else if matches!(table.kind, Kind::MaterializedView | Kind::Foreign) {
        Served::ReadOnly
    } else if table.inherits
        || !table.keyed && matches!(table.kind, Kind::Table | Kind::Partitioned)
    {
        let (why, whole) = match (table.inherits, table.kind) {
            (true, _) => ("table inheritance", "the whole tree"),
            (false, Kind::Partitioned) => {
                ("no primary key or unique NOT NULL key", "all partitions")
            }
            (false, _) => ("no primary key or unique NOT NULL key", "the whole table"),
        };
        notes.push(if as_count(table.rows) > limit {
            format!("{why}, and more than {limit} rows: UPDATE and DELETE are refused")
        } else {
            format!("{why}: the first UPDATE or DELETE copies {whole}")
        });
        Served::WithoutKey
    } else {
        Served::Full
    };
    if matches!(
        service,
        Served::Full | Served::WithoutKey | Served::ReadOnly
    ) {
        if table.row_security {
            notes.push("row-level security applies to the role: the preview shows the rows that the role sees".to_owned());
        }
        if table.rules {
            notes.push("it has rewrite rules: writes to it may be refused".to_owned());
        }
        if !table.identifiers.is_empty() {
            notes.push(format!(
                "{}: production's identifiers, which mean other objects in the preview",
                table.identifiers.join(", ")
            ));
        }
    }
    Verdict {
        served: service != Served::No,
        table,
        service,
        notes,
    }
}

fn notes(found: &Found, sessions: u32) -> Vec<String> {
    let mut notes = Vec::new();
    let unreadable: Vec<String> = found
        .sequences
        .iter()
        .filter(|sequence| !sequence.selectable)
        .map(|sequence| format!("{}.{}", sequence.schema, sequence.name))
        .collect();
    if !unreadable.is_empty() {
        notes.push(format!(
            "{} of {} sequences can't be read (GRANT SELECT): they don't start above production's value: {}",
            unreadable.len(),
            found.sequences.len(),
            unreadable.join(", ")
        ));
    }
    let left = i64::from(found.max_connections) - found.connections;
    if left < i64::from(sessions) + 10 {
        notes.push(format!(
            "production allows {} connections and has {} now: little room for a preview's (up to {sessions}, and one for each client that reads changed tables)",
            found.max_connections, found.connections
        ));
    }
    if found.standby {
        notes.push(
            "production is a hot standby: long reads may be cancelled there, as for any client"
                .to_owned(),
        );
    }
    notes
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn as_count(rows: f64) -> u64 {
    rows.max(0.0) as u64
}

impl Report {
    /// Everything is served.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tables.iter().all(|each| each.served)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        // Its types have nothing that JSON can't say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let line = |text: &mut String, line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        line(
            &mut text,
            &format!(
                "Database {} (PostgreSQL {}, {}, collation {})",
                self.database, self.version, self.encoding, self.collation
            ),
        );
        if self.rights.writes.is_empty() {
            line(
                &mut text,
                &format!("Role {}: can only read. Good.", self.rights.role),
            );
        } else {
            line(
                &mut text,
                &format!(
                    "Role {}: CAN WRITE, up and serve refuse it:",
                    self.rights.role
                ),
            );
            for reason in &self.rights.writes {
                line(&mut text, &format!("  - {reason}"));
            }
        }
        for warning in &self.rights.warnings {
            line(&mut text, &format!("  - note: {warning}"));
        }
        text.push('\n');
        self.table_lines(&mut text);
        text.push('\n');
        let count = |wanted: &[Served]| {
            self.tables
                .iter()
                .filter(|each| wanted.contains(&each.service))
                .count()
        };
        line(
            &mut text,
            &format!(
                "{} tables: {} served in full, {} without a key, {} read only, {} left out on request, {} not served",
                self.tables.len(),
                count(&[Served::Full]),
                count(&[Served::WithoutKey]),
                count(&[Served::ReadOnly]),
                count(&[Served::Empty, Served::Excluded]),
                count(&[Served::No]),
            ),
        );
        for note in &self.notes {
            line(&mut text, &format!("- {note}"));
        }
        if !self.extensions.is_empty() {
            line(
                &mut text,
                &format!(
                    "- extensions that fresh's server needs, too: {}",
                    self.extensions.join(", ")
                ),
            );
        }
        self.function_lines(&mut text);
        line(
            &mut text,
            &format!(
                "Cost: a full copy is {} and about {} rows. A preview starts with the schema alone; each row that it changes is stored once, and its key once more.",
                bytes(self.copy_bytes),
                count_words(self.copy_rows)
            ),
        );
        text
    }

    fn table_lines(&self, text: &mut String) {
        let mut rows = vec![["TABLE", "KIND", "ROWS", "SIZE", "SERVED"].map(str::to_owned)];
        for each in &self.tables {
            rows.push([
                format!("{}.{}", each.table.schema, each.table.name),
                if each.table.partition {
                    "partition".to_owned()
                } else {
                    each.table.kind.words().to_owned()
                },
                count_words(each.table.rows),
                bytes(each.table.bytes),
                each.service.words().to_owned(),
            ]);
        }
        let mut widths = [0; 5];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let [table, kind, count, size, served] = widths;
        let notes =
            std::iter::once(&[][..]).chain(self.tables.iter().map(|each| each.notes.as_slice()));
        for (row, notes) in rows.iter().zip(notes) {
            let [a, b, c, d, e] = row;
            let line = format!("{a:table$}  {b:kind$}  {c:>count$}  {d:>size$}  {e:served$}");
            let _ = writeln!(text, "{}", line.trim_end());
            for note in notes {
                let _ = writeln!(text, "    {note}");
            }
        }
    }

    fn function_lines(&self, text: &mut String) {
        if self.functions.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "- {} functions mention tables. A call of one is refused where it would miss production's rows (a function's body isn't rewritten):",
            self.functions.len()
        );
        for function in self.functions.iter().take(20) {
            let kind = if function.trigger { "trigger, " } else { "" };
            let _ = writeln!(
                text,
                "    {} ({kind}{}): {}",
                function.signature,
                function.language,
                function.mentions.join(", ")
            );
        }
        if let more @ 1.. = self.functions.len().saturating_sub(20) {
            let _ = writeln!(text, "    and {more} more");
        }
    }
}

/// A size in words.
#[allow(clippy::cast_precision_loss)]
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TB")
}

fn count_words(rows: f64) -> String {
    match rows {
        rows if rows < 10_000.0 => format!("{rows:.0}"),
        rows if rows < 1_000_000.0 => format!("{:.0} k", rows / 1e3),
        rows => format!("{:.1} M", rows / 1e6),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table {
            schema: "public".into(),
            name: name.into(),
            kind: Kind::Table,
            selectable: true,
            rows: 100.0,
            bytes: 8192,
            keyed: true,
            partition: false,
            inherits: false,
            row_security: false,
            rules: false,
            identifiers: Vec::new(),
        }
    }

    fn found(tables: Vec<Table>) -> Found {
        Found {
            database: "shop".into(),
            version: "15.1".into(),
            major: 15,
            encoding: "UTF8".into(),
            collation: "C".into(),
            max_connections: 100,
            connections: 3,
            standby: false,
            rights: Rights {
                role: "reader".into(),
                ..Rights::default()
            },
            tables,
            sequences: Vec::new(),
            functions: Vec::new(),
            extensions: Vec::new(),
        }
    }

    #[test]
    fn every_kind_of_table_gets_its_verdict() {
        let selection = TableSelection {
            schemas: vec!["public".into()],
            exclude: vec!["audit".into()],
            empty: vec!["public.sessions".into()],
        };
        let cases: [(Table, Served, &str); 9] = [
            (table("users"), Served::Full, ""),
            (
                Table {
                    selectable: false,
                    ..table("secrets")
                },
                Served::No,
                "SELECT",
            ),
            (
                Table {
                    keyed: false,
                    ..table("log")
                },
                Served::WithoutKey,
                "copies the whole table",
            ),
            (
                Table {
                    keyed: false,
                    rows: 5000.0,
                    ..table("big_log")
                },
                Served::WithoutKey,
                "UPDATE and DELETE are refused",
            ),
            (
                Table {
                    kind: Kind::MaterializedView,
                    ..table("totals")
                },
                Served::ReadOnly,
                "",
            ),
            (
                Table {
                    inherits: true,
                    ..table("parent")
                },
                Served::WithoutKey,
                "copies the whole tree",
            ),
            (
                Table {
                    schema: "audit".into(),
                    ..table("x")
                },
                Served::Excluded,
                "",
            ),
            (table("sessions"), Served::Empty, ""),
            (
                Table {
                    schema: "other".into(),
                    ..table("x")
                },
                Served::Excluded,
                "",
            ),
        ];
        for (table, wanted, note) in cases {
            let name = table.name.clone();
            let verdict = verdict(table, &selection, 1000);
            assert_eq!(verdict.service, wanted, "{name}");
            assert_eq!(
                verdict.notes.is_empty(),
                note.is_empty(),
                "{name}: {:?}",
                verdict.notes
            );
            assert!(
                verdict.notes.join("\n").contains(note),
                "{name}: {:?}",
                verdict.notes
            );
        }
    }

    #[test]
    fn the_report_is_printed_in_columns() {
        let mut found = found(vec![
            table("users"),
            Table {
                selectable: false,
                ..table("a_long_table_name")
            },
        ]);
        found.sequences.push(Sequence {
            schema: "public".into(),
            name: "s".into(),
            selectable: false,
        });
        found.functions.push(Function {
            signature: "f(integer)".into(),
            language: "plpgsql".into(),
            trigger: false,
            mentions: vec!["users".into()],
        });
        let report = judge(found, &TableSelection::default(), 1000, 16);
        let text = report.text();
        assert!(!report.is_whole());
        for part in [
            "Role reader: can only read.",
            "public.users              table   100  8.0 kB  yes\n",
            "public.a_long_table_name  table   100  8.0 kB  NO\n    the role may not SELECT",
            "1 of 1 sequences",
            "f(integer) (plpgsql): users",
            "a full copy is 16.0 kB and about 200 rows",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tables"][1]["service"], "no");
        assert_eq!(json["tables"][1]["served"], false);
    }

    #[test]
    fn little_room_on_production_is_told() {
        let full = Found {
            connections: 95,
            ..found(Vec::new())
        };
        assert!(
            judge(full, &TableSelection::default(), 1, 16)
                .notes
                .join("")
                .contains("little room")
        );
    }

    #[test]
    fn sizes_and_counts_in_words() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(5 << 30), "5.0 GB");
        assert_eq!(bytes(3 << 40), "3.0 TB");
        assert_eq!(
            [0.0, 9999.0, 12_000.0, 3_400_000.0].map(count_words),
            ["0", "9999", "12 k", "3.4 M"]
        );
    }
}
