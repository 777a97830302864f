-- COPY TO, cursors, PREPARE, CREATE TABLE AS.
UPDATE counters SET value = 100 WHERE name = 'c2';
INSERT INTO counters VALUES ('new', 1);
COPY counters TO STDOUT;
COPY (SELECT * FROM counters ORDER BY name) TO STDOUT;
COPY counters (value, name) TO STDOUT WITH (FORMAT csv, HEADER);
COPY (SELECT id, name, home, tags FROM users WHERE id < 5 ORDER BY id) TO STDOUT (FORMAT csv, FORCE_QUOTE *);
COPY orders TO STDOUT;
COPY (TABLE categories) TO STDOUT;
COPY public.categories TO STDOUT WITH DELIMITER '|' NULL 'none';
COPY active_users TO STDOUT;
COPY counters TO STDOUT USING DELIMITERS '|' WITH NULL 'none';
COPY counters TO STDOUT DELIMITERS '|' CSV;
COPY counters (value, name) TO STDOUT DELIMITERS '|' (NULL 'none');
COPY (DELETE FROM counters WHERE name = 'c3' RETURNING *) TO STDOUT;
-- The first row comes with the header.
BEGIN;
DELETE FROM counters WHERE name <> 'c2';
COPY BINARY counters TO STDOUT;
COPY BINARY counters (value) TO STDOUT WITH (FREEZE false);
COPY counters TO STDOUT BINARY;
COPY BINARY counters TO STDOUT DELIMITERS '|';
ROLLBACK;
COPY nothing TO STDOUT;
COPY counters (nothing) TO STDOUT;
BEGIN;
DECLARE c CURSOR FOR SELECT id, name FROM users ORDER BY id;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH 3 FROM c;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH NEXT FROM c;
MOVE 10 IN c;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH FORWARD 2 FROM c;
CLOSE c;
FETCH c;
ROLLBACK;
BEGIN;
DECLARE s SCROLL CURSOR FOR SELECT name, value FROM counters ORDER BY name;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH LAST FROM s;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH PRIOR FROM s;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH ABSOLUTE 2 FROM s;
UPDATE counters SET value = 55 WHERE name = 'c1';
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH FIRST FROM s;
COMMIT;
DECLARE outside CURSOR FOR SELECT 1;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM orders WHERE user_id = 8 ORDER BY id;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH ALL FROM held;
CLOSE held;
BEGIN;
DECLARE t CURSOR FOR TABLE counters;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
FETCH ALL FROM t;
COMMIT;
PREPARE by_id (bigint) AS SELECT id, name FROM users WHERE id = $1;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE by_id (5);
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE by_id (6);
UPDATE users SET name = 'Prepared' WHERE id = 6;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE by_id (6);
UPDATE users SET name = 'Second' WHERE id = 5;
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE by_id (5);
-- ignore: origin: a cursor's or prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE by_id ('x');
EXECUTE nobody (1);
DEALLOCATE by_id;
EXECUTE by_id (5);
PREPARE rename (text, bigint) AS UPDATE users SET name = $1 WHERE id = $2 RETURNING id, name, version;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE rename ('Prepared write', 7);
SELECT name FROM users WHERE id = 7;
DEALLOCATE ALL;
CREATE TABLE snapshot AS SELECT id, name, balance FROM users WHERE id < 50;
SELECT count(*), max(name) FROM snapshot;
CREATE TABLE snapshot AS SELECT 1;
CREATE TABLE IF NOT EXISTS snapshot AS SELECT 1;
SELECT id, total INTO taken FROM orders WHERE user_id = 8;
SELECT * FROM taken ORDER BY id;
CREATE TEMP TABLE few AS TABLE categories;
SELECT count(*) FROM few;
CREATE TABLE empty AS SELECT * FROM orders WITH NO DATA;
SELECT * FROM empty;
PREPARE made AS SELECT count(*) FROM snapshot;
CREATE TABLE from_prepared AS EXECUTE made;
SELECT * FROM from_prepared;
