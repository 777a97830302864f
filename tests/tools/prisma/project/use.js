// Prisma's client, as of models 1 or 2.
const { PrismaClient } = require("./client");
const { PrismaPg } = require("@prisma/adapter-pg");
const stage = process.argv[2];
const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }), transactionOptions: { timeout: 60000, maxWait: 60000 } });
const say = (...values) => console.log(...values.map((v) => (typeof v === "string" ? v : JSON.stringify(v, (k, x) => (typeof x === "bigint" ? `${x}n` : x)))));
const fails = async (what, work) => {
  try {
    await work();
    say(what, "no error");
  } catch (e) {
    say(what, e.code ?? e.name, e.meta?.target ?? e.meta?.driverAdapterError?.cause?.constraint ?? e.meta?.modelName ?? e.message);
  }
};
const slug = (text) => (stage == 2 ? { slug: `${text}-${stage}` } : {});
const id = (i) => `20000000-0000-4000-8000-${String(i).padStart(12, "0")}`;

async function main() {
  say(await db.member.findMany({ where: { notes: { some: { price: { gt: 70 } } }, settings: { path: ["level"], gte: 3 } }, include: { notes: { orderBy: { title: "asc" }, take: 2 }, circles: { orderBy: { id: "asc" } } }, orderBy: { id: "asc" }, take: 6, skip: 2 }));
  say(await db.member.findMany({ where: { tags: { has: "t1" }, circles: { every: { name: { contains: "2", mode: "insensitive" } } } }, select: { email: true, _count: { select: { notes: true } } }, orderBy: [{ notes: { _count: "desc" } }, { id: "asc" }], take: 9 }));
  say(await db.note.groupBy({ by: ["memberId"], _sum: { price: true }, _avg: { stars: true }, having: { price: { _sum: { gt: 300 } } }, orderBy: { memberId: "asc" } }));
  say(await db.note.aggregate({ _count: true, _max: { price: true }, where: { body: { not: null } } }));
  say(await db.note.findMany({ distinct: ["stars"], orderBy: [{ stars: "asc" }, { id: "asc" }], take: 5, cursor: { id: (await db.note.findFirst({ orderBy: { id: "asc" } })).id } }));
  say(await db.member.create({ data: { email: `p${stage}`, notes: { create: [{ id: id(stage * 2), title: "A", ...slug("a") }, { id: id(stage * 2 + 1), title: "B", ...slug("b") }] }, circles: { connect: { id: 3 }, create: { name: `By Prisma ${stage}` } } }, include: { notes: { orderBy: { title: "asc" } }, circles: { orderBy: { id: "asc" } } } }));
  say(await db.member.upsert({ where: { email: "m5@example.org" }, update: { tags: { push: "up" } }, create: { email: "m5@example.org" } }));
  say(await db.member.update({ where: { id: 7 }, data: { circles: { set: [{ id: 1 }, { id: 2 }] }, notes: { updateMany: { where: { price: { lt: 50 } }, data: { price: { multiply: 2 } } } } }, include: { circles: { orderBy: { id: "asc" } }, notes: { orderBy: { title: "asc" } } } }));
  say(await db.note.updateMany({ where: { member: { role: "ADMIN" } }, data: { stars: { increment: 1 } } }));
  say(await db.note.deleteMany({ where: { title: { startsWith: `Note 7${stage}` } } }));
  say(await db.circle.createMany({ data: [{ name: "Circle 3" }, { name: `Many ${stage}` }], skipDuplicates: true }), await db.circle.createManyAndReturn({ data: [{ name: `Returned ${stage}` }] }));
  say(await db.member.delete({ where: { id: 20 + Number(stage) } }));
  await fails("unique", () => db.member.create({ data: { email: "m9@example.org" } }));
  await fails("foreign key", () => db.note.create({ data: { id: id(99), title: "x", memberId: 5555, ...slug("x") } }));
  await fails("not found", () => db.member.update({ where: { id: 4444 }, data: { tags: [] } }));
  await fails("undone", () =>
    db.$transaction(
      async (tx) => {
        await tx.member.deleteMany({ where: { id: { lt: 50 } } });
        say(await tx.note.count());
        throw new Error("undone");
      },
      { isolationLevel: "RepeatableRead" },
    ),
  );
  say(await db.$transaction([db.note.count(), db.member.count(), db.circle.count()]));
  say(await db.$queryRaw`SELECT m.id, m.tags, m.settings, m.role, n.price FROM "Member" m JOIN notes n ON n.member_id = m.id WHERE n.price > ${70} ORDER BY n.id LIMIT 5`, await db.$executeRaw`UPDATE notes SET body = ${"raw"} WHERE member_id = ${3}`);
  if (stage == 2) say(await db.like.findMany({ orderBy: { noteId: "asc" } }), await db.member.create({ data: { email: "guest", role: "GUEST", fullName: "G" } }));
  await db.$disconnect();
}
main().catch((e) => {
  console.error(e);
  process.exit(1);
});
