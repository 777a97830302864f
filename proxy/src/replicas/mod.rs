//! What several processes (replicas) that serve one fresh tell each other, so that "clean" is true and not remembered, and no statement is planned by
//! names that mean something else by now.
//!
//! | module | job |
//! |---|---|
//! | [`mod@line`] | the SQL of schema `previewpg` that it takes, over one connection |
//! | [`peers`] | which other replicas have let their lease run out |
//!
//! Nothing here knows clients or catalogs; [`crate::command::control`] puts it together, [`crate::catalog::lease`] is what sessions look at.
//!
//! # The protocol
//! *News* are numbered, in the order of their commits ([`line::Line::mark`], [`line::Line::begin_changes`], [`line::Line::publish`]): these relations will be written to; the schema
//! will be changed; it has changed. Each replica
//! is registered by a row in fresh and **renews** its lease several times in [`LEASE`]: in one call it bumps its row and then reads the news that it lacks. Having *applied* them (marks set, the
//! catalog read again and published) its lease lasts for [`LEASE`], counted on its own monotonic clock from **before the renewal was sent**. Without a valid lease no read
//! goes to production and no statement that names anything is planned: clients wait for the renewal, and after [`PATIENCE`] are told so (08006).
//!
//! Who has news commits them first, then waits until each registered replica has acknowledged them, or until [`WAITED_OUT`] has passed since the commit:
//! - before the first write to a relation ever (its mark; once for a relation, not for each statement);
//! - before a statement that may change the schema, or locks a table against all others, if its replica hasn't said so already: until that one takes it back (once no session of its is at it, when it
//!   renews its lease), statements in all replicas have their names held, see [`crate::rewrite::still_mean`].
//!   A replica acknowledges this only when fresh has begun what its clients sent before, by names that nothing holds ([`crate::catalog::unheld`]), or 1.5 s later: it ends those sessions then;
//! - after the commit of a schema change, before the client hears of it;
//! - when fresh says in the middle of a statement that a function, a trigger or a referential action wrote to a relation without a mark: nothing more of that statement's answer
//!   reaches the client before the mark is acknowledged.
//!
//! # Why that is right
//! 1. *A lease that outlives news has applied them.* Let news commit at time `c`. A renewal whose reading sees them applies them before its lease is extended. One that doesn't see them
//!    has read before `c`, so was sent before `c`, so its lease ends before `c + LEASE`. The writer waits `WAITED_OUT > LEASE` after `c` on its own clock. No clock is
//!    compared with another; only their rates have to agree within the margin (4 %), and a clock has to go on while the process is stopped, which `CLOCK_MONOTONIC` does
//!    (a virtual machine that is frozen as a whole, its clock with it, is the exception, and the only one).
//! 2. *Nobody is overlooked.* The writer reads the list of replicas after its news were committed. Who isn't on it registered later and read the news after that.
//! 3. *Nobody is thrown out who may still read.* [`peers`] and the waiting writer remove a replica only if its row has not been renewed for `WAITED_OUT` since they
//!    saw it, by a DELETE that is conditional on that; its leases were all asked for before they saw it. A replica whose row is gone registers anew, under another number.
//! 4. *A replica that starts in the middle* registers, then reads; it has no lease before.
//! 5. *What a dead replica's clients committed* without its news having gone out (it was killed between fresh's commit and its own) stands in `previewpg.change`,
//!    a part of the same transaction, and is seen by every other's next renewal. Its client heard nothing. The same for a transaction that was prepared here and is committed there.
//!    Until a minute later, names are held as if its clients were still changing the schema.
//! 6. *fresh restarts*: all lines drop, leases run out, tables stay. Marks and registrations are committed for good; renewals need not be, and whoever lost its line forgets what it saw of others'.
//!
//! # What is guaranteed
//! A read that starts after a client heard of its write sees it, through every replica. A read that was under way at that time may not: but never rows of a table that was dirty
//! when production's first answer came, since the mark and the lease are looked at again then (a replica that was stopped between its decision and production's answer runs the read on fresh
//! instead). A statement that was planned before its replica was stopped and reaches fresh after it counts as under way: it runs as it was planned, or fails.
//!
//! One replica alone pays for a commit before the first write to each table and before a run of schema changes, and for a small UPDATE several times in a lease.

pub mod line;
pub mod peers;

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Error};

/// How long a lease lasts from before its renewal was sent.
pub const LEASE: Duration = Duration::from_millis(2500);

/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_millis(600);

/// How long who has news waits, from their commit, for a replica that doesn't acknowledge them: clocks may differ in rate by 4 %.
pub const WAITED_OUT: Duration = Duration::from_millis(2600);

/// How long a client's statement waits for the line to fresh before the session is ended with an error.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For who may have changed fresh behind the replicas' back: [`announce_change`], if the catalog is another one than when it was last announced so.
/// What its tables hold is no part of it: writes are told in another way.
///
/// # Errors
/// When fresh doesn't answer.
pub async fn announce_difference(fresh: &Client) -> Result<(), Error> {
    const LOOK: &str = r#"SELECT now.digest, now.digest IS DISTINCT FROM (SELECT m.value FROM previewpg.meta AS m WHERE m.name = 'announced')
        FROM (SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
            pg_catalog.regexp_replace(previewpg.catalog(), '"written" : (true|false)', '', 'g'), 'UTF8')), 'hex')) AS now(digest)"#;
    const NOTE: &str = "INSERT INTO previewpg.meta VALUES ('announced', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let row = fresh.query_one(LOOK, &[]).await?;
    if row.try_get(1)? {
        announce_change(fresh).await?;
        let digest: String = row.try_get(0)?;
        fresh.execute(NOTE, &[&digest]).await?;
    }
    Ok(())
}

/// For who has changed fresh behind the replicas' back (as its owner, over any connection, outside of a transaction): has them read the catalog again, and waits until they all
/// have, or have stopped to believe the old one.
///
/// # Errors
/// When fresh doesn't answer.
pub async fn announce_change(fresh: &Client) -> Result<(), Error> {
    const AGAIN: Duration = Duration::from_millis(20);
    let row = fresh.query_one("SELECT previewpg.changed()", &[]).await?;
    let version: i64 = row.try_get(0)?;
    let committed = Instant::now();
    while committed.elapsed() < WAITED_OUT {
        let behind = fresh
            .query_one(
                "SELECT pg_catalog.count(*) FROM previewpg.behind(0, $1)",
                &[&version],
            )
            .await?;
        if behind.try_get::<_, i64>(0)? == 0 {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}
