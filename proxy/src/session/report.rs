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

/// Takes our own things out of an error's or notice's context.
pub(crate) fn scrub(report: &mut Report) {
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
        // What the server says of the text is about ours; what it says of the session (cancelled, shut down, out of memory) is true.
        OnError::Unserved if report.sqlstate().starts_with(b"42") => {
            return Report::error("0A000", "this statement can't be served over merged rows")
                .detail(format!("Read over merged rows it is rejected: {}.", report.message()))
                .hint("Write it without relying on the table's key or row type, for example by naming each column.");
        }
        OnError::Unserved => report.remove(code::POSITION),
        OnError::Replace(ours) => return *ours,
    }
    report
}

/// A refusal as an error.
pub(crate) fn refusal(refusal: &Refusal) -> Report {
    Report::error("0A000", refusal.message.clone())
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
    }
}
