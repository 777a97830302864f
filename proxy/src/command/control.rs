//! The process' own line to fresh: it reads the catalog, renews the lease under which that and the dirty marks may be believed, tells other replicas what
//! this one's clients do, and notices when fresh is gone. The protocol and why it is right: [`crate::replicas`].

mod reads;
mod sessions;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Notification};

pub use self::sessions::ForSessions;
use self::sessions::{cancel_digest, cancel_told};
use super::connect::{ConnectError, connect, connect_told, place};
use super::error::{CommandError, Runtime, explain};
use crate::admin::health::{Condition, Health};
use crate::admin::metrics::Metrics;
use crate::catalog::load::{BUILTINS_QUERY, QUERY, parse};
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::net::target::Target;
use crate::overlay::provision::{RUNTIME, RUNTIME_VERSION};
use crate::replicas::line::{ACKNOWLEDGED, CANCEL, Line, LineError, NEWS};
use crate::replicas::peers::{Peers, Renewals};
use crate::replicas::{LEASE, PATIENCE, RENEWAL, WAITED_OUT};
use crate::session::Server;
use crate::session::server::Lost;

/// How long fresh may take to answer a renewal or an announcement.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to describe a large schema.
const CATALOG_WITHIN: Duration = Duration::from_secs(120);
/// How long the lock may still be held by a process that was killed a moment ago.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_millis(200);
/// How often what everybody knows is forgotten.
const FORGETTING: Duration = Duration::from_secs(60);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Who else may serve this fresh at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Other replicas.
    Replicas,
    /// Nobody: fresh is provisioned and ended by this process.
    Alone,
}

impl Sharing {
    /// The advisory lock: "previewpg" as a number, and the second key for serving (the first one is provisioning's).
    fn lock(self) -> &'static str {
        match self {
            Self::Replicas => "SELECT pg_catalog.pg_try_advisory_lock_shared(1886549618, 1)",
            Self::Alone => "SELECT pg_catalog.pg_try_advisory_lock(1886549618, 1)",
        }
    }
}

/// The line to fresh.
pub struct Control {
    owner: ArcSwap<Target>,
    sharing: Sharing,
    /// The catalog that it publishes.
    pub store: Arc<Store>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    line: ArcSwapOption<Line>,
    /// Held by whoever renews.
    known: tokio::sync::Mutex<Known>,
    /// What was announced of this process's schema changes. Held for as long as it takes fresh to note that, not until everybody knows.
    changes: tokio::sync::Mutex<Option<Changes>>,
    /// There may be news.
    news: Notify,
    /// Grows when somebody may have acknowledged, and when the line is lost.
    acknowledged: watch::Sender<u64>,
    /// Grows when the lease was extended.
    renewed: watch::Sender<u64>,
    /// The relations whose marks everybody knows.
    settled: Mutex<HashSet<Oid>>,
    /// Whose reads are cancelled by another replica's word.
    sessions: OnceLock<Weak<Server>>,
}

/// What this replica has applied.
#[derive(Debug)]
struct Known {
    /// The news up to this number.
    seen: i64,
    /// The changes that this snapshot sees; `None`: no catalog was read yet.
    snapshot: Option<String>,
    peers: Peers,
    /// The catalog lacks something that was locked when it was read.
    incomplete: bool,
    /// The number that it is registered by, or was when its line was lost.
    registered: Option<i64>,
    forgotten: Instant,
}

/// The announcement that sessions of this process are changing the schema.
#[derive(Debug)]
struct Changes {
    /// The replica's number that it was made under.
    replica: i64,
    /// The number of the news.
    version: i64,
    /// Everybody knows.
    settled: bool,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// A line that isn't connected yet. From now on the store may be believed as long as this renews its lease.
    #[must_use]
    pub fn new(
        owner: Target,
        sharing: Sharing,
        store: Arc<Store>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        store.shared.lease.renounce();
        metrics.lease_of(Arc::clone(&store.shared.lease));
        Arc::new(Self {
            owner: ArcSwap::from_pointee(owner),
            sharing,
            store,
            health,
            metrics,
            line: ArcSwapOption::empty(),
            known: tokio::sync::Mutex::new(Known {
                seen: -1,
                snapshot: None,
                peers: Peers::default(),
                incomplete: false,
                registered: None,
                forgotten: Instant::now(),
            }),
            changes: tokio::sync::Mutex::default(),
            news: Notify::new(),
            acknowledged: watch::Sender::new(0),
            renewed: watch::Sender::new(0),
            settled: Mutex::default(),
            sessions: OnceLock::new(),
        })
    }

