exports.up = async (knex) => {
  await knex.schema.createTable("likes", (t) => {
    t.bigIncrements("id");
    t.uuid("article_id").notNullable().references("id").inTable("articles").onDelete("CASCADE");
    t.integer("account_id").notNullable().references("accounts.id");
    t.unique(["article_id", "account_id"]);
  });
  await knex.raw("INSERT INTO likes (article_id, account_id) SELECT id, account_id FROM articles WHERE likes > 40 ORDER BY id");
  await knex.schema.alterTable("articles", (t) => t.dropColumn("likes"));
};
exports.down = async (knex) => {
  await knex.schema.alterTable("articles", (t) => t.integer("likes").defaultTo(0));
  await knex.raw("ALTER TABLE articles ADD CONSTRAINT posts_likes CHECK (likes >= 0)");
  await knex.raw("UPDATE articles a SET likes = 41 FROM likes l WHERE l.article_id = a.id");
  await knex.schema.dropTable("likes");
};
