#!/usr/bin/env bash
# tokio-postgres's own tests, at the version that Cargo.lock names, but those that need roles with other ways to log in.
source "$(dirname "$0")/common.sh"
version=$(awk '/^name = "tokio-postgres"$/ { getline; gsub(/"/, ""); print $3; exit }' "$here/../../Cargo.lock")
source=$cache/tokio-postgres-$version
case $1 in
install)
    [ -e "$source.installed" ] && exit 0
    mkdir -p "$cache"
    rm -rf "$source"
    manifest=$(cd "$here/../.." && cargo metadata --format-version 1 --locked |
        python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "tokio-postgres"))')
    cp -r "$(dirname "$manifest")" "$source"
    chmod -R u+w "$source"
    cd "$source/tests/test"
    # Where it connects is written into each test.
    sed -i -e 's/"127.0.0.1:5433"/std::env::var("SUITE_ADDRESS").unwrap()/' \
        -e 's/s\.parse::<Config>()\.unwrap()/crate::here(s).parse::<Config>().unwrap()/' main.rs
    sed -i -e 's/tokio_postgres::connect(s, NoTls)/tokio_postgres::connect(\&crate::here(s), NoTls)/' runtime.rs
    cat >>main.rs <<'RUST'

fn here(s: &str) -> String {
    let variable = |name| std::env::var(name).unwrap();
    let login = format!(
        "user={} password={} dbname={}",
        variable("PGUSER"),
        variable("PGPASSWORD"),
        variable("PGDATABASE")
    );
    s.replace("user=postgres", &login)
        .replace("5433", &variable("PGPORT"))
}
RUST
    cd "$source"
    printf '\n[workspace]\n' >>Cargo.toml
    CARGO_TARGET_DIR=$cache/tokio-postgres-target cargo test --locked --quiet --test test --no-run --features array-impls
    touch "$source.installed"
    ;;
run)
    cd "$source"
    export SUITE_ADDRESS=$PGHOST:$PGPORT
    # One at a time, so that what a test says doesn't break another one's line.
    CARGO_TARGET_DIR=$cache/tokio-postgres-target cargo test --locked --test test --features array-impls -- \
        --test-threads 1 --skip password --skip host 2>&1 | tee /dev/stderr |
        sed -nE -e 's/^test (\S+) \.\.\. ok$/ok \1/p' -e 's/^test (\S+) \.\.\. FAILED$/not ok \1 - see the log/p' \
            -e 's/^test (\S+) \.\.\. ignored.*/skip \1/p' >"$2" || true
    ;;
esac
