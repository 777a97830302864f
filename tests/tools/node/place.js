// Where the database is; and how what was seen is printed.
const { env } = process;
exports.place = {
  host: env.PGHOST,
  port: Number(env.PGPORT),
  user: env.PGUSER,
  password: env.PGPASSWORD,
  database: env.PGDATABASE,
};
const plain = (key, value) => (typeof value === "bigint" ? `${value}n` : value);
exports.say = (...values) => console.log(...values.map((v) => (typeof v === "string" ? v : JSON.stringify(v, plain))));
exports.fails = async (what, work) => {
  try {
    await work();
    console.log(what, "no error");
  } catch (error) {
    const e = error.original ?? error.driverError ?? error.cause ?? error;
    exports.say(what, e.code, e.constraint ?? e.constraint_name, e.table ?? e.table_name, e.detail, e.message);
  }
};
