-- Kinds of SQL that no other script has, over tables whose rows are partly production's.
UPDATE users SET name = 'Changed one' WHERE id IN (1, 2, 3);
DELETE FROM orders WHERE id = 10;
-- Text search, with a column and an index of its own.
ALTER TABLE users ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', name || ' ' || email)) STORED;
CREATE INDEX users_words ON users USING gin (words);
SELECT id FROM users WHERE words @@ to_tsquery('simple', 'changed & one') ORDER BY id;
SELECT count(*) FROM users WHERE words @@ websearch_to_tsquery('simple', 'user');
SELECT id, ts_rank(words, 'user7'::tsquery) > 0, ts_headline('simple', name, 'user & 7') FROM users WHERE words @@ 'user7'::tsquery OR id = 7;
-- JSON and XML.
SELECT id, jsonb_path_query_first(settings, '$.level ? (@ > 4)') FROM users WHERE settings @@ '$.level == 5' AND id < 30 ORDER BY id;
SELECT e.key, count(*) FROM users, jsonb_each(settings) e WHERE users.id < 50 GROUP BY e.key ORDER BY e.key;
UPDATE users SET settings = jsonb_set(settings, '{seen}', to_jsonb(id)) WHERE id IN (3, 4) RETURNING settings;
SELECT settings['level'], settings -> 'theme' FROM users WHERE id = 4;
UPDATE users SET settings['deep']['er'] = '1' WHERE id = 4 RETURNING settings;
SELECT jsonb_object_agg(id, name ORDER BY id) FROM users WHERE id < 5;
SELECT row_to_json(u) FROM (SELECT id, name FROM users WHERE id IN (3, 9) ORDER BY id) u;
SELECT json_agg(o) FROM (SELECT id, status, total FROM orders WHERE user_id = 8 ORDER BY id) o;
SELECT x.* FROM users, xmltable('/u' PASSING xmlelement(name u, xmlattributes(users.id AS id), users.name) COLUMNS id int PATH '@id', name text PATH '.') x WHERE users.id IN (2, 5) ORDER BY 1;
SELECT xmlagg(xmlelement(name n, name) ORDER BY id) FROM users WHERE id < 4;
-- Arrays, ranges, and the like.
SELECT t, count(*) FROM users CROSS JOIN unnest(tags) WITH ORDINALITY AS x(t, n) GROUP BY t ORDER BY t;
UPDATE users SET tags[1] = 'first', tags[3:4] = ARRAY['third', 'fourth'] WHERE id = 6 RETURNING tags;
SELECT range_agg(stay), range_intersect_agg(stay) FROM bookings WHERE id < 5;
SELECT count(*) FROM bookings WHERE stay @> date '2025-01-10' OR stay -|- daterange('2025-01-01', '2025-01-05');
SELECT (home).city, count(*) FROM users GROUP BY 1 ORDER BY 1;
UPDATE users SET home.city = 'Rome' WHERE id IN (8, 10) RETURNING id, home, (home).city;
SELECT percentile_cont(ARRAY[0.25, 0.5]) WITHIN GROUP (ORDER BY total::float8), mode() WITHIN GROUP (ORDER BY status) FROM orders;
SELECT status, count(*) FILTER (WHERE total > 20), bool_and(total >= 0), string_agg(DISTINCT (user_id % 3)::text, ',') FROM orders GROUP BY ROLLUP (status) ORDER BY 1;
SELECT id, lag(total, 1, 0) OVER w, sum(total) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES), nth_value(id, 2) OVER w FROM orders WHERE user_id = 8 WINDOW w AS (PARTITION BY user_id ORDER BY id) ORDER BY id;
SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b', 'c'])) AS r(n, t) LEFT JOIN users u ON u.id = r.n ORDER BY t;
WITH RECURSIVE boss AS (SELECT id, manager_id, 0 AS depth FROM users WHERE id = 1995 UNION ALL SELECT u.id, u.manager_id, b.depth + 1 FROM users u JOIN boss b ON u.id = b.manager_id)
    SEARCH DEPTH FIRST BY id SET way CYCLE id SET loops USING path SELECT id, depth, loops FROM boss ORDER BY depth;
