-- WITH: names that hide tables, recursion, nesting.
INSERT INTO categories VALUES (9, 8, 'Scandinavian');
UPDATE categories SET parent = 3 WHERE id = 8;
WITH o AS (SELECT * FROM orders WHERE user_id = 5) SELECT count(*), sum(total) FROM o;
WITH users AS (SELECT 1 AS id, 'not the table' AS name) SELECT * FROM users;
WITH users AS (SELECT * FROM users WHERE id < 3) SELECT id, name FROM users;
WITH users AS (SELECT * FROM public.users WHERE id = 8) SELECT count(*) FROM users;
WITH a AS (SELECT id FROM users WHERE id < 5), b AS (SELECT id + 100 AS id FROM a) SELECT u.name FROM users u JOIN b USING (id);
WITH RECURSIVE tree AS (
    SELECT id, name, 1 AS depth, name AS path FROM categories WHERE parent IS NULL
    UNION ALL
    SELECT c.id, c.name, depth + 1, path || ' > ' || c.name FROM categories c JOIN tree ON tree.id = c.parent
) SELECT * FROM tree ORDER BY path;
WITH RECURSIVE up (id, parent) AS (
    SELECT id, parent FROM categories WHERE id = 9 UNION SELECT c.id, c.parent FROM categories c JOIN up ON up.parent = c.id
) SELECT * FROM up;
WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, name FROM n JOIN users ON id = i ORDER BY i;
WITH RECURSIVE t AS (SELECT id, parent FROM categories WHERE parent IS NULL UNION ALL SELECT c.id, c.parent FROM categories c JOIN t ON c.parent = t.id)
    SEARCH DEPTH FIRST BY id SET ord SELECT id FROM t ORDER BY ord;
WITH RECURSIVE t AS (SELECT id, parent FROM categories WHERE id = 1 UNION ALL SELECT c.id, c.parent FROM categories c JOIN t ON c.parent = t.id)
    CYCLE id SET is_cycle USING path SELECT id, is_cycle FROM t;
WITH m AS MATERIALIZED (SELECT * FROM users), n AS NOT MATERIALIZED (SELECT * FROM orders) SELECT count(*) FROM m JOIN n ON n.user_id = m.id WHERE m.id < 9;
SELECT * FROM (WITH categories AS (SELECT 1 AS one) SELECT * FROM categories) x, categories c WHERE c.id = x.one;
WITH categories AS (SELECT 3 AS id) SELECT (SELECT count(*) FROM categories), (WITH categories AS (SELECT * FROM public.categories) SELECT count(*) FROM categories);
SELECT id, (WITH o AS (SELECT total FROM orders WHERE user_id = u.id) SELECT max(total) FROM o) FROM users u WHERE id IN (3, 4) ORDER BY id;
WITH x AS (VALUES (1), (2)) SELECT u.id FROM users u, x WHERE u.id = x.column1;
WITH counted AS (SELECT user_id, count(*) AS n FROM orders GROUP BY user_id) SELECT n, count(*) FROM counted GROUP BY n ORDER BY n;
WITH w AS (SELECT 1) TABLE categories ORDER BY id;
WITH RECURSIVE categories AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM categories WHERE id < 4) SELECT * FROM categories ORDER BY id;
