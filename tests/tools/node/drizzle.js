// Drizzle: its migrator, relational queries and query builder.
const { place, say, fails } = require("./place");
const { drizzle } = require("drizzle-orm/node-postgres");
const { migrate } = require("drizzle-orm/node-postgres/migrator");
const { and, asc, count, desc, eq, gt, ilike, inArray, lt, relations, sql, sum } = require("drizzle-orm");
const { bigserial, date, integer, jsonb, numeric, pgEnum, pgTable, serial, text, varchar } = require("drizzle-orm/pg-core");
const { Pool } = require("pg");

function schema(changed) {
  const mood = pgEnum("mood", ["calm", "wild", ...(changed ? ["deep"] : [])]);
  const rivers = pgTable("rivers", { id: serial().primaryKey(), name: changed ? text().notNull() : varchar({ length: 80 }).notNull(), mood: mood(), length: integer(), details: jsonb(), ...(changed && { slug: text().generatedAlwaysAs(sql`lower(name)`) }) });
  const bridges = pgTable("bridges", { id: bigserial({ mode: "number" }).primaryKey(), riverId: integer("river_id").notNull(), name: text().notNull(), built: date(changed ? "built_on" : "built"), ...(changed && { toll: numeric({ precision: 8, scale: 2 }).default("1.50").notNull() }) });
  return { rivers, bridges, r1: relations(rivers, ({ many }) => ({ bridges: many(bridges) })), r2: relations(bridges, ({ one }) => ({ river: one(rivers, { fields: [bridges.riverId], references: [rivers.id] }) })) };
}

async function use(changed) {
  const s = schema(changed), { rivers, bridges } = s;
  const pool = new Pool(place);
  const db = drizzle(pool, { schema: s });
  say(await db.query.rivers.findMany({ with: { bridges: { orderBy: asc(bridges.id), limit: 3 } }, where: lt(rivers.id, 6), orderBy: asc(rivers.id) }));
  say(await db.query.bridges.findFirst({ with: { river: true }, where: eq(bridges.name, "Bridge 77") }));
  say(await db.select({ name: rivers.name, n: count(), first: sql`min(${bridges.built})` }).from(rivers).innerJoin(bridges, eq(bridges.riverId, rivers.id)).where(and(eq(rivers.mood, "wild"), ilike(rivers.name, "%1%"))).groupBy(rivers.name).orderBy(desc(count()), rivers.name));
  const longest = db.$with("longest").as(db.select().from(rivers).orderBy(desc(rivers.length)).limit(5));
  say(await db.with(longest).select().from(longest).orderBy(longest.id));
  say(await db.insert(rivers).values([{ name: "River 4", length: 1 }, { name: `New ${changed}`, mood: changed ? "deep" : "calm" }]).onConflictDoUpdate({ target: rivers.name, set: { length: sql`excluded.length + rivers.length` } }).returning());
  say(await db.update(bridges).set({ name: sql`${bridges.name} || '!'` }).where(inArray(bridges.riverId, [3, 4])).returning({ id: bridges.id, name: bridges.name }).then((r) => r.sort((a, b) => a.id - b.id)));
  say(await db.delete(bridges).where(gt(bridges.id, changed ? 470 : 490)).returning({ id: bridges.id }).then((r) => r.map((x) => x.id).sort((a, b) => a - b)));
  const named = db.select().from(bridges).where(eq(bridges.riverId, sql.placeholder("id"))).orderBy(bridges.id).prepare("bridges_of");
  for (const id of [1, 2, 3]) say(await named.execute({ id }));
  await fails("undone", () =>
    db.transaction(async (tx) => {
      await tx.delete(rivers).where(lt(rivers.id, 40));
      say(await tx.$count(bridges));
      tx.rollback();
    }),
  );
  await fails("duplicate", () => db.insert(rivers).values({ name: "River 9" }));
  say(await db.select({ n: sum(rivers.length), b: db.$count(bridges) }).from(rivers));
  await pool.end();
}

async function main([step, until]) {
  if (step == "migrate") {
    const pool = new Pool(place);
    await migrate(drizzle(pool), { migrationsFolder: `${__dirname}/drizzle/${until}` });
    await pool.end();
  } else await use(step == "use_changed");
}
main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
