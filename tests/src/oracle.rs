//! The test of truth: the same statements on a full copy and on a preview, and what differs.
//!
//! OIDs of types and tables differ between two databases, so they're compared by name: each side has a
//! superuser's connection behind the scenes that resolves them, and what that connection can't see yet (made by
//! a transaction that hasn't committed) must at least correspond one to one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::client::{Address, Answer, Event, Fields, PATIENCE, Protocol, Request, Session};
use crate::script::{Ignore, Known, Order, Script, Statement};

/// Fields of errors and notices that a client sees; file, line and routine of PostgreSQL's source aren't compared.
const COMPARED: &str = "VCMDHPpqWstcdn";

/// Differences after which a run is given up: what follows is mostly their consequence.
const ENOUGH: usize = 12;

/// One of the two sides.
pub struct Side {
    name: &'static str,
    address: Address,
    behind: Session,
    sessions: BTreeMap<String, Session>,
    names: HashMap<(Kind, u32), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Type,
    Table,
}

impl Side {
    /// A side: where clients connect, and where a superuser looks at the same database directly.
    pub fn new(name: &'static str, address: &Address, behind: &Address) -> Side {
        Side {
            name,
            address: address.clone(),
            behind: Session::connect(behind)
                .unwrap_or_else(|e| panic!("log in behind the {name}: {e:?}")),
            sessions: BTreeMap::new(),
            names: HashMap::new(),
        }
    }

    /// The session of that name, connected when first used.
    pub fn session(&mut self, name: &str) -> &mut Session {
        if !self.sessions.contains_key(name) {
            let session = Session::connect(&self.address)
                .unwrap_or_else(|e| panic!("log in at the {}: {e:?}", self.name));
            self.sessions.insert(name.to_owned(), session);
        }
        self.sessions.get_mut(name).expect("just connected")
    }

    /// Drops a session.
    pub fn forget(&mut self, name: &str) {
        self.sessions.remove(name);
    }

