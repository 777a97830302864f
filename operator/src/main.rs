//! The command `previewpg-operator`.

use std::process::ExitCode;

use clap::Parser as _;
use previewpg_operator::cli::{Cli, Command, Run};
use previewpg_operator::database::explain;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Crd => match previewpg_operator::crd::yaml() {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Command::Probe { url, within } => match previewpg_operator::probe::wait(&url, within) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Run(options) => run(*options),
    }
}

fn run(options: Run) -> ExitCode {
    let _filter = previewpg_proxy::command::logging::start(options.log_format, &options.log);
    // kube and the databases' TLS share one provider; a second one would be refused.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a provider of TLS was installed already");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let ended = runtime.block_on(previewpg_operator::run::run(options));
    // What still runs is not waited for: after a lost Lease nothing may go on.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("previewpg-operator: {}", explain(error));
    ExitCode::FAILURE
}
