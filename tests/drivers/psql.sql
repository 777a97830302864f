-- What a person does in psql. LOCATION lines name PostgreSQL's source and are cut out by the test.
\pset pager off
\dn
\d
\d users
\d+ orders
\d order_items
\d "Customer Notes"
\dt billing.*
\dv
\dm
\ds
\di users*
\df order_count
\dT order_status
\dD
\dx
\des
\det
\dy
\du app
\dp counters
\sf order_count
\sv active_users
SELECT id, name FROM users WHERE id < 4 ORDER BY id;
\x on
SELECT * FROM users WHERE id = 5;
\x off
UPDATE users SET name = 'psql' WHERE id = 5;
SELECT name FROM users WHERE id = 5 \gdesc
SELECT name AS n FROM users WHERE id = 5 \gset
\echo :n
SELECT format('SELECT count(*) FROM %I', t) FROM (VALUES ('users'), ('orders')) x (t) \gexec
SELECT status, user_id % 2 AS odd, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview status odd count
SELECT nothing FROM users;
SELECT id FROM users WHERE naem = 'x';
INSERT INTO users (id, email, name) VALUES (5, 'x', 'x');
INSERT INTO orders (user_id) VALUES (123456);
\copy counters (name, value) FROM STDIN
from psql	5
\.
\copy (SELECT * FROM counters ORDER BY name LIMIT 3) TO STDOUT
BEGIN;
DELETE FROM counters WHERE name = 'c1';
\set ON_ERROR_ROLLBACK on
SELECT 1 / 0;
SELECT count(*) FROM counters;
ROLLBACK;
\set FETCH_COUNT 100
SELECT id FROM products WHERE id < 5 ORDER BY id;
\set FETCH_COUNT 0
SELECT count(*) FROM users \; SELECT count(*) FROM orders;
ALTER TABLE counters ADD COLUMN extra int DEFAULT 3;
\d counters
CREATE TABLE from_psql (id serial PRIMARY KEY, user_id bigint REFERENCES users);
\d from_psql
\d users
