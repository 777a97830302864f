//! What the process has for its sessions: logging clients in, giving each its session at fresh, passing cancel requests on.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::apart::Helper;
use super::cancel::Cancels;
use super::conversation::{Asked, Common, Conversation};
use super::drive::{Drive, End, Performing, Process};
use super::planner::{Planner, Readings};
use crate::admin::metrics::Metrics;
use crate::auth::backend::{self, Backend, ConnectError};
use crate::auth::client;
use crate::auth::verifier::Verifier;
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::net::accept::{Greeted, refuse};
use crate::net::drain::Drain;
use crate::net::listen::{Client, Handler};
use crate::net::pool::Pool;
use crate::net::target::Target;
use crate::net::tls::ClientTls;
use crate::wire::frame::Limits;
use crate::wire::report::Report;
use crate::wire::startup::CancelRequest;
use crate::wire::{TransactionStatus, backend as message};

/// A session's process and secret, as its BackendKeyData gave them.
type CancelKey = (u32, Vec<u8>);

/// The control plane has no line to fresh, and a client can't wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the preview's control plane can't reach fresh")]
pub struct Lost;

/// A future that can be kept. An error ends the session: what its client did can't be told to those who must know.
pub type Hooked = Pin<Box<dyn Future<Output = Result<(), Lost>> + Send>>;

/// What sessions need of the control plane. A hook's future is waited for: nothing of the client goes on before it has ended.
pub trait Hooks: Send + Sync {
    /// Makes it known, to whoever else reads these tables from production, that they are dirty. The process's own marks are set already.
    fn mark_dirty(&self, relations: Vec<Oid>) -> Hooked;
    /// Makes it known, to whoever else serves this fresh, that a session (which `own` of fresh's processes runs) is about to change the schema. The process's own sessions know.
    fn changing(&self, own: Option<u32>) -> Hooked;
    /// Reads the committed catalog and publishes it: a session has committed a change of the schema. Whatever was committed before the call must be in what is published.
    fn reload(&self) -> Hooked;
    /// Waits until what is published, and the marks, may be believed ([`crate::catalog::lease`]).
    fn current(&self) -> Hooked;
    /// Tells other processes of a cancel request that none of this one's sessions was meant by. An error: they can't be told.
    fn cancel_elsewhere(&self, request: &CancelRequest) -> Hooked;
}

/// How clients are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database's name as clients see it: production's.
    pub database: String,
    /// The one user that clients log in as: the app role.
    pub user: String,
    /// Its password's verifier.
    pub verifier: Arc<Verifier>,
    /// Fresh, as the app role: with its password there. `database` is the name that fresh itself uses.
    pub fresh: Target,
    /// TLS towards fresh.
    pub fresh_tls: ClientTls,
    /// How long messages may be.
    pub limits: Limits,
    /// How long a copy-up in a transaction of its own may wait for locks.
    pub apart_lock_timeout: Duration,
}

