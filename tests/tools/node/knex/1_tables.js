exports.up = async (knex) => {
  await knex.schema.createTable("accounts", (t) => {
    t.increments("id");
    t.string("email").notNullable().unique();
    t.enu("plan", ["free", "paid", "trial"], { useNative: true, enumName: "plan" }).defaultTo("free");
    t.jsonb("settings").defaultTo("{}");
    t.specificType("roles", "text[]");
    t.decimal("balance", 10, 2).defaultTo(0);
    t.timestamp("made", { useTz: true }).defaultTo("2025-01-01");
    t.comment("Who pays");
  });
  await knex.schema.createTable("posts", (t) => {
    t.uuid("id").primary();
    t.integer("account_id").unsigned().references("accounts.id").onDelete("CASCADE").index();
    t.string("title", 100).notNullable();
    t.text("body");
    t.integer("likes").defaultTo(0);
    t.unique(["account_id", "title"]);
    t.check("?? >= 0", ["likes"], "posts_likes");
  });
};
exports.down = (knex) => knex.schema.dropTable("posts").dropTable("accounts").raw("DROP TYPE plan");
