#!/usr/bin/env bash
# What psql's commands show of a shop, before and after it was changed in every way.
source "$(dirname "$0")/../common.sh"
psql() { command psql -X -q -v ON_ERROR_STOP=1 -P pager=off "$@"; }
# Sizes are those of the files that a database has of its own; without them, columns' widths differ as well.
sizeless() { sed -E 's/[0-9]+ (bytes|kB|MB)/<size>/' | tr -s ' -' | sed -E 's/[ |+-]+$//'; }
describe() {
    psql -f "$here/describe.sql" 2>&1 | sizeless
    psql -At -c "SELECT format('\\d+ %I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname IN ('public', 'billing') AND relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I', 'c') ORDER BY 1" >"$TOOL_FOLDER/each.sql"
    psql -f "$TOOL_FOLDER/each.sql" 2>&1
    psql -At -c "SELECT format('\\sf+ %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang IN (14, (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')) ORDER BY 1" >"$TOOL_FOLDER/each.sql"
    psql -f "$TOOL_FOLDER/each.sql" 2>&1
}
case $1 in
install) ;;
fill) psql -f "$tools/../schema/shop.sql" ;;
tour)
    describe
    psql -f "$here/../pg_dump/changes.sql"
    describe
    psql -E -c '\d users' -c '\dt' -c '\dv' -c '\df touch' | sed "s/'[0-9]*'/<oid>/g"
    psql -f "$here/../../drivers/psql.sql" -v ON_ERROR_STOP=0 -v VERBOSITY=verbose 2>&1 | grep -v '^LOCATION:'
    ;;
esac
