#!/usr/bin/env bash
# Django with its admin: models with rows in production, then changed, migrated there and back.
source "$(dirname "$0")/../common.sh"
python=$cache/python/bin/python
# stage N: the project, its models as of stage N; the first migration is what makemigrations makes of stage 1.
stage() {
    cp "$here/project/shop/models_$1.py" "$TOOL_FOLDER/project/shop/models.py"
}
manage() { (cd "$TOOL_FOLDER/project" && "$python" manage.py "$@"); }
# When a row was edited last is set by the database.
dump() { manage dumpdata --indent 1 "$@" | sed -E 's/("edited": ").*"/\1now"/'; }
begin() {
    cp -r "$here/project" "$TOOL_FOLDER/project"
    mkdir "$TOOL_FOLDER/later"
    mv "$TOOL_FOLDER/project/shop/migrations/"000[2-9]*.py "$TOOL_FOLDER/later"
    stage 1
    manage makemigrations shop --noinput
    mv "$TOOL_FOLDER/later/"*.py "$TOOL_FOLDER/project/shop/migrations"
}
case $1 in
install) once python "$tools/python.txt" venv python "$tools/python.txt" ;;
fill)
    begin
    manage migrate --noinput shop 0001
    for app in auth admin sessions contenttypes; do manage migrate --noinput "$app"; done
    manage tour fill
    ;;
tour)
    begin
    manage showmigrations
    manage inspectdb --include-views
    manage tour use
    stage 2
    manage makemigrations shop --check --dry-run
    manage migrate --plan
    manage sqlmigrate shop 0006
    manage migrate --noinput
    manage inspectdb
    manage tour use_changed
    dump auth admin shop.author shop.label
    manage sqlsequencereset shop
    manage dumpdata shop.author shop.label shop.loan --output "$TOOL_FOLDER/rows.json"
    manage loaddata "$TOOL_FOLDER/rows.json"
    manage createcachetable
    # Back, with what was written in between, and there again.
    manage migrate --noinput shop 0001
    stage 1
    manage inspectdb
    dump shop
    manage tour use_again
    stage 2
    manage migrate --noinput shop
    manage check --database default
    manage tour finish
    ;;
esac
