-- UPDATE of a row that exists in production only: the preview shows the change.
SELECT id, name, version FROM users WHERE id = 17;
UPDATE users SET name = 'Changed in the preview' WHERE id = 17;
SELECT id, name, version FROM users WHERE id = 17;
UPDATE users SET balance = balance + 10 WHERE id BETWEEN 100 AND 110 RETURNING id, balance;
DELETE FROM orders WHERE id = 1700;
SELECT count(*), sum(total) FROM orders;
