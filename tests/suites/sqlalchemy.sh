#!/usr/bin/env bash
# SQLAlchemy's dialect suite and its tests of PostgreSQL's dialect, from its source distribution.
source "$(dirname "$0")/common.sh"
[ "$1" = install ] && install=yes
python_suite sqlalchemy 2.0.43 sqlalchemy==2.0.43 psycopg2-binary==2.9.10 pytest==8.4.2
[ "$1" = install ] && exit 0
plugin=()
[ "${SUITE_STAGE:-}" ] && plugin=(-p suite_sqlalchemy)
cd "$source"
pytest "${2:-/dev/null}" "${plugin[@]}" -o addopts='' -p warnings -p logging --dburi "postgresql+psycopg2://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE" \
    test/dialect/test_suite.py test/dialect/postgresql || [ "$1" = prepare ]
