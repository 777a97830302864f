//! `previewpg check`: what a preview of a database would serve, what not and why, and what it would cost.
//!
//! [`inspect`] asks production (catalogs only, no table is read), [`report`] is what was found, judged and printed.

pub mod inspect;
pub mod report;
