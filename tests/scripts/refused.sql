-- What is documented to be refused: 0A000 with a reason and a way out, and the session goes on.
-- expect: refused previewpg: the preview's own schemas aren't there for clients
SELECT * FROM previewpg.relation;
-- expect: refused previewpg: nor may they be made
CREATE SCHEMA previewpg_mine;
SELECT * FROM previewpg_lower.users;
SELECT count(*) FROM users;
BEGIN;
UPDATE categories SET name = 'Prepared' WHERE id = 3;
-- expect: refused PREPARE TRANSACTION: production's rows were read in it, by postgres_fdw, whose transaction there can't be prepared
PREPARE TRANSACTION 'refused';
-- ignore: notices: it has ended the transaction, as any PREPARE TRANSACTION that fails
ROLLBACK;
