-- Joins between changed and unchanged tables.
UPDATE users SET name = 'Big spender' WHERE id = 8;
INSERT INTO orders (user_id, total) VALUES (8, 5000);
SELECT u.name, count(*), sum(o.total) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id ORDER BY 3 DESC, u.id LIMIT 3;
SELECT u.name, p.name, i.quantity FROM users u JOIN orders o ON o.user_id = u.id JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE u.id = 8 ORDER BY o.id, i.line;
SELECT name, spent FROM rich_users WHERE id = 8;
