//! What relations there are on both sides, their keys and lineage; how that is read and kept current.
//!
//! [`model`] is the value that [`crate::rewrite`] reads; [`load`] makes it from fresh's catalogs; [`store`] holds the one that all sessions share;
//! [`unheld`] are the reads that a schema change has to wait for; [`lease`] says until when either may be believed; [`reach`] tells what the bodies of functions may touch. Nothing here knows SQL statements of clients.

mod dynamic;
pub mod lease;
pub mod load;
pub mod model;
pub mod reach;
pub mod store;
pub mod unheld;
