//! The preview's database on fresh's server: found or made, and whose it is.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::{ConnectError, connect};
use super::likeness::{Likeness, identifier, literal};
use super::{Error, Side, Spec};
use crate::net::target::Target;
use crate::overlay::provision;

/// What a comment of ours begins with; the tag follows.
const MARK: &str = "previewpg: ";
/// The limit for dropping a database.
const DROP_WITHIN: Duration = Duration::from_secs(60);
/// No statement of ours runs longer: the limit of a call ends a call, not what its server does.
const STATEMENT_LIMIT: &str = "SET statement_timeout = '15min'";

/// What [`drop_database`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The database was there.
    pub existed: bool,
    /// The app role was this preview's own and is gone, too.
    pub role: bool,
}

/// Connects to the preview's database, made before if it's missing, and refuses one that is somebody else's.
pub(super) async fn open(spec: &Spec, likeness: &Likeness) -> Result<Client, Error> {
    let client = match connect(Side::Fresh.as_str(), &spec.owner()).await {
        Err(error) if is_missing(&error) => {
            make(spec, likeness).await?;
            connect(Side::Fresh.as_str(), &spec.owner()).await?
        }
        other => other?,
    };
    let client = prepared(client).await?;
    claim(spec, &client).await?;
    Ok(client)
}

/// Connects to the preview's database, which must be there and not somebody else's.
pub(super) async fn existing(spec: &Spec) -> Result<Client, Error> {
    let client = prepared(connect(Side::Fresh.as_str(), &spec.owner()).await?).await?;
    match state(&client).await?.whose(spec.owner_tag.as_deref()) {
        Whose::Other(whose) => Err(taken(spec, &client, whose).await?),
        Whose::Ours | Whose::Nobodys => Ok(client),
    }
}

async fn prepared(client: Client) -> Result<Client, Error> {
    client
        .batch_execute(STATEMENT_LIMIT)
        .await
        .map_err(Error::ask(Side::Fresh))?;
    Ok(client)
}

fn is_missing(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Refused { source, .. } if source.code() == Some(&SqlState::INVALID_CATALOG_NAME))
}

/// A connection to the server for making and dropping the preview's database.
async fn maintenance(spec: &Spec) -> Result<Client, Error> {
    // One that stands in the way of nothing: the preview's can't be made or dropped from within.
    let database = match (spec.fresh.database.as_str(), spec.database.as_str()) {
        ("postgres", "postgres") => "template1",
        (given, wanted) if given == wanted => "postgres",
        (given, _) => given,
    };
    let target = Target {
        database: database.to_owned(),
        ..spec.fresh.clone()
    };
    prepared(connect(Side::Fresh.as_str(), &target).await?).await
}

/// The statement that makes the preview's database, as production's is, on a server of a major version.
fn creation(name: &str, likeness: &Likeness, major: u32) -> String {
    Likeness {
        database: name.to_owned(),
        ..likeness.clone()
    }
    .create_database(major)
}

async fn make(spec: &Spec, likeness: &Likeness) -> Result<(), Error> {
    let server = maintenance(spec).await?;
    let ask = Error::ask;
    let version: i32 = server
        .query_one(
            "SELECT current_setting('server_version_num')::int / 10000",
            &[],
        )
        .await
        .map_err(ask(Side::Fresh))?
        .get(0);
    let major = u32::try_from(version).unwrap_or(0);
    if major < likeness.major {
        return Err(Error::Provision(provision::Error::FreshTooOld {
            fresh: major,
            production: likeness.major,
        }));
    }
    // Superusers alone get in, until it is provisioned: see `admit`.
    let statement = format!(
        "{} CONNECTION LIMIT 0",
        creation(&spec.database, likeness, major)
    );
    match server.batch_execute(&statement).await {
        Ok(()) => {}
        // Somebody else was faster: whose it is now is looked at next.
        Err(error)
            if matches!(
                error.code(),
                Some(&SqlState::DUPLICATE_DATABASE | &SqlState::UNIQUE_VIOLATION)
            ) =>
        {
            return Ok(());
        }
        Err(source) => {
            return Err(Error::MakeDatabase {
                name: spec.database.clone(),
                source,
            });
        }
    }
    for (name, value) in &likeness.settings {
        let statement = format!(
            "ALTER DATABASE {} SET {} = {}",
            identifier(&spec.database),
            identifier(name),
            literal(value)
        );
        if let Err(error) = server.batch_execute(&statement).await {
            tracing::warn!(setting = %name, %value, %error, "production's setting can't be taken over");
        }
    }
    Ok(())
}

