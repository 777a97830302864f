//! `previewpg up` and `previewpg provision`.

use std::sync::Arc;

use super::cli;
use super::connect::connect;
use super::control::{self, Control, Sharing};
use super::error::CommandError;
use super::prepare::{self, Ready};
use super::service::{Foundation, Service};
use super::settings::{Fresh, Settings};
use super::signals::Signals;
use crate::catalog::store::Store;
use crate::net::secret::Secret;
use crate::overlay::provision;
use crate::preview;

/// A preview that is served.
#[derive(Debug)]
pub struct Preview {
    /// It.
    pub service: Service,
    /// fresh's server, when it's ours.
    pub ready: Ready,
    /// The app role's password.
    pub password: Secret,
    /// The password was made by us.
    pub made: bool,
}

/// Provisions and starts to serve.
///
/// # Errors
/// When either fails.
pub async fn start(settings: &Settings) -> Result<Preview, CommandError> {
    let foundation = Foundation::lay(settings.config.admin).await?;
    let production = prepare::production(settings).await?;
    let ready = prepare::fresh(settings, &production, false).await?;
    // Before anything of it is changed.
    control::served_by_nobody(&ready.owner).await?;
    let (password, made) = prepare::client_password(settings);
    drop(production);
    prepare::provision(settings, &ready, Some(&password)).await?;
    let store = Arc::new(Store::default());
    let control = Control::new(
        ready.owner.clone(),
        Sharing::Alone,
        Arc::clone(&store),
        Arc::clone(&foundation.health),
        Arc::clone(&foundation.metrics),
    );
    control.load().await?;
    let service = Service::start(
        settings,
        &foundation,
        control,
        store,
        &ready.owner,
        &password,
    )
    .await?;
    Ok(Preview {
        service,
        ready,
        password,
        made,
    })
}

/// `previewpg up`.
///
/// # Errors
/// When it can't start, or its server ends by itself.
pub async fn up(options: &cli::Up) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let settings = Settings::up(options)?;
    let preview = signals.during(start(&settings)).await?;
    preview
        .service
        .announce(&settings, preview.made.then_some(&preview.password));
    serve_until_the_end(preview, &mut signals).await
}

/// Serves until a signal comes or the embedded server ends; then ends everything.
///
/// # Errors
/// When the embedded server ended by itself.
pub async fn serve_until_the_end(
    preview: Preview,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let Preview { service, ready, .. } = preview;
    let Some(server) = ready.server else {
        let name = signals.next().await;
        tracing::info!(signal = name, "ending");
        service.end(signals, false).await;
        return Ok(());
    };
    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "ending"),
        how = server.ended() => return Err(CommandError::ServerEnded { how, log: server.log().to_owned() }),
    }
    service.end(signals, false).await;
    server.stop().await;
    Ok(())
}

/// `previewpg provision`.
///
/// # Errors
/// When it fails.
pub async fn provision(options: &cli::Provision) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let settings = Settings::provision(options)?;
    signals
        .during(provision_or_plan(&settings, options.plan))
        .await
}

async fn provision_or_plan(settings: &Settings, plan_only: bool) -> Result<(), CommandError> {
    let production = prepare::production(settings).await?;
    let ready = prepare::fresh(settings, &production, plan_only).await?;
    if plan_only {
        let spec = prepare::spec(settings, &ready, settings.client_password.as_ref());
        let options = preview::options(&spec);
        let fresh = connect("fresh", &ready.owner).await?;
        let inspection = provision::inspect(&options, &production, &fresh).await?;
        if let Some(sql) = &ready.to_make {
            println!("-- make the database, and connect to it\n{sql};\n");
        }
        print!("{}", provision::plan(&options, &inspection));
        return Ok(());
    }
    debug_assert!(matches!(settings.fresh, Fresh::Given(_)));
    if settings.client_password.is_none() {
        tracing::warn!(
            "PREVIEWPG_CLIENT_PASSWORD isn't set: the password of role {:?} is left as it is",
            settings.client_user
        );
    }
    prepare::provision(settings, &ready, settings.client_password.as_ref()).await?;
    Ok(())
}
