//! Scripts: plain SQL with directives in comments.
//!
//! A script runs in psql as well (directives are comments, COPY data ends with `\.`). The directives, on lines of
//! their own in front of a statement:
//!
//! | directive | meaning |
//! |---|---|
//! | `-- session: b` | from here on, another connection (the first one is `main`) |
//! | `-- rows: unordered` / `ordered` | how to compare; the default is ordered where the text says ORDER BY |
//! | `-- protocol: simple` / `extended` | this statement only by that protocol; in the first line of a file: the whole file |
//! | `-- params: 1, 'x', NULL` | values of `$1`, `$2`, ... (put into the text for the simple protocol) |
//! | `-- limit: 2` | Execute fetches so many rows at a time (extended protocol) |
//! | `-- together: 3` | this and the following statements as one string (simple) or one pipeline (extended) |
//! | `-- needs: icu: why` | in the first line of a file: it's left out, loudly, where the preview's PostgreSQL was built without ICU |
//! | `-- expect: refused CONSTRUCT: why` | documented to be refused: the preview answers 0A000 naming the construct, the copy isn't asked |
//! | `-- tables: large` | in the first line of a file: production's tables count as larger than what may be copied up, so nothing is taken over as a whole |
//! | `-- known: why` | a known defect: the answers must differ; `-- known: simple: why` and `extended`: by that protocol only |
//! | `-- only: preview: why` | for the preview alone, where it must succeed: what a refusal recommends |
//! | `-- ignore: rows: why` | also `notices`, `detail`, `columns`, `origin` (of columns), `tag`, `context`: not compared, with the reason |

use std::fmt;

/// What isn't compared for a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    /// The rows' content; their number still is.
    Rows,
    /// Notices.
    Notices,
    /// An error's DETAIL.
    Detail,
    /// The whole row description.
    Columns,
    /// The table and attribute that a column comes from; its name and type still are.
    Origin,
    /// The command tag.
    Tag,
    /// An error's or notice's context.
    Context,
}

/// How rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One by one.
    Ordered,
    /// As a multiset.
    Unordered,
}

/// One statement of a script.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The connection that it runs on.
    pub session: String,
    /// Its text, without the semicolon.
    pub sql: String,
    /// Its line in the file, counted from 1.
    pub line: usize,
    /// Values of its parameters, as written.
    pub params: Vec<String>,
    /// Data for COPY FROM STDIN.
    pub copy: Option<String>,
    /// Rows for each Execute; 0 for all.
    pub limit: i32,
    /// How many statements, this one included, are sent together.
    pub together: usize,
    /// How rows are compared.
    pub order: Order,
    /// `Some(true)`: only by the simple protocol, `Some(false)`: only by the extended.
    pub only_simple: Option<bool>,
    /// The construct that the preview documents not to serve.
    pub refused: Option<String>,
    /// Only the preview is asked, and must answer without an error.
    pub only_preview: bool,
    /// What isn't compared.
    pub ignore: Vec<Ignore>,
    /// A known defect that a drawn statement may meet: of two violations, a foreign key's is told in place of a unique constraint's.
    pub either_violation: bool,
    /// A known defect: the preview's answer differs, and the test fails as soon as it doesn't any more.
    pub known: Option<Known>,
}

/// A known defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What is wrong.
    pub why: String,
    /// `Some(true)`: only by the simple protocol, `Some(false)`: only by the extended.
    pub only_simple: Option<bool>,
}

impl Statement {
    /// A statement without directives on the session `main`.
    pub fn plain(sql: &str) -> Statement {
        Statement {
            session: "main".to_owned(),
            sql: sql.to_owned(),
            line: 0,
            params: Vec::new(),
            copy: None,
            limit: 0,
            together: 1,
            order: if sql.to_ascii_lowercase().contains("order by") {
                Order::Ordered
            } else {
                Order::Unordered
            },
            only_simple: None,
            refused: None,
            only_preview: false,
            ignore: Vec::new(),
            either_violation: false,
            known: None,
        }
    }

    /// The text with its parameters put in, for the simple protocol.
    pub fn inlined(&self) -> String {
        let mut sql = self.sql.clone();
        for (i, value) in self.params.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", i + 1), value);
        }
        sql
    }

    /// The parameters as values in text format.
    pub fn values(&self) -> Vec<Option<String>> {
        self.params
            .iter()
            .map(|p| match p.as_str() {
                "NULL" => None,
                p => match p.strip_prefix('\'').and_then(|p| p.strip_suffix('\'')) {
                    Some(text) => Some(text.replace("''", "'")),
                    None => Some(p.to_owned()),
                },
            })
            .collect()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.session != "main" {
            writeln!(f, "-- session: {}", self.session)?;
        }
        write!(f, "{};", self.inlined())?;
        if let Some(copy) = &self.copy {
            write!(f, "\n{copy}\\.")?;
        }
        Ok(())
    }
}

