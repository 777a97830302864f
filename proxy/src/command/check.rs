//! `previewpg check`: what a preview of a database would serve, what not and why, and what it would cost.
//!
//! [`inspect`] asks production (catalogs only, no table is read), [`report`] is what was found, judged and printed.

pub mod inspect;
pub mod report;

use super::cli::{self, ReportFormat};
use super::connect::connect;
use super::error::CommandError;
use super::settings;

/// `previewpg check`. Returns the status that the program ends with: see the command's help.
///
/// # Errors
/// When production isn't told or can't be asked.
pub async fn check(options: &cli::Check) -> Result<u8, CommandError> {
    let (target, config) = settings::check(options)?;
    let mut production = connect("production", &target).await?;
    let found = inspect::inspect(&mut production)
        .await
        .map_err(CommandError::ask("production"))?;
    let report = report::judge(
        found,
        &config.tables.selection(),
        config.limits.max_copy_up_rows,
        config.pool.production_sessions,
    );
    match options.format {
        ReportFormat::Text => print!("{}", report.text()),
        ReportFormat::Json => println!("{}", report.json()),
    }
    Ok(match () {
        () if !report.rights.writes.is_empty() => 3,
        () if !report.is_whole() => 1,
        () => 0,
    })
}
