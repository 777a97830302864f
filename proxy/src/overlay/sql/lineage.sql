-- Lineage and state: which relations of fresh look at production, and where each of their columns comes from.
-- Every function here that runs with the owner's rights handles catalogs only; expressions that a client wrote (checks,
-- index expressions, defaults) are evaluated with the app role's rights, by previewpg.as_app or by functions that the app role owns.

CREATE TABLE IF NOT EXISTS previewpg.meta (
    name text PRIMARY KEY,
    value text NOT NULL
);

-- One row for each relation of fresh that has, or had, or should have had, a lower.
CREATE TABLE IF NOT EXISTS previewpg.relation (
    upper oid PRIMARY KEY,
    production_schema text NOT NULL,
    production_name text NOT NULL,
    -- The key that claims are kept by, as attribute numbers of upper and as names; empty: keyless.
    key_numbers smallint[] NOT NULL DEFAULT '{}',
    key_columns text[] NOT NULL DEFAULT '{}',
    -- Whose claims table and copy function serve it (a partition: its root's): previewpg_claims.rN, previewpg_copy.rN.
    claims bigint,
    copy_up bigint,
    -- merged: upper and lower; detached: upper only; read_only: lower only; unsupported: refused by the planner.
    state text NOT NULL CHECK (state IN ('merged', 'detached', 'read_only', 'unsupported')),
    -- Why it is unsupported or detached. A sentence without its full stop.
    reason text,
    -- Upper's columns are production's: names, types and order.
    same_shape boolean NOT NULL DEFAULT false,
    -- Production enforces row-level security on it for our role.
    row_security boolean NOT NULL DEFAULT false,
    -- Production's columns as provisioning read them: [{name, type, collation, not_null, generated, identity}].
    production_columns jsonb NOT NULL DEFAULT '[]',
    -- Production's estimates at provisioning: rows, and bytes of its main fork and TOAST.
    production_rows bigint NOT NULL DEFAULT 0,
    production_bytes bigint NOT NULL DEFAULT 0
);

-- The state that it had before production changed so that its rows can't be shown truly; it is 'unsupported' meanwhile.
ALTER TABLE previewpg.relation ADD COLUMN IF NOT EXISTS halted text;

-- Detached by this transaction, which copied all rows up: lower shows them until nobody's snapshot is older.
ALTER TABLE previewpg.relation ADD COLUMN IF NOT EXISTS copied_by xid8;

-- Every relation of production that was brought, those without rows included, as it was described when its changes were last brought in.
CREATE TABLE IF NOT EXISTS previewpg.production (
    schema text NOT NULL,
    name text NOT NULL,
    upper oid NOT NULL,
    description jsonb NOT NULL,
    PRIMARY KEY (schema, name)
);

-- The expression, over the foreign table's columns, that gives an upper column for a row of production.
CREATE TABLE IF NOT EXISTS previewpg.attribute (
    upper oid NOT NULL REFERENCES previewpg.relation ON DELETE CASCADE,
    number smallint NOT NULL,
    expression text NOT NULL,
    -- The production column that it is, unchanged; NULL when the expression is anything else.
    source text,
    -- The type it had in upper when the expression was made.
    type text NOT NULL,
    -- It was NOT NULL in upper when that was last checked against lower's rows.
    not_null boolean NOT NULL DEFAULT false,
    PRIMARY KEY (upper, number)
);

-- The production column that the expression is made of, if it's made of one.
ALTER TABLE previewpg.attribute ADD COLUMN IF NOT EXISTS origin text;
UPDATE previewpg.attribute SET origin = source WHERE origin IS NULL AND source IS NOT NULL;

-- Constraints and unique indexes that hold for lower's rows too: production's own, and those that were checked.
CREATE TABLE IF NOT EXISTS previewpg.verified (
    object oid PRIMARY KEY,
    upper oid NOT NULL
);

-- The labels that enums had when provisioning ended: production's rows hold them.
CREATE TABLE IF NOT EXISTS previewpg.enum_label (
    type oid NOT NULL,
    label text NOT NULL,
    PRIMARY KEY (type, label)
);

-- The schema-qualified, quoted name of a relation.
CREATE OR REPLACE FUNCTION previewpg.name_of(relation oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1);
END
$$;

-- How a relation's own rows in upper are read: a partitioned table's rows are its partitions'.
CREATE OR REPLACE FUNCTION previewpg.upper_of(relation oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) = 'p' THEN '' ELSE 'ONLY ' END || previewpg.name_of(relation);
END
$$;

-- Whose claims table serves a relation: a partition's root's.
CREATE OR REPLACE FUNCTION previewpg.claims_of(relation oid) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT r.claims FROM previewpg.relation r WHERE r.upper = relation);
END
$$;

