//! PreviewPG's shared crate: a writable preview of a PostgreSQL database without copying it.
//!
//! Two databases look like one. *Production* is only ever read; *fresh* holds what the preview
//! changed. The modules, from the bytes up (each one's top says what it does and what it doesn't know):
//!
//! | module | job |
//! |---|---|
//! | [`wire`] | bytes ↔ frames; knows no SQL, no databases |
//! | [`net`] | sockets, TLS, listening, draining |
//! | [`auth`] | who the client is; how we log in at a database |
//! | [`sql`] | text → facts; facts → patched text; knows no catalog, no I/O |
//! | [`catalog`] | what relations there are, their keys and lineage; how that is read and kept current |
//! | [`overlay`] | the SQL of the overlay: provisioning, merged form, copy-up, constraints, DDL follow-up |
//! | [`rewrite`] | facts + catalog → what to send where; pure |
//! | [`placement`] | which database a read runs on |
//! | [`session`] | one client's conversation |
//! | [`replicas`] | what several processes in front of one fresh tell each other |
//! | [`admin`] | health, readiness, metrics |
//! | [`config`] | the one YAML file and the command line's options |
//! | [`embedded`] | a PostgreSQL server of our own, for `up` and `demo` |
//! | [`preview`] | what brings a fresh database to what a preview is to be, and measures, resets and drops it: for the command line and the operator |
//! | [`command`] | `up`, `demo`, `provision`, `serve`, `check` |

pub mod admin;
pub mod auth;
pub mod catalog;
pub mod command;
pub mod config;
pub mod embedded;
pub mod net;
pub mod overlay;
pub mod placement;
pub mod preview;
pub mod replicas;
pub mod rewrite;
pub mod session;
pub mod sql;
pub mod wire;
