//! Random schemas, data and workloads, all from a seed, and the shrinking of one that fails.
//!
//! Drawn are tables (partitioned ones, some without a key), views over anything, functions and procedures that read and write, triggers; queries
//! with every kind of grouping, writes, MERGE, schema changes; transaction blocks with savepoints, cursors and prepared statements.
//!
//! What is generated stays within what PostgreSQL defines: where its own answer depends on the physical order of rows
//! (LIMIT without ORDER BY, which of several bad rows an error names) nothing is asked. Statements may fail as long
//! as they fail alike: a small range of values makes conflicts of every kind likely.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::script::{Ignore, Order, Statement};

mod cursors;
mod ddl;
mod functions;
mod reads;
mod schema;
mod writes;

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
            functions: Vec::new(),
            unvalidated: Vec::new(),
            constraints: Vec::new(),
            aside: false,
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

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Table,
    Partitioned,
    Partition,
    /// What triggers write to.
    Log,
    /// A view that PostgreSQL sees through when it's written to.
    Simple,
    /// Any other view.
    View,
}

/// A table, or what can stand in its place.
#[derive(Debug, Clone)]
struct Table {
    name: String,
    is: Is,
    /// Columns of the key, empty for a table without.
    key: Vec<String>,
    columns: Vec<Column>,
    referenced: bool,
}

impl Table {
    /// Whether it holds rows of its own and may be altered.
    fn is_table(&self) -> bool {
        matches!(self.is, Is::Table | Is::Partitioned)
    }
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// A number in, one value out.
    Value,
    /// A number in, rows out.
    Rows,
    /// A row of this table in, text out.
    OfRow(usize),
    /// A procedure.
    Procedure,
}

#[derive(Debug, Clone)]
struct Function {
    name: String,
    call: Call,
}

struct Generator {
    rng: StdRng,
    tables: Vec<Table>,
    functions: Vec<Function>,
    /// Constraints that were added NOT VALID, and their tables.
    unvalidated: Vec<(usize, String)>,
    /// Others that were added, and their tables.
    constraints: Vec<(usize, String)>,
    /// There's a schema that tables are moved to.
    aside: bool,
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
        self.aside = self.chance(30);
        if self.aside {
            statements.push(Statement::plain("CREATE SCHEMA aside"));
        }
        for _ in 0..self.rng.random_range(14..26) {
            if self.chance(15) {
                self.block(&mut statements);
            } else {
                statements.push(self.statement());
            }
        }
        for table in self.tables.clone() {
            statements.push(Statement::plain(&format!("SELECT * FROM {}", table.name)));
        }
        statements
    }

    /// A transaction block.
    fn block(&mut self, statements: &mut Vec<Statement>) {
        let before = (self.tables.clone(), self.functions.clone());
        statements.push(Statement::plain("BEGIN"));
        let middle = self.rng.random_range(1..4);
        for _ in 0..middle {
            statements.push(self.statement());
        }
        if self.chance(30) {
            self.cursor(statements);
        }
        if self.chance(20) {
            self.locking_cursor(statements);
        }
        if self.chance(15) {
            self.prepared(statements);
        }
        if self.chance(40) {
            let here = (self.tables.clone(), self.functions.clone());
            statements.push(Statement::plain("SAVEPOINT s"));
            statements.push(self.statement());
            if self.chance(30) {
                // One of the same name hides the first until it's released.
                statements.push(Statement::plain("SAVEPOINT s"));
                statements.push(self.statement());
                let end = *["RELEASE s", "ROLLBACK TO SAVEPOINT s"]
                    .choose(&mut self.rng)
                    .unwrap_or(&"RELEASE s");
                statements.push(Statement::plain(end));
            }
            if self.chance(30) {
                statements.push(Statement::plain("RELEASE SAVEPOINT s"));
            } else {
                statements.push(Statement::plain("ROLLBACK TO SAVEPOINT s"));
                (self.tables, self.functions) = here;
            }
            statements.push(self.statement());
        }
        if self.chance(50) {
            statements.push(Statement::plain("COMMIT"));
        } else {
            statements.push(Statement::plain("ROLLBACK"));
            (self.tables, self.functions) = before;
        }
    }

    /// A relation that may be altered.
    fn a_table(&mut self) -> usize {
        let tables: Vec<usize> = (0..self.tables.len())
            .filter(|&n| self.tables.get(n).is_some_and(Table::is_table))
            .collect();
        tables.choose(&mut self.rng).copied().unwrap_or(0)
    }

    fn statement(&mut self) -> Statement {
        let table = self.rng.random_range(0..self.tables.len());
        let mut ignore = vec![Ignore::Detail];
        let sql = match self.rng.random_range(0..100) {
            0..=29 => {
                ignore.clear();
                self.read(table)
            }
            30..=37 => self.call(),
            38..=51 => {
                let insert = self.insert(table);
                // Of two bad rows another one may be told of.
                if !insert.contains("), (") {
                    ignore.clear();
                }
                insert
            }
            52..=65 => self.update(table),
            66..=74 => self.delete(table),
            75..=80 => self.merge(table),
            81..=85 => self.create_function(),
            86..=90 => self.create_view(),
            _ => {
                let table = self.a_table();
                self.ddl(table)
            }
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
