//! Random schemas, data and workloads, all from a seed, and the shrinking of one that fails.
//!
//! What is generated stays within what PostgreSQL defines: where its own answer depends on the physical order of rows
//! (LIMIT without ORDER BY, which of several bad rows an error names) nothing is asked. Statements may fail as long
//! as they fail alike: a small range of values makes conflicts of every kind likely.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::script::{Ignore, Statement};

/// A schema with data, and what to do with it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What all of it was made from.
    pub seed: u64,
    /// The schema and its rows.
    pub schema: String,
    /// The workload.
    pub statements: Vec<Statement>,
}

impl Case {
    /// Makes the case of a seed.
    pub fn new(seed: u64) -> Case {
        let mut generator = Generator {
            rng: StdRng::seed_from_u64(seed),
            tables: Vec::new(),
            names: 0,
        };
        let schema = generator.schema();
        let statements = generator.workload();
        Case {
            seed,
            schema,
            statements,
        }
    }

    /// As a script that can be run by hand.
    pub fn to_script(&self) -> String {
        let workload: Vec<String> = self.statements.iter().map(Statement::to_string).collect();
        format!(
            "-- seed {}: the schema\n{}\n-- the workload\n{}",
            self.seed,
            self.schema,
            workload.join("\n")
        )
    }

    /// Leaves out statements as long as `fails` still says yes, for no longer than `patience`.
    pub fn shrink(mut self, patience: Duration, mut fails: impl FnMut(&Case) -> bool) -> Case {
        let deadline = Instant::now() + patience;
        let mut chunk = self.statements.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.statements.len() && Instant::now() < deadline {
                let mut smaller = self.clone();
                let end = (at + chunk).min(smaller.statements.len());
                smaller.statements.drain(at..end);
                if !smaller.statements.is_empty() && fails(&smaller) {
                    self = smaller;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Big,
    Text,
    Numeric,
    Bool,
    Date,
    Mood,
    Ints,
    Json,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Int,
        Kind::Big,
        Kind::Text,
        Kind::Numeric,
        Kind::Bool,
        Kind::Date,
        Kind::Mood,
        Kind::Ints,
        Kind::Json,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Int => "int",
            Kind::Big => "bigint",
            Kind::Text => "text",
            Kind::Numeric => "numeric(8,2)",
            Kind::Bool => "boolean",
            Kind::Date => "date",
            Kind::Mood => "mood",
            Kind::Ints => "int[]",
            Kind::Json => "jsonb",
        }
    }

    fn value(self, rng: &mut StdRng) -> String {
        let n = rng.random_range(0..40);
        match self {
            Kind::Int | Kind::Big => n.to_string(),
            Kind::Text => format!("'v{n}'"),
            Kind::Numeric => format!("{n}.{}", n % 4 * 25),
            Kind::Bool => ["true", "false"][n % 2].to_owned(),
            Kind::Date => format!("date '2025-01-{:02}'", n % 28 + 1),
            Kind::Mood => format!("'{}'", ["sad", "ok", "happy"][n % 3]),
            Kind::Ints => format!("'{{{n},{}}}'", n % 3),
            Kind::Json => format!("'{{\"k\": {n}}}'"),
        }
    }
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
    /// Unique, referencing or checked: not to be set for many rows at once.
    special: bool,
    /// Table and column that it references.
    references: Option<usize>,
}

#[derive(Debug, Clone)]
struct Table {
    name: String,
    /// Columns of the key, empty for a table without.
    key: Vec<String>,
    columns: Vec<Column>,
    referenced: bool,
}

struct Generator {
    rng: StdRng,
    tables: Vec<Table>,
    names: u32,
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn fresh_name(&mut self, prefix: &str) -> String {
        self.names += 1;
        // Some names need quotes, and one is a keyword.
        match self.names % 7 {
            3 => format!("\"{prefix} {}\"", self.names),
            5 => format!("\"{}{}\"", prefix.to_uppercase(), self.names),
            _ => format!("{prefix}{}", self.names),
        }
    }

