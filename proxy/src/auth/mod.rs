//! Who the client is, and how we log in at a database. Knows no SQL.
//!
//! | module | job |
//! |---|---|
//! | [`client`] | the login of clients |
//! | [`verifier`] | what is stored of a client's password |
//! | [`backend`] | the login at a database; cancel requests |

pub mod backend;
pub mod client;
pub mod verifier;

pub use crate::net::secret::Secret;