/// A script that was read.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its name, for messages.
    pub name: String,
    /// Its statements.
    pub statements: Vec<Statement>,
    /// production's tables count as larger than what may be copied up.
    pub large: bool,
    /// It uses collations of ICU's.
    pub icu: bool,
}

impl Script {
    /// Reads a script. An unknown directive is an error: a typo must not weaken a test.
    pub fn parse(name: &str, text: &str) -> Result<Script, String> {
        let mut statements = Vec::new();
        let mut session = "main".to_owned();
        let mut directives: Vec<(usize, String, String)> = Vec::new();
        let mut rest = text;
        let mut whole_file = None;
        let (mut large, mut icu) = (false, false);
        loop {
            // Comments and blank lines in front of the next statement.
            let offset = text.len() - rest.len();
            let line = text.get(..offset).unwrap_or_default().matches('\n').count() + 1;
            let trimmed = rest.trim_start();
            if trimmed.len() != rest.len() {
                rest = trimmed;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            if let Some(comment) = rest.strip_prefix("--") {
                let (comment, after) = comment.split_once('\n').unwrap_or((comment, ""));
                if let Some((key, value)) = comment.trim().split_once(": ")
                    && !key.contains(' ')
                    && key.chars().all(|c| c.is_ascii_lowercase())
                {
                    if line == 1 && key == "protocol" {
                        whole_file = Some(value.trim() == "simple");
                    } else if line == 1 && key == "tables" && value.trim() == "large" {
                        large = true;
                    } else if line == 1 && key == "needs" && value.trim().starts_with("icu") {
                        icu = true;
                    } else {
                        directives.push((line, key.to_owned(), value.trim().to_owned()));
                    }
                }
                rest = after;
                continue;
            }
            let length = statement_length(rest);
            let sql = rest.get(..length).unwrap_or_default().trim_end();
            rest = rest
                .get(length..)
                .unwrap_or_default()
                .trim_start_matches(';');
            let mut statement = Statement {
                line,
                only_simple: whole_file,
                ..Statement::plain(sql)
            };
            for (line, key, value) in directives.drain(..) {
                if key == "session" {
                    session.clone_from(&value);
                } else {
                    apply(&mut statement, &key, &value)
                        .map_err(|e| format!("{name}:{line}: {e}"))?;
                }
            }
            statement.session.clone_from(&session);
            let lower = sql.to_ascii_lowercase();
            if lower.starts_with("copy ") && lower.contains("from stdin") {
                let data = rest.strip_prefix('\n').unwrap_or(rest);
                let end = if data.starts_with("\\.") {
                    0
                } else {
                    data.find("\n\\.")
                        .map(|at| at + 1)
                        .ok_or_else(|| format!("{name}:{line}: COPY data without \\."))?
                };
                statement.copy = Some(data.get(..end).unwrap_or_default().to_owned());
                rest = data.get(end + 2..).unwrap_or_default();
            }
            statements.push(statement);
        }
        Ok(Script {
            name: name.to_owned(),
            statements,
            large,
            icu,
        })
    }
}

fn apply(statement: &mut Statement, key: &str, value: &str) -> Result<(), String> {
    match (key, value) {
        ("rows", "ordered") => statement.order = Order::Ordered,
        ("rows", "unordered") => statement.order = Order::Unordered,
        ("protocol", "simple") => statement.only_simple = Some(true),
        ("protocol", "extended") => statement.only_simple = Some(false),
        ("protocol", "both") => statement.only_simple = None,
        ("params", list) => statement.params = values(list),
        ("limit", n) => statement.limit = n.parse().map_err(|_| "limit: a number".to_owned())?,
        ("together", n) => {
            statement.together = n.parse().map_err(|_| "together: a number".to_owned())?;
        }
        ("expect", what) => {
            let construct = what
                .strip_prefix("refused ")
                .and_then(|w| w.split_once(": "))
                .ok_or("expect: refused CONSTRUCT: why")?;
            statement.refused = Some(construct.0.to_owned());
        }
        ("only", what) => {
            what.strip_prefix("preview: ").ok_or("only: preview: why")?;
            statement.only_preview = true;
        }
        ("known", why) => {
            let (only_simple, why) = match why.split_once(": ") {
                Some(("simple", why)) => (Some(true), why),
                Some(("extended", why)) => (Some(false), why),
                _ => (None, why),
            };
            statement.known = Some(Known {
                why: why.to_owned(),
                only_simple,
            });
        }
        ("ignore", what) => {
            let (what, _reason) = what.split_once(": ").ok_or("ignore: WHAT: why")?;
            statement.ignore.push(match what {
                "rows" => Ignore::Rows,
                "notices" => Ignore::Notices,
                "detail" => Ignore::Detail,
                "columns" => Ignore::Columns,
                "origin" => Ignore::Origin,
                "tag" => Ignore::Tag,
                "context" => Ignore::Context,
                other => return Err(format!("nothing named {other} can be ignored")),
            });
        }
        _ => return Err(format!("unknown directive {key}: {value}")),
    }
    Ok(())
}

/// Splits `1, 'a, b', NULL` at the commas outside of quotes.
fn values(list: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut quoted = false;
    for c in list.chars() {
        quoted ^= c == '\'';
        match (c, values.last_mut()) {
            (',', _) if !quoted => values.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    values.iter().map(|v| v.trim().to_owned()).collect()
}

/// The length of the first statement: up to the first semicolon that's outside of quotes, comments,
/// parentheses and `BEGIN ATOMIC` bodies (which scripts don't use).
fn statement_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        at += match byte {
            b';' => return at,
            b'\'' | b'"' => {
                let escapes = byte == b'\'' && at > 0 && matches!(bytes[at - 1], b'E' | b'e');
                quoted(rest, byte, escapes)
            }
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |n| n + 2),
            b'$' => dollar_quoted(rest).unwrap_or(1),
            _ => 1,
        };
    }
    text.len()
}