-- The tables that (non-partition) inheritance connects a table with, itself included.
CREATE OR REPLACE FUNCTION previewpg.inheritance_tree(relation oid) RETURNS SETOF oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE tree(member) AS (
        SELECT $1
        UNION
        SELECT CASE h.inhparent WHEN t.member THEN h.inhrelid ELSE h.inhparent END
        FROM tree t JOIN pg_inherits h ON t.member IN (h.inhparent, h.inhrelid) JOIN pg_class c ON c.oid = h.inhrelid AND NOT c.relispartition
    )
    SELECT member FROM tree
$$;

-- Whether anything was written to it, or tried to be: the files never shrink to nothing while somebody's transaction may still commit.
-- The files are looked at as such, for pg_relation_size takes a lock: whoever reads the catalog would wait for other sessions' schema changes, or they for each other.
CREATE OR REPLACE FUNCTION previewpg.is_written(relation oid) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_or(coalesce((pg_stat_file(f.path, true)).size > 0, true)), false)
    FROM (VALUES (pg_relation_filepath($1)),
                 (pg_relation_filepath(to_regclass('previewpg_claims.r' || coalesce((SELECT r.claims FROM previewpg.relation AS r WHERE r.upper = $1), $1::bigint))))) AS f(path)
    WHERE f.path IS NOT NULL
$$;

-- The relations of which that is so: one call for all of them.
CREATE OR REPLACE FUNCTION previewpg.written() RETURNS SETOF oid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.upper FROM previewpg.relation AS r
    WHERE r.state <> 'unsupported' AND EXISTS (
        SELECT FROM (VALUES (pg_relation_filepath(r.upper)), (pg_relation_filepath(to_regclass('previewpg_claims.r' || coalesce(r.claims, r.upper::bigint))))) AS f(path)
        WHERE f.path IS NOT NULL AND coalesce((pg_stat_file(f.path, true)).size > 0, true))
$$;

CREATE OR REPLACE FUNCTION previewpg.setting(setting text) RETURNS text
LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT m.value FROM previewpg.meta AS m WHERE m.name = $1); END $$;

