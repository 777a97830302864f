//! The functions that fresh has in schema `previewpg`, all of one version.

use std::collections::BTreeSet;

use super::drift;
use crate::catalog;
use crate::overlay::names::quote_literal;

/// The setting that tells which functions fresh has.
pub(crate) const RUNTIME: &str = "runtime_digest";
/// The setting that tells which version of previewpg made them.
pub(crate) const RUNTIME_VERSION: &str = "runtime_version";

/// The text that makes them.
pub(super) fn text() -> String {
    [
        include_str!("../sql/replicas.sql"),
        include_str!("../sql/lineage.sql"),
        include_str!("../sql/copy_up.sql"),
        include_str!("../sql/guard.sql"),
        include_str!("../sql/constraints.sql"),
        include_str!("../sql/foreign_keys.sql"),
        include_str!("../sql/provision.sql"),
        include_str!("../sql/drift.sql"),
        include_str!("../sql/sequences.sql"),
        include_str!("../sql/ddl.sql"),
        include_str!("../sql/measure.sql"),
        include_str!("../sql/grants.sql"),
        catalog::load::FUNCTION,
    ]
    .join("\n")
}

/// Which functions fresh has when this version has provisioned it.
pub(crate) fn digest() -> String {
    drift::digest(&text())
}

/// A text that makes functions in schema `previewpg`, so that it can be run where an older version has made them: what can't be replaced (other names or types of
/// arguments, another result) is dropped first, in the same transaction. Functions that something depends on stay, to be replaced: those are triggers', which have no arguments.
pub(super) fn anew(text: &str) -> String {
    const MAKES: &str = "CREATE OR REPLACE FUNCTION previewpg.";
    let names: BTreeSet<&str> = text
        .split(MAKES)
        .skip(1)
        .filter_map(|rest| rest.split('(').next())
        .collect();
    let names: Vec<String> = names.into_iter().map(quote_literal).collect();
    format!(
        "{}\n{text}",
        include_str!("../sql/drop_functions.sql").replace("'names'", &names.join(", "))
    )
}
