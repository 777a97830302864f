//! Serving clients: what `up`, `serve` and `demo` have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::control::{Control, ForSessions};
use super::error::CommandError;
use super::settings::Settings;
use super::signals::Signals;
use crate::admin::health::{Condition, Health};
use crate::admin::http::{self, Admin};
use crate::admin::metrics::Metrics;
use crate::auth::verifier::Verifier;
use crate::catalog::store::Store;
use crate::embedded::server::percent_encode;
use crate::net::accept::Greeting;
use crate::net::drain::Shutdown;
use crate::net::listen::{self, Listener, Places};
use crate::net::pool::{self, Pool};
use crate::net::secret::Secret;
use crate::net::target::Target;
use crate::net::tls::{ClientTls, ServerTls};
use crate::session;
use crate::session::planner::Rewriter;
use crate::wire::frame::Limits;

/// How long a copy-up in a transaction of its own may wait for another session's claim.
const APART_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The parts that are there before anything can be served: the admin port tells of them.
pub struct Foundation {
    /// What is known of the state.
    pub health: Arc<Health>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Where the admin port is.
    pub admin: Option<SocketAddr>,
}

impl std::fmt::Debug for Foundation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foundation")
            .field("health", &self.health)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

impl Foundation {
    /// Opens the admin port, if there is to be one.
    ///
    /// # Errors
    /// When it can't listen there.
    pub async fn lay(admin: Option<SocketAddr>) -> Result<Self, CommandError> {
        let health = Arc::new(Health::default());
        let metrics = Arc::new(Metrics::new());
        let mut bound = None;
        if let Some(address) = admin {
            let failed = |source| CommandError::Listen { address, source };
            let listener = http::bind(address).await.map_err(failed)?;
            bound = Some(listener.local_addr().map_err(failed)?);
            let encode = Arc::clone(&metrics);
            tokio::spawn(
                Admin::new(Arc::clone(&health), Arc::new(move || encode.render())).serve(listener),
            );
        }
        Ok(Self {
            health,
            metrics,
            admin: bound,
        })
    }
}

/// A service that takes clients.
#[derive(Debug)]
pub struct Service {
    /// Where clients connect.
    pub address: SocketAddr,
    admin: Option<SocketAddr>,
    server: Arc<session::Server>,
    tls: Option<Arc<ServerTls>>,
    health: Arc<Health>,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    watching: JoinHandle<()>,
}

