//! The operator's command line.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Runs PreviewPG on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "previewpg-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition.
    Crd,
    /// Ask a health address until it answers 200; `helm test` does.
    Probe {
        /// The address, as http://host:port/path.
        url: String,
        /// How long to ask, in seconds.
        #[arg(long, default_value_t = 0)]
        within: u64,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Crd => match previewpg_operator::crd::yaml() {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        },
        Command::Probe { url, within } => {
            match previewpg_operator::probe::wait(&url, Duration::from_secs(within)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
    }
}

fn failed(error: &dyn Error) -> ExitCode {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    eprintln!("previewpg-operator: {message}");
    ExitCode::FAILURE
}
