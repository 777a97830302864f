//! Looking at production, and bringing the preview's database to what the spec says.

use std::time::Duration;

use tokio_postgres::Client;

use super::connect::connect;
use super::likeness::Likeness;
use super::rights::{self, Rights};
use super::{Error, Reason, Side, Spec, database};
use crate::overlay::provision::{self, Collision, NotRestored, Options, Outcome, Progress};

/// The limit for looking at production.
const LOOK_WITHIN: Duration = Duration::from_secs(60);
/// The oldest major version of production.
const OLDEST: u32 = 13;
/// What our sessions at production are told: they only read, and nothing of them lasts.
const READ_ONLY: &str = "SET default_transaction_read_only = on; SET statement_timeout = '30s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'";

/// Production, as far as a preview of it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductionReport {
    /// Its version, for example `16.4`.
    pub version: String,
    /// Its major version.
    pub major: u32,
    /// Its database's name.
    pub database: String,
    /// What our role there may do.
    pub rights: Rights,
    /// How many tables the selection brings.
    pub tables: usize,
    /// Those of them that our role may not SELECT from.
    pub unreadable: Vec<String>,
    /// Its schema's fingerprint.
    pub fingerprint: String,
}

/// What a preview's database came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Fresh's version, for example `18.1`.
    pub fresh_version: String,
    /// Production's version.
    pub production_version: String,
    /// Production's database's name.
    pub production_database: String,
    /// The tables that show production's rows or have been taken over as a whole, as `schema.table`.
    pub served: Vec<String>,
    /// The tables that the selection leaves out.
    pub excluded: Vec<String>,
    /// The tables that are there without production's rows.
    pub empty: Vec<String>,
    /// The tables that can't be served.
    pub unsupported: Vec<Unsupported>,
    /// Production's schema's fingerprint when it was read; bring up again when [`fingerprint`] gives another one.
    pub fingerprint: String,
    /// What was brought in this time because production has changed since the last time.
    pub brought_in: Vec<String>,
    /// Changes of production that were left alone because they meet the preview's own.
    pub collisions: Vec<Collision>,
    /// What had to be left for the next time, for example because a client holds a lock: bring up again soon.
    pub postponed: Vec<String>,
    /// Objects other than tables that fresh lacks.
    pub not_restored: Vec<NotRestored>,
}

/// A table that can't be served: statements on it are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// `schema.table`.
    pub name: String,
    /// Why. A sentence without its full stop.
    pub reason: String,
}

/// Looks at production: is it there, of a version that is supported, and does its role read and not write?
///
/// # Errors
/// When one of that isn't so.
pub async fn check_production(spec: &Spec) -> Result<ProductionReport, Error> {
    within("looking at production", Side::Production, LOOK_WITHIN, async {
        check_patterns(spec)?;
        let (client, rights) = production(spec).await?;
        let ask = Error::ask;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, current_database()::text",
                &[],
            )
            .await
            .map_err(ask(Side::Production))?;
        let tables = client
            .query(
                "SELECT n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
                 ORDER BY 1, 2",
                &[],
            )
            .await
            .map_err(ask(Side::Production))?;
        let wanted: Vec<(String, bool)> = tables
            .iter()
            .map(|row| (row.get::<_, &str>(0), row.get::<_, &str>(1), row.get::<_, bool>(2)))
            .filter(|(schema, name, _)| spec.tables.includes(schema, name) && !spec.tables.is_empty_one(schema, name))
            .map(|(schema, name, readable)| (format!("{schema}.{name}"), readable))
            .collect();
        if !wanted.is_empty() && wanted.iter().all(|(_, readable)| !readable) {
            return Err(Error::NothingReadable {
                role: rights.role,
                tables: wanted.len(),
            });
        }
        Ok(ProductionReport {
            version: version(row.get(0)),
            major: u32::try_from(row.get::<_, i32>(1)).unwrap_or(0),
            database: row.get(2),
            rights,
            tables: wanted.len(),
            unreadable: wanted
                .into_iter()
                .filter_map(|(name, readable)| (!readable).then_some(name))
                .collect(),
            fingerprint: fingerprint(&client).await?,
        })
    })
    .await
}

