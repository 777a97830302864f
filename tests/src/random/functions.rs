//! Functions that read and write tables, and their calls.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::{Call, Function, Generator};

impl Generator {
    /// A function over tables, views or other functions.
    pub(super) fn create_function(&mut self) -> String {
        let table = self.rng.random_range(0..self.tables.len());
        let name = self.tables[table].name.clone();
        let condition = self.condition(table, "x");
        let expression = self.expression(table);
        let column = self.pick(table).name;
        let new = self.fresh_name("f");
        let other = self
            .functions
            .iter()
            .filter(|f| f.call == Call::Value)
            .map(|f| f.name.clone())
            .collect::<Vec<_>>()
            .choose(&mut self.rng)
            .cloned();
        let volatility = *["", "STABLE ", "VOLATILE "]
            .choose(&mut self.rng)
            .unwrap_or(&"");
        let (call, sql) = match self.rng.random_range(0..13) {
            0 => (
                Call::Value,
                format!(
                    "FUNCTION {new}(arg int) RETURNS bigint LANGUAGE sql {volatility}AS $$ SELECT count(*) FROM {name} x WHERE {condition} AND length(x::text) % 3 <> arg % 3 $$"
                ),
            ),
            1 => (
                Call::Value,
                format!(
                    "FUNCTION {new}(arg int) RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) + arg FROM {name} x WHERE {condition})"
                ),
            ),
            2 => (
                Call::Rows,
                format!(
                    "FUNCTION {new}(arg int) RETURNS SETOF {name} LANGUAGE sql {volatility}AS $$ SELECT * FROM {name} x WHERE {condition} OR length(x::text) % 5 = arg % 5 $$"
                ),
            ),
            3 => (
                Call::Rows,
                format!(
                    "FUNCTION {new}(arg int) RETURNS TABLE (e text, c bigint) LANGUAGE plpgsql {volatility}AS $$ BEGIN \
                     RETURN QUERY SELECT ({expression})::text, count(*) FROM {name} x GROUP BY 1; END $$"
                ),
            ),
            4 => (
                Call::Value,
                format!(
                    "FUNCTION {new}(arg int) RETURNS text LANGUAGE plpgsql {volatility}AS $$ DECLARE r record; s text := arg::text; BEGIN \
                     FOR r IN SELECT * FROM {name} x WHERE {condition} ORDER BY x::text LOOP s := md5(s || r::text); END LOOP; RETURN s; END $$"
                ),
            ),
            5 => (
                Call::Value,
                format!(
                    "FUNCTION {new}(arg int) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE c bigint; BEGIN \
                     EXECUTE 'SELECT count(*) FROM {name} WHERE $1 > 0' INTO c USING arg; RETURN c; END $$"
                ),
            ),
            6 => {
                let update = self.update(table);
                let update = update.split(" RETURNING").next().unwrap_or_default();
                (
                    Call::Value,
                    format!(
                        "FUNCTION {new}(arg int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE c int; BEGIN {}; GET DIAGNOSTICS c = ROW_COUNT; RETURN c; END $$",
                        if update.starts_with("WITH") {
                            format!("PERFORM count(*) FROM {name}")
                        } else {
                            update.to_owned()
                        }
                    ),
                )
            }
            7 => {
                let row = self.row(table, false);
                (
                    Call::Value,
                    format!(
                        "FUNCTION {new}(arg int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {name} VALUES ({row}); RETURN arg; \
                         EXCEPTION WHEN integrity_constraint_violation OR with_check_option_violation THEN RETURN -1; END $$"
                    ),
                )
            }
            8 => {
                let delete = self.delete(table);
                let delete = delete.split(" RETURNING").next().unwrap_or_default();
                (
                    Call::Value,
                    format!(
                        "FUNCTION {new}(arg int) RETURNS bigint LANGUAGE sql AS $$ {delete}; SELECT count(*) FROM {name} $$"
                    ),
                )
            }
            9 => (
                Call::OfRow(table),
                format!(
                    "FUNCTION {new}(r {name}) RETURNS text LANGUAGE sql AS $$ SELECT md5(r::text) || (SELECT count(*) FROM {name} x WHERE x::text < r::text) $$"
                ),
            ),
            10 => (
                Call::OfRow(table),
                format!(
                    "FUNCTION {new}(r {name}) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT r.{column}::text $$"
                ),
            ),
            11 => {
                let row = self.row(table, false);
                (
                    Call::Procedure,
                    format!(
                        "PROCEDURE {new}(arg int) LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT FROM {name} x WHERE {condition}) THEN INSERT INTO {name} VALUES ({row}); END IF; END $$"
                    ),
                )
            }
            _ => (
                Call::Value,
                format!(
                    "FUNCTION {new}(arg int) RETURNS text LANGUAGE sql AS $$ SELECT {}(arg)::text || (SELECT count({column}) FROM {name}) $$",
                    other.unwrap_or("abs".to_owned())
                ),
            ),
        };
        self.functions.push(Function { name: new, call });
        format!("CREATE {sql}")
    }

    /// A call of one of the functions, or a block that does what they do.
    pub(super) fn call(&mut self) -> String {
        let table = self.rng.random_range(0..self.tables.len());
        let name = self.tables[table].name.clone();
        let condition = self.condition(table, "x");
        let n = self.rng.random_range(0..9);
        let Some(function) = self.functions.choose(&mut self.rng).cloned() else {
            let delete = self.delete(table);
            let delete = delete.split(" RETURNING").next().unwrap_or_default();
            return format!("DO $$ BEGIN {delete}; END $$");
        };
        let f = function.name;
        match function.call {
            Call::Value => match self.rng.random_range(0..5) {
                0 => format!("SELECT {f}({n}), (SELECT count(*) FROM {name})"),
                1 => format!("SELECT * FROM {f}({n}) AS x, (SELECT count(*) FROM {name}) y"),
                2 => format!("DO $$ BEGIN PERFORM {f}({n}); END $$"),
                _ => format!("SELECT {f}({n})"),
            },
            Call::Rows => match self.rng.random_range(0..4) {
                0 => format!(
                    "SELECT (SELECT count(*) FROM {f}({n}) r), count(*) FROM {name} x WHERE {condition}"
                ),
                1 => format!(
                    "SELECT r::text, r::text IN (SELECT x::text FROM {name} x) FROM {f}({n}) r"
                ),

                _ => format!("SELECT * FROM {f}({n})"),
            },
            Call::OfRow(of) => {
                let of = self.tables[of].name.clone();
                match self.rng.random_range(0..3) {
                    0 => format!("SELECT x.{f} FROM {of} x"),
                    1 => format!("SELECT count(*) FROM {of} x WHERE {f}(x) > 'b'"),
                    _ => format!("SELECT {f}(x) FROM {of} x"),
                }
            }
            Call::Procedure => format!("CALL {f}({n})"),
        }
    }
}
