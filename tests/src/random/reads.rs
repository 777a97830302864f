//! Queries.

use rand::Rng;

use super::{Generator, Kind};

impl Generator {
    pub(super) fn read(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.pick(table).name;
        let condition = self.condition(table, "x");
        let other = self.rng.random_range(0..self.tables.len());
        let other_name = self.tables[other].name.clone();
        let other_condition = self.condition(other, "y");
        let reference = self.tables[table]
            .columns
            .iter()
            .find_map(|c| Some((c.name.clone(), self.tables.get(c.references?)?.name.clone())));
        match self.rng.random_range(0..32) {
            0 => format!("SELECT * FROM {name}"),
            1 => format!("SELECT * FROM {name} x WHERE {condition}"),
            2 => format!("SELECT count(*), count({column}), count(DISTINCT {column}) FROM {name}"),
            3 => format!("SELECT {column}, count(*) FROM {name} x GROUP BY {column}"),
            4 => format!("SELECT * FROM {name} x ORDER BY x::text LIMIT 5"),
            5 => format!("SELECT x FROM {name} AS x WHERE NOT ({condition})"),
            6 => match reference {
                Some((column, parent)) => {
                    format!("SELECT * FROM {name} x JOIN {parent} p ON p.id = x.{column}")
                }
                None => format!("SELECT DISTINCT {column} FROM {name}"),
            },
            7 => match reference {
                Some((column, parent)) => format!(
                    "SELECT p.id, count(x.*) FROM {parent} p LEFT JOIN {name} x ON x.{column} = p.id \
                     GROUP BY p.id ORDER BY p.id"
                ),
                None => format!("SELECT max(x::text) FROM {name} x"),
            },
            8 => format!(
                "SELECT * FROM {name} x WHERE EXISTS (SELECT 1 FROM {other_name} y WHERE {other_condition}) AND {condition}"
            ),
            9 => format!(
                "WITH w AS (SELECT * FROM {name} x WHERE {condition}) SELECT count(*), (SELECT count(*) FROM {other_name}) FROM w"
            ),
            10 => format!(
                "SELECT {column}, row_number() OVER (PARTITION BY {column} ORDER BY x::text) FROM {name} x"
            ),
            11 => format!(
                "SELECT x::text FROM {name} x UNION SELECT y::text FROM {other_name} y WHERE {other_condition}"
            ),
            12 => format!("SELECT to_jsonb(x) FROM {name} x WHERE {condition}"),
            13 => format!("COPY (SELECT * FROM {name} x WHERE {condition}) TO STDOUT"),
            14 => format!("SELECT * FROM {name} x WHERE {condition} FOR UPDATE"),
            15 => self.grouped_by_key(table),
            16..=22 => self.grouped(table),
            23 => format!(
                "SELECT x.{column}, l.n FROM {name} x, LATERAL (SELECT count(*) AS n FROM {other_name} y WHERE y::text < x::text) l"
            ),
            24 => format!(
                "SELECT string_agg(x::text, ',' ORDER BY x::text) FROM {name} x WHERE {condition}"
            ),
            25 => format!(
                "SELECT DISTINCT ON (x.{column}) x.{column}, x::text FROM {name} x ORDER BY x.{column}, x::text"
            ),
            26 => format!(
                "SELECT {column} FROM {name} EXCEPT ALL SELECT {column} FROM {name} x WHERE {condition}"
            ),
            27 => {
                format!("SELECT x, y FROM {name} x FULL JOIN {other_name} y ON x::text = y::text")
            }
            28 => format!("SELECT * FROM {name} NATURAL LEFT JOIN {other_name}"),
            29 => format!("TABLE {name}"),
            30 => format!("SELECT (x).* FROM {name} x WHERE {condition}"),
            _ => format!(
                "SELECT x.{column}, (SELECT count(*) FROM {other_name} y WHERE {other_condition}) FROM {name} x ORDER BY x::text DESC LIMIT 3"
            ),
        }
    }

