//! The integration tests' tools. The test of truth is in [`oracle`]: the same script on a full copy of
//! production and on a preview must give the same answers.
//!
//! | module | job |
//! |---|---|
//! | [`servers`] | PostgreSQL servers for tests: start, copy, clean away |
//! | [`preview`] | a `previewpg up` process in front of a fresh server |
//! | [`serve`] | `previewpg serve` processes, several over one pair of databases |
//! | [`client`] | the protocol, frame by frame, so that nothing is hidden by a driver |
//! | [`script`] | scripts of SQL with directives in comments |
//! | [`oracle`] | run on both sides, compare, tell the difference |
//! | [`digest`] | what a database holds, as one text: proves that production was not touched |
//! | [`interleave`] | several sessions, every order of their statements |
//! | [`overlay_servers`] | the overlay alone: two servers, no proxy |
//! | [`kubernetes`] | a real cluster, and what is asked of it |
//! | [`random`] | seeded schemas, data and workloads, and shrinking |
//! | [`regress`] | PostgreSQL's regression tests, statement by statement |
//! | [`suite`] | other people's test suites, directly and through a preview |
//! | [`tool`] | ORMs, migration tools and applications on a production with data, on both sides |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

pub mod client;
pub mod digest;
pub mod interleave;
pub mod kubernetes;
pub mod oracle;
pub mod overlay_servers;
pub mod preview;
pub mod random;
pub mod regress;
pub mod script;
pub mod serve;
pub mod servers;
pub mod suite;
pub mod tool;
