-- A new table and a new column exist in the preview only.
CREATE TABLE coupons (code text PRIMARY KEY, off int NOT NULL, user_id bigint REFERENCES users);
INSERT INTO coupons VALUES ('TEN', 10, 1), ('HALF', 50, 2);
ALTER TABLE products ADD COLUMN rating int;
UPDATE products SET rating = 5 WHERE id = 1;
SELECT c.code, u.name FROM coupons c JOIN users u ON u.id = c.user_id ORDER BY c.code;
SELECT id, rating FROM products ORDER BY id LIMIT 3;
INSERT INTO coupons VALUES ('NOBODY', 1, 123456);