    /// An expression over a column of `x`, more often over the key's.
    pub(super) fn expression(&mut self, table: usize) -> String {
        let relation = &self.tables[table];
        let key = relation
            .columns
            .iter()
            .find(|c| relation.key.contains(&c.name))
            .cloned();
        let column = match key {
            Some(key) if self.chance(60) => key,
            _ => self.pick(table),
        };
        let name = format!("x.{}", column.name);
        let value = column.kind.value(&mut self.rng);
        match (column.kind, self.rng.random_range(0..5)) {
            (Kind::Int | Kind::Big, 0) => format!("{name} % 3"),
            (Kind::Int | Kind::Big, 1) => format!("({name} + 1) / 2"),
            (Kind::Text, 0 | 1) => format!("left({name}, 2)"),
            (Kind::Date, 0 | 1) => format!("date_trunc('week', {name})"),
            (Kind::Json, 0 | 1) => format!("{name} -> 'k'"),
            (_, 2) => format!("coalesce({name}, {value})"),
            (_, 3) => format!("{name} = {value}"),
            (_, 4) => format!("CASE WHEN {name} > {value} THEN 'more' END"),
            _ => format!("length({name}::text)"),
        }
    }

    /// Groups by the key alone: the other columns follow from it, where it's a primary key.
    fn grouped_by_key(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.pick(table).name;
        let expression = self.expression(table);
        let key: Vec<String> = self.tables[table]
            .key
            .iter()
            .map(|k| format!("x.{k}"))
            .collect();
        let key = if key.is_empty() {
            "x".to_owned()
        } else {
            key.join(", ")
        };
        let other = self.rng.random_range(0..self.tables.len());
        let other_name = self.tables[other].name.clone();
        match self.rng.random_range(0..4) {
            0 => format!("SELECT {key}, x.{column}, count(*) FROM {name} x GROUP BY {key}"),
            1 => format!(
                "SELECT x.{column}, {expression}, count(y) FROM {name} x LEFT JOIN {other_name} y ON y::text < x::text GROUP BY {key}"
            ),
            2 => format!(
                "SELECT x.*, count(*) OVER () FROM {name} x GROUP BY {key} ORDER BY x.{column}, {key}"
            ),
            _ => format!(
                "SELECT {expression} FROM {name} x GROUP BY {key}, {expression} HAVING count(x.{column}) > 0"
            ),
        }
    }

    /// Groups by expressions.
    fn grouped(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.pick(table).name;
        let condition = self.condition(table, "x");
        let one = self.expression(table);
        let two = self.expression(table);
        match self.rng.random_range(0..8) {
            0 => format!("SELECT {one} AS g, count(*) FROM {name} x GROUP BY {one}"),
            1 => format!(
                "SELECT {one} AS g, max(x.{column}::text) FROM {name} x GROUP BY g HAVING count(*) > 1"
            ),
            2 => format!("SELECT {one}, {two}, count(*) FROM {name} x GROUP BY 1, 2"),
            3 => format!(
                "SELECT {one}, {two}, count(*), grouping({one}, {two}) FROM {name} x GROUP BY ROLLUP ({one}, {two})"
            ),
            4 => format!(
                "SELECT {one}, count(DISTINCT {two}) FILTER (WHERE {condition}) FROM {name} x GROUP BY GROUPING SETS (({one}), ())"
            ),
            5 => format!(
                "SELECT g, count(*) FROM (SELECT {one} AS g, {two} AS h FROM {name} x WHERE {condition}) i GROUP BY g"
            ),
            6 => format!(
                "SELECT {one}, rank() OVER (ORDER BY count(*), {one}) FROM {name} x GROUP BY {one}"
            ),
            _ => format!(
                "SELECT {one}, sum(length(x::text)) FROM {name} x GROUP BY CUBE ({one}, x.{column})"
            ),
        }
    }
}
