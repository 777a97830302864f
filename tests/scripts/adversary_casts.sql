-- tables: large
-- Casts whose functions read a table of production.
CREATE TYPE mood AS ENUM ('c1', 'c2', 'other');
CREATE TABLE moods (id int PRIMARY KEY, m mood, n int);
INSERT INTO moods VALUES (1, 'c1', 0), (2, 'other', 0);
CREATE FUNCTION mood_value(m mood) RETURNS int LANGUAGE sql STABLE AS $$ SELECT value::int FROM counters WHERE name = m::text $$;
CREATE CAST (mood AS int) WITH FUNCTION mood_value(mood);
-- expect: refused mood_value: a cast to a built-in type
SELECT id, m::int FROM moods ORDER BY id;
-- expect: refused mood_value: the same, written out
SELECT id, CAST(m AS integer) FROM moods ORDER BY id;
CREATE FUNCTION by_cast() RETURNS int LANGUAGE sql AS $$ SELECT m::int FROM moods WHERE id = 1 $$;
-- expect: refused by_cast: in a function's body
SELECT by_cast();
SELECT count(*) FROM users;
DROP CAST (mood AS int);
CREATE CAST (mood AS int) WITH FUNCTION mood_value(mood) AS ASSIGNMENT;
-- expect: refused mood_value: a cast by assignment
UPDATE moods SET n = m;
DROP CAST (mood AS int);
CREATE CAST (mood AS int) WITH FUNCTION mood_value(mood) AS IMPLICIT;
-- expect: refused mood_value: a cast that nothing tells of
SELECT id, m + 1 FROM moods ORDER BY id;
-- expect: refused mood_value: in a condition
SELECT id FROM moods WHERE m IN (1, 2) ORDER BY id;
BEGIN;
SAVEPOINT s;
ROLLBACK TO s;
COMMIT;
DROP CAST (mood AS int);
SELECT count(*) FROM users;
CREATE FUNCTION to_mood(i int) RETURNS mood LANGUAGE sql STABLE AS $$ SELECT name::mood FROM counters WHERE value = i AND name IN ('c1', 'c2') $$;
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int);
-- expect: refused to_mood: a cast to a type of the user's
SELECT 1::mood;
SELECT id, m FROM moods ORDER BY id;
DROP CAST (int AS mood);
