//! The refusals, each in one place: what can't be had, why, and what to do.
//!
//! `construct` is a metric's label and must stay stable; the message follows PostgreSQL's style (lower case, no full stop), DETAIL and HINT are sentences.

use super::plan::Refusal;

/// The way out where copying whole tables up is out of the question.
const DIRECTLY: &str = "Run its statements directly, or raise the preview's copy-up limit.";

const ASK: &str =
    "Rewrite the statement without it, or copy what is needed: CREATE TABLE .. AS SELECT.";

/// A statement that can't be read and may be about production's rows.
pub(super) fn unreadable(name: &str, why: &str) -> Refusal {
    Refusal::new(
        "unreadable_statement",
        "this statement can't be read well enough to run it in a preview".to_owned(),
        format!("It mentions \"{name}\", whose rows come from production, and {why}."),
        "Write the statement in a simpler form.",
    )
}

/// A table's name stands where no reading of the statement expects one.
pub(super) fn unaccounted(name: &str) -> Refusal {
    Refusal::new(
        "unaccounted_name",
        format!("the name \"{name}\" stands in this statement where its role can't be told"),
        format!(
            "The rows of \"{name}\" come from production, and a reference to it that isn't rewritten would miss them."
        ),
        "Write the statement in a simpler form, for example with an explicit alias.",
    )
}

/// A name of ours.
pub(super) fn own_name(name: &str) -> Refusal {
    Refusal::new(
        "own_name",
        format!("the name \"{name}\" is reserved"),
        "Names that begin with \"previewpg\" belong to the preview itself.",
        "Use another name.",
    )
}

/// A relation that can't be served.
pub(super) fn unsupported_relation(name: &str, why: &str) -> Refusal {
    Refusal::new(
        "unsupported_relation",
        format!("relation \"{name}\" can't be served in this preview"),
        why.to_owned(),
        "Ask whoever runs the preview: `previewpg check` tells what each relation needs.",
    )
}

/// A function, procedure, DO block or trigger whose body reads production's rows.
pub(super) fn body_reads(what: &str, relation: &str) -> Refusal {
    Refusal::new(
        "function_body",
        format!("{what} can't run in a preview because its body reads \"{relation}\""),
        format!(
            "Inside of it, \"{relation}\" would hold only the rows that the preview changed, without production's."
        ),
        DIRECTLY,
    )
}

/// A function called by the protocol's FunctionCall, whose body names tables.
pub(super) fn body_names(what: &str, relation: &str) -> Refusal {
    Refusal::new(
        "function_call",
        format!(
            "{what} can't be called by a FunctionCall message in a preview because its body names \"{relation}\""
        ),
        "Another session may give that name to a table of production while it runs, and nothing can keep it.",
        "Call it in a SELECT.",
    )
}

/// A body that runs SQL which isn't in its text.
pub(super) fn body_opaque(what: &str) -> Refusal {
    Refusal::new(
        "dynamic_sql",
        format!("{what} can't run in a preview because it runs SQL made at run time"),
        "What that SQL reads can't be told from its text, and it would not see production's rows.",
        "Run the statements directly.",
    )
}

/// A built-in function that runs SQL given as text.
pub(super) fn text_query(function: &str) -> Refusal {
    Refusal::new(
        "text_query",
        format!("function {function} can't run in a preview"),
        "It runs a query, or reads a table, that is given to it as text, and would not see production's rows.",
        "Run the query directly.",
    )
}

/// ALTER TYPE .. ADD, DROP, ALTER ATTRIBUTE of a type that production's rows hold values of.
pub(super) fn composite_attribute(relation: &str, column: &str) -> Refusal {
    Refusal::new(
        "composite_attribute",
        format!(
            "the attributes of the type of \"{relation}\".\"{column}\" can't be changed in a preview"
        ),
        "Production's rows hold values of the type as it was, and they could not be read any more.",
        DIRECTLY,
    )
}

/// ctid, xmin, tableoid, ... of merged rows.
pub(super) fn system_column(column: &str, relation: &str) -> Refusal {
    Refusal::new(
        "system_column",
        format!("system column \"{column}\" of \"{relation}\" isn't available in a preview"),
        "Rows come from two databases, and a row's place in one of them means nothing in the other.",
        "Use the table's key.",
    )
}

/// TABLESAMPLE.
pub(super) fn tablesample(relation: &str) -> Refusal {
    Refusal::new(
        "tablesample",
        format!("TABLESAMPLE of \"{relation}\" isn't available in a preview"),
        "A sample needs one table's pages, and these rows come from two databases.",
        "Use ORDER BY random() LIMIT n.",
    )
}

/// A write through a view.
pub(super) fn write_view(view: &str) -> Refusal {
    Refusal::new(
        "write_view",
        format!("the rows of view \"{view}\" can't be changed in a preview"),
        "The table under the view holds production's rows, which must be found before the statement runs.",
        "Change the table itself.",
    )
}

