-- Foreign keys between columns of other collations compare as the parent's does.
INSERT INTO tagged VALUES (10, 'BLUE', NULL), (11, 'blue', 4.00);
INSERT INTO tagged VALUES (12, 'black', NULL);
INSERT INTO coded VALUES (10, 'y'), (11, 'Y');
INSERT INTO coded VALUES (12, 'X');
INSERT INTO coded VALUES (13, 'z'), (14, 'Z');
-- up coded: id = 1
UPDATE coded SET code = 'X' WHERE id = 1;
SELECT * FROM {coded} ORDER BY id;
-- up codes: code = 'Y'
DELETE FROM codes WHERE code = 'Y';
-- up codes: code = 'z'
DELETE FROM codes WHERE code = 'z';
-- A key that is another one to the eye is passed on, though it's equal.
-- up tags: tag = 'red'
UPDATE tags SET tag = 'Red' WHERE tag = 'red';
-- up tags: tag = 'green'
UPDATE tags SET weight = 3.00 WHERE tag = 'green';
SELECT * FROM {tagged} ORDER BY id;
-- up tags: tag = 'grey'
DELETE FROM tags WHERE tag = 'grey';
SELECT * FROM {tagged} ORDER BY id;
-- A foreign key and a check of its own that come later.
ALTER TABLE tagged DROP CONSTRAINT tagged_tag_fkey;
INSERT INTO tagged VALUES (20, 'BlUe', NULL);
ALTER TABLE tagged ADD FOREIGN KEY (tag) REFERENCES tags ON UPDATE CASCADE;
ALTER TABLE coded DROP CONSTRAINT coded_code_fkey;
ALTER TABLE coded ADD FOREIGN KEY (code) REFERENCES codes;
-- An index whose collation isn't its column's.
INSERT INTO loose VALUES (3, 'ann');
INSERT INTO loose VALUES (4, 'cid'), (5, 'dan');
-- up loose: id = 2
UPDATE loose SET name = 'ANN' WHERE id = 2;
ALTER TABLE moods ADD COLUMN name text DEFAULT 'a';
SELECT * FROM {loose} ORDER BY id;
