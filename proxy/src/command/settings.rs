//! What a command was told, by its options, the environment and the configuration file, in one value. Options win.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::cli::{Check, Provision, Selection, Serve, Up};
use crate::config::file::{Config, LogFormat, Logging, ServerTls, Tables};
use crate::config::{ConfigError, secret};
use crate::net::secret::Secret;
use crate::net::target::Target;

/// The environment variable with the app role's password.
pub const CLIENT_PASSWORD: &str = "PREVIEWPG_CLIENT_PASSWORD";

/// The database that every server has.
const MAINTENANCE: &str = "postgres";

/// Where fresh is.
#[derive(Debug, Clone)]
pub enum Fresh {
    /// A database that exists, as its owner.
    Given(Box<Target>),
    /// A server of our own.
    Embedded {
        /// The directory that is kept; `None`: a temporary one.
        data: Option<PathBuf>,
    },
}

/// What a preview is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// production.
    pub production: Target,
    /// Its role may be one that can write.
    pub allow_writable: bool,
    /// fresh.
    pub fresh: Fresh,
    /// The app role.
    pub client_user: String,
    /// Its password, if it was told.
    pub client_password: Option<Secret>,
    /// Everything that needs no reading of other files, options already put in.
    pub config: Config,
}

impl Settings {
    /// For `up`.
    ///
    /// # Errors
    /// When the file is wrong, or production isn't told at all.
    pub fn up(options: &Up) -> Result<Self, ConfigError> {
        let mut config = file_or_default(options.config.as_deref())?;
        put(&mut config.listen, options.listen);
        config.admin = options.admin.or(config.admin);
        config.database = options.database.clone().or(config.database);
        put(&mut config.client.user, options.client_user.clone());
        put(&mut config.limits.sequence_gap, options.sequence_gap);
        put(
            &mut config.limits.max_copy_up_rows,
            options.max_copy_up_rows,
        );
        select(&mut config.tables, &options.selection);
        if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
            let required = config.tls.as_ref().is_some_and(|tls| tls.required);
            config.tls = Some(ServerTls {
                certificate_file: certificate.clone(),
                key_file: key.clone(),
                required,
            });
        }
        let fresh = match (&options.fresh, &options.data) {
            (Some(url), _) => Fresh::Given(Box::new(secret::parse_url("--fresh", url)?)),
            (None, None) if config.fresh.is_given() => {
                Fresh::Given(Box::new(secret::fresh(&config)?))
            }
            (None, data) => Fresh::Embedded { data: data.clone() },
        };
        let allow_writable = options.allow_writable_production || config.production.allow_writable;
        Self::new(
            config,
            options.production.production.as_deref(),
            fresh,
            allow_writable,
        )
    }

    /// For `provision`.
    ///
    /// # Errors
    /// When the file is wrong, or one of the databases isn't told.
    pub fn provision(options: &Provision) -> Result<Self, ConfigError> {
        let mut config = file_or_default(options.config.as_deref())?;
        put(&mut config.client.user, options.client_user.clone());
        put(&mut config.limits.sequence_gap, options.sequence_gap);
        put(
            &mut config.limits.max_copy_up_rows,
            options.max_copy_up_rows,
        );
        select(&mut config.tables, &options.selection);
        let fresh = match &options.fresh {
            Some(url) => secret::parse_url("--fresh", url)?,
            None if config.fresh.is_given() => secret::fresh(&config)?,
            None => {
                return Err(ConfigError::value(
                    "fresh",
                    "say where it is by --fresh, PREVIEWPG_FRESH_URL or the configuration file",
                ));
            }
        };
        let allow_writable = options.allow_writable_production || config.production.allow_writable;
        Self::new(
            config,
            options.production.production.as_deref(),
            Fresh::Given(Box::new(fresh)),
            allow_writable,
        )
    }

    /// For `serve`: everything stands in the file.
    ///
    /// # Errors
    /// When the file is wrong or lacks something.
    pub fn serve(config: &Config) -> Result<Self, ConfigError> {
        let fresh = Fresh::Given(Box::new(secret::fresh(config)?));
        let settings = Self::new(
            config.clone(),
            None,
            fresh,
            config.production.allow_writable,
        )?;
        if settings.client_password.is_none() {
            return Err(ConfigError::value(
                "client.passwordFile",
                format!(
                    "is missing (or set {CLIENT_PASSWORD}): clients and previewpg log in at fresh with it"
                ),
            ));
        }
        Ok(settings)
    }

    /// What is known of `serve` before its file is read: nothing that matters.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn read(options: &Serve) -> Result<Config, ConfigError> {
        Config::read(&options.config)
    }

    fn new(
        config: Config,
        production: Option<&str>,
        fresh: Fresh,
        allow_writable: bool,
    ) -> Result<Self, ConfigError> {
        let production = production_target(&config, production)?;
        let client_password = match secret::client_password(&config)? {
            None => std::env::var(CLIENT_PASSWORD)
                .ok()
                .filter(|password| !password.is_empty())
                .map(Secret::new),
            given => given,
        };
        Ok(Self {
            production,
            allow_writable,
            fresh,
            client_user: config.client.user.clone(),
            client_password,
            config,
        })
    }

    /// The database's name as clients see it.
    #[must_use]
    pub fn shown_database(&self) -> &str {
        self.config
            .database
            .as_deref()
            .unwrap_or(&self.production.database)
    }

    /// The database of a given fresh. A URL of the maintenance database `postgres` names a server rather than a database: the preview has a
    /// database of the shown name there, so that `current_database()` is what it is on production.
    #[must_use]
    pub fn fresh_database(&self, given: &Target) -> Target {
        let mut target = given.clone();
        if given.database == MAINTENANCE {
            self.shown_database().clone_into(&mut target.database);
        }
        target
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.config.listen
    }
}

