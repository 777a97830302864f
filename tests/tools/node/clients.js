// pg and postgres.js by themselves, over the tables that Knex made.
const { place, say, fails } = require("./place");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const { to, from } = require("pg-copy-streams");
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const postgres = require("postgres");

async function withPg() {
  const client = new Client(place);
  await client.connect();
  const fields = (r) => r.fields.map((f) => [f.name, f.dataTypeID < 16384 ? f.dataTypeID : "own", f.columnID, f.dataTypeModifier]);
  const seen = await client.query("SELECT * FROM accounts ORDER BY id LIMIT 3");
  say(seen.command, seen.rowCount, fields(seen), seen.rows);
  for (let i = 1; i < 4; i++) say(await client.query({ name: "named", text: "SELECT title, likes FROM posts WHERE account_id = $1 ORDER BY id", values: [i] }).then((r) => r.rows));
  // The plan of what Parse has prepared, as sqlx asks for it when it compiles `query!`.
  say(await client.query("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE named(NULL)").then((r) => r.rows[0]["QUERY PLAN"][0].Plan.Output.length));
  say(await client.query({ text: "SELECT count(*), max(likes) FROM posts", rowMode: "array" }).then((r) => r.rows));
  say(await client.query("SELECT 1 AS a; UPDATE posts SET likes = likes + 1 WHERE account_id = 5; SELECT sum(likes) FROM posts").then((rs) => rs.map((r) => [r.command, r.rowCount, r.rows])));
  const cursor = client.query(new Cursor("SELECT id FROM posts WHERE likes > $1 ORDER BY id", [30]));
  say((await cursor.read(5)).map((r) => r.id), (await cursor.read(1000)).length);
  await cursor.close();
  let n = 0;
  for await (const row of client.query(new QueryStream("SELECT * FROM posts", [], { batchSize: 33 }))) n += row.likes;
  say(n);
  let text = "";
  for await (const part of client.query(to("COPY (SELECT title, likes FROM posts WHERE account_id < 5 ORDER BY title) TO STDOUT (FORMAT csv, HEADER)"))) text += part;
  say(text);
  await pipeline(Readable.from(["copied1@example.org\tpaid\n", "copied2@example.org\tfree\n"]), client.query(from("COPY accounts (email, plan) FROM STDIN")));
  say(await client.query("DELETE FROM accounts WHERE email LIKE 'copied%' RETURNING id, email, balance, settings").then((r) => r.rows));
  await fails("check", () => client.query("UPDATE posts SET likes = $1 WHERE title = $2", [-1, "Post 7"]));
  await fails("enum", () => client.query("UPDATE accounts SET plan = $1", ["dear"]));
  await client.query("LISTEN news");
  const heard = new Promise((resolve) => client.once("notification", (m) => resolve([m.channel, m.payload])));
  await client.query("NOTIFY news, 'hello'");
  say(await heard);
  await client.end();
  const pool = new Pool({ ...place, max: 4 });
  const parallel = await Promise.all([...Array(12).keys()].map((i) => pool.query("UPDATE accounts SET balance = balance + 1 WHERE id = $1 RETURNING balance", [3])));
  say(parallel.map((r) => Number(r.rows[0].balance)).sort((a, b) => a - b));
  await pool.end();
}

async function withPostgres() {
  const sql = postgres({ ...place, username: place.user, max: 3, onnotice: () => {}, connect_timeout: 60 });
  say(await sql`SELECT id, email, settings, roles, balance, made FROM accounts WHERE id IN ${sql([3, 4, 5])} ORDER BY id`);
  say(await sql`INSERT INTO accounts ${sql([{ email: "p1", plan: "paid" }, { email: "p2", plan: "trial" }], "email", "plan")} RETURNING id, plan, made`);
  say(await sql`UPDATE accounts SET ${sql({ settings: { p: [1, 2] }, roles: ["x", "y"] }, "settings", "roles")} WHERE id = ${7} RETURNING *`);
  await fails("undone", () =>
    sql.begin(async (sql) => {
      await sql`DELETE FROM posts WHERE account_id = 9`;
      await sql.savepoint(async (sql) => sql`UPDATE posts SET body = 'x'`);
      say(await sql`SELECT count(*) FROM posts WHERE body = 'x'`);
      throw new Error("undone");
    }),
  );
  let n = 0;
  await sql`SELECT likes FROM posts ORDER BY id`.cursor(70, (rows) => rows.forEach((r) => (n += r.likes)));
  say(n);
  const described = await sql`SELECT p.*, a.email FROM posts p JOIN accounts a ON a.id = p.account_id WHERE p.likes > ${3}`.describe();
  say(described.types, described.columns.map((c) => [c.name, c.type, c.number]));
  say(await sql.unsafe("SELECT 1 AS a; SELECT count(*) FROM posts"));
  await sql.end();
}
withPg()
  .then(withPostgres)
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
