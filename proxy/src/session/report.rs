//! Errors and notices on their way to the client: no name of ours in them, no position that points elsewhere.

use crate::catalog::model::Oid;
use crate::rewrite::plan::Refusal;
use crate::wire::report::{Report, code};

use super::expect::OnError;

/// The schema (and prefix) of everything of ours.
const OURS: &[u8] = b"previewpg";

/// The SQLSTATE of the in-band signal, see [`crate::overlay`].
pub(crate) const SIGNAL: &[u8] = b"PPG01";

/// The SQLSTATE of the in-band mark: the relation whose OID the DETAIL gives was written to.
pub(crate) const MARK: &[u8] = b"PPG02";

/// The SQLSTATE of the error that a relation's name means another one than when the text was made.
pub(crate) const RENAMED: &[u8] = b"PPG04";

/// Takes our own things out of a notice; `None`: it's about nothing else.
pub(crate) fn notice(mut report: Report) -> Option<Report> {
    if report.severity().starts_with(b"DEBUG") && debugs_us(&report) {
        return None;
    }
    scrub(&mut report);
    let (before, after) = ("drop cascades to ", " other objects");
    let message = report.message();
    let Some(what) = message.strip_prefix(before) else {
        return Some(report);
    };
    if mentions_us(what.as_bytes()) {
        return None;
    }
    // "drop cascades to 3 other objects", and each on a line of the DETAIL: those that are ours don't count. PostgreSQL says a single one in the message.
    if what.ends_with(after) {
        let lines = report
            .get(code::DETAIL)
            .map_or(0, |detail| detail.split(|byte| *byte == b'\n').count());
        match (lines, report.get(code::DETAIL).map(<[u8]>::to_vec)) {
            (1, Some(only)) => {
                report.set(code::MESSAGE, only);
                report.remove(code::DETAIL);
            }
            // Beyond a hundred PostgreSQL lists no more: the count stands.
            (2..100, _) => report.set(code::MESSAGE, format!("{before}{lines}{after}")),
            (0, _) => return None,
            _ => {}
        }
    }
    Some(report)
}

/// Whether a DEBUG message is about our work: it names us, or tells that an event trigger is called, of which there are ours only.
fn debugs_us(report: &Report) -> bool {
    let message = report.message();
    message.starts_with("EventTriggerInvoke ")
        || mentions_us(message.as_bytes())
        || report.get(code::WHERE).is_some_and(mentions_us)
}

/// postgres_fdw's own refusal, told as one of ours.
fn reword(report: &mut Report) {
    if report.sqlstate() == b"0A000"
        && report.message()
            == "cannot PREPARE a transaction that has operated on postgres_fdw foreign tables"
    {
        report.set(
            code::MESSAGE,
            "PREPARE TRANSACTION isn't available in a preview after production's rows were read",
        );
        report.set(
            code::DETAIL,
            "The transaction holds one at production, which can't be prepared.",
        );
        report.set(code::HINT, "COMMIT, or read in a transaction of its own.");
    }
}

/// Takes our own things out of an error's or notice's context and DETAIL.
pub(crate) fn scrub(report: &mut Report) {
    reword(report);
    // DROP lists dependent objects, one a line. Elsewhere a DETAIL may quote the client's own data.
    let lists = report.sqlstate() == b"2BP01" || report.message().starts_with("drop cascades to ");
    if let Some(detail) = report
        .get(code::DETAIL)
        .filter(|detail| lists && mentions_us(detail))
    {
        let kept = detail
            .split(|byte| *byte == b'\n')
            .filter(|line| !mentions_us(line))
            .collect::<Vec<_>>()
            .join(&b'\n');
        if kept.is_empty() {
            report.remove(code::DETAIL);
        } else {
            report.set(code::DETAIL, kept);
        }
    }
    if let Some(context) = report
        .get(code::WHERE)
        .filter(|context| mentions_us(context))
    {
        let kept = entries(context)
            .into_iter()
            .filter(|entry| !mentions_us(entry))
            .collect::<Vec<_>>()
            .join(&b'\n');
        if kept.is_empty() {
            report.remove(code::WHERE);
        } else {
            report.set(code::WHERE, kept);
        }
    }
    if report.get(code::INTERNAL_QUERY).is_some_and(mentions_us) {
        report.remove(code::INTERNAL_QUERY);
        report.remove(code::INTERNAL_POSITION);
    }
}