SELECT id FROM orders ORDER BY total DESC, id FETCH FIRST 3 ROWS WITH TIES;
(SELECT id FROM orders WHERE id < 13 EXCEPT ALL SELECT id FROM orders WHERE id < 5) UNION (TABLE counters LIMIT 0) ORDER BY 1;
SELECT EXISTS (TABLE counters), ARRAY(SELECT id FROM orders WHERE id < 12 ORDER BY id), (SELECT max(id) FROM orders);
-- Temporary tables that stand in front of production's.
CREATE TEMP TABLE orders AS SELECT * FROM orders WHERE id BETWEEN 20 AND 25;
SELECT count(*), (SELECT count(*) > 4000 FROM public.orders) FROM orders;
UPDATE orders SET total = 1;
DELETE FROM public.orders WHERE id = 21;
DROP TABLE orders;
SELECT count(*) FROM orders WHERE id BETWEEN 20 AND 25;
CREATE TEMP TABLE held (n int) ON COMMIT DELETE ROWS;
BEGIN;
INSERT INTO held SELECT id FROM users WHERE id < 4;
SELECT count(*) FROM held JOIN users ON users.id = held.n;
COMMIT;
SELECT count(*) FROM held;
-- Functions of all shapes.
CREATE FUNCTION cheap_orders(most numeric) RETURNS TABLE (id int, total numeric) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$ SELECT o.id, o.total::numeric FROM orders o WHERE o.total <= most $$;
SELECT count(*), max(total) FROM cheap_orders(20);
CREATE FUNCTION open_orders(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN OPEN c FOR SELECT id FROM orders WHERE user_id = 8 ORDER BY id; RETURN c; END $$;
BEGIN;
SELECT open_orders('mine');
FETCH ALL FROM mine;
COMMIT;
CREATE FUNCTION spread(VARIADIC ids bigint[]) RETURNS SETOF users LANGUAGE sql AS $$ SELECT * FROM users WHERE id = ANY (ids) ORDER BY id $$;
SELECT id, name FROM spread(1, 5, 9);
CREATE FUNCTION inline_sum(a numeric, b numeric DEFAULT 1) RETURNS numeric RETURN a + b;
SELECT sum(inline_sum(total)), max(inline_sum(b => 2, a => total)) FROM orders;
CREATE FUNCTION newest() RETURNS bigint BEGIN ATOMIC SELECT max(id) FROM orders; END;
SELECT newest() > 4000;
DO $$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT id FROM orders WHERE id < 20 LOOP n := n + r.id; END LOOP; RAISE NOTICE 'sum %', n; END $$;
-- Row-level security of the preview's own.
ALTER TABLE counters ENABLE ROW LEVEL SECURITY;
CREATE POLICY some ON counters USING (value > 2) WITH CHECK (value > 1);
SELECT count(*) FROM counters;
ALTER TABLE counters FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM counters;
UPDATE counters SET value = 0 WHERE name = 'c7';
UPDATE counters SET value = value + 1 WHERE name IN ('c1', 'c7') RETURNING name, value;
DELETE FROM counters WHERE name = 'c1';
INSERT INTO counters VALUES ('mine', 0);
SELECT count(*), sum(value) FROM counters;
SET row_security = off;
SELECT count(*) FROM counters;
RESET row_security;
ALTER TABLE counters DISABLE ROW LEVEL SECURITY;
SELECT count(*), sum(value) FROM counters;
-- Rules.
CREATE RULE no_deletes AS ON DELETE TO tasks DO INSTEAD NOTHING;
DELETE FROM tasks WHERE id < 10;
SELECT count(*) FROM tasks WHERE id < 10;
DROP RULE no_deletes ON tasks;
-- Large objects of the preview's own, and messages.
SELECT lo_from_bytea(990001, 'abc');
SELECT convert_from(lo_get(990001), 'UTF8');
SELECT lo_unlink(990001);
LISTEN orders_changed;
-- ignore: notices: its sender's process
NOTIFY orders_changed, 'now';
UNLISTEN *;
-- Sequences by every name.
SELECT pg_get_serial_sequence('orders', 'id'), nextval(pg_get_serial_sequence('orders', 'id')) > 4000, lastval() = currval('orders_id_seq');
SELECT setval('orders_id_seq', 70000), nextval('public.orders_id_seq'::regclass);
INSERT INTO orders (user_id) VALUES (4) RETURNING id;
-- Comments, quotes and operators in places where they mislead.
SELECT /* FROM users */ count(*) -- FROM orders
FROM "users" AS "orders" WHERE "orders".name <> $a$ FROM orders $a$ AND U&"n\0061me" IS NOT NULL;
SELECT 'users'::regclass::text, to_regclass('public.orders')::text, E'\'FROM users' || U&'\0020x', 1 operator(pg_catalog.+) 2, -1 ^ 2, 2 !~~ 'x' IS NULL FROM users WHERE id = 1;
SELECT id FROM users WHERE (id, name) IN (VALUES (1, 'Changed one'), (7, 'User 7')) OR id BETWEEN SYMMETRIC 12 AND 11 ORDER BY id;
SELECT count(*) FROM users u WHERE u IS DISTINCT FROM NULL AND u.* IS NOT NULL;
SELECT (u).id, (u.home).street FROM (SELECT u FROM users u WHERE id = 8) s;
SELECT users FROM users WHERE id = 5;
