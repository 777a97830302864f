-- tables: large
-- What works on tables that can be copied up as a whole is refused where they are larger than the limit, with the size in DETAIL, and nothing has happened.
-- expect: refused order_count: its body reads a table of production
SELECT order_count(8);
-- expect: refused order_count: the same, deep in a statement
SELECT id, order_count(id) FROM users WHERE id < 5 ORDER BY id;
-- expect: refused rename_user: its body reads and changes a table of production
SELECT rename_user(20, 'By function');
-- expect: refused "products": nothing can be copied up in front of a body's UPDATE
CALL add_stock(5, 100);
-- expect: refused "counters": the same
DO $$ BEGIN UPDATE counters SET value = value + 1 WHERE name = 'c1'; END $$;
-- expect: refused DO block: its body reads a table of production
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM users WHERE id < 10; RAISE NOTICE 'counted %', n; END $$;
-- expect: refused "counters": even where the statement is made at run time
DO $$ BEGIN EXECUTE format('DELETE FROM %I WHERE name = %L', 'counters', 'c2'); END $$;
-- expect: refused materialized view: its query runs inside of PostgreSQL, which sees the preview's rows only
REFRESH MATERIALIZED VIEW sales;
CREATE MATERIALIZED VIEW later AS SELECT status, count(*) AS n FROM orders GROUP BY status WITH NO DATA;
-- expect: refused materialized view: the same
REFRESH MATERIALIZED VIEW later;
DROP MATERIALIZED VIEW later;
-- expect: refused materialized view: the same
CREATE MATERIALIZED VIEW per_status AS SELECT status, count(*) AS n FROM orders GROUP BY status;
-- expect: refused active_users: the rows under a view would have to be found before they're locked
SELECT id FROM active_users WHERE id = 7 FOR UPDATE;
-- expect: refused PREPARE: rows must be copied up each time that it's executed
PREPARE rename (text, bigint) AS UPDATE users SET name = $1 WHERE id = $2 RETURNING id, name, version;
-- expect: refused tableoid: rows come from two databases
SELECT tableoid::regclass, count(*) FROM users GROUP BY 1;
-- expect: refused ctid: the same
SELECT count(ctid) FROM users;
-- expect: refused partitions: production's rows of the partition would stay
ALTER TABLE events DETACH PARTITION events_2024;
-- expect: refused inheritance: a query of the tree would miss production's rows
CREATE TABLE heir (extra int) INHERITS (categories);
-- expect: refused TABLESAMPLE: a sample needs one table's pages
SELECT count(*) FROM users TABLESAMPLE SYSTEM (100);
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM counters WHERE name = 'c5' FOR UPDATE;
FETCH c;
UPDATE counters SET value = 777 WHERE CURRENT OF c;
ROLLBACK;
SELECT count(*) FROM users;
SELECT value FROM counters WHERE name = 'c5';
-- A column's name that looks like a statement.
CREATE FUNCTION reads_a_column() RETURNS bigint LANGUAGE sql AS $$ SELECT count(x) FROM (SELECT id, name AS delete FROM users) x $$;
-- expect: refused reads_a_column: its body reads a table of production
SELECT reads_a_column();
