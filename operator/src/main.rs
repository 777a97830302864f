//! The operator's command line.

use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Crd => match previewpg_operator::crd::yaml() {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("previewpg-operator: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
