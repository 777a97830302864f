-- Constraints and indexes are checked against production's rows.
ALTER TABLE users ALTER born SET NOT NULL;
ALTER TABLE users ALTER login SET NOT NULL;
INSERT INTO users (email, name) VALUES ('nologin@example.org', 'N');
ALTER TABLE users ALTER login DROP NOT NULL;
UPDATE users SET born = '2000-01-01' WHERE born IS NULL;
ALTER TABLE users ALTER born SET NOT NULL;
UPDATE users SET born = NULL WHERE id = 3;
-- ignore: detail: which of several it names depends on the order of the heap
ALTER TABLE orders ADD CONSTRAINT one_each UNIQUE (user_id);
ALTER TABLE orders ADD CONSTRAINT reference_key UNIQUE (reference);
INSERT INTO orders (user_id, reference) SELECT 1, reference FROM orders WHERE id = 5;
INSERT INTO orders (user_id, reference) VALUES (1, NULL), (1, NULL) RETURNING reference;
CREATE UNIQUE INDEX products_name ON products (lower(name));
INSERT INTO products (sku, name, price) VALUES ('U-1', 'PRODUCT 7', 1);
-- ignore: detail: which of several it names depends on the order of the heap
CREATE UNIQUE INDEX users_born ON users (born);
CREATE INDEX orders_total ON orders (total);
CREATE INDEX orders_total ON orders (total);
CREATE INDEX IF NOT EXISTS orders_total ON orders (total);
SELECT id FROM orders WHERE total > 499 ORDER BY id LIMIT 3;
DROP INDEX orders_total;
ALTER TABLE products ADD CONSTRAINT cheap CHECK (price < 100);
ALTER TABLE products ADD CONSTRAINT cheap CHECK (price < 1000);
UPDATE products SET price = 1000 WHERE id = 4;
ALTER TABLE products ADD CONSTRAINT even CHECK (stock % 2 = 0) NOT VALID;
ALTER TABLE products VALIDATE CONSTRAINT even;
UPDATE products SET stock = 3 WHERE id = 4;
INSERT INTO products (sku, name, price, stock) VALUES ('U-2', 'Even', 1, 3);
ALTER TABLE products DROP CONSTRAINT even;
CREATE TABLE regions (id int PRIMARY KEY);
INSERT INTO regions VALUES (1), (2);
-- ignore: detail: which of several it names depends on the order of the heap
ALTER TABLE bookings ADD CONSTRAINT booking_region FOREIGN KEY (room) REFERENCES regions;
INSERT INTO regions SELECT generate_series(0, 100) ON CONFLICT DO NOTHING;
ALTER TABLE bookings ADD CONSTRAINT booking_region FOREIGN KEY (room) REFERENCES regions;
DELETE FROM regions WHERE id = 5;
DELETE FROM regions WHERE id = 55;
INSERT INTO bookings VALUES (7000, 555, '[2025-01-01,2025-01-02)');
-- ignore: detail: which of several it names depends on the order of the heap
ALTER TABLE tasks ADD CONSTRAINT task_parent FOREIGN KEY (grp) REFERENCES parents;
ALTER TABLE jobs ADD COLUMN owner bigint REFERENCES users;
UPDATE jobs SET owner = 5 WHERE id = 1;
UPDATE jobs SET owner = 55555 WHERE id = 2;
DELETE FROM shipments;
DELETE FROM billing.invoices;
DELETE FROM users WHERE id = 5;
ALTER TABLE children DROP CONSTRAINT children_parent_id_fkey;
INSERT INTO children VALUES (1, 1);
ALTER TABLE children ADD CONSTRAINT children_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents;
DELETE FROM children WHERE id = 1;
ALTER TABLE children ADD CONSTRAINT children_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES parents ON DELETE CASCADE;
DELETE FROM parents WHERE id = 10002;
SELECT count(*) FROM children WHERE parent_id = 10002;
ALTER TABLE users DROP CONSTRAINT users_email_key;
INSERT INTO users (email, name, born) VALUES ('user9@example.org', 'Twin', '2000-01-01') RETURNING email;
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email);
SELECT count(*) FROM users WHERE email = 'user9@example.org';
ALTER TABLE counters DROP CONSTRAINT counters_pkey;
INSERT INTO counters VALUES ('c1', 9);
SELECT * FROM counters WHERE name = 'c1';
ALTER TABLE counters ADD PRIMARY KEY (name);
DELETE FROM counters WHERE name = 'c1' AND value = 9;
ALTER TABLE counters ADD PRIMARY KEY (name);
INSERT INTO counters VALUES ('c2', 9);
-- ignore: detail: which of several it names depends on the order of the heap
ALTER TABLE bookings ADD CONSTRAINT id_overlap EXCLUDE USING gist (stay WITH &&);
ALTER TABLE bookings RENAME CONSTRAINT bookings_overlap TO no_overlap;
INSERT INTO bookings VALUES (7001, 4, '[2025-01-02,2025-01-04)');
ALTER INDEX orders_pkey RENAME TO orders_key;
INSERT INTO orders (id, user_id) VALUES (5, 1);
ALTER DOMAIN price ADD CHECK (VALUE < 400);
ALTER TABLE orders ALTER total SET DEFAULT 42;
INSERT INTO orders (user_id) VALUES (8) RETURNING total;
BEGIN;
CREATE UNIQUE INDEX tasks_state ON tasks (state);
ROLLBACK;
BEGIN;
ALTER TABLE tasks ADD CONSTRAINT small CHECK (id < 5);
ROLLBACK;
SELECT count(*) FROM tasks;
CREATE INDEX CONCURRENTLY tasks_state ON tasks (state);
REINDEX TABLE tasks;
ANALYZE tasks;
VACUUM tasks;
CLUSTER tasks USING tasks_pkey;
-- A foreign key to a table of the preview's own goes, and what followed it with it: alone, with its column, with its table.
CREATE TABLE colours (id int PRIMARY KEY, name text);
INSERT INTO colours VALUES (1, 'red'), (2, 'blue');
ALTER TABLE tasks ADD COLUMN colour int DEFAULT 1 CONSTRAINT task_colour REFERENCES colours DEFERRABLE INITIALLY DEFERRED;
UPDATE tasks SET colour = 2 WHERE grp = 1003;
BEGIN;
ALTER TABLE tasks DROP CONSTRAINT task_colour;
ALTER TABLE tasks DROP COLUMN colour CASCADE;
DELETE FROM colours WHERE id = 2;
UPDATE colours SET id = 5;
ROLLBACK;
BEGIN;
DELETE FROM colours WHERE id = 2;
COMMIT;
ALTER TABLE tasks DROP COLUMN colour;
DELETE FROM colours WHERE id = 2;
ALTER TABLE tasks ADD COLUMN colour int DEFAULT 1 REFERENCES colours ON DELETE CASCADE;
DROP TABLE tasks;
DELETE FROM colours;
-- A check over a whole row, of which some are production's.
CREATE FUNCTION is_cheap(p products) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p.price < 1 $$;
CREATE FUNCTION is_sane(p products) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p.stock >= 0 AND p.taxed >= 0 $$;
UPDATE products SET stock = stock + 1 WHERE id IN (1, 2);
ALTER TABLE products ADD CONSTRAINT cheap CHECK (is_cheap(products));
ALTER TABLE products ADD CONSTRAINT sane CHECK (is_sane(products.*));
UPDATE products SET stock = 4 WHERE id = 3;
-- NOT VALID: production's rows that break it stay, and can be locked, deleted, and changed into rows that don't.
UPDATE orders SET note = 'short' WHERE id = 20;
ALTER TABLE orders ADD CONSTRAINT long_note CHECK (note IS NOT NULL AND length(note) > 6) NOT VALID;
COMMENT ON CONSTRAINT long_note ON orders IS 'It''s "long"';
SELECT id, note FROM orders WHERE id = 11 FOR UPDATE;
UPDATE orders SET total = 5 WHERE id = 11;
UPDATE orders SET note = 'long enough', total = 6 WHERE id = 11 RETURNING id, note, total;
DELETE FROM orders WHERE id = 12 RETURNING id;
BEGIN;
SELECT id FROM orders WHERE id BETWEEN 13 AND 16 ORDER BY id FOR SHARE;
UPDATE orders SET note = 'long enough' WHERE id BETWEEN 14 AND 18;
SAVEPOINT s;
UPDATE orders SET status = 'paid' WHERE id IN (18, 19);
ROLLBACK TO s;
INSERT INTO orders (user_id, note) VALUES (3, 'brief');
ROLLBACK;
BEGIN;
UPDATE orders SET note = 'long enough' WHERE id = 17;
COMMIT;
INSERT INTO orders (user_id, note) VALUES (3, 'brief');
SELECT conname, convalidated, conislocal, coninhcount, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'long_note';
-- ignore: detail: which of several it names depends on the order of the heap
ALTER TABLE orders VALIDATE CONSTRAINT long_note;
UPDATE orders SET note = 'mended: ' || coalesce(note, '') WHERE length(note) > 6 IS NOT TRUE;
ALTER TABLE orders VALIDATE CONSTRAINT long_note;
UPDATE orders SET note = 'brief' WHERE id = 30;
SELECT count(*) FROM orders WHERE note LIKE 'mended%';
-- The same of a table that is inherited from, and partitioned.
ALTER TABLE places ADD CONSTRAINT high CHECK (elevation > 1000000) NOT VALID;
DELETE FROM towns WHERE elevation < 50;
ALTER TABLE events ADD CONSTRAINT known CHECK (kind = 'known') NOT VALID;
ALTER TABLE events_2024 ADD CONSTRAINT known_id CHECK (id < 0) NOT VALID;
UPDATE events SET kind = 'known' WHERE id IN (3, 4);
DELETE FROM events WHERE id = 5;
SELECT conrelid::regclass, conname, convalidated, conislocal, coninhcount FROM pg_constraint WHERE conname IN ('high', 'known', 'known_id') ORDER BY conname, conrelid::regclass::text;
-- A foreign key that isn't valid yet.
ALTER TABLE jobs ADD COLUMN product int DEFAULT -1;
ALTER TABLE jobs ADD CONSTRAINT jobs_product FOREIGN KEY (product) REFERENCES products NOT VALID;
UPDATE jobs SET worker = 'w' WHERE id = 5 RETURNING id, product;
UPDATE jobs SET product = -2 WHERE id = 5;
UPDATE jobs SET product = 3 WHERE id = 5;
SELECT id, product FROM jobs WHERE id = 6 FOR UPDATE;
ALTER TABLE jobs VALIDATE CONSTRAINT jobs_product;
UPDATE jobs SET product = 4 WHERE product < 0;
ALTER TABLE jobs VALIDATE CONSTRAINT jobs_product;
DELETE FROM products WHERE id = 4;
-- A check that isn't valid yet stays what it is when rows that break it are copied up: comments and validity of each partition's, and what its names mean.
ALTER TABLE events ADD CONSTRAINT odd CHECK (id <> 9) NOT VALID;
ALTER TABLE events_2025 VALIDATE CONSTRAINT odd;
COMMENT ON CONSTRAINT odd ON events_2024 IS 'of 2024';
DELETE FROM events WHERE id IN (9, 11);
SELECT conrelid::regclass, convalidated, conislocal, coninhcount, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'odd' ORDER BY conrelid::regclass::text;
CREATE SCHEMA shadows;
CREATE FUNCTION shadows.as_owner(a anyelement, b anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_user <> session_user THEN RAISE 'as %', current_user; END IF; RETURN false; END $$;
CREATE OPERATOR shadows.> (LEFTARG = int, RIGHTARG = int, FUNCTION = shadows.as_owner);
CREATE OPERATOR shadows.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = shadows.as_owner);
CREATE OPERATOR shadows.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shadows.as_owner);
CREATE OPERATOR shadows.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = shadows.as_owner);
CREATE FUNCTION shadows.upper(text) RETURNS text LANGUAGE sql AS $$ SELECT 'GOLD' $$;
ALTER TABLE counters ADD CONSTRAINT gold CHECK (upper(name) = 'GOLD') NOT VALID;
SET search_path = shadows, pg_catalog, public;
UPDATE public.counters SET name = 'gold' WHERE public.counters.name IN ('c3');
UPDATE public.products SET stock = 7 WHERE id = 12;
RESET search_path;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'gold';
UPDATE counters SET name = 'silver' WHERE name = 'c4';
-- Neither a cursor over the table nor a cascade in it is in the way.
BEGIN;
DECLARE c CURSOR FOR SELECT name FROM counters ORDER BY name;
MOVE 2 IN c;
DELETE FROM counters WHERE name = 'c5' RETURNING name;
ROLLBACK;
-- Who only reads the table holds no row of it.
-- session: reader
BEGIN;
-- session: reader
SELECT count(*) FROM counters WHERE value > 0;
-- session: main
SELECT name FROM counters WHERE name = 'c8' FOR UPDATE SKIP LOCKED;
SELECT name FROM counters WHERE name = 'c9' FOR UPDATE NOWAIT;
-- session: reader
COMMIT;
-- session: main
CREATE FUNCTION count_counters() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM counters); END $$;
BEGIN;
DECLARE c CURSOR FOR SELECT name FROM counters ORDER BY name;
MOVE 2 IN c;
SELECT count_counters();
ROLLBACK;
ALTER TABLE users ADD CONSTRAINT unmanaged CHECK (manager_id IS NULL) NOT VALID;
SELECT count(*) FROM users WHERE manager_id = 7;
DELETE FROM users WHERE id = 7;
SELECT count(*) FROM users WHERE manager_id = 7;
