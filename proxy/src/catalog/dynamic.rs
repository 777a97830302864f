//! SQL that a body makes at run time: what plpgsql's `EXECUTE` may run, told from the expression that it is given.
//!
//! **The rule.** An expression is *harmless* if all that it can become is known but for values and names:
//!
//! - string constants, joined by `||`;
//! - values: `quote_literal(..)`, `quote_nullable(..)`, `%L` of `format`, what is cast to an integer type; and all of `USING`, which is no text;
//! - names: `quote_ident(..)`, `%I` of `format`, what is cast to `regclass`;
//! - `%s` of `format` where its argument is one of these; `format` and parentheses nest.
//!
//! Everything else (a variable, a function's result, a plain `|| x`, a bare `%s`) may be any piece of SQL, a subquery say, and makes the body opaque.
//! What is left is a text with holes. It is read like a client's statement, and a hole must stand where a name can't make it read anything: not as a table that is read,
//! not as a function, not inside of a string, not in code that the statement would run or store (`DO`, `CREATE FUNCTION .. AS`). A table that is only known at run time
//! and written to may fire whatever trigger there is ([`Made::fires_any`]), and a field `x.hole` may call whatever function there is ([`Made::calls_any`]).
//! What can't be read is opaque.

use crate::sql::facts::{self, Kind, Role, Statement};
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{self, Token, TokenKind};
use crate::sql::literal;

/// Stands for a name in a text with holes.
const NAME: &str = "previewpg_name_hole";
/// Stands for a value, in its quotes.
const VALUE: &str = "'previewpg value hole'";
/// Code within code within code: deeper, nothing is looked at.
const DEEPEST: usize = 8;

/// What a body's `EXECUTE`s may run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// It may be anything.
    pub(super) opaque: bool,
    /// It writes to a table, or makes a value of a type, that is known only at run time.
    pub(super) fires_any: bool,
    /// It has a field that is known only at run time, and that may be a function.
    pub(super) calls_any: bool,
    /// The statements' texts, with holes.
    pub(super) texts: Vec<String>,
}

/// Looks at a body of a language that has `EXECUTE`. `redefined`: whether a user's function has this name.
pub(super) fn of(body: &str, redefined: &dyn Fn(&str) -> bool) -> Made {
    let mut made = Made::default();
    gather(body, redefined, 0, &mut made);
    made
}

fn gather(body: &str, redefined: &dyn Fn(&str) -> bool, depth: usize, made: &mut Made) {
    let tokens = lexer::lex(body.as_bytes(), true);
    let source = Source {
        body,
        tokens: &tokens,
        redefined,
    };
    let mut executes = false;
    for at in 0..tokens.len() {
        if !source.is(at, Keyword::Execute) || source.grants_or_names_a_trigger(at) {
            continue;
        }
        executes = true;
        let end = source.command_end(at + 1);
        match source
            .joined(at + 1, end)
            .and_then(|pieces| template(&pieces))
        {
            Some(template) => judge(template, redefined, depth, made),
            None => made.opaque = true,
        }
    }
    // Where strings may not conform to the standard, or end nowhere, who knows what is code.
    let unsure = |token: &Token| match token.kind {
        TokenKind::Unterminated | TokenKind::Bad => true,
        TokenKind::String => source.text(token).contains("\\'"),
        _ => false,
    };
    made.opaque |= tokens.iter().any(unsure) && (executes || mentions_execute(body));
}

fn mentions_execute(body: &str) -> bool {
    body.to_ascii_lowercase().contains("execute")
}

/// A part of what is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name,
    Value,
}

/// A text with holes, and how many.
struct Template {
    text: String,
    names: usize,
    values: usize,
}

