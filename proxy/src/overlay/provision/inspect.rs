//! What is on both sides before provisioning.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Error, Options};

/// Both sides.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Production.
    pub production: Production,
    /// Fresh.
    pub fresh: Fresh,
}

/// Production, as its role sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct Production {
    /// `server_version_num`.
    pub version: u32,
    /// The database's encoding.
    pub encoding: String,
    /// Its `LC_COLLATE`.
    pub collate: String,
    /// Its `LC_CTYPE`.
    pub ctype: String,
    /// Installed extensions and their versions.
    pub extensions: BTreeMap<String, String>,
    /// Tables, partitioned tables, materialized views, foreign tables.
    pub relations: Vec<Relation>,
    /// Sequences.
    pub sequences: Vec<Sequence>,
}

/// A relation of production.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: String,
    /// Our role may SELECT all of it.
    pub select: bool,
    /// Row-level security is enforced for our role.
    pub row_security: bool,
    /// Estimated rows.
    pub rows: i64,
    /// Bytes of its main fork and TOAST.
    pub bytes: i64,
    /// It's partitioned or a partition.
    pub partitioned: bool,
    /// It has inheritance children or parents.
    pub inherits: bool,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The columns of its unconditional, immediate unique keys: primary first.
    pub keys: Vec<Vec<String>>,
    /// The definitions of its valid checks, foreign keys, exclusion constraints and unique indexes, without names.
    #[serde(default)]
    pub promises: Vec<String>,
    /// Fresh had it already; set by the plan.
    #[serde(default)]
    pub adopted: bool,
    /// Why it can't be served; set by the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A column of production.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, schema-qualified.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its collation, where it isn't the type's own.
    pub collation: Option<String>,
    /// NOT NULL.
    pub not_null: bool,
    /// GENERATED ALWAYS AS (..).
    pub generated: bool,
    /// `pg_attribute.attidentity`.
    pub identity: String,
}

/// A sequence of production.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sequence {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The last value; `None`: never used, or not readable.
    pub last: Option<i64>,
    /// Our role may read it.
    pub readable: bool,
    /// The table whose column owns it: schema.
    pub owner_schema: Option<String>,
    /// The table whose column owns it.
    pub owner_table: Option<String>,
    /// The column that owns it.
    pub owner_column: Option<String>,
}

/// Fresh, before provisioning.
#[derive(Debug, Clone, Deserialize)]
pub struct Fresh {
    /// `server_version_num`.
    pub version: u32,
    /// Our role is a superuser.
    pub superuser: bool,
    /// The database's encoding.
    pub encoding: String,
    /// Its `LC_COLLATE`.
    pub collate: String,
    /// Its `LC_CTYPE`.
    pub ctype: String,
    /// It was provisioned before (perhaps not to the end).
    pub provisioned: bool,
    /// Its relations: schema and name.
    pub relations: Vec<(String, String)>,
}

impl Production {
    /// A digest of what matters of the schema: relations, columns, keys. Hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for relation in &self.relations {
            let structure = Relation {
                rows: 0,
                bytes: 0,
                ..relation.clone()
            };
            // Serializing plain strings and booleans can't fail; an empty text would only make the digest weaker.
            digest.update(serde_json::to_vec(&structure).unwrap_or_default());
        }
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Reads both sides.
///
/// # Errors
/// When a side can't be read, or fresh can't carry a preview of production.
pub async fn inspect(
    options: &Options,
    production: &Client,
    fresh: &Client,
) -> Result<Inspection, Error> {
    let document = read(production, include_str!("../sql/describe.sql"))
        .await
        .map_err(Error::Production)?;
    let mut seen: Production = serde_json::from_str(&document)?;
    seen.relations
        .retain(|relation| options.wants(&relation.schema));
    seen.sequences
        .retain(|sequence| options.wants(&sequence.schema));
    let document = read(fresh, include_str!("../sql/inspect_fresh.sql"))
        .await
        .map_err(Error::Fresh)?;
    let inspection = Inspection {
        production: seen,
        fresh: serde_json::from_str(&document)?,
    };
    check(options, &inspection)?;
    Ok(inspection)
}

fn check(options: &Options, inspection: &Inspection) -> Result<(), Error> {
    let Inspection { production, fresh } = inspection;
    if !fresh.superuser {
        return Err(Error::NotSuperuser(options.fresh.user.clone()));
    }
    let (fresh_major, production_major) = (fresh.version / 10_000, production.version / 10_000);
    if fresh_major < production_major {
        return Err(Error::FreshTooOld {
            fresh: fresh_major,
            production: production_major,
        });
    }
    if fresh.encoding != production.encoding {
        return Err(Error::Encoding {
            fresh: fresh.encoding.clone(),
            production: production.encoding.clone(),
        });
    }
    Ok(())
}

/// The one text value of a query, read with a fixed search path in a read-only transaction.
async fn read(client: &Client, query: &str) -> Result<String, tokio_postgres::Error> {
    client
        .batch_execute(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL search_path = pg_catalog; SET LOCAL quote_all_identifiers = off",
        )
        .await?;
    let answer = client.simple_query(query).await;
    client.batch_execute("ROLLBACK").await?;
    Ok(answer?
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default())
}
