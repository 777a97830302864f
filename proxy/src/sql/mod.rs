//! Text → facts; facts → patched text. Knows no catalog and does no I/O.
//!
//! [`facts::read`] splits a query string into statements and says of each what it is and where in
//! the text its tables, columns, functions and clauses stand. [`patch`] renders a text, or a part of it,
//! with some spans replaced. A statement is never printed back from a tree: what isn't replaced leaves byte for byte as it came.

mod condition;
mod expression;
pub mod facts;
mod from;
pub mod keyword;
pub mod lexer;
pub mod literal;
pub mod patch;
mod query;
mod reader;
mod schema;
mod types;
mod utility;
mod witness;
pub(crate) mod words;
mod write;

#[cfg(test)]
mod tests;
