//! The commands of `previewpg`.

pub mod check;
pub mod cli;
pub mod logging;
pub mod progress;
pub mod rights;
pub mod tour;
