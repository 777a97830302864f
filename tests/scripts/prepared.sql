-- SQL's PREPARE, and what becomes of it when the schema changes: EXECUTE analyzes its text anew. What is prepared outlives a ROLLBACK.
PREPARE one (text) AS SELECT value FROM counters WHERE name = $1;
PREPARE every AS SELECT * FROM counters WHERE name = 'c2';
PREPARE guessed AS SELECT name FROM counters WHERE value = $1 AND name < 'c13' ORDER BY name;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c1');
ALTER TABLE counters ADD COLUMN more int DEFAULT 3;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c1');
-- protocol: simple
EXECUTE every;
-- protocol: simple
EXECUTE every;
DEALLOCATE every;
PREPARE every AS SELECT * FROM counters WHERE name = 'c2';
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE every;
BEGIN;
ALTER TABLE counters RENAME COLUMN value TO worth;
SELECT worth FROM counters WHERE name = 'c1';
ROLLBACK;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c1');
BEGIN;
ALTER TABLE counters ADD COLUMN another int;
SAVEPOINT s;
-- protocol: simple
EXECUTE every;
ROLLBACK TO s;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
ROLLBACK;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE every;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
BEGIN;
ALTER TABLE counters ALTER more TYPE bigint;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
-- protocol: simple
EXECUTE every;
ROLLBACK;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE every;
-- A parameter's type that was guessed stays what it was.
ALTER TABLE counters ALTER value TYPE numeric;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE guessed (1.5);
ALTER TABLE counters ALTER value TYPE bigint;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
UPDATE counters SET value = 17 WHERE name = 'c3';
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
-- A function reads the table: it's copied up as a whole.
CREATE FUNCTION all_of_them() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM counters); END $$;
SELECT all_of_them();
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c4');
-- Another search path alone is no reason: the path of PREPARE holds, as long as the schema is the same.
ALTER TABLE counters RENAME TO former;
-- protocol: simple
EXECUTE one ('c3');
CREATE TABLE counters (name text PRIMARY KEY, value bigint);
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
INSERT INTO counters VALUES ('c3', 1);
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
-- together: 2
ALTER TABLE counters ADD COLUMN w int;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
PREPARE one AS SELECT 1;
-- ignore: origin: a prepared statement's columns don't tell the table that they come from (docs/limits.md)
EXECUTE one ('c3');
DEALLOCATE one;
EXECUTE one ('c3');
ALTER TABLE counters DROP COLUMN w;
PREPARE one AS SELECT 1;
EXECUTE one;
DEALLOCATE ALL;
EXECUTE one;
