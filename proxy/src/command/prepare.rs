//! What comes before serving: production is looked at, fresh is got hold of and provisioned.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use tokio_postgres::Client;

use super::connect::{connect, place};
use super::error::CommandError;
use super::progress::Work;
use super::settings::{Fresh, Settings};
use crate::embedded::settings::OWNER;
use crate::embedded::{self, Home, Server, binaries};
use crate::net::secret::Secret;
use crate::net::target::{Address, Host, SslMode, Target};
use crate::preview::likeness::Likeness;
use crate::preview::{self, AppRole, CopyUpLimits, Progress, Report};

/// A fresh database that we can provision and serve.
#[derive(Debug)]
pub struct Ready {
    /// Its server, when it's ours.
    pub server: Option<Server>,
    /// fresh, as its owner.
    pub owner: Target,
    /// A database of fresh's server from which the preview's is made.
    maintenance: Target,
    /// The statement that would make the database, when it isn't there and nothing was to be made.
    pub to_make: Option<String>,
    /// Where `pg_dump` and `pg_restore` are.
    programs: PathBuf,
}

/// Connects to production and refuses a role that can write, unless that was allowed.
///
/// # Errors
/// When production can't be asked, or its role can write.
pub async fn production(settings: &Settings) -> Result<Client, CommandError> {
    let client = connect("production", &settings.production).await?;
    refuse_writing(&client, settings.allow_writable).await?;
    Ok(client)
}

/// Refuses a role that can write, unless that was allowed.
///
/// # Errors
/// When production can't be asked, or its role can write.
pub async fn refuse_writing(production: &Client, allowed: bool) -> Result<(), CommandError> {
    Ok(preview::refuse_writing(production, allowed)
        .await
        .map(drop)?)
}

/// Gets hold of fresh: the given database, or one of a server of our own that is like production's. With `look_only` nothing is made: a
/// database that would be is named by its statement, in `to_make`, and the one that was given stands for it.
///
/// # Errors
/// When no server can be had.
pub async fn fresh(
    settings: &Settings,
    production: &Client,
    look_only: bool,
) -> Result<Ready, CommandError> {
    let likeness = Likeness::read(production)
        .await
        .map_err(CommandError::ask("production"))?;
    let likeness = Likeness {
        database: settings.shown_database().to_owned(),
        ..likeness
    };
    let data = match &settings.fresh {
        Fresh::Given(given) => {
            let programs = binaries::find(likeness.major)?.directory;
            let mut owner = settings.fresh_database(given);
            let mut to_make = None;
            if look_only && owner.database != given.database {
                to_make = missing_database(given, &likeness).await?;
            }
            if to_make.is_some() {
                owner = Target::clone(given);
            }
            return Ok(Ready {
                server: None,
                maintenance: Target::clone(given),
                owner,
                to_make,
                programs,
            });
        }
        Fresh::Embedded { data } => data.clone(),
    };
    let work = Work::start("starting a PostgreSQL server for the preview's changes");
    let home = data.map_or(Home::Temporary, Home::Kept);
    let server = Server::start(embedded::Spec {
        home,
        major: likeness.major,
        max_prepared_transactions: likeness.max_prepared_transactions,
    })
    .await?;
    let likeness = Likeness {
        database: settings.shown_database().to_owned(),
        ..likeness
    };
    server.prepare(&likeness).await?;
    let programs = server.installation().directory.clone();
    work.finish(&format!(
        "PostgreSQL {} runs for the preview's changes",
        server.installation().version
    ));
    let database = server.database(&likeness.database);
    let owner = local(
        database.socket_directory,
        database.port,
        OWNER,
        &database.name,
    );
    Ok(Ready {
        server: Some(server),
        maintenance: owner.clone(),
        owner,
        to_make: None,
        programs,
    })
}

