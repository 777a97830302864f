-- What is documented to be refused: 0A000 with a reason and a way out, and the session goes on.
-- protocol: simple
-- expect: refused previewpg_lower: the preview's own schemas aren't there for clients
SELECT * FROM previewpg_lower.users;
-- Prepared, the statement meets PostgreSQL's own answer first.
-- protocol: extended
SELECT * FROM previewpg_lower.users;
-- expect: refused previewpg: nor may they be made
CREATE SCHEMA previewpg_mine;
SELECT count(*) FROM users;
