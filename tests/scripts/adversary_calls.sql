-- tables: large
-- Code that a statement calls without naming it, and that would read past production's rows.
CREATE FUNCTION all_counters() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM counters $$;
CREATE FUNCTION is_counter(t text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT EXISTS (SELECT FROM counters WHERE name = t) $$;
CREATE FUNCTION more_than(a int, b int) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT (SELECT count(*) FROM counters) > a + b $$;
CREATE FUNCTION add_all(bigint, int) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT $1 + $2 + (SELECT count(*) FROM counters) $$;
CREATE FUNCTION orders_of(u users) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM orders WHERE user_id = u.id $$;
CREATE OPERATOR <#> (LEFTARG = int, RIGHTARG = int, FUNCTION = more_than);
CREATE AGGREGATE sum_all(int) (SFUNC = add_all, STYPE = bigint, INITCOND = '0');
CREATE DOMAIN counter_name AS text CONSTRAINT known CHECK (is_counter(VALUE));
CREATE TABLE with_default (id int PRIMARY KEY, n bigint DEFAULT all_counters());
CREATE TABLE with_check (id int PRIMARY KEY, c text CONSTRAINT with_check_c CHECK (is_counter(c)));
-- expect: refused more_than: an operator's function
SELECT 1 <#> 2;
-- expect: refused more_than: the same, written out
SELECT 1 OPERATOR(public.<#>) 2;
-- expect: refused sum_all: a part of an aggregate
SELECT sum_all(id) FROM categories;
-- expect: refused is_counter: a domain's check
SELECT 'c1'::counter_name;
-- expect: refused all_counters: a column's default
INSERT INTO with_default (id) VALUES (1);
-- expect: refused is_counter: a table's check
INSERT INTO with_check VALUES (1, 'c1');
-- expect: refused orders_of: a function called like a field
SELECT u.orders_of FROM users u WHERE id = 8;
CREATE FUNCTION escaped() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM U&"\0063ounters"';
-- expect: refused escaped: a name in escapes
SELECT escaped();
CREATE FUNCTION in_dollars() RETURNS bigint LANGUAGE plpgsql AS $b$ DECLARE n bigint; x text := $q$ /* $q$; BEGIN SELECT count(*) INTO n FROM counters; /* */ RETURN n; END $b$;
-- expect: refused in_dollars: what looks like a comment is none
SELECT in_dollars();
CREATE FUNCTION glued(t text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM public.' || t INTO n; RETURN n; END $$;
-- expect: refused glued: the name is made at run time
SELECT glued('counters');
CREATE FUNCTION listed(t text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM pg_catalog.pg_am, ' || t INTO n; RETURN n; END $$;
-- expect: refused listed: the name is made at run time, after a comma
SELECT listed('counters');
CREATE FUNCTION numbered(t text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM pg_catalog.pg_am, %1$I', t) INTO n; RETURN n; END $$;
-- expect: refused numbered: the same, by position
SELECT numbered('counters');
DELETE FROM with_check;
SELECT count(*) FROM counters;
-- expect: refused "users"."home": values of production's rows would be malformed
ALTER TYPE address ADD ATTRIBUTE zip text;
ALTER TYPE address RENAME ATTRIBUTE city TO town;
SELECT (home).town FROM users WHERE id = 6;
ALTER TABLE counters ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON counters USING (value < 3);
SELECT count(*) FROM counters;
ALTER TABLE counters FORCE ROW LEVEL SECURITY;
-- expect: refused counters: policies can't be applied to production's rows
SELECT count(*) FROM counters;
ALTER TABLE counters NO FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM counters;
