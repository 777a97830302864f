-- Functions whose bodies PostgreSQL reads while it plans the statement that calls them.
CREATE FUNCTION dear(least int) RETURNS SETOF products LANGUAGE sql STABLE AS 'SELECT * FROM products p WHERE p.price > least';
SELECT d.id FROM dear(100) d WHERE d.id IN (SELECT product_id FROM order_items) ORDER BY d.id LIMIT 5;
CREATE FUNCTION order_number(o orders) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'no. ' || o.id $$;
SELECT o.order_number, order_number(o) FROM orders o WHERE id < 4 ORDER BY id;
UPDATE orders SET status = status WHERE id = 2;
SELECT o.order_number, order_number(o) FROM orders o WHERE id < 4 ORDER BY id;
CREATE FUNCTION named(least int) RETURNS SETOF categories LANGUAGE sql STABLE AS 'SELECT * FROM categories c WHERE c.id > least';
ALTER TABLE products RENAME TO goods;
ALTER TABLE categories RENAME TO kinds;
-- What is wrong is the body.
SELECT n::text FROM named(2) n WHERE n::text IN (SELECT u::text FROM users u);
SELECT count(*) FROM named(2) n WHERE n.id IN (SELECT id FROM users);
SELECT d.id FROM dear(100) d WHERE d.id IN (SELECT product_id FROM order_items) ORDER BY d.id LIMIT 5;
SELECT count(*) FROM orders o, dear(o.id::int) d;
ALTER TABLE goods RENAME TO products;
SELECT d.id FROM dear(100) d WHERE d.id IN (SELECT product_id FROM order_items) ORDER BY d.id LIMIT 5;
