//! The database step: what a valid preview asks of the databases, as a value, and the work on them.
//!
//! The work itself is the proxy crate's ([`previewpg_proxy::preview`]), the same that `previewpg up` does. Knows no Kubernetes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use previewpg_proxy::net::secret::Secret;
use previewpg_proxy::net::target::{Address, Host, RootCertificates, SslMode, Target};
use previewpg_proxy::overlay::provision::{Collision, Progress};
use previewpg_proxy::preview::{self, CopyUpLimits, Report, TableSelection};

use crate::api::{self, OnConflict, Reason};
use crate::build;
use crate::build::secret::FRESH_CA;
use crate::validate::{Fresh, ValidPreview};

/// The limit for bringing a database up or resetting it.
const WITHIN: Duration = Duration::from_secs(900);
/// The most collisions and unsupported tables that are kept of a report.
const KEPT: usize = api::UNSUPPORTED_MAX;

/// Which database a failure is about.
pub use previewpg_proxy::preview::Side;

/// All that work on a preview's databases needs. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Inputs {
    spec: preview::Spec,
    /// Certificates' files, by name, that have to be there while something runs.
    files: Vec<(&'static str, Secret)>,
    production: crate::validate::Endpoint,
    /// Absent: the managed server.
    fresh: Option<crate::validate::Endpoint>,
    on_conflict: OnConflict,
}

/// What is known of a managed PostgreSQL.
#[derive(Debug, Clone)]
pub struct ManagedServer<'a> {
    /// The host as proxies reach it.
    pub host: &'a str,
    /// The superuser's password.
    pub password: &'a str,
    /// Who signs its certificate, in PEM.
    pub authority: &'a str,
}

/// Fresh's server as proxies reach it, as its superuser: with certificates in `directory`.
#[must_use]
pub fn fresh_server(valid: &ValidPreview, managed: &ManagedServer<'_>, directory: &Path) -> Target {
    match &valid.fresh {
        Fresh::Connection(connection) => connection.endpoint.target_in(directory),
        Fresh::Managed(_) => Target {
            hosts: vec![Host {
                address: Address::Tcp(managed.host.to_owned()),
                port: u16::try_from(build::POSTGRES_PORT).unwrap_or(5432),
            }],
            user: build::fresh::SUPERUSER.to_owned(),
            password: Some(Secret::new(managed.password)),
            // The one that is always there: the preview's may have any other name.
            database: "template1".to_owned(),
            sslmode: SslMode::VerifyFull,
            sslrootcert: Some(RootCertificates::File(directory.join(FRESH_CA))),
            sslcert: None,
            sslkey: None,
            channel_binding: previewpg_proxy::net::target::ChannelBinding::Prefer,
            options: None,
            application_name: None,
            connect_timeout: None,
        },
    }
}

/// A host without a dot is one of the object's namespace, which only pods there would find.
fn from_anywhere(mut target: Target, namespace: &str) -> Target {
    for host in &mut target.hosts {
        if let Address::Tcp(name) = &mut host.address
            && !name.contains(['.', ':'])
            && name != "localhost"
        {
            *name = format!("{name}.{namespace}.svc");
        }
    }
    target
}

