import { PrismaPg } from "@prisma/adapter-pg";
import { defineConfig } from "prisma/config";
import pg from "pg";

// The adapter knows no columns of the types name and "char", which its own schema engine asks for (prisma/prisma#27403).
const known: Record<number, number> = { 18: 1042, 19: 25, 1002: 1009, 1003: 1009 };
for (const { prototype } of [pg.Pool, pg.Client] as { prototype: any }[]) {
  const query = prototype.query;
  prototype.query = function (...parameters: unknown[]) {
    const answer = query.apply(this, parameters);
    return answer?.then === undefined
      ? answer
      : answer.then((result: any) => {
          for (const field of result?.fields ?? []) field.dataTypeID = known[field.dataTypeID] ?? field.dataTypeID;
          return result;
        });
  };
}

export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "schema.prisma",
  migrations: { path: "migrations" },
  async adapter() {
    const { PGHOST: host, PGPORT: port, PGUSER: user, PGPASSWORD: password, PGDATABASE: database } = process.env;
    // By its parts: a connection string would keep the shadow database's name out.
    return new PrismaPg({ host, port: Number(port), user, password, database });
  },
});
