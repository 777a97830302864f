"""psycopg 3 with its defaults: what it sees is printed, to be compared with what it sees on a full copy."""

import sys

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

host, port, user, password, database = sys.argv[1:6]


def show(what, cursor):
    columns = [(c.name, c.type_display if c.type_code < 16384 else "own") for c in cursor.description or []]
    print(what, cursor.statusmessage, columns)
    if cursor.description:
        for row in cursor.fetchall():
            print("  ", row)


def fails(connection, sql, parameters=None):
    try:
        with connection.transaction():
            connection.execute(sql, parameters)
        print("no error from", sql)
    except psycopg.Error as e:
        d = e.diag
        print(type(e).__name__, d.sqlstate, d.message_primary, d.message_detail, d.table_name, d.constraint_name)


with psycopg.connect(host=host, port=port, user=user, password=password, dbname=database) as c:
    print(c.info.server_version // 10000, c.info.encoding, c.info.dbname == database, c.info.user)
    show("plain", c.execute("SELECT id, name, balance, settings, tags, born, created_at FROM users WHERE id < 4 ORDER BY id"))
    show("parameters", c.execute("SELECT id, status, total FROM orders WHERE user_id = %s AND status = %s ORDER BY id", (8, "paid")))
    for name in ("one", "two", "three", "four", "five", "six", "seven"):
        c.execute("UPDATE users SET name = %s WHERE id = %s", (name, 5))
    show("prepared by itself", c.execute("SELECT name, version FROM users WHERE id = %s", (5,)))
    show("prepared", c.execute("SELECT count(*) FROM orders WHERE user_id = %s", (3,), prepare=True))
    show("binary", c.execute("SELECT id, reference, total, created_at FROM orders WHERE id = %s", (7,), binary=True))
    show("json", c.execute("INSERT INTO users (email, name, settings) VALUES ('py@example.org', 'Py', %s) RETURNING settings, id", (Jsonb({"a": [1]}),)))
    c.commit()
    fails(c, "INSERT INTO users (id, email, name) VALUES (5, 'x', 'x')")
    fails(c, "INSERT INTO orders (user_id) VALUES (%s)", (987654,))
    fails(c, "DELETE FROM products WHERE id = 14")
    fails(c, "SELECT nothing FROM users")
    with c.cursor() as cursor:
        cursor.executemany("INSERT INTO counters VALUES (%s, %s)", [(f"many{i}", i) for i in range(50)])
        print("many", cursor.rowcount)
    with c.cursor() as cursor:
        with cursor.copy("COPY counters FROM STDIN") as copy:
            for i in range(1000):
                copy.write_row((f"copied{i}", i))
        with cursor.copy("COPY (SELECT name, value FROM counters ORDER BY name COLLATE \"C\" LIMIT 5) TO STDOUT") as copy:
            for row in copy.rows():
                print("  ", row)
        with cursor.copy("COPY counters TO STDOUT (FORMAT binary)") as copy:
            print("binary copy", sum(1 for _ in copy.rows()))
    c.commit()
    with c.cursor(name="big") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT id FROM orders ORDER BY id")
        print("server-side cursor", sum(row[0] for row in cursor))
    with c.pipeline():
        cursors = [c.execute("SELECT count(*) FROM users WHERE id %% %s = 0", (n,)) for n in range(1, 6)]
        cursors.append(c.execute("UPDATE counters SET value = -1 WHERE name = 'c1' RETURNING name"))
        cursors.append(c.execute("SELECT value FROM counters WHERE name = 'c1'"))
    print("pipeline", [cursor.fetchall() for cursor in cursors])
    try:
        with c.transaction():
            c.execute("DELETE FROM counters")
            with c.transaction():
                c.execute("INSERT INTO counters VALUES ('inner', 1)")
            raise psycopg.Rollback()
    except psycopg.Error as e:
        print(e)
    show("rolled back", c.execute("SELECT count(*) FROM counters"))
    with c.cursor(row_factory=dict_row) as cursor:
        print(cursor.execute("SELECT u.id, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 8 ORDER BY 2").fetchall())
    info = psycopg.types.enum.EnumInfo.fetch(c, "order_status")
    print(info.labels)
    ours = c.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'previewpg%'").fetchone()
    print("ours", ours)
    c.commit()
    c.autocommit = True
    c.execute("LISTEN news")
    with psycopg.connect(host=host, port=port, user=user, password=password, dbname=database, autocommit=True) as other:
        other.execute("SELECT pg_notify('news', 'hello')")
        other.execute("UPDATE users SET name = 'other' WHERE id = 6")
    print([n.payload for n in c.notifies(timeout=5, stop_after=1)])
    show("seen", c.execute("SELECT name FROM users WHERE id = 6"))
