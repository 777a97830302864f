//! Sockets, TLS, listening, draining. Knows no SQL and not who may log in.
//!
//! | module | job |
//! |---|---|
//! | [`stream`] | one type for every connection: TCP or Unix socket, with or without TLS |
//! | [`tls`] | the TLS configurations: towards clients (reloaded), towards databases (as libpq's `sslmode`) |
//! | [`target`] | where a database is: `postgres://` URLs and `key=value` strings, as libpq reads them |
//! | [`accept`] | a client's first packets: SSLRequest, GSSENCRequest, CancelRequest, StartupMessage |
//! | [`listen`] | accepting clients, up to a number; draining |
//! | [`drain`] | how a session learns that it should end |
//! | [`pool`] | production's read-only sessions |

pub mod accept;
pub mod drain;
pub mod listen;
pub mod pool;
pub mod secret;
pub mod stream;
pub mod target;
pub mod tls;

#[cfg(test)]
pub(crate) mod testing;
