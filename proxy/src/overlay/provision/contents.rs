//! The entries of a dump of production against a preview that lives: which are new, and in what order they may be restored. Pure.

use std::collections::BTreeSet;

use super::inspect::Relation;
use super::plan::New;
use super::restore::Entry;

/// Entries in the order of their restoring.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Before tables are attached and changed.
    pub(super) early: Vec<Entry>,
    /// Afterwards: they need the columns that came in, or belong to tables that are attached, and our event triggers follow them.
    pub(super) late: Vec<Entry>,
    /// The identities of what is here, or comes another way.
    pub(super) known: BTreeSet<String>,
}

/// Kinds that belong to one table and come by its description, when the table is known.
const DESCRIBED: [&str; 7] = [
    "CONSTRAINT",
    "FK CONSTRAINT",
    "CHECK CONSTRAINT",
    "DEFAULT",
    "INDEX",
    "INDEX ATTACH",
    "TABLE ATTACH",
];

/// Kinds that belong to one table and are restored once it's there and attached.
const FOLLOWING: [&str; 5] = [
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "SEQUENCE OWNED BY",
];

/// Sorts the entries of a dump.
pub(super) fn sort(entries: &[Entry], new: &New) -> Sorted {
    let mut sorted = Sorted::default();
    for entry in entries {
        if new.known.contains(&entry.identity) {
            sorted.known.insert(entry.identity.clone());
            continue;
        }
        let of_new = new.new.iter().any(|relation| belongs(entry, relation));
        let of_other = !of_new && new.others.iter().any(|relation| belongs(entry, relation));
        let is_one_of = |kinds: &[&str]| kinds.iter().any(|kind| is(entry, kind));
        if of_other && is_one_of(&DESCRIBED) {
            sorted.known.insert(entry.identity.clone());
        } else if (of_other && is_one_of(&FOLLOWING)) || is_one_of(&["VIEW", "COMMENT"]) {
            sorted.late.push(entry.clone());
        } else {
            sorted.early.push(entry.clone());
        }
    }
    sorted
}

/// The entry's kind is this one.
fn is(entry: &Entry, kind: &str) -> bool {
    tag(entry, kind).is_some()
}

/// What follows the kind.
fn tag<'a>(entry: &'a Entry, kind: &str) -> Option<&'a str> {
    let tag = entry.identity.strip_prefix(kind)?.strip_prefix(' ')?;
    // "INDEX" is no "INDEX ATTACH".
    let longer = match kind {
        "INDEX" | "TABLE" => tag.starts_with("ATTACH "),
        _ => false,
    };
    (!longer).then_some(tag)
}

pub(super) fn is_table(entry: &Entry) -> bool {
    is(entry, "TABLE")
}

fn belongs(entry: &Entry, relation: &Relation) -> bool {
    let table = format!("{} {}", relation.schema, relation.name);
    DESCRIBED
        .iter()
        .chain(&FOLLOWING)
        .filter_map(|kind| Some((*kind, tag(entry, kind)?)))
        .any(|(kind, tag)| match kind {
            "INDEX" | "INDEX ATTACH" => relation
                .index_names
                .iter()
                .any(|index| tag == format!("{} {index}", relation.schema)),
            _ => {
                tag == table
                    || tag
                        .strip_prefix(&table)
                        .is_some_and(|rest| rest.starts_with(' '))
            }
        })
}

/// What people are told of an entry that was brought in; `None`: it's a part of something that is told.
pub(super) fn told(entry: &Entry) -> Option<String> {
    const SHOWN: [&str; 15] = [
        "SCHEMA",
        "EXTENSION",
        "TABLE",
        "VIEW",
        "MATERIALIZED VIEW",
        "FOREIGN TABLE",
        "SEQUENCE",
        "FUNCTION",
        "PROCEDURE",
        "AGGREGATE",
        "TYPE",
        "DOMAIN",
        "TRIGGER",
        "RULE",
        "POLICY",
    ];
    SHOWN.iter().find_map(|kind| {
        let tag = tag(entry, kind)?;
        let name = tag
            .strip_prefix("- ")
            .map_or_else(|| tag.replacen(' ', ".", 1), str::to_owned);
        Some(format!("{} {name}", kind.to_lowercase()))
    })
}

