// TypeORM: synchronised entities with production's rows, generated and written migrations, there and back.
require("reflect-metadata");
const { place, say, fails } = require("./place");
const { DataSource, EntitySchema, In, MoreThan, Not, IsNull, Table } = require("typeorm");

const entities = (changed) => [
  new EntitySchema({
    name: "Owner",
    columns: {
      id: { type: Number, primary: true, generated: true },
      name: { type: String, length: 60, unique: true },
      level: { type: "enum", enum: changed ? ["low", "high", "top"] : ["low", "high"], default: "low" },
      data: { type: "jsonb", nullable: true },
      ...(changed && { score: { type: "int", default: 3 }, nick: { type: String, nullable: true } }),
    },
    relations: { pets: { type: "one-to-many", target: "Pet", inverseSide: "owner", cascade: true } },
  }),
  new EntitySchema({
    name: "Pet",
    columns: {
      id: { type: "uuid", primary: true, generated: "uuid" },
      name: { type: String },
      weight: { type: "numeric", precision: changed ? 12 : 6, scale: 2, nullable: true },
      tags: { type: "text", array: true, default: [] },
      born: { type: "timestamp with time zone", nullable: true },
      version: { type: Number, version: true },
    },
    relations: {
      owner: { type: "many-to-one", target: "Owner", inverseSide: "pets", onDelete: "CASCADE", joinColumn: true },
      friends: { type: "many-to-many", target: "Pet", joinTable: true },
    },
    indices: [{ columns: ["name"], ...(changed && { where: `"weight" > 10` }) }],
    checks: changed ? [{ expression: `"weight" >= 0`, name: "pet_weight" }] : [],
  }),
];

class Grow1700000000001 {
  name = "Grow1700000000001";
  async up(q) {
    const { upQueries } = await q.connection.driver.createSchemaBuilder().log();
    for (const { query, parameters } of upQueries) {
      say("generated", query);
      await q.query(query, parameters);
    }
    await q.query(`UPDATE owner SET nick = left(name, 3), score = score + length(name) WHERE id % 2 = 0`);
  }
  async down(q) {
    await q.query(`ALTER TABLE pet DROP CONSTRAINT pet_weight`);
    await q.dropColumns("owner", ["score", "nick"]);
    const table = await q.getTable("pet");
    say("table", table.columns.map((c) => [c.name, c.type, c.isNullable, c.default]), table.foreignKeys.map((f) => f.name), table.checks.map((c) => c.name));
  }
}
class Visits1700000000002 {
  name = "Visits1700000000002";
  async up(q) {
    await q.createTable(new Table({ name: "visit", columns: [{ name: "id", type: "serial", isPrimary: true }, { name: "pet_id", type: "uuid" }, { name: "cost", type: "int", default: 0 }], foreignKeys: [{ columnNames: ["pet_id"], referencedTableName: "pet", referencedColumnNames: ["id"], onDelete: "CASCADE" }] }), true);
    await q.query(`INSERT INTO visit (pet_id, cost) SELECT id, weight FROM pet WHERE weight > 50 ORDER BY id`);
    await q.renameColumn("visit", "cost", "price");
  }
  async down(q) {
    await q.dropTable("visit");
  }
}

const id = (i) => `10000000-0000-4000-8000-${String(i).padStart(12, "0")}`;

async function fill(source) {
  await source.synchronize();
  const owners = [];
  for (let i = 1; i <= 60; i++) owners.push({ name: `Owner ${i}`, level: i % 3 ? "low" : "high", data: i % 2 ? { i } : null });
  await source.getRepository("Owner").insert(owners);
  const pets = [];
  for (let i = 1; i <= 400; i++) pets.push({ id: id(i), name: `Pet ${i % 70}`, weight: i % 6 ? (i % 90) + 0.5 : null, tags: [`t${i % 3}`], born: new Date(1.7e12 + i * 1e7), owner: { id: (i % 60) + 1 } });
  await source.getRepository("Pet").insert(pets);
  for (let i = 1; i < 100; i++) await source.createQueryBuilder().relation("Pet", "friends").of(id(i)).add(id(i + 1));
}

