-- COMMIT and ROLLBACK of a transaction over several tables.
BEGIN;
UPDATE users SET balance = 0 WHERE id = 30;
DELETE FROM order_items WHERE order_id = 30;
CREATE TABLE scratch (id int);
ALTER TABLE products ADD COLUMN scratch int;
ROLLBACK;
SELECT balance FROM users WHERE id = 30;
SELECT * FROM scratch;
SELECT scratch FROM products;
BEGIN;
UPDATE users SET balance = 1 WHERE id = 30;
INSERT INTO orders (user_id, total) VALUES (30, 1);
ALTER TABLE products ADD COLUMN kept int DEFAULT 1;
COMMIT;
SELECT balance FROM users WHERE id = 30;
SELECT sum(kept) FROM products;
SELECT count(*) FROM orders WHERE user_id = 30;
