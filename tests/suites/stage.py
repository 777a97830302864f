"""Puts a suite's tables into production: a server between the suite and its database that knows CREATE TABLE.

`stage.py fill|run COMMAND..` runs COMMAND with PGHOST and PGPORT of its own.

* fill, at production: every CREATE TABLE of a definition not seen before is run at once, outside of the suite's transaction, in a schema of its
  own, and the table gets rows. A temporary table becomes an ordinary one; no table is dropped. What was made is written into $SUITE_STATE/tables.
* run, at a copy or at a preview: a CREATE TABLE of such a definition becomes a DELETE of all of the table's rows. So what the suite does then, it
  does to a table of production; a row that comes back from there makes a test fail.

The schemas are found by search_path, so that tables of one name and several definitions can be there.
"""

import asyncio
import hashlib
import json
import os
import re
import struct
import subprocess
import sys

STATE = os.path.join(os.environ["SUITE_STATE"], "tables")
UPSTREAM = os.environ["PGHOST"], int(os.environ["PGPORT"])
CREATE = re.compile(r"\bcreate\s+(?:temp\s+|temporary\s+)?table\s+(?:if\s+not\s+exists\s+)?(\w+|\"[^\"]+\")\s*\(", re.I)
ON_COMMIT = re.compile(r"\s*\bon\s+commit\s+(?:drop|delete\s+rows|preserve\s+rows)\b", re.I)
DROP = re.compile(r"\bdrop\s+table\s+(?:if\s+exists\s+)?[\w\"]+(?:\s+cascade)?", re.I)
SSL, GSS, CANCEL = 80877103, 80877104, 80877102

# Rows for a table: of each column without a default a value that its type can hold, or none.
FILL = """
DO $$
DECLARE
    names text;
    given text;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
           string_agg(CASE
               WHEN t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'n'
               WHEN t.typcategory = 'N' THEN 'n %% 10'
               WHEN t.typcategory = 'S' THEN $q$'r' || n$q$
               WHEN t.typcategory = 'B' THEN 'n %% 2 = 0'
               WHEN t.oid = 'bytea'::regtype THEN $q$'\\x00ff'$q$
               WHEN t.typcategory = 'A' THEN $q$'{}'$q$
               WHEN t.oid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype) THEN $q$'2020-02-02'$q$
               ELSE 'NULL' END || '::' || format_type(t.oid, a.atttypmod), ', ' ORDER BY a.attnum)
      INTO names, given
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = '%(table)s'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.atthasdef AND a.attidentity = '';
    FOR i IN 1..20 LOOP
        EXECUTE CASE WHEN names IS NULL THEN 'INSERT INTO %(table)s DEFAULT VALUES'
            ELSE format('INSERT INTO %(table)s (%%s) SELECT %%s FROM (SELECT %%s AS n) i', names, given, 1000 + i) END;
    END LOOP;
EXCEPTION WHEN others THEN
    RAISE NOTICE '%(table)s stays empty: %%', SQLERRM;
END $$;
"""


def tables():
    try:
        with open(STATE, encoding="utf-8") as state:
            return json.load(state)
    except FileNotFoundError:
        return {}


class Stage:
    def __init__(self, fills):
        self.fills = fills
        # By definition: the schema, or None where production couldn't make the table.
        self.known = tables()
        self.referencing = self.known.pop("referencing", {})
        # The schemas of the tables made last, for sessions to come.
        self.path = []

    def definition(self, sql, found):
        """Where a CREATE TABLE ends, and the columns' text."""
        depth, at, quoted = 0, found.end() - 1, False
        while at < len(sql):
            c = sql[at]
            if c == "'":
                quoted = not quoted
            elif not quoted and c == "(":
                depth += 1
            elif not quoted and c == ")":
                depth -= 1
                if depth == 0:
                    return at + 1, sql[found.end() - 1 : at + 1]
            at += 1
        return None, None

    def schema(self, name, columns):
        text = " ".join(f"{name} {columns}".split())
        if self.fills and text not in self.known:
            schema = "s" + hashlib.sha256(text.encode()).hexdigest()[:10]
            table = f"{schema}.{name}"
            path = ", ".join([schema, *self.path, "public"])
            script = f"SET search_path = {path}; BEGIN; CREATE SCHEMA {schema}; CREATE TABLE {table} {columns}; COMMIT; {FILL % {'table': table}}"
            script += f"RESET search_path; SELECT confrelid::regclass FROM pg_constraint WHERE contype = 'f' AND conrelid = '{table}'::regclass"
            made = subprocess.run(
                ["psql", "dbname=%s options=-clock_timeout=2s" % os.environ["PGDATABASE"], "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", UPSTREAM[0], "-p", str(UPSTREAM[1])],
                input=script,
                text=True,
                capture_output=True,
            )
            sys.stderr.write(made.stderr)
            self.known[text] = schema if made.returncode == 0 else None
            for referenced in made.stdout.split():
                self.referencing.setdefault(referenced, []).append(table)
        return self.known.get(text)

    def stage(self, sql):
        out, at = "", 0
        for found in CREATE.finditer(sql):
            if found.start() < at:
                continue
            end, columns = self.definition(sql, found)
            schema = end and self.schema(found[1], columns)
            if not schema:
                continue
            if commit := ON_COMMIT.match(sql, end):
                end = commit.end()
            self.path = [schema, *(other for other in self.path if other != schema)][:20]
            table = f"{schema}.{found[1]}"
            out += sql[at : found.start()] + f"SET search_path = {', '.join(self.path)}, public; "
            create = f"CREATE TABLE IF NOT EXISTS {table} {columns}"
            out += create
            if not self.fills:
                for emptied in [*self.referencing.get(table, []), table]:
                    out += f"; DELETE FROM {emptied}"
                # For its tag.
                out += f"; {create}"
            at = end
        out += sql[at:]
        return DROP.sub("SELECT 1", out) if self.fills else out

    def message(self, kind, body):
        if kind != b"Q":
            return body
        try:
            text = body.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return body
        return self.stage(text).encode() + b"\0"

    def startup(self, body):
        settings = b"lock_timeout\x005s\0"
        if self.path:
            settings += b"search_path\0" + ", ".join([*self.path, "public"]).encode() + b"\0"
        return body.rstrip(b"\0") + b"\0" + settings + b"\0"

    async def client(self, reader, writer):
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*UPSTREAM)
            while True:
                length, code = struct.unpack("!II", await reader.readexactly(8))
                body = await reader.readexactly(length - 8)
                if code not in (SSL, GSS):
                    break
                writer.write(b"N")
            if code != CANCEL:
                body = self.startup(body)
            upstream_writer.write(struct.pack("!II", len(body) + 8, code) + body)
            await asyncio.gather(self.requests(reader, upstream_writer), self.answers(upstream_reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def requests(self, reader, writer):
        try:
            while True:
                kind = await reader.readexactly(1)
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                body = self.message(kind, await reader.readexactly(length - 4))
                writer.write(kind + struct.pack("!I", len(body) + 4) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answers(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def main(fills, command):
    stage = Stage(fills)
    server = await asyncio.start_server(stage.client, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port)})
    status = await process.wait()
    if fills:
        with open(STATE, "w", encoding="utf-8") as state:
            json.dump({**stage.known, "referencing": stage.referencing}, state, indent=1)
    os._exit(status)


asyncio.run(main(sys.argv[1] == "fill", sys.argv[2:]))
