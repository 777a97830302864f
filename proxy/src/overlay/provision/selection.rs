//! Which tables a preview brings: patterns over `schema.table`. Pure.

use serde::{Deserialize, Serialize};

/// Which tables of production a preview brings, and which without rows.
///
/// A pattern is `schema.table`, or a bare `schema` (all of its tables). `*` stands for any characters; a part in double quotes is taken as it is
/// (a quote in it is doubled), for names with a dot or a star. A pattern without a dot but with a star is tried against the whole `schema.table`, too.
/// Case matters: names are as the catalogs show them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSelection {
    /// Only these schemas (patterns may be used); empty: every schema but the system's.
    pub schemas: Vec<String>,
    /// Not these tables: they don't exist in the preview.
    pub exclude: Vec<String>,
    /// These tables without production's rows: only their structure is brought.
    pub empty: Vec<String>,
}

impl TableSelection {
    /// Whether a schema is brought, tables that are left out aside.
    #[must_use]
    pub fn includes_schema(&self, schema: &str) -> bool {
        !schema.starts_with("previewpg")
            && (self.schemas.is_empty()
                || self
                    .schemas
                    .iter()
                    .any(|pattern| Pattern::parse(pattern).matches_schema(schema)))
            && !self
                .exclude
                .iter()
                .any(|pattern| Pattern::parse(pattern).is_whole_schema(schema))
    }

    /// Whether a table is brought.
    #[must_use]
    pub fn includes(&self, schema: &str, table: &str) -> bool {
        self.includes_schema(schema) && !named(&self.exclude, schema, table)
    }

    /// Whether a table that is brought is brought without production's rows.
    #[must_use]
    pub fn is_empty_one(&self, schema: &str, table: &str) -> bool {
        named(&self.empty, schema, table)
    }

    /// The patterns that can't be meant: empty ones, and those whose quotes don't close.
    #[must_use]
    pub fn malformed(&self) -> Vec<&str> {
        [&self.schemas, &self.exclude, &self.empty]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|pattern| !is_well_formed(pattern))
            .collect()
    }
}

fn named(patterns: &[String], schema: &str, table: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| Pattern::parse(pattern).matches(schema, table))
}

fn is_well_formed(pattern: &str) -> bool {
    let parts = split(pattern);
    pattern.matches('"').count().is_multiple_of(2)
        && parts.len() <= 2
        && parts.iter().all(|part| !part.trim_matches('"').is_empty())
}

/// The text's parts between dots that stand outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|character| {
        quoted ^= character == '"';
        character == '.' && !quoted
    })
    .collect()
}

/// A pattern in parts.
struct Pattern<'a> {
    whole: &'a str,
    schema: &'a str,
    table: Option<&'a str>,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = split(text).into_iter();
        let schema = parts.next().unwrap_or_default();
        // More than two parts match nothing: `malformed` names them.
        let table = parts.next();
        let whole = if parts.next().is_some() { "" } else { text };
        Self {
            whole,
            schema: if whole.is_empty() { "" } else { schema },
            table,
        }
    }

    fn matches_schema(&self, schema: &str) -> bool {
        self.table.is_none() && part_matches(self.schema, schema)
    }

    /// Everything of the schema is meant, tables that come later included.
    fn is_whole_schema(&self, schema: &str) -> bool {
        part_matches(self.schema, schema) && self.table.is_none_or(|table| table == "*")
            || self.table.is_none() && self.whole == "*"
    }

    fn matches(&self, schema: &str, table: &str) -> bool {
        match self.table {
            Some(part) => part_matches(self.schema, schema) && part_matches(part, table),
            None => {
                part_matches(self.schema, schema)
                    || self.whole.contains('*')
                        && part_matches(self.whole, &format!("{schema}.{table}"))
            }
        }
    }
}

fn part_matches(pattern: &str, name: &str) -> bool {
    match pattern
        .strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'))
    {
        Some(literal) => literal.replace("\"\"", "\"") == name,
        None => glob(pattern, name),
    }
}

/// Whether a pattern, in which `*` stands for any characters, matches the whole of `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(schemas: &[&str], exclude: &[&str], empty: &[&str]) -> TableSelection {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        TableSelection {
            schemas: owned(schemas),
            exclude: owned(exclude),
            empty: owned(empty),
        }
    }

    #[test]
    fn patterns_mean_tables_and_schemas() {
        let cases = [
            ("audit", "audit.log", true),
            ("audit", "audit2.log", false),
            ("audit.*", "audit.log", true),
            ("audit.*", "public.log", false),
            ("public.sessions", "public.sessions", true),
            ("public.sessions", "public.sessions2", false),
            ("public.sess*ns", "public.sessions", true),
            ("*.sessions", "web.sessions", true),
            ("*sessions", "web.sessions", true),
            ("au*", "audit.log", true),
            ("*", "any.thing", true),
            ("\"a.b\".c", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("Public.t", "public.t", false),
        ];
        for (pattern, name, excluded) in cases {
            let (schema, table) = name.split_once('.').unwrap_or_default();
            assert_eq!(
                !selection(&[], &[pattern], &[]).includes(schema, table),
                excluded,
                "{pattern} against {name}"
            );
            assert_eq!(
                selection(&[], &[], &[pattern]).is_empty_one(schema, table),
                excluded,
                "{pattern} against {name}"
            );
        }
    }

    #[test]
    fn quoted_parts_are_taken_as_they_are() {
        let quoted = selection(&[], &["\"a.b\".\"c*\"", "\"say \"\"hi\"\"\""], &[]);
        assert!(!quoted.includes("a.b", "c*"));
        assert!(quoted.includes("a.b", "cd"));
        assert!(!quoted.includes("say \"hi\"", "t"));
    }

    #[test]
    fn schemas_are_whole_or_in_part() {
        let part = selection(&[], &["audit.log"], &[]);
        assert!(part.includes_schema("audit") && !part.includes("audit", "log"));
        let whole = selection(&[], &["audit.*"], &[]);
        assert!(!whole.includes_schema("audit"));
        let some = selection(&["app_*"], &["app_old"], &[]);
        assert!(some.includes("app_new", "t"));
        assert!(!some.includes("app_old", "t") && !some.includes("public", "t"));
        assert!(!TableSelection::default().includes_schema("previewpg_lower"));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        assert_eq!(
            selection(&["", "a"], &["a.b.c", "\"a"], &["a.", "\"a.b\".c"]).malformed(),
            ["", "a.b.c", "\"a", "a."]
        );
    }
}