/// Production's schema in one value: `sha256:` and hexadecimal digits. It changes whenever something changes that a preview takes over. One query of
/// catalogs only; the client is a connection to production.
///
/// # Errors
/// When production can't be asked.
pub async fn fingerprint(production: &Client) -> Result<String, Error> {
    within(
        "reading production's schema",
        Side::Production,
        LOOK_WITHIN,
        async {
            provision::fingerprint(production)
                .await
                .map_err(Error::ask(Side::Production))
        },
    )
    .await
}

/// Brings the preview's database to what the spec says: makes it if it's missing, restores production's schema, brings in what production has changed
/// since, and sets credentials. What the preview changed is kept. Calling it again when nothing is to be done costs some catalog queries.
///
/// # Errors
/// When a side can't be reached or doesn't do, or a step fails. What was done stays, and the next call goes on from there.
pub async fn bring_up(spec: &Spec, progress: &mut dyn Progress) -> Result<Report, Error> {
    within(
        "bringing the preview's database up",
        Side::Fresh,
        spec.time_limit,
        bring_up_now(spec, progress),
    )
    .await
}

/// Drops the preview's database with all that it holds, and brings it up anew.
///
/// # Errors
/// As [`drop_database`](super::drop_database) and [`bring_up`]. Production is looked at first: a preview that couldn't come back isn't dropped.
pub async fn reset(spec: &Spec, progress: &mut dyn Progress) -> Result<Report, Error> {
    check_production(spec).await?;
    within(
        "resetting the preview",
        Side::Fresh,
        spec.time_limit,
        async {
            database::drop_now(spec).await?;
            bring_up_now(spec, progress).await
        },
    )
    .await
}

async fn bring_up_now(spec: &Spec, progress: &mut dyn Progress) -> Result<Report, Error> {
    check_patterns(spec)?;
    let (production, _) = production(spec).await?;
    let likeness = Likeness::read(&production)
        .await
        .map_err(Error::ask(Side::Production))?;
    let fresh = database::open(spec, &likeness).await?;
    let outcome = provision::provision(&options(spec), &production, &fresh, progress).await?;
    database::admit(spec, &fresh).await?;
    let ask = Error::ask;
    let server_version = "SELECT current_setting('server_version'), current_database()::text";
    let of_production = production
        .query_one(server_version, &[])
        .await
        .map_err(ask(Side::Production))?;
    let of_fresh = fresh
        .query_one(server_version, &[])
        .await
        .map_err(ask(Side::Fresh))?;
    Ok(Report {
        fresh_version: version(of_fresh.get(0)),
        production_version: version(of_production.get(0)),
        production_database: of_production.get(1),
        ..report(outcome)
    })
}

/// What provisioning is told.
#[must_use]
pub(crate) fn options(spec: &Spec) -> Options {
    let program = |name: &str| {
        spec.programs
            .as_ref()
            .map_or_else(|| name.into(), |directory| directory.join(name))
    };
    Options {
        production_from_fresh: spec.production_from_fresh.clone(),
        role_tag: database::role_tag(spec),
        tables: spec.tables.clone(),
        sequence_gap: spec.sequence_gap,
        copy_up_rows: spec.limits.rows,
        copy_up_bytes: spec.limits.bytes,
        pg_dump: program("pg_dump"),
        pg_restore: program("pg_restore"),
        ..Options::new(spec.production.clone(), spec.owner(), spec.app.clone())
    }
}

