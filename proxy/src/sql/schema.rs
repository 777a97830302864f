//! Statements about the schema: CREATE, ALTER, DROP, COMMENT, GRANT.

use super::expression::{Place, is_keyword_function};
use super::facts::{AlterTable, Kind, Role};
use super::keyword::{Category, Keyword};
use super::lexer::TokenKind;
use super::reader::{Reader, Result, Unread};
use super::utility::{self, utility};

/// Notes the relation named at `at` as a utility's object; where it ends.
pub(super) fn object(reader: &mut Reader<'_>, at: usize, end: usize) -> Result<usize> {
    let named = reader.relation_name(at, end, "a statement")?;
    reader.relation(&named, Role::Object);
    Ok(named.end)
}

/// Notes the relations named at `at`, with commas between; where they end.
pub(super) fn objects(reader: &mut Reader<'_>, at: usize, end: usize) -> Result<usize> {
    let mut at = object(reader, at, end)?;
    while at < end && reader.is(at, TokenKind::Comma) {
        at = object(reader, at + 1, end)?;
    }
    Ok(at)
}

fn made(reader: &mut Reader<'_>, at: usize, end: usize) -> Result<usize> {
    let named = reader.relation_name(at, end, "CREATE")?;
    reader.relation(&named, Role::New);
    Ok(named.end)
}

fn if_not_exists(reader: &Reader<'_>, at: usize) -> usize {
    if reader.are(at, &[Keyword::If, Keyword::Not, Keyword::Exists]) {
        at + 3
    } else {
        at
    }
}

fn if_exists(reader: &Reader<'_>, at: usize) -> usize {
    if reader.are(at, &[Keyword::If, Keyword::Exists]) {
        at + 2
    } else {
        at
    }
}

fn tagged(tag: &str) -> Kind {
    Kind::Utility {
        tag: tag.to_owned(),
    }
}

/// Reads `CREATE ..`.
pub(super) fn create(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let mut at = from + 1;
    if reader.are(at, &[Keyword::Or, Keyword::Replace]) {
        at += 2;
    }
    while matches!(
        reader.keyword(at),
        Keyword::Temp | Keyword::Temporary | Keyword::Unlogged | Keyword::Local | Keyword::Global
    ) {
        at += 1;
    }
    match reader.keyword(at) {
        Keyword::Table => create_table(reader, at + 1, end),
        Keyword::View => create_view(reader, at + 1, end, false),
        Keyword::Recursive => {
            let at = reader.expect(at + 1, end, Keyword::View, "CREATE")?;
            create_view(reader, at, end, true)
        }
        Keyword::Materialized => {
            let at = reader.expect(at + 1, end, Keyword::View, "CREATE")?;
            let at = made(reader, if_not_exists(reader, at), end)?;
            let query = reader.find(at, end, Keyword::As);
            let query = reader.expect(query, end, Keyword::As, "CREATE MATERIALIZED VIEW")?;
            reader.query(query, without_data(reader, end))?;
            let filled = !reader.are(end.saturating_sub(2), &[Keyword::No, Keyword::Data]);
            Ok(Kind::CreateView {
                materialized: true,
                filled,
            })
        }
        Keyword::Unique => {
            let at = reader.expect(at + 1, end, Keyword::Index, "CREATE")?;
            create_index(reader, at, end)
        }
        Keyword::Index => create_index(reader, at + 1, end),
        Keyword::Constraint | Keyword::Trigger => create_trigger(reader, at, end),
        Keyword::Policy => create_policy(reader, at, end),
        Keyword::Rule => Err(Unread("CREATE RULE".into())),
        Keyword::Schema => {
            let element = |keyword: Keyword| reader.find(at, end, keyword) < end;
            if element(Keyword::Create) || element(Keyword::Grant) {
                return Err(Unread("CREATE SCHEMA with elements".into()));
            }
            Ok(tagged("CREATE SCHEMA"))
        }
        Keyword::Function | Keyword::Procedure => Ok(Kind::CreateRoutine),
        Keyword::Foreign if reader.is_keyword(at + 1, Keyword::Table) => {
            let at = made(reader, if_not_exists(reader, at + 2), end)?;
            definition(reader, at, end)?;
            Ok(tagged("CREATE FOREIGN TABLE"))
        }
        Keyword::Sequence => {
            let at = made(reader, if_not_exists(reader, at + 1), end)?;
            owned_by(reader, at, end)?;
            Ok(tagged("CREATE SEQUENCE"))
        }
        Keyword::Statistics => {
            let table = reader.find(at, end, Keyword::From);
            objects(reader, table + 1, end)?;
            Ok(tagged("CREATE STATISTICS"))
        }
        Keyword::Publication => {
            publication(reader, at, end)?;
            Ok(tagged("CREATE PUBLICATION"))
        }
        Keyword::Text => Ok(tagged("CREATE TEXT SEARCH")),
        Keyword::Access => Ok(tagged("CREATE ACCESS METHOD")),
        Keyword::Event => Ok(tagged("CREATE EVENT TRIGGER")),
        Keyword::Aggregate
        | Keyword::Cast
        | Keyword::Collation
        | Keyword::Conversion
        | Keyword::Database
        | Keyword::Default
        | Keyword::Domain
        | Keyword::Extension
        | Keyword::Foreign
        | Keyword::Group
        | Keyword::Language
        | Keyword::Operator
        | Keyword::Procedural
        | Keyword::Role
        | Keyword::Server
        | Keyword::Subscription
        | Keyword::Tablespace
        | Keyword::Transform
        | Keyword::Trusted
        | Keyword::Type
        | Keyword::User => Ok(tagged(&format!(
            "CREATE {}",
            reader.keyword(at).text().to_ascii_uppercase()
        ))),
        _ => Err(reader.unexpected(at, end, "CREATE")),
    }
}

