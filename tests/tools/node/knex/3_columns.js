exports.up = async (knex) => {
  await knex.schema.alterTable("accounts", (t) => {
    t.string("name", 80);
    t.boolean("active").notNullable().defaultTo(true);
    t.decimal("balance", 14, 4).notNullable().defaultTo(1).alter();
    t.renameColumn("made", "created_at");
  });
  await knex("accounts").update({ name: knex.raw("split_part(email, '@', 1)") });
  for (const { id } of await knex("accounts").select("id").where("plan", "trial").orderBy("id").forUpdate()) {
    await knex("accounts").where({ id }).update({ active: false, settings: knex.raw("settings || ?", [{ migrated: true }]) });
  }
  await knex.schema.alterTable("accounts", (t) => {
    t.string("name", 80).notNullable().alter();
    t.index(["name"], "accounts_name", { predicate: knex.whereRaw("active") });
  });
  await knex.schema.renameTable("posts", "articles");
};
exports.down = async (knex) => {
  await knex.schema.renameTable("articles", "posts");
  await knex.schema.alterTable("accounts", (t) => {
    t.dropIndex(["name"], "accounts_name");
    t.dropColumns("name", "active");
    t.renameColumn("created_at", "made");
    t.decimal("balance", 10, 2).defaultTo(0).alter();
  });
};
