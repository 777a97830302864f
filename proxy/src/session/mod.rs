//! One client's conversation.
//!
//! A client has one session at fresh, its own; what it says goes there, changed only where SQL has to change, and what fresh answers comes back, less the
//! answers to what we put in. Reads that may run on production borrow a session there for one statement.
//!
//! | module | job |
//! |---|---|
//! | [`server`] | what the process has; logging a client in; cancel requests |
//! | `drive` | moves bytes between the sockets and the conversation; the only loop |
//! | `conversation` | the conversation as a value: bytes of both sides in, bytes and questions out |
//! | `script` | the simple protocol, a part of it |
//! | `extended` | the extended protocol, a part of it |
//! | `expect` | what fresh's answers will be, and what becomes of each |
//! | `statement` | prepared statements and portals, the client's and ours |
//! | `sight` | what names and settings mean in this session now |
//! | [`planner`] | reading and planning texts; readings are shared by all sessions |
//! | `report` | errors and notices on their way to the client |
//! | `production` | a read on production |
//! | `held` | names that may come to mean something else |
//! | `journal` | what the log is told of statements |
//! | `cancel` | cancel requests |
//! | `apart` | a copy-up in a transaction of its own |
//! | `copying` | having a refused statement run after all: its tables are copied up as a whole |
//! | `prepared` | what SQL's PREPARE made |
//! | `unknown` | names that mean nothing: another session may have given them a meaning |
//!
//! It doesn't know what merged rows are: [`crate::rewrite`] says what to run.

mod apart;
mod cancel;
mod conversation;
mod copying;
mod cursors;
mod drive;
mod expect;
mod extended;
mod held;
mod journal;
pub mod planner;
mod prepared;
mod production;
mod report;
mod script;
pub mod server;
mod sight;
mod statement;
mod unknown;

pub use server::{Hooks, Options, Server};

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
mod tests;
