//! Changes of the schema.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Column, Generator, Is, Kind, Table};

impl Generator {
    pub(super) fn ddl(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let column = self.pick(table);
        let keyed = self.tables[table].key.contains(&column.name);
        match self.rng.random_range(0..29) {
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
                self.constrain(table, &column.name);
                let constraint = self.fresh_name("u");
                self.constraints.push((table, constraint.clone()));
                let what = match self.chance(30) {
                    // The same, by other means.
                    true => format!("EXCLUDE ({} WITH =)", column.name),
                    false => format!("UNIQUE ({})", column.name),
                };
                format!("ALTER TABLE {name} ADD CONSTRAINT {constraint} {what}")
            }
            5 => format!("ALTER TABLE {name} ALTER {} SET NOT NULL", column.name),
            6 => {
                let value = column.kind.value(&mut self.rng);
                self.constrain(table, &column.name);
                if self.chance(50) {
                    let constraint = self.fresh_name("c");
                    self.unvalidated.push((table, constraint.clone()));
                    return format!(
                        "ALTER TABLE {name} ADD CONSTRAINT {constraint} CHECK ({} = {value}) NOT VALID",
                        column.name
                    );
                }
                format!("ALTER TABLE {name} ADD CHECK ({} <> {value})", column.name)
            }
            14 if column.kind == Kind::Int => {
                let parent = self.a_table();
                let key = self.tables[parent].key.join(", ");
                if self.tables[parent].key.len() != 1 {
                    return format!("ANALYZE {name}");
                }
                let constraint = self.fresh_name("f");
                let valid = if self.chance(60) {
                    self.unvalidated.push((table, constraint.clone()));
                    " NOT VALID"
                } else {
                    ""
                };
                let text = format!(
                    "ALTER TABLE {name} ADD CONSTRAINT {constraint} FOREIGN KEY ({}) REFERENCES {} ({key}){valid}",
                    column.name, self.tables[parent].name
                );
                self.tables[parent].referenced = true;
                self.constrain(table, &column.name);
                text
            }
            15 | 16 => match self.unvalidated.choose(&mut self.rng).cloned() {
                Some((of, constraint)) => {
                    let name = self.tables.get(of).map_or(&name, |table| &table.name);
                    format!("ALTER TABLE {name} VALIDATE CONSTRAINT {constraint}")
                }
                None => format!("ANALYZE {name}"),
            },
            17 => {
                // Another value for each row, as far as PostgreSQL can tell.
                let new = self.fresh_name("d");
                let value = self.rng.random_range(0..40);
                self.tables[table].columns.push(Column {
                    name: new.clone(),
                    kind: Kind::Int,
                    nullable: true,
                    special: false,
                    references: None,
                });
                format!(
                    "ALTER TABLE {name} ADD COLUMN {new} int DEFAULT (clock_timestamp() IS NULL)::int + {value}"
                )
            }
            18 | 19 if !keyed && column.references.is_none() => {
                for c in &mut self.tables[table].columns {
                    if c.name == column.name {
                        c.kind = Kind::Text;
                    }
                }
                format!(
                    "ALTER TABLE {name} ALTER {0} TYPE text USING 'v' || {0}::text",
                    column.name
                )
            }
            20 if !keyed => {
                for c in &mut self.tables[table].columns {
                    c.nullable |= c.name == column.name;
                }
                format!("ALTER TABLE {name} ALTER {} DROP NOT NULL", column.name)
            }
            21 if self.aside && !name.starts_with("aside.") => {
                self.tables[table].name = format!("aside.{name}");
                format!("ALTER TABLE {name} SET SCHEMA aside")
            }
            22 | 23 => {
                let first = self.ddl(table);
                let here = (self.tables.clone(), self.functions.clone());
                let second = self.ddl(table);
                let start = format!("ALTER TABLE {name} ");
                let joins = |text: &str| {
                    text.starts_with(&start)
                        && !text.contains(" RENAME ")
                        && !text.contains(" SET SCHEMA ")
                };
                match second.strip_prefix(&start) {
                    Some(rest) if joins(&first) && joins(&second) => format!("{first}, {rest}"),
                    _ => {
                        (self.tables, self.functions) = here;
                        first
                    }
                }
            }
            24 | 25 => match self.constraints.choose(&mut self.rng).cloned() {
                Some((of, constraint)) => {
                    let name = self.tables.get(of).map_or(&name, |table| &table.name);
                    format!("ALTER TABLE {name} DROP CONSTRAINT {constraint}")
                }
                None => format!("ANALYZE {name}"),
            },
            26 if !keyed && column.references.is_none() => {
                let value = Kind::Text.value(&mut self.rng);
                for c in &mut self.tables[table].columns {
                    if c.name == column.name {
                        (c.kind, c.nullable, c.special) = (Kind::Text, true, false);
                    }
                }
                // A column of the same name, but another one.
                self.tables[table]
                    .columns
                    .sort_by_key(|c| c.name == column.name);
                format!(
                    "ALTER TABLE {name} DROP COLUMN {0}, ADD COLUMN {0} text DEFAULT {value}",
                    column.name
                )
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
            10 => self.drop(),
            11 if column.references.is_none() => {
                let new = self.fresh_name("g");
                format!(
                    "ALTER TABLE {name} ADD COLUMN {new} text GENERATED ALWAYS AS ({}) STORED",
                    if column.kind == Kind::Int {
                        format!("'n' || {}", column.name)
                    } else {
                        "'n'".to_owned()
                    }
                )
            }
            12 => {
                let value = column.kind.value(&mut self.rng);
                format!(
                    "ALTER TABLE {name} ALTER {} SET DEFAULT {value}",
                    column.name
                )
            }
            13 => self.create_trigger(table),
            _ if self.chance(20) => format!("TRUNCATE {name} CASCADE"),
            _ => {
                let new = self.fresh_name("m");
                let schema = match name.starts_with("aside.") {
                    true => "aside.",
                    false => "",
                };
                self.tables[table].name = format!("{schema}{new}");
                format!("ALTER TABLE {name} RENAME TO {new}")
            }
        }
    }

