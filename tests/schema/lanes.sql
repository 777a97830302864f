-- What sessions meet on, side by side. Group g has parents 10g+1 .. 10g+5, two children of the second, and six tasks.
CREATE TABLE parents (id int PRIMARY KEY, grp int NOT NULL, email text UNIQUE, n int NOT NULL DEFAULT 0);
CREATE TABLE children (id int PRIMARY KEY, parent_id int NOT NULL
    CONSTRAINT children_parent_id_fkey REFERENCES parents, n int NOT NULL DEFAULT 0);
CREATE TABLE tasks (id int PRIMARY KEY, grp int NOT NULL, state text NOT NULL DEFAULT 'ready');
CREATE INDEX tasks_grp ON tasks (grp);
CREATE TABLE bookings (
    id   int PRIMARY KEY,
    room int NOT NULL,
    stay daterange NOT NULL,
    CONSTRAINT bookings_overlap EXCLUDE USING gist (room WITH =, stay WITH &&)
);

INSERT INTO parents SELECT g * 10 + i, g, 'p' || g || '-' || i || '@example.org', 0
FROM generate_series(1000, 1999) g, generate_series(1, 5) i;
INSERT INTO children SELECT p * 10 + i, p, 0 FROM (SELECT id AS p FROM parents WHERE id % 10 IN (2)) x,
    generate_series(1, 2) i;
INSERT INTO tasks SELECT g * 10 + i, g, 'ready' FROM generate_series(1000, 1999) g, generate_series(0, 5) i;
