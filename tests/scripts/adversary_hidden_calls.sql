-- tables: large
-- More code that a statement calls without naming it: casts, views, rules, partitions, schema changes, SQL made at run time. None may miss production's rows.
CREATE FUNCTION all_counters() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM counters $$;
CREATE FUNCTION counters_of(x int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT count(*) + x FROM counters $$;
CREATE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := (SELECT count(*) FROM counters); RETURN NEW; END $$;
CREATE FUNCTION standard() RETURNS bigint LANGUAGE sql STABLE RETURN (SELECT count(*) FROM counters);
-- expect: refused standard: a body of the SQL standard
SELECT standard();
CREATE FUNCTION by_default(n bigint DEFAULT all_counters()) RETURNS bigint LANGUAGE sql AS $$ SELECT n $$;
-- expect: refused by_default: a default of an argument
SELECT by_default();
CREATE VIEW calls_only AS SELECT all_counters() AS n;
-- expect: refused calls_only: a view that reads no table itself
SELECT n FROM calls_only;
CREATE VIEW calls_deeper AS SELECT n + 1 AS n FROM calls_only;
-- expect: refused calls_deeper: a view over it
SELECT n FROM calls_deeper;
CREATE FUNCTION through_view() RETURNS bigint LANGUAGE sql AS $$ SELECT n FROM calls_deeper $$;
-- expect: refused through_view: a function that reads it
SELECT through_view();
CREATE VIEW as_xml AS SELECT query_to_xml('SELECT count(*) FROM counters', true, false, '') AS x;
-- expect: refused as_xml: a query in a view's string
SELECT x FROM as_xml;
CREATE FUNCTION xml_of() RETURNS xml LANGUAGE sql AS $$ SELECT table_to_xml('counters', true, false, '') $$;
-- expect: refused xml_of: a table in a function's string
SELECT xml_of();
CREATE TABLE log_of (id int, n bigint);
CREATE TABLE ruled (id int);
-- expect: refused read well enough: a rule that reads a table of production
CREATE RULE add_log AS ON INSERT TO ruled DO ALSO INSERT INTO log_of SELECT NEW.id, count(*) FROM counters;
CREATE FUNCTION ruling() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT 1::bigint $$;
CREATE RULE call_log AS ON INSERT TO ruled DO ALSO INSERT INTO log_of SELECT NEW.id, ruling();
INSERT INTO ruled VALUES (0);
CREATE OR REPLACE FUNCTION ruling() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM counters $$;
-- expect: refused ruling: a rule that calls a function
INSERT INTO ruled VALUES (1);
CREATE TABLE split (id int, n bigint) PARTITION BY RANGE (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (0) TO (10);
CREATE TRIGGER note BEFORE INSERT ON split_1 FOR EACH ROW EXECUTE FUNCTION note_all();
-- expect: refused note_all: a partition's own trigger
INSERT INTO split VALUES (1);
CREATE FUNCTION insert_split() RETURNS void LANGUAGE sql AS $$ INSERT INTO split VALUES (2) $$;
-- expect: refused insert_split: the same in a function
SELECT insert_split();
CREATE TABLE base_of (id int, n bigint);
CREATE TABLE heir_of () INHERITS (base_of);
INSERT INTO heir_of VALUES (1);
CREATE TRIGGER note BEFORE UPDATE ON heir_of FOR EACH ROW EXECUTE FUNCTION note_all();
-- expect: refused note_all: an heir's own trigger
UPDATE base_of SET id = 2;
CREATE TABLE holder (id int PRIMARY KEY);
CREATE TABLE held (id int REFERENCES holder ON DELETE CASCADE);
CREATE FUNCTION count_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'counters: %', (SELECT count(*) FROM counters); RETURN OLD; END $$;
INSERT INTO holder VALUES (1);
INSERT INTO held VALUES (1);
CREATE TRIGGER counting BEFORE DELETE ON held FOR EACH ROW EXECUTE FUNCTION count_held();
-- expect: refused count_held: a trigger behind a foreign key
DELETE FROM holder;
CREATE FUNCTION empty_holder() RETURNS void LANGUAGE sql AS $$ DELETE FROM holder $$;
-- expect: refused empty_holder: the same in a function
SELECT empty_holder();
-- expect: refused all_counters: a default that is computed when the column is added
ALTER TABLE log_of ADD COLUMN more bigint DEFAULT all_counters();
-- expect: refused counters_of: an index over what a function gives
CREATE INDEX ON heir_of (counters_of(id));
-- expect: refused counters_of: a check of the rows that there are
ALTER TABLE heir_of ADD CHECK (counters_of(id) > 0);
-- expect: refused counters_of: a column's new type
ALTER TABLE heir_of ALTER n TYPE bigint USING counters_of(n::int);
-- expect: refused counters_of: a partition's bound
CREATE TABLE split_2 PARTITION OF split FOR VALUES FROM (10) TO (counters_of(1000));
CREATE TABLE policed (id int);
INSERT INTO policed SELECT generate_series(1, 30);
CREATE FUNCTION few_of() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT 7::bigint $$;
CREATE POLICY few ON policed USING (id <= few_of());
ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
ALTER TABLE policed FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM policed;
CREATE OR REPLACE FUNCTION few_of() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM counters $$;
-- expect: refused few_of: a policy's function
SELECT count(*) FROM policed;
CREATE TABLE mixed (id int, words text);
INSERT INTO mixed VALUES (1, 'a');
CREATE FUNCTION field_of(m mixed) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM counters $$;
CREATE FUNCTION reads_field() RETURNS bigint LANGUAGE sql AS $$ SELECT m.field_of FROM mixed m $$;
-- expect: refused reads_field: a call like a field in a body
SELECT reads_field();
CREATE FUNCTION expression_of(e text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT ' || e INTO n; RETURN n; END $$;
-- expect: refused expression_of: an expression made at run time
SELECT expression_of('(SELECT count(*) FROM counters)');
CREATE FUNCTION condition_of(e text) RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM mixed WHERE %s', e) INTO n; RETURN n; END $$;
-- expect: refused condition_of: a condition made at run time
SELECT condition_of('EXISTS (SELECT FROM counters WHERE name = ''c3'')');
CREATE FUNCTION values_of(t text, c text, v text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('INSERT INTO %I (%I) VALUES (%s)', t, c, v); END $$;
-- expect: refused values_of: a value made at run time
SELECT values_of('mixed', 'id', '(SELECT count(*) FROM counters)');
CREATE FUNCTION insert_by_name(t text, v int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('INSERT INTO %I VALUES ($1)', t) USING v; END $$;
-- expect: refused insert_by_name: a table known at run time, and there is one with a trigger that reads
SELECT insert_by_name('split', 3);
CREATE FUNCTION make_by_name(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY)', t); EXECUTE 'COMMENT ON TABLE ' || quote_ident(t) || ' IS ' || quote_literal('made'); END $$;
SELECT make_by_name('made_by_name');
SELECT * FROM made_by_name;
CREATE FUNCTION find_by_value(v text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN EXECUTE format('SELECT id FROM mixed WHERE words = %L', v) INTO n; RETURN n; END $$;
SELECT find_by_value('a');
DROP VIEW calls_deeper, calls_only, as_xml;