/// Joins the pieces, unless a hole touches something that it could change the meaning of.
fn template(pieces: &[Piece]) -> Option<Template> {
    let mut template = Template {
        text: String::new(),
        names: 0,
        values: 0,
    };
    let mut hole: Option<&Piece> = None;
    for piece in pieces {
        let before = template.text.chars().next_back();
        match piece {
            Piece::Text(text) => {
                let next = text.chars().next();
                let joins = match hole {
                    Some(Piece::Name) => next.is_some_and(touches_a_name),
                    Some(_) => next.is_some_and(touches_a_value),
                    None => false,
                };
                if joins {
                    return None;
                }
                template.text.push_str(text);
                if !text.is_empty() {
                    hole = None;
                }
                continue;
            }
            Piece::Name => {
                if hole.is_some() || before.is_some_and(touches_a_name) {
                    return None;
                }
                template.text.push_str(NAME);
                template.names += 1;
            }
            Piece::Value => {
                if hole.is_some() || before.is_some_and(touches_a_value) {
                    return None;
                }
                template.text.push_str(VALUE);
                template.values += 1;
            }
        }
        hole = Some(piece);
    }
    // A hole inside of a string or a comment is none: what stands there could end it.
    let tokens = lexer::lex(template.text.as_bytes(), true);
    let text = |token: &Token| template.text.get(token.span()).unwrap_or_default();
    let names: usize = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Word)
        .map(|token| text(token).matches(NAME).count())
        .sum();
    let values = tokens.iter().filter(|token| text(token) == VALUE).count();
    (names == template.names && values == template.values).then_some(template)
}

/// `log_` before a name makes another name of it, at worst; a letter could make a key word.
fn touches_a_name(character: char) -> bool {
    (character.is_alphanumeric() && !character.is_ascii_digit())
        || matches!(character, '"' | '\'' | '$' | '&' | '\\')
        || !character.is_ascii()
}

fn touches_a_value(character: char) -> bool {
    touches_a_name(character) || character.is_ascii_digit() || character == '_'
}

fn judge(template: Template, redefined: &dyn Fn(&str) -> bool, depth: usize, made: &mut Made) {
    let script = facts::read(&template.text, true);
    for statement in &script.statements {
        let holes = statement.words.iter().any(|word| word.contains(NAME))
            || template
                .text
                .get(statement.span.clone())
                .is_some_and(|text| text.contains(VALUE));
        let stores_code = matches!(statement.kind, Kind::Do | Kind::CreateRoutine);
        if stores_code && (holes || depth >= DEEPEST) {
            made.opaque = true;
        } else if stores_code {
            let text = template.text.get(statement.span.clone());
            for code in strings(text.unwrap_or_default()) {
                gather(&code, redefined, depth + 1, made);
            }
        } else {
            judge_statement(statement, made);
        }
    }
    made.texts.push(template.text);
}

fn judge_statement(statement: &Statement, made: &mut Made) {
    let hole = |name: &str| name.contains(NAME);
    made.opaque |= matches!(statement.kind, Kind::Unreadable { .. })
        || statement.loose.iter().any(|name| hole(name));
    for relation in &statement.relations {
        let schema = relation.name.schema.as_deref();
        if !hole(&relation.name.name) && !schema.is_some_and(hole) {
            continue;
        }
        match relation.role {
            Role::Read | Role::Table | Role::Copy => made.opaque = true,
            Role::Object if statement.kind == Kind::Refresh => made.opaque = true,
            Role::Target(_) => made.fires_any = true,
            Role::Object => {
                made.fires_any |= matches!(statement.kind, Kind::AlterTable(_) | Kind::Truncate);
            }
            Role::New => {}
        }
    }
    for function in &statement.functions {
        made.opaque |=
            hole(&function.name.name) || function.name.schema.as_deref().is_some_and(hole);
    }
    made.fires_any |= statement.types.iter().any(|name| hole(&name.name));
    made.calls_any |= statement
        .columns
        .iter()
        .any(|column| column.parts.len() > 1 && column.parts.last().is_some_and(|part| hole(part)));
}

/// The string constants of a text.
fn strings(text: &str) -> Vec<String> {
    lexer::lex(text.as_bytes(), true)
        .iter()
        .filter(|token| token.is_string())
        .map(|token| value(text, token))
        .collect()
}

fn value(text: &str, token: &Token) -> String {
    let bytes = text.as_bytes().get(token.span()).unwrap_or_default();
    String::from_utf8_lossy(&literal::string_value(bytes, token.kind)).into_owned()
}

/// A body, and its tokens.
struct Source<'a> {
    body: &'a str,
    tokens: &'a [Token],
    redefined: &'a dyn Fn(&str) -> bool,
}

