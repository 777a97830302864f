#!/usr/bin/env bash
# Directus: filled on production at one version; the next one's migrations, its API and its editors' work on the preview.
source "$(dirname "$0")/../common.sh"
export DB_CLIENT=pg DB_HOST=${PGHOST:-} DB_PORT=${PGPORT:-} DB_USER=${PGUSER:-} DB_PASSWORD=${PGPASSWORD:-} DB_DATABASE=${PGDATABASE:-}
export DB_ACQUIRE_CONNECTION_TIMEOUT=120000 DB_SSL=false
export KEY=of-the-tests SECRET=of-the-tests ADMIN_EMAIL=root@example.org ADMIN_PASSWORD=secret PUBLIC_URL=/
export STORAGE_LOCATIONS=local STORAGE_LOCAL_ROOT=$TOOL_FOLDER/uploads EXTENSIONS_PATH=$TOOL_FOLDER/extensions
export TELEMETRY=false CACHE_ENABLED=false RATE_LIMITER_ENABLED=false LOG_STYLE=raw NODE_NO_WARNINGS=1
export GRAPHQL_INTROSPECTION=true ACCESS_TOKEN_TTL=1d
# It looks for extensions in the package of the folder that it's started in.
cd "$TOOL_FOLDER"
echo '{}' >package.json
# install_directus NAME PACKAGE_JSON: the engine for extensions in a sandbox is compiled on installing; there are none here.
install_directus() {
    node_modules "$1" "$2"
    echo 'module.exports = {};' >"$cache/$1/node_modules/isolated-vm/isolated-vm.js"
}
# directus VERSION ARGUMENT..: its command line; what it says, of its log only the messages, without the notice of newer versions.
directus() {
    local version=$1 status=0
    shift
    TOUR_STEP="$version $*" node --require "$here/fixed.cjs" "$cache/directus-$version/node_modules/directus/cli.js" "$@" >said 2>&1 || status=$?
    echo "directus $*: $status"
    sed -E "s|$TOOL_FOLDER/||;"$' s/\e\\[[0-9;]*m//g; s/^\\{"level":([0-9]+),.*"msg":"(.*)"\\}$/\\1 \\2/' said | grep -vE '^$|[╭│╰]' || true
}
# tour VERSION STEP ARGUMENT..: requests to a server of that version.
tour() { DIRECTUS=$cache/directus-$1 node "$here/$2.js" "${@:3}"; }
case $1 in
install)
    once directus-old "$here/old.json" install_directus directus-old "$here/old.json"
    once directus-new "$here/new.json" install_directus directus-new "$here/new.json"
    ;;
fill)
    directus old bootstrap
    tour old fill
    ;;
tour)
    cp -r ../production.folder/uploads uploads
    # Production's own version first: what a preview of it shows.
    tour old visit 10
    directus new database migrate:latest
    directus new database migrate:latest
    tour new visit 11 before
    tour new edit
    tour new visit 11 after
    directus new schema snapshot --yes snapshot.yaml
    cat snapshot.yaml
    directus new count articles
    directus new roles create --role Made --admin
    directus new users passwd --email user1@example.org --password changed
    # Two of its migrations back, and forward again.
    directus new database migrate:down
    directus new database migrate:down
    directus new database migrate:latest
    tour new visit 11 again
    ;;
after)
    cp -r ../production.folder/uploads uploads
    tour old visit 10
    directus old roles create --role Meanwhile >&2
    ;;
esac
