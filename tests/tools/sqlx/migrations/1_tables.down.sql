DROP VIEW priced;
DROP TABLE books, authors;
DROP TYPE mood;
