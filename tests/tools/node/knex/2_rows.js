exports.up = async (knex) => {
  const accounts = [];
  for (let i = 1; i <= 200; i++)
    accounts.push({ email: `u${i}@example.org`, plan: ["free", "paid", "trial"][i % 3], settings: { level: i % 7, dark: i % 2 == 0 }, roles: [`r${i % 4}`], balance: (i * 7) % 300 });
  await knex.batchInsert("accounts", accounts, 50);
  const posts = [];
  for (let i = 1; i <= 900; i++)
    posts.push({ id: `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`, account_id: ((i * 7) % 200) + 1, title: `Post ${i}`, body: i % 5 ? `body ${i}` : null, likes: i % 60 });
  await knex.batchInsert("posts", posts, 200);
};
exports.down = (knex) => knex("accounts").del();
