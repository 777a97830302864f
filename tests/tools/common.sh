# What the tools' scripts share; sourced. tests/src/tool.rs says how a script is called.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/previewpg/tools}
export PYTHONPATH=$tools/../python PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LC_ALL=C.UTF-8 TZ=UTC

# once NAME FILE COMMAND..: runs the command unless it has run for this content of FILE; one caller at a time.
once() {
    local mark
    mark="$cache/$1.$(sha256sum "$2" | cut -c1-16)"
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    flock 9
    if [ ! -e "$mark" ]; then
        "${@:3}" 9>&-
        touch "$mark"
    fi
    exec 9>&-
}

# venv NAME REQUIREMENTS: an environment with these requirements, in $cache/NAME.
venv() {
    rm -rf "${cache:?}/$1"
    python3 -m venv "$cache/$1"
    "$cache/$1/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$2" >&2
}

# node_modules NAME PACKAGE_JSON: the packages that it names, in $cache/NAME/node_modules.
node_modules() {
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    cp "$2" "$cache/$1/package.json"
    (cd "$cache/$1" && npm install --silent --no-audit --no-fund --ignore-scripts >&2)
}

# jars NAME POM: the jars that it names and what they need, in $cache/NAME.
jars() {
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    mvn --batch-mode --quiet -f "$2" dependency:copy-dependencies -DoutputDirectory="$cache/$1" >&2
}
