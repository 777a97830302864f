-- What a session sets, and what only it has: the rows and their text are those of a full copy.
CREATE FUNCTION parents_now() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM parents $$;
BEGIN;
SET transaction_isolation = 'repeatable read';
SELECT count(*) FROM parents;
SELECT parents_now();
ROLLBACK;
CREATE FUNCTION children_now() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM children $$;
SELECT set_config('default_transaction_isolation', 'repeatable read', false);
BEGIN;
SELECT count(*) FROM children;
SELECT children_now();
ROLLBACK;
-- session: b
CREATE FUNCTION pg_temp.mine() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM products';
UPDATE products SET stock = 0 WHERE id = 1;
SELECT pg_temp.mine();
CREATE DOMAIN pg_temp.small AS int CHECK (VALUE < (pg_temp.mine() / 2));
SELECT 99::pg_temp.small;
-- session: c
BEGIN;
SET LOCAL bytea_output = 'escape';
SELECT convert_to(status::text || chr(233), 'UTF8')::text FROM orders WHERE id = 7;
ROLLBACK;
SELECT convert_to(status::text || chr(233), 'UTF8')::text FROM orders WHERE id = 7;
SET bytea_output = 'escape';
SET extra_float_digits = -5;
SELECT convert_to(status::text || chr(233), 'UTF8')::text, (total::float8 / 3)::text FROM orders WHERE id = 7;
RESET bytea_output;
RESET extra_float_digits;
SELECT convert_to(status::text || chr(233), 'UTF8')::text, (total::float8 / 3)::text FROM orders WHERE id = 7;
SET extra_float_digits = -5;
DISCARD ALL;
SELECT (total::float8 / 3)::text FROM orders WHERE id = 7;
-- session: d
SET statement_timeout = '1s';
SELECT count(*) FROM users a, users b, users c, users d WHERE a.id + b.id + c.id + d.id > 0;
RESET statement_timeout;
SELECT count(*) FROM users;