/// Serves clients. One for the whole process.
pub struct Server {
    /// Replaced when the configuration is; sessions keep what they began with.
    options: ArcSwap<Options>,
    common: Arc<Common>,
    hooks: Arc<dyn Hooks>,
    /// Production's sessions; `None`: reads never leave fresh.
    production: ArcSwapOption<Pool>,
    /// Who to tell of a cancel request.
    cancels: Mutex<HashMap<CancelKey, Arc<Cancels>>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// `store` must hold the catalog already.
    #[must_use]
    pub fn new(
        options: Options,
        planner: Arc<dyn Planner>,
        store: Arc<Store>,
        hooks: Arc<dyn Hooks>,
        production: Option<Pool>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            options: ArcSwap::from_pointee(options),
            common: Arc::new(Common {
                readings: Readings::new(planner),
                store,
                metrics,
            }),
            hooks,
            production: ArcSwapOption::from_pointee(production),
            cancels: Mutex::default(),
        }
    }

    /// Takes up other options, for clients that come from now on.
    pub fn reconfigure(&self, options: Options) {
        self.options.store(Arc::new(options));
    }

    /// Why production couldn't be reached, if the last attempt failed.
    #[must_use]
    pub fn production_failure(&self) -> Option<String> {
        self.production.load().as_ref()?.failure()
    }

    /// Has reads run on sessions of another pool from now on; those that run end where they are.
    pub fn set_production(&self, production: Pool) {
        self.production.store(Some(Arc::new(production)));
    }

    /// Cancels what a session of this process runs, if `is_key` finds its secret right: another process was asked to.
    pub async fn cancel_told(&self, process: u32, is_key: impl Fn(&[u8]) -> bool) {
        let meant = |(each, secret): &&CancelKey| *each == process && is_key(secret);
        let found = lock(&self.cancels)
            .keys()
            .find(meant)
            .map(|(process, secret)| CancelRequest {
                process: *process,
                secret: secret.clone(),
            });
        if let Some(request) = found {
            self.cancel(&request).await;
        }
    }

    /// Logs a client in and converses with it until it leaves.
    pub async fn serve(
        &self,
        mut greeted: Greeted,
        login_deadline: tokio::time::Instant,
        drain: &Drain,
    ) {
        let options = self.options.load_full();
        let user = greeted.startup.user();
        let verifier = (user == options.user).then_some(options.verifier.as_ref());
        if let Err(error) = client::login(&mut greeted, verifier, login_deadline).await {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "a client could not log in"
            );
            return;
        }
        let (target, planned) = match database(&options, greeted.startup.database()) {
            Ok(found) => found,
            Err(report) => return refuse(&mut greeted.stream, &report).await,
        };
        let parameters: Vec<_> = greeted
            .startup
            .parameters
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "user" | "database"))
            .cloned()
            .collect();
        let fresh = tokio::select! {
            connected = tokio::time::timeout_at(login_deadline, backend::connect(&target, &parameters, &options.fresh_tls)) => connected,
            () = drain.ending() => return,
        };
        let fresh = match fresh {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(error)) => {
                let hidden = (options.fresh.database.as_str(), options.database.as_str());
                return refuse(
                    &mut greeted.stream,
                    &cannot_connect(&error, planned, hidden),
                )
                .await;
            }
            Err(_) => {
                return refuse(
                    &mut greeted.stream,
                    &Report::fatal("57014", "canceling authentication due to timeout"),
                )
                .await;
            }
        };
        let _connected = self.common.metrics.connected();
        tracing::debug!(planned, "a client logged in");
        let end = self
            .converse(greeted, fresh, &options, target, planned, drain)
            .await;
        match &end {
            End::Client | End::Drained => tracing::debug!(?end, "a client left"),
            End::Fresh => tracing::info!("fresh ended a session"),
            End::Io(error) => tracing::debug!(%error, "a connection broke"),
            End::Broken(error) => tracing::warn!(%error, "a session was ended"),
        }
    }

    async fn converse(
        &self,
        greeted: Greeted,
        fresh: Backend,
        options: &Options,
        target: Target,
        planned: bool,
        drain: &Drain,
    ) -> End {
        let settings: Vec<_> = fresh
            .parameters
            .iter()
            .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
            .collect();
        let conversation = Conversation::new(
            Arc::clone(&self.common),
            greeting(&fresh),
            &settings,
            options.limits,
            fresh.key.as_ref().map(|key| key.process),
            !planned,
        );
        let cancels = Arc::new(Cancels::default());
        let _registered = fresh.key.as_ref().map(|key| {
            let key = (key.process, key.secret.clone());
            Registered::new(self, key, Arc::clone(&cancels))
        });
        let process = ForSession {
            server: self,
            helper: Helper::new(
                target,
                options.fresh_tls.clone(),
                options.apart_lock_timeout,
            ),
            cancels,
        };
        Drive::new(
            conversation,
            greeted.stream,
            fresh.stream,
            fresh.leftover,
            &process,
        )
        .run(drain)
        .await
    }

    /// Passes a cancel request on: to whoever runs that session's statement.
    pub async fn cancel(&self, request: &CancelRequest) {
        let options = self.options.load_full();
        let key = (request.process, request.secret.clone());
        let cancels = lock(&self.cancels).get(&key).cloned();
        let is_for_fresh = match cancels {
            Some(cancels) => cancels.ask(),
            // The session may be another replica's. Where that can't be told, fresh may still know it.
            None => self.hooks.cancel_elsewhere(request).await.is_err(),
        };
        if !is_for_fresh {
            return;
        }
        if let Err(error) = backend::cancel(&options.fresh, &options.fresh_tls, request).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a cancel request did not reach fresh"
            );
        }
    }
}

impl Handler for Server {
    async fn client(self: Arc<Self>, client: Client) {
        let span = tracing::info_span!(
            "session",
            user = client.greeted.startup.user(),
            database = client.greeted.startup.database()
        );
        self.serve(client.greeted, client.login_deadline, &client.drain)
            .instrument(span)
            .await;
        drop(client.place);
    }

