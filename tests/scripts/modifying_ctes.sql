-- Data-modifying WITH.
WITH gone AS (DELETE FROM orders WHERE user_id = 13 RETURNING *) SELECT count(*), sum(total) FROM gone;
WITH moved AS (DELETE FROM counters WHERE value > 15 RETURNING *) INSERT INTO counters SELECT 'moved ' || name, value FROM moved RETURNING *;
WITH new AS (INSERT INTO users (email, name) VALUES ('cte@example.org', 'Cte') RETURNING id) INSERT INTO orders (user_id, total) SELECT id, 9 FROM new RETURNING user_id, total;
WITH up AS (UPDATE users SET name = 'Seen before' WHERE id = 10 RETURNING id, name) SELECT u.name AS before, up.name AS after FROM users u JOIN up USING (id);
WITH a AS (UPDATE counters SET value = 1000 WHERE name = 'c1' RETURNING value), b AS (UPDATE counters SET value = 2000 WHERE name = 'c2' RETURNING value) SELECT a.value, b.value FROM a, b;
WITH ins AS (INSERT INTO counters VALUES ('c1', 5) ON CONFLICT (name) DO UPDATE SET value = counters.value + 5 RETURNING *) SELECT * FROM ins;
WITH unused AS (DELETE FROM categories WHERE id = 8) SELECT 1;
SELECT count(*) FROM categories;
WITH d AS (DELETE FROM order_items WHERE order_id = 650 RETURNING order_id) UPDATE orders SET note = 'emptied' WHERE id IN (SELECT order_id FROM d) RETURNING id, note;
WITH d AS (DELETE FROM shipments WHERE order_id = 10 RETURNING order_id, line) DELETE FROM order_items i USING d WHERE i.order_id = d.order_id AND i.line = d.line RETURNING i.*;
WITH x AS (INSERT INTO users (id, email, name) VALUES (1, 'dup@example.org', 'Dup') RETURNING id) SELECT * FROM x;
WITH users AS (UPDATE users SET name = 'Shadow' WHERE id = 11 RETURNING id, name) SELECT * FROM users;
SELECT id, name FROM users WHERE id IN (10, 11) ORDER BY id;
WITH t AS (UPDATE parents SET n = n + 1 WHERE grp = 1000 RETURNING id, n) UPDATE children SET n = t.n FROM t WHERE t.id = children.parent_id RETURNING children.*;
WITH s AS (SELECT id FROM tasks WHERE grp = 1001 ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED) UPDATE tasks SET state = 'taken' FROM s WHERE s.id = tasks.id RETURNING tasks.*;
SELECT count(*) FROM tasks WHERE state = 'taken';
WITH RECURSIVE t AS (SELECT id FROM categories WHERE id = 2 UNION ALL SELECT c.id FROM categories c JOIN t ON c.parent = t.id) DELETE FROM product_categories WHERE category_id IN (SELECT id FROM t);
SELECT count(*) FROM product_categories;