fn quoted(text: &str, quote: u8, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' && escapes {
            at += 1;
        } else if byte == quote {
            if bytes.get(at) == Some(&quote) {
                at += 1;
            } else {
                return at;
            }
        }
    }
    text.len()
}

fn dollar_quoted(text: &str) -> Option<usize> {
    let inner = text.get(1..)?;
    let end = inner.find('$')?;
    let tag = inner.get(..end)?;
    if tag.starts_with(|c: char| c.is_ascii_digit())
        || !tag.chars().all(|c| c.is_alphanumeric() || c == '_')
    {
        return None;
    }
    let delimiter = format!("${tag}$");
    let body = text.get(delimiter.len()..)?;
    body.find(&delimiter).map(|n| n + 2 * delimiter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        let script = Script::parse(
            "x",
            "SELECT ';', \";\", $$;$$, $a$;$a$, E'\\';' -- ; \n; -- a note\nSELECT 2 /* ; */",
        )
        .unwrap();
        let texts: Vec<&str> = script.statements.iter().map(|s| s.sql.as_str()).collect();
        assert_eq!(
            texts,
            [
                "SELECT ';', \";\", $$;$$, $a$;$a$, E'\\';' -- ;",
                "SELECT 2 /* ; */"
            ]
        );
    }

    #[test]
    fn directives_belong_to_the_next_statement() {
        let script = Script::parse(
            "x",
            "-- session: b\n-- params: 1, 'a, b', NULL\nSELECT $1, $2, $3;\nCOPY t FROM STDIN;\n1\n2\n\\.\n\
             -- expect: refused TABLESAMPLE: no rows to sample\nSELECT 1;",
        )
        .unwrap();
        let [first, copy, refused] = script.statements.as_slice() else {
            panic!("three statements");
        };
        assert_eq!(first.inlined(), "SELECT 1, 'a, b', NULL");
        assert_eq!(
            first.values(),
            [Some("1".to_owned()), Some("a, b".to_owned()), None]
        );
        assert_eq!(copy.copy.as_deref(), Some("1\n2\n"));
        assert_eq!((copy.session.as_str(), copy.line), ("b", 4));
        assert_eq!(refused.refused.as_deref(), Some("TABLESAMPLE"));
    }

    #[test]
    fn a_typo_in_a_directive_is_an_error() {
        assert!(Script::parse("x", "-- rows: unorderd\nSELECT 1;").is_err());
        assert!(Script::parse("x", "-- ignore: rows\nSELECT 1;").is_err());
    }
}