    /// Has the server's reads cancelled when another replica was asked to.
    pub fn cancels_for(&self, server: &Arc<Server>) {
        let _already_set = self.sessions.set(Arc::downgrade(server));
    }

    /// Takes up other credentials of fresh's owner, for the next time that the line is connected.
    pub fn set_owner(&self, owner: Target) {
        self.owner.store(Arc::new(owner));
    }

    /// Connects unless connected, registers, reads what is new, and renews the lease.
    ///
    /// # Errors
    /// When fresh isn't there, isn't provisioned or is served by somebody who doesn't share it.
    pub async fn load(self: &Arc<Self>) -> Result<(), CommandError> {
        let result = self.renew().await;
        match &result {
            Ok(()) => {
                self.health.holds(Condition::Fresh);
                self.health.holds(Condition::Catalog);
                self.health.holds(Condition::Lease);
            }
            Err(error) => self.health.fails(Condition::Catalog, error.to_string()),
        }
        result
    }

    /// Renews, until it has; then goes on doing so in time, and whenever there are news. Never ends.
    pub async fn watch(self: Arc<Self>) {
        let mut there = true;
        loop {
            let wait = if there { RENEWAL } else { RETRY };
            let _ = timeout(wait, self.news.notified()).await;
            match self.renew().await {
                Ok(()) => {
                    if !there {
                        tracing::info!("fresh answers again");
                        there = true;
                    }
                    self.health.holds(Condition::Fresh);
                    self.health.holds(Condition::Catalog);
                    self.health.holds(Condition::Lease);
                }
                Err(error) => {
                    if there {
                        tracing::error!(reason = %explain(&error), "fresh doesn't answer");
                        there = false;
                    }
                    self.health.fails(Condition::Fresh, "doesn't answer");
                    if !self.store.shared.lease.is_valid() {
                        self.health.fails(
                            Condition::Lease,
                            "has run out: no statement is run before fresh answers",
                        );
                    }
                }
            }
        }
    }

    /// Says goodbye: nobody needs to wait for this replica any more. Nothing may be read by what it knows after this.
    pub async fn leave(&self) {
        self.store.shared.lease.renounce();
        if let Some(line) = self.line.swap(None) {
            let _ = timeout(GOODBYE, line.leave(line.id())).await;
        }
    }

    async fn renew(self: &Arc<Self>) -> Result<(), CommandError> {
        let mut known = self.known.lock().await;
        let result = self.renew_as(&mut known).await;
        if result.is_err() {
            // Whatever the connection's state is, a new one is better.
            self.line.store(None);
            known.peers.forget();
        }
        result
    }

    async fn renew_as(self: &Arc<Self>, known: &mut Known) -> Result<(), CommandError> {
        let mut line = self.connected(known).await?;
        loop {
            self.end_changes(&line).await?;
            let asked = Instant::now();
            let answer = within(
                ANSWER_WITHIN,
                line.renew(known.seen, known.snapshot.as_deref()),
            )
            .await?;
            let Some(news) = answer else {
                tracing::warn!("the other replicas have given this one up; it registers again");
                self.line.store(None);
                line = self.connected(known).await?;
                continue;
            };
            for relation in news.marks.iter().chain(&news.written) {
                self.store.shared.mark(*relation);
            }
            if news.changing {
                self.store.set_changing_elsewhere(true);
            }
            if !self.store.shared.lease.is_valid() && (news.changing || news.changed) {
                // Nobody had to wait for this replica.
                self.store.unheld.overtake(None);
            } else if news.changing {
                self.reads_begun(&line, asked, None).await?;
            }
            let told = news.changed || news.version > known.seen;
            known.snapshot = Some(if news.changed || known.incomplete {
                let (snapshot, incomplete) = self.read_catalog(&line).await?;
                known.incomplete = incomplete;
                snapshot
            } else {
                news.snapshot
            });
            // Only now: what they have changed is published here.
            self.store.set_changing_elsewhere(news.changing);
            known.seen = news.version;
            if told {
                within(
                    ANSWER_WITHIN,
                    line.acknowledge(known.seen, known.snapshot.as_deref()),
                )
                .await?;
            }
            self.store.shared.lease.extend(asked + LEASE);
            self.renewed.send_modify(|times| *times += 1);
            self.metrics.replicas(news.others.len() + 1);
            for gone in known.peers.observe(&news.others, Instant::now()) {
                self.expire(&line, gone).await?;
            }
            if known.forgotten.elapsed() > FORGETTING {
                within(ANSWER_WITHIN, line.forget()).await?;
                known.forgotten = Instant::now();
            }
            // A large catalog may have taken most of it.
            if asked.elapsed() < LEASE / 3 {
                return Ok(());
            }
        }
    }

