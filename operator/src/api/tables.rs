//! Which of production's tables are served, and how.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Quantity;

/// Which of production's tables are served, and how.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tables {
    /// The schemas to serve. Defaults to every one that isn't the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub schemas: Vec<String>,

    /// Tables to leave out, as `schema.table`; `*` stands for any characters, so `audit.*` leaves out a whole schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 3, max = 127), regex(pattern = r"^[^.]+\..+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude: Vec<String>,

    /// Tables to serve without production's rows, as `schema.table`; `*` stands for any characters. Their rows are never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 3, max = 127), regex(pattern = r"^[^.]+\..+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub empty: Vec<String>,

    /// Where the preview's sequences go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<Sequences>,

    /// Bounds on what one statement may copy up from production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Where the preview's sequences go on.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequences {
    /// How far from production's value they start, so that rows which production inserts later don't collide with the preview's. Defaults
    /// to 1000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_000_i64))]
    pub offset: Option<i64>,
}

/// Bounds on what one statement may copy up from production.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The most rows. A statement that changes more of production's rows is refused. Defaults to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_copy_up_rows: Option<i64>,

    /// The most bytes; whole mebibytes, rounded up. Defaults to 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(string(self)).compareTo(quantity('1')) >= 0").message("must be positive"))]
    pub max_copy_up_bytes: Option<Quantity>,
}
