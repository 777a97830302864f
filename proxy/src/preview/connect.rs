//! The control plane's connections: introspection and checks, by tokio-postgres. Clients' data never goes this way.

use std::future::poll_fn;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Mode};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

use crate::net::target::{Address, ChannelBinding, SslMode, Target};
use crate::net::tls::{ClientTls, TlsError};

/// The limit for one attempt, unless the target says another.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a database can't be connected to. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TLS can't be set up.
    #[error("can't prepare TLS towards {side} ({place})")]
    Tls {
        /// `production` or `fresh`.
        side: &'static str,
        /// Where it is.
        place: String,
        /// Why not.
        #[source]
        source: TlsError,
    },
    /// It can't be reached, or refuses.
    #[error("can't connect to {side} ({place})")]
    Refused {
        /// `production` or `fresh`.
        side: &'static str,
        /// Where it is.
        place: String,
        /// Why not.
        #[source]
        source: tokio_postgres::Error,
    },
    /// No answer came.
    #[error("{side} ({place}) didn't answer within {} s", .within.as_secs())]
    TimedOut {
        /// `production` or `fresh`.
        side: &'static str,
        /// Where it is.
        place: String,
        /// How long we waited.
        within: Duration,
    },
}

impl ConnectError {
    /// `production` or `fresh`.
    #[must_use]
    pub fn side(&self) -> &'static str {
        match self {
            Self::Tls { side, .. } | Self::Refused { side, .. } | Self::TimedOut { side, .. } => {
                side
            }
        }
    }
}

/// Connects to a database. `side` is its name in messages: `production` or `fresh`.
///
/// # Errors
/// When it can't be reached or refuses.
pub async fn connect(side: &'static str, target: &Target) -> Result<Client, ConnectError> {
    connect_told(side, target, |_| ()).await
}

/// The same, with each notification (LISTEN) told; `None`: the connection has ended.
///
/// # Errors
/// When it can't be reached or refuses.
pub async fn connect_told(
    side: &'static str,
    target: &Target,
    told: impl FnMut(Option<Notification>) + Send + 'static,
) -> Result<Client, ConnectError> {
    let within = target.connect_timeout.unwrap_or(WITHIN);
    let config = configuration(target, within);
    let attempt = async {
        if target.sslmode == SslMode::Disable {
            let (client, connection) =
                config.connect(NoTls).await.map_err(refused(side, target))?;
            drive(connection, told);
            return Ok(client);
        }
        let tls = ClientTls::new(target).map_err(|source| ConnectError::Tls {
            side,
            place: place(target),
            source,
        })?;
        let (client, connection) = config.connect(tls).await.map_err(refused(side, target))?;
        drive(connection, told);
        Ok(client)
    };
    // The limit is for each host; the whole must end as well.
    let hosts = u32::try_from(target.hosts.len()).unwrap_or(1).max(1);
    let whole = within
        .saturating_mul(hosts)
        .saturating_add(Duration::from_secs(1));
    tokio::time::timeout(whole, attempt)
        .await
        .unwrap_or_else(|_| {
            Err(ConnectError::TimedOut {
                side,
                place: place(target),
                within: whole,
            })
        })
}

/// Where a database is, without secrets: `reader@db.example:5432/shop`.
#[must_use]
pub fn place(target: &Target) -> String {
    let hosts: Vec<String> = target.hosts.iter().map(ToString::to_string).collect();
    format!("{}@{}/{}", target.user, hosts.join(","), target.database)
}

fn refused(
    side: &'static str,
    target: &Target,
) -> impl FnOnce(tokio_postgres::Error) -> ConnectError + use<> {
    let place = place(target);
    move |source| ConnectError::Refused {
        side,
        place,
        source,
    }
}

fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    mut told: impl FnMut(Option<Notification>) + Send + 'static,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => told(Some(notification)),
                Some(Ok(_)) => {}
                // What is in flight gets the error, too.
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection of the control plane has ended");
                    break;
                }
                None => break,
            }
        }
        told(None);
    });
}

fn configuration(target: &Target, within: Duration) -> Config {
    let mut config = Config::new();
    for host in &target.hosts {
        match &host.address {
            Address::Tcp(name) => config.host(name),
            Address::Unix(directory) => config.host_path(directory),
        };
        config.port(host.port);
    }
    config
        .user(&target.user)
        .dbname(&target.database)
        .application_name(target.application_name.as_deref().unwrap_or("previewpg"))
        .connect_timeout(within)
        .keepalives_idle(Duration::from_secs(60))
        .ssl_mode(match target.sslmode {
            SslMode::Disable => Mode::Disable,
            SslMode::Prefer => Mode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Mode::Require,
        })
        .channel_binding(match target.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
    if let Some(password) = &target.password {
        config.password(password.expose());
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    config
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[tokio::test]
    async fn a_refusal_names_the_side_and_the_place_and_no_password() {
        let target: Target = "postgres://reader:sesame@127.0.0.1:1/shop?sslmode=disable"
            .parse()
            .unwrap();
        let error = connect("production", &target).await.err().unwrap();
        let message = error.to_string();
        assert!(
            message.starts_with("can't connect to production (reader@127.0.0.1:1/shop)"),
            "{message}"
        );
        assert!(error.source().is_some());
        assert!(!format!("{error:?}{message}").contains("sesame"));
    }

    #[test]
    fn everything_of_a_target_is_used() {
        let target: Target = "postgres://u:p@a:1,b:2/d?sslmode=verify-full&application_name=x&options=-c%20a%3Db&channel_binding=require"
            .parse()
            .unwrap();
        let config = configuration(&target, WITHIN);
        assert_eq!(config.get_ports(), [1, 2]);
        assert_eq!(config.get_hosts().len(), 2);
        assert_eq!(config.get_password(), Some(&b"p"[..]));
        assert_eq!(config.get_options(), Some("-c a=b"));
        assert_eq!(config.get_application_name(), Some("x"));
        assert_eq!(config.get_ssl_mode(), Mode::Require);
        assert_eq!(config.get_channel_binding(), Binding::Require);
    }
}