/// For `check`: production, the selection and the configuration's limits.
///
/// # Errors
/// When the file is wrong, or production isn't told at all.
pub fn check(options: &Check) -> Result<(Target, Config), ConfigError> {
    let mut config = file_or_default(options.config.as_deref())?;
    select(&mut config.tables, &options.selection);
    let production = production_target(&config, options.production.production.as_deref())?;
    Ok((production, config))
}

/// How a command logs: what its options say, else what the file says. A file that can't be read is reported later, with defaults here.
#[must_use]
pub fn logging(config: Option<&Path>, format: Option<LogFormat>, filter: Option<&str>) -> Logging {
    let mut logging = config
        .and_then(|path| Config::read(path).ok())
        .map(|config| config.logging)
        .unwrap_or_default();
    put(&mut logging.format, format);
    put(&mut logging.filter, filter.map(str::to_owned));
    logging
}

fn production_target(config: &Config, url: Option<&str>) -> Result<Target, ConfigError> {
    match url {
        Some(url) => secret::parse_url("--production", url),
        None if config.production.endpoint().is_given() => secret::production(config),
        None => Err(ConfigError::value(
            "production",
            "say where it is by --production, PREVIEWPG_PRODUCTION_URL or the configuration file",
        )),
    }
}

fn file_or_default(path: Option<&Path>) -> Result<Config, ConfigError> {
    path.map_or_else(|| Ok(Config::default()), Config::read)
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn select(tables: &mut Tables, selection: &Selection) {
    for (place, values) in [
        (&mut tables.schemas, &selection.schemas),
        (&mut tables.exclude, &selection.exclude),
        (&mut tables.empty, &selection.empty),
    ] {
        if !values.is_empty() {
            place.clone_from(values);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::command::cli::{Cli, Command};
    use clap::Parser;

    fn up(words: &[&str]) -> Result<Settings, ConfigError> {
        let words = ["previewpg", "up"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Up(options) => Settings::up(&options),
            _ => panic!("not up"),
        }
    }

    #[test]
    fn options_win_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.yaml");
        std::fs::write(
            &file,
            "production: {url: 'postgres://file@p/d'}\nfresh: {url: 'postgres://o@f/d'}\nlisten: 127.0.0.1:1\nlimits: {sequenceGap: 7}\ntables: {exclude: [a]}\n",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let plain = up(&["--config", file]).unwrap();
        assert_eq!(
            (
                plain.production.user.as_str(),
                plain.listen().port(),
                plain.config.limits.sequence_gap
            ),
            ("file", 1, 7)
        );
        assert!(matches!(plain.fresh, Fresh::Given(_)));

        let options = up(&[
            "--config",
            file,
            "--production",
            "postgres://option@p/d",
            "--listen",
            "127.0.0.1:2",
            "--sequence-gap",
            "8",
            "--data",
            "x",
        ])
        .unwrap();
        assert_eq!(
            (
                options.production.user.as_str(),
                options.listen().port(),
                options.config.limits.sequence_gap
            ),
            ("option", 2, 8)
        );
        assert!(matches!(options.fresh, Fresh::Embedded { data: Some(_) }));
        assert_eq!(options.config.tables.exclude, ["a"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = up(&["--production", "postgres://h/d"])
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("--production: ") && message.contains("no user"),
            "{message}"
        );
        let config =
            Config::parse("production: {url: 'postgres://u@p/d'}", Path::new("c")).unwrap();
        assert!(
            Settings::serve(&config)
                .unwrap_err()
                .to_string()
                .starts_with("fresh: say where it is")
        );
    }

    #[test]
    fn a_temporary_embedded_server_is_the_default() {
        let settings = up(&["--production", "postgres://u@p/d"]).unwrap();
        assert!(matches!(settings.fresh, Fresh::Embedded { data: None }));
        assert_eq!(settings.client_user, "app");
    }
}
