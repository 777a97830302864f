//! A file of psql's into what it sends piece by piece, by psql's own rules.

use std::collections::BTreeSet;

/// One statement, or a line of psql's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The line that it starts on, counted from 1.
    pub(super) line: usize,
    /// Its text; a COPY's data is part of it.
    pub(super) text: String,
}

impl Chunk {
    fn words(&self) -> Vec<String> {
        let without_comments = self
            .text
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" ");
        without_comments
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    }

    /// Whether it takes a relation, a type, a function away, or rows of a transaction.
    pub(super) fn drops(&self) -> bool {
        matches!(
            self.words().first().map(String::as_str),
            Some("drop" | "rollback" | "abort" | "truncate")
        )
    }

    /// Whether one of its words is the name of one of these relations.
    pub(super) fn names(&self, relations: &BTreeSet<String>) -> bool {
        self.words().iter().any(|word| relations.contains(word))
    }

    /// Whether its answer is a plan.
    pub(super) fn explains(&self) -> bool {
        self.words()
            .iter()
            .any(|word| word == "explain" || word.starts_with("explain_"))
    }

    /// Whether it asks for an order of its rows: one inside of parentheses is not theirs.
    pub(super) fn orders(&self) -> bool {
        let mut depth = 0_usize;
        let outside: String = self
            .text
            .chars()
            .filter(|c| {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0
            })
            .collect();
        let outside = Chunk {
            line: 0,
            text: outside,
        };
        outside
            .words()
            .windows(2)
            .any(|pair| pair == ["order", "by"])
    }
}

/// Splits a file.
pub(super) fn split(text: &str) -> Vec<Chunk> {
    Splitter {
        text,
        at: 0,
        chunks: Vec::new(),
    }
    .split()
}

struct Splitter<'a> {
    text: &'a str,
    at: usize,
    chunks: Vec<Chunk>,
}

impl Splitter<'_> {
    fn split(mut self) -> Vec<Chunk> {
        while self.at < self.text.len() {
            self.chunk();
        }
        self.chunks
    }

    fn rest(&self, at: usize) -> &str {
        self.text.get(at..).unwrap_or_default()
    }

    fn end_of_line(&self, at: usize) -> usize {
        self.rest(at)
            .find('\n')
            .map_or(self.text.len(), |n| at + n + 1)
    }

    fn chunk(&mut self) {
        let (mut at, mut start, mut depth, mut bodies) = (self.at, None, 0_usize, 0_usize);
        let mut words: Vec<String> = Vec::new();
        let end = loop {
            let rest = self.rest(at);
            let Some(c) = rest.chars().next() else {
                break at;
            };
            if c.is_whitespace() {
                at += c.len_utf8();
                continue;
            }
            if rest.starts_with("--") {
                at = self.end_of_line(at);
                continue;
            }
            if rest.starts_with("/*") {
                at += comment(rest);
                continue;
            }
            start.get_or_insert(at);
            match c {
                '\\' if rest.starts_with("\\;") => at += 2,
                '\\' => break self.end_of_line(at),
                '\'' => {
                    let escapes = self.text[..at].ends_with(['E', 'e'])
                        && words.last().is_some_and(|word| word == "e");
                    at += quoted(rest, '\'', escapes);
                }
                '"' => at += quoted(rest, '"', false),
                '$' => at += dollar(rest),
                '(' | '[' => {
                    depth += 1;
                    at += 1;
                }
                ')' | ']' => {
                    depth = depth.saturating_sub(1);
                    at += 1;
                }
                ';' if depth == 0 && bodies == 0 => break at + 1,
                c if c.is_alphabetic() || c == '_' => {
                    let length = rest
                        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
                        .unwrap_or(rest.len());
                    let word = rest[..length].to_ascii_lowercase();
                    let routine = words.first().is_some_and(|word| word == "create")
                        && words
                            .iter()
                            .take(4)
                            .any(|word| word == "function" || word == "procedure");
                    match word.as_str() {
                        "begin" if routine => bodies += 1,
                        "case" if bodies > 0 => bodies += 1,
                        "end" if bodies > 0 => bodies -= 1,
                        _ => {}
                    }
                    words.push(word);
                    at += length;
                }
                c => at += c.len_utf8(),
            }
        };
        let mut end = end;
        let copies = words.first().is_some_and(|word| word == "copy")
            && words.windows(2).any(|pair| pair == ["from", "stdin"]);
        if copies {
            let data = self.end_of_line(end);
            let text = self.rest(data);
            let length = if text.starts_with("\\.\n") {
                3
            } else {
                text.find("\n\\.\n").map_or(0, |n| n + 4)
            };
            end = data + length;
        }
        if let Some(start) = start {
            let line = 1 + self.text[..start].matches('\n').count();
            let text = self.text[start..end].trim_end().to_owned();
            self.chunks.push(Chunk { line, text });
        }
        self.at = end.max(self.at + 1);
    }
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a dollar-quoted string; 1 if it's none.
fn dollar(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else {
        return 1;
    };
    let tag = &text[..end + 2];
    let name = &tag[1..tag.len() - 1];
    let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return 1;
    }
    text[tag.len()..]
        .find(tag)
        .map_or(text.len(), |n| 2 * tag.len() + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).into_iter().map(|chunk| chunk.text).collect()
    }

    #[test]
    fn as_psql_does() {
        assert_eq!(
            texts(
                "-- c\nSELECT ';', \";\", $$;$$, $a$ $$; $a$;\nSELECT E'\\';' /* ; /* ; */ */;SELECT (1;2);"
            ),
            [
                "SELECT ';', \";\", $$;$$, $a$ $$; $a$;",
                "SELECT E'\\';' /* ; /* ; */ */;",
                "SELECT (1;2);"
            ]
        );
        assert_eq!(
            texts("\\d a\nSELECT 1 \\gset\nSELECT 1\\; SELECT 2;"),
            ["\\d a", "SELECT 1 \\gset", "SELECT 1\\; SELECT 2;"]
        );
        assert_eq!(
            texts("COPY t FROM STDIN;\n1;\n\\.\nSELECT $1;"),
            ["COPY t FROM STDIN;\n1;\n\\.", "SELECT $1;"]
        );
        let body =
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;";
        assert_eq!(texts(body), [body]);
        assert_eq!(split("\n\nSELECT 1;")[0].line, 3);
    }

    #[test]
    fn the_order_of_a_subquery_is_not_its_own() {
        let orders = |text: &str| split(text)[0].orders();
        assert!(orders("SELECT * FROM t ORDER BY 1;"));
        assert!(!orders("SELECT * FROM (SELECT * FROM t ORDER BY 1) s;"));
        assert!(!orders("SELECT array_agg(a ORDER BY b) FROM t;"));
    }
}
