//! The tour through a preview of the sample shop: statements, what they show, and whether that is as it should be.

use std::fmt::Write as _;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A result in text form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that the last command returned or changed.
    pub count: u64,
}

impl Table {
    /// The value in the first row's first column; empty when there is none.
    #[must_use]
    pub fn value(&self) -> &str {
        self.cell(0, 0)
    }

    /// A value; `NULL` for NULL, empty when there is no such cell.
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> &str {
        match self.rows.get(row).and_then(|row| row.get(column)) {
            Some(Some(value)) => value,
            Some(None) => "NULL",
            None => "",
        }
    }

    /// As psql prints it.
    #[must_use]
    pub fn text(&self) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|name| name.chars().count())
            .collect();
        for row in &self.rows {
            for (width, value) in widths.iter_mut().zip(row) {
                *width = (*width).max(value.as_deref().unwrap_or("NULL").chars().count());
            }
        }
        let mut text = String::new();
        let line = |text: &mut String, values: Vec<&str>| {
            let cells: Vec<String> = values
                .iter()
                .zip(&widths)
                .map(|(value, width)| format!(" {value:width$} "))
                .collect();
            let _ = writeln!(text, "   {}", cells.join("|").trim_end());
        };
        line(&mut text, self.columns.iter().map(String::as_str).collect());
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        let _ = writeln!(text, "   {}", rule.join("+"));
        for row in &self.rows {
            line(
                &mut text,
                row.iter()
                    .map(|value| value.as_deref().unwrap_or("NULL"))
                    .collect(),
            );
        }
        text
    }
}

/// Where a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Preview,
    Production,
}

/// Why the tour could not go on.
#[derive(Debug, thiserror::Error)]
#[error("{side} refused: {statement}")]
pub struct TourError {
    side: &'static str,
    statement: String,
    #[source]
    source: tokio_postgres::Error,
}

/// The tour in progress.
pub struct Tour<'a> {
    preview: &'a Client,
    production: &'a Client,
    failures: Vec<String>,
    print: bool,
}

impl std::fmt::Debug for Tour<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tour")
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// Everything that production holds, in one value.
const DIGEST: &str = "SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
    SELECT md5(string_agg(t::text, ',' ORDER BY id)) AS part FROM customers t
    UNION ALL SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM products t
    UNION ALL SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM orders t
    UNION ALL SELECT md5(string_agg(t::text, ',' ORDER BY order_id, line)) FROM order_items t
    UNION ALL SELECT string_agg(attrelid::regclass || '.' || attname || atttypid, ',' ORDER BY attrelid, attnum) FROM pg_attribute
              WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)) parts";

impl<'a> Tour<'a> {
    /// Prepares it. `preview` is logged in as the app role, `production` looks at production directly.
    #[must_use]
    pub fn new(preview: &'a Client, production: &'a Client) -> Self {
        Self {
            preview,
            production,
            failures: Vec::new(),
            print: true,
        }
    }

    /// Walks through all points and returns the expectations that didn't come true.
    ///
    /// # Errors
    /// When a statement that should work doesn't.
    pub async fn walk(mut self) -> Result<Vec<String>, TourError> {
        let before = self.production_value(DIGEST).await?;
        self.federation().await?;
        self.schema().await?;
        self.insert().await?;
        self.update().await?;
        self.columns().await?;
        self.joins().await?;
        self.transactions().await?;
        self.title("And production?");
        let after = self.production_value(DIGEST).await?;
        self.say(&format!(
            "   digest of every row and column before: {before}"
        ));
        self.say(&format!(
            "   digest of every row and column after:  {after}"
        ));
        self.expect(
            "production is what it was, to the last byte",
            before == after,
        );
        Ok(self.failures)
    }

