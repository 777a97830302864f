//! The line to fresh, once it stands: the calls of `previewpg`'s functions for replicas. The SQL is in `overlay/sql/replicas.sql`.

use std::collections::HashSet;

use serde::Deserialize;
use tokio_postgres::types::{Oid, ToSql};
use tokio_postgres::{Client, Error, Statement};

use super::peers::Renewals;

/// The channel on which news are told of. Its notifications say nothing: clients may send some, too.
pub const NEWS: &str = "previewpg_news";
/// The channel on which acknowledgements are told of.
pub const ACKNOWLEDGED: &str = "previewpg_acknowledged";
/// The channel for cancel requests, see [`super`].
pub const CANCEL: &str = "previewpg_cancel";

/// Why a call didn't give what it should.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// fresh didn't answer, or refused.
    #[error(transparent)]
    Fresh(#[from] Error),
    /// fresh's answer can't be read.
    #[error("the news from fresh can't be read")]
    Malformed(#[from] serde_json::Error),
}

/// What a renewal gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct News {
    /// The number of the last news.
    pub version: i64,
    /// What this reading saw, as `pg_snapshot` is written.
    pub snapshot: String,
    /// The relations that were announced since the last one seen.
    pub marks: Vec<Oid>,
    /// Relations that were written to without having been announced.
    pub written: Vec<Oid>,
    /// The schema has changed.
    pub changed: bool,
    /// Sessions of other replicas are changing it.
    pub changing: bool,
    /// The other replicas.
    pub others: Vec<Renewals>,
}

/// A registered replica's line.
#[derive(Debug)]
pub struct Line {
    client: Client,
    id: i64,
    renew: Statement,
    acknowledge: Statement,
    mark: Statement,
    publish: Statement,
    behind: Statement,
    locked: Statement,
}

impl Line {
    /// Listens, and registers as a new replica, which has no lease before its first renewal.
    ///
    /// # Errors
    /// When fresh doesn't answer, or isn't provisioned.
    pub async fn register(client: Client) -> Result<Self, Error> {
        client
            .batch_execute(&format!("LISTEN {NEWS}; LISTEN {ACKNOWLEDGED}; LISTEN {CANCEL}; SET synchronous_commit = on; SET jit = off"))
            .await?;
        let renew = client
            .prepare("SELECT previewpg.renew($1, $2, $3::pg_catalog.text::pg_catalog.pg_snapshot)")
            .await?;
        let acknowledge = client
            .prepare(
                "SELECT previewpg.acknowledge($1, $2, $3::pg_catalog.text::pg_catalog.pg_snapshot)",
            )
            .await?;
        let mark = client.prepare("SELECT previewpg.mark($1)").await?;
        let publish = client.prepare("SELECT previewpg.publish()").await?;
        let behind = client
            .prepare("SELECT b.id, b.renewed FROM previewpg.behind($1, $2) AS b")
            .await?;
        let locked = client
            .prepare(
                "SELECT l.pid, l.relation FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'relation' AND l.granted AND l.pid = ANY ($1)
                    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())",
            )
            .await?;
        let id = client
            .query_one("SELECT previewpg.register()", &[])
            .await?
            .try_get(0)?;
        Ok(Self {
            client,
            id,
            renew,
            acknowledge,
            mark,
            publish,
            behind,
            locked,
        })
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The replica's number.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Renews the lease, knowing the news up to `seen` and the changes that `snapshot` sees. `None`: it was thrown out.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn renew(
        &self,
        seen: i64,
        snapshot: Option<&str>,
    ) -> Result<Option<News>, LineError> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.id, &seen, &snapshot];
        let row = self.client.query_one(&self.renew, &parameters).await?;
        let answer: Option<&str> = row.try_get(0)?;
        Ok(answer.map(serde_json::from_str).transpose()?)
    }

    /// Tells that the news up to `seen` and the changes that `snapshot` sees are applied.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn acknowledge(&self, seen: i64, snapshot: Option<&str>) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.id, &seen, &snapshot];
        self.client
            .query_one(&self.acknowledge, &parameters)
            .await?;
        Ok(())
    }

    /// Announces writes to these relations; gives the number of the news that say so.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn mark(&self, relations: &[Oid]) -> Result<i64, Error> {
        self.client
            .query_one(&self.mark, &[&relations])
            .await?
            .try_get(0)
    }

    /// Announces that sessions of this replica are about to change the schema; gives the number of the news that say so.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn begin_changes(&self) -> Result<i64, Error> {
        self.client
            .query_one("SELECT previewpg.begin_changes($1)", &[&self.id])
            .await?
            .try_get(0)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn end_changes(&self) -> Result<(), Error> {
        self.client
            .query_one("SELECT previewpg.end_changes($1)", &[&self.id])
            .await?;
        Ok(())
    }

    /// Announces that the schema has changed; 0: everybody knows already.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn publish(&self) -> Result<i64, Error> {
        self.client.query_one(&self.publish, &[]).await?.try_get(0)
    }

    /// The other replicas that don't know the news of this number.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn behind(&self, version: i64) -> Result<Vec<Renewals>, Error> {
        let rows = self
            .client
            .query(&self.behind, &[&self.id, &version])
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// The relations that these processes of fresh's have locked.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn locked(&self, processes: &[u32]) -> Result<HashSet<(u32, Oid)>, Error> {
        let processes: Vec<i32> = processes.iter().map(|id| id.cast_signed()).collect();
        let rows = self.client.query(&self.locked, &[&processes]).await?;
        rows.iter()
            .map(|row| {
                let process: i32 = row.try_get(0)?;
                Ok((process.cast_unsigned(), row.try_get(1)?))
            })
            .collect()
    }

    /// Throws out a replica that hasn't renewed since; whether it was.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn expire(&self, (id, renewed): Renewals) -> Result<bool, Error> {
        self.client
            .query_one("SELECT previewpg.expire($1, $2)", &[&id, &renewed])
            .await?
            .try_get(0)
    }

    /// Takes a replica's row away, which must have no lease by it: one's own.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn leave(&self, id: i64) -> Result<(), Error> {
        self.client
            .query_one("SELECT previewpg.leave($1)", &[&id])
            .await?;
        Ok(())
    }

    /// Forgets the changes that everybody knows, and production's rows of tables that were copied up as a whole, where nobody's snapshot needs them.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn forget(&self) -> Result<(), Error> {
        for forget in [
            "SELECT previewpg.forget_changes()",
            "SELECT previewpg.hide_copied()",
        ] {
            self.client.batch_execute(forget).await?;
        }
        Ok(())
    }

    /// Tells the other replicas of a cancel request.
    ///
    /// # Errors
    /// When fresh doesn't answer.
    pub async fn cancel(&self, request: &str) -> Result<(), Error> {
        self.client
            .execute(
                "SELECT pg_catalog.pg_notify('previewpg_cancel', $1)",
                &[&request],
            )
            .await?;
        Ok(())
    }
}
