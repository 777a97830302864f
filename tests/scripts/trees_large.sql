-- tables: large
-- Inheritance trees and partitioned tables without a key that are larger than what may be copied up: reads and new rows.
SELECT name, elevation FROM places ORDER BY name;
SELECT count(*) FROM ONLY places;
INSERT INTO capitals (name, elevation, state) VALUES ('New', 2, 'NN') RETURNING *;
INSERT INTO journal VALUES ('2025-07-01', 'info', 'new', 7);
SELECT count(*), sum(elevation) FROM places;
SELECT level, count(*), sum(number) FROM journal GROUP BY level ORDER BY level;
-- expect: refused "towns": the rest of the tree would keep its rows
TRUNCATE towns;
-- expect: refused "places": the tree's shape is production's
ALTER TABLE places ADD COLUMN note text;
-- expect: refused "hamlets": a read of the tree would still show its rows
DROP TABLE hamlets;
-- expect: refused "journal_2024": the same
DROP TABLE journal_2024;
DELETE FROM visits WHERE place = 'Biel';
TRUNCATE journal;
SELECT count(*) FROM journal;
DROP TABLE journal;