    /// A column that isn't to be set for many rows at once any more.
    fn constrain(&mut self, table: usize, column: &str) {
        for c in &mut self.tables[table].columns {
            c.special |= c.name == column;
        }
    }

    /// Drops a view or a function, or fails because something depends on it.
    fn drop(&mut self) -> String {
        let views: Vec<String> = self
            .tables
            .iter()
            .filter(|t| matches!(t.is, Is::View | Is::Simple))
            .map(|t| t.name.clone())
            .collect();
        match views.choose(&mut self.rng) {
            Some(view) if self.chance(60) => format!("DROP VIEW {view}"),
            _ => {
                let name = self
                    .functions
                    .choose(&mut self.rng)
                    .map_or("nothing".to_owned(), |f| f.name.clone());
                format!("DROP ROUTINE {name}")
            }
        }
    }

    /// A view, also on views.
    pub(super) fn create_view(&mut self) -> String {
        let base = self.rng.random_range(0..self.tables.len());
        let relation = self.tables[base].clone();
        let from = relation.name.clone();
        let condition = self.condition(base, "x");
        let new = self.fresh_name("v");
        let column = self.pick(base);
        let expression = self.expression(base);
        let of = |kind, name: &str| Column {
            name: name.to_owned(),
            kind,
            nullable: true,
            special: true,
            references: None,
        };
        let (is, key, columns, query) = match self.rng.random_range(0..8) {
            0 | 1 => {
                let check = ["", " WITH CHECK OPTION", " WITH LOCAL CHECK OPTION"]
                    .choose(&mut self.rng)
                    .unwrap_or(&"");
                let query = format!("SELECT * FROM {from} x WHERE {condition}{check}");
                (
                    Is::Simple,
                    relation.key.clone(),
                    relation.columns.clone(),
                    query,
                )
            }
            2 | 3 => {
                // Some of the columns, the key first, the last one by another name.
                let mut columns: Vec<Column> = relation
                    .columns
                    .iter()
                    .filter(|c| relation.key.contains(&c.name) || c.name == column.name)
                    .cloned()
                    .collect();
                let mut list: Vec<String> =
                    columns.iter().map(|c| format!("x.{}", c.name)).collect();
                if let Some(last) = columns
                    .last_mut()
                    .filter(|c| !relation.key.contains(&c.name))
                {
                    let other = self.fresh_name("o");
                    if let Some(text) = list.last_mut() {
                        *text += &format!(" AS {other}");
                    }
                    last.name = other;
                }
                let query = format!("SELECT {} FROM {from} AS x", list.join(", "));
                (Is::Simple, relation.key.clone(), columns, query)
            }
            4 => {
                let columns = vec![column.clone(), of(Kind::Big, "n")];
                let name = &column.name;
                let query = format!(
                    "SELECT x.{name}, count(*) AS n FROM {from} x WHERE {condition} GROUP BY x.{name}"
                );
                (Is::View, Vec::new(), columns, query)
            }
            5 => {
                let query = format!(
                    "SELECT {expression} AS e, x.{0}, row_number() OVER (ORDER BY x::text) AS n FROM {from} x",
                    column.name
                );
                let columns = vec![column.clone(), of(Kind::Big, "n")];
                (Is::View, Vec::new(), columns, query)
            }
            6 => {
                let other = self.rng.random_range(0..self.tables.len());
                let other_name = self.tables[other].name.clone();
                let other_column = self.pick(other).name;
                let mut columns = relation.columns.clone();
                columns.retain(|c| c.name != "joined");
                let query = format!(
                    "SELECT x.*, y.{other_column} AS joined FROM {from} x LEFT JOIN {other_name} y ON x::text = y::text OR y.{other_column} IS NULL AND {condition}"
                );
                (Is::View, Vec::new(), columns, query)
            }
            _ => {
                let list: Vec<String> = relation.columns.iter().map(|c| c.name.clone()).collect();
                let list = list.join(", ");
                let query = format!(
                    "SELECT {list} FROM {from} x WHERE {condition} UNION ALL SELECT {list} FROM {from} x WHERE NOT ({condition})"
                );
                (Is::View, Vec::new(), relation.columns.clone(), query)
            }
        };
        let with = if self.chance(15) {
            " WITH (security_invoker)"
        } else {
            ""
        };
        self.tables.push(Table {
            name: new.clone(),
            is,
            key,
            columns,
            referenced: relation.referenced,
        });
        format!("CREATE VIEW {new}{with} AS {query}")
    }
}
