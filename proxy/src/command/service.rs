//! Serving clients: what `up`, `serve` and `demo` have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::connect::connect;
use super::control::{Control, ForSessions};
use super::error::{CommandError, explain};
use super::prepare;
use super::settings::Settings;
use super::signals::Signals;
use crate::admin::health::{Condition, Health};
use crate::admin::http::{self, Admin};
use crate::admin::metrics::Metrics;
use crate::auth::verifier::Verifier;
use crate::catalog::store::Store;
use crate::config::file::Limits;
use crate::embedded::server::percent_encode;
use crate::net::accept::Greeting;
use crate::net::drain::Shutdown;
use crate::net::listen::{self, Listener, Places};
use crate::net::pool::{self, Pool};
use crate::net::secret::Secret;
use crate::net::target::{RootCertificates, Target};
use crate::net::tls::{ClientTls, ServerTls, TlsError};
use crate::session;
use crate::session::planner::Rewriter;
use crate::wire::frame;

/// How long a copy-up in a transaction of its own may wait for another session's claim.
const APART_LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait before asking production again.
const CHECK_AGAIN: Duration = Duration::from_secs(5);
/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
pub struct Service {
    /// Where clients connect.
    pub address: SocketAddr,
    admin: Option<SocketAddr>,
    server: Arc<session::Server>,
    tls: Option<Arc<ServerTls>>,
    health: Arc<Health>,
    places: Places,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    control: Arc<Control>,
    watching: JoinHandle<()>,
    /// Where fresh is, as its owner: what can't change.
    fresh: Target,
    /// How it ends, in seconds.
    linger: AtomicU64,
    drain: AtomicU64,
    /// What production's sessions are made by.
    production: Mutex<Source>,
    /// Brings other sessions into use, once they can be had.
    rotating: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("address", &self.address)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// What production's sessions are made by. Two that are equal make the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    target: Target,
    sessions: u32,
    allow_writable: bool,
    /// The content of the files that TLS is made by.
    files: Vec<Option<Vec<u8>>>,
}

impl Source {
    fn of(settings: &Settings) -> Self {
        let target = settings.production.clone();
        let roots = match &target.sslrootcert {
            Some(RootCertificates::File(path)) => Some(path),
            _ => None,
        };
        let files = [roots, target.sslcert.as_ref(), target.sslkey.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| std::fs::read(path).ok())
            .collect();
        Self {
            sessions: settings.config.pool.production_sessions,
            allow_writable: settings.allow_writable,
            target,
            files,
        }
    }

    fn pool(&self) -> Result<Pool, TlsError> {
        let options = pool::Options {
            size: usize::try_from(self.sessions).unwrap_or(usize::MAX),
            ..pool::Options::default()
        };
        let tls = ClientTls::new(&self.target)?;
        Ok(Pool::new(self.target.clone(), tls, options))
    }
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
        let production = Source::of(settings);
        let server = Arc::new(session::Server::new(
            session_options(settings, owner, password)?,
            Arc::new(Rewriter),
            store,
            Arc::new(ForSessions(Arc::clone(&control))),
            Some(production.pool()?),
            Arc::clone(&foundation.metrics),
        ));
        control.cancels_for(&server);
        let asked = Arc::downgrade(&server);
        let tell = move || asked.upgrade()?.production_failure();
        foundation.health.production_is_told_by(Box::new(tell));
        let wanted = settings.listen();
        let failed = |source| CommandError::Listen {
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shutdown = Shutdown::default();
        let places = Places::new(0);
        set_places(&places, limits);
        let serving = tokio::spawn(listen::serve(
            Listener::Tcp(listener),
            listen::Options {
                greeting,
                // The end is decided here: the limit may be changed.
                drain_limit: FOR_EVER,
            },
            places.clone(),
            Arc::clone(&server),
            shutdown.clone(),
        ));
        let watching = tokio::spawn(Arc::clone(&control).watch());
        foundation.health.holds(Condition::Serving);
        Ok(Self {
            address,
            admin: foundation.admin,
            server,
            tls,
            health: Arc::clone(&foundation.health),
            places,
            shutdown,
            serving,
            control,
            watching,
            fresh: owner.clone(),
            linger: AtomicU64::new(limits.linger_seconds),
            drain: AtomicU64::new(limits.drain_seconds),
            production: Mutex::new(production),
            rotating: Mutex::default(),
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

    /// Takes up what can be changed while it runs, for clients that come from now on; those that are there stay.
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
        let limits = &settings.config.limits;
        set_places(&self.places, limits);
        self.linger.store(limits.linger_seconds, Ordering::Relaxed);
        self.drain.store(limits.drain_seconds, Ordering::Relaxed);
        if same_database(owner, &self.fresh) {
            match session_options(settings, owner, password) {
                Ok(options) => {
                    self.control.set_owner(owner.clone());
                    self.server.reconfigure(options);
                }
                Err(error) => {
                    tracing::error!(%error, "the changed configuration can't be used; the old one stays")
                }
            }
        } else {
            tracing::warn!("fresh is another database now; that is taken up by a restart only");
        }
        self.rotate(settings);
    }

    /// Brings other sessions at production into use, if they differ and once they can be had; until then the old ones stay.
    fn rotate(&self, settings: &Settings) {
        let new = Source::of(settings);
        let mut current = lock(&self.production);
        if new == *current {
            return;
        }
        if new.target.database != current.target.database {
            tracing::warn!(
                "production is another database now; that is taken up by a restart only"
            );
            return;
        }
        current.clone_from(&new);
        let server = Arc::clone(&self.server);
        let settings = settings.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = check_production(&settings).await {
                tracing::error!(error = %explain(&error), "the new way to production is refused; the old one stays in use");
                return;
            }
            match new.pool() {
                Ok(pool) => {
                    server.set_production(pool);
                    tracing::info!("the new way to production is in use");
                }
                Err(error) => {
                    tracing::error!(%error, "the new way to production can't be used; the old one stays in use")
                }
            }
        });
        if let Some(former) = lock(&self.rotating).replace(task) {
            former.abort();
        }
    }

