-- Inheritance trees and partitioned tables without a key: read from both databases, copied up as one when rows are changed.
SELECT name, elevation FROM places ORDER BY name;
SELECT count(*), sum(elevation) FROM ONLY places;
SELECT * FROM capitals ORDER BY name;
SELECT p.name, c.state FROM places p LEFT JOIN capitals c USING (name) WHERE p.elevation > 20 ORDER BY 1;
TABLE towns;
SELECT p FROM places p WHERE name = 'Bern';
SELECT name FROM high_places ORDER BY name;
COPY places TO STDOUT;
COPY (SELECT * FROM places ORDER BY name) TO STDOUT;
SELECT level, count(*), min(at), max(line) FROM journal GROUP BY level ORDER BY level;
SELECT count(*) FROM journal_2025 WHERE level = 'warn';
SELECT count(*) FROM ONLY journal;
SELECT j.line, p.name FROM journal j JOIN places p ON p.elevation = j.number WHERE j.number < 12 ORDER BY 1, 2;
-- New rows need no copying.
INSERT INTO places VALUES ('Nowhere', 1) RETURNING *;
INSERT INTO capitals (name, elevation, state) VALUES ('New', 2, 'NN') RETURNING *;
INSERT INTO capitals (name, elevation, state) VALUES ('Bern', 2, 'BE');
INSERT INTO capitals (name, elevation, state) VALUES ('Bern', 2, 'ZZ');
INSERT INTO places VALUES ('Basel', 260);
INSERT INTO places VALUES ('Bern', 540);
INSERT INTO journal VALUES ('2025-07-01', 'info', 'new', 7), ('2024-07-01', 'warn', 'older', 8) RETURNING *;
INSERT INTO journal VALUES ('2031-07-01', 'info', 'no partition', 7);
INSERT INTO journal_2025 VALUES ('2025-08-01', 'info', 'straight', 9);
INSERT INTO journal_2025 VALUES ('2024-08-01', 'info', 'wrong', 9);
COPY journal FROM STDIN;
2024-09-01 00:00:00	info	copied	10
2025-09-01 00:00:00	warn	copied	11
\.
SELECT name, elevation FROM places ORDER BY name;
SELECT count(*) FROM journal;
SELECT count(*) FROM journal_2024;
-- The same from two sessions, one of which looks at an older moment.
-- session: b
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*), sum(elevation) FROM places;
SELECT count(*), sum(number) FROM journal;
-- session: main
BEGIN;
UPDATE places SET elevation = elevation + 1 WHERE name <> 'Basel' RETURNING name, elevation;
SELECT count(*), sum(elevation) FROM places;
SELECT count(*), sum(elevation) FROM ONLY places;
-- session: b
SELECT count(*), sum(elevation) FROM places;
SELECT count(*), sum(elevation) FROM capitals;
-- session: main
COMMIT;
-- session: b
SELECT count(*), sum(elevation) FROM places;
SELECT count(*), sum(elevation) FROM ONLY places;
COMMIT;
SELECT count(*), sum(elevation) FROM places;
SELECT count(*), sum(elevation) FROM ONLY places;
-- session: main
UPDATE journal SET number = number + 1 WHERE level = 'warn';
DELETE FROM journal_2025 WHERE number > 40;
SELECT level, count(*), sum(number) FROM journal GROUP BY level ORDER BY level;
SELECT count(*) FROM journal_2025;
UPDATE journal SET at = '2025-12-30' WHERE number = 3 RETURNING line;
SELECT count(*) FROM journal_2025;
SELECT tableoid::regclass, count(*) FROM places GROUP BY 1 ORDER BY 1;
DELETE FROM ONLY places WHERE name = 'Nowhere';
SELECT name FROM places WHERE elevation > 500 ORDER BY name FOR UPDATE;
DELETE FROM places WHERE name LIKE 'B%' RETURNING name;
SELECT count(*) FROM capitals;
SELECT count(*) FROM visits;
INSERT INTO visits VALUES (50, 'Basel');
INSERT INTO visits VALUES (51, 'Basel');
ALTER TABLE places ADD COLUMN note text DEFAULT 'none';
SELECT * FROM capitals ORDER BY name;
TRUNCATE ONLY towns;
SELECT count(*) FROM places;
DROP TABLE hamlets;
SELECT count(*) FROM towns;
TRUNCATE journal_2024;
SELECT count(*), min(at) FROM journal;
