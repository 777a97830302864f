//! Cursors and prepared statements of a transaction block.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Generator, Ignore, Order, Statement};

impl Generator {
    /// A cursor that is read while its tables change.
    pub(super) fn cursor(&mut self, statements: &mut Vec<Statement>) {
        let table = self.rng.random_range(0..self.tables.len());
        let name = self.tables[table].name.clone();
        let condition = self.condition(table, "x");
        let scroll = self.chance(50);
        let hold = if self.chance(20) { " WITH HOLD" } else { "" };
        let word = if scroll { "SCROLL " } else { "" };
        statements.push(Statement::plain(&format!(
            "DECLARE c {word}CURSOR{hold} FOR SELECT * FROM {name} x WHERE {condition} ORDER BY x::text"
        )));
        for _ in 0..self.rng.random_range(1..4) {
            // What is sorted goes backward, SCROLL or not.
            let way = *[
                "NEXT",
                "3",
                "PRIOR",
                "ABSOLUTE 2",
                "BACKWARD 2",
                "LAST",
                "ALL",
            ]
            .choose(&mut self.rng)
            .unwrap_or(&"NEXT");
            let verb = if self.chance(20) { "MOVE" } else { "FETCH" };
            statements.push(Statement {
                order: Order::Ordered,
                ignore: vec![Ignore::Origin],
                ..Statement::plain(&format!("{verb} {way} FROM c"))
            });
            if self.chance(50) {
                statements.push(self.statement());
            }
        }
        statements.push(Statement::plain("CLOSE c"));
    }

    /// A cursor that locks its rows, and what is done with the rows under it.
    pub(super) fn locking_cursor(&mut self, statements: &mut Vec<Statement>) {
        let table = self.a_table();
        let name = self.tables[table].name.clone();
        let condition = self.condition(table, "x");
        let strength = *["UPDATE", "NO KEY UPDATE", "SHARE"]
            .choose(&mut self.rng)
            .unwrap_or(&"UPDATE");
        statements.push(Statement::plain(&format!(
            "DECLARE l CURSOR FOR SELECT * FROM {name} x WHERE {condition} ORDER BY x::text FOR {strength}"
        )));
        for _ in 0..self.rng.random_range(1..4) {
            statements.push(Statement::plain("MOVE NEXT FROM l"));
            let column = self.pick(table);
            let value = column.kind.value(&mut self.rng);
            let text = match self.rng.random_range(0..3) {
                0 => format!("DELETE FROM {name} WHERE CURRENT OF l RETURNING *"),
                _ => format!(
                    "UPDATE {name} SET {} = {value} WHERE CURRENT OF l RETURNING *",
                    column.name
                ),
            };
            statements.push(Statement {
                ignore: vec![Ignore::Detail],
                ..Statement::plain(&text)
            });
            if self.chance(30) {
                statements.push(self.statement());
            }
        }
        statements.push(Statement::plain("CLOSE l"));
    }

    /// A statement that SQL prepares and executes, before and after another one.
    pub(super) fn prepared(&mut self, statements: &mut Vec<Statement>) {
        let table = self.rng.random_range(0..self.tables.len());
        let text = match self.rng.random_range(0..3) {
            0 => self.read(table),
            1 => self.update(table),
            _ => self.insert(table),
        };
        if text.starts_with("COPY") {
            return;
        }
        let order = Statement::plain(&text).order;
        statements.push(Statement {
            ignore: vec![Ignore::Detail],
            ..Statement::plain(&format!("PREPARE p AS {text}"))
        });
        for _ in 0..2 {
            statements.push(Statement {
                order,
                ignore: vec![Ignore::Origin, Ignore::Detail],
                ..Statement::plain("EXECUTE p")
            });
            statements.push(self.statement());
        }
        statements.push(Statement::plain("DEALLOCATE p"));
    }
}