/// The end without `WITH [NO] DATA`.
fn without_data(reader: &Reader<'_>, end: usize) -> usize {
    if end > 3 && reader.are(end - 3, &[Keyword::With, Keyword::No, Keyword::Data]) {
        end - 3
    } else if end > 2 && reader.are(end - 2, &[Keyword::With, Keyword::Data]) {
        end - 2
    } else {
        end
    }
}

fn create_table(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = made(reader, if_not_exists(reader, from), end)?;
    let query = reader.find(at, end, Keyword::As);
    if query >= end {
        definition(reader, at, end)?;
        return Ok(tagged("CREATE TABLE"));
    }
    let end = without_data(reader, end);
    let execute = if reader.is_keyword(query + 1, Keyword::Execute) {
        match utility::statement(reader, query + 1, end)? {
            Kind::Execute { name, .. } => Some(name),
            _ => None,
        }
    } else {
        reader.query(query + 1, end)?;
        None
    };
    Ok(Kind::CreateTableAs { execute })
}

/// Notes the tables that a table's definition names: REFERENCES, LIKE, INHERITS, PARTITION OF.
fn definition(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<()> {
    let mut at = from;
    if reader.are(at, &[Keyword::Partition, Keyword::Of]) {
        at = object(reader, at + 2, end)?;
    }
    let mut depth = 0_usize;
    while at < end {
        let opens_element = at > from
            && (reader.is(at - 1, TokenKind::Open) || reader.is(at - 1, TokenKind::Comma));
        match (reader.kind(at), reader.keyword(at)) {
            (Some(TokenKind::Open), _) => depth += 1,
            (Some(TokenKind::Close), _) => depth = depth.saturating_sub(1),
            (_, Keyword::References) => {
                object(reader, at + 1, end)?;
            }
            (_, Keyword::Like) if depth == 1 && opens_element => {
                object(reader, at + 1, end)?;
            }
            (_, Keyword::Inherits) if depth == 0 && reader.is(at + 1, TokenKind::Open) => {
                let close = reader.mate(at + 1);
                if close > at + 2 {
                    let next = objects(reader, at + 2, close)?;
                    reader.expect_end(next, close, "INHERITS")?;
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn create_view(reader: &mut Reader<'_>, from: usize, end: usize, recursive: bool) -> Result<Kind> {
    let at = made(reader, from, end)?;
    let query = reader.find(at, end, Keyword::As);
    let query = reader.expect(query, end, Keyword::As, "CREATE VIEW")?;
    let mut end = end;
    if end > 3 && reader.are(end - 2, &[Keyword::Check, Keyword::Option]) {
        end -= 2;
        end -= usize::from(matches!(
            reader.keyword(end - 1),
            Keyword::Cascaded | Keyword::Local
        ));
        end -= usize::from(reader.is_keyword(end - 1, Keyword::With));
    }
    if recursive && let Some(view) = reader.out.relations.last() {
        let name = view.name.name.clone();
        reader.ctes.push(name);
    }
    reader.query(query, end)?;
    Ok(Kind::CreateView {
        materialized: false,
        filled: false,
    })
}

fn create_index(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let on = reader.find(from, end, Keyword::On);
    let on = reader.expect(on, end, Keyword::On, "CREATE INDEX")?;
    object(reader, on, end)?;
    Ok(tagged("CREATE INDEX"))
}

fn create_trigger(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let on = reader.find(from, end, Keyword::On);
    let on = reader.expect(on, end, Keyword::On, "CREATE TRIGGER")?;
    let at = object(reader, on, end)?;
    if reader.is_keyword(at, Keyword::From) {
        object(reader, at + 1, end)?;
    }
    Ok(tagged("CREATE TRIGGER"))
}

fn create_policy(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let on = reader.find(from, end, Keyword::On);
    let on = reader.expect(on, end, Keyword::On, "CREATE POLICY")?;
    let at = object(reader, on, end)?;
    policy_conditions(reader, at, end)?;
    Ok(tagged("CREATE POLICY"))
}

/// A policy's conditions may read other tables.
fn policy_conditions(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<()> {
    let mut at = from;
    while at < end {
        if matches!(reader.keyword(at), Keyword::Using | Keyword::Check)
            && reader.is(at + 1, TokenKind::Open)
        {
            let close = reader.mate(at + 1);
            reader.expressions(at + 2, close, Place::Plain)?;
            at = close;
        }
        at += 1;
    }
    Ok(())
}

/// `OWNED BY table.column`
fn owned_by(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<()> {
    let owned = reader.find(from, end, Keyword::Owned);
    if owned < end && reader.is_keyword(owned + 1, Keyword::By) {
        column_of(reader, owned + 2, end)?;
    }
    Ok(())
}

/// Notes the table of the column `table.column` at `at`.
fn column_of(reader: &mut Reader<'_>, at: usize, end: usize) -> Result<()> {
    let stop = reader.chain(at, end);
    if reader.is_column_name(at) && stop >= at + 3 {
        object(reader, at, stop - 2)?;
    }
    Ok(())
}

/// `FOR TABLE a, b (..) WHERE (..)`; other forms name no table.
fn publication(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<()> {
    let table = reader.find(from, end, Keyword::Table);
    if table >= end {
        return Ok(());
    }
    let mut at = table + 1;
    loop {
        at += usize::from(reader.is_keyword(at, Keyword::Table));
        if reader.is_keyword(at, Keyword::Tables) {
            return Ok(());
        }
        at = object(reader, at, end)?;
        while at < end && !reader.is(at, TokenKind::Comma) {
            at = if reader.is(at, TokenKind::Open) {
                reader.mate(at) + 1
            } else {
                at + 1
            };
        }
        if at >= end {
            return Ok(());
        }
        at += 1;
    }
}

/// Reads `ALTER ..`.
pub(super) fn alter(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = from + 1;
    match (reader.keyword(at), reader.keyword(at + 1)) {
        (Keyword::Table, Keyword::All) => Ok(tagged("ALTER TABLE")),
        (Keyword::Table, _) => alter_table(reader, at + 1, end),
        (Keyword::Foreign, Keyword::Table) => {
            let at = object(reader, if_exists(reader, at + 2), end)?;
            actions(reader, at, end)?;
            Ok(tagged("ALTER FOREIGN TABLE"))
        }
        (Keyword::Materialized, Keyword::View) => {
            if !reader.is_keyword(at + 2, Keyword::All) {
                let at = object(reader, if_exists(reader, at + 2), end)?;
                renamed(reader, at, end)?;
            }
            Ok(tagged("ALTER MATERIALIZED VIEW"))
        }
        (Keyword::View | Keyword::Index | Keyword::Sequence, next) => {
            let tag = format!("ALTER {}", reader.keyword(at).text().to_ascii_uppercase());
            if next != Keyword::All {
                let at = object(reader, if_exists(reader, at + 1), end)?;
                renamed(reader, at, end)?;
                owned_by(reader, at, end)?;
            }
            Ok(Kind::Utility { tag })
        }
        (Keyword::Policy | Keyword::Trigger | Keyword::Rule, _) => {
            let on = reader.find(at, end, Keyword::On);
            let on = reader.expect(on, end, Keyword::On, "ALTER")?;
            let next = object(reader, on, end)?;
            policy_conditions(reader, next, end)?;
            Ok(utility(reader, from, 2))
        }
        (Keyword::Publication, _) => {
            publication(reader, at, end)?;
            Ok(tagged("ALTER PUBLICATION"))
        }
        (Keyword::Other, _) => Err(reader.unexpected(at, end, "ALTER")),
        _ => Ok(utility(reader, from, 2)),
    }
}

/// `RENAME TO new`
fn renamed(reader: &mut Reader<'_>, at: usize, end: usize) -> Result<()> {
    if reader.are(at, &[Keyword::Rename, Keyword::To]) {
        made(reader, at + 2, end)?;
    }
    Ok(())
}

fn alter_table(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = object(reader, if_exists(reader, from), end)?;
    actions(reader, at, end).map(Kind::AlterTable)
}

fn actions(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<AlterTable> {
    let mut found = AlterTable::default();
    renamed(reader, from, end)?;
    definition(reader, from, end)?;
    for (start, stop) in reader.commas(from, end) {
        let next = reader.keyword(start + 1);
        match reader.keyword(start) {
            Keyword::Alter => {
                let column = start + 1 + usize::from(next == Keyword::Column);
                let at = column
                    + 1
                    + if reader.are(column + 1, &[Keyword::Set, Keyword::Data]) {
                        2
                    } else {
                        0
                    };
                if reader.is_keyword(at, Keyword::Type) {
                    found.retype = true;
                    found.using |= reader.find(at, stop, Keyword::Using) < stop;
                }
            }
            Keyword::Add => found.computed_default |= adds_computed(reader, start + 1, stop),
            Keyword::Inherit => {
                found.inheritance = true;
                object(reader, start + 1, stop)?;
            }
            Keyword::No if next == Keyword::Inherit => {
                found.inheritance = true;
                object(reader, start + 2, stop)?;
            }
            Keyword::Attach | Keyword::Detach if next == Keyword::Partition => {
                found.inheritance = true;
                object(reader, start + 2, stop)?;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// `ADD [COLUMN] ..` with a value that isn't the same constant for every row.
fn adds_computed(reader: &Reader<'_>, from: usize, end: usize) -> bool {
    let constraint = matches!(
        reader.keyword(from),
        Keyword::Constraint
            | Keyword::Check
            | Keyword::Unique
            | Keyword::Primary
            | Keyword::Foreign
            | Keyword::Exclude
    );
    let mut at = from + usize::from(reader.is_keyword(from, Keyword::Column));
    if constraint {
        return false;
    }
    at = if_not_exists(reader, at);
    let serial = matches!(
        reader.name(at + 1).as_str(),
        "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8"
    );
    if serial || reader.find(at + 1, end, Keyword::Generated) < end {
        return true;
    }
    let default = reader.find(at + 1, end, Keyword::Default);
    (default + 1..end).any(|at| {
        let keyword = reader.keyword(at);
        let call = reader.is_identifier(at)
            && reader.is(at + 1, TokenKind::Open)
            && keyword.category() != Category::Reserved;
        call || is_keyword_function(keyword)
    })
}

/// Reads `DROP ..`.
pub(super) fn drop(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let at = from + 1;
    let (words, relations) = match (reader.keyword(at), reader.keyword(at + 1)) {
        (Keyword::Table | Keyword::View | Keyword::Sequence | Keyword::Index, _) => (1, true),
        (Keyword::Materialized, Keyword::View) | (Keyword::Foreign, Keyword::Table) => (2, true),
        (Keyword::Trigger | Keyword::Policy | Keyword::Rule, _) => {
            let on = reader.find(at, end, Keyword::On);
            let on = reader.expect(on, end, Keyword::On, "DROP")?;
            object(reader, on, end)?;
            (1, false)
        }
        (Keyword::Other, _) => return Err(reader.unexpected(at, end, "DROP")),
        _ => (1, false),
    };
    if relations {
        let mut next = at + words;
        next += usize::from(reader.is_keyword(next, Keyword::Concurrently));
        next = objects(reader, if_exists(reader, next), end)?;
        next += usize::from(matches!(
            reader.keyword(next),
            Keyword::Cascade | Keyword::Restrict
        ));
        reader.expect_end(next, end, "DROP")?;
    }
    Ok(utility(reader, from, 1 + words))
}

/// Reads `COMMENT ON ..` and `SECURITY LABEL ON ..`.
pub(super) fn comment(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let tag = if reader.is_keyword(from, Keyword::Comment) {
        "COMMENT"
    } else {
        "SECURITY LABEL"
    };
    let on = reader.find(from, end, Keyword::On);
    let at = reader.expect(on, end, Keyword::On, tag)?;
    match (reader.keyword(at), reader.keyword(at + 1)) {
        (Keyword::Table | Keyword::View | Keyword::Sequence | Keyword::Index, _) => {
            object(reader, at + 1, end)?;
        }
        (Keyword::Materialized, Keyword::View) | (Keyword::Foreign, Keyword::Table) => {
            object(reader, at + 2, end)?;
        }
        (Keyword::Column, _) => column_of(reader, at + 1, end)?,
        (Keyword::Constraint | Keyword::Trigger | Keyword::Policy | Keyword::Rule, _) => {
            let on = reader.find(at, end, Keyword::On);
            let on = reader.expect(on, end, Keyword::On, tag)?;
            if !reader.is_keyword(on, Keyword::Domain) {
                object(reader, on, end)?;
            }
        }
        _ => {}
    }
    Ok(tagged(tag))
}

/// Reads `GRANT ..` and `REVOKE ..`.
pub(super) fn grant(reader: &mut Reader<'_>, from: usize, end: usize) -> Result<Kind> {
    let kind = utility(reader, from, 1);
    let on = reader.find(from, end, Keyword::On);
    if on >= end {
        return Ok(kind);
    }
    let at = on + 1;
    let other = matches!(
        reader.keyword(at),
        Keyword::All
            | Keyword::Database
            | Keyword::Domain
            | Keyword::Foreign
            | Keyword::Function
            | Keyword::Language
            | Keyword::Large
            | Keyword::Parameter
            | Keyword::Procedure
            | Keyword::Routine
            | Keyword::Schema
            | Keyword::Tablespace
            | Keyword::Type
    ) && (reader.is_identifier(at + 1)
        && !matches!(reader.keyword(at + 1), Keyword::To | Keyword::From));
    if !other {
        let typed = matches!(reader.keyword(at), Keyword::Table | Keyword::Sequence)
            && reader.is_identifier(at + 1);
        let typed = typed && !matches!(reader.keyword(at + 1), Keyword::To | Keyword::From);
        let next = objects(reader, at + usize::from(typed), end)?;
        if !matches!(reader.keyword(next), Keyword::To | Keyword::From) {
            return Err(reader.unexpected(next, end, "GRANT"));
        }
    }
    Ok(kind)
}
