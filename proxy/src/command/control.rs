//! The process' own line to fresh: it holds the lock that makes it the only one serving this fresh, reads the catalog, and
//! notices when fresh is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::{ConnectError, connect, place};
use super::error::{CommandError, explain};
use crate::admin::health::{Condition, Health};
use crate::catalog::load::{BUILTINS_QUERY, QUERY, parse};
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::net::target::Target;
use crate::session::Hooks;
use crate::session::server::Hooked;

/// How often fresh is asked whether it is there.
const BEAT: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the lock may still be held by a process that was killed a moment ago.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// The advisory lock: "previewpg" as a number, and the second key for serving (the first one is provisioning's).
const LOCK: &str = "SELECT pg_catalog.pg_try_advisory_lock(1886549618, 1)";

/// The line to fresh.
#[derive(Debug)]
pub struct Control {
    owner: Target,
    /// The catalog that it publishes.
    pub store: Arc<Store>,
    health: Arc<Health>,
    line: Mutex<Option<Client>>,
}

impl Control {
    /// A line that isn't connected yet.
    #[must_use]
    pub fn new(owner: Target, store: Arc<Store>, health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self {
            owner,
            store,
            health,
            line: Mutex::new(None),
        })
    }

    /// Connects unless connected, takes the lock, and reads and publishes the catalog.
    ///
    /// # Errors
    /// When fresh isn't there, isn't provisioned or is served by somebody else.
    pub async fn load(&self) -> Result<(), CommandError> {
        let mut line = self.line.lock().await;
        let result = self.load_over(&mut line).await;
        match &result {
            Ok(()) => {
                self.health.holds(Condition::Fresh);
                self.health.holds(Condition::Catalog);
            }
            Err(error) => {
                // Whatever the connection's state is, a new one is better.
                *line = None;
                self.health.fails(Condition::Catalog, error.to_string());
            }
        }
        result
    }

    async fn load_over(&self, line: &mut Option<Client>) -> Result<(), CommandError> {
        let client = match line {
            Some(client) if !client.is_closed() => client,
            place => place.insert(self.connect().await?),
        };
        let row = client
            .query_one(QUERY, &[])
            .await
            .map_err(|error| self.unprovisioned(error))?;
        let catalog = parse(row.get(0), &self.store.shared)?;
        self.store.publish(Arc::new(catalog));
        Ok(())
    }

    async fn connect(&self) -> Result<Client, CommandError> {
        let client = connect("fresh", &self.owner)
            .await
            .map_err(|error| match error {
                ConnectError::Refused { source, .. }
                    if source.code() == Some(&SqlState::INVALID_CATALOG_NAME) =>
                {
                    CommandError::NotProvisioned {
                        place: place(&self.owner),
                    }
                }
                error => error.into(),
            })?;
        let ask = CommandError::ask;
        let deadline = Instant::now() + LOCK_WITHIN;
        while !client
            .query_one(LOCK, &[])
            .await
            .map_err(ask("fresh"))?
            .get::<_, bool>(0)
        {
            if Instant::now() > deadline {
                return Err(CommandError::Served {
                    place: place(&self.owner),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let builtins = client
            .query_one(BUILTINS_QUERY, &[])
            .await
            .map_err(ask("fresh"))?;
        self.store.shared.set_builtins(builtins.get(0))?;
        Ok(client)
    }

    fn unprovisioned(&self, error: tokio_postgres::Error) -> CommandError {
        let missing = [SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_FUNCTION];
        if error.code().is_some_and(|code| missing.contains(code)) {
            CommandError::NotProvisioned {
                place: place(&self.owner),
            }
        } else {
            CommandError::Ask {
                side: "fresh",
                source: error,
            }
        }
    }

    /// Reads and publishes the catalog, however long that takes: a session waits for it, and must not go on with an old one.
    async fn reload(&self) {
        let mut failures = 0_u32;
        while let Err(error) = self.load().await {
            failures = failures.saturating_add(1);
            if failures == 1 || failures.is_multiple_of(20) {
                tracing::error!(error = %explain(&error), "the catalog can't be read again after a change of the schema; trying on");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Asks fresh from time to time whether it is there. Never ends.
    pub async fn watch(self: Arc<Self>) {
        let mut there = true;
        loop {
            tokio::time::sleep(BEAT).await;
            let failure = self.ask().await;
            match failure {
                None => {
                    if !there {
                        tracing::info!("fresh answers again");
                        there = true;
                    }
                    self.health.holds(Condition::Fresh);
                }
                Some(reason) => {
                    if there {
                        tracing::error!(%reason, "fresh doesn't answer");
                        there = false;
                    }
                    self.health.fails(Condition::Fresh, "doesn't answer");
                }
            }
        }
    }

    /// Why fresh doesn't answer, if so. After an interruption the catalog is read again.
    async fn ask(&self) -> Option<String> {
        {
            let line = self.line.lock().await;
            if let Some(client) = line.as_ref().filter(|client| !client.is_closed()) {
                return match tokio::time::timeout(ANSWER_WITHIN, client.simple_query("SELECT 1"))
                    .await
                {
                    Ok(Ok(_)) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
                };
            }
        }
        self.load().await.err().map(|error| explain(&error))
    }
}

/// The control plane as sessions know it.
#[derive(Debug)]
pub struct ForSessions(pub Arc<Control>);

impl Hooks for ForSessions {
    /// Nobody else serves this fresh (the lock), and whoever starts later asks fresh what was written to.
    fn mark_dirty(&self, _relations: Vec<Oid>) -> Hooked {
        Box::pin(std::future::ready(()))
    }

    fn reload(&self) -> Hooked {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.reload().await })
    }
}