impl Inputs {
    /// Of a valid preview.
    ///
    /// `fresh_host` is where the operator itself reaches the managed server, if not at its host.
    #[must_use]
    pub fn new(
        valid: &ValidPreview,
        uid: &str,
        managed: &ManagedServer<'_>,
        fresh_host: Option<&str>,
        app_password: &str,
        programs: Option<PathBuf>,
    ) -> Self {
        let nowhere = Path::new("");
        let mut server = fresh_server(valid, managed, nowhere);
        if let (Fresh::Managed(_), Some(host)) = (&valid.fresh, fresh_host) {
            for each in &mut server.hosts {
                each.address = Address::Tcp(host.to_owned());
            }
            // The authority signs for this preview alone, and its certificates have no addresses.
            server.sslmode = SslMode::VerifyCa;
        }
        let app = preview::AppRole {
            name: valid.access.username.clone(),
            password: Some(app_password.to_owned()),
        };
        let place = format!("{}/{}", valid.namespace, valid.name);
        let mut files = owned(&valid.production.endpoint);
        let fresh = match &valid.fresh {
            Fresh::Connection(connection) => {
                files.extend(owned(&connection.endpoint));
                Some(connection.endpoint.clone())
            }
            Fresh::Managed(_) => {
                files.push((FRESH_CA, Secret::new(managed.authority)));
                None
            }
        };
        let tables = &valid.tables;
        let spec = preview::Spec {
            production_from_fresh: Some(
                valid.production_from_fresh(Path::new(build::fresh::INTERNAL)),
            ),
            allow_writable_production: valid.production.allow_writable_role,
            // A volume that was kept is taken up by an object of the same name. A server that's shared tells objects apart that had the same name.
            owner_tag: Some(match &valid.fresh {
                Fresh::Managed(_) => place,
                Fresh::Connection(_) => format!("{place} {uid}"),
            }),
            tables: TableSelection {
                schemas: tables.schemas.clone(),
                exclude: tables.exclude.clone(),
                empty: tables.empty.clone(),
            },
            sequence_gap: tables.sequence_gap,
            limits: CopyUpLimits {
                rows: tables.max_copy_up_rows,
                bytes: tables.max_copy_up_bytes,
            },
            programs,
            time_limit: WITHIN,
            ..preview::Spec::new(
                from_anywhere(
                    valid.production.endpoint.target_in(nowhere),
                    &valid.namespace,
                ),
                from_anywhere(server, &valid.namespace),
                valid.database(),
                app,
            )
        };
        Self {
            spec,
            files,
            production: valid.production.endpoint.clone(),
            fresh,
            on_conflict: valid.on_conflict,
        }
    }

    /// Changes when anything changes that a database is brought up from. It's of secrets: for comparing within the process only.
    #[must_use]
    pub fn key(&self) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let Self {
            spec,
            files,
            production: _,
            fresh: _,
            on_conflict,
        } = self;
        let mut hash = std::hash::DefaultHasher::new();
        for target in [
            Some(&spec.production),
            spec.production_from_fresh.as_ref(),
            Some(&spec.fresh),
        ]
        .into_iter()
        .flatten()
        {
            build::config::connection_string(target).hash(&mut hash);
        }
        spec.allow_writable_production.hash(&mut hash);
        spec.database.hash(&mut hash);
        spec.owner_tag.hash(&mut hash);
        (&spec.app.name, &spec.app.password).hash(&mut hash);
        let TableSelection {
            schemas,
            exclude,
            empty,
        } = &spec.tables;
        (schemas, exclude, empty).hash(&mut hash);
        (spec.sequence_gap, spec.limits.rows, spec.limits.bytes).hash(&mut hash);
        (*on_conflict == OnConflict::Reset).hash(&mut hash);
        for (name, text) in files {
            (name, text.expose()).hash(&mut hash);
        }
        hash.finish()
    }

    /// Writes the files into a directory that is this process' alone, and refers to them.
    fn placed(&self) -> Result<(preview::Spec, tempfile::TempDir), Failure> {
        let failed = |error: std::io::Error| Failure {
            side: Side::Production,
            reason: Reason::InternalError,
            message: format!("the operator can't write a temporary file: {error}"),
        };
        let directory = tempfile::tempdir().map_err(failed)?;
        for (name, text) in &self.files {
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(directory.path().join(name))
                .and_then(|mut file| file.write_all(text.expose().as_bytes()))
                .map_err(failed)?;
        }
        let mut spec = self.spec.clone();
        let files = |target: Target, placed: &Target| Target {
            sslrootcert: placed.sslrootcert.clone(),
            sslcert: placed.sslcert.clone(),
            sslkey: placed.sslkey.clone(),
            ..target
        };
        spec.production = files(
            spec.production,
            &self.production.target_in(directory.path()),
        );
        match &self.fresh {
            Some(fresh) => spec.fresh = files(spec.fresh, &fresh.target_in(directory.path())),
            None => {
                let authority = directory.path().join(FRESH_CA);
                spec.fresh.sslrootcert = Some(RootCertificates::File(authority));
            }
        }
        Ok((spec, directory))
    }
}

fn owned(endpoint: &crate::validate::Endpoint) -> Vec<(&'static str, Secret)> {
    endpoint
        .files()
        .into_iter()
        .map(|(name, text)| (name, text.clone()))
        .collect()
}

