#!/usr/bin/env bash
# Django's own tests of what has to do with its database, from its source distribution.
source "$(dirname "$0")/common.sh"
[ "$1" = install ] && install=yes
python_suite django 5.2.8 django==5.2.8 'psycopg[binary,pool]==3.2.13' jinja2==3.1.6 tblib==3.1.0
modules=(
    backends queries aggregation annotations expressions expressions_case delete bulk_create get_or_create
    select_for_update transactions migrations schema introspection
)
# Models that can't be made in SQLite, which stands for the second database otherwise.
postgresql_only=(inspectdb postgres_tests)
if [ -n "${SUITE_MODULES:-}" ]; then
    read -ra modules <<<"$SUITE_MODULES"
    postgresql_only=()
fi
runtests() {
    cd "$source/tests"
    PYTHONPATH=$here:$here/../python:$source "$venv/bin/python" -W ignore runtests.py --settings=suite_django --keepdb --parallel 1 --noinput "$@" </dev/null
}
django() {
    local status=0
    runtests "$@" "${modules[@]}" || status=$?
    if [ "${#postgresql_only[@]}" -gt 0 ]; then
        SUITE_OTHER=postgresql runtests "$@" "${postgresql_only[@]}" || status=$?
    fi
    return "$status"
}
case $1 in
prepare) SUITE_RESULTS=/dev/null django ;;
run) SUITE_RESULTS=$2 django ;;
esac