/// Whether a name of [`Production::definitions`](super::inspect::Production::definitions) (`VIEW public.v`) and an entry's identity (`VIEW public v`) mean
/// the same object. Names that need quotes aren't recognised.
pub(super) fn is_same_object(name: &str, identity: &str) -> bool {
    name.replacen('.', " ", 1) == identity
}

#[cfg(test)]
mod tests {
    use super::super::restore::entry;
    use super::*;

    fn relation(name: &str, indexes: &[&str]) -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: name.to_owned(),
            index_names: indexes.iter().map(|&name| name.to_owned()).collect(),
            ..Relation::default()
        }
    }

    #[test]
    fn new_entries_wait_for_what_they_need() {
        let entries: Vec<Entry> = [
            "1; 1 1 TYPE public mood postgres",
            "2; 1 1 FUNCTION public f(integer) postgres",
            "3; 1 1 TABLE public fresh_one postgres",
            "4; 1 1 TABLE public users postgres",
            "5; 1 1 VIEW public v postgres",
            "6; 1 1 INDEX public fresh_one_idx postgres",
            "7; 1 1 INDEX public users_idx postgres",
            "8; 1 1 CONSTRAINT public users users_email_key postgres",
            "9; 1 1 CONSTRAINT public fresh_one fresh_one_pkey postgres",
            "10; 1 1 TRIGGER public users stamp postgres",
            "11; 1 1 TABLE ATTACH public fresh_one postgres",
            "12; 0 0 COMMENT public TABLE users postgres",
            "13; 1 1 FK CONSTRAINT public users_old users_old_fk postgres",
        ]
        .into_iter()
        .filter_map(entry)
        .collect();
        let new = New {
            dump: Default::default(),
            known: BTreeSet::from(["TABLE public users".to_owned()]),
            new: vec![relation("fresh_one", &["fresh_one_idx", "fresh_one_pkey"])],
            others: vec![
                relation("users", &["users_idx"]),
                relation("users_old", &[]),
            ],
            definitions: BTreeSet::new(),
        };
        let sorted = sort(&entries, &new);
        let names = |entries: &[Entry]| -> Vec<String> {
            entries.iter().map(|entry| entry.identity.clone()).collect()
        };
        assert_eq!(
            names(&sorted.early),
            [
                "TYPE public mood",
                "FUNCTION public f(integer)",
                "TABLE public fresh_one",
                "INDEX public fresh_one_idx",
                "CONSTRAINT public fresh_one fresh_one_pkey",
                "TABLE ATTACH public fresh_one",
            ]
        );
        assert_eq!(
            names(&sorted.late),
            [
                "VIEW public v",
                "TRIGGER public users stamp",
                "COMMENT public TABLE users"
            ]
        );
        assert_eq!(
            sorted.known.into_iter().collect::<Vec<_>>(),
            [
                "CONSTRAINT public users users_email_key",
                "FK CONSTRAINT public users_old users_old_fk",
                "INDEX public users_idx",
                "TABLE public users",
            ]
        );
    }

    #[test]
    fn people_are_told_of_whole_objects() {
        let told_of = |line| entry(line).as_ref().and_then(told);
        assert_eq!(
            told_of("3; 1 1 TABLE public users postgres").as_deref(),
            Some("table public.users")
        );
        assert_eq!(
            told_of("3; 1 1 EXTENSION - citext ").as_deref(),
            Some("extension citext")
        );
        assert_eq!(told_of("3; 1 1 TABLE ATTACH public users postgres"), None);
        assert_eq!(told_of("3; 1 1 CONSTRAINT public users k postgres"), None);
    }

    #[test]
    fn definitions_and_entries_are_matched() {
        assert!(is_same_object("VIEW public.v", "VIEW public v"));
        assert!(is_same_object(
            "FUNCTION public.f(integer, text)",
            "FUNCTION public f(integer, text)"
        ));
        assert!(!is_same_object("VIEW public.v", "VIEW public w"));
    }
}
