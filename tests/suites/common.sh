# What the suites' scripts share; sourced. tests/src/suite.rs says how a script is called.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SUITES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/previewpg/suites}

# Several tests may want the same suite at a time.
if [ "${1:-}" = install ]; then
    mkdir -p "$cache"
    exec 9>"$cache/$(basename "$0" .sh).lock"
    flock 9
fi

# python_suite NAME VERSION REQUIREMENT..: unpacks the source distribution NAME==VERSION into $source,
# and makes an environment with the requirements in $venv.
python_suite() {
    local name=$1 version=$2
    shift 2
    source=$cache/$name-$version
    venv=$source.venv
    [ "${install:-}" ] || return 0
    [ "$(cat "$source.installed" 2>/dev/null)" = "$*" ] && return 0
    rm -rf "$source" "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    local download
    download=$(mktemp -d)
    "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary "$name" --dest "$download" "$name==$version"
    mkdir -p "$source"
    tar xzf "$download"/*.tar.gz --strip-components=1 -C "$source"
    rm -rf "$download"
    echo "$*" >"$source.installed"
}

# Whether the suite's tables are production's: `fill` puts them there, `run` finds them there.
case ${SUITE:-}/${1:-} in
*-filled/prepare) export SUITE_STAGE=fill ;;
*-filled/run) export SUITE_STAGE=run ;;
esac
# What a suite's command is run by.
by=()

# pytest RESULTS ARGUMENT..: each test's outcome as a line of RESULTS.
pytest() {
    local results=$1
    shift
    SUITE_RESULTS=$results PYTHONPATH=$here "${by[@]}" "$venv/bin/python" -m pytest -p suite_results -q --no-header --tb=short -p no:cacheprovider "$@"
}
