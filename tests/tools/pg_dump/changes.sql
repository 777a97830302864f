-- A branch's changes to tests/schema/shop.sql: rows, columns, tables and everything else, in one psql script.
-- Its rows would be numbered in the order in which the heap has users.
ALTER TABLE users DISABLE TRIGGER users_audit;
UPDATE users SET name = name || ' changed', balance = balance + 1 WHERE id % 7 = 0;
DELETE FROM orders WHERE id > 700 AND id % 50 = 3;
INSERT INTO users (email, name, login, tags, home) SELECT 'new' || i, 'New ' || i, 'n' || i, ARRAY['a "quoted"', NULL, E'tab\t'], ROW('s', NULL)::address
FROM generate_series(1, 40) i;
UPDATE order_items SET quantity = quantity + 1 WHERE order_id < 100;
UPDATE events SET kind = 'changed' WHERE at < '2024-02-01';
UPDATE "Customer Notes" SET "The Text" = E'back\\slash\nline' WHERE "Id" < 5;
DELETE FROM billing.users WHERE id > 15;
TRUNCATE counters;
INSERT INTO counters VALUES ('only', 1);

ALTER TABLE users ADD COLUMN phone text, ADD COLUMN score int NOT NULL DEFAULT 5, DROP COLUMN born;
ALTER TABLE users ALTER COLUMN settings SET DEFAULT '{"new": true}';
UPDATE users SET phone = '+47 ' || id WHERE id < 200;
ALTER TABLE products RENAME COLUMN name TO label;
ALTER TABLE products ALTER COLUMN stock TYPE bigint;
ALTER TABLE orders ADD COLUMN code uuid UNIQUE;
UPDATE orders SET note = '' WHERE note IS NULL AND id < 4000;
ALTER TABLE orders ADD CONSTRAINT orders_note CHECK (note IS NOT NULL) NOT VALID;
ALTER TABLE bookings RENAME TO stays;
ALTER TABLE shipments ADD COLUMN sent date DEFAULT '2026-01-01';
ALTER TABLE billing.invoices ADD COLUMN net numeric GENERATED ALWAYS AS (amount / 1.25) STORED;
ALTER TABLE log_lines ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
ALTER TABLE log_lines ADD PRIMARY KEY (id);
ALTER TABLE jobs SET SCHEMA billing;
DROP TABLE product_categories;
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events VALUES (9000, '2026-05-05', 'new', '{"a": [1, 2]}');

CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN code AS text CHECK (VALUE ~ '^[A-Z]+$');
CREATE TABLE later (id serial PRIMARY KEY, user_id bigint REFERENCES users, mood mood DEFAULT 'good', code code, during tstzrange, data bytea);
INSERT INTO later (user_id, code, during, data) SELECT id, 'ABC', '[2026-01-01,2026-02-01)', decode('00ff', 'hex') FROM users WHERE id % 100 = 0 ORDER BY id;
CREATE UNLOGGED TABLE scratch AS SELECT id, total FROM orders WHERE total > 480;
CREATE INDEX later_during ON later USING gist (during);
CREATE INDEX users_phone ON users (phone) INCLUDE (name) WHERE phone IS NOT NULL;
CREATE STATISTICS order_statistics (dependencies) ON user_id, status FROM orders;
CREATE SEQUENCE extra INCREMENT 7 MINVALUE 3 CYCLE OWNED BY later.id;
SELECT nextval('extra'), nextval('extra');
CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n * 2;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.code := upper(NEW.code); RETURN NEW; END';
CREATE TRIGGER later_stamp BEFORE INSERT OR UPDATE OF code ON later FOR EACH ROW WHEN (NEW.code IS NOT NULL) EXECUTE FUNCTION stamp();
CREATE AGGREGATE product (numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = 1);
CREATE VIEW phones AS SELECT id, phone, score FROM users WHERE phone IS NOT NULL;
CREATE OR REPLACE VIEW active_users AS SELECT id, email, name, balance, score FROM users WHERE active;
COMMENT ON COLUMN users.phone IS 'with its country''s number';
COMMENT ON TABLE later IS 'Later';
GRANT SELECT ON later TO PUBLIC;
ALTER TABLE later REPLICA IDENTITY FULL;
ALTER TABLE later ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE later SET (fillfactor = 70);
