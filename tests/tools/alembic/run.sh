#!/usr/bin/env bash
# SQLAlchemy and Alembic: reflection, autogenerate, upgrades and downgrades of tables that hold production's rows, the ORM
# with psycopg, psycopg2 and asyncpg.
source "$(dirname "$0")/../common.sh"
cd "$here/project"
python=$cache/python/bin/python
alembic() { "$python" -m alembic "$@"; }
tour() { "$python" tour.py "$@"; }
case $1 in
install) once python "$tools/python.txt" venv python "$tools/python.txt" ;;
fill)
    alembic upgrade 0001
    tour fill
    ;;
tour)
    alembic current
    tour reflect
    tour autogenerate base
    tour autogenerate head
    tour orm psycopg
    for revision in 0002 0003 0004 0005 head; do alembic upgrade "$revision"; tour counts; done
    alembic current
    alembic check
    tour reflect
    tour autogenerate head
    tour changed
    alembic downgrade 0003
    alembic downgrade 0001
    tour reflect
    tour autogenerate base
    alembic upgrade head
    alembic downgrade -2
    alembic upgrade +2
    alembic check
    alembic downgrade 0001
    tour orm psycopg2
    tour orm asyncpg
    # All of it as one script of SQL, as administrators take it.
    alembic upgrade 0001:head --sql >"$TOOL_FOLDER/upgrade.sql"
    psql -X -q -v ON_ERROR_STOP=1 -f "$TOOL_FOLDER/upgrade.sql"
    alembic check
    tour counts
    ;;
esac