    fn schema(&mut self) -> String {
        let mut sql = vec!["CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');".to_owned()];
        for number in 0..self.rng.random_range(2..5) {
            sql.push(self.table(number));
        }
        for number in 0..self.tables.len() {
            for _ in 0..self.rng.random_range(15..60) {
                let rows = self.row(number, true);
                let name = self.tables[number].name.clone();
                sql.push(format!(
                    "INSERT INTO {name} VALUES ({rows}) ON CONFLICT DO NOTHING;"
                ));
            }
        }
        sql.join("\n")
    }

    fn table(&mut self, number: usize) -> String {
        let name = self.fresh_name("t");
        let mut columns = Vec::new();
        let mut parts = Vec::new();
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
            nullable: false,
            special: true,
            references: None,
        };
        let key: Vec<String> = match self.rng.random_range(0..10) {
            0 => {
                columns.push(column("a", Kind::Int));
                columns.push(column("b", Kind::Text));
                parts.push("a int, b text, PRIMARY KEY (b, a)".to_owned());
                vec!["a".to_owned(), "b".to_owned()]
            }
            1 => {
                columns.push(column("u", Kind::Text));
                parts.push("u text NOT NULL UNIQUE".to_owned());
                vec!["u".to_owned()]
            }
            2 if number > 0 => Vec::new(),
            _ => {
                columns.push(column("id", Kind::Int));
                parts.push("id int PRIMARY KEY".to_owned());
                vec!["id".to_owned()]
            }
        };
        for _ in 0..self.rng.random_range(2..5) {
            let kind = *Kind::ALL.choose(&mut self.rng).unwrap_or(&Kind::Int);
            let name = self.fresh_name("c");
            let nullable = self.chance(60);
            let mut part = format!("{name} {}", kind.name());
            if !nullable {
                part += " NOT NULL";
            }
            if self.chance(30) {
                part += &format!(" DEFAULT {}", kind.value(&mut self.rng));
            }
            let plain = matches!(kind, Kind::Int | Kind::Big | Kind::Text);
            let mut special = !nullable;
            if plain && self.chance(25) {
                part += " UNIQUE";
                special = true;
            } else if matches!(kind, Kind::Int | Kind::Numeric) && self.chance(25) {
                part += &format!(" CHECK ({name} < 38)");
                special = true;
            }
            parts.push(part);
            columns.push(Column {
                name,
                kind,
                nullable,
                special,
                references: None,
            });
        }
        let targets: Vec<usize> = (0..=number)
            .filter(|t| self.tables.get(*t).is_none_or(|t| t.key == ["id"]))
            .filter(|t| *t < number || key == ["id"])
            .collect();
        if self.chance(70)
            && let Some(&target) = targets.choose(&mut self.rng)
        {
            let column = self.fresh_name("r");
            let parent = self.tables.get(target).map_or(&name, |t| &t.name).clone();
            let action = [
                "",
                "ON DELETE CASCADE",
                "ON DELETE SET NULL",
                "ON DELETE RESTRICT",
            ]
            .choose(&mut self.rng)
            .unwrap_or(&"");
            let update = ["", "ON UPDATE CASCADE"]
                .choose(&mut self.rng)
                .unwrap_or(&"");
            parts.push(format!(
                "{column} int REFERENCES {parent} {action} {update}"
            ));
            if let Some(table) = self.tables.get_mut(target) {
                table.referenced = true;
            }
            columns.push(Column {
                name: column,
                kind: Kind::Int,
                nullable: true,
                special: true,
                references: Some(target),
            });
        }
        let own = columns.iter().any(|c| c.references == Some(number));
        let sql = format!("CREATE TABLE {name} ({});", parts.join(", "));
        self.tables.push(Table {
            name,
            key,
            columns,
            referenced: own,
        });
        sql
    }

    /// Values for all columns; in the data references are to rows that are there.
    fn row(&mut self, table: usize, data: bool) -> String {
        let columns = self.tables[table].columns.clone();
        let values: Vec<String> = columns
            .iter()
            .map(|column| {
                if column.nullable && self.chance(20) {
                    return "NULL".to_owned();
                }
                match column.references {
                    Some(parent) if data => {
                        if parent == table {
                            return "NULL".to_owned();
                        }
                        let parent = self.tables[parent].name.clone();
                        let skip = self.rng.random_range(0..12);
                        format!("(SELECT id FROM {parent} ORDER BY id OFFSET {skip} LIMIT 1)")
                    }
                    _ if data && column.kind == Kind::Int && column.special => {
                        self.rng.random_range(0..38).to_string()
                    }
                    _ if data && column.kind == Kind::Numeric => "7.5".to_owned(),
                    _ => column.kind.value(&mut self.rng),
                }
            })
            .collect();
        values.join(", ")
    }