    /// The processes of this side's database that wait for another one.
    pub fn waiting(&mut self) -> Vec<i32> {
        self.behind
            .must("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0")
            .rows()
            .concat()
            .iter()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    fn name_of(&mut self, kind: Kind, oid: u32) -> Option<String> {
        if let Some(name) = self.names.get(&(kind, oid)) {
            return Some(name.clone());
        }
        let sql = match kind {
            Kind::Type => format!("SELECT format_type(oid, NULL) FROM pg_type WHERE oid = {oid}"),
            // Which number a session's temporary schema has is chance.
            Kind::Table => format!(
                "SELECT regexp_replace(oid::regclass::text, 'pg_temp_[0-9]+', 'pg_temp') FROM pg_class WHERE oid = {oid}"
            ),
        };
        let name = self.behind.must(&sql).rows().concat().first()?.clone();
        self.names.insert((kind, oid), name.clone());
        Some(name)
    }

    fn run(&mut self, statements: &[Statement], protocol: Protocol) -> Answer {
        let Some(first) = statements.first() else {
            return Answer::default();
        };
        let session = self.session(&first.session);
        let text = statements
            .iter()
            .map(Statement::inlined)
            .collect::<Vec<_>>()
            .join("; ");
        match protocol {
            Protocol::Simple => session.start(
                protocol,
                Request {
                    sql: text.clone(),
                    copy: first.copy.clone().map(String::into_bytes),
                    ..Request::default()
                },
            ),
            Protocol::Extended if statements.len() > 1 => {
                let requests: Vec<Request> = statements.iter().map(extended).collect();
                session.start_pipeline(&requests);
            }
            Protocol::Extended => session.start(protocol, extended(first)),
        }
        let answer = session.poll(PATIENCE).unwrap_or_else(|| {
            panic!(
                "the {} gave no answer within {PATIENCE:?} to: {text}",
                self.name
            )
        });
        if answer.closed() {
            self.sessions.remove(&first.session);
        }
        answer
    }
}

fn extended(statement: &Statement) -> Request {
    Request {
        sql: statement.sql.clone(),
        params: statement.values(),
        copy: statement.copy.clone().map(String::into_bytes),
        limit: statement.limit,
    }
}

/// What a run has found.
#[derive(Debug, Default)]
pub struct Report {
    /// Statements that were compared.
    pub compared: usize,
    /// Readable differences; empty when the preview can't be told from a copy.
    pub differences: Vec<String>,
}

impl Report {
    /// Fails the test, with all that was found and how to run it again, unless nothing was.
    pub fn check(&self, reproduce: &str) {
        assert!(
            self.differences.is_empty(),
            "{}\n\nreproduce: {reproduce}",
            self.differences.join("\n\n")
        );
    }
}

/// Runs a script on both sides.
pub fn run(script: &Script, protocol: Protocol, copy: &mut Side, preview: &mut Side) -> Report {
    let mut report = Report::default();
    let mut pairs = HashMap::new();
    let mut at = 0;
    while let Some(statement) = script.statements.get(at) {
        let group = script
            .statements
            .get(at..at + statement.together)
            .unwrap_or_else(|| panic!("{}:{}: too few follow", script.name, statement.line));
        at += statement.together;
        if statement.only_simple == Some(protocol != Protocol::Simple) {
            continue;
        }
        let differences = if let Some(construct) = &statement.refused {
            refusal(construct, &preview.run(group, protocol))
        } else if statement.only_preview {
            let error = preview.run(group, protocol).error().map(show_fields);
            error.into_iter().collect()
        } else {
            let expected = copy.run(group, protocol);
            let found = preview.run(group, protocol);
            let differences = compare(statement, &expected, &found, copy, preview, &mut pairs);
            known(statement, protocol, differences)
        };
        report.compared += group.len();
        if !differences.is_empty() {
            let text = group
                .iter()
                .map(Statement::to_string)
                .collect::<Vec<_>>()
                .join("\n");
            report.differences.push(format!(
                "{}:{} ({protocol:?}, session {})\n{text}\n{}",
                script.name,
                statement.line,
                statement.session,
                differences.join("\n")
            ));
            if report.differences.len() >= ENOUGH {
                report.differences.push("(given up here)".to_owned());
                break;
            }
        }
    }
    report
}

/// What a known defect leaves of a statement's differences: nothing, as long as it's there.
fn known(statement: &Statement, protocol: Protocol, differences: Vec<String>) -> Vec<String> {
    let simple = protocol == Protocol::Simple;
    let applies = |known: &&Known| known.only_simple.is_none_or(|only| only == simple);
    match statement.known.as_ref().filter(applies) {
        None => differences,
        Some(_) if !differences.is_empty() => Vec::new(),
        Some(known) => vec![format!(
            "  known to differ ({}), and doesn't any more: remove the directive, and its line in docs/limits.md",
            known.why
        )],
    }
}

fn refusal(construct: &str, answer: &Answer) -> Vec<String> {
    let Some(error) = answer.error() else {
        return vec![format!(
            "  documented to be refused ({construct}), but it went through"
        )];
    };
    let field = |key| error.get(&key).map_or("", String::as_str);
    let mut wrong = Vec::new();
    if field('C') != "0A000" {
        wrong.push(format!("  not refused with 0A000: {error:?}"));
    } else if !field('M')
        .to_lowercase()
        .contains(&construct.to_lowercase())
    {
        wrong.push(format!("  the refusal doesn't name {construct}: {error:?}"));
    } else if field('D').is_empty() || field('H').is_empty() {
        wrong.push(format!(
            "  a refusal has a DETAIL (why) and a HINT (what to do): {error:?}"
        ));
    }
    wrong
}

/// Whether the copy tells of a unique constraint and the preview of another constraint. The preview looks for duplicates among production's
/// rows when the statement has ended: after its own unique indexes and after the foreign keys that refer to the table, each constraint over all rows;
/// and after what a row violates of a view's check option, or a later row of its own.
/// Or whether each tells of a foreign key, another one: of several rows, PostgreSQL tells of the one that the heap has first.
fn another_violation(expected: &Answer, found: &Answer) -> bool {
    let constraint = |answer: &Answer| answer.error().and_then(|fields| fields.get(&'n').cloned());
    let either = match expected.sqlstate() {
        Some("23505") => matches!(
            found.sqlstate(),
            Some("23502" | "23503" | "23505" | "23514" | "44000")
        ),
        Some("23503") => found.sqlstate() == Some("23503"),
        _ => false,
    };
    either && constraint(expected) != constraint(found)
}

/// Whether both tell of rows that an ALTER TABLE can't go with, in other partitions of a table: of those that the preview has changed first.
fn another_partition(expected: &Answer, found: &Answer) -> bool {
    let told = |answer: &Answer| {
        let fields = answer.error()?;
        let table = format!("relation \"{}\" ", fields.get(&'t')?);
        let message = fields.get(&'M')?;
        let at = message.find(&table)?;
        let sqlstate = fields.get(&'C')?;
        Some((
            sqlstate.clone(),
            message[..at].to_owned(),
            message[at + table.len()..].to_owned(),
        ))
    };
    matches!(expected.sqlstate(), Some("23502" | "23514"))
        && told(expected).is_some_and(|left| Some(left) == told(found))
}

/// The differences between two answers, one line or more each.
fn compare(
    statement: &Statement,
    expected: &Answer,
    found: &Answer,
    copy: &mut Side,
    preview: &mut Side,
    pairs: &mut HashMap<(Kind, u32), u32>,
) -> Vec<String> {
    let mut out = Vec::new();
    let ignores = |what| statement.ignore.contains(&what);
    if statement.either_violation
        && (another_violation(expected, found) || another_partition(expected, found))
    {
        return out;
    }
    let (left, right) = (outline(expected, statement), outline(found, statement));
    if left != right {
        out.push(side_by_side("messages", &left, &right));
        if let Some(error) = found.error() {
            out.push(format!("    the preview's error: {}", show_fields(error)));
        }
        if let Some(error) = expected.error() {
            out.push(format!("    the copy's error:    {}", show_fields(error)));
        }
        for (side, answer) in [("copy", expected), ("preview", found)] {
            for event in &answer.events {
                if let Event::Notice(fields) = event {
                    out.push(format!("    the {side} notices: {}", show_fields(fields)));
                }
            }
        }
        return out;
    }
    if expected.status != found.status {
        out.push(format!(
            "  transaction status: copy {}, preview {}",
            expected.status, found.status
        ));
    }
    let both = spoken(expected, statement).zip(spoken(found, statement));
    for (left, right) in both {
        match (left, right) {
            (Event::Columns(left), Event::Columns(right)) if !ignores(Ignore::Columns) => {
                let show = |side: &mut Side, columns: &[crate::client::Column]| {
                    columns
                        .iter()
                        .map(|c| {
                            let origin = if ignores(Ignore::Origin) {
                                "not compared".to_owned()
                            } else {
                                let table = side.name_of(Kind::Table, c.table);
                                let none = if c.table == 0 { "-" } else { "?" };
                                format!("{}.{}", table.as_deref().unwrap_or(none), c.attribute)
                            };
                            let kind = side.name_of(Kind::Type, c.type_oid);
                            format!(
                                "{} {}({}, {}) of {origin}",
                                c.name,
                                kind.unwrap_or_else(|| "?".to_owned()),
                                c.type_len,
                                c.type_mod,
                            )
                        })
                        .collect::<Vec<_>>()
                };
                let (l, r) = (show(copy, left), show(preview, right));
                if l != r {
                    out.push(side_by_side("columns", &l, &r));
                }
                for (l, r) in left.iter().zip(right) {
                    for (kind, l, r) in [
                        (Kind::Table, l.table, r.table),
                        (Kind::Type, l.type_oid, r.type_oid),
                    ] {
                        let paired = *pairs.entry((kind, l)).or_insert(r);
                        // A rewritten or re-created object may be renamed, never be two at a time.
                        if paired != r && kind == Kind::Type {
                            out.push(format!("  {kind:?} {l} was {paired} before and is {r} now"));
                        }
                    }
                }
            }
            (Event::Parameters(left), Event::Parameters(right)) => {
                let l: Vec<_> = left
                    .iter()
                    .map(|o| copy.name_of(Kind::Type, *o).unwrap_or_default())
                    .collect();
                let r: Vec<_> = right
                    .iter()
                    .map(|o| preview.name_of(Kind::Type, *o).unwrap_or_default())
                    .collect();
                if l != r {
                    out.push(side_by_side("parameters", &l, &r));
                }
            }
            (Event::Error(left), Event::Error(right))
            | (Event::Notice(left), Event::Notice(right)) => {
                for key in COMPARED.chars() {
                    let skip = match key {
                        'D' => ignores(Ignore::Detail),
                        'W' => ignores(Ignore::Context),
                        _ => false,
                    };
                    if !skip && left.get(&key) != right.get(&key) {
                        let show = |f: &Fields| f.get(&key).cloned().unwrap_or("-".to_owned());
                        out.push(format!(
                            "  {}: copy    {}\n  {0}: preview {}",
                            field_name(key),
                            show(left),
                            show(right)
                        ));
                    }
                }
            }
            (Event::Complete(left), Event::Complete(right)) => {
                if left != right && !ignores(Ignore::Tag) {
                    out.push(format!("  tag: copy {left}, preview {right}"));
                }
            }
            (left, right) => {
                if left != right && !matches!(left, Event::Columns(_)) {
                    out.push(format!("  copy {left:?}\n  preview {right:?}"));
                }
            }
        }
    }
    if !ignores(Ignore::Rows) {
        let (mut left, mut right) = (data(expected), data(found));
        if statement.order == Order::Unordered {
            left.sort();
            right.sort();
        }
        if left != right {
            out.push(side_by_side("rows", &left, &right));
        }
    }
    // A statement that says the name itself hears it again.
    let asked = statement.sql.contains("previewpg");
    for event in found.events.iter().filter(|_| !asked) {
        if let Event::Error(fields) | Event::Notice(fields) = event
            && fields
                .iter()
                .any(|(key, text)| !matches!(key, 'F' | 'L' | 'R') && text.contains("previewpg"))
            && fields.get(&'C').map(String::as_str) != Some("0A000")
        {
            out.push(format!("  a name of ours shows: {}", show_fields(fields)));
        }
    }
    out
}

/// Everything but rows and copy data, which are compared as a whole.
fn spoken<'a>(answer: &'a Answer, statement: &Statement) -> impl Iterator<Item = &'a Event> {
    let notices = !statement.ignore.contains(&Ignore::Notices);
    answer.events.iter().filter(move |event| match event {
        Event::Row(_) | Event::CopyData(_) => false,
        Event::Notice(fields) => notices && !is_of_caches(fields),
        _ => true,
    })
}