fn report(outcome: Outcome) -> Report {
    let (unsupported, served): (Vec<_>, Vec<_>) = outcome
        .relations
        .into_iter()
        .partition(|relation| relation.state == "unsupported");
    Report {
        served: served.into_iter().map(|relation| relation.name).collect(),
        excluded: outcome.excluded,
        empty: outcome.empty,
        unsupported: unsupported
            .into_iter()
            .map(|relation| Unsupported {
                name: relation.name,
                reason: relation.reason.unwrap_or_default(),
            })
            .collect(),
        fingerprint: outcome.fingerprint,
        brought_in: outcome.brought_in,
        collisions: outcome.collisions,
        postponed: outcome.postponed,
        not_restored: outcome.not_restored,
        ..Report::default()
    }
}

fn check_patterns(spec: &Spec) -> Result<(), Error> {
    match spec.tables.malformed().first() {
        Some(pattern) => Err(Error::Pattern {
            pattern: (*pattern).to_owned(),
        }),
        None => Ok(()),
    }
}

/// A read-only session at production, of a role that may not write (or is allowed to be able to), and that role's rights.
async fn production(spec: &Spec) -> Result<(Client, Rights), Error> {
    let client = connect(Side::Production.as_str(), &spec.production).await?;
    client
        .batch_execute(READ_ONLY)
        .await
        .map_err(Error::ask(Side::Production))?;
    check_age(&client).await?;
    let rights = refuse_writing(&client, spec.allow_writable_production).await?;
    Ok((client, rights))
}

async fn check_age(production: &Client) -> Result<(), Error> {
    let row = production
        .query_one(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000",
            &[],
        )
        .await
        .map_err(Error::ask(Side::Production))?;
    if u32::try_from(row.get::<_, i32>(1)).unwrap_or(0) < OLDEST {
        return Err(Error::ProductionTooOld {
            version: version(row.get(0)),
            oldest: OLDEST,
        });
    }
    Ok(())
}

/// Refuses a role that can write, unless that was allowed.
///
/// # Errors
/// When production can't be asked, or its role can write.
pub(crate) async fn refuse_writing(production: &Client, allowed: bool) -> Result<Rights, Error> {
    let found = rights::read(production)
        .await
        .map_err(Error::ask(Side::Production))?;
    if found.writes.is_empty() {
        return Ok(found);
    }
    if !allowed {
        return Err(Error::Writable(rights::refusal(&found)));
    }
    tracing::warn!(
        role = %found.role,
        rights = %found.writes.join("; "),
        "production's role can write; read-only sessions and foreign tables that aren't updatable keep previewpg from it"
    );
    Ok(found)
}

/// `16.4` of `16.4 (Debian 16.4-1)`.
fn version(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Runs something with a limit.
pub(super) async fn within<T>(
    what: &'static str,
    side: Side,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Error::TimedOut {
            what,
            side,
            within: limit,
        }))
}

impl Error {
    /// Whether trying again later may help without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.reason(),
            Reason::ConnectionRefused | Reason::TimedOut | Reason::Failed | Reason::DiskFull
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::provision::{AppRole, TableSelection};

    #[test]
    fn versions_are_short() {
        assert_eq!(version("16.4 (Debian 16.4-1.pgdg120+1)"), "16.4");
        assert_eq!(version("18beta1"), "18beta1");
    }

    #[tokio::test]
    async fn a_pattern_that_cannot_be_meant_is_refused_before_anything_is_asked() {
        let target: crate::net::target::Target =
            match "postgres://u@127.0.0.1:1/d?sslmode=disable".parse() {
                Ok(target) => target,
                Err(error) => unreachable!("{error}"),
            };
        let app = AppRole {
            name: "app".to_owned(),
            password: None,
        };
        let mut spec = Spec::new(target.clone(), target, "p", app);
        spec.tables = TableSelection {
            exclude: vec!["a.b.c".to_owned()],
            ..TableSelection::default()
        };
        let error = check_production(&spec).await.err();
        assert_eq!(error.map(|error| error.reason()), Some(Reason::InvalidSpec));
        spec.tables = TableSelection::default();
        let error = bring_up(&spec, &mut provision::Quiet).await.err();
        assert_eq!(
            error.map(|error| (error.reason(), error.side())),
            Some((Reason::ConnectionRefused, Side::Production))
        );
    }
}