/// A context's entries: lines, but a quoted statement goes on to the line that ends with its quote.
fn entries(context: &[u8]) -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut quoted = false;
    for line in context.split(|byte| *byte == b'\n') {
        match entries.last_mut() {
            Some(entry) if quoted => {
                entry.push(b'\n');
                entry.extend_from_slice(line);
            }
            _ => {
                quoted = [
                    &b"SQL statement \""[..],
                    b"SQL expression \"",
                    b"PL/pgSQL assignment \"",
                ]
                .iter()
                .any(|start| line.starts_with(start));
                entries.push(line.to_vec());
            }
        }
        quoted &= !line.ends_with(b"\"");
    }
    entries
}

/// The relation that a mark's DETAIL names, see [`MARK`].
pub(crate) fn marked(report: &Report) -> Option<Oid> {
    std::str::from_utf8(report.get(code::DETAIL)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn mentions_us(text: &[u8]) -> bool {
    text.windows(OURS.len()).any(|window| window == OURS)
}

/// An error in a message's place, as the client is to hear it.
pub(crate) fn in_place(mut report: Report, meaning: OnError) -> Report {
    scrub(&mut report);
    match meaning {
        OnError::AsIs => {}
        OnError::Shift(characters) => {
            let position = report
                .get(code::POSITION)
                .and_then(|position| std::str::from_utf8(position).ok()?.parse::<usize>().ok());
            if let Some(position) = position {
                report.set(code::POSITION, (position + characters).to_string());
            }
        }
        OnError::DropPosition => report.remove(code::POSITION),
        OnError::Before(command) => {
            report.remove(code::POSITION);
            if report.sqlstate() == b"25006" {
                report.set(
                    code::MESSAGE,
                    format!("cannot execute {command} in a read-only transaction"),
                );
            }
        }
        // What the server says of the text is about ours; what it says of the session (cancelled, shut down, out of memory) is true, and so is
        // what it says of the body of a function that is read while the statement is planned.
        OnError::Unserved
            if report.sqlstate().starts_with(b"42")
                && report.get(code::INTERNAL_QUERY).is_none() =>
        {
            return Report::error("0A000", "this statement can't be served over merged rows")
                .detail(format!("Read over merged rows it is rejected: {}.", report.message()))
                .hint("Write it without relying on the table's key or row type, for example by naming each column.");
        }
        OnError::Unserved => report.remove(code::POSITION),
        // Too many rows, or a read-only transaction.
        OnError::Refuse(mut ours) if matches!(report.sqlstate(), b"0A000" | b"25006") => {
            let detail = ours.get(code::DETAIL).unwrap_or_default();
            let why = report.get(code::DETAIL).map_or_else(
                || report.message().into_bytes(),
                |why| [b"It would have to be copied into the preview first. ", why].concat(),
            );
            let detail = [detail, b" ", &why].concat();
            ours.set(code::DETAIL, String::from_utf8_lossy(&detail).into_owned());
            return *ours;
        }
        OnError::Refuse(_) => report.remove(code::POSITION),
        OnError::Replace(ours) => return *ours,
    }
    report
}

/// What was planned met a schema that another session had changed meanwhile, where it can't be planned again unseen.
pub(crate) fn outdated() -> Report {
    Report::error(
        "40001",
        "could not serialize access due to a concurrent change of the schema",
    )
    .hint("Run the transaction again.")
}

/// A refusal as an error.
pub(crate) fn refusal(refusal: &Refusal) -> Report {
    let report = Report::error(refusal.sqlstate, refusal.message.clone());
    if refusal.detail.is_empty() {
        // An error of PostgreSQL's own.
        return report;
    }
    report
        .detail(refusal.detail.clone())
        .hint(refusal.hint.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn context_loses_only_our_lines() {
        let mut report = Report::error("23505", "duplicate key")
            .with(code::WHERE, "SQL statement \"x\"\nPL/pgSQL function previewpg.unique() line 3\nPL/pgSQL function f() line 1")
            .with(code::INTERNAL_QUERY, "SELECT previewpg.permit(1)")
            .with(code::INTERNAL_POSITION, "8");
        scrub(&mut report);
        assert_eq!(
            report.get(code::WHERE),
            Some(&b"SQL statement \"x\"\nPL/pgSQL function f() line 1"[..])
        );
        assert_eq!(report.get(code::INTERNAL_QUERY), None);
        assert_eq!(report.get(code::INTERNAL_POSITION), None);
        let mut only =
            Report::error("23505", "x").with(code::WHERE, "SQL function \"previewpg.f\"");
        scrub(&mut only);
        assert_eq!(only.get(code::WHERE), None);
    }

    #[test]
    fn detail_lists_no_object_of_ours() {
        let cascades = |count: &str, detail: &str| {
            let report = Report::new(
                "NOTICE",
                "00000",
                format!("drop cascades to {count} other objects"),
            )
            .with(code::DETAIL, detail.to_owned());
            notice(report).map(|report| {
                let detail = report
                    .get(code::DETAIL)
                    .map(|detail| detail.escape_ascii().to_string());
                (report.message(), detail)
            })
        };
        let (view, ours) = (
            "drop cascades to view v",
            "drop cascades to view previewpg.m_1",
        );
        assert_eq!(
            cascades("3", &format!("{view}\n{ours}\n{view}2")),
            Some((
                "drop cascades to 2 other objects".to_owned(),
                Some(format!("{view}\\n{view}2"))
            ))
        );
        assert_eq!(
            cascades("2", &format!("{view}\n{ours}")),
            Some((view.to_owned(), None)),
            "a single one is said in the message"
        );
        assert_eq!(cascades("2", &format!("{ours}\n{ours}")), None);
        assert!(notice(Report::new("NOTICE", "00000", ours)).is_none());
        assert!(notice(Report::new("NOTICE", "00000", "hello previewpg")).is_some());
        let debug = |message: &'static str| notice(Report::new("DEBUG", "00000", message));
        assert!(debug("EventTriggerInvoke 16520").is_none());
        assert!(debug("relation \"previewpg_claims.r17444\" does not exist").is_none());
        assert!(debug("hello").is_some());
        let mut error = Report::error(
            "2BP01",
            "cannot drop table t because other objects depend on it",
        )
        .with(
            code::DETAIL,
            "view v depends on table t\nview previewpg.m_1 depends on table t",
        );
        scrub(&mut error);
        assert_eq!(
            error.get(code::DETAIL),
            Some(&b"view v depends on table t"[..])
        );
    }

    #[test]
    fn positions_point_into_the_clients_text() {
        let at = |meaning| {
            in_place(
                Report::error("42703", "no column").with(code::POSITION, "8"),
                meaning,
            )
        };
        assert_eq!(at(OnError::AsIs).get(code::POSITION), Some(&b"8"[..]));
        assert_eq!(at(OnError::Shift(10)).get(code::POSITION), Some(&b"18"[..]));
        assert_eq!(at(OnError::DropPosition).get(code::POSITION), None);
        assert_eq!(at(OnError::Unserved).sqlstate(), b"0A000");
        let cancelled = in_place(Report::error("57014", "canceled"), OnError::Unserved);
        assert_eq!(cancelled.sqlstate(), b"57014", "a cancel is a cancel");
        let body = Report::error("42P01", "no table").with(code::INTERNAL_QUERY, "SELECT 1");
        let of_a_body = in_place(body, OnError::Unserved);
        assert_eq!(of_a_body.sqlstate(), b"42P01", "a function's own text");
    }
}
