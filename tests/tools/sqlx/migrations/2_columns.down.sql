DROP TABLE reviews;
ALTER TABLE authors RENAME COLUMN born_on TO born;
ALTER TABLE books DROP COLUMN pages, DROP COLUMN stars;
