//! `previewpg serve`: what a pod runs. fresh was provisioned before; production need not be there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::cli;
use super::control::{Control, Sharing};
use super::error::{CommandError, explain};
use super::logging::Filter;
use super::service::{Foundation, Service, check_production};
use super::settings::{Fresh, Settings};
use super::signals::Signals;
use crate::catalog::store::Store;
use crate::config::watcher::{self, Revision};
use crate::config::{Config, ConfigError};
use crate::net::secret::Secret;
use crate::net::target::Target;

/// How long to wait before asking again what can't be answered yet.
const RETRY: Duration = Duration::from_secs(1);

/// `previewpg serve`.
///
/// # Errors
/// When the configuration can't be used, or production's role turns out to be able to write.
pub async fn serve(options: &cli::Serve, filter: &Filter) -> Result<(), CommandError> {
    if options.validate {
        return validate(&options.config);
    }
    let mut signals = Signals::new()?;
    let mut revisions = watcher::watch(&options.config, watcher::INTERVAL)?;
    let config = Arc::clone(&revisions.borrow_and_update().config);
    let settings = Settings::serve(&config)?;
    let (owner, password) = essentials(&settings)?;
    let foundation = Foundation::lay(settings.config.admin).await?;
    let store = Arc::new(Store::default());
    let control = Control::new(
        owner.clone(),
        Sharing::Replicas,
        Arc::clone(&store),
        Arc::clone(&foundation.health),
        Arc::clone(&foundation.metrics),
    );
    let mut checking = Box::pin(check_production(&settings));
    // A role that is known to write is refused before anybody is served; production that isn't there isn't waited for.
    let mut checked = false;
    signals
        .during(async {
            tokio::select! {
                biased;
                result = &mut checking => { result?; checked = true; }
                () = tokio::time::sleep(RETRY * 5) => {}
            }
            loaded(&control).await
        })
        .await?;
    let service = Service::start(&settings, &foundation, control, store, &owner, &password).await?;
    service.announce(&settings, None);

    loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "ending");
                break;
            }
            result = &mut checking, if !checked => match result {
                Ok(()) => checked = true,
                Err(error) => {
                    service.end(&mut signals, true).await;
                    return Err(error);
                }
            },
            revision = next(&mut revisions) => take_up(&revision, &service, filter),
        }
    }
    service.end(&mut signals, true).await;
    Ok(())
}

fn validate(path: &Path) -> Result<(), CommandError> {
    let settings = Settings::serve(&Config::read(path)?)?;
    if let Some(tls) = &settings.config.tls {
        crate::net::tls::ServerTls::load(&tls.certificate_file, &tls.key_file)?;
    }
    println!("{} is valid", path.display());
    Ok(())
}

fn essentials(settings: &Settings) -> Result<(Target, Secret), ConfigError> {
    match (&settings.fresh, &settings.client_password) {
        (Fresh::Given(given), Some(password)) => {
            Ok((settings.fresh_database(given), password.clone()))
        }
        _ => Err(ConfigError::value("client.passwordFile", "is missing")),
    }
}

/// Waits until the catalog is loaded.
async fn loaded(control: &Arc<Control>) -> Result<(), CommandError> {
    let mut failures = 0_u32;
    loop {
        match control.load().await {
            Ok(()) => return Ok(()),
            Err(error) => {
                if failures.is_multiple_of(30) {
                    tracing::warn!(reason = %explain(&error), "can't serve yet; trying on");
                }
                failures = failures.saturating_add(1);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn next(revisions: &mut watch::Receiver<Revision>) -> Revision {
    if revisions.changed().await.is_err() {
        // The watcher ends only with the program.
        std::future::pending::<()>().await;
    }
    revisions.borrow_and_update().clone()
}

fn take_up(revision: &Revision, service: &Service, filter: &Filter) {
    let taken = Settings::serve(&revision.config)
        .and_then(|settings| Ok((essentials(&settings)?, settings)));
    match taken {
        Ok(((owner, password), settings)) => {
            filter.set(&settings.config.logging.filter);
            service.reload(&settings, &owner, &password);
        }
        Err(error) => {
            tracing::error!(error = %explain(&error), "the changed configuration can't be used; the old one stays in force");
        }
    }
}
