-- FOR UPDATE and its kin in one session; what sessions do to each other is in interleavings.rs.
SELECT id, name FROM users WHERE id = 5 FOR UPDATE;
SELECT id FROM users WHERE id < 4 ORDER BY id FOR SHARE;
SELECT id FROM users WHERE id < 4 ORDER BY id FOR NO KEY UPDATE;
SELECT id FROM users WHERE id < 4 ORDER BY id FOR KEY SHARE;
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 8 ORDER BY o.id FOR UPDATE OF u;
SELECT u.id, o.id FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 8 ORDER BY o.id FOR UPDATE;
SELECT id FROM users WHERE id = 9 FOR UPDATE NOWAIT;
SELECT id FROM jobs WHERE state = 'ready' AND queue = 'mail' ORDER BY run_at, id LIMIT 2 FOR UPDATE SKIP LOCKED;
BEGIN;
SELECT id FROM jobs WHERE state = 'ready' ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED;
UPDATE jobs SET state = 'running', worker = 'w1' WHERE id = 1 RETURNING *;
COMMIT;
UPDATE jobs SET state = 'running', worker = 'w2' WHERE id = (SELECT id FROM jobs WHERE state = 'ready' ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, worker;
UPDATE jobs SET state = 'done' WHERE state = 'running' RETURNING id;
-- rows: unordered
DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = 'done' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 3) RETURNING id;
SELECT count(*), min(id) FROM jobs;
BEGIN;
SELECT count(*) FROM (SELECT id FROM tasks WHERE grp = 1500 FOR UPDATE) x;
UPDATE tasks SET state = 'locked' WHERE grp = 1500;
COMMIT;
WITH t AS (SELECT id FROM tasks WHERE grp = 1501 FOR UPDATE) SELECT count(*) FROM t;
SELECT DISTINCT id FROM users FOR UPDATE;
SELECT count(*) FROM users FOR UPDATE;
-- expect: refused active_users: the rows under a view would have to be found before they're locked
SELECT id FROM active_users WHERE id = 7 FOR UPDATE;
SELECT 1 FOR UPDATE;
SELECT id FROM users u WHERE id = 5 FOR UPDATE OF users;
BEGIN;
LOCK TABLE users IN SHARE MODE;
LOCK TABLE orders;
SELECT count(*) FROM users;
COMMIT;
SELECT pg_try_advisory_lock(42), pg_advisory_unlock(42);
SELECT id, version FROM users WHERE id IN (5, 8, 9) ORDER BY id;
SELECT count(*) FROM users;
