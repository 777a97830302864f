//! A target in other programs' words.

use super::{Address, ChannelBinding, RootCertificates, SslMode, Target};

/// The environment variables that libpq reads: to be removed from the environment of a program that is given [`Target::libpq_environment`].
pub const LIBPQ_VARIABLES: &[&str] = &[
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLNEGOTIATION",
    "PGSSLCOMPRESSION",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCERTMODE",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLSNI",
    "PGREQUIREPEER",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGGSSLIB",
    "PGGSSDELEGATION",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGSYSCONFDIR",
    "PGLOCALEDIR",
];

impl SslMode {
    /// libpq's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl Target {
    /// For tokio-postgres, to be used with a [`ClientTls`](crate::net::tls::ClientTls) of the same target, which does the checks of `sslmode`.
    #[must_use]
    pub fn to_tokio_postgres(&self) -> tokio_postgres::Config {
        use tokio_postgres::config;
        let mut config = tokio_postgres::Config::new();
        for host in &self.hosts {
            match &host.address {
                Address::Tcp(name) => config.host(name),
                Address::Unix(folder) => config.host_path(folder),
            };
            config.port(host.port);
        }
        config
            .user(&self.user)
            .dbname(&self.database)
            .connect_timeout(self.attempt_limit())
            .ssl_mode(match self.sslmode {
                SslMode::Disable => config::SslMode::Disable,
                SslMode::Prefer => config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                    config::SslMode::Require
                }
            })
            .channel_binding(match self.channel_binding {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            });
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        if let Some(name) = &self.application_name {
            config.application_name(name);
        }
        config
    }

    /// The hosts and the ports as libpq's `host` and `port` take them: lists with commas, in the same order.
    #[must_use]
    pub fn host_lists(&self) -> (String, String) {
        let (hosts, ports): (Vec<_>, Vec<_>) = self
            .hosts
            .iter()
            .map(|host| {
                let address = match &host.address {
                    Address::Tcp(name) => name.clone(),
                    Address::Unix(folder) => folder.display().to_string(),
                };
                (address, host.port.to_string())
            })
            .unzip();
        (hosts.join(","), ports.join(","))
    }

    /// For programs that use libpq (`pg_dump`): environment variables, so that nothing secret is in a command line. Remove [`LIBPQ_VARIABLES`] first.
    #[must_use]
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let (hosts, ports) = self.host_lists();
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| path.display().to_string())
        };
        let optional = [
            (
                "PGPASSWORD",
                self.password.as_ref().map(|p| p.expose().to_owned()),
            ),
            (
                "PGSSLROOTCERT",
                self.sslrootcert.as_ref().map(|roots| match roots {
                    RootCertificates::System => "system".to_owned(),
                    RootCertificates::File(path) => path.display().to_string(),
                }),
            ),
            ("PGSSLCERT", path(&self.sslcert)),
            ("PGSSLKEY", path(&self.sslkey)),
            ("PGOPTIONS", self.options.clone()),
            ("PGAPPNAME", self.application_name.clone()),
            (
                "PGCHANNELBINDING",
                match self.channel_binding {
                    ChannelBinding::Prefer => None,
                    ChannelBinding::Disable => Some("disable".to_owned()),
                    ChannelBinding::Require => Some("require".to_owned()),
                },
            ),
        ];
        let limit = self.attempt_limit().as_secs();
        [
            ("PGHOST", hosts),
            ("PGPORT", ports),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGSSLMODE", self.sslmode.as_str().to_owned()),
            ("PGCONNECT_TIMEOUT", limit.to_string()),
        ]
        .into_iter()
        .chain(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .collect()
    }

    /// The target as people may see it: `postgres://user@host:port/database`.
    #[must_use]
    pub fn redacted(&self) -> String {
        let places: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        format!(
            "postgres://{}@{}/{}",
            self.user,
            places.join(","),
            self.database
        )
    }
}