/// Lets clients in: while it was provisioned, its tables looked like ordinary, empty ones.
pub(super) async fn admit(spec: &Spec, fresh: &Client) -> Result<(), Error> {
    let shut: bool = fresh
        .query_one(
            "SELECT datconnlimit = 0 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(Error::ask(Side::Fresh))?;
    if shut {
        let statement = format!(
            "ALTER DATABASE {} CONNECTION LIMIT -1",
            identifier(&spec.database)
        );
        fresh
            .batch_execute(&statement)
            .await
            .map_err(Error::ask(Side::Fresh))?;
    }
    Ok(())
}

/// What a database tells of itself.
struct State {
    comment: Option<String>,
    /// Nothing is in it, and only superusers get in: as [`make`] leaves it until it's marked.
    just_made: bool,
}

/// Whose a database is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    /// Made by us, and not marked yet.
    Nobodys,
    /// Somebody else's: the words that say so.
    Other(String),
}

impl State {
    fn whose(&self, tag: Option<&str>) -> Whose {
        let Some(tag) = tag else {
            return Whose::Ours;
        };
        match self.comment.as_deref().map(str::trim) {
            Some(comment) if comment == mark(tag) => Whose::Ours,
            None | Some("") if self.just_made => Whose::Nobodys,
            None | Some("") => {
                Whose::Other("is there already and isn't marked as this preview's".to_owned())
            }
            Some(comment) => match comment.strip_prefix(MARK) {
                Some(other) => Whose::Other(format!("belongs to another preview ({other})")),
                None => Whose::Other("has a comment that isn't previewpg's".to_owned()),
            },
        }
    }
}

fn mark(tag: &str) -> String {
    format!("{MARK}{tag}")
}

