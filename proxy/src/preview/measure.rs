//! How much a preview holds.

use std::time::{Duration, SystemTime};

use super::{Error, Side, Spec, database, steps};

/// The limit for a measurement.
const WITHIN: Duration = Duration::from_secs(20);

/// What a preview holds. Tables above some MiB are estimated: a measurement reads no more than that of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delta {
    /// Rows in fresh's own tables.
    pub rows: u64,
    /// Rows of production that the preview deleted.
    pub whiteouts: u64,
    /// Those of `rows` that were copied up from production, whether they changed since or not.
    pub copied_up_rows: u64,
    /// Bytes of the tables that hold anything, with their indexes and claims.
    pub bytes: u64,
    /// When a client last connected, as far as measurements saw: clients that came and went between two of them aren't seen.
    pub last_connection: Option<SystemTime>,
}

/// Measures a preview. Reads fresh only.
///
/// # Errors
/// When fresh can't be asked, or isn't provisioned.
pub async fn measure(spec: &Spec) -> Result<Delta, Error> {
    steps::within("measuring", Side::Fresh, WITHIN, async {
        let client = database::existing(spec).await?;
        let row = client
            .query_one("SELECT * FROM previewpg.measure()", &[])
            .await
            .map_err(Error::ask(Side::Fresh))?;
        let count = |place: usize| u64::try_from(row.get::<_, i64>(place)).unwrap_or(0);
        Ok(Delta {
            rows: count(0),
            whiteouts: count(1),
            copied_up_rows: count(2),
            bytes: count(3),
            last_connection: row.get(4),
        })
    })
    .await
}
