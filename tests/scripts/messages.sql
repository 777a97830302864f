-- What PostgreSQL tells besides errors, at every level that a client may ask for.
-- (No column of these is wide: a TOAST table has an OID in its name.)
SET client_min_messages = debug1;
CREATE TABLE told (id serial PRIMARY KEY, code int UNIQUE);
CREATE TABLE IF NOT EXISTS told (id int);
ALTER TABLE told ADD COLUMN more int DEFAULT 7;
INSERT INTO told (code) VALUES (1);
SELECT id, code, more FROM told;
DROP TABLE told;
SELECT count(*) FROM users;
RESET client_min_messages;
DROP TABLE IF EXISTS nowhere;
