//! The commands of `previewpg`.
//!
//! [`cli`] is the command line as a value, [`settings`] that and the configuration file in one value. [`prepare`] is what comes before serving,
//! [`service`] serving itself, [`control`] the process' own line to fresh; [`up`], [`serve`] and [`demo`] put them together. Standard output carries
//! what a program would read, standard error everything else.

pub mod check;
pub mod cli;
pub mod control;
pub mod demo;
pub mod error;
pub mod logging;
pub mod prepare;
pub mod progress;
pub mod serve;
pub mod service;
pub mod settings;
pub mod signals;
pub mod tour;
pub mod up;

pub use crate::preview::{connect, rights};
use cli::{Cli, Command};

/// Runs a command; returns the status that the program ends with.
pub async fn run(cli: &Cli) -> u8 {
    let told = match &cli.command {
        Command::Up(up) => settings::logging(
            up.config.as_deref(),
            up.logs.log_format,
            up.logs.log.as_deref(),
        ),
        Command::Provision(it) => settings::logging(
            it.config.as_deref(),
            it.logs.log_format,
            it.logs.log.as_deref(),
        ),
        Command::Check(check) => settings::logging(
            check.config.as_deref(),
            check.logs.log_format,
            check.logs.log.as_deref(),
        ),
        Command::Demo(demo) => {
            settings::logging(None, demo.logs.log_format, demo.logs.log.as_deref())
        }
        Command::Serve(serve) => settings::logging(Some(&serve.config), None, None),
    };
    let filter = logging::start(told.format, &told.filter);
    let result = match &cli.command {
        Command::Up(options) => up::up(options).await.map(|()| 0),
        Command::Demo(options) => demo::demo(options).await.map(|()| 0),
        Command::Provision(options) => up::provision(options).await.map(|()| 0),
        Command::Serve(options) => serve::serve(options, &filter).await.map(|()| 0),
        Command::Check(options) => check::check(options).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("previewpg: {}", error::explain(&error));
        error.status()
    })
}