    fn workload(&mut self) -> Vec<Statement> {
        let mut statements = Vec::new();
        for _ in 0..self.rng.random_range(14..26) {
            if self.chance(15) {
                let before = self.tables.clone();
                statements.push(Statement::plain("BEGIN"));
                let middle = self.rng.random_range(1..4);
                for _ in 0..middle {
                    statements.push(self.statement());
                }
                if self.chance(40) {
                    let here = self.tables.clone();
                    statements.push(Statement::plain("SAVEPOINT s"));
                    statements.push(self.statement());
                    statements.push(Statement::plain("ROLLBACK TO SAVEPOINT s"));
                    self.tables = here;
                    statements.push(self.statement());
                }
                if self.chance(50) {
                    statements.push(Statement::plain("COMMIT"));
                } else {
                    statements.push(Statement::plain("ROLLBACK"));
                    self.tables = before;
                }
            } else {
                statements.push(self.statement());
            }
        }
        for table in self.tables.clone() {
            statements.push(Statement::plain(&format!("SELECT * FROM {}", table.name)));
        }
        statements
    }

    fn statement(&mut self) -> Statement {
        let table = self.rng.random_range(0..self.tables.len());
        let mut ignore = vec![Ignore::Detail];
        let sql = match self.rng.random_range(0..100) {
            0..=34 => {
                ignore.clear();
                self.read(table)
            }
            35..=52 => {
                ignore.clear();
                self.insert(table)
            }
            53..=69 => self.update(table),
            70..=79 => self.delete(table),
            80..=84 => self.merge(table),
            _ => self.ddl(table),
        };
        Statement {
            ignore,
            ..Statement::plain(&sql)
        }
    }

    fn pick(&mut self, table: usize) -> Column {
        let columns = &self.tables[table].columns;
        columns
            .choose(&mut self.rng)
            .cloned()
            .unwrap_or_else(|| Column {
                name: "nothing".to_owned(),
                kind: Kind::Int,
                nullable: true,
                special: true,
                references: None,
            })
    }

    fn condition(&mut self, table: usize, alias: &str) -> String {
        let column = self.pick(table);
        let name = format!("{alias}.{}", column.name);
        let value = column.kind.value(&mut self.rng);
        match self.rng.random_range(0..6) {
            0 if column.nullable => format!("{name} IS NULL"),
            1 if column.kind != Kind::Bool => {
                let other = column.kind.value(&mut self.rng);
                format!("{name} IN ({value}, {other})")
            }
            2 | 3 => format!("{name} = {value}"),
            4 => format!("{name} < {value}"),
            _ => format!("{name} > {value}"),
        }
    }

    /// A condition that at most one row fulfils, where the table has a key.
    fn one_row(&mut self, table: usize, alias: &str) -> String {
        let key = self.tables[table].key.clone();
        let parts: Vec<String> = key
            .iter()
            .map(|name| {
                let kind = self.tables[table]
                    .columns
                    .iter()
                    .find(|c| c.name == *name)
                    .map_or(Kind::Int, |c| c.kind);
                format!("{alias}.{name} = {}", kind.value(&mut self.rng))
            })
            .collect();
        if parts.is_empty() {
            "false".to_owned()
        } else {
            parts.join(" AND ")
        }
    }

    fn read(&mut self, table: usize) -> String {
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
        match self.rng.random_range(0..16) {
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
            _ => format!(
                "SELECT x.{column}, (SELECT count(*) FROM {other_name} y WHERE {other_condition}) FROM {name} x ORDER BY x::text DESC LIMIT 3"
            ),
        }
    }

    fn insert(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let row = self.row(table, false);
        let key = self.tables[table].key.join(", ");
        match self.rng.random_range(0..8) {
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
            _ => format!("INSERT INTO {name} VALUES ({row})"),
        }
    }

