//! The proxies' configuration file, as `previewpg serve` reads it, and databases as connection strings.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use previewpg_proxy::config::Config;
use previewpg_proxy::config::file::{
    Client, Endpoint, Limits, LogFormat, Logging, Pool, Production, ServerTls, Tables,
};
use previewpg_proxy::net::target::{ChannelBinding, RootCertificates, Target};

use super::secret::{CERTIFICATE, CERTIFICATE_KEY, FRESH, PASSWORD, PRODUCTION};
use super::{ADMIN_PORT, POSTGRES_PORT};

/// The configuration's file in a proxy's pod.
pub const FILE: &str = "previewpg.yaml";
/// The directory of the configuration.
pub const DIRECTORY: &str = "/etc/previewpg/config";
/// The directory of the internal Secret's files.
pub const INTERNAL: &str = "/etc/previewpg/internal";
/// The directory of the access Secret's password.
pub const ACCESS: &str = "/etc/previewpg/access";
/// The directory of the certificate that's shown to applications.
pub const TLS: &str = "/etc/previewpg/tls";

/// How long transactions in progress get at the end of a proxy.
pub const DRAIN_SECONDS: u64 = 30;

/// What a proxy is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<'a> {
    /// The database's name that applications see.
    pub database: &'a str,
    /// The role that they log in as.
    pub username: &'a str,
    /// Serve although production's role can write.
    pub allow_writable_role: bool,
    /// The schemas that are brought; none: all.
    pub schemas: &'a [String],
    /// The tables that are left out.
    pub exclude: &'a [String],
    /// The tables without production's rows.
    pub empty: &'a [String],
    /// The most rows that one statement may copy up.
    pub max_copy_up_rows: u64,
    /// The most bytes that one statement may copy up.
    pub max_copy_up_bytes: u64,
    /// How far sequences start above production's value.
    pub sequence_gap: u64,
    /// The most clients.
    pub max_clients: u32,
    /// The most read sessions on production.
    pub production_sessions: u32,
}

/// The configuration file's text.
///
/// # Errors
/// When it can't be written as YAML.
pub fn text(input: &Input<'_>) -> Result<String, serde_saphyr::ser::Error> {
    let inside = |directory: &str, file: &str| PathBuf::from(format!("{directory}/{file}"));
    let any =
        |port: i32| SocketAddr::from((Ipv4Addr::UNSPECIFIED, u16::try_from(port).unwrap_or(0)));
    serde_saphyr::to_string(&Config {
        production: Production {
            url_file: Some(inside(INTERNAL, PRODUCTION)),
            allow_writable: input.allow_writable_role,
            ..Production::default()
        },
        fresh: Endpoint {
            url_file: Some(inside(INTERNAL, FRESH)),
            ..Endpoint::default()
        },
        listen: any(POSTGRES_PORT),
        admin: Some(any(ADMIN_PORT)),
        database: Some(input.database.to_owned()),
        client: Client {
            user: input.username.to_owned(),
            password_file: Some(inside(ACCESS, PASSWORD)),
        },
        tls: Some(ServerTls {
            certificate_file: inside(TLS, CERTIFICATE),
            key_file: inside(TLS, CERTIFICATE_KEY),
            required: false,
        }),
        tables: Tables {
            schemas: input.schemas.to_vec(),
            exclude: input.exclude.to_vec(),
            empty: input.empty.to_vec(),
        },
        limits: Limits {
            max_copy_up_rows: input.max_copy_up_rows,
            max_copy_up_mebibytes: input.max_copy_up_bytes.div_ceil(1 << 20),
            max_clients: input.max_clients,
            sequence_gap: input.sequence_gap,
            drain_seconds: DRAIN_SECONDS,
            ..Limits::default()
        },
        pool: Pool {
            production_sessions: input.production_sessions,
        },
        logging: Logging {
            format: LogFormat::Json,
            ..Logging::default()
        },
    })
}

impl Input<'_> {
    /// What a running proxy doesn't take up: the rest is the same for every preview here.
    #[must_use]
    pub fn fixed(&self) -> Self {
        Self {
            database: self.database,
            username: self.username,
            allow_writable_role: false,
            schemas: &[],
            exclude: &[],
            empty: &[],
            max_copy_up_rows: 1,
            max_copy_up_bytes: 1,
            sequence_gap: 0,
            max_clients: 1,
            production_sessions: 1,
        }
    }
}

