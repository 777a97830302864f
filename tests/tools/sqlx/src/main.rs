//! What programs with sqlx do: its migrator under the advisory lock, cached prepared statements, what `query!` asks of a statement, rows,
//! transactions, COPY, LISTEN.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions, PgRow};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::{Decimal, Json, Uuid};
use sqlx::{Acquire, Column, Connection, Executor, Row, Statement, TypeInfo};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Sad,
    Ok,
    Happy,
}

#[derive(Debug, sqlx::FromRow)]
#[allow(dead_code, reason = "printed")]
struct Author {
    id: i32,
    name: String,
    mood: Mood,
}

#[derive(Debug, sqlx::FromRow)]
#[allow(dead_code, reason = "printed")]
struct Book {
    id: Uuid,
    author_id: i32,
    title: String,
    price: Option<Decimal>,
    tags: Vec<String>,
    extra: Option<Json<Vec<i64>>>,
    read_at: Option<DateTime<Utc>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(PgConnectOptions::new())
        .await?;
    match arguments[1].as_str() {
        "migrate" => migrate(&pool, &arguments[2], false).await?,
        "migrate_twice" => migrate(&pool, &arguments[2], true).await?,
        "undo" => undo(&pool, &arguments[2], arguments[3].parse()?).await?,
        "fill" => fill(&pool).await?,
        "use" => using(&pool).await?,
        // How long each migration took.
        "forget_times" => drop(
            pool.execute("UPDATE _sqlx_migrations SET execution_time = 0")
                .await?,
        ),
        "describe" => describe(&pool).await?,
        other => return Err(format!("{other}?").into()),
    }
    pool.close().await;
    Ok(())
}

/// Two at a time: one of them waits for the other's lock, and finds nothing to do.
async fn migrate(pool: &PgPool, folder: &str, twice: bool) -> Result<()> {
    let migrator = Migrator::new(Path::new(folder)).await?;
    if twice {
        let (first, second) = tokio::join!(migrator.run(pool), migrator.run(pool));
        println!("migrate {folder} twice: {first:?} {second:?}");
    } else {
        println!("migrate {folder}: {:?}", migrator.run(pool).await);
    }
    applied(pool).await
}

async fn undo(pool: &PgPool, folder: &str, to: i64) -> Result<()> {
    let migrator = Migrator::new(Path::new(folder)).await?;
    println!("undo to {to}: {:?}", migrator.undo(pool, to).await);
    applied(pool).await
}

async fn applied(pool: &PgPool) -> Result<()> {
    let mut connection = pool.acquire().await?;
    println!("dirty: {:?}", connection.dirty_version().await?);
    for one in connection.list_applied_migrations().await? {
        println!("applied {} {:02x?}", one.version, &one.checksum[..4]);
    }
    for row in pool.fetch_all("SELECT description, success, execution_time > 0 FROM _sqlx_migrations ORDER BY version").await? {
        println!("{}", shown(&row));
    }
    Ok(())
}

fn uuid(n: i32) -> Uuid {
    Uuid::from_u128(0x5000_0000_0000_4000_8000_0000_0000_0000 + n as u128)
}