/// Why work on a database failed. The message shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which database.
    pub side: Side,
    /// Its stable name.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
}

impl From<preview::Error> for Failure {
    fn from(error: preview::Error) -> Self {
        Self {
            side: error.side(),
            reason: reason(error.reason()),
            // The library speaks to users of the command line as well.
            message: explain(&error).replace(
                "--allow-writable-production (production.allowWritable)",
                "spec.production.allowWritableRole: true",
            ),
        }
    }
}

fn reason(reason: preview::Reason) -> Reason {
    use preview::Reason as Of;
    match reason {
        Of::ConnectionRefused => Reason::ConnectionRefused,
        Of::AuthenticationFailed => Reason::AuthenticationFailed,
        Of::CertificateInvalid => Reason::CertificateInvalid,
        Of::DatabaseNotFound => Reason::DatabaseNotFound,
        Of::VersionUnsupported => Reason::VersionUnsupported,
        Of::PermissionDenied => Reason::PermissionDenied,
        Of::ProductionRoleCanWrite => Reason::ProductionRoleCanWrite,
        Of::NameConflict => Reason::NameConflict,
        Of::InvalidSpec => Reason::InvalidSpec,
        Of::TimedOut => Reason::TimedOut,
        Of::ProgramsMissing => Reason::ProgramsMissing,
        Of::LocaleUnsupported => Reason::LocaleUnsupported,
        Of::DiskFull => Reason::DiskFull,
        Of::Failed => Reason::DatabaseError,
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Many errors tell their cause already.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// What a preview's database came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Brought {
    /// Fresh's version.
    pub fresh_version: String,
    /// Production's version.
    pub production_version: String,
    /// Production's database.
    pub production_database: String,
    /// Production's schema's fingerprint.
    pub fingerprint: String,
    /// When production's schema was last looked at.
    pub checked: Option<SystemTime>,
    /// How many tables there are of each sort.
    pub tables: api::TablesStatus,
    /// The first tables that can't be served.
    pub unsupported: Vec<api::Unsupported>,
    /// The first collisions, in words.
    pub collisions: Vec<String>,
    /// How many there are.
    pub collided: usize,
    /// What was brought in last, in words, if production changed.
    pub brought_in: Option<String>,
    /// How many things wait for the next time.
    pub postponed: usize,
    /// How far the preview has gone from production.
    pub delta: Option<preview::Delta>,
    /// When that was measured.
    pub measured: Option<SystemTime>,
}

impl Brought {
    fn new(report: Report, now: SystemTime) -> Self {
        let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        Self {
            tables: api::TablesStatus {
                served: count(report.served.len()),
                excluded: count(report.excluded.len()),
                empty: count(report.empty.len()),
                unsupported: count(report.unsupported.len()),
            },
            collided: report.collisions.len(),
            collisions: report
                .collisions
                .iter()
                .take(3)
                .map(|collision| {
                    let Collision {
                        object,
                        production,
                        preview,
                        refused,
                    } = collision;
                    let refused = if *refused {
                        "; statements on it are refused until then"
                    } else {
                        ""
                    };
                    format!(
                        "{object}: production has {production}, the preview has {preview}{refused}"
                    )
                })
                .collect(),
            brought_in: (!report.brought_in.is_empty()).then(|| some_of(&report.brought_in)),
            postponed: report.postponed.len(),
            unsupported: report
                .unsupported
                .into_iter()
                .take(KEPT)
                .map(|table| api::Unsupported {
                    name: table.name,
                    reason: table.reason,
                })
                .collect(),
            fresh_version: report.fresh_version,
            production_version: report.production_version,
            production_database: report.production_database,
            fingerprint: report.fingerprint,
            checked: Some(now),
            delta: None,
            measured: None,
        }
    }
}

/// The first few of a list, in words.
fn some_of(list: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = list.get(..SHOWN.min(list.len())).unwrap_or_default();
    let more = list.len() - first.len();
    if more == 0 {
        first.join(", ")
    } else {
        format!("{} and {more} more", first.join(", "))
    }
}

/// What's to be done with a preview's database.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Bring it to what the spec says.
    BringUp,
    /// Drop what the preview changed, and bring it up.
    Reset {
        /// The annotation's value that asks for it.
        token: String,
    },
    /// Look whether production's schema has changed since, bring it in if so, and measure.
    Sync {
        /// What it came to the last time.
        last: Box<Brought>,
    },
    /// Drop it.
    Drop,
}