    async fn cancel(self: Arc<Self>, request: CancelRequest) {
        Server::cancel(&self, &request).await;
    }
}

/// Where a client of this database is connected to, and whether its statements are planned.
fn database(options: &Options, asked: &str) -> Result<(Target, bool), Report> {
    let mut target = options.fresh.clone();
    if asked == options.database {
        return Ok((target, true));
    }
    if asked == options.fresh.database {
        return Err(Report::fatal(
            "3D000",
            format!("database \"{asked}\" does not exist"),
        ));
    }
    asked.clone_into(&mut target.database);
    Ok((target, false))
}

/// fresh's own error, under the name that the client knows; or that there's no fresh. `planned`: it's about the preview's database.
fn cannot_connect(error: &ConnectError, planned: bool, (hidden, shown): (&str, &str)) -> Report {
    match error.server_report() {
        Some(report) if planned && is_remade(report) => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "fresh doesn't let a client in who has logged in here"
            );
            Report::fatal("57P03", "the preview is not ready to accept connections")
                .detail(
                    "Its fresh database, or the role that clients have there, is missing or not theirs yet: it is being made, reset or given another password.",
                )
                .hint("Try again in some seconds; if it stays so, look at the proxy's log.")
        }
        Some(report) => {
            let mut report = report.clone();
            if hidden != shown {
                report.set(
                    crate::wire::report::code::MESSAGE,
                    report
                        .message()
                        .replace(&format!("\"{hidden}\""), &format!("\"{shown}\"")),
                );
            }
            report
        }
        None => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "cannot log a client in at fresh"
            );
            Report::fatal("08006", "the preview's database cannot be reached")
                .detail(format!(
                    "The proxy runs, but the fresh database behind it gives no session: {error}."
                ))
                .hint(
                    "Try again; if it stays so, look at the fresh database and at the proxy's log.",
                )
        }
    }
}

/// Whether fresh's error says that its database or the clients' role isn't as it should be. The client itself has shown that it knows the password: told
/// of a wrong one, or of a database that doesn't exist, it would give up what a moment later is there.
fn is_remade(report: &Report) -> bool {
    matches!(
        report.sqlstate(),
        // An unknown role, another password; no such database; no right to connect; no connections allowed.
        b"28000" | b"28P01" | b"3D000" | b"42501" | b"55000"
    )
}

/// What follows AuthenticationOk: as fresh said it.
fn greeting(fresh: &Backend) -> Bytes {
    let mut out = BytesMut::new();
    for notice in &fresh.notices {
        notice.write_notice(&mut out);
    }
    for (name, value) in &fresh.parameters {
        // What came from a message can be said in one.
        let _ = message::parameter_status(name.as_bytes(), value.as_bytes(), &mut out);
    }
    if let Some(key) = &fresh.key {
        key.write(&mut out);
    }
    message::ready_for_query(TransactionStatus::Idle, &mut out);
    out.freeze()
}

/// A session that can be cancelled, for as long as it lives.
struct Registered<'a> {
    server: &'a Server,
    key: CancelKey,
}

impl<'a> Registered<'a> {
    fn new(server: &'a Server, key: CancelKey, cancels: Arc<Cancels>) -> Self {
        lock(&server.cancels).insert(key.clone(), cancels);
        Self { server, key }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.server.cancels).remove(&self.key);
    }
}

/// What a session asks of the process.
struct ForSession<'a> {
    server: &'a Server,
    helper: Helper,
    cancels: Arc<Cancels>,
}

impl Process for ForSession<'_> {
    fn perform(&self, asked: Asked, cancelled: &watch::Receiver<()>) -> Performing {
        match asked {
            Asked::Mark(relations) => self.server.hooks.mark_dirty(relations),
            Asked::Changing(own) => self.server.hooks.changing(own),
            Asked::Reload => self.server.hooks.reload(),
            Asked::Current => self.server.hooks.current(),
            Asked::Apart(apart) => {
                let run = self.helper.clone().run(apart, cancelled.clone());
                Box::pin(async move {
                    run.await;
                    Ok(())
                })
            }
            Asked::Read(_) => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn pool(&self) -> Option<Pool> {
        self.server.production.load().as_deref().cloned()
    }

    fn cancels(&self) -> &Cancels {
        &self.cancels
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A map is whole whatever its holder did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
