//! What a statement is, by its first words; the utilities that aren't about the schema.

use super::expression::Place;
use super::facts::{Copy, Kind, Role, Set, Span, Transaction};
use super::keyword::Keyword;
use super::lexer::TokenKind;
use super::literal::string_value;
use super::reader::{Reader, Result, Unread};
use super::schema;

/// Reads the statement `from .. end`.
pub(super) fn statement(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    if reader.is(from, TokenKind::Open) {
        return query(reader, from, end);
    }
    match reader.keyword(from) {
        Keyword::Select
        | Keyword::Values
        | Keyword::Table
        | Keyword::With
        | Keyword::Insert
        | Keyword::Update
        | Keyword::Delete
        | Keyword::Merge => query(reader, from, end),
        Keyword::Explain => explain(reader, from, end),
        Keyword::Prepare => prepare(reader, from, end),
        Keyword::Execute => execute(reader, from, end),
        Keyword::Deallocate => deallocate(reader, from, end),
        Keyword::Declare => declare(reader, from, end),
        Keyword::Fetch | Keyword::Move | Keyword::Close => Ok(Kind::Cursor),
        Keyword::Copy => copy(reader, from, end),
        Keyword::Create => schema::create(reader, from, end),
        Keyword::Alter => schema::alter(reader, from, end),
        Keyword::Drop => schema::drop(reader, from, end),
        Keyword::Comment | Keyword::Security => schema::comment(reader, from, end),
        Keyword::Grant | Keyword::Revoke => schema::grant(reader, from, end),
        Keyword::Refresh => refresh(reader, from, end),
        Keyword::Do => Ok(Kind::Do),
        Keyword::Call => {
            reader.expressions(from + 1, end, Place::Plain)?;
            Ok(Kind::Call)
        }
        Keyword::Truncate => truncate(reader, from, end),
        Keyword::Lock => lock(reader, from, end),
        Keyword::Vacuum | Keyword::Analyze | Keyword::Analyse => vacuum(reader, from, end),
        Keyword::Cluster => cluster(reader, from, end),
        Keyword::Reindex => reindex(reader, from, end),
        Keyword::Import | Keyword::Reassign => Ok(utility(reader, from, 2)),
        Keyword::Begin
        | Keyword::Start
        | Keyword::Commit
        | Keyword::End
        | Keyword::Rollback
        | Keyword::Abort
        | Keyword::Savepoint
        | Keyword::Release => Ok(Kind::Transaction(transaction(reader, from, end))),
        Keyword::Set | Keyword::Reset => set(reader, from, end),
        Keyword::Show => Ok(Kind::Show),
        Keyword::Discard => Ok(Kind::Discard(reader.name(from + 1).to_ascii_uppercase())),
        Keyword::Listen
        | Keyword::Unlisten
        | Keyword::Notify
        | Keyword::Checkpoint
        | Keyword::Load => Ok(Kind::Session),
        _ => Err(reader.unexpected(from, end, "a statement")),
    }
}

/// A utility whose tag is the first `words` words.
pub(super) fn utility(reader: &Reader<'_>, from: usize, words: usize) -> Kind {
    let words: Vec<&str> = (from..from + words)
        .map(|at| reader.keyword(at).text())
        .filter(|word| !word.is_empty())
        .collect();
    Kind::Utility {
        tag: words.join(" ").to_ascii_uppercase(),
    }
}

fn query(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let query = reader.query_or_write(from, end, false)?;
    Ok(match query.verb {
        Keyword::Insert => Kind::Insert,
        Keyword::Update => Kind::Update,
        Keyword::Delete => Kind::Delete,
        Keyword::Merge => Kind::Merge,
        _ => query
            .into
            .map_or(Kind::Query, |into| Kind::SelectInto { into }),
    })
}

fn explain(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    let mut analyze = false;
    if reader.is(at, TokenKind::Open) && !reader.holds_query(at) {
        let close = reader.mate(at);
        for (start, stop) in reader.commas(at + 1, close) {
            if matches!(reader.keyword(start), Keyword::Analyze | Keyword::Analyse) {
                let value = if start + 1 < stop {
                    value_text(reader, start + 1)
                } else {
                    String::new()
                };
                analyze = !matches!(value.as_str(), "false" | "off" | "0");
            }
        }
        at = close + 1;
    } else {
        if matches!(reader.keyword(at), Keyword::Analyze | Keyword::Analyse) {
            analyze = true;
            at += 1;
        }
        at += usize::from(reader.is_keyword(at, Keyword::Verbose));
    }
    let inner = Box::new(nested(reader, at, end)?);
    Ok(Kind::Explain {
        analyze,
        inner,
        span: reader.span(at, end),
    })
}

