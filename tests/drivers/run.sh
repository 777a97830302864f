#!/bin/sh
# Other people's clients, run against one database.
#
#   run.sh install         fetches psycopg (PyPI) and pg (npm) into target/drivers; the others are packages of the system
#                          (.ci/packages drivers)
#   run.sh DRIVER HOST PORT USER PASSWORD DATABASE
#                          DRIVER: psql, psycopg, jdbc or node; prints what the driver saw
#
# The versions of what is fetched are pinned: a failure is ours, not theirs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${PREVIEWPG_DRIVERS:-$here/../../target/drivers}
jdbc=${PREVIEWPG_PGJDBC:-/usr/share/java/postgresql.jar}

install() {
    mkdir -p "$target"
    if [ ! -x "$target/venv/bin/python" ] || ! "$target/venv/bin/python" -c 'import psycopg' 2>/dev/null; then
        python3 -m venv "$target/venv"
        "$target/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]==3.2.13'
    fi
    if [ ! -d "$target/node/node_modules/pg" ]; then
        mkdir -p "$target/node"
        (cd "$target/node" && npm install --silent --no-audit --no-fund pg@8.16.3)
    fi
    [ -e "$jdbc" ] || { echo "pgjdbc isn't at $jdbc: apt-get install libpostgresql-jdbc-java, or set PREVIEWPG_PGJDBC" >&2; exit 1; }
}

[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
driver=$1
shift
case $driver in
install) install ;;
psql)
    PGPASSWORD=$4 exec psql -X -h "$1" -p "$2" -U "$3" -d "$5" -v VERBOSITY=verbose -v SHOW_CONTEXT=errors \
        -f "$here/psql.sql" 2>&1
    ;;
psycopg) exec "$target/venv/bin/python" "$here/smoke.py" "$@" 2>&1 ;;
jdbc) exec java -cp "$jdbc" "$here/Smoke.java" "$@" 2>&1 ;;
node) NODE_PATH=$target/node/node_modules exec node "$here/smoke.js" "$@" 2>&1 ;;
*) echo "no driver $driver" >&2; exit 2 ;;
esac