async function use(source, changed) {
  const owners = source.getRepository("Owner"), pets = source.getRepository("Pet");
  const { upQueries } = await source.driver.createSchemaBuilder().log();
  say("to synchronise", upQueries.map((q) => q.query));
  say(await owners.find({ where: { pets: { weight: MoreThan(60) } }, relations: { pets: true }, order: { id: "ASC", pets: { id: "ASC" } }, take: 4, skip: 2 }));
  say(await pets.find({ where: { name: In(["Pet 3", "Pet 4"]), owner: Not(IsNull()) }, relations: ["owner", "friends"], order: { id: "ASC" } }));
  say(await pets.createQueryBuilder("p").innerJoin("p.owner", "o").select("o.name", "owner").addSelect("COUNT(*)", "n").addSelect("SUM(p.weight)", "w").where("p.tags && :tags", { tags: ["t1"] }).groupBy("o.name").having("COUNT(*) > 2").orderBy("n", "DESC").addOrderBy("owner").limit(9).getRawMany());
  say(await pets.findAndCount({ order: { id: "ASC" }, skip: 10, take: 3 }));
  await source.transaction("REPEATABLE READ", async (m) => {
    const pet = await m.getRepository("Pet").findOne({ where: { id: id(7) }, lock: { mode: "pessimistic_write" } });
    pet.name = "Locked";
    pet.tags.push("saved");
    say(await m.getRepository("Pet").save(pet));
    const made = await m.getRepository("Owner").save({ name: `Saved ${changed}`, pets: [{ id: id(changed ? 900 : 910), name: "New", tags: [] }] });
    say(made.id, made.pets[0].version);
  });
  say(await owners.upsert([{ name: "Owner 3", data: { up: 1 } }, { name: `Owner ${changed} up`, data: {} }], ["name"]).then((r) => r.identifiers));
  say(await pets.increment({ owner: { id: 4 } }, "weight", 2).then((r) => r.affected), await pets.update({ name: "Pet 9" }, { born: null }).then((r) => r.affected));
  say(await pets.createQueryBuilder().delete().where("weight < :w AND id > :id", { w: 3, id: id(200) }).returning("id").execute().then((r) => r.raw.map((x) => x.id).sort()));
  await owners.remove(await owners.findOneByOrFail({ name: `Saved ${changed}` }));
  await fails("duplicate", () => owners.insert({ name: "Owner 5" }));
  await fails("foreign key", () => pets.update({ id: id(20) }, { owner: { id: 4321 } }));
  await fails("check", () => pets.update({ id: id(20) }, { weight: -1 }).then(() => pets.update({ id: id(20) }, { weight: 1 })));
  say(await pets.count(), await pets.sum("weight"), await owners.maximum("id"), await owners.exists({ where: { name: "Owner 1" } }));
  if (changed) say(await owners.find({ select: ["id", "nick", "score", "level"], order: { id: "ASC" }, take: 20 }), await source.query("SELECT * FROM visit ORDER BY id"));
}

async function main(step) {
  const changed = step == "migrate" || step == "use_changed";
  const source = new DataSource({ type: "postgres", ...place, username: place.user, entities: entities(changed), migrations: [Grow1700000000001, Visits1700000000002], migrationsTransactionMode: step == "migrate" ? "each" : "all", installExtensions: false });
  await source.initialize();
  if (step == "fill") await fill(source);
  else if (step == "migrate") say((await source.runMigrations()).map((m) => m.name), await source.showMigrations());
  else if (step == "revert") {
    await source.undoLastMigration();
    await source.undoLastMigration();
    const { upQueries } = await source.driver.createSchemaBuilder().log();
    for (const { query } of upQueries) say("still", query);
    await source.synchronize();
  } else await use(source, changed);
  await source.destroy();
}
main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
