//! Reading the catalog from fresh.
//!
//! One query whose one row and one column is a JSON document, so that it can be run on any kind of connection, a client's own session
//! (which sees its uncommitted schema changes and temporary tables) or the control plane's.

use super::model::Catalog;

/// The query: one row, one `text` column.
pub const QUERY: &str = "SELECT '{}'::text";

/// Why a catalog document can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It isn't the JSON document that the query makes.
    #[error("the catalog read from fresh is malformed")]
    Malformed(#[from] serde_json::Error),
}

/// What outlives a single catalog: the dirty marks and the built-in functions, shared by all catalogs of a process.
#[derive(Debug, Default)]
pub struct Shared {}

/// Builds the catalog from the document that [`QUERY`] gave.
///
/// # Errors
/// When the document isn't what the query makes.
pub fn parse(document: &str, shared: &Shared) -> Result<Catalog, LoadError> {
    let _ = (document, shared);
    Ok(Catalog::default())
}
