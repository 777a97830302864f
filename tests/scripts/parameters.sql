-- Parameters, row limits, types.
-- params: 5
SELECT id, name FROM users WHERE id = $1;
-- params: 'user7@example.org', 100
SELECT id FROM users WHERE email = $1 AND id < $2;
-- params: 'paid', 3
SELECT id, status FROM orders WHERE status = $1 AND user_id = $2 ORDER BY id;
-- params: '{1,2,3}'
SELECT name FROM users WHERE id = ANY ($1) ORDER BY id;
-- params: NULL
SELECT count(*) FROM users WHERE manager_id = $1;
-- params: 'New name', 5
UPDATE users SET name = $1 WHERE id = $2 RETURNING name, version;
-- params: 'p@example.org', 'P', '{"a": [1, 2]}', '{x,"y z"}'
INSERT INTO users (email, name, settings, tags) VALUES ($1, $2, $3, $4) RETURNING id, settings, tags;
-- params: 6
DELETE FROM counters WHERE value = $1 RETURNING *;
-- params: 'user8@example.org', 9
UPDATE users SET email = $1 WHERE id = $2;
-- params: 'x'
SELECT id FROM users WHERE id = $1;
-- params: '2025-06-01 01:00:00+00', '2025-06-01 01:05:00+00'
SELECT id, created_at FROM orders WHERE created_at BETWEEN $1 AND $2 ORDER BY id;
-- params: 10, 3
SELECT id FROM users ORDER BY id LIMIT $1 OFFSET $2;
-- params: 5, 6
WITH u AS (SELECT * FROM users WHERE id IN ($1, $2)) SELECT u.id, count(o.id) FROM u LEFT JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY u.id;
-- params: 2, 5
UPDATE products p SET stock = stock + $1 FROM order_items i WHERE i.product_id = p.id AND i.order_id = $2 RETURNING p.id, p.stock;
-- protocol: extended
-- limit: 2
SELECT id, name FROM users WHERE id < 8 ORDER BY id;
-- protocol: extended
-- limit: 3
-- params: 8
SELECT id, total FROM orders WHERE user_id = $1 ORDER BY id;
-- protocol: extended
-- limit: 1
UPDATE counters SET value = 0 WHERE name IN ('c8', 'c9') RETURNING name;
-- protocol: extended
SELECT $1;
-- protocol: extended
SELECT id FROM users WHERE id = $2;
-- together: 4
INSERT INTO counters VALUES ('pipe', 1);
UPDATE counters SET value = 2 WHERE name = 'pipe';
SELECT * FROM counters WHERE name = 'pipe';
DELETE FROM counters WHERE name = 'pipe' RETURNING value;
-- together: 3
SELECT 1;
SELECT nothing FROM users;
SELECT 2;
-- together: 2
SELECT count(*) FROM users;
SELECT count(*) FROM orders;
SELECT NULL::order_status, 'paid'::order_status, ARRAY['new', 'paid']::order_status[], 5::price, ROW('a', 'b')::address;
SELECT id, status, ARRAY[status] FROM orders WHERE id = 5;
SELECT home, ARRAY[home] FROM users WHERE id = 6;
SELECT 1::int2, 2::int8, 1.5::float4, 2.5::float8, 3.25::numeric, 'x'::char(3), 'y'::varchar(5), true, 'a'::bytea, '1 day'::interval, '10.0.0.1'::inet, '[1,5)'::int4range;
SELECT enum_range(NULL::order_status);
SET TimeZone = 'Asia/Tokyo';
SELECT created_at FROM users WHERE id = 5;
SET DateStyle = 'German, DMY';
SELECT created_at, born FROM users WHERE id = 5;
SET bytea_output = 'escape';
SELECT 'ä'::bytea, name::bytea FROM users WHERE id = 6;
SET extra_float_digits = 0;
SELECT (balance / 3)::float8 FROM users WHERE id = 7;
SET IntervalStyle = 'iso_8601';
SELECT created_at - '2025-01-01'::timestamptz FROM users WHERE id = 30;
SHOW TimeZone;
RESET ALL;
SELECT current_setting('server_version_num')::int / 10000;
SELECT current_database() = current_catalog, current_user, session_user, current_schema;
SELECT has_table_privilege('users', 'INSERT'), pg_table_is_visible('users'::regclass);
SELECT pg_typeof(status), pg_typeof(total), pg_typeof(home) FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id = 1;
LISTEN shop;
NOTIFY shop, 'hello';
SELECT tableoid::regclass, count(*) FROM users GROUP BY 1;
SELECT count(ctid) FROM users;
