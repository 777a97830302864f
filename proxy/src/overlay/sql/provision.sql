-- What provisioning runs in fresh: the lower of one relation, from a description of production's.

-- Why they are refused.
CREATE OR REPLACE FUNCTION previewpg.is_brought() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'Production has it since a moment ago; it is being brought in'
$$;

-- Tables that were made a moment ago and aren't attached yet, as pairs of schema and name: they are refused meanwhile.
CREATE OR REPLACE FUNCTION previewpg.bringing(relations jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO previewpg.relation (upper, production_schema, production_name, state, reason)
    SELECT c.oid, b.name ->> 0, b.name ->> 1, 'unsupported', previewpg.is_brought()
    FROM jsonb_array_elements(relations) AS b(name)
    JOIN pg_namespace n ON n.nspname = b.name ->> 0 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = b.name ->> 1
    WHERE c.relkind IN ('r', 'p', 'm', 'f')
    ON CONFLICT DO NOTHING
$$;

-- description: {schema, name, kind, columns: [{name, type, collation, not_null, generated, identity}], keys: [[name, ..], ..],
-- heirs, inherits, select, row_security, rows, bytes}. Gives the state that the relation came to.
CREATE OR REPLACE FUNCTION previewpg.attach(description jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target oid := to_regclass(format('%I.%I', description ->> 'schema', description ->> 'name'));
    root oid := target;
    kind "char";
    chosen smallint[];
    outcome text := 'merged';
    cause text;
BEGIN
    IF target IS NULL THEN
        RETURN 'missing';
    END IF;
    INSERT INTO previewpg.production VALUES (description ->> 'schema', description ->> 'name', target, description - 'adopted') ON CONFLICT DO NOTHING;
    DELETE FROM previewpg.relation r WHERE r.upper = target AND r.state = 'unsupported' AND r.reason = previewpg.is_brought();
    IF EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = target) THEN
        RETURN 'present';
    END IF;
    SELECT c.relkind INTO kind FROM pg_class c WHERE c.oid = target;
    IF NOT (description ->> 'select')::boolean THEN
        outcome := 'unsupported';
        cause := 'The role that reads production has no SELECT right on it';
    ELSIF kind IN ('m', 'f') THEN
        outcome := 'read_only';
    ELSIF kind NOT IN ('r', 'p') THEN
        outcome := 'unsupported';
        cause := 'It is another kind of relation here than on production';
    END IF;
    -- An adopted table's own columns.
    IF outcome <> 'unsupported' THEN
        SELECT CASE WHEN c.name IS NOT NULL THEN format('Column "%s" is %s here and %s on production', a.attname, format_type(a.atttypid, a.atttypmod), c.type)
                    WHEN a.attgenerated <> '' THEN format('Generated column "%s" exists here only', a.attname)
                    ELSE format('Column "%s", which exists here only, is NOT NULL without a default', a.attname) END
        INTO cause
        FROM pg_attribute a LEFT JOIN jsonb_to_recordset(description -> 'columns') AS c(name text, type text) ON c.name = a.attname
        WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
          AND CASE WHEN c.name IS NOT NULL THEN c.type <> format_type(a.atttypid, a.atttypmod) AND NOT previewpg.widens(c.type, a.atttypid, a.atttypmod)
                   ELSE a.attgenerated <> '' OR a.attnotnull AND NOT a.atthasdef END
        ORDER BY a.attnum LIMIT 1;
        outcome := CASE WHEN cause IS NULL THEN outcome ELSE 'unsupported' END;
    END IF;
    -- The key that claims are kept by: one that holds on both sides.
    SELECT x.numbers INTO chosen
    FROM (SELECT i.indexrelid, i.indisprimary, (SELECT array_agg(k.number ORDER BY k.place) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k(number, place) WHERE k.place <= i.indnkeyatts) AS numbers
          FROM pg_index i
          WHERE i.indrelid = target AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL) AS x
    WHERE NOT EXISTS (SELECT FROM unnest(x.numbers) AS n JOIN pg_attribute a ON a.attrelid = target AND a.attnum = n WHERE NOT a.attnotnull OR a.attgenerated <> '')
      AND EXISTS (
          SELECT FROM jsonb_array_elements(description -> 'keys') AS k(names)
          WHERE (SELECT array_agg(e ORDER BY e) FROM jsonb_array_elements_text(k.names) AS e)
              = (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest(x.numbers) AS n JOIN pg_attribute a ON a.attrelid = target AND a.attnum = n))
    ORDER BY x.indisprimary DESC, cardinality(x.numbers), x.indexrelid LIMIT 1;
    -- A partition keeps its root's key and claims; the root comes first.
    IF (SELECT c.relispartition FROM pg_class c WHERE c.oid = target) THEN
        root := pg_partition_root(target);
        SELECT array_agg(a.attnum ORDER BY k.place) INTO chosen
        FROM previewpg.relation r, unnest(r.key_columns) WITH ORDINALITY AS k(name, place)
        JOIN pg_attribute a ON a.attrelid = target AND a.attname = k.name
        WHERE r.upper = root AND r.state = 'merged';
        IF outcome = 'merged' AND NOT EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = root AND r.state = 'merged') THEN
            outcome := 'unsupported';
            cause := 'The partitioned table that it belongs to can''t be served';
        END IF;
    END IF;
    -- An inheritance tree is one thing without a key: each table's rows are its own, one marker says that all were copied up.
    IF (description ->> 'inherits')::boolean AND outcome = 'merged' THEN
        chosen := NULL;
        SELECT coalesce((SELECT min(r.claims) FROM previewpg.relation r WHERE r.upper IN (SELECT m FROM previewpg.inheritance_tree(target) AS m))::oid,
                        (SELECT min(m) FROM previewpg.inheritance_tree(target) AS m)) INTO root;
        cause := CASE
            WHEN (SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]') FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE h.inhparent = target) IS DISTINCT FROM (SELECT coalesce(jsonb_agg(x ORDER BY (x ->> 0) COLLATE "C", (x ->> 1) COLLATE "C"), '[]') FROM jsonb_array_elements(description -> 'heirs') AS x)
                THEN 'Its children aren''t those that it has on production'
            WHEN EXISTS (SELECT FROM previewpg.relation r WHERE r.claims = root AND r.state = 'detached') THEN 'Its inheritance tree is the preview''s own already' END;
        outcome := CASE WHEN cause IS NULL THEN 'merged' ELSE 'unsupported' END;
    END IF;
    INSERT INTO previewpg.relation (upper, production_schema, production_name, key_numbers, state, reason, row_security, production_columns, production_rows, production_bytes, claims, copy_up)
    VALUES (target, description ->> 'schema', description ->> 'name', CASE WHEN outcome = 'merged' THEN coalesce(chosen, '{}') ELSE '{}' END, outcome, cause,
            coalesce((description ->> 'row_security')::boolean, false), description -> 'columns',
            coalesce((description ->> 'rows')::bigint, 0), coalesce((description ->> 'bytes')::bigint, 0), root::bigint, target::bigint);
    IF outcome = 'unsupported' THEN
        RETURN outcome;
    END IF;
    BEGIN
        PERFORM previewpg.put_foreign_table(target, description);
        INSERT INTO previewpg.attribute (upper, number, expression, source, origin, type, not_null)
        SELECT target, a.attnum,
               CASE WHEN c.name IS NULL THEN format('%s::%s', previewpg.default_literal(target, a.attnum), format_type(a.atttypid, a.atttypmod))
                    WHEN c.type = format_type(a.atttypid, a.atttypmod) THEN quote_ident(c.name)
                    ELSE format('%I::%s', c.name, format_type(a.atttypid, a.atttypmod)) END,
               CASE WHEN c.type = format_type(a.atttypid, a.atttypmod) THEN c.name END, c.name, format_type(a.atttypid, a.atttypmod),
               a.attnotnull AND coalesce(c.not_null, true)
        FROM pg_attribute a
        LEFT JOIN jsonb_to_recordset(description -> 'columns') AS c(name text, type text, not_null boolean) ON c.name = a.attname
        WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
        -- What production's own schema promises needs no check; all of it does where this table was made from that schema.
        INSERT INTO previewpg.verified SELECT p.object, target FROM previewpg.promisable(target) AS p
        WHERE NOT coalesce((description ->> 'adopted')::boolean, false) OR description -> 'promises' ? p.definition
        ON CONFLICT DO NOTHING;
        UPDATE previewpg.relation r SET same_shape = previewpg.has_same_shape(target) WHERE r.upper = target;
        IF (description ->> 'inherits')::boolean AND NOT previewpg.has_same_columns(target) THEN
            RAISE EXCEPTION 'It is part of an inheritance tree, and its columns aren''t those that it has on production';
        END IF;
        PERFORM previewpg.build_projection(target);
        IF outcome = 'merged' THEN
            PERFORM previewpg.build_claims(target, coalesce(chosen, '{}'));
            -- Rows that an adopted table has already are the preview's.
            IF chosen <> '{}' AND root = target AND previewpg.is_written(target) THEN
                EXECUTE format('INSERT INTO previewpg_claims.r%s (%s) SELECT %2$s FROM %3$s ON CONFLICT DO NOTHING', target, previewpg.column_list(target, chosen), previewpg.upper_of(target));
            END IF;
        END IF;
        RETURN outcome;
    EXCEPTION WHEN OTHERS THEN
        cause := SQLERRM;
    END;
    UPDATE previewpg.relation r SET state = 'unsupported', reason = cause, key_numbers = '{}' WHERE r.upper = target;
    RETURN 'unsupported';
