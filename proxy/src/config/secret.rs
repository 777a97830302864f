//! Reading the files that hold secrets, and making of a configuration's way to a database one that can be connected to.

use std::path::{Path, PathBuf};

use super::file::{ClientTls, Config, Endpoint, TlsMode, WAYS};
use super::{ConfigError, read_text};
use crate::net::secret::Secret;
use crate::net::target::{Address, Host, RootCertificates, SslMode, Target, TargetError};

/// Where production is.
///
/// # Errors
/// When a file can't be read, or a URL isn't one.
pub fn production(config: &Config) -> Result<Target, ConfigError> {
    target(&config.production.endpoint(), "production")
}

/// Where fresh is, as its owner.
///
/// # Errors
/// As [`production`].
pub fn fresh(config: &Config) -> Result<Target, ConfigError> {
    target(&config.fresh, "fresh")
}

/// The app role's password, if a file is named.
///
/// # Errors
/// When the file can't be read or is empty.
pub fn client_password(config: &Config) -> Result<Option<Secret>, ConfigError> {
    config
        .client
        .password_file
        .as_deref()
        .map(|path| secret("client.passwordFile", path))
        .transpose()
}

/// Parses a URL that came from the command line or the environment; `key` names where.
///
/// # Errors
/// When it isn't one.
pub fn parse_url(key: &str, url: &str) -> Result<Target, ConfigError> {
    url.parse()
        .map_err(|error: TargetError| ConfigError::value(key, error.to_string()))
}

fn target(endpoint: &Endpoint, key: &str) -> Result<Target, ConfigError> {
    let mut target = match (&endpoint.url_file, &endpoint.url, &endpoint.host) {
        (Some(file), _, _) => {
            let url = secret(&format!("{key}.urlFile"), file)?;
            parse_url(&format!("{key}.urlFile"), url.expose())?
        }
        (None, Some(url), _) => parse_url(&format!("{key}.url"), url)?,
        (None, None, Some(host)) => from_parts(endpoint, host),
        (None, None, None) => {
            return Err(ConfigError::value(key, WAYS));
        }
    };
    if let Some(file) = &endpoint.password_file {
        target.password = Some(secret(&format!("{key}.passwordFile"), file)?);
    }
    if let Some(tls) = &endpoint.tls {
        apply_tls(&mut target, tls);
    }
    Ok(target)
}

fn from_parts(endpoint: &Endpoint, host: &str) -> Target {
    let address = if host.starts_with('/') {
        Address::Unix(PathBuf::from(host))
    } else {
        Address::Tcp(host.to_owned())
    };
    Target {
        hosts: vec![Host {
            address,
            port: endpoint.port.unwrap_or(5432),
        }],
        user: endpoint.user.clone().unwrap_or_default(),
        password: None,
        database: endpoint.database.clone().unwrap_or_default(),
        sslmode: SslMode::Prefer,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        channel_binding: crate::net::target::ChannelBinding::Prefer,
        options: None,
        application_name: None,
        connect_timeout: None,
    }
}

fn apply_tls(target: &mut Target, tls: &ClientTls) {
    target.sslmode = match tls.mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require => SslMode::Require,
        TlsMode::VerifyCa => SslMode::VerifyCa,
        TlsMode::VerifyFull => SslMode::VerifyFull,
    };
    target.sslrootcert = match &tls.ca_file {
        Some(file) => Some(RootCertificates::File(file.clone())),
        None => (tls.mode == TlsMode::VerifyFull).then_some(RootCertificates::System),
    };
}

/// A file's text without its last line end.
fn secret(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    let text = read_text(&format!("the file of {key}"), path)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(ConfigError::value(
            key,
            format!("{} is empty", path.display()),
        ));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn config(directory: &Path, production: &str) -> Config {
        let text = format!(
            "production: {production}\nfresh: {{url: 'postgres://o@f/d'}}\nclient: {{passwordFile: {}}}\n",
            directory.join("client").display()
        );
        Config::parse(&text, Path::new("c.yaml")).unwrap()
    }

    #[test]
    fn secrets_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let write = |name: &str, text: &str| std::fs::write(at.join(name), text).unwrap();
        write("url", "postgres://reader:sesame@db:5433/shop\n");
        write("password", "p w\r\n");
        write("client", "open");
        write("empty", "\n");

        let whole = production(&config(
            at,
            &format!("{{urlFile: {}}}", at.join("url").display()),
        ))
        .unwrap();
        assert_eq!(
            (
                whole.user.as_str(),
                whole.database.as_str(),
                whole.hosts[0].port
            ),
            ("reader", "shop", 5433)
        );
        assert_eq!(whole.password, Some(Secret::new("sesame")));

        let parts = config(
            at,
            &format!(
                "{{host: /run/pg, database: d, user: u, passwordFile: {}, tls: {{mode: verify-full}}}}",
                at.join("password").display()
            ),
        );
        let parsed = production(&parts).unwrap();
        assert_eq!(parsed.password, Some(Secret::new("p w")));
        assert_eq!(parsed.hosts[0].address, Address::Unix("/run/pg".into()));
        assert_eq!(
            (parsed.sslmode, parsed.sslrootcert),
            (SslMode::VerifyFull, Some(RootCertificates::System))
        );
        assert_eq!(client_password(&parts).unwrap(), Some(Secret::new("open")));

        let empty = config(at, &format!("{{urlFile: {}}}", at.join("empty").display()));
        assert!(
            production(&empty)
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
        let missing = config(at, "{urlFile: /nonexistent/url}");
        let message = production(&missing).unwrap_err().to_string();
        assert_eq!(
            message,
            "can't read the file of production.urlFile /nonexistent/url"
        );
    }
}