    async fn federation(&mut self) -> Result<(), TourError> {
        self.title("1. All of production's rows are there, and the preview's beside them");
        let there = self.production("SELECT count(*) FROM orders").await?;
        let here = self.preview("SELECT count(*) FROM orders").await?;
        self.expect(
            "the preview shows as many orders as production has",
            here.value() == there.value(),
        );
        self.expect(
            "and that is more than 100,000",
            there
                .value()
                .parse()
                .is_ok_and(|count: u64| count > 100_000),
        );
        self.preview(
            "INSERT INTO customers (email, name, preferences) VALUES ('new@example.com', 'Preview Only', '{\"language\": \"en\"}')",
        )
        .await?;
        let both = self
            .preview(
                "SELECT name, email, preferences ->> 'language' AS language FROM customers
      WHERE email IN ('customer1@example.com', 'new@example.com') ORDER BY email",
            )
            .await?;
        self.expect(
            "one SELECT gives a row of production's and one of the preview's",
            both.rows.len() == 2
                && both.cell(0, 0) == "Grace No. 1"
                && both.cell(1, 0) == "Preview Only",
        );
        Ok(())
    }

    async fn schema(&mut self) -> Result<(), TourError> {
        self.title("2. The schema is the preview's own");
        self.preview("CREATE TABLE campaigns (id int PRIMARY KEY, title text NOT NULL)")
            .await?;
        self.preview("ALTER TABLE customers ADD COLUMN loyalty text NOT NULL DEFAULT 'bronze'")
            .await?;
        let here = self
            .preview("SELECT to_regclass('campaigns') IS NOT NULL AS has_table")
            .await?;
        let there = self
            .production("SELECT to_regclass('campaigns') IS NOT NULL AS has_table")
            .await?;
        self.expect(
            "the new table exists in the preview only",
            here.value() == "t" && there.value() == "f",
        );
        let columns = "SELECT count(*) AS loyalty_columns FROM information_schema.columns WHERE table_name = 'customers' AND column_name = 'loyalty'";
        let here = self.preview(columns).await?;
        let there = self.production(columns).await?;
        self.expect(
            "the new column, too",
            here.value() == "1" && there.value() == "0",
        );
        Ok(())
    }

    async fn insert(&mut self) -> Result<(), TourError> {
        self.title("3. What is inserted stays in the preview");
        let order = self
            .preview(
                "INSERT INTO orders (customer_id, status) VALUES (42, 'new') RETURNING id, status",
            )
            .await?;
        let id = order.value().to_owned();
        let highest = self.production("SELECT max(id) FROM orders").await?;
        self.expect(
            "its number is far above production's, so that they don't meet later",
            id.parse().unwrap_or(0) > highest.value().parse().unwrap_or(u64::MAX),
        );
        let there = self
            .production(&format!("SELECT count(*) FROM orders WHERE id = {id}"))
            .await?;
        self.expect("production doesn't have it", there.value() == "0");
        self.refused(
            "INSERT INTO order_items VALUES (999999999, 1, 1, 1, 1.00)",
            &SqlState::FOREIGN_KEY_VIOLATION,
            "a foreign key is checked over the rows of both",
        )
        .await?;
        self.refused(
            "INSERT INTO customers (email, name) VALUES ('customer7@example.com', 'Twin')",
            &SqlState::UNIQUE_VIOLATION,
            "and so is a unique key: that address is production's",
        )
        .await
    }

    async fn update(&mut self) -> Result<(), TourError> {
        self.title("4. A row that only production has can be changed, here");
        let change = self.preview("UPDATE orders SET status = 'returned', note = 'changed in the preview' WHERE id = 4711").await?;
        self.expect("one row was changed", change.count == 1);
        let look = "SELECT id, status, note, updated_at > created_at AS touched FROM orders WHERE id = 4711";
        let here = self.preview(look).await?;
        let there = self.production(look).await?;
        self.expect(
            "the preview shows the change",
            here.cell(0, 2) == "changed in the preview",
        );
        self.expect(
            "the table's own trigger has fired for it",
            here.cell(0, 3) == "t",
        );
        self.expect(
            "production doesn't show it",
            there.cell(0, 2) != "changed in the preview" && there.cell(0, 3) == "f",
        );
        Ok(())
    }