-- Runs a statement with the app role's rights (the app role owns this function) and gives the number of rows.
CREATE OR REPLACE FUNCTION previewpg.as_app(statement text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;

-- Tells the proxy that the schema, or a relation's state, changed. INFO is sent whatever client_min_messages says.
-- shared: other sessions see it when it is committed (nothing but a temporary object's).
CREATE OR REPLACE FUNCTION previewpg.signal(shared boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF shared THEN
        PERFORM previewpg.note_change();
    END IF;
    RAISE INFO 'previewpg' USING ERRCODE = 'PPG01';
END
$$;

-- Tells the proxy, once in a session, that a relation (and what shares its claims) was written to without being the target of the client's statement:
-- by a function, a trigger or a referential action.
CREATE OR REPLACE FUNCTION previewpg.touched(relation oid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    told text := pg_catalog.current_setting('previewpg.touched', true);
    mark text := pg_catalog.concat('[', relation, ']');
    member oid;
BEGIN
    IF pg_catalog.strpos(told, mark) > 0 THEN
        RETURN;
    END IF;
    FOR member IN SELECT r.upper FROM previewpg.relation AS r WHERE r.claims = previewpg.claims_of(relation) LOOP
        PERFORM previewpg.note_written(member);
        RAISE INFO 'previewpg' USING ERRCODE = 'PPG02', DETAIL = member::pg_catalog.text;
    END LOOP;
    PERFORM pg_catalog.set_config('previewpg.touched', pg_catalog.concat(told, mark), false);
END
$$;

-- The operator by which an index's column compares for equality, as OPERATOR(schema.=).
CREATE OR REPLACE FUNCTION previewpg.index_equality(index oid, place int) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
    FROM pg_index i
    JOIN pg_opclass k ON k.oid = i.indclass[place - 1]
    JOIN pg_amop p ON p.amopfamily = k.opcfamily AND p.amopstrategy = 3
                  AND p.amoplefttype = k.opcintype AND p.amoprighttype = k.opcintype
    JOIN pg_operator o ON o.oid = p.amopopr
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE i.indexrelid = $1);
END
$$;

-- Whether two collations (0 for none) find the same values equal: deterministic ones compare bytes.
CREATE OR REPLACE FUNCTION previewpg.same_equality(one oid, other oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT one = other OR NOT EXISTS (SELECT FROM pg_collation o WHERE o.oid IN (one, other) AND NOT o.collisdeterministic)
$$;

CREATE OR REPLACE FUNCTION previewpg.operator_text(operator oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = $1);
END
$$;

-- The quoted names of columns, in the order of the attribute numbers given, each with a prefix.
CREATE OR REPLACE FUNCTION previewpg.column_list(relation oid, numbers smallint[], prefix text DEFAULT '') RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT string_agg(prefix || quote_ident(a.attname), ', ' ORDER BY k.place)
    FROM unnest($2) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number);
END
$$;

-- The condition "this row of lower isn't claimed", over the table alias given.
CREATE OR REPLACE FUNCTION previewpg.unclaimed(relation oid, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT CASE WHEN r.key_numbers = '{}' THEN format('NOT EXISTS (SELECT 1 FROM previewpg_claims.r%s)', r.claims)
        ELSE format('NOT EXISTS (SELECT 1 FROM previewpg_claims.r%s AS previewpg_c WHERE %s)', r.claims,
            (SELECT string_agg(format('previewpg_c.%1$I %3$s %2$s.%1$I', a.attname, alias,
                        previewpg.index_equality(to_regclass('previewpg_claims.r' || r.claims || '_pkey'), k.place::int)), ' AND ' ORDER BY k.place)
             FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute a ON a.attrelid = r.upper AND a.attnum = k.number)) END
    FROM previewpg.relation r WHERE r.upper = $1);
END
$$;

-- Creates or replaces a function of previewpg_copy, unless it is there with the same text.
CREATE OR REPLACE FUNCTION previewpg.put_function(name text, arguments text, returns text, attributes text, body text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present record;
BEGIN
    SELECT p.oid, p.prosrc, pg_get_function_arguments(p.oid) AS arguments INTO present
    FROM pg_proc p WHERE p.pronamespace = 'previewpg_copy'::regnamespace AND p.proname = name;
    IF FOUND AND present.arguments = put_function.arguments THEN
        IF present.prosrc = body THEN
            RETURN;
        END IF;
    ELSIF FOUND THEN
        EXECUTE format('DROP FUNCTION %s', present.oid::regprocedure);
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION previewpg_copy.%I(%s) RETURNS %s LANGUAGE plpgsql %s AS %L', name, arguments, returns, attributes, body);
    -- Nobody but the app role has a right on the schema: that is enough.
END
$$;

-- What a merged text calls when it's planned and finds that the relation's name means another one by now. Immutable, so that planning calls it.
CREATE OR REPLACE FUNCTION previewpg.renamed() RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE EXCEPTION 'the relation was renamed' USING ERRCODE = 'PPG04';
END
$$;

-- The same for tables and views that the bodies of functions name: run in front of a call, it has the names keep their meaning until the transaction's end. With the owner's rights: the caller
-- may call a function that reads what it may not.
CREATE OR REPLACE FUNCTION previewpg.held(names text[], relations oid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place int;
    found regclass;
BEGIN
    FOR place IN 1 .. cardinality(names) LOOP
        found := to_regclass(names[place]);
        IF found::oid = relations[place] THEN
            -- By its name, which may have passed on to another table when the lock is had.
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', found);
            found := to_regclass(names[place]);
        END IF;
        IF found::oid IS DISTINCT FROM relations[place] THEN
            PERFORM previewpg.renamed();
        END IF;
    END LOOP;
EXCEPTION WHEN undefined_table THEN
    PERFORM previewpg.renamed();
END
$$;

-- The same where a name that meant nothing when the statement was planned means something by now. The caller's search path; what the catalog of the proxy
-- leaves out doesn't count: PostgreSQL's own (OIDs below 16384), indexes, TOAST tables. Names are looked up as they are now (to_regclass, to_regproc),
-- whatever the transaction's snapshot; only overloaded routines are looked for in that.
CREATE OR REPLACE FUNCTION previewpg.renamed(relations text[], routines text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.unnest(relations) AS r(name)
               WHERE pg_catalog.to_regclass(r.name)::pg_catalog.oid >= 16384::pg_catalog.oid
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(r.name) AND c.relkind IN ('i', 'I', 't')))
       OR EXISTS (SELECT FROM pg_catalog.unnest(routines) AS r(name)
               WHERE pg_catalog.to_regproc(r.name)::pg_catalog.oid >= 16384::pg_catalog.oid)
       OR EXISTS (SELECT FROM pg_catalog.unnest(routines) AS r(name) CROSS JOIN LATERAL pg_catalog.parse_ident(r.name) AS part
               JOIN pg_catalog.pg_proc p ON p.proname = part[pg_catalog.cardinality(part)]::pg_catalog.name AND p.oid >= 16384::pg_catalog.oid
               JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname !~ '^pg_'
               WHERE CASE WHEN pg_catalog.cardinality(part) = 1 THEN n.nspname = ANY (pg_catalog.current_schemas(true)) ELSE n.nspname = part[1] END) THEN
        RAISE EXCEPTION 'a name means something by now' USING ERRCODE = 'PPG04';
    END IF;
END
$$;
