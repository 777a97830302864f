ALTER TABLE books ADD COLUMN pages int NOT NULL DEFAULT 100, ADD COLUMN stars smallint CHECK (stars BETWEEN 1 AND 5);
UPDATE books SET stars = 1 + length(title) % 5 WHERE price IS NOT NULL;
ALTER TABLE authors RENAME COLUMN born TO born_on;
ALTER TABLE books ALTER COLUMN title TYPE text;
CREATE TABLE reviews (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, book_id uuid NOT NULL REFERENCES books ON DELETE CASCADE, said text);
INSERT INTO reviews (book_id, said) SELECT id, 'Of ' || title FROM books WHERE price > 12 ORDER BY id;
