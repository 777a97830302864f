//! What comes before serving: production is looked at, fresh is got hold of and provisioned.

use std::path::PathBuf;

use base64::Engine as _;
use tokio_postgres::Client;

use super::connect::{connect, place};
use super::error::CommandError;
use super::progress::Work;
use super::rights;
use super::settings::{Fresh, Settings};
use crate::embedded::settings::{Likeness, OWNER};
use crate::embedded::{Home, Server, Spec, binaries};
use crate::net::secret::Secret;
use crate::net::target::{Address, Host, RootCertificates, SslMode, Target};
use crate::overlay::provision::{self, AppRole, Options, Outcome, Progress};

/// A fresh database that we can provision and serve.
#[derive(Debug)]
pub struct Ready {
    /// Its server, when it's ours.
    pub server: Option<Server>,
    /// fresh, as its owner.
    pub owner: Target,
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
    let found = rights::read(production)
        .await
        .map_err(CommandError::ask("production"))?;
    if found.writes.is_empty() {
        return Ok(());
    }
    if !allowed {
        return Err(CommandError::Writable(rights::refusal(&found)));
    }
    tracing::warn!(
        role = %found.role,
        rights = %found.writes.join("; "),
        "production's role can write; read-only sessions and foreign tables that aren't updatable keep previewpg from it"
    );
    Ok(())
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
            if owner.database != given.database {
                to_make = missing_database(given, &likeness, look_only).await?;
            }
            if to_make.is_some() {
                owner = Target::clone(given);
            }
            return Ok(Ready {
                server: None,
                owner,
                to_make,
                programs,
            });
        }
        Fresh::Embedded { data } => data.clone(),
    };
    let work = Work::start("starting a PostgreSQL server for the preview's changes");
    let home = data.map_or(Home::Temporary, Home::Kept);
    let server = Server::start(Spec {
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
        owner,
        to_make: None,
        programs,
    })
}

/// Makes a database as production's is on the server of `given`, unless it exists, or gives the statement that would.
async fn missing_database(
    given: &Target,
    likeness: &Likeness,
    look_only: bool,
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
    let sql = likeness.create_database(u32::try_from(version).unwrap_or(0));
    if look_only {
        return Ok(Some(sql));
    }
    server
        .batch_execute(&sql)
        .await
        .map_err(|source| CommandError::MakeDatabase {
            name: name.clone(),
            source,
        })?;
    Ok(None)
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

/// What provisioning is told.
///
/// # Errors
/// When production can't be asked for the tables that a pattern means.
pub async fn options(
    settings: &Settings,
    ready: &Ready,
    production: &Client,
    password: Option<&Secret>,
) -> Result<Options, CommandError> {
    let config = &settings.config;
    let app = AppRole {
        name: settings.client_user.clone(),
        password: password.map(|password| password.expose().to_owned()),
    };
    let mut options = Options::new(server(&settings.production), server(&ready.owner), app);
    options.include_schemas.clone_from(&config.tables.schemas);
    options.exclude_schemas.clone_from(&config.tables.exclude);
    options.empty_tables = empty_tables(settings, production).await?;
    options.sequence_gap = i64::try_from(config.limits.sequence_gap).unwrap_or(i64::MAX);
    options.copy_up_rows = config.limits.max_copy_up_rows;
    options.copy_up_bytes = config.limits.max_copy_up_mebibytes.saturating_mul(1 << 20);
    options.pg_dump = ready.programs.join("pg_dump");
    options.pg_restore = ready.programs.join("pg_restore");
    Ok(options)
}

/// The tables that the patterns of `tables.empty` mean at this moment.
async fn empty_tables(
    settings: &Settings,
    production: &Client,
) -> Result<Vec<String>, CommandError> {
    let tables = &settings.config.tables;
    if tables.empty.is_empty() {
        return Ok(Vec::new());
    }
    let rows = production
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
            &[],
        )
        .await
        .map_err(CommandError::ask("production"))?;
    let names = rows
        .iter()
        .map(|row| (row.get::<_, &str>(0), row.get::<_, &str>(1)));
    Ok(names
        .filter(|(schema, name)| tables.is_empty_one(schema, name))
        .map(|(schema, name)| format!("{schema}.{name}"))
        .collect())
}

/// How libpq's programs and postgres_fdw are told of a target.
fn server(target: &Target) -> provision::Server {
    let (host, port) = target.hosts.first().map_or((String::new(), 5432), |host| {
        let address = match &host.address {
            Address::Tcp(name) => name.clone(),
            Address::Unix(directory) => directory.to_string_lossy().into_owned(),
        };
        (address, host.port)
    });
    let sslmode = match target.sslmode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    provision::Server {
        host,
        port,
        user: target.user.clone(),
        password: target
            .password
            .as_ref()
            .map(|password| password.expose().to_owned()),
        database: target.database.clone(),
        sslmode: Some(sslmode.to_owned()),
        sslrootcert: target.sslrootcert.as_ref().map(|roots| match roots {
            RootCertificates::System => "system".to_owned(),
            RootCertificates::File(file) => file.to_string_lossy().into_owned(),
        }),
    }
}

/// Provisions fresh and says what came of it.
///
/// # Errors
/// When it fails.
pub async fn provision(
    settings: &Settings,
    ready: &Ready,
    production: &Client,
    password: Option<&Secret>,
) -> Result<Outcome, CommandError> {
    let options = options(settings, ready, production, password).await?;
    let owner = connect("fresh", &ready.owner).await?;
    let mut shown = Shown(Work::start("provisioning"));
    let outcome = provision::provision(&options, production, &owner, &mut shown).await?;
    let served = outcome
        .relations
        .iter()
        .filter(|relation| matches!(relation.state.as_str(), "merged" | "read_only"))
        .count();
    shown.0.finish(&format!(
        "fresh ({}) is ready: {served} of {} tables show production's rows",
        place(&ready.owner),
        outcome.relations.len()
    ));
    for relation in &outcome.relations {
        if let Some(reason) = &relation.reason {
            tracing::warn!(table = %relation.name, state = %relation.state, %reason, "a table is not served in full");
        }
    }
    for lost in &outcome.not_restored {
        tracing::warn!(object = %lost.object, reason = %lost.message, "could not be brought over from production");
    }
    Ok(outcome)
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