    async fn columns(&mut self) -> Result<(), TourError> {
        self.title("5. Old rows in a new shape");
        self.preview("ALTER TABLE customers ADD COLUMN birthday date")
            .await?;
        self.preview("ALTER TABLE customers DROP COLUMN phone")
            .await?;
        let here = self
            .preview("SELECT * FROM customers WHERE id = 100")
            .await?;
        let value = |name: &str| {
            here.columns
                .iter()
                .position(|column| column == name)
                .map(|column| here.cell(0, column))
        };
        self.expect(
            "a row of production's shows the new column's default",
            value("loyalty") == Some("bronze"),
        );
        self.expect(
            "and NULL where there is none",
            value("birthday") == Some("NULL"),
        );
        self.expect(
            "the dropped column is gone",
            value("phone").is_none() && !here.rows.is_empty(),
        );
        self.refused(
            "SELECT phone FROM customers",
            &SqlState::UNDEFINED_COLUMN,
            "also by name",
        )
        .await?;
        let there = self
            .production("SELECT phone FROM customers WHERE id = 100")
            .await?;
        self.expect("production still has it", there.value().starts_with("+49"));
        Ok(())
    }

    async fn joins(&mut self) -> Result<(), TourError> {
        self.title("6. Joins between what changed and what didn't");
        self.preview("UPDATE products SET price = 1.00 WHERE sku = 'SKU-00150'")
            .await?;
        let sql = "SELECT o.id, c.name, o.status, p.sku, i.unit_price, p.price AS price_today
      FROM orders o JOIN customers c ON c.id = o.customer_id
      JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id
      WHERE o.id = 4711 ORDER BY i.line";
        let here = self.preview(sql).await?;
        let there = self.production(sql).await?;
        self.expect(
            "the same lines",
            here.rows.len() == 2 && there.rows.len() == 2,
        );
        self.expect(
            "with the preview's status",
            here.cell(0, 2) == "returned" && there.cell(0, 2) != "returned",
        );
        let totals = "SELECT status, count(*), sum(total) FROM order_totals WHERE customer_id = 1 + 4711 * 7919 % 20000 GROUP BY status ORDER BY status";
        let here = self.preview(totals).await?;
        let there = self.production(totals).await?;
        self.expect(
            "views see it, too",
            here.rows != there.rows && !here.rows.is_empty(),
        );
        Ok(())
    }

    async fn transactions(&mut self) -> Result<(), TourError> {
        self.title("7. COMMIT and ROLLBACK over several tables");
        let counts = "SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM order_items) AS items,
      (SELECT count(*) FROM campaigns) AS campaigns";
        let start = self.preview(counts).await?;
        for sql in [
            "BEGIN",
            "DELETE FROM orders WHERE id = 5000",
            "INSERT INTO campaigns VALUES (1, 'Spring')",
            "UPDATE customers SET loyalty = 'gold' WHERE id = 100",
        ] {
            self.preview(sql).await?;
        }
        let within = self.preview(counts).await?;
        self.expect(
            "inside of it an order, its items by cascade, and a new row",
            within.rows != start.rows,
        );
        self.preview("ROLLBACK").await?;
        let back = self.preview(counts).await?;
        self.expect(
            "after ROLLBACK everything is as before",
            back.rows == start.rows,
        );
        for sql in [
            "BEGIN",
            "DELETE FROM orders WHERE id = 5000",
            "INSERT INTO campaigns VALUES (1, 'Spring')",
            "COMMIT",
        ] {
            self.preview(sql).await?;
        }
        let end = self.preview(counts).await?;
        let less = |column: usize, by: i64| {
            let number = |table: &Table| table.cell(0, column).parse::<i64>().unwrap_or(i64::MIN);
            number(&end) == number(&start).saturating_sub(by)
        };
        self.expect(
            "after COMMIT one order and its two items are gone, one campaign is there",
            less(0, 1) && less(1, 2) && less(2, -1),
        );
        let there = self
            .production("SELECT count(*) FROM orders WHERE id = 5000")
            .await?;
        self.expect("production still has the order", there.value() == "1");
        Ok(())
    }

    fn say(&self, text: &str) {
        if self.print {
            println!("{text}");
        }
    }

    fn title(&self, title: &str) {
        self.say(&format!("\n{title}\n"));
    }

    fn expect(&mut self, what: &str, holds: bool) {
        self.say(&format!(
            "   {} {what}",
            if holds { "ok:" } else { "NOT SO:" }
        ));
        if !holds {
            self.failures.push(what.to_owned());
        }
    }

    async fn preview(&mut self, sql: &str) -> Result<Table, TourError> {
        self.run(Side::Preview, sql).await
    }

    async fn production(&mut self, sql: &str) -> Result<Table, TourError> {
        self.run(Side::Production, sql).await
    }