async fn fill(pool: &PgPool) -> Result<()> {
    let mut transaction = pool.begin().await?;
    for n in 1..=12 {
        sqlx::query("INSERT INTO authors (name, mood, born) VALUES ($1, $2, $3)")
            .bind(format!("Author {n}"))
            .bind([Mood::Sad, Mood::Ok, Mood::Happy][n % 3])
            .bind(NaiveDate::from_ymd_opt(1960 + n as i32, 3, 4).filter(|_| n % 4 != 0))
            .execute(&mut *transaction)
            .await?;
    }
    for n in 1..=120 {
        sqlx::query("INSERT INTO books VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(uuid(n))
            .bind(n % 12 + 1)
            .bind(format!("Book {n}"))
            .bind((n % 5 != 0).then(|| Decimal::new(i64::from(n) * 25, 2)))
            .bind(vec![format!("t{}", n % 3), "all".to_owned()])
            .bind((n % 2 == 0).then(|| Json(vec![i64::from(n), 7])))
            .bind(
                DateTime::<Utc>::from_timestamp(1_700_000_000 + i64::from(n), 0)
                    .filter(|_| n % 3 == 0),
            )
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// A row as text, by the types that it says it has.
fn shown(row: &PgRow) -> String {
    let values = row.columns().iter().map(|column| {
        let at = column.ordinal();
        let value = match column.type_info().name() {
            "INT2" => row.try_get::<Option<i16>, _>(at).map(|v| format!("{v:?}")),
            "INT4" => row.try_get::<Option<i32>, _>(at).map(|v| format!("{v:?}")),
            "INT8" => row.try_get::<Option<i64>, _>(at).map(|v| format!("{v:?}")),
            "BOOL" => row.try_get::<Option<bool>, _>(at).map(|v| format!("{v:?}")),
            "UUID" => row.try_get::<Option<Uuid>, _>(at).map(|v| format!("{v:?}")),
            "NUMERIC" => row
                .try_get::<Option<Decimal>, _>(at)
                .map(|v| format!("{v:?}")),
            "DATE" => row
                .try_get::<Option<NaiveDate>, _>(at)
                .map(|v| format!("{v:?}")),
            "TIMESTAMPTZ" => row
                .try_get::<Option<DateTime<Utc>>, _>(at)
                .map(|v| format!("{v:?}")),
            "JSONB" => row
                .try_get::<Option<Json<Vec<i64>>>, _>(at)
                .map(|v| format!("{v:?}")),
            "TEXT[]" => row
                .try_get::<Option<Vec<String>>, _>(at)
                .map(|v| format!("{v:?}")),
            "mood" => row.try_get::<Option<Mood>, _>(at).map(|v| format!("{v:?}")),
            _ => row
                .try_get::<Option<String>, _>(at)
                .map(|v| format!("{v:?}")),
        };
        format!(
            "{}={}",
            column.name(),
            value.unwrap_or_else(|e| e.to_string())
        )
    });
    values.collect::<Vec<_>>().join(" ")
}

async fn print(pool: &PgPool, sql: &str) {
    println!("-- {sql}");
    match pool.fetch_all(sql).await {
        Ok(rows) => rows.iter().for_each(|row| println!("{}", shown(row))),
        Err(error) => println!("{error}"),
    }
}

async fn using(pool: &PgPool) -> Result<()> {
    let authors: Vec<Author> = sqlx::query_as("SELECT id, name, mood FROM authors ORDER BY id")
        .fetch_all(pool)
        .await?;
    println!("{authors:?}");
    let books: Vec<Book> = sqlx::query_as("SELECT id, author_id, title, price, tags, extra, read_at FROM books WHERE author_id = ANY($1) ORDER BY id")
        .bind(vec![1, 5])
        .fetch_all(pool)
        .await?;
    println!("{books:?}");
    // One statement many times on one connection: prepared once, then from its cache.
    let mut connection = pool.acquire().await?;
    connection.clear_cached_statements().await?;
    for n in 1..6 {
        let title: Option<String> = sqlx::query_scalar("SELECT title FROM books WHERE id = $1")
            .bind(uuid(n))
            .fetch_optional(&mut *connection)
            .await?;
        let changed =
            sqlx::query("UPDATE books SET price = price + 1 WHERE author_id = $1 AND price < $2")
                .bind(n)
                .bind(Decimal::from(20))
                .execute(&mut *connection)
                .await?;
        println!("{title:?} {}", changed.rows_affected());
    }
    println!("cached {}", connection.cached_statements_size());
    connection.clear_cached_statements().await?;
    let sum: (Option<Decimal>, i64) = sqlx::query_as("SELECT sum(price), count(*) FROM books")
        .fetch_one(&mut *connection)
        .await?;
    println!("{sum:?}");
    drop(connection);

    let mut transaction = pool.begin().await?;
    let made: i32 = sqlx::query_scalar("INSERT INTO authors (name, mood) VALUES ($1, 'sad') ON CONFLICT (name) DO UPDATE SET mood = excluded.mood RETURNING id").bind("Author 3").fetch_one(&mut *transaction).await?;
    let mut inner = transaction.begin().await?;
    let twice = sqlx::query("INSERT INTO authors (name) VALUES ('Author 4')")
        .execute(&mut *inner)
        .await;
    let database = twice
        .as_ref()
        .err()
        .and_then(sqlx::Error::as_database_error);
    println!(
        "{made} {:?} {:?} {:?}",
        database.map(|e| e.is_unique_violation()),
        database.and_then(|e| e.constraint()),
        database.and_then(|e| e.table())
    );
    inner.rollback().await?;
    let locked: Vec<i32> = sqlx::query_scalar(
        "SELECT id FROM authors WHERE id < 5 ORDER BY id FOR UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *transaction)
    .await?;
    println!("{locked:?}");
    transaction.commit().await?;

    let dropped: std::result::Result<_, _> = sqlx::query("DELETE FROM authors WHERE id = $1")
        .bind(11)
        .execute(pool)
        .await;
    println!("{:?}", dropped.map(|d| d.rows_affected()));
    let bad = sqlx::query("INSERT INTO books (id, author_id, title) VALUES ($1, 11, 'No author')")
        .bind(uuid(900))
        .execute(pool)
        .await;
    println!(
        "{}",
        bad.map_err(|e| e.to_string())
            .map_or_else(|e| e, |d| d.rows_affected().to_string())
    );

    let mut stream = sqlx::query("SELECT title FROM books ORDER BY title").fetch(pool);
    let mut seen = 0;
    while let Some(row) = stream.try_next().await? {
        seen += row.get::<String, _>(0).len();
        if seen > 300 {
            break;
        }
    }
    drop(stream);
    println!("{seen}");
    let many: Vec<_> = pool.fetch_many("SELECT 1; UPDATE authors SET mood = 'happy' WHERE id = 6; SELECT name FROM authors WHERE mood = 'happy' ORDER BY id").collect().await;
    for one in many {
        match one {
            Ok(sqlx::Either::Left(done)) => println!("{}", done.rows_affected()),
            Ok(sqlx::Either::Right(row)) => println!("{}", shown(&row)),
            Err(error) => println!("{error}"),
        }
    }

    let mut connection = pool.acquire().await?;
    let mut copy = connection
        .copy_in_raw("COPY authors (name) FROM STDIN")
        .await?;
    copy.send(b"Copied 1\nCopied 2\n".as_slice()).await?;
    println!("{:?}", copy.finish().await);
    let mut out = connection
        .copy_out_raw("COPY (SELECT name FROM authors ORDER BY name) TO STDOUT")
        .await?;
    while let Some(bytes) = out.try_next().await? {
        print!("{}", String::from_utf8_lossy(&bytes));
    }
    drop(out);
    connection
        .execute("DELETE FROM authors WHERE name LIKE 'Copied%'")
        .await?;
    connection.ping().await?;
    drop(connection);

    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("news").await?;
    sqlx::query("SELECT pg_notify('news', count(*)::text) FROM books")
        .execute(pool)
        .await?;
    let heard = listener.recv().await?;
    println!("{} {}", heard.channel(), heard.payload());
    print(pool, "SELECT * FROM books ORDER BY id LIMIT 20").await;
    print(pool, "SELECT * FROM priced ORDER BY price, id LIMIT 9").await;
    print(pool, "SELECT * FROM reviews ORDER BY id").await;
    Ok(())
}

/// What `query!` asks when a program is compiled: columns, whether they may be NULL (also by a plan, for outer joins), parameters.
async fn describe(pool: &PgPool) -> Result<()> {
    for sql in [
        "SELECT * FROM authors",
        "SELECT * FROM books WHERE id = $1 AND price > $2",
        "SELECT a.name, b.title, b.price FROM authors a LEFT JOIN books b ON b.author_id = a.id WHERE a.mood = $1",
        "SELECT a.name, count(b.id) AS n, max(b.price) FROM books b RIGHT JOIN authors a ON a.id = b.author_id GROUP BY a.id",
        "SELECT * FROM priced WHERE price > $1",
        "INSERT INTO authors (name, mood) VALUES ($1, $2) RETURNING id, mood",
        "UPDATE books SET title = $2, tags = $3 WHERE id = $1 RETURNING title, extra",
        "DELETE FROM books WHERE author_id = $1",
        "WITH b AS (SELECT author_id, sum(price) AS s FROM books GROUP BY 1) SELECT a.name, b.s FROM authors a FULL JOIN b ON b.author_id = a.id",
        "SELECT * FROM reviews",
        "SELECT pages, stars FROM books",
        "SELECT 1 AS one, NULL::text AS nothing, now() AS at",
        "SELECT nothing FROM authors",
    ] {
        println!("-- {sql}");
        match pool.describe(sql).await {
            Ok(described) => {
                for (at, column) in described.columns().iter().enumerate() {
                    println!(
                        "{} {} nullable {:?} {:?}",
                        column.name(),
                        column.type_info(),
                        described.nullable(at),
                        column.relation_attribute_no()
                    );
                }
                let types = described.parameters().and_then(sqlx::Either::left);
                let types: Vec<&str> = types
                    .iter()
                    .flat_map(|types| types.iter().map(|t| t.name()))
                    .collect();
                println!("parameters {types:?}");
            }
            Err(error) => println!("{error}"),
        }
        match pool.prepare(sql).await {
            Ok(statement) => println!("prepared {}", statement.columns().len()),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