END
$$;

-- The foreign table. It has no NOT NULLs: production may drop one before we hear of it, and newer planners take them for granted.
-- Nothing reads a column whose type the preview has dropped: it's text.
CREATE OR REPLACE FUNCTION previewpg.put_foreign_table(target oid, description jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Production reads a parent with its children: which of them a row is of, tells its tableoid.
    IF jsonb_array_length(coalesce(description -> 'heirs', '[]')) > 0 AND to_regclass('previewpg_fdw.production_class') IS NULL THEN
        CREATE FOREIGN TABLE previewpg_fdw.production_class (oid oid, relname name, relnamespace oid) SERVER previewpg_production
            OPTIONS (schema_name 'pg_catalog', table_name 'pg_class', updatable 'false', truncatable 'false');
        CREATE FOREIGN TABLE previewpg_fdw.production_namespace (oid oid, nspname name) SERVER previewpg_production
            OPTIONS (schema_name 'pg_catalog', table_name 'pg_namespace', updatable 'false', truncatable 'false');
    END IF;
    EXECUTE format('CREATE FOREIGN TABLE previewpg_fdw.r%s (%s) SERVER previewpg_production OPTIONS (schema_name %L, table_name %L, updatable ''false'', truncatable ''false'')',
        target, concat_ws(', ', CASE WHEN jsonb_array_length(coalesce(description -> 'heirs', '[]')) > 0 THEN 'previewpg_tableoid oid OPTIONS (column_name ''tableoid'')' END, (SELECT string_agg(format('%I %s%s', c ->> 'name', CASE WHEN to_regtype(c ->> 'type') IS NULL THEN 'text' ELSE c ->> 'type' END, coalesce(' COLLATE ' || (c ->> 'collation'), '')), ', ' ORDER BY place)
                 FROM jsonb_array_elements(description -> 'columns') WITH ORDINALITY AS x(c, place))),
        description ->> 'schema', description ->> 'name');
END
$$;

-- Upper's live columns are production's: the same names, types and order.
CREATE OR REPLACE FUNCTION previewpg.has_same_shape(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), p.source) ORDER BY a.attnum)
            FROM pg_attribute a LEFT JOIN previewpg.attribute p ON p.upper = $1 AND p.number = a.attnum
            WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped)
        IS NOT DISTINCT FROM
           (SELECT jsonb_agg(jsonb_build_array(c ->> 'name', c ->> 'type', c ->> 'name') ORDER BY x.place)
            FROM previewpg.relation r, jsonb_array_elements(r.production_columns) WITH ORDINALITY AS x(c, place) WHERE r.upper = $1));
