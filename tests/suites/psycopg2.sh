#!/usr/bin/env bash
# psycopg2's own tests, from its source distribution.
source "$(dirname "$0")/common.sh"
[ "$1" = install ] && install=yes
python_suite psycopg2 2.9.10 psycopg2-binary==2.9.10 pytest==8.4.2
[ "$1" = install ] && exit 0
[ "${SUITE_STAGE:-}" ] && by=(python3 "$here/stage.py" "$SUITE_STAGE")
cd "$source"
PSYCOPG2_TESTDB=$PGDATABASE pytest "${2:-/dev/null}" tests || [ "$1" = prepare ]
