#!/usr/bin/env bash
# sqlx: its migrator, statement cache, describe, rows; and a program whose queries are checked against the database when it's compiled.
source "$(dirname "$0")/../common.sh"
export CARGO_TARGET_DIR=$cache/sqlx SQLX_OFFLINE=false
export DATABASE_URL="postgres://${PGUSER:-}:${PGPASSWORD:-}@${PGHOST:-}:${PGPORT:-}/${PGDATABASE:-}?sslmode=disable"
build() { cargo build --quiet --locked --manifest-path "$here/Cargo.toml" --bin sqlx-tour >&2; }
tour() { "$cache/sqlx/debug/sqlx-tour" "$@" 2>&1; }
# migrations NUMBER..: those, in a folder of the call's own.
migrations() {
    mkdir -p migrations
    for number in "$@"; do cp "$here/migrations/$number"_* migrations/; done
}
cd "$TOOL_FOLDER"
case $1 in
install) once sqlx "$here/Cargo.lock" build ;;
fill)
    build
    migrations 1
    tour migrate migrations
    tour fill
    ;;
tour)
    build
    migrations 1
    tour migrate migrations
    tour describe
    tour use
    migrations 2
    tour migrate_twice migrations
    # An index made concurrently waits for whoever waits for the migrator's lock.
    migrations 3
    tour migrate migrations
    tour describe
    tour use
    # Checked while it's compiled, against this database.
    touch "$here/src/bin/checked.rs"
    cargo run --quiet --locked --manifest-path "$here/Cargo.toml" --features checked --bin checked
    tour undo migrations 1
    tour use
    tour migrate migrations
    # A migration that was changed after it had been applied.
    echo '-- changed' >>migrations/2_columns.up.sql
    tour migrate migrations
    tour describe
    tour forget_times
    ;;
esac