    async fn read_catalog(&self, line: &Line) -> Result<(String, bool), CommandError> {
        let query = format!("{QUERY}, pg_catalog.pg_current_snapshot()::pg_catalog.text");
        let row = timeout(CATALOG_WITHIN, line.client().query_one(&query, &[]))
            .await
            .map_err(|_| CommandError::Silent(CATALOG_WITHIN))?
            .map_err(|error| self.unprovisioned(error))?;
        let document = row.try_get(0).map_err(CommandError::ask("fresh"))?;
        let catalog = parse(document, &self.store.shared)?;
        let incomplete = catalog.incomplete;
        self.store.publish(Arc::new(catalog));
        let snapshot = row.try_get(1).map_err(CommandError::ask("fresh"))?;
        Ok((snapshot, incomplete))
    }

    /// Takes out a replica whose lease has run out.
    async fn expire(&self, line: &Line, gone: Renewals) -> Result<(), CommandError> {
        if within(ANSWER_WITHIN, line.expire(gone)).await? {
            self.metrics.replica_expired();
            tracing::warn!(
                replica = gone.0,
                "another replica has let its lease run out; nobody waits for it any more"
            );
        }
        Ok(())
    }

    /// The line; a new one, under a new number, if there's none.
    async fn connected(self: &Arc<Self>, known: &mut Known) -> Result<Arc<Line>, CommandError> {
        if let Some(line) = self.line.load_full()
            && !line.client().is_closed()
        {
            return Ok(line);
        }
        known.peers.forget();
        // Another fresh may stand in the old one's place, with the same numbers for other tables.
        lock(&self.settled).clear();
        let owner = self.owner.load_full();
        let weak = Arc::downgrade(self);
        let client = connect_told("fresh", &owner, move |notification| {
            if let Some(control) = weak.upgrade() {
                control.told(notification.as_ref());
            }
        })
        .await
        .map_err(|error| match error {
            ConnectError::Refused { source, .. }
                if source.code() == Some(&SqlState::INVALID_CATALOG_NAME) =>
            {
                CommandError::NotProvisioned {
                    place: place(&owner),
                }
            }
            error => error.into(),
        })?;
        take_lock(&client, self.sharing, &owner).await?;
        require_provisioned(&client, &owner).await?;
        let builtins = client
            .query_one(BUILTINS_QUERY, &[])
            .await
            .map_err(CommandError::ask("fresh"))?;
        self.store.shared.set_builtins(builtins.get(0))?;
        let line = timeout(ANSWER_WITHIN, Line::register(client))
            .await
            .map_err(|_| CommandError::Silent(ANSWER_WITHIN))?
            .map_err(|error| self.unprovisioned(error))?;
        if self.changes.lock().await.is_some() {
            self.begin_changes(&line).await?;
        }
        if let Some(former) = known.registered.replace(line.id()) {
            // The new row is there already: nobody overlooks this replica.
            within(ANSWER_WITHIN, line.leave(former)).await?;
        }
        // What was lost with the old line is unknown: everything is read again.
        known.seen = -1;
        known.snapshot = None;
        let line = Arc::new(line);
        self.line.store(Some(Arc::clone(&line)));
        Ok(line)
    }

    fn unprovisioned(&self, error: tokio_postgres::Error) -> CommandError {
        let missing = [SqlState::INVALID_SCHEMA_NAME, SqlState::UNDEFINED_FUNCTION];
        if error.code().is_some_and(|code| missing.contains(code)) {
            CommandError::NotProvisioned {
                place: place(&self.owner.load()),
            }
        } else {
            CommandError::Ask {
                side: "fresh",
                source: error,
            }
        }
    }