    /// A column that may be set for many rows, or the name of one that isn't there.
    fn plain(&mut self, table: usize) -> String {
        let plain: Vec<&Column> = self.tables[table]
            .columns
            .iter()
            .filter(|c| !c.special)
            .collect();
        plain
            .choose(&mut self.rng)
            .map_or("nothing".to_owned(), |c| c.name.clone())
    }

    fn update(&mut self, table: usize) -> String {
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

    fn delete(&mut self, table: usize) -> String {
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

    fn merge(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.plain(table);
        let one = self.one_row(table, "x");
        let row = self.row(table, false);
        format!(
            "MERGE INTO {name} x USING (SELECT 1 AS one) s ON {one} WHEN MATCHED THEN UPDATE SET {column} = NULL \
             WHEN NOT MATCHED THEN INSERT VALUES ({row})"
        )
    }

    fn ddl(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.pick(table);
        let keyed = self.tables[table].key.contains(&column.name);
        match self.rng.random_range(0..12) {
            0 | 1 => {
                let kind = *Kind::ALL.choose(&mut self.rng).unwrap_or(&Kind::Int);
                let new = self.fresh_name("n");
                let with_default = self.chance(60);
                let default = if with_default {
                    format!(" DEFAULT {}", kind.value(&mut self.rng))
                } else {
                    String::new()
                };
                self.tables[table].columns.push(Column {
                    name: new.clone(),
                    kind,
                    nullable: true,
                    special: false,
                    references: None,
                });
                format!(
                    "ALTER TABLE {name} ADD COLUMN {new} {}{default}",
                    kind.name()
                )
            }
            2 if !keyed && self.tables[table].columns.len() > 3 => {
                self.tables[table].columns.retain(|c| c.name != column.name);
                format!("ALTER TABLE {name} DROP COLUMN {}", column.name)
            }
            3 if !keyed => {
                let new = self.fresh_name("k");
                for c in &mut self.tables[table].columns {
                    if c.name == column.name {
                        c.name.clone_from(&new);
                    }
                }
                format!("ALTER TABLE {name} RENAME COLUMN {} TO {new}", column.name)
            }
            4 => {
                for c in &mut self.tables[table].columns {
                    c.special |= c.name == column.name;
                }
                format!("ALTER TABLE {name} ADD UNIQUE ({})", column.name)
            }
            5 => format!("ALTER TABLE {name} ALTER {} SET NOT NULL", column.name),
            6 => {
                let value = column.kind.value(&mut self.rng);
                for c in &mut self.tables[table].columns {
                    c.special |= c.name == column.name;
                }
                format!("ALTER TABLE {name} ADD CHECK ({} <> {value})", column.name)
            }
            7 if column.kind == Kind::Int && column.references.is_none() && !keyed => {
                format!("ALTER TABLE {name} ALTER {} TYPE bigint", column.name)
            }
            8 => format!("CREATE INDEX ON {name} ({})", column.name),
            9 => {
                let new = self.fresh_name("x");
                let condition = self.condition(table, "y");
                format!("CREATE TABLE {new} AS SELECT * FROM {name} y WHERE {condition}")
            }
            10 => {
                let new = self.fresh_name("v");
                format!("CREATE VIEW {new} AS SELECT * FROM {name}")
            }
            _ if self.chance(20) => format!("TRUNCATE {name} CASCADE"),
            _ => {
                let new = self.fresh_name("m");
                self.tables[table].name.clone_from(&new);
                format!("ALTER TABLE {name} RENAME TO {new}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_case() {
        for seed in 0..50 {
            assert_eq!(Case::new(seed).to_script(), Case::new(seed).to_script());
        }
        assert_ne!(Case::new(1).to_script(), Case::new(2).to_script());
    }

    #[test]
    fn shrinking_leaves_what_makes_it_fail() {
        let mut case = Case::new(7);
        case.statements.insert(9, Statement::plain("first"));
        case.statements.push(Statement::plain("second"));
        let both = |c: &Case| {
            let has = |sql: &str| c.statements.iter().any(|s| s.sql == sql);
            has("first") && has("second")
        };
        let small = case.shrink(Duration::from_secs(5), both);
        let texts: Vec<&str> = small.statements.iter().map(|s| s.sql.as_str()).collect();
        assert_eq!(texts, ["first", "second"]);
    }
}