    /// Ends in good order: unready at once, but new clients are served on for `limits.lingerSeconds` if `lingers`; then none is taken, and transactions go on up to
    /// the limit. A second signal ends them, too.
    pub async fn end(self, signals: &mut Signals, lingers: bool) {
        self.health.fails(Condition::Serving, "draining");
        if let Some(task) = lock(&self.rotating).take() {
            task.abort();
        }
        let mut serving = self.serving;
        let linger = Duration::from_secs(self.linger.load(Ordering::Relaxed));
        let hurried = lingers
            && tokio::select! {
                () = tokio::time::sleep(linger) => false,
                name = signals.next() => {
                    tracing::info!(signal = name, "ending now");
                    true
                }
            };
        self.shutdown.drain();
        let limit = Duration::from_secs(self.drain.load(Ordering::Relaxed));
        let drained = !hurried
            && tokio::select! {
                _ = &mut serving => true,
                () = tokio::time::sleep(limit) => {
                    tracing::warn!(clients = self.places.taken(), "ending transactions that did not end within the limit");
                    false
                }
                name = signals.next() => {
                    tracing::info!(signal = name, "ending now");
                    false
                }
            };
        if !drained {
            self.shutdown.end();
            let _ = serving.await;
        }
        // Sessions needed the lease to the last.
        self.watching.abort();
        self.control.leave().await;
    }
}

fn set_places(places: &Places, limits: &Limits) {
    places.set(
        usize::try_from(limits.max_clients).unwrap_or(usize::MAX),
        Duration::from_secs(limits.login_seconds),
    );
}

/// Whether two ways lead to the same database, as far as their words tell.
fn same_database(one: &Target, other: &Target) -> bool {
    (&one.hosts, &one.database, &one.user) == (&other.hosts, &other.database, &other.user)
}

/// Ends when production's role is known not to write, or with an error when it can.
///
/// # Errors
/// When it can write, or what is asked of it isn't answered as it should be.
pub async fn check_production(settings: &Settings) -> Result<(), CommandError> {
    let mut failures = 0_u32;
    loop {
        let result = match connect("production", &settings.production).await {
            Ok(client) => prepare::refuse_writing(&client, settings.allow_writable).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Err(error @ (CommandError::Connect(_) | CommandError::Ask { .. })) => {
                if failures.is_multiple_of(60) {
                    tracing::warn!(reason = %explain(&error), "production isn't there; what needs it will fail until it is");
                }
                failures = failures.saturating_add(1);
                tokio::time::sleep(CHECK_AGAIN).await;
            }
            other => return other,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is valid at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        limits: frame::Limits::default(),
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