/// The word, string or number at `at`, in lower case.
fn value_text(reader: &Reader<'_>, at: usize) -> String {
    let bytes = reader.bytes(at);
    let value = reader
        .kind(at)
        .filter(|_| reader.is_string(at))
        .map_or(bytes.into(), |kind| string_value(bytes, kind));
    String::from_utf8_lossy(&value).to_ascii_lowercase()
}

/// A statement inside of EXPLAIN or PREPARE.
fn nested(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let refused = || {
        Err(Unread(
            "this statement can't be explained or prepared".into(),
        ))
    };
    if matches!(reader.keyword(from), Keyword::Explain | Keyword::Prepare) {
        return refused();
    }
    let kind = statement(reader, from, end)?;
    match kind {
        Kind::Query
        | Kind::SelectInto { .. }
        | Kind::Insert
        | Kind::Update
        | Kind::Delete
        | Kind::Merge
        | Kind::Declare { .. }
        | Kind::CreateTableAs { .. }
        | Kind::CreateView {
            materialized: true, ..
        }
        | Kind::Refresh
        | Kind::Execute { .. } => Ok(kind),
        _ => Err(Unread(
            "this statement can't be explained or prepared".into(),
        )),
    }
}

fn prepare(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    if reader.is_keyword(from + 1, Keyword::Transaction) && reader.is_string(from + 2) {
        return Ok(Kind::Transaction(Transaction::Prepare));
    }
    if !reader.is_column_name(from + 1) {
        return Err(reader.unexpected(from + 1, end, "PREPARE"));
    }
    let name = reader.name(from + 1);
    let mut at = from + 2;
    let mut types = None;
    if reader.is(at, TokenKind::Open) {
        let close = reader.mate(at);
        for (start, stop) in reader.commas(at + 1, close) {
            let next = reader.typed(start, stop)?;
            reader.expect_end(next, stop, "PREPARE")?;
        }
        types = Some(reader.span(at, close + 1));
        at = close + 1;
    }
    at = reader.expect(at, end, Keyword::As, "PREPARE")?;
    let inner = Box::new(nested(reader, at, end)?);
    Ok(Kind::Prepare {
        name,
        types,
        inner,
        span: reader.span(at, end),
    })
}

fn execute(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    if !reader.is_column_name(from + 1) {
        return Err(reader.unexpected(from + 1, end, "EXECUTE"));
    }
    let name = reader.name(from + 1);
    let mut arguments = Vec::new();
    let mut at = from + 2;
    if at < end && reader.is(at, TokenKind::Open) {
        let close = reader.mate(at);
        reader.expressions(at + 1, close, Place::Plain)?;
        arguments = reader
            .commas(at + 1, close)
            .into_iter()
            .map(|(start, stop)| reader.span(start, stop))
            .collect();
        at = close + 1;
    }
    reader.expect_end(at, end, "EXECUTE")?;
    Ok(Kind::Execute { name, arguments })
}

fn deallocate(reader: &Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at =
        from + 1 + usize::from(reader.is_keyword(from + 1, Keyword::Prepare) && from + 2 < end);
    if at + 1 != end || !reader.is_identifier(at) {
        return Err(reader.unexpected(at, end, "DEALLOCATE"));
    }
    Ok(Kind::Deallocate(
        (!reader.is_keyword(at, Keyword::All)).then(|| reader.name(at)),
    ))
}

fn declare(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    if !reader.is_column_name(from + 1) {
        return Err(reader.unexpected(from + 1, end, "DECLARE"));
    }
    let name = reader.name(from + 1);
    let cursor = reader.find(from + 2, end, Keyword::Cursor);
    let at = reader.find(cursor, end, Keyword::For);
    let at = reader.expect(at, end, Keyword::For, "DECLARE")?;
    reader.query(at, end)?;
    let says_scroll = reader.find(from + 2, cursor, Keyword::Scroll) < cursor;
    Ok(Kind::Declare {
        name,
        says_scroll,
        cursor: reader.span(cursor, cursor + 1),
        span: reader.span(at, end),
    })
}

