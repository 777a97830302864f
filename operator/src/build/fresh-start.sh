#!/bin/sh
# Starts a preview's own PostgreSQL. Runs in any image that has a shell, initdb and postgres on PATH.
set -eu
umask 077

internal=/etc/previewpg/internal
password_file=$internal/fresh-password
certificate=$internal/fresh-server.crt
settings=/etc/previewpg/postgres/postgresql.conf
initialized=${PGDATA%/*}/initialized

if [ ! -e "$initialized" ]; then
    # What an initdb that was killed left behind.
    rm -rf "$PGDATA"
fi
mkdir -p "$PGDATA"
# A volume's group may have been given rights, and PostgreSQL doesn't start then.
chmod 700 "$PGDATA"

if [ ! -e "$initialized" ]; then
    version=$(postgres --version)
    version=${version##*PostgreSQL) }
    version=${version%%[!0-9]*}
    # Only of the server's own databases: the preview's is made with production's locale and encoding.
    if [ "${version:-0}" -ge 17 ]; then
        set -- --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8
    else
        set -- --locale=C
    fi
    initdb --pgdata="$PGDATA" --username=previewpg --pwfile="$password_file" --auth=scram-sha-256 --encoding=UTF8 "$@"
    # The preview's database may have this name, and is made with production's locale.
    echo 'DROP DATABASE postgres' | postgres --single -D "$PGDATA" -c config_file="$settings" template1 > /dev/null
    : > "$initialized"
else
    # The Secret is what counts, also after it was made anew.
    postgres --single -D "$PGDATA" -c config_file="$settings" template1 > /dev/null <<SQL
ALTER ROLE previewpg PASSWORD '$(cat "$password_file")';
SQL
fi

# SIGTERM is PostgreSQL's patient shutdown, which waits for clients; a pod that ends wants the fast one.
child=
trap '[ -z "$child" ] || kill -INT "$child"' TERM INT
postgres -D "$PGDATA" -c config_file="$settings" &
child=$!

# A certificate that was renewed is taken up for new connections; those that are open go on.
(
    seen=$(cat "$certificate")
    while sleep 10; do
        now=$(cat "$certificate") && [ "$now" != "$seen" ] || continue
        seen=$now
        kill -HUP "$child"
    done
) &
status=0
wait "$child" || status=$?
while kill -0 "$child" 2> /dev/null; do
    status=0
    wait "$child" || status=$?
done
exit "$status"
