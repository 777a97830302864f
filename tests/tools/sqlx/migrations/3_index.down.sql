DROP INDEX books_by_title;
