//! The command `previewpg`.

use std::process::ExitCode;

use clap::Parser;
use previewpg_proxy::command::{self, cli::Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("previewpg: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    ExitCode::from(runtime.block_on(command::run(&cli)))
}
