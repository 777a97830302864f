//! Logs, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::progress;
use crate::config::file::LogFormat;

/// Changes the filter while the program runs.
#[derive(Debug, Clone)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// Takes another filter; one that is invalid is reported, and the old one stays.
    pub fn set(&self, directives: &str) {
        match filter(directives) {
            Ok(filter) => {
                // The subscriber lives as long as the program.
                let _ = self.0.reload(filter);
            }
            Err(error) => {
                tracing::warn!(filter = directives, %error, "the log filter is invalid; the old one stays")
            }
        }
    }
}

/// The filter of these directives. The SQL parser's own words are never said: they hold the values in clients' statements.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(directives)?;
    Ok(match "sqlparser=off".parse() {
        Ok(silence) => filter.add_directive(silence),
        Err(_) => filter,
    })
}

/// Starts logging. Called once; a second call changes nothing.
#[must_use]
pub fn start(format: LogFormat, directives: &str) -> Filter {
    let (filter, invalid) = match filter(directives) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let (layer, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(layer);
    let started = match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_writer(|| progress::Lines),
            )
            .try_init(),
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                    .with_target(false)
                    .with_writer(|| progress::Lines),
            )
            .try_init(),
    };
    if started.is_ok()
        && let Some(error) = invalid
    {
        tracing::warn!(filter = directives, %error, "the log filter is invalid; logging from level info");
    }
    Filter(handle)
}