    async fn production_value(&mut self, sql: &str) -> Result<String, TourError> {
        let quiet = std::mem::replace(&mut self.print, false);
        let result = self.run(Side::Production, sql).await;
        self.print = quiet;
        Ok(result?.value().to_owned())
    }

    async fn run(&mut self, side: Side, sql: &str) -> Result<Table, TourError> {
        let (client, name) = match side {
            Side::Preview => (self.preview, "preview"),
            Side::Production => (self.production, "production"),
        };
        self.say(&format!("{name}=> {sql};"));
        let started = std::time::Instant::now();
        let messages = client.simple_query(sql).await.map_err(|source| TourError {
            side: name,
            statement: sql.to_owned(),
            source,
        })?;
        let table = table(messages);
        if self.print {
            print!("{}", table.text());
            println!(
                "   ({} rows, {:.1} ms)",
                table.count,
                started.elapsed().as_secs_f64() * 1e3
            );
        }
        Ok(table)
    }

    /// Runs a statement that has to fail with this SQLSTATE.
    async fn refused(&mut self, sql: &str, state: &SqlState, what: &str) -> Result<(), TourError> {
        self.say(&format!("preview=> {sql};"));
        match self.preview.simple_query(sql).await {
            Ok(_) => self.expect(&format!("{what} (but it worked)"), false),
            Err(error) => match error.as_db_error() {
                Some(db) => {
                    self.say(&format!("   {}: {}", db.severity(), db.message()));
                    self.expect(what, db.code() == state);
                }
                None => {
                    return Err(TourError {
                        side: "preview",
                        statement: sql.to_owned(),
                        source: error,
                    });
                }
            },
        }
        Ok(())
    }
}

fn table(messages: Vec<SimpleQueryMessage>) -> Table {
    let mut table = Table::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                table.columns = columns
                    .iter()
                    .map(|column| column.name().to_owned())
                    .collect();
            }
            SimpleQueryMessage::Row(row) => {
                table.rows.push(
                    (0..row.len())
                        .map(|column| row.get(column).map(str::to_owned))
                        .collect(),
                );
            }
            SimpleQueryMessage::CommandComplete(count) => table.count = count,
            _ => {}
        }
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::embedded::{Home, Server, Spec};

    #[test]
    fn results_are_printed_as_psql_does() {
        let table = Table {
            columns: vec!["id".into(), "name".into()],
            rows: vec![
                vec![Some("1".into()), Some("Ünder".into())],
                vec![Some("22".into()), None],
            ],
            count: 2,
        };
        assert_eq!(
            table.text(),
            "    id | name\n   ----+-------\n    1  | Ünder\n    22 | NULL\n"
        );
        assert_eq!((table.cell(1, 1), table.cell(9, 9)), ("NULL", ""));
    }

    /// The tour is right about a full copy: what it expects of a preview is what a copy does.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_tours_expectations_hold_for_a_full_copy() {
        let server = Server::start(Spec {
            home: Home::Temporary,
            major: 13,
            max_prepared_transactions: 0,
        })
        .await
        .unwrap();
        let admin = server.connect("postgres").await.unwrap();
        for database in ["production", "copy"] {
            admin
                .batch_execute(&format!("CREATE DATABASE {database}"))
                .await
                .unwrap();
            let client = server.connect(database).await.unwrap();
            let sql = include_str!("demo.sql");
            // Roles are shared by all databases of a server.
            let sql = if database == "copy" {
                sql.replace("CREATE ROLE preview_reader LOGIN;", "")
            } else {
                sql.to_owned()
            };
            client.batch_execute(&sql).await.unwrap();
        }
        let copy = server.connect("copy").await.unwrap();
        let gap = "SELECT setval(pg_get_serial_sequence('orders', 'id'), 1000000), setval(pg_get_serial_sequence('customers', 'id'), 1000000)";
        copy.batch_execute(gap).await.unwrap();
        let production = server.connect("production").await.unwrap();
        let mut tour = Tour::new(&copy, &production);
        tour.print = false;
        assert_eq!(tour.walk().await.unwrap(), Vec::<String>::new());
        // And it notices what isn't so: a second walk meets its own leftovers.
        let mut again = Tour::new(&copy, &production);
        again.print = false;
        assert!(again.walk().await.is_err());
        server.stop().await;
    }
}