/// A lock through a view.
pub(super) fn lock_view(view: &str) -> Refusal {
    Refusal::new(
        "lock_view",
        format!("the rows of view \"{view}\" can't be locked in a preview"),
        "The table under the view holds production's rows, which must be found before they are locked.",
        "Lock the rows of the table itself.",
    )
}

/// A locking clause over a query in FROM.
pub(super) fn lock_query(relation: &str) -> Refusal {
    Refusal::new(
        "lock_query",
        format!("rows of \"{relation}\" can't be locked through a query in FROM in a preview"),
        "PostgreSQL takes the lock on to the query's tables, where production's rows must be found before they are locked.",
        "Put the locking clause into the query itself.",
    )
}

/// A write that may leave rows of a table that isn't served without their parent.
pub(super) fn unserved_child(parent: &str, child: &str, why: &str) -> Refusal {
    Refusal::new(
        "unserved_child",
        format!("rows of \"{parent}\" can't be taken away in a preview"),
        format!("Rows of \"{child}\" may refer to them, and \"{child}\" can't be served. {why}"),
        format!("Drop the foreign key of \"{child}\" in the preview first."),
    )
}

/// A write to something that is read from production only.
pub(super) fn read_only(relation: &str) -> Refusal {
    Refusal::new(
        "read_only_relation",
        format!("\"{relation}\" can't be changed in a preview"),
        "Its rows are read straight from production.",
        ASK,
    )
}

/// A table with rewrite rules.
pub(super) fn rules(relation: &str) -> Refusal {
    Refusal::new(
        "rules",
        format!("\"{relation}\" has rewrite rules and can't be changed in a preview"),
        "A rule makes other statements of this one, which would not see production's rows.",
        "Drop the rule in the preview, or use a trigger.",
    )
}

/// WHERE CURRENT OF.
pub(super) fn current_of(relation: &str) -> Refusal {
    Refusal::new(
        "where_current_of",
        format!("WHERE CURRENT OF isn't available for \"{relation}\" and this cursor in a preview"),
        "The cursor's row may come from production, where it has no place that the preview can change.",
        "Declare the cursor FOR UPDATE, which copies its rows up, or use the row's key.",
    )
}

/// A locking subquery under SKIP LOCKED chooses what another table's write touches.
pub(super) fn skip_locked(relation: &str) -> Refusal {
    Refusal::new(
        "skip_locked_subquery",
        format!(
            "rows of \"{relation}\" can't be chosen by a SKIP LOCKED query of another table in a preview"
        ),
        "Which rows are skipped is known only when the statement runs, and production's rows must be found before.",
        "Use two statements.",
    )
}

/// PREPARE of something that needs rows copied up.
pub(super) fn prepare_write() -> Refusal {
    Refusal::new(
        "prepare_write",
        "PREPARE of a statement that changes or locks production's rows isn't available in a preview".to_owned(),
        "Rows must be copied into the preview each time it is executed.",
        "Use the driver's prepared statements (the extended protocol), or run the statement directly.",
    )
}

/// CREATE POLICY with a subquery over production's rows.
pub(super) fn stored_query(relation: &str) -> Refusal {
    Refusal::new(
        "stored_query",
        format!("a condition that reads \"{relation}\" can't be stored in a preview"),
        format!(
            "It would run inside of the preview's database, where \"{relation}\" holds only the rows that the preview changed."
        ),
        DIRECTLY,
    )
}

/// REFRESH or CREATE MATERIALIZED VIEW over production's rows.
pub(super) fn materialized_view() -> Refusal {
    Refusal::new(
        "materialized_view",
        "a materialized view over production's rows can't be filled in a preview".to_owned(),
        "Its query would run inside of the preview's database and see only the rows that the preview changed.",
        "Use CREATE TABLE .. AS, or an ordinary view.",
    )
}

/// A change of one table of a tree without a key.
pub(super) fn part(relation: &str) -> Refusal {
    Refusal::new(
        "tree_without_key",
        format!("\"{relation}\" can't be changed like this in a preview"),
        "It is part of an inheritance or partition tree without a key, whose rows come from production all together.",
        ASK,
    )
}

/// ATTACH PARTITION, INHERIT.
pub(super) fn inheritance(relation: &str) -> Refusal {
    Refusal::new(
        "inheritance",
        format!("the inheritance or partitions of \"{relation}\" can't be changed in a preview"),
        "Its rows come from production, where the other table isn't part of it.",
        ASK,
    )
}

/// A view whose text can't be rewritten.
pub(super) fn view(name: &str, why: &str) -> Refusal {
    Refusal::new(
        "view",
        format!("view \"{name}\" can't be served in this preview"),
        why.to_owned(),
        "Query the tables under it.",
    )
}

/// An edit of the text that isn't possible: a defect of ours, told as a refusal rather than risked.
pub(super) fn patch(why: &str) -> Refusal {
    Refusal::new(
        "patch",
        "this statement can't be rewritten for a preview".to_owned(),
        format!("Its parts overlap: {why}."),
        "Please report the statement. Write it in a simpler form.",
    )
}
