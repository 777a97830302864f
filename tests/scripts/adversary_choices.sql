-- Writes that choose their rows by a query whose choice may change once some rows are copied up. What is chosen
-- among equals is anybody's guess: only how many are, and what is left, is compared.
BEGIN;
UPDATE tasks SET state = 'a' WHERE id = (SELECT id FROM tasks WHERE state = 'ready' ORDER BY state LIMIT 1);
UPDATE tasks SET state = 'b' WHERE id = (SELECT id FROM tasks WHERE state = 'ready' ORDER BY state OFFSET 5 LIMIT 1);
UPDATE tasks SET state = 'c' WHERE id IN (SELECT id FROM tasks WHERE state = 'ready' OFFSET 5 LIMIT 3);
UPDATE tasks SET state = 'd' WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY state) AS n FROM tasks) q WHERE n BETWEEN 11 AND 15);
DELETE FROM tasks t USING (SELECT id FROM tasks ORDER BY state OFFSET 7 LIMIT 2) s WHERE t.id = s.id;
WITH s AS (SELECT id FROM tasks ORDER BY state DESC OFFSET 9 LIMIT 4) DELETE FROM tasks USING s WHERE s.id = tasks.id;
DELETE FROM orders WHERE id IN (SELECT DISTINCT ON (status) id FROM orders ORDER BY status);
SELECT count(*) FROM (SELECT 1 FROM tasks WHERE id IN (SELECT id FROM tasks ORDER BY state OFFSET 1 LIMIT 2) FOR UPDATE) x;
SELECT count(*) FROM tasks;
SELECT count(*) FROM orders;
ROLLBACK;
BEGIN;
UPDATE orders SET note = 'newest' WHERE id IN (SELECT id FROM orders ORDER BY created_at DESC LIMIT 3) RETURNING id;
DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE status = 'paid' ORDER BY id LIMIT 1);
MERGE INTO counters c USING (SELECT name FROM counters ORDER BY value LIMIT 4) s ON c.name = s.name WHEN MATCHED THEN UPDATE SET value = -1;
SELECT name, value FROM counters ORDER BY name;
SELECT count(*), min(id), max(id) FROM orders WHERE note = 'newest' OR status = 'paid';
ROLLBACK;
-- The nullable side of an outer join has no rows to lock.
SELECT t.id, p.id FROM tasks t LEFT JOIN parents p ON p.id = t.id WHERE t.grp = 1021 ORDER BY t.id FOR UPDATE OF t;
SELECT t.id, p.id FROM tasks t LEFT JOIN parents p ON p.id = t.id WHERE t.grp = 1021 ORDER BY t.id FOR UPDATE;
-- A generated column as the arbiter.
CREATE TABLE made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED UNIQUE);
INSERT INTO made (id, a) SELECT value, value FROM counters;
INSERT INTO made (id, a) VALUES (100, 3) ON CONFLICT (b) DO UPDATE SET a = 50 RETURNING *;
-- A partitioned table has no rows of its own.
SELECT count(*) FROM ONLY events;
-- A function that says volatile may give an existing key.
CREATE FUNCTION same(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN $1; END $$;
INSERT INTO counters VALUES (same('c1'), 100) ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING *;