async fn state(client: &Client) -> Result<State, Error> {
    let row = client
        .query_one(
            "SELECT pg_catalog.shobj_description(d.oid, 'pg_database'),
                    d.datconnlimit = 0 AND pg_catalog.to_regclass('previewpg.meta') IS NULL AND NOT EXISTS (
                        SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
             FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(Error::ask(Side::Fresh))?;
    Ok(State {
        comment: row.get(0),
        just_made: row.get(1),
    })
}

/// The refusal of a database that is somebody else's. The role that its clients used is handed over with it, if it has the same mark.
async fn taken(spec: &Spec, client: &Client, whose: String) -> Result<Error, Error> {
    let tag = spec.owner_tag.as_deref().unwrap_or_default();
    let mut handover = format!(
        "COMMENT ON DATABASE {} IS {}",
        identifier(&spec.database),
        literal(&mark(tag))
    );
    let role = client
        .query_opt(
            "SELECT FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
             WHERE r.rolname = $1 AND d.datname = pg_catalog.current_database() AND NOT r.rolsuper
               AND pg_catalog.shobj_description(r.oid, 'pg_authid') = pg_catalog.shobj_description(d.oid, 'pg_database')
               AND pg_catalog.starts_with(pg_catalog.shobj_description(r.oid, 'pg_authid'), $2)",
            &[&spec.app.name, &MARK],
        )
        .await
        .map_err(Error::ask(Side::Fresh))?;
    if role.is_some() {
        handover.push_str(&format!(
            "; {}",
            provision::role_handover(&spec.app.name, tag)
        ));
    }
    Ok(Error::DatabaseTaken {
        name: spec.database.clone(),
        whose,
        handover,
    })
}

/// Marks a database as ours, unless it's somebody else's.
async fn claim(spec: &Spec, client: &Client) -> Result<(), Error> {
    let Some(tag) = &spec.owner_tag else {
        return Ok(());
    };
    match state(client).await?.whose(Some(tag)) {
        Whose::Ours => return Ok(()),
        Whose::Other(whose) => return Err(taken(spec, client, whose).await?),
        Whose::Nobodys => {}
    }
    // Of two previews with the same database's name only one may have it.
    let ask = Error::ask;
    client
        .batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_shdescription IN SHARE ROW EXCLUSIVE MODE")
        .await
        .map_err(ask(Side::Fresh))?;
    let marked = mark_locked(spec, tag, client).await;
    let end = if marked.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(ask(Side::Fresh));
    marked.and(ended)
}

async fn mark_locked(spec: &Spec, tag: &str, client: &Client) -> Result<(), Error> {
    match state(client).await?.whose(Some(tag)) {
        Whose::Ours => Ok(()),
        Whose::Other(whose) => Err(taken(spec, client, whose).await?),
        Whose::Nobodys => client
            .batch_execute(&format!(
                "COMMENT ON DATABASE {} IS {}",
                identifier(&spec.database),
                literal(&mark(tag))
            ))
            .await
            .map_err(Error::ask(Side::Fresh)),
    }
}

/// Drops the preview's database: ends its connections and transactions first. A database that isn't this preview's is refused; one that isn't there
/// is fine. The app role goes with it, if it was this preview's own and nothing else on the server needs it.
///
/// # Errors
/// When fresh can't be reached, the database is somebody else's, or it can't be dropped within a minute.
pub async fn drop_database(spec: &Spec) -> Result<Dropped, Error> {
    super::steps::within(
        "dropping the database",
        Side::Fresh,
        DROP_WITHIN,
        drop_now(spec),
    )
    .await
}

pub(super) async fn drop_now(spec: &Spec) -> Result<Dropped, Error> {
    let existed = match existing(spec).await {
        Ok(client) => {
            end_prepared(&client).await?;
            true
        }
        Err(Error::Connect(error)) if is_missing(&error) => false,
        Err(error) => return Err(error),
    };
    let server = maintenance(spec).await?;
    if existed {
        server
            .batch_execute(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                identifier(&spec.database)
            ))
            .await
            .map_err(|source| Error::DropDatabase {
                name: spec.database.clone(),
                source,
            })?;
    }
    Ok(Dropped {
        existed,
        role: drop_role(spec, &server).await?,
    })
}

/// Prepared transactions keep a database from being dropped.
async fn end_prepared(client: &Client) -> Result<(), Error> {
    let ask = Error::ask;
    let transactions = client
        .query(
            "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(ask(Side::Fresh))?;
    for row in transactions {
        let gid: String = row.get(0);
        client
            .batch_execute(&format!("ROLLBACK PREPARED {}", literal(&gid)))
            .await
            .map_err(ask(Side::Fresh))?;
    }
    Ok(())
}

async fn drop_role(spec: &Spec, server: &Client) -> Result<bool, Error> {
    let ours = server
        .query_opt(
            "SELECT FROM pg_catalog.pg_roles AS r
             WHERE r.rolname = $1 AND pg_catalog.shobj_description(r.oid, 'pg_authid') = $2
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS d WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = r.oid)",
            &[&spec.app.name, &mark(&role_tag(spec))],
        )
        .await
        .map_err(Error::ask(Side::Fresh))?;
    if ours.is_none() {
        return Ok(false);
    }
    // Somebody may have given it something meanwhile: then it stays.
    Ok(server
        .batch_execute(&format!("DROP ROLE {}", identifier(&spec.app.name)))
        .await
        .is_ok())
}

/// Whose the app role is.
pub(super) fn role_tag(spec: &Spec) -> String {
    spec.owner_tag
        .clone()
        .unwrap_or_else(|| format!("database {}", spec.database))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(comment: Option<&str>, just_made: bool) -> Whose {
        State {
            comment: comment.map(str::to_owned),
            just_made,
        }
        .whose(Some("ns/one"))
    }

    #[test]
    fn a_database_is_ours_by_its_comment_alone() {
        assert_eq!(whose(Some("previewpg: ns/one"), false), Whose::Ours);
        assert_eq!(whose(None, true), Whose::Nobodys);
        for (comment, just_made, words) in [
            (None, false, "isn't marked"),
            (Some("previewpg: ns/two"), true, "another preview (ns/two)"),
            (Some("the shop's"), true, "isn't previewpg's"),
        ] {
            match whose(comment, just_made) {
                Whose::Other(text) => assert!(text.contains(words), "{text}"),
                other => unreachable!("{comment:?} {just_made}: {other:?}"),
            }
        }
    }

    #[test]
    fn without_a_tag_everything_is_taken() {
        let state = State {
            comment: Some("previewpg: ns/two".to_owned()),
            just_made: false,
        };
        assert_eq!(state.whose(None), Whose::Ours);
    }
}
