// Sequelize: models, and sync({alter: true}) over production's rows.
const { place, say, fails } = require("./place");
const { Sequelize, DataTypes, Op } = require("sequelize");
const sequelize = new Sequelize(place.database, place.user, place.password, { host: place.host, port: place.port, dialect: "postgres", logging: false, define: { timestamps: false }, pool: { acquire: 60000 } });

function models(changed) {
  const Team = sequelize.define("Team", { name: { type: DataTypes.STRING(changed ? 100 : 50), unique: "team_name", allowNull: false }, kind: DataTypes.ENUM("a", "b", ...(changed ? ["c"] : [])), ...(changed && { rank: { type: DataTypes.INTEGER, defaultValue: 1, allowNull: false } }) });
  const Player = sequelize.define("Player", { name: DataTypes.STRING, goals: { type: changed ? DataTypes.BIGINT : DataTypes.INTEGER, defaultValue: 0 }, info: DataTypes.JSONB, nick: { type: DataTypes.ARRAY(DataTypes.STRING) }, ...(changed && { born: DataTypes.DATEONLY }) }, { indexes: [{ fields: ["goals"] }, ...(changed ? [{ name: "player_nick", fields: ["nick"], using: "gin" }] : [])] });
  Team.hasMany(Player, { onDelete: "CASCADE" });
  Player.belongsTo(Team);
  return { Team, Player };
}

async function work(Team, Player, word) {
  say(await Team.findAll({ include: { model: Player, where: { goals: { [Op.gt]: 70 } } }, order: ["id", [Player, "id", "ASC"]] }));
  say(await Player.findAndCountAll({ where: { info: { foot: "left" }, nick: { [Op.contains]: ["n1"] } }, limit: 5, offset: 2, order: [["goals", "DESC"], "id"] }));
  say(await Player.findAll({ attributes: ["TeamId", [sequelize.fn("SUM", sequelize.col("goals")), "n"]], group: "TeamId", order: [["TeamId", "ASC"]], raw: true }));
  await sequelize.transaction(async (transaction) => {
    const player = await Player.findByPk(word == "use" ? 9 : 18, { lock: transaction.LOCK.UPDATE, transaction });
    await player.update({ name: word, info: { ...player.info, word } }, { transaction });
    await player.increment("goals", { by: 4, transaction });
    say(await player.reload({ transaction }));
  });
  say(await Team.findOrCreate({ where: { name: "Team 3" } }).then(([t, made]) => [t, made]), await Team.findOrCreate({ where: { name: word }, defaults: { kind: "b" } }));
  say(await Team.upsert({ id: 4, name: "Team four", kind: "a" }));
  say(await Player.bulkCreate([{ id: 5, name: "Five", goals: 1 }, { name: "Bulk", goals: 2 }], { updateOnDuplicate: ["name"] }));
  say(await Player.update({ goals: sequelize.literal("goals * 2") }, { where: { TeamId: 6 }, returning: true }).then(([n, rows]) => [n, rows.map((r) => [r.id, r.goals]).sort((a, b) => a[0] - b[0])]));
  say(await Player.destroy({ where: { goals: { [Op.between]: [10, 12] } } }));
  await fails("duplicate", () => Team.create({ name: "Team 5" }));
  await fails("foreign key", () => Player.create({ name: "x", TeamId: 999 }));
  say(await sequelize.getQueryInterface().describeTable("Players"), await sequelize.getQueryInterface().showIndex("Players"), await sequelize.getQueryInterface().getForeignKeyReferencesForTable("Players"));
}

async function main(step) {
  const { Team, Player } = models(step == "alter");
  if (step == "fill") {
    await sequelize.sync();
    await Team.bulkCreate([...Array(20).keys()].map((i) => ({ name: `Team ${i + 1}`, kind: i % 2 ? "a" : "b" })));
    await Player.bulkCreate([...Array(300).keys()].map((i) => ({ name: `Player ${i}`, goals: i % 80, info: { foot: i % 3 ? "left" : "right" }, nick: [`n${i % 4}`], TeamId: (i % 20) + 1 })));
  } else {
    if (step == "alter") await sequelize.sync({ alter: true });
    await work(Team, Player, step);
  }
  await sequelize.close();
}
main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