fn copy(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    let mut columns = None;
    let query;
    let source;
    let mut binary = false;
    if reader.is(at, TokenKind::Open) {
        let close = reader.mate(at);
        reader.query_or_write(at + 1, close, false)?;
        query = Some(reader.span(at + 1, close));
        source = reader.span(at, close + 1);
        at = close + 1;
    } else {
        query = None;
        let start = at;
        binary = reader.is_keyword(at, Keyword::Binary);
        at += usize::from(binary);
        let named = reader.relation_name(at, end, "COPY")?;
        reader.relation(&named, Role::Copy);
        at = named.end;
        if reader.is(at, TokenKind::Open) {
            let close = reader.mate(at);
            let mut names = Vec::new();
            for (start, stop) in reader.commas(at + 1, close) {
                if stop != start + 1 || !reader.is_column_name(start) {
                    return Err(reader.unexpected(start, stop, "COPY"));
                }
                names.push(reader.name(start));
            }
            columns = Some((reader.span(at, close + 1), names));
            at = close + 1;
        }
        source = reader.span(start, at);
    }
    let direction = reader.keyword(at);
    if !matches!(direction, Keyword::From | Keyword::To) {
        return Err(reader.unexpected(at, end, "COPY"));
    }
    at += 1;
    let program = reader.is_keyword(at, Keyword::Program);
    let client = matches!(reader.keyword(at), Keyword::Stdin | Keyword::Stdout);
    at += usize::from(program);
    if at >= end || !(client || reader.is_string(at)) {
        return Err(reader.unexpected(at, end, "COPY"));
    }
    let condition = reader.find(at, end, Keyword::Where);
    if condition < end {
        reader.expressions(condition + 1, end, Place::Plain)?;
    }
    Ok(Kind::Copy(Copy {
        from: direction == Keyword::From,
        query,
        columns,
        source,
        client,
        as_query: copy_as_query(reader, binary, at + 1, end),
    }))
}

/// What stands behind the file of `COPY table TO`, where `COPY (query) TO` has other words for it: it knows neither BINARY in front of the table nor DELIMITERS.
fn copy_as_query(
    reader: &Reader<'_>,
    binary: bool,
    from: usize,
    end: usize,
) -> Vec<(Span, &'static str)> {
    let using = usize::from(reader.is_keyword(from, Keyword::Using));
    let delimiters = from < end && reader.is_keyword(from + using, Keyword::Delimiters);
    let options = from + if delimiters { using + 2 } else { 0 };
    let open = options + usize::from(reader.is_keyword(options, Keyword::With));
    let listed = open < end && reader.is(open, TokenKind::Open);
    let mut edits = Vec::new();
    if delimiters {
        let (first, alone) = if binary {
            ("(FORMAT binary, DELIMITER", "BINARY DELIMITER")
        } else {
            ("(DELIMITER", "DELIMITER")
        };
        let word = reader.span(from, from + using + 1);
        edits.push((word, if listed { first } else { alone }));
        edits.push((
            reader.span(options, open + usize::from(listed)),
            if listed { ", " } else { " " },
        ));
    } else if binary {
        edits.push((
            reader.span(from, open + usize::from(listed)),
            if listed {
                "(FORMAT binary, "
            } else {
                " BINARY "
            },
        ));
    }
    edits
}

fn refresh(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = reader.expect(from + 1, end, Keyword::Materialized, "REFRESH")?;
    let at = reader.expect(at, end, Keyword::View, "REFRESH")?;
    let at = at + usize::from(reader.is_keyword(at, Keyword::Concurrently));
    schema::object(reader, at, end)?;
    Ok(Kind::Refresh)
}

fn truncate(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = from + 1 + usize::from(reader.is_keyword(from + 1, Keyword::Table));
    let mut at = schema::objects(reader, at, end)?;
    if matches!(reader.keyword(at), Keyword::Restart | Keyword::Continue) {
        at = reader.expect(at + 1, end, Keyword::Identity, "TRUNCATE")?;
    }
    at += usize::from(matches!(
        reader.keyword(at),
        Keyword::Cascade | Keyword::Restrict
    ));
    reader.expect_end(at, end, "TRUNCATE")?;
    Ok(Kind::Truncate)
}

fn lock(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = from + 1 + usize::from(reader.is_keyword(from + 1, Keyword::Table));
    let at = schema::objects(reader, at, end)?;
    if at < end && !matches!(reader.keyword(at), Keyword::In | Keyword::Nowait) {
        return Err(reader.unexpected(at, end, "LOCK"));
    }
    Ok(Kind::Lock)
}

