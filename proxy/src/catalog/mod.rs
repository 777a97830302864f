//! What relations there are on both sides, their keys and lineage.
//!
//! [`model`] is the value that [`crate::rewrite`] reads.

pub mod model;
pub mod load;
pub mod store;
