//! The commands of `previewpg`.
//!
//! [`cli`] is the command line as a value, [`settings`] that and the configuration file in one value. Each command has a module of its own;
//! [`up`], [`serve`] and [`demo`] share [`service`]. Standard output carries what a program would read, standard error everything else.

pub mod check;
pub mod cli;
pub mod connect;
pub mod logging;
pub mod progress;
pub mod rights;
pub mod settings;
pub mod tour;
