-- Cursors over merged rows: forward, backward, held, in binary; what PostgreSQL keeps of them.
UPDATE users SET name = 'Moved' WHERE id IN (3, 5);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, name FROM users ORDER BY id;
-- ignore: origin: the query was rewritten when it was declared
FETCH 4 FROM c;
-- ignore: origin: the same
FETCH BACKWARD 2 FROM c;
-- ignore: origin: the same
FETCH ABSOLUTE 5 FROM c;
MOVE LAST FROM c;
-- ignore: origin: the same
FETCH RELATIVE -1 FROM c;
SAVEPOINT before;
DECLARE once NO SCROLL CURSOR FOR SELECT id FROM users ORDER BY id;
-- ignore: origin: the same
FETCH ALL FROM once;
-- ignore: origin: the same
FETCH BACKWARD 1 FROM once;
ROLLBACK TO before;
DECLARE plain CURSOR FOR SELECT id FROM users WHERE id = 3;
-- ignore: origin: the same
FETCH 1 FROM plain;
MOVE BACKWARD 1 FROM plain;
ROLLBACK TO before;
-- Without SCROLL: backward where PostgreSQL's plan would go backward.
DECLARE one_table CURSOR FOR SELECT id, name FROM users WHERE id < 20 AND name LIKE '%1%' ORDER BY name LIMIT 5;
-- ignore: origin: the same
FETCH ALL FROM one_table;
-- ignore: origin: the same
FETCH BACKWARD 3 FROM one_table;
-- ignore: origin: the same
FETCH FIRST FROM one_table;
DECLARE sorted CURSOR FOR SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id < 9 ORDER BY u.name || o.id::text;
-- ignore: origin: the same
FETCH 3 FROM sorted;
-- ignore: origin: the same
FETCH PRIOR FROM sorted;
DECLARE counted CURSOR FOR SELECT count(*) FROM users;
-- ignore: origin: the same
FETCH 1 FROM counted;
-- ignore: origin: the same
FETCH BACKWARD 1 FROM counted;
ROLLBACK TO before;
DECLARE "No" CURSOR FOR SELECT id FROM users WHERE id = 5 FOR UPDATE;
-- ignore: origin: the same
FETCH 1 FROM "No";
MOVE BACKWARD 1 FROM "No";
ROLLBACK TO before;
SELECT name, is_holdable, is_binary, is_scrollable FROM pg_cursors WHERE name = 'c';
-- known: the text that ran
SELECT statement FROM pg_cursors WHERE name = 'c';
DECLARE held CURSOR WITH HOLD FOR SELECT id, name FROM users WHERE id < 7 ORDER BY id;
COMMIT;
UPDATE users SET name = 'After' WHERE id = 5;
-- ignore: origin: the same
FETCH ALL FROM held;
CLOSE held;
UPDATE counters SET value = value + 1 WHERE name = 'c2';
SELECT count(*) FROM counters c WHERE c IN (ROW('c1', 1));
SELECT count(*) FROM counters c WHERE c IN (ROW('c1', 1::bigint)::counters);
SELECT c FROM counters c WHERE c = ROW('c2', 3)::counters;
-- WHERE CURRENT OF: rows that a cursor has locked.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM users WHERE id BETWEEN 10 AND 20 ORDER BY id FOR UPDATE;
MOVE 2 IN c;
UPDATE users SET name = 'Under c', version = version + 1 WHERE CURRENT OF c RETURNING id, name, version;
MOVE 1 IN c;
DELETE FROM users WHERE CURRENT OF c RETURNING id;
-- Gone already.
UPDATE users SET name = 'Never' WHERE CURRENT OF c;
-- ignore: origin: the same
FETCH 1 FROM c;
UPDATE users u SET id = id + 100000 WHERE CURRENT OF c RETURNING u.id;
UPDATE orders SET note = 'x' WHERE CURRENT OF c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT o.id, u.name FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id IN (7, 8) ORDER BY o.id FOR UPDATE OF o;
-- ignore: origin: the same
FETCH 1 FROM c;
UPDATE orders SET note = 'of c' WHERE CURRENT OF c RETURNING id, note;
SAVEPOINT s;
UPDATE users SET name = 'of c' WHERE CURRENT OF c;
ROLLBACK TO s;
UPDATE orders SET note = 'of nothing' WHERE CURRENT OF missing;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM events WHERE id IN (5, 6) FOR NO KEY UPDATE;
-- ignore: origin: the same
FETCH 1 FROM c;
UPDATE events SET kind = 'under c' WHERE CURRENT OF c;
CLOSE c;
SELECT count(*) FROM events WHERE kind = 'under c';
COMMIT;
-- Rows that it hasn't locked: the current one may be production's.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM products WHERE id = 9;
-- ignore: origin: the same
FETCH 1 FROM c;
-- expect: refused CURRENT OF: the cursor's row may be production's
UPDATE products SET stock = 1 WHERE CURRENT OF c;
ROLLBACK;
-- What is locked is in another query than the cursor's own, or no table.
BEGIN;
DECLARE c CURSOR FOR WITH x AS (SELECT id FROM orders WHERE id < 3 FOR UPDATE) SELECT * FROM products;
MOVE 20 IN c;
-- expect: refused CURRENT OF: the same
UPDATE products SET stock = 1 WHERE CURRENT OF c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR WITH x AS (SELECT * FROM products) SELECT * FROM x FOR UPDATE;
MOVE 20 IN c;
-- expect: refused CURRENT OF: the same
UPDATE products SET stock = 1 WHERE CURRENT OF c;
ROLLBACK;
CREATE TABLE mine AS SELECT g AS id, 'm' || g AS v FROM generate_series(1, 5) AS g;
BEGIN;
DECLARE c CURSOR FOR SELECT m.* FROM mine m JOIN products p USING (id) ORDER BY m.id FOR UPDATE OF m;
MOVE 2 IN c;
UPDATE mine SET v = 'under c' WHERE CURRENT OF c RETURNING id, v;
UPDATE products SET stock = 1 WHERE CURRENT OF c;
ROLLBACK;
-- What refers to the row under the cursor is production's.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM orders WHERE id BETWEEN 31 AND 33 ORDER BY id FOR UPDATE;
MOVE 2 IN c;
SAVEPOINT s;
DELETE FROM orders WHERE CURRENT OF c;
ROLLBACK TO s;
UPDATE orders SET id = 100032 WHERE CURRENT OF c;
SELECT order_id, count(*) FROM order_items WHERE order_id IN (32, 100032) GROUP BY order_id;
ROLLBACK;
-- A table that's copied up as a whole while the cursor goes over merged rows of it; the cursor is used by name, and in a body.
CREATE FUNCTION count_tasks() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM tasks); END $$;
CREATE FUNCTION change_under(it refcursor) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN UPDATE tasks SET state = 'under' WHERE CURRENT OF it; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tasks ORDER BY 1;
MOVE 3 IN c;
SELECT count_tasks();
SAVEPOINT s;
-- expect: refused CURRENT OF: the cursor's row may be production's
UPDATE tasks SET state = 'mine' WHERE CURRENT OF c;
ROLLBACK TO s;
-- expect: refused CURRENT OF: the same
SELECT change_under('c');
ROLLBACK;
SELECT count_tasks();
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tasks ORDER BY 1;
MOVE 3 IN c;
SELECT change_under('c');
UPDATE tasks SET state = 'mine' WHERE CURRENT OF c;
SELECT count(*) FROM tasks WHERE state IN ('under', 'mine');
ROLLBACK;
-- The statement comes to a function as a text.
CREATE FUNCTION run(statement text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM categories;
MOVE 3 IN c;
-- expect: refused CURRENT OF: the same
SELECT run('UPDATE categories SET name = ''under c'' WHERE CURRENT OF c');
ROLLBACK;
