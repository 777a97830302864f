-- up users: id = 1
DELETE FROM users WHERE id = 1;
SELECT count(*), sum(id) FROM {orders};
SELECT count(*), sum(order_id) FROM {items};
-- up users: id BETWEEN 510 AND 520
UPDATE users SET id = id + 100000 WHERE id BETWEEN 510 AND 520;
SELECT count(*), sum(user_id) FROM {orders};
-- up emp: id = 2
DELETE FROM emp WHERE id = 2;
SELECT id, boss FROM {emp} ORDER BY id;
-- up emp: id = 30
DELETE FROM emp WHERE id = 30;
SELECT * FROM {strict_refs} ORDER BY id;
-- up pairs: a = 3
UPDATE pairs SET b = 'new' WHERE a = 3;
-- up pairs: a = 4
DELETE FROM pairs WHERE a = 4;
SELECT * FROM {full_refs} WHERE id < 6 ORDER BY id;
-- up users: id = 950
DELETE FROM users WHERE id = 950;
-- up users: id = 950
UPDATE users SET id = 951000 WHERE id = 950;
-- up strict_refs: id = 1
DELETE FROM strict_refs WHERE id = 1;
-- up users: id = 950
DELETE FROM users WHERE id = 950;
-- up users: true
DELETE FROM users WHERE id BETWEEN 600 AND 800;
SELECT count(*), sum(id) FROM {users};
SELECT count(*), sum(id) FROM {orders};
SELECT count(*), sum(order_id), sum(twice) FROM {items};
-- up users: id = 40
UPDATE users SET id = 41 WHERE id = 40;
-- up users: id = 950
UPDATE users SET id = 951 WHERE id = 950;
-- up users: id = 950
UPDATE users SET id = 970000 WHERE id = 950;
