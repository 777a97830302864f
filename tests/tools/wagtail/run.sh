#!/usr/bin/env bash
# Wagtail: filled on production at one version; the next one's migrations, its pages and its editors' work on the preview.
source "$(dirname "$0")/../common.sh"
# manage VERSION ARGUMENT..: the site's command line with that version of Wagtail.
manage() {
    local version=$1
    shift
    [ -e "$TOOL_FOLDER/project" ] || cp -r "$here/project" "$TOOL_FOLDER/project"
    (cd "$TOOL_FOLDER/project" && "$cache/wagtail-$version/bin/python" -W ignore manage.py "$@")
}
case $1 in
install)
    once wagtail-old "$here/old.txt" venv wagtail-old "$here/old.txt"
    once wagtail-new "$here/new.txt" venv wagtail-new "$here/new.txt"
    ;;
fill)
    manage old migrate --noinput
    manage old fill
    manage old update_index
    ;;
tour)
    # Production's own version first: what a preview of it shows.
    manage old tour visit
    manage new showmigrations --plan
    manage new migrate --noinput
    manage new makemigrations --check --dry-run || echo "there are"
    manage new tour visit
    manage new tour edit
    manage new tour visit
    manage new update_index
    manage new fixtree
    manage new publish_scheduled
    manage new purge_revisions --days 1
    manage new rebuild_references_index
    manage new tour visit
    manage new inspectdb
    ;;
after)
    manage old tour visit
    manage old update_index >&2
    ;;
esac