/// The statement that would make a database as production's is on the server of `given`, unless it exists.
async fn missing_database(
    given: &Target,
    likeness: &Likeness,
) -> Result<Option<String>, CommandError> {
    let server = connect("fresh", given).await?;
    let ask = CommandError::ask;
    let name = &likeness.database;
    let exists = server
        .query_opt(
            "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1",
            &[name],
        )
        .await
        .map_err(ask("fresh"))?;
    if exists.is_some() {
        return Ok(None);
    }
    let version: i32 = server
        .query_one(
            "SELECT current_setting('server_version_num')::int / 10000",
            &[],
        )
        .await
        .map_err(ask("fresh"))?
        .get(0);
    Ok(Some(
        likeness.create_database(u32::try_from(version).unwrap_or(0)),
    ))
}

/// A database behind a private socket.
#[must_use]
pub fn local(socket_directory: PathBuf, port: u16, user: &str, database: &str) -> Target {
    Target {
        hosts: vec![Host {
            address: Address::Unix(socket_directory),
            port,
        }],
        user: user.to_owned(),
        password: None,
        database: database.to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        channel_binding: crate::net::target::ChannelBinding::Prefer,
        options: None,
        application_name: None,
        connect_timeout: None,
    }
}

/// What the preview's database is to be.
#[must_use]
pub fn spec(settings: &Settings, ready: &Ready, password: Option<&Secret>) -> preview::Spec {
    let config = &settings.config;
    let app = AppRole {
        name: settings.client_user.clone(),
        password: password.map(|password| password.expose().to_owned()),
    };
    preview::Spec {
        allow_writable_production: settings.allow_writable,
        tables: config.tables.selection(),
        sequence_gap: i64::try_from(config.limits.sequence_gap).unwrap_or(i64::MAX),
        limits: CopyUpLimits {
            rows: config.limits.max_copy_up_rows,
            bytes: config.limits.max_copy_up_mebibytes.saturating_mul(1 << 20),
        },
        programs: Some(ready.programs.clone()),
        // Somebody watches, and ends it when it takes too long.
        time_limit: Duration::from_secs(3600),
        ..preview::Spec::new(
            settings.production.clone(),
            ready.maintenance.clone(),
            ready.owner.database.clone(),
            app,
        )
    }
}

/// Provisions fresh and says what came of it.
///
/// # Errors
/// When it fails.
pub async fn provision(
    settings: &Settings,
    ready: &Ready,
    password: Option<&Secret>,
) -> Result<Report, CommandError> {
    let mut shown = Shown(Work::start("provisioning"));
    let report = preview::bring_up(&spec(settings, ready, password), &mut shown).await?;
    shown.0.finish(&format!(
        "fresh ({}) is ready: {} of {} tables show production's rows",
        place(&ready.owner),
        report.served.len(),
        report.served.len() + report.unsupported.len()
    ));
    for table in &report.unsupported {
        tracing::warn!(table = %table.name, reason = %table.reason, "a table is not served");
    }
    for collision in &report.collisions {
        tracing::warn!(object = %collision.object, production = %collision.production, preview = %collision.preview, refused = collision.refused, "production has changed, and the preview keeps its own");
    }
    for object in &report.brought_in {
        tracing::info!(%object, "brought in from production");
    }
    for lost in &report.not_restored {
        tracing::warn!(object = %lost.object, reason = %lost.message, "could not be brought over from production");
    }
    Ok(report)
}

struct Shown(Work);

impl Progress for Shown {
    fn step(&mut self, done: usize, total: usize, name: &str) {
        self.0.step(name, done as u64, total as u64);
    }
}

/// The app role's password: the one that was told, or a new one. The second value says whether it was made.
#[must_use]
pub fn client_password(settings: &Settings) -> (Secret, bool) {
    match &settings.client_password {
        Some(password) => (password.clone(), false),
        None => (made_password(), true),
    }
}

/// 144 random bits, in characters that need no quoting anywhere.
#[must_use]
pub fn made_password() -> Secret {
    let bytes: [u8; 18] = rand::random();
    Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_differ_and_need_no_quoting() {
        let (one, other) = (made_password(), made_password());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 24);
        assert!(
            one.expose()
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        );
    }
}