    /// What came over the line; `None`: it has ended.
    fn told(&self, notification: Option<&Notification>) {
        match notification.map(Notification::channel) {
            Some(NEWS) => self.news.notify_one(),
            Some(ACKNOWLEDGED) => self.acknowledged.send_modify(|times| *times += 1),
            Some(CANCEL) => {
                let server = self.sessions.get().and_then(Weak::upgrade);
                let told = notification.map(Notification::payload);
                if let (Some(server), Some((process, digest))) =
                    (server, told.and_then(cancel_told))
                {
                    let digest = digest.to_owned();
                    tokio::spawn(async move {
                        let is_key = |key: &[u8]| cancel_digest(process, key) == digest;
                        server.cancel_told(process, is_key).await;
                    });
                }
            }
            Some(_) => {}
            None => {
                self.acknowledged.send_modify(|times| *times += 1);
                self.news.notify_one();
            }
        }
    }

    /// Makes sure that everybody knows of the marks of these relations.
    async fn mark(&self, relations: &[Oid]) -> Result<(), CommandError> {
        let relations: Vec<Oid> = {
            let settled = lock(&self.settled);
            let unknown = |oid: &&Oid| !settled.contains(oid);
            relations.iter().filter(unknown).copied().collect()
        };
        if relations.is_empty() {
            return Ok(());
        }
        let line = self.standing()?;
        let version = within(ANSWER_WITHIN, line.mark(&relations)).await?;
        self.settle(&line, version).await?;
        // Not of a line that was lost in between: what it stood for may be gone.
        let mut settled = lock(&self.settled);
        if self
            .line
            .load()
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &line))
        {
            settled.extend(relations);
        }
        Ok(())
    }

    /// Makes sure that everybody knows that sessions of this process are changing the schema, and that nothing was sent before whose names are still to be read. Its own sessions
    /// know, but what they have sent since they were last told otherwise is to be waited for each time.
    async fn announce_changes(&self, own: Option<u32>) -> Result<(), CommandError> {
        let line = self.standing()?;
        let since = Instant::now();
        let Some(version) = self.begin_changes(&line).await? else {
            return self.reads_begun(&line, since, own).await;
        };
        let (here, there) = tokio::join!(
            self.reads_begun(&line, since, own),
            self.settle(&line, version)
        );
        here.and(there)?;
        if let Some(changes) = self.changes.lock().await.as_mut() {
            changes.settled |= changes.version == version;
        }
        Ok(())
    }

    /// Has fresh note that sessions of this process are changing the schema, unless it has under this number. Gives the number of the news; `None`: everybody knows them.
    async fn begin_changes(&self, line: &Line) -> Result<Option<i64>, CommandError> {
        let mut changes = self.changes.lock().await;
        if let Some(changes) = changes.as_ref().filter(|made| made.replica == line.id()) {
            return Ok((!changes.settled).then_some(changes.version));
        }
        let version = within(ANSWER_WITHIN, line.begin_changes()).await?;
        *changes = Some(Changes {
            replica: line.id(),
            version,
            settled: false,
        });
        Ok(Some(version))
    }

    /// Takes that back, if no session is at it any more. One that begins says so before it asks for the announcement.
    async fn end_changes(&self, line: &Line) -> Result<(), CommandError> {
        let mut changes = self.changes.lock().await;
        if self.store.changing() == 0 && changes.take().is_some() {
            // Taken back whatever comes of it: who begins anew announces anew.
            within(ANSWER_WITHIN, line.end_changes()).await?;
        }
        Ok(())
    }

    /// Makes sure that everybody, this process included, knows the schema as it is committed.
    async fn publish(self: &Arc<Self>) -> Result<(), CommandError> {
        let line = self.standing()?;
        let version = within(ANSWER_WITHIN, line.publish()).await?;
        if version == 0 {
            return Ok(());
        }
        let (here, there) = tokio::join!(self.renew(), self.settle(&line, version));
        here.and(there)
    }

    /// The line, if it stands: whoever finds that it doesn't has it mended.
    fn standing(&self) -> Result<Arc<Line>, CommandError> {
        let line = self.line.load_full();
        line.filter(|line| !line.client().is_closed())
            .ok_or_else(|| {
                self.news.notify_one();
                CommandError::NoLine
            })
    }

    /// Waits until every other replica knows the news of this number, or can't have a lease any more that was given without them. They are committed.
    async fn settle(&self, line: &Line, version: i64) -> Result<(), CommandError> {
        let committed = Instant::now();
        let mut heard = self.acknowledged.subscribe();
        let mut first: Option<Vec<Renewals>> = None;
        loop {
            heard.borrow_and_update();
            let behind = within(ANSWER_WITHIN, line.behind(version)).await?;
            if behind.is_empty() {
                if first.is_some() {
                    self.metrics.acknowledged(committed.elapsed());
                }
                return Ok(());
            }
            let first = first.get_or_insert_with(|| behind.clone());
            let left = WAITED_OUT.saturating_sub(committed.elapsed());
            if left.is_zero() {
                self.metrics.acknowledged(committed.elapsed());
                for gone in behind.into_iter().filter(|each| first.contains(each)) {
                    self.expire(line, gone).await?;
                }
                return Ok(());
            }
            let _ = timeout(left, heard.changed()).await;
        }
    }

    /// Tries something for a client again and again, for as long as a client waits.
    async fn insist<F: Future<Output = Result<(), CommandError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<(), Lost> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let why = explain(&error);
                    tracing::error!(error = %why, "fresh can't be told what a client does; its session is ended");
                    return Err(Lost);
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Waits until the lease is valid.
    async fn valid(&self) -> Result<(), Lost> {
        let mut renewed = self.renewed.subscribe();
        let deadline = Instant::now() + PATIENCE;
        while !self.store.shared.lease.is_valid() {
            self.news.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Lost);
            }
            let _ = timeout(left, renewed.changed()).await;
        }
        Ok(())
    }
}

