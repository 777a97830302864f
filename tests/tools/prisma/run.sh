#!/usr/bin/env bash
# Prisma, with the engines that its packages carry (WebAssembly over pg): db pull, migrate deploy, diff and status, db push, and its client.
source "$(dirname "$0")/../common.sh"
export PRISMA_HIDE_UPDATE_MESSAGE=1 CHECKPOINT_DISABLE=1 NO_COLOR=1 NODE_NO_WARNINGS=1
export DATABASE_URL="postgresql://${PGUSER:-}:${PGPASSWORD:-}@${PGHOST:-}:${PGPORT:-}/${PGDATABASE:-}"
begin() {
    cp -r "$here/project" "$TOOL_FOLDER/project"
    cd "$TOOL_FOLDER/project"
    ln -s "$cache/prisma/node_modules" node_modules
}
# What is said, without the place that it's said of, and without times.
prisma() {
    local status=0
    node node_modules/prisma/build/index.js "$@" >said 2>&1 </dev/null || status=$?
    echo "prisma $*: $status"
    sed -E "s/$PGHOST:$PGPORT|$PGDATABASE//g; s/[0-9.]+ ?m?s$//; s/[0-9]{14}/<time>/" said | grep -v $'\e' | grep -vE '^$|Prisma schema loaded|in [0-9.]+m?s|^warn|Tip:|help us improve|https?://' || true
}
models() { cp "models_$1.prisma" schema.prisma; }
case $1 in
install) once prisma "$here/package.json" node_modules prisma "$here/package.json" ;;
fill)
    begin
    models 1
    rm -r migrations/2_columns
    node node_modules/prisma/build/index.js migrate deploy
    ;;
tour)
    begin
    models 1
    prisma migrate status
    prisma migrate diff --from-schema-datasource schema.prisma --to-schema-datamodel models_2.prisma --script
    prisma generate
    node use.js 1
    cp empty.prisma schema.prisma
    prisma db pull
    cat schema.prisma
    models 2
    prisma migrate deploy
    prisma migrate status
    prisma generate
    node use.js 2
    cp empty.prisma schema.prisma
    prisma db pull
    cat schema.prisma
    # Without a migration (migrate dev can't drop its shadow database with this engine, on a copy neither).
    models 3
    prisma migrate diff --from-schema-datasource schema.prisma --to-schema-datamodel schema.prisma --script
    prisma db push --accept-data-loss --skip-generate
    prisma db execute --file after.sql
    cp empty.prisma schema.prisma
    prisma db pull
    cat schema.prisma
    ;;
esac