END
$$;

-- The same in any order: a restored child has its parents' columns first.
CREATE OR REPLACE FUNCTION previewpg.has_same_columns(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT (SELECT jsonb_object_agg(a.attname, jsonb_build_array(format_type(a.atttypid, a.atttypmod), p.source))
            FROM pg_attribute a LEFT JOIN previewpg.attribute p ON p.upper = $1 AND p.number = a.attnum
            WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped)
        IS NOT DISTINCT FROM
           (SELECT jsonb_object_agg(c ->> 'name', jsonb_build_array(c ->> 'type', c ->> 'name'))
            FROM previewpg.relation r, jsonb_array_elements(r.production_columns) AS c WHERE r.upper = $1));
END
$$;

-- What a column that production lacks reads as for production's rows: a literal, evaluated with the app role's rights. NULL unless the default is free of volatile functions.
CREATE OR REPLACE FUNCTION previewpg.default_literal(relation oid, number smallint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
    expression text;
BEGIN
    SELECT a.attmissingval::text::text[] INTO missing FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = number AND a.atthasmissing;
    SELECT pg_get_expr(d.adbin, d.adrelid) INTO expression
    FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = relation AND d.adnum = number AND a.attgenerated = '';
    IF expression IS NULL THEN
        RETURN 'NULL';
    END IF;
    RETURN coalesce(quote_literal(previewpg.value_as_app(format('SELECT (%s)::%s::text', expression,
        (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = number)))), 'NULL');
END
$$;

-- The one value of a query, evaluated with the app role's rights (which owns this function).
CREATE OR REPLACE FUNCTION previewpg.value_as_app(query text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    value text;
BEGIN
    EXECUTE query INTO value;
    RETURN value;
END
$$;