/// Whether nobody serves this fresh, so that it may be provisioned to be served alone.
///
/// # Errors
/// When somebody does, or it can't be asked.
pub async fn served_by_nobody(owner: &Target) -> Result<(), CommandError> {
    match connect("fresh", owner).await {
        Ok(client) => take_lock(&client, Sharing::Alone, owner).await,
        // It's to be made.
        Err(ConnectError::Refused { source, .. })
            if source.code() == Some(&SqlState::INVALID_CATALOG_NAME) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses a fresh that is being provisioned: what the catalog lacks until that has ended would be served as an ordinary, empty table. And one that another version
/// has provisioned: its functions have other names and arguments, or do something else under the same. What provisioning does last is to let clients in.
async fn require_provisioned(client: &Client, owner: &Target) -> Result<(), CommandError> {
    const DONE: &str = "SELECT (SELECT m.value FROM previewpg.meta AS m WHERE m.name = $1), (SELECT m.value FROM previewpg.meta AS m WHERE m.name = $2) \
         FROM previewpg.meta WHERE name = 'provisioned' \
         AND EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database() AND d.datconnlimit <> 0)";
    match client.query_opt(DONE, &[&RUNTIME_VERSION, &RUNTIME]).await {
        Ok(Some(row)) => {
            let ask = CommandError::ask;
            let found = Runtime {
                version: row.try_get(0).map_err(ask("fresh"))?,
                digest: row.try_get(1).map_err(ask("fresh"))?,
            };
            if found.digest == Runtime::own().digest {
                return Ok(());
            }
            Err(CommandError::OtherVersion {
                place: place(owner),
                found,
            })
        }
        Err(error) if error.code() != Some(&SqlState::UNDEFINED_TABLE) => {
            Err(CommandError::ask("fresh")(error))
        }
        _ => Err(CommandError::NotProvisioned {
            place: place(owner),
        }),
    }
}

async fn take_lock(client: &Client, sharing: Sharing, owner: &Target) -> Result<(), CommandError> {
    let deadline = Instant::now() + LOCK_WITHIN;
    while !client
        .query_one(sharing.lock(), &[])
        .await
        .map_err(CommandError::ask("fresh"))?
        .get::<_, bool>(0)
    {
        if Instant::now() > deadline {
            return Err(CommandError::Served {
                place: place(owner),
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Limits a call to fresh.
async fn within<T, E: Into<LineError>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, CommandError> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| CommandError::Line(error.into())),
        Err(_) => Err(CommandError::Silent(limit)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A set is whole whatever its holder did.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
