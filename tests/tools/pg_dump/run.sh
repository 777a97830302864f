#!/usr/bin/env bash
# pg_dump in each format, of a shop that was changed in every way, and what its dumps restore to.
source "$(dirname "$0")/../common.sh"
normal() { python3 "$here/normal.py"; }
# restored NAME COMMAND..: what a new database on the copy's server holds after the command has restored into it.
restored() {
    local name=$PGDATABASE"_$1_$$"
    (
        export PGHOST=$TOOL_COPY_HOST PGPORT=$TOOL_COPY_PORT
        createdb "$name"
        PGDATABASE=$name "${@:2}"
        pg_dump "$name" | normal
        dropdb "$name"
    )
}
case $1 in
install) ;;
fill) psql -X -q -v ON_ERROR_STOP=1 -f "$tools/../schema/shop.sql" ;;
tour)
    cd "$TOOL_FOLDER"
    echo "== unchanged"
    pg_dump | normal
    psql -X -q -v ON_ERROR_STOP=1 -f "$here/changes.sql"
    echo "== plain"
    pg_dump -f plain.sql
    normal <plain.sql
    echo "== inserts"
    pg_dump --data-only --column-inserts --rows-per-insert=50 --disable-triggers -t users -t orders | grep -v restrict | tr -s '\n ' ' ' | tr '()' '\n\n' | sort
    echo "== sections"
    for section in pre-data data post-data; do pg_dump --section=$section -n public | normal; done
    echo "== one schema, not these tables"
    pg_dump -n billing -n public -T 'order*' -T users --no-owner --clean --if-exists | normal
    echo "== serializable"
    pg_dump --serializable-deferrable --quote-all-identifiers -t '"Customer Notes"' | normal
    echo "== custom"
    pg_dump -Fc -f custom.dump
    pg_restore --list custom.dump | grep -v '^;' | sed 's/^[0-9]*; [0-9]* [0-9]* //'
    pg_restore -f - custom.dump | normal
    echo "== directory"
    pg_dump -Fd -j 2 -f directory
    pg_restore -f - directory | normal
    echo "== tar"
    pg_dump -Ft -f tar.dump
    pg_restore -f - tar.dump | normal
    echo "== restored"
    restored plain psql -X -q -v ON_ERROR_STOP=1 -f plain.sql
    restored custom bash -c 'pg_restore --exit-on-error -d "$PGDATABASE" custom.dump'
    restored directory bash -c 'pg_restore --exit-on-error -j 2 -d "$PGDATABASE" directory'
    echo "== all databases' roles aside"
    pg_dump --schema-only --no-owner | normal
    ;;
esac
