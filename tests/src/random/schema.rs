//! Tables and their rows.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Column, Generator, Is, Kind, Table};

impl Generator {
    pub(super) fn schema(&mut self) -> String {
        let mut sql = vec!["CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');".to_owned()];
        for number in 0..self.rng.random_range(2..5) {
            sql.push(self.table(number));
        }
        let tables: Vec<usize> = (0..self.tables.len())
            .filter(|&n| self.tables[n].is_table())
            .collect();
        sql.push(self.log());
        for &number in &tables {
            for _ in 0..self.rng.random_range(15..60) {
                let rows = self.row(number, true);
                let name = self.tables[number].name.clone();
                sql.push(format!(
                    "INSERT INTO {name} VALUES ({rows}) ON CONFLICT DO NOTHING;"
                ));
            }
        }
        for number in tables {
            if self.chance(25) {
                sql.push(self.create_trigger(number) + ";");
            }
        }
        let views = self.rng.random_range(0..3);
        for number in 0..views + self.rng.random_range(0..3) {
            let create = if number < views {
                self.create_view()
            } else {
                self.create_function()
            };
            // Some can't be made: two columns of a name, a view that can't be written to.
            sql.push(format!(
                "DO $do$ BEGIN EXECUTE $create${create}$create$; EXCEPTION WHEN OTHERS THEN NULL; END $do$;"
            ));
        }
        sql.join("\n")
    }

    pub(super) fn table(&mut self, number: usize) -> String {
        let name = self.fresh_name("t");
        let partitioned = self.chance(20);
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
            0 if !partitioned => {
                columns.push(column("a", Kind::Int));
                columns.push(column("b", Kind::Text));
                parts.push("a int, b text, PRIMARY KEY (b, a)".to_owned());
                vec!["a".to_owned(), "b".to_owned()]
            }
            1 if !partitioned => {
                columns.push(column("u", Kind::Text));
                parts.push("u text NOT NULL UNIQUE".to_owned());
                vec!["u".to_owned()]
            }
            2 if number > 0 && !partitioned => Vec::new(),
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
            if plain && !partitioned && self.chance(25) {
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
        // Its own number, where it's the table that is being made.
        let here = self.tables.len();
        let targets: Vec<usize> = (0..=here)
            .filter(|t| {
                self.tables
                    .get(*t)
                    .is_none_or(|t| t.is_table() && t.key == ["id"])
            })
            .filter(|t| *t < here || key == ["id"])
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
        let own = columns.iter().any(|c| c.references == Some(here));
        let mut sql = format!("CREATE TABLE {name} ({})", parts.join(", "));
        let table = Table {
            name,
            is: Is::Table,
            key,
            columns,
            referenced: own,
        };
        if partitioned {
            sql += &self.partitions(table);
        } else {
            self.tables.push(table);
        }
        sql + ";"
    }

    /// The rest of a partitioned table's definition, and its partitions; sometimes there's none for some of the keys.
    fn partitions(&mut self, table: Table) -> String {
        let parent = table.name.clone();
        let (by, bounds): (&str, &[&str]) = match self.rng.random_range(0..3) {
            0 => (
                "RANGE (id)",
                &[
                    "FOR VALUES FROM (MINVALUE) TO (12)",
                    "FOR VALUES FROM (12) TO (30)",
                    "DEFAULT",
                ],
            ),
            1 => (
                "RANGE (id)",
                &[
                    "FOR VALUES FROM (0) TO (20)",
                    "FOR VALUES FROM (20) TO (38)",
                ],
            ),
            _ => (
                "HASH (id)",
                &[
                    "FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
                    "FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
                ],
            ),
        };
        let mut sql = format!(" PARTITION BY {by}");
        self.tables.push(Table {
            is: Is::Partitioned,
            ..table.clone()
        });
        for bound in bounds {
            let name = self.fresh_name("p");
            sql += &format!(";\nCREATE TABLE {name} PARTITION OF {parent} {bound}");
            self.tables.push(Table {
                name,
                is: Is::Partition,
                ..table.clone()
            });
        }
        sql
    }

    /// A table that triggers write to, and their functions.
    fn log(&mut self) -> String {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::Text,
            nullable: true,
            special: false,
            references: None,
        };
        self.tables.push(Table {
            name: "log".to_owned(),
            is: Is::Log,
            key: Vec::new(),
            columns: vec![column("op"), column("what")],
            referenced: false,
        });
        "CREATE TABLE log (op text, what text);\n\
         CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (TG_OP, coalesce(NEW, OLD)::text); RETURN NULL; END $$;\n\
         CREATE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log SELECT TG_OP, count(*)::text FROM log; RETURN NULL; END $$;\n\
         CREATE FUNCTION skip_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN length(coalesce(NEW, OLD)::text) % 5 > 0 THEN coalesce(NEW, OLD) END; END $$;"
            .to_owned()
    }

    /// A trigger of a table.
    pub(super) fn create_trigger(&mut self, table: usize) -> String {
        let name = self.tables[table].name.clone();
        let new = self.fresh_name("g");
        let events = *["INSERT", "UPDATE", "DELETE", "INSERT OR UPDATE OR DELETE"]
            .choose(&mut self.rng)
            .unwrap_or(&"INSERT");
        let (when, each, function) = *[
            ("AFTER", "ROW", "note_row"),
            ("AFTER", "STATEMENT", "note_all"),
            ("BEFORE", "STATEMENT", "note_all"),
            ("BEFORE", "ROW", "skip_some"),
        ]
        .choose(&mut self.rng)
        .unwrap_or(&("AFTER", "ROW", "note_row"));
        format!(
            "CREATE TRIGGER {new} {when} {events} ON {name} FOR EACH {each} EXECUTE FUNCTION {function}()"
        )
    }
}