/// A database as a connection string of `key='value'` pairs, for a secret file.
#[must_use]
pub fn connection_string(target: &Target) -> String {
    let mut out = String::new();
    let mut put = |key: &str, value: &str| {
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        let separator = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{separator}{key}='{quoted}'");
    };
    let (hosts, ports) = target.host_lists();
    put("host", &hosts);
    put("port", &ports);
    put("user", &target.user);
    if let Some(password) = &target.password {
        put("password", password.expose());
    }
    put("dbname", &target.database);
    put("sslmode", target.sslmode.as_str());
    match &target.sslrootcert {
        Some(RootCertificates::System) => put("sslrootcert", "system"),
        Some(RootCertificates::File(path)) => put("sslrootcert", &path.display().to_string()),
        None => {}
    }
    for (key, path) in [("sslcert", &target.sslcert), ("sslkey", &target.sslkey)] {
        if let Some(path) = path {
            put(key, &path.display().to_string());
        }
    }
    match target.channel_binding {
        ChannelBinding::Prefer => {}
        ChannelBinding::Disable => put("channel_binding", "disable"),
        ChannelBinding::Require => put("channel_binding", "require"),
    }
    if let Some(options) = &target.options {
        put("options", options);
    }
    if let Some(name) = &target.application_name {
        put("application_name", name);
    }
    if let Some(limit) = target.connect_timeout {
        put("connect_timeout", &limit.as_secs().to_string());
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    pub(crate) fn input() -> Input<'static> {
        Input {
            database: "shop",
            username: "app",
            allow_writable_role: false,
            schemas: &[],
            exclude: &[],
            empty: &[],
            max_copy_up_rows: 100_000,
            max_copy_up_bytes: 256 << 20,
            sequence_gap: 1_000_000,
            max_clients: 200,
            production_sessions: 8,
        }
    }

    #[test]
    fn the_proxy_reads_what_is_written() {
        let excluded = [
            "audit.*".to_owned(),
            "public.it's \"odd\": # yes".to_owned(),
        ];
        let text = text(&Input {
            database: "1e3",
            exclude: &excluded,
            max_copy_up_bytes: (1 << 20) + 1,
            ..input()
        })
        .unwrap();
        let config = Config::parse(&text, Path::new(FILE)).unwrap();
        assert_eq!(config.database.as_deref(), Some("1e3"));
        assert_eq!(config.tables.exclude, excluded);
        assert_eq!(config.limits.max_copy_up_mebibytes, 2);
        assert_eq!(config.limits.max_clients, 200);
        assert_eq!(config.pool.production_sessions, 8);
        assert_eq!(config.listen.to_string(), "0.0.0.0:5432");
        let files: Vec<_> = config
            .referred_files()
            .into_iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            files,
            [
                "/etc/previewpg/internal/production",
                "/etc/previewpg/internal/fresh",
                "/etc/previewpg/access/password",
                "/etc/previewpg/tls/tls.crt",
                "/etc/previewpg/tls/tls.key",
            ]
        );
        assert!(!text.to_lowercase().contains("password:"));
    }

    #[test]
    fn a_running_proxy_takes_up_all_but_what_is_fixed() {
        let read =
            |input: &Input<'_>| Config::parse(&text(input).unwrap(), Path::new(FILE)).unwrap();
        let excluded = ["audit.*".to_owned()];
        let one = input();
        let other = Input {
            allow_writable_role: true,
            exclude: &excluded,
            max_copy_up_rows: 7,
            max_clients: 9,
            production_sessions: 2,
            ..input()
        };
        assert_eq!(one.fixed(), other.fixed());
        assert_eq!(read(&one).needs_restart(&read(&other)), Vec::<&str>::new());
        let renamed = Input {
            database: "other",
            ..input()
        };
        assert_ne!(one.fixed(), renamed.fixed());
        assert_eq!(read(&one).needs_restart(&read(&renamed)), ["database"]);
    }

    #[test]
    fn connection_strings_are_read_back_as_they_were() {
        for text in [
            "postgres://reader:p%27a%5Css%20w@db.example:5433/my%20shop?sslmode=verify-full&sslrootcert=/etc/ca.crt",
            "host=a,b port=1,2 user=u dbname=d sslmode=disable options='-c statement_timeout=5' application_name=x connect_timeout=7",
            "postgres://u@h/d?sslrootcert=system&sslcert=/c&sslkey=/k&channel_binding=require",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                connection_string(&target).parse::<Target>().unwrap(),
                target,
                "{text}"
            );
        }
    }
}