fn vacuum(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let kind = Kind::Utility {
        tag: reader
            .keyword(from)
            .text()
            .replace("analyse", "analyze")
            .to_ascii_uppercase(),
    };
    let mut at = from + 1;
    if reader.is(at, TokenKind::Open) {
        at = reader.mate(at) + 1;
    }
    while matches!(
        reader.keyword(at),
        Keyword::Full | Keyword::Freeze | Keyword::Verbose | Keyword::Analyze | Keyword::Analyse
    ) {
        at += 1;
    }
    while at < end {
        at = schema::object(reader, at, end)?;
        if at < end && reader.is(at, TokenKind::Open) {
            at = reader.mate(at) + 1;
        }
        if at < end && !reader.is(at, TokenKind::Comma) {
            return Err(reader.unexpected(at, end, "VACUUM"));
        }
        at += 1;
    }
    Ok(kind)
}

fn cluster(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    if reader.is(at, TokenKind::Open) {
        at = reader.mate(at) + 1;
    }
    at += usize::from(reader.is_keyword(at, Keyword::Verbose));
    if at < end {
        let on = reader.find(at, end, Keyword::On);
        schema::object(reader, if on < end { on + 1 } else { at }, end)?;
    }
    Ok(utility(reader, from, 1))
}

fn reindex(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    if reader.is(at, TokenKind::Open) {
        at = reader.mate(at) + 1;
    }
    let relation = matches!(reader.keyword(at), Keyword::Table | Keyword::Index);
    at += 1;
    at += usize::from(reader.is_keyword(at, Keyword::Concurrently));
    if relation {
        schema::object(reader, at, end)?;
    }
    Ok(utility(reader, from, 1))
}

fn transaction(reader: &Reader<'_>, from: usize, end: usize) -> Transaction {
    let last = |keyword: Keyword| reader.find(from + 1, end, keyword) < end;
    match reader.keyword(from) {
        Keyword::Begin | Keyword::Start => {
            let level = reader.find(from, end, Keyword::Isolation) + 2;
            let words = match reader.keyword(level) {
                Keyword::Serializable => 1,
                Keyword::Read | Keyword::Repeatable => 2,
                _ => 0,
            };
            let text: Vec<&str> = (level..level + words)
                .map(|at| reader.keyword(at).text())
                .collect();
            Transaction::Begin {
                isolation: (words > 0).then(|| text.join(" ").to_ascii_uppercase()),
            }
        }
        Keyword::Savepoint => Transaction::Savepoint,
        Keyword::Release => Transaction::Release,
        Keyword::Commit | Keyword::Rollback if reader.is_keyword(from + 1, Keyword::Prepared) => {
            Transaction::FinishPrepared
        }
        Keyword::Commit | Keyword::End => Transaction::Commit,
        _ if last(Keyword::To) => Transaction::RollbackTo,
        _ => Transaction::Rollback,
    }
}

fn set(reader: &Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    let named = |name: &str, local: bool| {
        Ok(Kind::Set(Set {
            name: name.to_owned(),
            local,
        }))
    };
    if reader.are(at, &[Keyword::Session, Keyword::Characteristics]) {
        return named("transaction", false);
    }
    if reader.are(at, &[Keyword::Session, Keyword::Authorization]) {
        return named("session_authorization", false);
    }
    let local = reader.is_keyword(at, Keyword::Local);
    if matches!(reader.keyword(at), Keyword::Local | Keyword::Session)
        && reader.is_identifier(at + 1)
        && !reader.is_keyword(at + 1, Keyword::To)
    {
        at += 1;
    }
    if at >= end || !reader.is_identifier(at) {
        return Err(reader.unexpected(at, end, "SET"));
    }
    // `SET role = x` is the same as `SET ROLE x`; `SET time = x` sets something called time.
    let value = at + 1 < end
        && !reader.is(at + 1, TokenKind::Dot)
        && !reader.is_operator(at + 1, b"=")
        && !reader.is_keyword(at + 1, Keyword::To);
    match reader.keyword(at) {
        Keyword::Time if reader.is_keyword(at + 1, Keyword::Zone) => named("timezone", local),
        Keyword::Session if reader.is_keyword(at + 1, Keyword::Authorization) => {
            named("session_authorization", local)
        }
        Keyword::Transaction if reader.is_keyword(from, Keyword::Reset) => {
            named("transaction_isolation", local)
        }
        Keyword::Transaction if value => named("transaction", local),
        Keyword::Constraints if value => named("constraints", local),
        Keyword::Schema if value => named("search_path", local),
        Keyword::Names if value || at + 1 == end => named("client_encoding", local),
        Keyword::Xml if value => named("xmloption", local),
        _ => {
            let stop = reader.chain(at, end);
            let name: Vec<String> = (at..stop)
                .step_by(2)
                .map(|part| reader.name(part))
                .collect();
            named(&name.join(".").to_ascii_lowercase(), local)
        }
    }
}