impl Source<'_> {
    fn text(&self, token: &Token) -> &str {
        self.body.get(token.span()).unwrap_or_default()
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, keyword: Keyword) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.keyword == keyword)
    }

    fn is_operator(&self, at: usize, operator: &str) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == TokenKind::Operator && self.text(token) == operator)
    }

    fn name(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).filter(|token| token.is_identifier())?;
        Some(literal::name(self.text(token).as_bytes(), token.kind))
    }

    /// `EXECUTE FUNCTION f()` of CREATE TRIGGER, `GRANT EXECUTE ON`.
    fn grants_or_names_a_trigger(&self, at: usize) -> bool {
        let names_a_trigger = (self.is(at + 1, Keyword::Function)
            || self.is(at + 1, Keyword::Procedure))
            && self.name(at + 2).is_some();
        names_a_trigger || self.is(at + 1, Keyword::On)
    }

    /// Where the expression after EXECUTE ends.
    fn command_end(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(from) {
            match (token.kind, token.keyword) {
                (TokenKind::Open | TokenKind::OpenBracket, _) => depth += 1,
                (TokenKind::Close | TokenKind::CloseBracket, _) => {
                    depth = depth.saturating_sub(1);
                }
                (TokenKind::Semicolon, _) => return at,
                (_, Keyword::Into | Keyword::Using) if depth == 0 => return at,
                (TokenKind::Word, _)
                    if depth == 0 && self.text(token).eq_ignore_ascii_case("loop") =>
                {
                    return at;
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// The parenthesis that belongs to the one at `open`, before `end`.
    fn close(&self, open: usize, end: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for at in open..end {
            match self.kind(at)? {
                TokenKind::Open | TokenKind::OpenBracket => depth += 1,
                TokenKind::Close | TokenKind::CloseBracket => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The parts between the tokens that `splits` at depth 0.
    fn split(
        &self,
        from: usize,
        end: usize,
        splits: impl Fn(usize) -> bool,
    ) -> Vec<(usize, usize)> {
        let (mut parts, mut start, mut depth) = (Vec::new(), from, 0_usize);
        for at in from..end {
            match self.kind(at) {
                Some(TokenKind::Open | TokenKind::OpenBracket) => depth += 1,
                Some(TokenKind::Close | TokenKind::CloseBracket) => depth = depth.saturating_sub(1),
                _ if depth == 0 && splits(at) => {
                    parts.push((start, at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push((start, end));
        parts
    }

    /// The pieces of `a || b || ..`; `None` if one of them may be anything.
    fn joined(&self, from: usize, end: usize) -> Option<Vec<Piece>> {
        let parts = self.split(from, end, |at| self.is_operator(at, "||"));
        let mut pieces = Vec::new();
        for (start, stop) in parts {
            pieces.extend(self.term(start, stop)?);
        }
        Some(pieces)
    }

    fn term(&self, from: usize, end: usize) -> Option<Vec<Piece>> {
        let casts = self.split(from, end, |at| self.kind(at) == Some(TokenKind::Typecast));
        let (&(start, stop), casts) = casts.split_first()?;
        let mut pieces = self.primary(start, stop);
        for &(start, stop) in casts {
            let name = self.name(start).filter(|_| stop == start + 1);
            pieces = match name.as_deref()? {
                "text" | "varchar" => pieces,
                "regclass" => Some(vec![Piece::Name]),
                "int" | "integer" | "bigint" | "smallint" | "int2" | "int4" | "int8" | "oid" => {
                    Some(vec![Piece::Value])
                }
                _ => None,
            };
        }
        pieces
    }

    fn primary(&self, from: usize, end: usize) -> Option<Vec<Piece>> {
        let first = self.tokens.get(from).filter(|_| from < end)?;
        match first.kind {
            TokenKind::String
            | TokenKind::EscapeString
            | TokenKind::UnicodeString
            | TokenKind::DollarString
                if end == from + 1 =>
            {
                Some(vec![Piece::Text(value(self.body, first))])
            }
            TokenKind::Number if end == from + 1 => {
                Some(vec![Piece::Text(self.text(first).to_owned())])
            }
            TokenKind::Open if self.close(from, end) == Some(end - 1) => {
                self.joined(from + 1, end - 1)
            }
            TokenKind::Word => self.call(from, end),
            _ => None,
        }
    }

    fn call(&self, from: usize, end: usize) -> Option<Vec<Piece>> {
        let mut name = self.name(from)?;
        let mut open = from + 1;
        if name == "pg_catalog" && self.kind(open) == Some(TokenKind::Dot) {
            name = self.name(from + 2)?;
            open = from + 3;
        } else if (self.redefined)(&name) {
            return None;
        }
        if self.kind(open) != Some(TokenKind::Open) || self.close(open, end) != Some(end - 1) {
            return None;
        }
        match name.as_str() {
            "quote_ident" => Some(vec![Piece::Name]),
            "quote_literal" | "quote_nullable" => Some(vec![Piece::Value]),
            "format" => self.format(open + 1, end - 1),
            _ => None,
        }
    }

    /// `format('..', ..)`: PostgreSQL documentation, "String Functions: format".
    fn format(&self, from: usize, end: usize) -> Option<Vec<Piece>> {
        let arguments = self.split(from, end, |at| self.kind(at) == Some(TokenKind::Comma));
        let &(start, stop) = arguments.first()?;
        let mut template = String::new();
        for piece in self.joined(start, stop)? {
            match piece {
                Piece::Text(text) => template.push_str(&text),
                _ => return None,
            }
        }
        let mut pieces = Vec::new();
        let mut next = 1_usize;
        let mut rest = template.as_str();
        while let Some(at) = rest.find('%') {
            pieces.push(Piece::Text(rest.get(..at)?.to_owned()));
            rest = rest.get(at + 1..)?;
            if let Some(after) = rest.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = after;
                continue;
            }
            let digits = |text: &str| {
                text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()
            };
            let count = digits(rest);
            if count > 0 && rest.get(count..)?.starts_with('$') {
                next = rest.get(..count)?.parse().ok()?;
                rest = rest.get(count + 1..)?;
            }
            rest = rest.strip_prefix('-').unwrap_or(rest);
            rest = rest.get(digits(rest)..)?;
            let specifier = rest.chars().next()?;
            rest = rest.get(specifier.len_utf8()..)?;
            match specifier {
                'I' => pieces.push(Piece::Name),
                'L' => pieces.push(Piece::Value),
                's' => {
                    let &(start, stop) = arguments.get(next)?;
                    pieces.extend(self.joined(start, stop)?);
                }
                _ => return None,
            }
            next += 1;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(body: &str) -> Made {
        of(body, &|name| name == "own")
    }

    #[test]
    fn what_may_be_anything_is_opaque() {
        for body in [
            "EXECUTE statement",
            "EXECUTE statement INTO x",
            "EXECUTE 'SELECT ' || expression",
            "EXECUTE 'SELECT ' || $1",
            "EXECUTE 'SELECT count(*) FROM b WHERE ' || condition INTO n",
            "EXECUTE format('SELECT 1 FROM b WHERE %s', condition)",
            "EXECUTE format('SELECT %s', own('a'))",
            "EXECUTE own('SELECT 1')",
            "EXECUTE format('SELECT 1 FROM b WHERE x = %s', x)",
            "EXECUTE format(template, x)",
            "EXECUTE format('a' || template, x)",
            "EXECUTE format('SELECT %1$s', x)",
            "EXECUTE format('SELECT %2$L, %s', x, y, z)",
            "EXECUTE format('SELECT %*s', 3, x)",
            "EXECUTE format(formatstr => 'SELECT %s')",
            "EXECUTE format('SELECT %s', VARIADIC x)",
            "EXECUTE concat('SELECT ', x)",
            "EXECUTE concat_ws(' ', 'SELECT', x)",
            "EXECUTE replace('SELECT x', 'x', y)",
            "EXECUTE string_agg(x, ';')",
            "EXECUTE (SELECT string_agg(x, ';') FROM y)",
            "EXECUTE CASE WHEN a THEN 'SELECT 1' ELSE b END",
            "EXECUTE coalesce(x, 'SELECT 1')",
            "EXECUTE 'SELECT 1' || CASE WHEN a THEN b END",
            "EXECUTE ('SELECT ' || x)",
            "EXECUTE x || 'SELECT 1'",
            "EXECUTE 'INSERT INTO log_' || year || ' VALUES (1)'",
            "EXECUTE 'DROP TABLE ' || t",
            "EXECUTE x::text",
            "EXECUTE 'SELECT ' || x::numeric",
            "EXECUTE 'SELECT ' || x[1]",
            "EXECUTE 'SELECT ' || quote_ident(x) || y",
            "FOR r IN EXECUTE query LOOP NULL; END LOOP",
            "RETURN QUERY EXECUTE query USING a",
            "OPEN c FOR EXECUTE query",
            // Holes where a name or a value is too much.
            "EXECUTE format('SELECT count(*) FROM %I', t)",
            "EXECUTE 'SELECT count(*) FROM ' || quote_ident(t)",
            "EXECUTE 'SELECT count(*) FROM public.' || quote_ident(t)",
            "EXECUTE format('SELECT count(*) FROM %I.b', s)",
            "EXECUTE format('SELECT 1 FROM a, %I', t)",
            "EXECUTE format('SELECT 1 FROM a x, b y, public.%I z WHERE x.id = 1', t)",
            "EXECUTE format('SELECT 1 FROM (a JOIN %I USING (id))', t)",
            "EXECUTE format('SELECT 1 FROM (SELECT 1 FROM c) x, %2$I', 1, t)",
            "EXECUTE format('TABLE %I', t)",
            "EXECUTE format('SELECT 1 FROM log_%I', t)",
            "EXECUTE format('SELECT 1 FROM %s', t::regclass)",
            "EXECUTE 'SELECT 1 FROM ' || t::regclass",
            "EXECUTE 'SELECT 1 FROM ' || t::regclass::text",
            "EXECUTE format('DELETE FROM a USING b, %I', t)",
            "EXECUTE format('UPDATE a SET x = 1 FROM %I', t)",
            "EXECUTE format('COPY %I TO ''file''', t)",
            "EXECUTE format('REFRESH MATERIALIZED VIEW %I', t)",
            "EXECUTE format('CREATE VIEW v AS SELECT * FROM %I', t)",
            "EXECUTE format('CREATE TABLE c AS TABLE %I', t)",
            "EXECUTE format('SELECT %I(1)', f)",
            "EXECUTE format('SELECT public.%I(1)', f)",
            "EXECUTE format('CALL %I()', f)",
            "EXECUTE format('SELECT ''a %I b''', t)",
            "EXECUTE format('SELECT ''%I''', t)",
            "EXECUTE format('SELECT ''%L''', t)",
            "EXECUTE format('SELECT \"%I\"', t)",
            "EXECUTE format('SELECT $$ %I $$', t)",
            "EXECUTE format('SELECT 1 /* %I */', t)",
            "EXECUTE format('SELECT 1 -- %I', t)",
            "EXECUTE format('SELECT U&%I', t)",
            "EXECUTE format('se%I 1', t)",
            "EXECUTE format('SELECT %I%I', a, b)",
            "EXECUTE format('SELECT x%L', a)",
            "EXECUTE format('DO %L', code)",
            "EXECUTE format('DO $$ BEGIN PERFORM %I(); END $$', f)",
            "EXECUTE format('CREATE FUNCTION f() RETURNS int LANGUAGE sql AS %L', code)",
            "EXECUTE 'DO $x$ BEGIN EXECUTE y; END $x$'",
            "EXECUTE 'DO ''BEGIN EXECUTE y; END'''",
            "EXECUTE 'CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $x$ BEGIN EXECUTE a || b; END $x$'",
            "EXECUTE 'what is this'",
            "EXECUTE ''",
            "EXECUTE 'SELECT \\'' || x",
            "EXECUTE 'SELECT",
        ] {
            let made = made(body);
            // An empty statement runs nothing.
            assert_eq!(made.opaque, body != "EXECUTE ''", "{body}: {made:?}");
        }
    }

    #[test]
    fn what_is_known_but_for_values_and_names_is_not() {
        for body in [
            "EXECUTE 'SELECT 1'",
            "EXECUTE 'SELECT 1 ' || 'FROM b'",
            "EXECUTE $q$SELECT 1$q$",
            "EXECUTE E'SELECT\\n1' INTO STRICT x USING a, b || c",
            "EXECUTE ('SELECT ' || ('1'))",
            "EXECUTE 'SELECT * FROM b WHERE c = $1 AND d = $2' INTO r USING x, y",
            "EXECUTE 'SELECT * FROM b WHERE c = ' || quote_literal(d) || ' AND e IS NOT NULL'",
            "EXECUTE 'SELECT ' || quote_nullable(f(x, 'y')) || ', ' || pg_catalog.quote_literal(1)",
            "EXECUTE 'SELECT * FROM b LIMIT ' || n::int",
            "EXECUTE 'SELECT * FROM b LIMIT ' || 5",
            "EXECUTE format('SELECT * FROM b WHERE c = %L AND d = %2$L', x, y)",
            "EXECUTE format('SELECT %s FROM b WHERE e LIKE ''a%%''', quote_ident(c))",
            "EXECUTE format('SELECT %s', 1)",
            "EXECUTE format('SELECT %s FROM b', format('%I, %I', x, y))",
            "EXECUTE format('SELECT a, %I FROM b ORDER BY %1$I', c)",
            "EXECUTE format('SELECT extract(year FROM d), %I FROM b', t)",
            "EXECUTE format('SELECT %-10I FROM b', t)",
            "EXECUTE format('INSERT INTO %I VALUES (%L, $1.*)', t, 1) USING NEW",
            "EXECUTE 'INSERT INTO ' || quote_ident('log_' || year) || ' VALUES ($1.*)' USING NEW",
            "EXECUTE 'INSERT INTO log_' || quote_ident(year) || ' VALUES ($1.*)' USING NEW",
            "EXECUTE format('UPDATE %I SET %I = %L WHERE id = %s', t, c, v, id::bigint)",
            "EXECUTE format('DELETE FROM %I.%I WHERE name = %L', s, t, n)",
            "EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', t, a, b)",
            "EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %I INCLUDING ALL)', t, u)",
            "EXECUTE format('CREATE INDEX %I ON %I (%I)', i, t, c)",
            "EXECUTE format('CREATE INDEX %s_idx ON %s (%I)', quote_ident(t), t::regclass, c)",
            "EXECUTE format('ALTER TABLE %s ADD COLUMN x int DEFAULT 0', t::regclass)",
            "EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (a) REFERENCES %I', t, c, u)",
            "EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', t)",
            "EXECUTE 'TRUNCATE ' || quote_ident(t)",
            "EXECUTE format('COMMENT ON TABLE %I IS %L', t, c)",
            "EXECUTE format('GRANT SELECT ON %I TO %I', t, r)",
            "EXECUTE format('SET search_path = %I', s)",
            "EXECUTE format('SET x.y = %L', s)",
            "EXECUTE 'DO $x$ BEGIN EXECUTE ''SELECT 1''; END $x$'",
            "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()",
            "CREATE TRIGGER t AFTER INSERT ON a EXECUTE PROCEDURE f()",
            "GRANT EXECUTE ON FUNCTION f TO r",
            "-- EXECUTE x\nNULL;",
            "RAISE NOTICE 'EXECUTE this'",
            "x := 'a' || b; PERFORM 1 FROM c, d",
        ] {
            assert!(!made(body).opaque, "{body}");
        }
    }

    #[test]
    fn a_table_or_field_known_at_run_time_may_call_what_there_is() {
        for (body, fires, calls) in [
            (
                "EXECUTE format('INSERT INTO %I VALUES (1)', t)",
                true,
                false,
            ),
            ("EXECUTE format('UPDATE %I.b SET x = 1', t)", true, false),
            ("EXECUTE format('TRUNCATE %I', t)", true, false),
            (
                "EXECUTE format('ALTER TABLE %I ALTER a TYPE int', t)",
                true,
                false,
            ),
            ("EXECUTE format('SELECT a::%I FROM b', t)", true, false),
            ("EXECUTE format('DROP TABLE %I', t)", false, false),
            ("EXECUTE format('CREATE TABLE %I (a int)', t)", false, false),
            (
                "EXECUTE format('INSERT INTO b (%I) VALUES (1)', t)",
                false,
                false,
            ),
            ("EXECUTE format('SELECT %I FROM b', t)", false, false),
            ("EXECUTE format('SELECT b.%I FROM b', t)", false, true),
        ] {
            let made = made(body);
            assert_eq!(
                (made.fires_any, made.calls_any, made.opaque),
                (fires, calls, false),
                "{body}"
            );
        }
    }

    #[test]
    fn texts_are_what_would_run() {
        assert_eq!(
            made("EXECUTE 'SELECT 1 FROM us' || E'\\x65rs WHERE a = ' || quote_literal(b)").texts,
            ["SELECT 1 FROM users WHERE a = 'previewpg value hole'"]
        );
    }
}
