-- Cursors over merged rows: forward, backward, held, in binary; what PostgreSQL keeps of them.
UPDATE users SET name = 'Moved' WHERE id IN (3, 5);
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, name FROM users ORDER BY id;
-- ignore: origin: the query was rewritten when it was declared
FETCH 4 FROM c;
-- ignore: origin: the same
FETCH BACKWARD 2 FROM c;
-- ignore: origin: the same
FETCH ABSOLUTE 5 FROM c;
MOVE LAST FROM c;
-- ignore: origin: the same
FETCH RELATIVE -1 FROM c;
SAVEPOINT before;
DECLARE once NO SCROLL CURSOR FOR SELECT id FROM users ORDER BY id;
-- ignore: origin: the same
FETCH ALL FROM once;
-- ignore: origin: the same
FETCH BACKWARD 1 FROM once;
ROLLBACK TO before;
DECLARE plain CURSOR FOR SELECT id FROM users WHERE id = 3;
-- ignore: origin: the same
FETCH 1 FROM plain;
-- known: whether a cursor without SCROLL goes backward depends on its plan
MOVE BACKWARD 1 FROM plain;
ROLLBACK TO before;
SELECT name, is_holdable, is_binary, is_scrollable FROM pg_cursors WHERE name = 'c';
-- known: the text that ran
SELECT statement FROM pg_cursors WHERE name = 'c';
DECLARE held CURSOR WITH HOLD FOR SELECT id, name FROM users WHERE id < 7 ORDER BY id;
COMMIT;
UPDATE users SET name = 'After' WHERE id = 5;
-- ignore: origin: the same
FETCH ALL FROM held;
CLOSE held;
UPDATE counters SET value = value + 1 WHERE name = 'c2';
SELECT count(*) FROM counters c WHERE c IN (ROW('c1', 1));
SELECT count(*) FROM counters c WHERE c IN (ROW('c1', 1::bigint)::counters);
SELECT c FROM counters c WHERE c = ROW('c2', 3)::counters;
