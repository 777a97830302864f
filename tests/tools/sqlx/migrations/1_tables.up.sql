CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood NOT NULL DEFAULT 'ok', born date);
CREATE TABLE books (
    id uuid PRIMARY KEY, author_id int NOT NULL REFERENCES authors ON DELETE CASCADE, title varchar(80) NOT NULL, price numeric(8, 2),
    tags text[] NOT NULL DEFAULT '{}', extra jsonb, read_at timestamptz
);
CREATE INDEX books_by_author ON books (author_id);
CREATE VIEW priced AS SELECT b.id, a.name, b.price FROM books b LEFT JOIN authors a ON a.id = b.author_id;
