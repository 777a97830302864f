#!/usr/bin/env bash
# pg8000's own tests, from its source distribution: all three of its interfaces, but how it logs in (which needs a server configured for each way).
source "$(dirname "$0")/common.sh"
[ "$1" = install ] && install=yes
python_suite pg8000 1.31.2 pg8000==1.31.2 pytest==8.4.2 pytest-mock==3.14.1 pytest-benchmark==5.1.0 pytz==2025.2
if [ "$1" = install ]; then
    # Its user and database are `postgres`; ours come from the environment.
    sed -i 's/{"user": "postgres", "password": "pw"}/{"user": environ["PGUSER"], "database": environ["PGDATABASE"]}/' "$source"/test/*/conftest.py
fi
[ "$1" = install ] && exit 0
[ "${SUITE_STAGE:-}" ] && by=(python3 "$here/stage.py" "$SUITE_STAGE")
cd "$source"
PATH=$venv/bin:$PATH pytest "${2:-/dev/null}" test --ignore=test/test_readme.py --ignore-glob='test/*/auth' --benchmark-disable || [ "$1" = prepare ]