impl Service {
    /// Starts to take clients. `control` has loaded the catalog; `owner` is fresh as its owner.
    ///
    /// # Errors
    /// When it can't listen, or a certificate can't be used.
    pub async fn start(
        settings: &Settings,
        foundation: &Foundation,
        control: Arc<Control>,
        store: Arc<Store>,
        owner: &Target,
        password: &Secret,
    ) -> Result<Self, CommandError> {
        let limits = &settings.config.limits;
        let tls = match &settings.config.tls {
            Some(tls) => Some(Arc::new(ServerTls::load(
                &tls.certificate_file,
                &tls.key_file,
            )?)),
            None => None,
        };
        let greeting = Greeting {
            tls: tls.clone(),
            require_tls: settings.config.tls.as_ref().is_some_and(|tls| tls.required),
        };
        let production = Pool::new(
            settings.production.clone(),
            ClientTls::new(&settings.production)?,
            pool::Options {
                size: usize::try_from(settings.config.pool.production_sessions)
                    .unwrap_or(usize::MAX),
                ..pool::Options::default()
            },
        );
        let server = Arc::new(session::Server::new(
            session_options(settings, owner, password)?,
            Arc::new(Rewriter),
            store,
            Arc::new(ForSessions(Arc::clone(&control))),
            Some(production),
            Arc::clone(&foundation.metrics),
        ));
        let wanted = settings.listen();
        let failed = |source| CommandError::Listen {
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shutdown = Shutdown::default();
        let serving = tokio::spawn(listen::serve(
            Listener::Tcp(listener),
            listen::Options {
                greeting,
                drain_limit: Duration::from_secs(limits.drain_seconds),
            },
            Places::new(usize::try_from(limits.max_clients).unwrap_or(usize::MAX)),
            Arc::clone(&server),
            shutdown.clone(),
        ));
        let watching = tokio::spawn(control.watch());
        foundation.health.holds(Condition::Serving);
        Ok(Self {
            address,
            admin: foundation.admin,
            server,
            tls,
            health: Arc::clone(&foundation.health),
            shutdown,
            serving,
            watching,
        })
    }

    /// Tells, on standard output, where clients connect. The password is shown only when we made it.
    pub fn announce(&self, settings: &Settings, made: Option<&Secret>) {
        println!("{}", self.url(settings, made));
        if let Some(admin) = self.admin {
            println!("admin http://{admin}");
        }
    }

    /// The URL for clients.
    #[must_use]
    pub fn url(&self, settings: &Settings, password: Option<&Secret>) -> String {
        client_url(
            self.address,
            &settings.client_user,
            password,
            settings.shown_database(),
        )
    }

    /// Takes up what can be changed while it runs: the certificate, the app role's password.
    pub fn reload(&self, settings: &Settings, owner: &Target, password: &Secret) {
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(true) => tracing::info!("the new certificate is in use"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the new certificate can't be used; the old one stays")
                }
            }
        }
        match session_options(settings, owner, password) {
            Ok(options) => self.server.reconfigure(options),
            Err(error) => {
                tracing::error!(%error, "the changed configuration can't be used; the old one stays")
            }
        }
    }

    /// Ends in good order: no new clients, transactions go on up to the limit; a second signal ends them, too.
    pub async fn end(self, signals: &mut Signals) {
        self.health.fails(Condition::Serving, "draining");
        self.shutdown.drain();
        self.watching.abort();
        let mut serving = self.serving;
        tokio::select! {
            _ = &mut serving => return,
            name = signals.next() => tracing::info!(signal = name, "ending now"),
        }
        self.shutdown.end();
        let _ = serving.await;
    }
}

fn session_options(
    settings: &Settings,
    owner: &Target,
    password: &Secret,
) -> Result<session::Options, CommandError> {
    let fresh = Target {
        user: settings.client_user.clone(),
        password: Some(password.clone()),
        // The owner's own certificate isn't the app role's.
        sslcert: None,
        sslkey: None,
        application_name: None,
        ..owner.clone()
    };
    Ok(session::Options {
        database: settings.shown_database().to_owned(),
        user: settings.client_user.clone(),
        verifier: Arc::new(Verifier::new(password.expose())),
        fresh_tls: ClientTls::new(&fresh)?,
        fresh,
        limits: Limits::default(),
        apart_lock_timeout: APART_LOCK_TIMEOUT,
    })
}

/// A URL that psql takes.
fn client_url(
    address: SocketAddr,
    user: &str,
    password: Option<&Secret>,
    database: &str,
) -> String {
    // Nobody can connect to "any address".
    let address = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let password = password
        .map(|password| format!(":{}", percent_encode(password.expose())))
        .unwrap_or_default();
    format!(
        "postgres://{}{password}@{address}/{}",
        percent_encode(user),
        percent_encode(database)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_url() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(
            client_url(address("0.0.0.0:6432"), "app", None, "shop"),
            "postgres://app@127.0.0.1:6432/shop"
        );
        assert_eq!(
            client_url(address("[::1]:1"), "a b", Some(&Secret::new("p/w")), "s@h"),
            "postgres://a%20b:p%2Fw@[::1]:1/s%40h"
        );
        let back: Target = client_url(address("[::1]:1"), "a b", Some(&Secret::new("p/w")), "s@h")
            .parse()
            .unwrap();
        assert_eq!((back.user.as_str(), back.database.as_str()), ("a b", "s@h"));
    }
}