impl Work {
    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::BringUp => "bring_up",
            Self::Reset { .. } => "reset",
            Self::Sync { .. } => "sync",
            Self::Drop => "drop",
        }
    }
}

/// What work came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// The database is as the spec says.
    Brought {
        /// What it came to.
        brought: Box<Brought>,
        /// The preview's changes were dropped first.
        reset: bool,
    },
    /// It's gone.
    Dropped {
        /// It was there.
        existed: bool,
    },
}

/// Where work is. Shared with whoever wants to know.
#[derive(Clone)]
pub struct At(Arc<Shared>);

struct Shared {
    text: Mutex<String>,
    reached: AtomicBool,
    told: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("At").field(&self.get()).finish()
    }
}

impl At {
    /// Nowhere yet. `told` is called when it has reached both databases for the first time.
    #[must_use]
    pub fn new(told: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            text: Mutex::default(),
            reached: AtomicBool::new(false),
            told: Box::new(told),
        }))
    }

    /// Notes where.
    pub fn set(&self, text: impl Into<String>) {
        *self.0.text.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// Where, for people.
    #[must_use]
    pub fn get(&self) -> String {
        self.0
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it has reached both databases: credentials are right, production's role only reads, fresh's database is this preview's.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.0.reached.load(Ordering::Acquire)
    }
}

impl Progress for At {
    /// Bringing up tells its first step when both databases were looked at.
    fn step(&mut self, done: usize, total: usize, name: &str) {
        self.set(format!("step {} of {total}, {name}", done + 1));
        if !self.0.reached.swap(true, Ordering::AcqRel) {
            (self.0.told)();
        }
    }
}

/// Does it. May be cancelled by dropping.
///
/// # Errors
/// When a database can't be reached, or doesn't do.
pub async fn work(inputs: &Inputs, work: &Work, at: &At) -> Result<Done, Failure> {
    let (spec, _files) = inputs.placed()?;
    let mut progress = at.clone();
    let (mut brought, mut reset) = match work {
        Work::Drop => {
            let dropped = preview::drop_database(&spec).await?;
            return Ok(Done::Dropped {
                existed: dropped.existed,
            });
        }
        Work::BringUp => (bring_up(&spec, &mut progress).await?, false),
        Work::Reset { .. } => {
            let report = preview::reset(&spec, &mut progress).await?;
            (Brought::new(report, SystemTime::now()), true)
        }
        Work::Sync { last } => {
            at.set("looking at production's schema");
            if last.postponed == 0 && last.collided == 0 && is_unchanged(&spec, last).await? {
                let looked = Brought {
                    checked: Some(SystemTime::now()),
                    brought_in: None,
                    ..Brought::clone(last)
                };
                (looked, false)
            } else {
                (bring_up(&spec, &mut progress).await?, false)
            }
        }
    };
    if brought.collided > 0 && inputs.on_conflict == OnConflict::Reset && !reset {
        let report = preview::reset(&spec, &mut progress).await?;
        brought = Brought::new(report, SystemTime::now());
        reset = true;
    }
    at.set("measuring");
    match preview::measure(&spec).await {
        Ok(delta) => {
            brought.delta = Some(delta);
            brought.measured = Some(SystemTime::now());
        }
        // The preview serves all the same.
        Err(error) => {
            tracing::warn!(database = %spec.database, error = explain(&error), "can't measure the preview");
        }
    }
    Ok(Done::Brought {
        brought: Box::new(brought),
        reset,
    })
}

async fn bring_up(spec: &preview::Spec, progress: &mut At) -> Result<Brought, preview::Error> {
    let report = preview::bring_up(spec, progress).await?;
    Ok(Brought::new(report, SystemTime::now()))
}

/// Whether production's schema is as it was.
async fn is_unchanged(spec: &preview::Spec, last: &Brought) -> Result<bool, preview::Error> {
    let client = preview::connect::connect(Side::Production.as_str(), &spec.production).await?;
    Ok(preview::fingerprint(&client).await? == last.fingerprint)
}