/// DEBUG of a PostgreSQL process about its own memory: when it comes depends on all that it has looked at.
fn is_of_caches(fields: &Fields) -> bool {
    let message = fields.get(&'M').map_or("", String::as_str);
    message.starts_with("rehashing catalog cache")
}

/// The kinds of messages in their order, runs of rows as one word: a readable first comparison.
fn outline(answer: &Answer, statement: &Statement) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for event in spoken(answer, statement) {
        let word = match event {
            Event::Parameters(p) => format!("parameters({})", p.len()),
            Event::Columns(c) => format!("columns({})", c.len()),
            Event::NoData => "no data".to_owned(),
            // An empty result has no rows to speak of; the rows' comparison and the tag tell.
            Event::Row(_) | Event::CopyData(_) => continue,
            Event::Complete(_) => "complete".to_owned(),
            Event::Empty => "empty".to_owned(),
            Event::Suspended => "suspended".to_owned(),
            Event::Copy(way, _) => format!("copy {way}"),
            Event::Error(f) => format!("error {}", f.get(&'C').map_or("?", String::as_str)),
            Event::Notice(f) => format!("notice {}", f.get(&'C').map_or("?", String::as_str)),
            Event::Setting(name, _) => format!("setting {name}"),
            Event::Notification(channel, _) => format!("notification {channel}"),
            Event::Closed => "closed".to_owned(),
        };
        words.push(word);
    }
    words
}

