// Kysely: introspection, and its query builder.
const { place, say } = require("./place");
const { Kysely, PostgresDialect, sql } = require("kysely");
const { Pool } = require("pg");
const db = new Kysely({ dialect: new PostgresDialect({ pool: new Pool(place), cursor: require("pg-cursor") }) });

async function main() {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  for (const table of tables.sort((a, b) => a.name.localeCompare(b.name))) say(table);
  say((await db.introspection.getSchemas()).map((s) => s.name).sort());
  say(await db.selectFrom("accounts").innerJoin("likes", "likes.account_id", "accounts.id").select((e) => ["email", e.fn.countAll().as("n")]).groupBy("email").orderBy("n", "desc").orderBy("email").limit(10).execute());
  say(await db.updateTable("accounts").set((e) => ({ balance: e("balance", "+", "1") })).where("plan", "=", "free").where("id", "<", 40).returning(["id", "balance"]).execute().then((r) => r.sort((a, b) => a.id - b.id)));
  say(await db.insertInto("accounts").values({ email: "kysely", name: "K" }).onConflict((c) => c.column("email").doNothing()).returningAll().execute());
  await db.transaction().setIsolationLevel("serializable").execute(async (trx) => {
    say(await trx.deleteFrom("likes").using("articles").whereRef("articles.id", "=", "likes.article_id").where("articles.title", "like", "Post 1%").executeTakeFirst().then((r) => Number(r.numDeletedRows)));
    say(await sql`SELECT count(*) FROM likes`.execute(trx).then((r) => r.rows));
  });
  let sum = 0;
  for await (const row of db.selectFrom("articles").select("title").stream(40)) sum += row.title.length;
  say(sum);
  await db.destroy();
}
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
