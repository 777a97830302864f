ALTER DOMAIN small ADD CONSTRAINT tiny CHECK (VALUE < 4);
ALTER DOMAIN small ADD CONSTRAINT little CHECK (VALUE < 9);
ALTER DOMAIN small SET NOT NULL;
INSERT INTO measures VALUES (3, 10, 'new');
ALTER DOMAIN small DROP CONSTRAINT little;
INSERT INTO measures VALUES (4, 10, 'new');
ALTER DOMAIN small ADD CONSTRAINT little CHECK (VALUE < 11);
ALTER TYPE st ADD VALUE 'lost';
INSERT INTO measures VALUES (3, 8, 'lost', NULL);
ALTER TYPE st RENAME TO state;
INSERT INTO moods VALUES ('paid', 'again');
INSERT INTO moods VALUES ('sent', 's');
-- up moods: mood = 'new'
UPDATE moods SET mood = 'lost' WHERE mood = 'new';
SELECT * FROM {moods} ORDER BY mood;
DROP TABLE moods;
-- up measures: id = 1
UPDATE measures SET mood = 'sent' WHERE id = 1;
SELECT id, size, mood, moods FROM {measures} ORDER BY id;
ALTER DOMAIN small RENAME TO little;
ALTER TABLE measures ADD COLUMN other little DEFAULT 3;
SELECT * FROM {measures} ORDER BY id;
INSERT INTO measures VALUES (2, 8, 'lost', NULL);
DROP TYPE state CASCADE;
SELECT * FROM {measures} ORDER BY id;
SELECT count(*), sum(total) FROM {orders};
INSERT INTO measures VALUES (2, 8);
-- up measures: id = 2
UPDATE measures SET size = 4 WHERE id = 2;
SELECT * FROM {measures} ORDER BY id;
