// Knex: migrations there and back, and its query builder.
const { place, say, fails } = require("./place");
const make = require("knex");
const knex = make({ client: "pg", connection: place, pool: { min: 0, max: 4 }, acquireConnectionTimeout: 60000 });
const migrations = { directory: process.env.KNEX_MIGRATIONS, tableName: "knex_migrations" };

async function use() {
  const posts = (await knex.schema.hasTable("posts")) ? "posts" : "articles";
  say("columns", await knex("accounts").columnInfo(), await knex(posts).columnInfo());
  say("joined", await knex("accounts as a").join(`${posts} as p`, "p.account_id", "a.id").select("a.email").count("p.id as n").max("p.title as last").groupBy("a.email").havingRaw("count(*) > 4").orderBy([{ column: "n", order: "desc" }, "a.email"]).limit(20));
  say("json", await knex("accounts").whereJsonPath("settings", "$.level", ">", 5).select("email", knex.jsonExtract("settings", "$.dark", "dark")).orderBy("id").limit(9));
  say("subquery", await knex(posts).whereIn("account_id", knex("accounts").select("id").where("plan", "paid").where("balance", ">", 250)).orderBy("title").pluck("title"));
  say("with", await knex.with("big", knex("accounts").where("balance", ">", 280)).select("big.email").from("big").orderBy("big.id"));
  say("union", await knex("accounts").select("email as x").where("id", "<", 4).union([knex(posts).select("title as x").where("account_id", 8)]).orderBy("x"));
  say("updated", await knex("accounts").where("id", "<", 30).increment("balance", 5));
  say("returning", await knex("accounts").insert([{ email: `knex-${posts}`, plan: "paid", ...(posts == "articles" && { name: "Knex" }) }, { email: "u5@example.org", ...(posts == "articles" && { name: "Five" }) }]).onConflict("email").merge(["plan"]).returning(["id", "email", "plan"]));
  say("deleted", await knex(posts).where("title", "like", "Post 88%").del(["title"]).then((rows) => rows.map((r) => r.title).sort()));
  await fails("duplicate", () => knex("accounts").insert({ email: "u9@example.org", ...(posts == "articles" && { name: "x" }) }));
  await fails("foreign key", () => knex(posts).update({ account_id: 5555 }).where("title", "Post 5"));
  await fails("rolled back", () =>
    knex.transaction(async (trx) => {
      await trx("accounts").where("id", 3).del();
      say("inside", await trx(posts).count());
      await trx.transaction(async (inner) => inner(posts).update({ body: "x" }));
      throw new Error("undone");
    }),
  );
  let sum = 0;
  for await (const row of knex(posts).select("*").stream({ batchSize: 50 })) sum += row.title.length;
  say("streamed", sum, await knex(posts).count(), await knex("accounts").sum("balance as s").avg("balance as a").first());
}

async function main([step, until]) {
  if (step == "use") await use();
  else if (step == "rollback") say(await knex.migrate.rollback(migrations).then(([n, names]) => names).catch((e) => e.message));
  else if (until) for (let i = 0; i < Number(until); i++) say(await knex.migrate.up(migrations));
  else say((await knex.migrate.latest(migrations))[1], await knex.migrate.currentVersion(migrations));
  await knex.destroy();
}
main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
