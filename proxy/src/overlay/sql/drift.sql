-- Production changed its schema while the preview lives: what brings one relation of the preview in step. What is to be done is planned outside of the database.

-- Notes how production's relations are at this moment: those whose changes are all brought in.
CREATE OR REPLACE FUNCTION previewpg.note_production(descriptions jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO previewpg.production AS p (schema, name, upper, description)
    SELECT d ->> 'schema', d ->> 'name', coalesce((SELECT r.upper FROM previewpg.relation r WHERE r.production_schema = d ->> 'schema' AND r.production_name = d ->> 'name'),
               to_regclass(format('%I.%I', d ->> 'schema', d ->> 'name'))::oid), d
    FROM jsonb_array_elements(descriptions) AS d
    WHERE EXISTS (SELECT FROM previewpg.relation r WHERE r.production_schema = d ->> 'schema' AND r.production_name = d ->> 'name')
       OR to_regclass(format('%I.%I', d ->> 'schema', d ->> 'name')) IS NOT NULL
    -- Which relation of the preview it is doesn't change by what has its name now.
    ON CONFLICT (schema, name) DO UPDATE SET description = excluded.description;
    -- The older name of one that both sides renamed.
    DELETE FROM previewpg.production AS p
    WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(descriptions) AS d WHERE d ->> 'schema' = p.schema AND d ->> 'name' = p.name)
      AND EXISTS (SELECT FROM jsonb_array_elements(descriptions) AS d JOIN previewpg.production o ON o.schema = d ->> 'schema' AND o.name = d ->> 'name' WHERE o.upper = p.upper);
    -- What the preview dropped, or production did and the preview too.
    DELETE FROM previewpg.production AS p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.upper)
        AND NOT EXISTS (SELECT FROM jsonb_array_elements(descriptions) AS d WHERE d ->> 'schema' = p.schema AND d ->> 'name' = p.name);
END
$$;

-- Lower anew, from another description of production. reads: {upper column: production column} for the columns that read production; others keep what they show.
CREATE OR REPLACE FUNCTION previewpg.reattach(relation oid, description jsonb, reads jsonb) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF coalesce(r.halted, r.state) NOT IN ('merged', 'read_only') THEN
        RETURN;
    END IF;
    EXECUTE format('DROP FUNCTION IF EXISTS previewpg_copy.r%s, previewpg_copy.i%1$s', relation);
    EXECUTE format('DROP VIEW IF EXISTS previewpg_lower.r%s', relation);
    EXECUTE format('DROP FOREIGN TABLE IF EXISTS previewpg_fdw.r%s', relation);
    PERFORM previewpg.put_foreign_table(relation, description);
    DELETE FROM previewpg.attribute AS p WHERE p.upper = relation AND NOT EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = p.number AND NOT a.attisdropped);
    INSERT INTO previewpg.attribute AS p (upper, number, expression, source, origin, type, not_null)
    SELECT relation, a.attnum,
           CASE WHEN c.name IS NULL THEN format('%s::%s', previewpg.default_literal(relation, a.attnum), format_type(a.atttypid, a.atttypmod))
                WHEN c.type = format_type(a.atttypid, a.atttypmod) THEN quote_ident(c.name)
                ELSE format('%I::%s', c.name, format_type(a.atttypid, a.atttypmod)) END,
           CASE WHEN c.type = format_type(a.atttypid, a.atttypmod) THEN c.name END, c.name, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a
    LEFT JOIN jsonb_to_recordset(description -> 'columns') AS c(name text, type text) ON c.name = reads ->> a.attname
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
    ON CONFLICT (upper, number) DO UPDATE SET expression = excluded.expression, source = excluded.source, origin = excluded.origin, type = excluded.type, not_null = excluded.not_null
    WHERE excluded.origin IS NOT NULL;
    UPDATE previewpg.relation AS x
    SET production_schema = description ->> 'schema', production_name = description ->> 'name', production_columns = description -> 'columns',
        production_rows = coalesce((description ->> 'rows')::bigint, 0), production_bytes = coalesce((description ->> 'bytes')::bigint, 0),
        row_security = coalesce((description ->> 'row_security')::boolean, false),
        state = coalesce(x.halted, x.state), halted = NULL, reason = NULL
    WHERE x.upper = relation;
    UPDATE previewpg.relation AS x SET same_shape = x.state = 'merged' AND previewpg.has_same_shape(relation) WHERE x.upper = relation;
    -- A key column's type was widened.
    PERFORM previewpg.widen_claims(relation);
    PERFORM previewpg.build(relation);
END
$$;

CREATE OR REPLACE FUNCTION previewpg.widen_claims(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.attname, format_type(a.atttypid, a.atttypmod) AS type
        FROM previewpg.relation r, unnest(r.key_numbers) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.number
        JOIN pg_attribute c ON c.attrelid = to_regclass('previewpg_claims.r' || relation) AND c.attnum = k.place
        WHERE r.upper = relation AND r.claims = r.upper AND (c.atttypid, c.atttypmod) IS DISTINCT FROM (a.atttypid, a.atttypmod)
    LOOP
        EXECUTE format('ALTER TABLE previewpg_claims.r%s ALTER COLUMN %I TYPE %s', relation, item.attname, item.type);
    END LOOP;
END
$$;

-- For rows that upper holds of production's: what production has in a column that is new. A row that production has no more keeps the default.
CREATE OR REPLACE FUNCTION previewpg.fill(relation oid, column_name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    first_key text;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF r.state <> 'merged' OR r.key_numbers = '{}' OR r.claims <> r.upper OR NOT previewpg.is_written(relation) THEN
        RETURN 0;
    END IF;
    SELECT quote_ident(a.attname) INTO first_key FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = r.key_numbers[1];
    -- The keys go to production as one array.
    RETURN previewpg.as_app(format('UPDATE %s AS u SET %I = l.%2$I FROM (SELECT * FROM previewpg_lower.r%s AS x WHERE x.%s = ANY (ARRAY(SELECT DISTINCT c.%4$s FROM previewpg_claims.r%3$s AS c))) AS l WHERE %5$s',
        previewpg.upper_of(relation), column_name, relation, first_key,
        (SELECT string_agg(format('u.%1$I %2$s l.%1$I', a.attname, previewpg.index_equality(to_regclass('previewpg_claims.r' || relation || '_pkey'), k.place::int)), ' AND ')
         FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.number)));
END
$$;

-- Statements on the relation are refused until production and the preview fit again.
CREATE OR REPLACE FUNCTION previewpg.halt(relation oid, why text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE previewpg.relation AS r SET halted = coalesce(r.halted, r.state), state = 'unsupported', reason = why, same_shape = false
    WHERE r.upper = relation AND (r.state IN ('merged', 'read_only') OR r.halted IS NOT NULL AND r.reason IS DISTINCT FROM why);
    IF FOUND THEN
        PERFORM previewpg.changed();
    END IF;
END
$$;

-- As if it had never been attached: for a relation that holds nothing.
CREATE OR REPLACE FUNCTION previewpg.attach_anew(relation oid, description jsonb) RETURNS text
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    g record;
BEGIN
    FOR g IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname LIKE $r$0previewpg\_%$r$ LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', g.tgname, previewpg.name_of(relation));
    END LOOP;
    PERFORM previewpg.forget(relation);
    RETURN previewpg.attach(description);
END
$$;
