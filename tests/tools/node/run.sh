#!/usr/bin/env bash
# node: pg and postgres.js, and the migrations and queries of Knex, Kysely, TypeORM, Drizzle and Sequelize.
source "$(dirname "$0")/../common.sh"
export NODE_PATH=$cache/node/node_modules NODE_NO_WARNINGS=1 KNEX_MIGRATIONS=$here/knex
tour() { node "$here/$@"; }
case $1 in
install) once node "$here/package.json" node_modules node "$here/package.json" ;;
fill)
    tour knex.js latest 2
    tour typeorm.js fill
    tour sequelize.js fill
    tour drizzle.js migrate 1
    ;;
tour)
    tour clients.js
    tour knex.js use
    tour knex.js latest
    tour knex.js use
    tour knex.js rollback
    tour knex.js latest
    tour kysely.js
    tour typeorm.js use
    tour typeorm.js migrate
    tour typeorm.js use_changed
    tour typeorm.js revert
    tour typeorm.js use
    tour sequelize.js use
    tour sequelize.js alter
    tour drizzle.js use
    tour drizzle.js migrate 2
    tour drizzle.js use_changed
    # What drizzle-kit reads of the whole database.
    cd "$TOOL_FOLDER"
    ln -s "$NODE_PATH" node_modules
    cat >drizzle.config.json <<END
{"dialect": "postgresql", "out": "out", "dbCredentials": {"host": "$PGHOST", "port": $PGPORT, "user": "$PGUSER", "password": "$PGPASSWORD", "database": "$PGDATABASE", "ssl": false}}
END
    node "$NODE_PATH/drizzle-kit/bin.cjs" pull --config drizzle.config.json >pull.log 2>&1 || { cat pull.log; exit 1; }
    # Tables and imports stand in the order in which it met them.
    cat out/schema.ts out/relations.ts out/*.sql | grep -v '^import' | sort
    ;;
esac
