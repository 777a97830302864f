-- Names that mean something else than they seem to.
SELECT users.value FROM counters users ORDER BY 1 LIMIT 3;
SELECT count(*) FROM public.counters c JOIN counters d USING (name);
WITH counters AS (SELECT 1 AS name) SELECT * FROM counters;
WITH counters AS (SELECT name FROM counters) SELECT count(*) FROM counters;
WITH RECURSIVE counters AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM counters WHERE n < 4) SELECT count(*) FROM counters;
WITH a AS (WITH counters AS (SELECT 7 AS z) SELECT * FROM counters) SELECT a.*, (SELECT count(*) FROM counters) FROM a;
WITH a AS (SELECT * FROM counters), counters AS (SELECT 1 AS x) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM counters);
SELECT count(*) FROM U&"count\0065rs";
CREATE SCHEMA other;
CREATE TABLE other.counters (name text PRIMARY KEY);
INSERT INTO other.counters VALUES ('o1');
SET search_path = other, public;
SELECT count(*) FROM counters;
SELECT count(*) FROM public.counters;
RESET search_path;
CREATE TEMP TABLE counters (name text, value int);
INSERT INTO counters VALUES ('temp', 1);
SELECT * FROM counters;
SELECT count(*) FROM public.counters;
UPDATE counters SET value = 2;
DROP TABLE counters;
SELECT count(*) FROM counters;
BEGIN;
ALTER TABLE parents RENAME TO pp;
ALTER TABLE tasks RENAME TO parents;
ALTER TABLE pp RENAME TO tasks;
SELECT * FROM tasks WHERE grp = 1040 ORDER BY id;
UPDATE tasks SET n = 3 WHERE grp = 1040;
DELETE FROM parents WHERE grp = 1040;
SELECT count(*) FROM parents;
ROLLBACK;
BEGIN;
ALTER TABLE parents RENAME COLUMN n TO tmp;
ALTER TABLE parents RENAME COLUMN grp TO n;
ALTER TABLE parents RENAME COLUMN tmp TO grp;
UPDATE parents SET grp = 8 WHERE n = 1041;
SELECT * FROM parents WHERE n = 1041 OR grp = 8 ORDER BY id;
ROLLBACK;
SELECT sum(n) FROM parents WHERE grp = 1041;
CREATE FUNCTION go_there() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET search_path = other; END $$;
SELECT go_there();
SELECT count(*) FROM counters;
RESET search_path;
-- A prepared statement whose names mean something else by now.
PREPARE q AS SELECT value FROM counters WHERE name = $1;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE q('c12');
UPDATE counters SET value = 1200 WHERE name = 'c12';
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE q('c12');
CREATE TABLE unrelated (a int);
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE q('c12');
ALTER TABLE counters RENAME TO old_counters;
CREATE TABLE counters (name text PRIMARY KEY, value bigint);
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE q('c12');
DEALLOCATE q;
PREPARE q AS SELECT value FROM counters WHERE name = $1;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE q('c12');

PREPARE into_table AS SELECT * FROM categories WHERE id < 4;
CREATE TABLE from_prepared AS EXECUTE into_table;
SELECT count(*) FROM from_prepared;
ALTER TABLE categories ADD COLUMN later int DEFAULT 4;
-- protocol: simple
CREATE TABLE from_prepared_later AS EXECUTE into_table;
-- protocol: simple
EXPLAIN CREATE TABLE from_prepared_later AS EXECUTE into_table;
