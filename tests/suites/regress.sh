#!/usr/bin/env bash
# PostgreSQL's own regression tests, from Debian's source package of the server that is installed. tests/src/regress.rs runs them.
source "$(dirname "$0")/common.sh"
[ "$1" = install ] || exit 2
major=$(basename "$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1 | xargs dirname)")
version=$(dpkg-query --show --showformat='${Version}' "postgresql-$major")
target=$cache/regress
if [ "$(cat "$target/version" 2>/dev/null)" != "$version" ]; then
    rm -rf "$target"
    mkdir -p "$target/lists/partial" "$target/archives/partial"
    # Sources from where the packages come from, without a change to the system's own list.
    for key in /usr/share/keyrings/{debian,ubuntu}-archive-keyring.gpg; do [ -e "$key" ] && break; done
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sort -u | sed "s,^,deb-src [signed-by=$key] ," >"$target/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$target/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$target/lists" -o "Dir::Cache=$target" -o APT::Sandbox::User=)
    apt-get "${options[@]}" update
    (cd "$target" && apt-get "${options[@]}" --download-only source "postgresql-$major=$version")
    # COPY reads the tests' data as the server's user.
    tar xf "$target"/*.orig.tar.* -C "$target" --strip-components=3 --wildcards '*/src/test/regress/sql' '*/src/test/regress/data'
    rm -rf "$target/lists" "$target/archives" "$target"/*.tar.* "$target"/*.dsc
    echo "$version" >"$target/version"
fi
echo "$target/regress"
