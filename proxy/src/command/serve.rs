//! `previewpg serve`: what a pod runs. fresh was provisioned before; production need not be there.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// How long to wait before asking again what can't be answered yet: whoever provisions fresh may be done at any moment, in the first minute.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// How long that is asked so often.
const EAGER: Duration = Duration::from_secs(60);
/// How often it's said again that nobody can be served yet.
const SAID_AGAIN: Duration = Duration::from_secs(30);
/// How long clients wait until it's known that production's role can't write.
const CHECKED_WITHIN: Duration = Duration::from_secs(5);

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
    let mut given = Given::of(&config)?;
    let foundation = Foundation::lay(given.settings.config.admin).await?;
    let store = Arc::new(Store::default());
    let control = Control::new(
        given.owner.clone(),
        Sharing::Replicas,
        Arc::clone(&store),
        Arc::clone(&foundation.health),
        Arc::clone(&foundation.metrics),
    );
    let mut check = Check::of(&given.settings);
    // fresh may be provisioned much later, and what leads to it may be mended meanwhile.
    while let Some(revision) = signals
        .during(async {
            tokio::select! {
                revision = next(&mut revisions) => Ok(Some(revision)),
                result = servable(&mut check, &control) => result.map(|()| None),
            }
        })
        .await?
    {
        match Given::of(&revision.config) {
            Ok(new) => {
                filter.set(&new.settings.config.logging.filter);
                control.set_owner(new.owner.clone());
                check = Check::of(&new.settings);
                given = new;
            }
            Err(error) => refuse_revision(&error),
        }
    }
    let Given {
        settings,
        owner,
        password,
    } = given;
    let service = Service::start(&settings, &foundation, control, store, &owner, &password).await?;
    service.announce(&settings, None);

    loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "ending");
                break;
            }
            result = check.end(), if !check.done => if let Err(error) = result {
                service.end(&mut signals, true).await;
                return Err(error);
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

/// What one reading of the configuration gives.
struct Given {
    settings: Settings,
    /// fresh, as its owner.
    owner: Target,
    /// The app role's password.
    password: Secret,
}

impl Given {
    fn of(config: &Config) -> Result<Self, ConfigError> {
        let settings = Settings::serve(config)?;
        match (&settings.fresh, &settings.client_password) {
            (Fresh::Given(given), Some(password)) => Ok(Self {
                owner: settings.fresh_database(given),
                password: password.clone(),
                settings,
            }),
            _ => Err(ConfigError::value("client.passwordFile", "is missing")),
        }
    }
}

/// Whether production's role can write. It lasts until production answers.
struct Check {
    asking: Pin<Box<dyn Future<Output = Result<(), CommandError>> + Send>>,
    done: bool,
}

impl Check {
    fn of(settings: &Settings) -> Self {
        let settings = settings.clone();
        Self {
            asking: Box::pin(async move { check_production(&settings).await }),
            done: false,
        }
    }

    /// Waits for its end; once only. Safe to drop.
    async fn end(&mut self) -> Result<(), CommandError> {
        let result = self.asking.as_mut().await;
        self.done = true;
        result
    }
}

/// Waits until clients can be served. A role that is known to write is refused before anybody is; production that isn't there isn't waited for.
async fn servable(check: &mut Check, control: &Arc<Control>) -> Result<(), CommandError> {
    if !check.done {
        tokio::select! {
            biased;
            result = check.end() => result?,
            () = tokio::time::sleep(CHECKED_WITHIN) => {}
        }
    }
    let began = Instant::now();
    let mut said: Option<Instant> = None;
    while let Err(error) = control.load().await {
        if said.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
            tracing::warn!(reason = %explain(&error), "can't serve yet; trying on");
            said = Some(Instant::now());
        }
        let (soon, later) = RETRY;
        let is_eager = began.elapsed() < EAGER;
        tokio::time::sleep(if is_eager { soon } else { later }).await;
    }
    Ok(())
}

async fn next(revisions: &mut watch::Receiver<Revision>) -> Revision {
    if revisions.changed().await.is_err() {
        // The watcher ends only with the program.
        std::future::pending::<()>().await;
    }
    revisions.borrow_and_update().clone()
}

fn take_up(revision: &Revision, service: &Service, filter: &Filter) {
    match Given::of(&revision.config) {
        Ok(Given {
            settings,
            owner,
            password,
        }) => {
            filter.set(&settings.config.logging.filter);
            service.reload(&settings, &owner, &password);
        }
        Err(error) => refuse_revision(&error),
    }
}

fn refuse_revision(error: &ConfigError) {
    tracing::error!(error = %explain(error), "the changed configuration can't be used; the old one stays in force");
}
