//! Compiled against the database: `query!` learns there what each statement takes and gives.

use sqlx::postgres::PgPool;

#[tokio::main]
async fn main() -> Result<(), sqlx::Error> {
    let pool = PgPool::connect(env!("DATABASE_URL")).await?;
    for row in sqlx::query!("SELECT a.id, a.name, count(b.id) AS books, max(b.price) AS dearest FROM authors a LEFT JOIN books b ON b.author_id = a.id WHERE a.id > $1 GROUP BY a.id ORDER BY a.id", 2).fetch_all(&pool).await? {
        println!("{} {} {:?} {:?}", row.id, row.name, row.books, row.dearest);
    }
    // Whether a column of an outer join may be NULL is read from its plan, which needn't tell: so it's said.
    for row in sqlx::query!("SELECT b.title, a.name AS \"name?\" FROM books b LEFT JOIN authors a ON a.id = b.author_id AND a.id < 4 ORDER BY b.id LIMIT 9").fetch_all(&pool).await? {
        let (title, name): (String, Option<String>) = (row.title, row.name);
        println!("{title} {name:?}");
    }
    let changed = sqlx::query!(
        "UPDATE books SET pages = pages + $1 WHERE stars = $2",
        7,
        3_i16
    )
    .execute(&pool)
    .await?;
    println!("{}", changed.rows_affected());
    let made = sqlx::query!(
        "INSERT INTO authors (name) VALUES ($1) RETURNING id, born_on",
        "Checked"
    )
    .fetch_one(&pool)
    .await?;
    println!("{} {:?}", made.id, made.born_on);
    let count = sqlx::query_scalar!("SELECT count(*) FROM reviews")
        .fetch_one(&pool)
        .await?;
    println!("{count:?}");
    Ok(())
}
