//! INSERT, UPDATE, DELETE, MERGE.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Column, Generator, Kind};

impl Generator {
    pub(super) fn insert(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let row = self.row(table, false);
        let key = self.tables[table].key.join(", ");
        let one = self.one_row(table, "x");
        match self.rng.random_range(0..9) {
            0 => {
                let second = self.row(table, false);
                format!("INSERT INTO {name} VALUES ({row}), ({second}) RETURNING *")
            }
            1 => format!("INSERT INTO {name} VALUES ({row}) ON CONFLICT DO NOTHING RETURNING *"),
            2 | 3 if !key.is_empty() => {
                let column = self.plain(table);
                format!(
                    "INSERT INTO {name} AS x VALUES ({row}) ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column} RETURNING *"
                )
            }
            4 => {
                let column = self.pick(table);
                let value = column.kind.value(&mut self.rng);
                format!("INSERT INTO {name} ({}) VALUES ({value})", column.name)
            }
            5 => format!(
                "INSERT INTO {name} SELECT * FROM {name} x WHERE {one} ON CONFLICT DO NOTHING"
            ),
            _ => format!("INSERT INTO {name} VALUES ({row})"),
        }
    }

    /// A column that may be set for many rows, or the name of one that isn't there.
    pub(super) fn plain(&mut self, table: usize) -> String {
        let plain: Vec<&Column> = self.tables[table]
            .columns
            .iter()
            .filter(|c| !c.special)
            .collect();
        plain
            .choose(&mut self.rng)
            .map_or("nothing".to_owned(), |c| c.name.clone())
    }

    pub(super) fn update(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        if self.chance(50) {
            let column = self.pick(table);
            let value = if column.nullable && self.chance(20) {
                "NULL".to_owned()
            } else {
                column.kind.value(&mut self.rng)
            };
            let one = self.one_row(table, "x");
            return format!(
                "UPDATE {name} AS x SET {} = {value} WHERE {one} RETURNING *",
                column.name
            );
        }
        let column = self.plain(table);
        let kind = self.tables[table]
            .columns
            .iter()
            .find(|c| c.name == column)
            .map_or(Kind::Int, |c| c.kind);
        let value = kind.value(&mut self.rng);
        let condition = self.condition(table, "x");
        let other = self.rng.random_range(0..self.tables.len());
        let other_name = self.tables[other].name.clone();
        match self.rng.random_range(0..3) {
            0 => format!(
                "UPDATE {name} x SET {column} = {value} WHERE {condition} AND EXISTS (SELECT 1 FROM {other_name})"
            ),
            1 => format!(
                "WITH u AS (UPDATE {name} x SET {column} = {value} WHERE {condition} RETURNING *) SELECT * FROM u"
            ),
            _ => format!("UPDATE {name} x SET {column} = {value} WHERE {condition} RETURNING x.*"),
        }
    }

    pub(super) fn delete(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let condition = if self.tables[table].referenced {
            self.one_row(table, "x")
        } else {
            self.condition(table, "x")
        };
        let other = self.rng.random_range(0..self.tables.len());
        let other_name = self.tables[other].name.clone();
        match self.rng.random_range(0..3) {
            0 => format!(
                "DELETE FROM {name} x USING (SELECT count(*) AS n FROM {other_name}) y WHERE y.n > 3 AND {condition}"
            ),
            _ => format!("DELETE FROM {name} x WHERE {condition} RETURNING *"),
        }
    }

    pub(super) fn merge(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.plain(table);
        let one = self.one_row(table, "x");
        let row = self.row(table, false);
        let condition = self.condition(table, "x");
        let key = self.tables[table].key.first().cloned();
        let other = self.rng.random_range(0..self.tables.len());
        let other_name = self.tables[other].name.clone();
        let matched = [
            "DELETE".to_owned(),
            "DO NOTHING".to_owned(),
            format!("UPDATE SET {column} = DEFAULT"),
        ]
        .choose(&mut self.rng)
        .cloned()
        .unwrap_or_default();
        // At most one row is inserted: of several bad ones, which is told of first is open.
        match (key, self.rng.random_range(0..4)) {
            (Some(key), 0) => format!(
                "MERGE INTO {name} x USING (SELECT DISTINCT y.{key} AS k FROM {name} y) s ON x.{key} = s.k \
                 WHEN MATCHED AND {condition} THEN {matched} WHEN MATCHED THEN DO NOTHING"
            ),
            (Some(key), 1) => format!(
                "MERGE INTO {name} AS x USING (SELECT count(*)::int AS n FROM {other_name}) s ON x.{key}::text = s.n::text \
                 WHEN MATCHED THEN {matched} WHEN NOT MATCHED AND s.n > 10 THEN INSERT VALUES ({row})"
            ),
            (_, 2) => format!(
                "MERGE INTO {name} x USING (VALUES (1)) s (one) ON {condition} WHEN MATCHED AND {one} THEN {matched} WHEN NOT MATCHED THEN DO NOTHING"
            ),
            _ => format!(
                "MERGE INTO {name} x USING (SELECT 1 AS one) s ON {one} WHEN MATCHED THEN UPDATE SET {column} = NULL \
                 WHEN NOT MATCHED THEN INSERT VALUES ({row})"
            ),
        }
    }
}
