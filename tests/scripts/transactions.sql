-- Transactions, savepoints, errors inside.
BEGIN;
UPDATE users SET name = 'Inside' WHERE id = 3;
SELECT name FROM users WHERE id = 3;
-- session: b
SELECT name FROM users WHERE id = 3;
-- session: main
COMMIT;
-- session: b
SELECT name FROM users WHERE id = 3;
-- session: main
BEGIN;
DELETE FROM users WHERE id = 13;
INSERT INTO counters VALUES ('tx', 1);
ROLLBACK;
SELECT count(*) FROM users WHERE id = 13;
SELECT count(*) FROM counters WHERE name = 'tx';
BEGIN;
SAVEPOINT a;
UPDATE counters SET value = 1 WHERE name = 'c1';
SAVEPOINT b;
UPDATE counters SET value = 2 WHERE name = 'c1';
SELECT value FROM counters WHERE name = 'c1';
ROLLBACK TO b;
SELECT value FROM counters WHERE name = 'c1';
ROLLBACK TO a;
SELECT value FROM counters WHERE name = 'c1';
UPDATE counters SET value = 3 WHERE name = 'c2';
RELEASE a;
COMMIT;
SELECT * FROM counters WHERE name IN ('c1', 'c2') ORDER BY name;
BEGIN;
SAVEPOINT s;
INSERT INTO users (id, email, name) VALUES (5, 'x', 'x');
SELECT 1;
ROLLBACK TO s;
INSERT INTO users (id, email, name) VALUES (9200, 'ok@example.org', 'Ok');
COMMIT;
SELECT count(*) FROM users WHERE id = 9200;
BEGIN;
INSERT INTO counters VALUES ('lost', 1);
SELECT 1 / 0;
SELECT * FROM counters;
UPDATE counters SET value = 5;
COMMIT;
SELECT count(*) FROM counters WHERE name = 'lost';
BEGIN;
BEGIN;
COMMIT;
COMMIT;
ROLLBACK;
SAVEPOINT nowhere;
BEGIN;
ROLLBACK TO nothing;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM orders;
-- session: b
DELETE FROM orders WHERE id = 4000;
UPDATE orders SET total = 1 WHERE id = 4001;
-- session: main
SELECT count(*) FROM orders;
SELECT total FROM orders WHERE id IN (4000, 4001) ORDER BY id;
COMMIT;
SELECT count(*) FROM orders;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(value) FROM counters;
INSERT INTO counters VALUES ('ser', 1);
COMMIT;
BEGIN READ ONLY;
SELECT count(*) FROM users;
UPDATE users SET name = 'ro' WHERE id = 1;
ROLLBACK;
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
DELETE FROM counters;
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE;
START TRANSACTION;
DELETE FROM counters WHERE name = 'c3';
COMMIT AND CHAIN;
DELETE FROM counters WHERE name = 'c4';
ROLLBACK;
SELECT name FROM counters WHERE name IN ('c3', 'c4');
BEGIN;
UPDATE users SET balance = 0 WHERE id = 60;
UPDATE orders SET note = 'tx' WHERE user_id = 60;
INSERT INTO log_lines VALUES (NULL, 'tx', 'tx');
DELETE FROM billing.users WHERE id = 3;
ROLLBACK;
SELECT balance FROM users WHERE id = 60;
SELECT count(*) FROM orders WHERE note = 'tx';
SELECT count(*) FROM log_lines WHERE level = 'tx';
SELECT count(*) FROM billing.users;
BEGIN;
INSERT INTO users (id, email, name) VALUES (9300, 'temp@example.org', 'Temp');
ROLLBACK;
INSERT INTO users (id, email, name) VALUES (9300, 'temp@example.org', 'Temp') RETURNING id;
BEGIN;
SAVEPOINT s;
DELETE FROM users WHERE id = 70;
ROLLBACK TO s;
UPDATE users SET name = 'Kept' WHERE id = 70;
COMMIT;
SELECT name FROM users WHERE id = 70;
-- together: 3
UPDATE counters SET value = 91 WHERE name = 'c6';
UPDATE counters SET value = 92 WHERE name = 'c7';
SELECT 1 / 0;
SELECT value FROM counters WHERE name IN ('c6', 'c7') ORDER BY name;
-- together: 3
UPDATE counters SET value = 93 WHERE name = 'c6';
SELECT value FROM counters WHERE name = 'c6';
INSERT INTO counters VALUES ('together', 1) RETURNING *;
SELECT value FROM counters WHERE name IN ('c6', 'together') ORDER BY name;
-- Not in a string of several, whatever stands before it.
-- protocol: simple
-- together: 3
SELECT 1;
COMMIT;
VACUUM users;
-- protocol: simple
-- together: 2
CREATE UNIQUE INDEX CONCURRENTLY users_born ON users (born, id);
UPDATE users SET born = born WHERE id = 3;
-- protocol: simple
-- together: 2
UPDATE users SET name = 'Not done' WHERE id = 3;
DROP INDEX CONCURRENTLY users_created_at;
SELECT name FROM users WHERE id = 3;
-- protocol: simple
-- together: 3
SELECT 1;
COMMIT;
CREATE INDEX users_told ON users (name) WHERE name <> 'told concurrently with';
-- protocol: simple
-- together: 3
SELECT 1;
COMMIT;
DROP INDEX/* now */CONCURRENTLY users_told;
-- protocol: simple
-- together: 3
SELECT 1;
COMMIT;
REINDEX (VERBOSE) TABLE CONCURRENTLY users;
VACUUM users;