fn data(answer: &Answer) -> Vec<String> {
    answer
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Row(values) => Some(values.iter().fold(String::new(), |mut row, v| {
                let _ = match v {
                    None => write!(row, "│∅"),
                    Some(bytes) => write!(row, "│{}", readable(bytes)),
                };
                row
            })),
            Event::CopyData(bytes) => Some(readable(bytes)),
            _ => None,
        })
        .collect()
}

fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text
                .chars()
                .any(|c| c.is_control() && c != '\n' && c != '\t') =>
        {
            text.to_owned()
        }
        _ => bytes.iter().fold("\\x".to_owned(), |mut hex, b| {
            let _ = write!(hex, "{b:02x}");
            hex
        }),
    }
}

/// The lines that only one side has; both in full when it's their order that differs.
fn side_by_side(what: &str, left: &[String], right: &[String]) -> String {
    let only = |from: &[String], other: &[String], mark: &str| {
        let mut rest = other.to_vec();
        let mut lines = Vec::new();
        for line in from {
            match rest.iter().position(|l| l == line) {
                Some(at) => {
                    rest.swap_remove(at);
                }
                None => lines.push(format!("    {mark} {line}")),
            }
        }
        lines
    };
    let mut lines = only(left, right, "copy   ");
    lines.extend(only(right, left, "preview"));
    if lines.is_empty() {
        let at = left.iter().zip(right).position(|(l, r)| l != r);
        let at = at.unwrap_or_default();
        let near = |from: &[String]| {
            from.get(at..(at + 5).min(from.len()))
                .unwrap_or_default()
                .join("\n            ")
        };
        lines.push(format!(
            "    the order differs from {at} on\n    copy    {}\n    preview {}",
            near(left),
            near(right)
        ));
    }
    let more = lines.len().saturating_sub(16);
    lines.truncate(16);
    if more > 0 {
        lines.push(format!("    ... and {more} more"));
    }
    format!(
        "  {what} ({} on the copy, {} on the preview):\n{}",
        left.len(),
        right.len(),
        lines.join("\n")
    )
}

fn field_name(key: char) -> &'static str {
    match key {
        'V' => "severity",
        'C' => "SQLSTATE",
        'M' => "message",
        'D' => "detail",
        'H' => "hint",
        'P' => "position",
        'p' => "internal position",
        'q' => "internal query",
        'W' => "context",
        's' => "schema",
        't' => "table",
        'c' => "column",
        'd' => "type",
        'n' => "constraint",
        _ => "field",
    }
}

fn show_fields(fields: &Fields) -> String {
    COMPARED
        .chars()
        .filter_map(|key| Some(format!("{}: {}", field_name(key), fields.get(&key)?)))
        .collect::<Vec<_>>()
        .join(", ")
}
