//! What is on both sides before provisioning.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Error, Options};

/// Both sides.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Production.
    pub production: Production,
    /// Tables of production that aren't wanted, in schemas that are: schema and name.
    pub excluded: Vec<(String, String)>,
    /// Production's schema, as [`fingerprint`] gives it.
    pub fingerprint: String,
    /// Fresh.
    pub fresh: Fresh,
    /// What fresh knows, when it was provisioned before.
    pub preview: Option<Preview>,
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
    /// The schemas of users.
    pub schemas: Vec<String>,
    /// Tables, partitioned tables, materialized views, foreign tables.
    pub relations: Vec<Relation>,
    /// Enums.
    pub enums: Vec<Enum>,
    /// Views and functions: their names with their kinds, and the statements that make them anew.
    #[serde(default)]
    pub definitions: BTreeMap<String, String>,
    /// Sequences.
    pub sequences: Vec<Sequence>,
}

/// A relation of production.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: String,
    /// Its OID on production: what it keeps when it's renamed.
    #[serde(default)]
    pub oid: u32,
    /// It is a partition.
    #[serde(default)]
    pub partition: bool,
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
    /// The tables that inherit from it: schemas and names.
    #[serde(default)]
    pub heirs: Vec<(String, String)>,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The columns of its unconditional, immediate unique keys: primary first.
    pub keys: Vec<Vec<String>>,
    /// Its own constraints but NOT NULLs: names and definitions.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
    /// Its own indexes that no constraint has made: names and definitions.
    #[serde(default)]
    pub indexes: BTreeMap<String, String>,
    /// The names of all its indexes.
    #[serde(default)]
    pub index_names: Vec<String>,
    /// The definitions of its valid checks, foreign keys, exclusion constraints and unique indexes, without names.
    #[serde(default)]
    pub promises: Vec<String>,
    /// Fresh had it already; set by the plan.
    #[serde(default)]
    pub adopted: bool,
}

/// A column of production.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its `attnum` on production: what it keeps when it's renamed.
    #[serde(default)]
    pub number: i16,
    /// Its default, or what generates it.
    #[serde(default)]
    pub default: Option<String>,
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

/// An enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enum {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its labels in order, each with its OID: what it keeps when it's renamed.
    pub labels: Option<Vec<(u32, String)>>,
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
    /// It was provisioned to the end, by this version or one that keeps the same notes.
    pub noted: bool,
    /// Its relations: schema and name.
    pub relations: Vec<(String, String)>,
}

/// A preview that was provisioned before.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Preview {
    /// What is noted in `previewpg.meta`.
    pub settings: BTreeMap<String, String>,
    /// The relations that were brought.
    pub relations: Vec<Known>,
    /// Its enums.
    pub enums: Vec<Enum>,
    /// Types that widen to types without loss.
    pub widenings: Vec<(String, String)>,
    /// Its views and functions, as [`Production::definitions`].
    #[serde(default)]
    pub definitions: BTreeMap<String, String>,
}

impl Preview {
    /// The entries of `pg_dump`'s table of contents that were brought.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<String> {
        self.noted("objects")
    }

    /// Tables that a run that was broken off had begun to bring.
    #[must_use]
    pub fn bringing(&self) -> BTreeSet<(String, String)> {
        self.noted("bringing")
    }

    fn noted<T: serde::de::DeserializeOwned + Default>(&self, name: &str) -> T {
        self.settings
            .get(name)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

/// A relation that was brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Known {
    /// Production's, when its changes were last brought in.
    pub description: Relation,
    /// Upper's OID; `None`: the preview dropped it.
    pub upper: Option<u32>,
    /// Upper's schema.
    pub schema: Option<String>,
    /// Upper's name.
    pub name: Option<String>,
    /// `merged`, `detached`, `read_only`, `unsupported`, or `empty` for one without production's rows; while it's halted the state that it had before.
    pub state: String,
    /// It's refused because production and the preview don't fit.
    pub halted: bool,
    /// Something of it was changed, inserted or deleted.
    pub written: bool,
    /// The columns of upper that claims are kept by.
    pub key: Vec<String>,
    /// Upper's columns.
    pub columns: Vec<UpperColumn>,
    /// Upper's constraints but NOT NULLs.
    pub constraints: BTreeMap<String, String>,
    /// Upper's indexes.
    pub indexes: BTreeMap<String, String>,
}

/// A column of upper.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct UpperColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// NOT NULL.
    pub not_null: bool,
    /// Its default, or what generates it.
    pub default: Option<String>,
    /// The column of production that it reads; `None`: the preview's own.
    pub reads: Option<String>,
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
    let [document, definitions, fingerprint] = read(
        production,
        [
            include_str!("../sql/describe.sql"),
            include_str!("../sql/definitions.sql"),
            include_str!("../sql/fingerprint.sql"),
        ],
    )
    .await
    .map_err(Error::Production)?;
    let mut seen: Production = serde_json::from_str(&document)?;
    seen.definitions = serde_json::from_str(&definitions)?;
    let tables = &options.tables;
    let excluded: Vec<(String, String)> = seen
        .relations
        .iter()
        .filter(|relation| !tables.includes(&relation.schema, &relation.name))
        .map(|relation| (relation.schema.clone(), relation.name.clone()))
        .collect();
    seen.relations
        .retain(|relation| tables.includes(&relation.schema, &relation.name));
    seen.sequences.retain(|sequence| {
        tables.includes_schema(&sequence.schema)
            && match (&sequence.owner_schema, &sequence.owner_table) {
                (Some(schema), Some(table)) => tables.includes(schema, table),
                _ => true,
            }
    });
    let [document] = read(fresh, [include_str!("../sql/inspect_fresh.sql")])
        .await
        .map_err(Error::Fresh)?;
    let found: Fresh = serde_json::from_str(&document)?;
    let preview = if found.noted {
        let [document, definitions] = read(
            fresh,
            [
                include_str!("../sql/inspect_preview.sql"),
                include_str!("../sql/definitions.sql"),
            ],
        )
        .await
        .map_err(Error::Fresh)?;
        let mut preview: Preview = serde_json::from_str(&document)?;
        preview.definitions = serde_json::from_str(&definitions)?;
        // One whose provisioning was broken off is gone on with as if it were begun.
        preview.settings.contains_key("objects").then_some(preview)
    } else {
        None
    };
    let inspection = Inspection {
        production: seen,
        excluded,
        fingerprint,
        fresh: found,
        preview,
    };
    check(options, &inspection)?;
    Ok(inspection)
}

fn check(options: &Options, inspection: &Inspection) -> Result<(), Error> {
    let Inspection {
        production, fresh, ..
    } = inspection;
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

/// Production's schema in one value that changes whenever something changes that a preview takes over: `sha256:` and 64 hexadecimal digits.
/// One query, of catalogs only.
///
/// # Errors
/// When production can't be read.
pub async fn fingerprint(production: &Client) -> Result<String, tokio_postgres::Error> {
    let [text] = read(production, [include_str!("../sql/fingerprint.sql")]).await?;
    Ok(text)
}

/// The one text value of each query, read with a fixed search path in one read-only transaction.
pub(super) async fn read<const N: usize>(
    client: &Client,
    queries: [&str; N],
) -> Result<[String; N], tokio_postgres::Error> {
    client
        .batch_execute(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL search_path = pg_catalog; SET LOCAL quote_all_identifiers = off; SET LOCAL jit = off",
        )
        .await?;
    let answers = client.simple_query(&queries.join(";\n")).await;
    client.batch_execute("ROLLBACK").await?;
    let mut values = answers?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(std::array::from_fn(|_| values.next().unwrap_or_default()))
}
