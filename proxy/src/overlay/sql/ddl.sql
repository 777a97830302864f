-- Schema changes: clients' DDL acts on upper, natively; what follows it stands here.
--
-- previewpg.follow brings everything around one table in step with upper's columns, keys and constraints, checks what is new against the
-- rows of lower with PostgreSQL's own errors, and copies the table up and detaches it where a change can't be expressed over lower.
-- Event triggers call it, so that DDL from functions and DO blocks counts too. Our own DDL, which they run, is followed by nothing: they know it by what
-- stands below them. Triggers are switched off only where somebody else's would see it, for that makes the session plan everything anew.

-- Whether any row of lower is still seen.
CREATE OR REPLACE FUNCTION previewpg.has_lower_rows(relation oid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN previewpg.as_app(format('SELECT 1 FROM previewpg_lower.r%s AS l WHERE %s LIMIT 1', relation, previewpg.unclaimed_before(relation, 'l'))) > 0;
END
$$;

-- As previewpg.unclaimed, by the names that the claims and the projection had before the current command renamed columns.
CREATE OR REPLACE FUNCTION previewpg.unclaimed_before(relation oid, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT CASE WHEN r.key_numbers = '{}' THEN format('NOT EXISTS (SELECT 1 FROM previewpg_claims.r%s)', r.claims)
        ELSE format('NOT EXISTS (SELECT 1 FROM previewpg_claims.r%s AS previewpg_c WHERE %s)', r.claims,
            (SELECT string_agg(format('previewpg_c.%1$I %3$s %2$s.%1$I', c.attname, alias,
                        previewpg.index_equality(to_regclass('previewpg_claims.r' || r.claims || '_pkey'), c.attnum)), ' AND ' ORDER BY c.attnum)
             FROM pg_attribute c WHERE c.attrelid = to_regclass('previewpg_claims.r' || r.claims) AND c.attnum BETWEEN 1 AND cardinality(r.key_numbers))) END
    FROM previewpg.relation r WHERE r.upper = $1);
END
$$;

-- A change of type that a built-in cast expresses over lower: implicit, and without a length to exceed. A cast of the app role's own would run
-- with the owner's rights when the claims are converted.
CREATE OR REPLACE FUNCTION previewpg.widens(before text, after oid, after_modifier int) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT $3 = -1 AND (b.oid = $2 OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = b.oid AND c.casttarget = $2 AND c.castcontext = 'i'
                                              AND c.castmethod IN ('b', 'f') AND b.typcollation = t.typcollation
                                              AND c.oid < 16384))
    FROM pg_type b, pg_type t WHERE b.oid = to_regtype($1) AND t.oid = $2);
END
$$;

-- What a table takes, of a partitioned one with its partitions.
CREATE OR REPLACE FUNCTION previewpg.size_of_tree(relation oid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_table_size(relation) + coalesce((SELECT sum(pg_table_size(p.relid)) FROM pg_partition_tree(relation) AS p WHERE p.relid <> relation), 0)
$$;

-- Copies the rest of lower up while upper's shape has just changed, and detaches: columns that lower can't express are left to their defaults. Of a partition tree
-- all is copied, through its root.
CREATE OR REPLACE FUNCTION previewpg.absorb(relation oid, reason text) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    rows_limit bigint := previewpg.setting('copy_up_rows');
    bytes_limit bigint := previewpg.setting('copy_up_bytes');
    root oid;
    leaf oid;
    before bigint;
    bytes bigint := (SELECT sum(x.production_bytes) FROM previewpg.relation x WHERE relation IN (x.upper, x.claims));
    selected text;
    inserted text;
    claimed text;
    again text;
    copied bigint;
    detail text;
    broken text;
    schema_name text;
    table_name text;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF (SELECT c.relispartition FROM pg_class c WHERE c.oid = relation) THEN
        root := pg_partition_root(relation);
        PERFORM previewpg.follow(root);
        IF (SELECT x.state = 'merged' FROM previewpg.relation x WHERE x.upper = root) THEN
            PERFORM previewpg.absorb(root, reason);
            PERFORM previewpg.follow(root);
        END IF;
        RETURN;
    END IF;
    before := previewpg.size_of_tree(relation);
    IF bytes > bytes_limit THEN
        PERFORM previewpg.raise_limit(relation, r.production_rows, bytes);
    END IF;
    SELECT string_agg(format('%s AS c%s', p.expression, p.number), ', ' ORDER BY p.number) INTO selected
    FROM previewpg.attribute p WHERE p.upper = relation;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO inserted
    FROM pg_attribute a JOIN previewpg.attribute p ON p.upper = a.attrelid AND p.number = a.attnum
    WHERE a.attrelid = relation AND NOT a.attisdropped AND a.attgenerated = '';
    SELECT string_agg(format('previewpg_c.%I %s l.c%s', c.attname,
               previewpg.index_equality(to_regclass('previewpg_claims.r' || r.upper || '_pkey'), k.place::int), k.number), ' AND ')
    INTO claimed
    FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute c ON c.attrelid = to_regclass('previewpg_claims.r' || relation) AND c.attnum = k.place;
    EXECUTE format('CREATE VIEW previewpg_lower.a%s AS SELECT %s FROM previewpg_fdw.r%1$s', relation, selected);
    EXECUTE format('GRANT SELECT ON previewpg_lower.a%s TO %I', relation, previewpg.setting('app_role'));
    again := previewpg.silence(relation);
    BEGIN
        copied := previewpg.as_app(format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM previewpg_lower.a%s AS l WHERE NOT EXISTS (SELECT 1 FROM previewpg_claims.r%4$s AS previewpg_c WHERE %5$s) LIMIT %6$s',
        previewpg.name_of(relation), inserted,
        (SELECT string_agg('l.c' || a.attnum, ', ' ORDER BY a.attnum) FROM pg_attribute a JOIN previewpg.attribute p ON p.upper = a.attrelid AND p.number = a.attnum
         WHERE a.attrelid = relation AND NOT a.attisdropped AND a.attgenerated = ''), relation, coalesce(claimed, 'true'), rows_limit + 1));
    EXCEPTION WHEN exclusion_violation THEN
        -- What PostgreSQL says when it builds the index over these rows.
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, broken = CONSTRAINT_NAME, schema_name = SCHEMA_NAME, table_name = TABLE_NAME;
        RAISE exclusion_violation USING MESSAGE = format('could not create exclusion constraint "%s"', broken),
            DETAIL = regexp_replace(detail, '^Key (.*) conflicts with existing key (.*)[.]$', $r$Key \2 conflicts with key \1.$r$), SCHEMA = schema_name, TABLE = table_name, CONSTRAINT = broken;
    END;
    EXECUTE again;
    EXECUTE format('DROP VIEW previewpg_lower.a%s', relation);
    IF copied > rows_limit OR previewpg.size_of_tree(relation) - before > bytes_limit THEN
        PERFORM previewpg.raise_limit(relation, greatest(r.production_rows, copied), greatest(bytes, previewpg.size_of_tree(relation) - before));
    END IF;
    UPDATE previewpg.relation AS x SET state = 'detached', reason = $2, same_shape = false WHERE relation IN (x.upper, x.claims);
    FOR leaf IN SELECT x.upper FROM previewpg.relation x WHERE x.claims = relation AND x.upper <> relation ORDER BY x.upper LOOP
        PERFORM previewpg.follow(leaf);
    END LOOP;
END
$$;

-- Removes what stands around a table that is gone, or that looks at production no more.
CREATE OR REPLACE FUNCTION previewpg.forget(relation oid) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
             WHERE p.pronamespace = 'previewpg_copy'::regnamespace AND p.proname ~ ('^[rinudc]' || relation || '$') LOOP
        EXECUTE format('DROP FUNCTION %s', f.name);
    END LOOP;
    EXECUTE format('DROP VIEW IF EXISTS previewpg_lower.r%s', relation);
    EXECUTE format('DROP FOREIGN TABLE IF EXISTS previewpg_fdw.r%s', relation);
    EXECUTE format('DROP TABLE IF EXISTS previewpg_claims.r%s', relation);
    -- Our own foreign key may not act here: triggers may be off.
    DELETE FROM previewpg.attribute p WHERE p.upper = relation;
    DELETE FROM previewpg.relation r WHERE r.upper = relation;
    DELETE FROM previewpg.verified v WHERE v.upper = relation;
END
$$;

-- Which table PostgreSQL names when a row of lower (l) is in the way of an ALTER TABLE: of a partitioned table the first partition that holds one. A table
-- whose projection has the shape from before the current command is looked at by its old names.
CREATE OR REPLACE FUNCTION previewpg.holder(relation oid, condition text, before boolean) RETURNS oid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf oid;
BEGIN
    FOR leaf IN
        SELECT p.relid FROM pg_partition_tree(relation) AS p JOIN previewpg.relation r ON r.upper = p.relid AND r.state = 'merged'
        WHERE p.isleaf AND p.relid <> relation ORDER BY p.level, p.relid
    LOOP
        IF previewpg.as_app(format('SELECT 1 FROM previewpg_lower.r%s AS l WHERE (%s) AND %s LIMIT 1', leaf, condition,
                CASE WHEN before THEN previewpg.unclaimed_before(leaf, 'l') ELSE previewpg.unclaimed(leaf, 'l') END)) > 0 THEN
            RETURN leaf;
        END IF;
    END LOOP;
    RETURN relation;
END
$$;

-- That a row `l` of lower violates a check, whose expression has its columns' bare names in it and may have the whole row (`t.*`), which a view's row isn't.
CREATE OR REPLACE FUNCTION previewpg.violated(relation oid, expression text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := (SELECT quote_ident(c.relname) FROM pg_class c WHERE c.oid = relation);
BEGIN
    IF strpos(expression, name || '.*') = 0 THEN
        RETURN format('(%s) IS FALSE', expression);
    END IF;
    RETURN format('EXISTS (SELECT FROM pg_catalog.unnest(ARRAY[ROW(%s)::%s]) AS %s WHERE (%s) IS FALSE)',
        (SELECT string_agg('l.' || quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped),
        previewpg.name_of(relation), name, expression);
END
$$;

-- PostgreSQL's own complaint of ALTER TABLE about NULLs; rows of lower are found by the condition, over the old projection.
CREATE OR REPLACE FUNCTION previewpg.raise_nulls(relation oid, column_name text, condition text, before boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
BEGIN
    SELECT c.relname, n.nspname INTO t FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = previewpg.holder(relation, condition, before);
    RAISE not_null_violation USING MESSAGE = format('column "%s" of relation "%s" contains null values', column_name, t.relname),
        SCHEMA = t.nspname, TABLE = t.relname, COLUMN = column_name;
END
$$;

-- Brings everything around a table in step with upper after a schema change.
CREATE OR REPLACE FUNCTION previewpg.follow(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    item record;
    absorbed text;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF r.state IN ('merged', 'read_only') THEN
        -- A partition is known by its root's claims; what became one, or is one no more, would be counted twice or never. An inheritance tree stays as production has it.
        IF (SELECT CASE WHEN c.relispartition THEN r.claims <> pg_partition_root(relation)::oid::bigint
                        WHEN c.relkind = 'p' THEN r.claims <> r.upper
                        ELSE (SELECT array_agg(m ORDER BY m) FROM previewpg.inheritance_tree(relation) AS m)
                                IS DISTINCT FROM (SELECT array_agg(x.upper ORDER BY x.upper) FROM previewpg.relation x WHERE x.claims = r.claims AND x.state = r.state)
                            OR EXISTS (SELECT FROM pg_inherits h WHERE relation IN (h.inhparent, h.inhrelid)) AND NOT previewpg.has_same_columns(relation) END
            FROM pg_class c WHERE c.oid = relation) THEN
            RAISE feature_not_supported USING
                MESSAGE = format('table "%s" can''t join or leave an inheritance or partition tree in a preview', (SELECT c.relname FROM pg_class c WHERE c.oid = relation)),
                DETAIL = 'Its rows come from production, and a query of the tree would miss them.',
                HINT = format('Copy it up first: SELECT previewpg.copy_up_all(%L::regclass, true).', previewpg.name_of(relation));
        END IF;
        -- New columns.
        FOR item IN
            SELECT a.attnum, a.attname, a.attnotnull, a.attgenerated, a.attidentity, a.atthasdef, m.atthasmissing, m.attmissingval::text::text[] AS missing,
                   format_type(a.atttypid, a.atttypmod) AS type, t.typtype
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            -- A partitioned table has no rows to remember a value for; its partitions have.
            JOIN pg_attribute m ON m.attname = a.attname
             AND m.attrelid = coalesce((SELECT p.relid::oid FROM pg_class c, LATERAL pg_partition_tree(c.oid) AS p WHERE c.oid = relation AND c.relkind = 'p' AND p.isleaf LIMIT 1), relation)
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
              AND NOT EXISTS (SELECT FROM previewpg.attribute p WHERE p.upper = relation AND p.number = a.attnum)
            ORDER BY a.attnum
        LOOP
            IF NOT item.atthasmissing AND (item.atthasdef OR item.attidentity <> '' OR item.typtype = 'd') THEN
                absorbed := coalesce(absorbed, format('Column "%s" has a value of its own in each row', item.attname));
                CONTINUE;
            END IF;
            IF item.attnotnull AND NOT item.atthasmissing AND r.state = 'merged' AND previewpg.has_lower_rows(relation) THEN
                PERFORM previewpg.raise_nulls(relation, item.attname, 'true', true);
            END IF;
            INSERT INTO previewpg.attribute (upper, number, expression, source, type, not_null)
            VALUES (relation, item.attnum, format('%s::%s', coalesce(quote_literal(item.missing[1]), 'NULL'), item.type), NULL, item.type, item.attnotnull);
        END LOOP;
        -- Changed types.
        FOR item IN
            SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated, format_type(a.atttypid, a.atttypmod) AS type, p.expression, p.type AS before
            FROM pg_attribute a JOIN previewpg.attribute p ON p.upper = relation AND p.number = a.attnum
            WHERE a.attrelid = relation AND NOT a.attisdropped AND p.type <> format_type(a.atttypid, a.atttypmod)
        LOOP
            IF to_regtype(item.before) = item.atttypid AND item.before = item.type THEN
                CONTINUE;
            END IF;
            IF to_regtype(item.before) IS NULL THEN
                -- The type itself was renamed.
                UPDATE previewpg.attribute AS p SET type = item.type WHERE p.upper = relation AND p.number = item.attnum;
            ELSIF previewpg.widens(item.before, item.atttypid, item.atttypmod) AND item.attgenerated = '' THEN
                UPDATE previewpg.attribute AS p SET expression = format('(%s)::%s', item.expression, item.type), source = NULL, type = item.type
                WHERE p.upper = relation AND p.number = item.attnum;
                IF item.attnum = ANY (r.key_numbers) AND r.claims = r.upper THEN
                    EXECUTE format('ALTER TABLE previewpg_claims.r%s ALTER COLUMN %I TYPE %s', r.claims,
                        (SELECT c.attname FROM pg_attribute c WHERE c.attrelid = to_regclass('previewpg_claims.r' || r.claims) AND c.attnum = array_position(r.key_numbers, item.attnum)), item.type);
                END IF;
            ELSE
                absorbed := coalesce(absorbed, format('The type of column "%s" was changed', item.attname));
            END IF;
        END LOOP;
        -- New NOT NULLs, over the old projection: it still has the columns' old names.
        FOR item IN
            SELECT a.attname, v.attname AS old_name, a.attnum
            FROM pg_attribute a JOIN previewpg.attribute p ON p.upper = relation AND p.number = a.attnum
            JOIN LATERAL (SELECT x.attname FROM (SELECT y.attname, row_number() OVER (ORDER BY y.attnum) AS place FROM pg_attribute y
                          WHERE y.attrelid = to_regclass('previewpg_lower.r' || relation) AND y.attnum > 0) AS x
                          WHERE x.place = (SELECT count(*) FROM previewpg.attribute q WHERE q.upper = relation AND q.number <= a.attnum)) AS v ON true
            WHERE a.attrelid = relation AND a.attnotnull AND NOT a.attisdropped AND NOT p.not_null AND r.state = 'merged'
        LOOP
            IF previewpg.as_app(format('SELECT 1 FROM previewpg_lower.r%s AS l WHERE l.%I IS NULL AND %s LIMIT 1', relation, item.old_name, previewpg.unclaimed_before(relation, 'l'))) > 0 THEN
                PERFORM previewpg.raise_nulls(relation, item.attname, format('l.%I IS NULL', item.old_name), true);
            END IF;
        END LOOP;
        UPDATE previewpg.attribute AS p SET not_null = a.attnotnull FROM pg_attribute a
        WHERE p.upper = relation AND a.attrelid = relation AND a.attnum = p.number AND p.not_null <> a.attnotnull;
        -- The key that claims are kept by is no key any more; an exclusion constraint is new.
        IF r.state = 'merged' AND r.key_numbers <> '{}' AND NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
              AND (SELECT array_agg(n ORDER BY n) FROM unnest((i.indkey::smallint[])[0:i.indnkeyatts - 1]) AS n) = (SELECT array_agg(n ORDER BY n) FROM unnest(r.key_numbers) AS n)
              AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = ANY (r.key_numbers) AND (NOT a.attnotnull OR a.attisdropped)))
        THEN
            absorbed := coalesce(absorbed, 'Its key was dropped');
        END IF;
        IF r.state = 'merged' AND EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'x'
                                          AND NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = k.oid)) THEN
            absorbed := coalesce(absorbed, 'It got an exclusion constraint');
        END IF;
        IF absorbed IS NOT NULL AND r.state = 'merged' THEN
            PERFORM previewpg.absorb(relation, absorbed);
        END IF;
        -- Dropped columns.
        DELETE FROM previewpg.attribute AS p USING pg_attribute a
        WHERE p.upper = relation AND a.attrelid = relation AND a.attnum = p.number AND a.attisdropped;
        -- Columns that only defaults could fill, now that lower is empty.
        INSERT INTO previewpg.attribute (upper, number, expression, source, type, not_null)
        SELECT relation, a.attnum, format('NULL::%s', format_type(a.atttypid, a.atttypmod)), NULL, format_type(a.atttypid, a.atttypmod), a.attnotnull
        FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        ON CONFLICT DO NOTHING;
        IF absorbed IS NOT NULL THEN
            UPDATE previewpg.attribute AS p SET expression = format('NULL::%s', format_type(a.atttypid, a.atttypmod)), source = NULL, type = format_type(a.atttypid, a.atttypmod)
            FROM pg_attribute a WHERE p.upper = relation AND a.attrelid = relation AND a.attnum = p.number;
        END IF;
        UPDATE previewpg.relation AS x SET same_shape = x.state = 'merged' AND previewpg.has_same_shape(relation) WHERE x.upper = relation;
    ELSIF r.state = 'detached' THEN
        UPDATE previewpg.relation AS x SET copied_by = NULL WHERE x.upper = relation;
        DELETE FROM previewpg.attribute AS p WHERE p.upper = relation;
        INSERT INTO previewpg.attribute (upper, number, expression, source, type, not_null)
        SELECT relation, a.attnum, format('NULL::%s', format_type(a.atttypid, a.atttypmod)), NULL, format_type(a.atttypid, a.atttypmod), a.attnotnull
        FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
    END IF;
    PERFORM previewpg.build(relation);
    PERFORM previewpg.release_types(relation);
    -- Tables that this one's foreign keys connect it with: their functions name its columns.
    FOR item IN
        SELECT k.conrelid AS other FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = relation AND k.conrelid <> relation
    LOOP
        PERFORM previewpg.build_checks(item.other);
    END LOOP;
    FOR item IN
        SELECT k.confrelid AS other FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = relation AND k.confrelid <> relation
    LOOP
        PERFORM previewpg.build_children(item.other);
    END LOOP;
    PERFORM previewpg.verify(relation);
END
$$;

-- Production's columns that nothing reads any more become text: the preview may drop their types next.
CREATE OR REPLACE FUNCTION previewpg.release_types(relation oid) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT a.attname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = to_regclass('previewpg_fdw.r' || relation) AND a.attnum > 0 AND NOT a.attisdropped AND t.typnamespace <> 'pg_catalog'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                          AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'n')
    LOOP
        EXECUTE format('ALTER FOREIGN TABLE previewpg_fdw.r%s ALTER COLUMN %I TYPE text', relation, item.attname);
    END LOOP;
END
$$;

-- Checks new constraints and unique indexes against lower's rows, with the errors of ALTER TABLE and CREATE INDEX.
CREATE OR REPLACE FUNCTION previewpg.verify(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    t record;
    item record;
    part record;
    duplicate text;
    violated text;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF r.state IS DISTINCT FROM 'merged' THEN
        RETURN;
    END IF;
    -- Production promises it for its rows, and the preview has no others. (Whoever sets this at will gets fewer checks of his own preview.)
    IF current_setting('previewpg.promised', true) = 'on' AND NOT previewpg.is_written(relation) AND NOT EXISTS (
        SELECT FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'f' AND previewpg.is_written(k.confrelid)) THEN
        INSERT INTO previewpg.verified SELECT p.object, relation FROM previewpg.promisable(relation) AS p ON CONFLICT DO NOTHING;
        RETURN;
    END IF;
    SELECT c.relname, n.nspname INTO t FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
    FOR item IN
        SELECT k.oid, k.conname, pg_get_expr(k.conbin, k.conrelid) AS expression FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype = 'c' AND k.convalidated AND NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = k.oid) ORDER BY k.oid
    LOOP
        violated := previewpg.violated(relation, item.expression);
        IF previewpg.as_app(format('SELECT 1 FROM previewpg_lower.r%s AS l WHERE %s AND %s LIMIT 1', relation, violated, previewpg.unclaimed(relation, 'l'))) > 0 THEN
            SELECT c.relname, n.nspname INTO t FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = previewpg.holder(relation, violated, false);
            RAISE check_violation USING MESSAGE = format('check constraint "%s" of relation "%s" is violated by some row', item.conname, t.relname),
                SCHEMA = t.nspname, TABLE = t.relname, CONSTRAINT = item.conname;
        END IF;
        INSERT INTO previewpg.verified VALUES (item.oid, relation);
    END LOOP;
    FOR item IN
        SELECT i.indexrelid, c.relname, pg_get_expr(i.indpred, i.indrelid) AS predicate,
               NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS distinct_nulls
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = i.indexrelid) ORDER BY i.indexrelid
    LOOP
        SELECT string_agg('(' || c.expression || ')', ', ' ORDER BY c.place) AS keys,
               string_agg(format('(%s)::text', c.expression), ', ' ORDER BY c.place) AS texts,
               string_agg(format('(%s) IS NOT NULL', c.expression), ' AND ' ORDER BY c.place) AS present
        INTO part FROM previewpg.index_columns(item.indexrelid) AS c;
        duplicate := previewpg.value_as_app(format($f$SELECT pg_catalog.array_to_string(ARRAY[%2$s], ', ', 'null')
            FROM (SELECT %5$s FROM %1$s UNION ALL SELECT %5$s FROM previewpg_lower.r%6$s AS l WHERE %7$s) AS %8$I
            WHERE %3$s GROUP BY %4$s HAVING count(*) > 1 ORDER BY %4$s LIMIT 1$f$,
            previewpg.upper_of(relation), part.texts, coalesce('(' || item.predicate || ')', 'true') || CASE WHEN item.distinct_nulls THEN ' AND ' || part.present ELSE '' END,
            part.keys, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped),
            relation, previewpg.unclaimed(relation, 'l'), t.relname));
        IF duplicate IS NOT NULL THEN
            RAISE unique_violation USING MESSAGE = format('could not create unique index "%s"', item.relname),
                DETAIL = format('Key (%s)=(%s) is duplicated.', previewpg.index_text(item.indexrelid), duplicate),
                SCHEMA = t.nspname, TABLE = t.relname, CONSTRAINT = item.relname;
        END IF;
        INSERT INTO previewpg.verified VALUES (item.indexrelid, relation);
    END LOOP;
    -- Foreign keys: lower's children against the merged parent (upper's children were checked by PostgreSQL itself).
    FOR item IN
        SELECT k.oid, k.confrelid FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype = 'f' AND k.conparentid = 0 AND k.convalidated AND NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = k.oid) ORDER BY k.oid
    LOOP
        PERFORM previewpg.verify_foreign_key(item.oid);
        INSERT INTO previewpg.verified VALUES (item.oid, relation);
    END LOOP;
END
$$;

-- The children in lower of a new foreign key, against the merged parent.
CREATE OR REPLACE FUNCTION previewpg.verify_foreign_key(fk oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k pg_constraint;
    parent text;
    part record;
    missing text[];
BEGIN
    SELECT * INTO k FROM pg_constraint x WHERE x.oid = fk;
    SELECT string_agg('l.' || c.child, ', ' ORDER BY c.place) AS children, string_agg(format('l.%s::text', c.child), ', ' ORDER BY c.place) AS texts,
           string_agg(format('l.%s IS NOT NULL', c.child), ' AND ' ORDER BY c.place) AS present,
           string_agg(format('p.%s %s l.%s%s', c.parent, c.equality, c.child, c.collation), ' AND ' ORDER BY c.place) AS matched
    INTO part FROM previewpg.foreign_key_columns(fk) AS c;
    parent := CASE WHEN EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = k.confrelid AND r.state = 'merged')
        THEN format('NOT EXISTS (SELECT 1 FROM previewpg_lower.r%s AS p WHERE %s AND %s)', k.confrelid, part.matched, previewpg.unclaimed(k.confrelid, 'p')) ELSE 'true' END;
    missing := previewpg.value_as_app(format('SELECT ARRAY[%s]::text FROM previewpg_lower.r%s AS l WHERE %s AND %s AND NOT EXISTS (SELECT 1 FROM %s AS p WHERE %s) AND %s LIMIT 1',
        part.texts, k.conrelid, part.present, previewpg.unclaimed(k.conrelid, 'l'), previewpg.name_of(k.confrelid), part.matched, parent))::text[];
    IF missing IS NOT NULL THEN
        PERFORM previewpg.raise_missing_parent(fk, missing);
    END IF;
END
$$;

-- After ALTER TYPE: a label that production's rows hold can't be read any more under another name.
CREATE OR REPLACE FUNCTION previewpg.verify_enum(enum oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lost text := (SELECT l.label FROM previewpg.enum_label l WHERE l.type = enum
                  AND NOT EXISTS (SELECT FROM pg_enum e WHERE e.enumtypid = l.type AND e.enumlabel = l.label) LIMIT 1);
BEGIN
    IF lost IS NOT NULL AND EXISTS (SELECT FROM pg_attribute a JOIN previewpg.relation r ON r.upper = a.attrelid AND r.state IN ('merged', 'read_only')
                                    JOIN pg_type t ON t.oid = a.atttypid WHERE enum IN (t.oid, t.typelem, t.typbasetype) AND NOT a.attisdropped) THEN
        RAISE feature_not_supported USING
            MESSAGE = format('value "%s" of enum %s can''t be renamed in a preview', lost, format_type(enum, -1)),
            DETAIL = 'Rows of production hold it and would still read as the old name.',
            HINT = 'Copy the tables that use it up first: SELECT previewpg.copy_up_all(''table''::regclass, true).';
    END IF;
END
$$;

-- After ALTER DOMAIN: lower's rows against its constraints.
CREATE OR REPLACE FUNCTION previewpg.verify_domain(domain oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
    name text := format_type(domain, -1);
    base text := (SELECT format_type(t.typbasetype, t.typtypmod) FROM pg_type t WHERE t.oid = domain);
BEGIN
    FOR item IN
        SELECT r.upper, a.attname, c.relname, n.nspname FROM previewpg.relation r JOIN pg_attribute a ON a.attrelid = r.upper AND a.atttypid = domain AND NOT a.attisdropped
        JOIN pg_class c ON c.oid = r.upper JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.state = 'merged' ORDER BY r.upper, a.attnum
    LOOP
        BEGIN
            PERFORM previewpg.as_app(format('SELECT pg_catalog.count(CAST(l.%I::%s AS %s)) FROM previewpg_lower.r%s AS l WHERE %s', item.attname, base, name, item.upper, previewpg.unclaimed(item.upper, 'l')));
        EXCEPTION
            WHEN check_violation THEN
                -- Rows of upper stay as they are; lower's become values of the domain whenever they're read.
                IF EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = domain AND NOT k.convalidated) THEN
                    RAISE feature_not_supported USING MESSAGE = format('domain %s can''t have a constraint NOT VALID that rows of production break in a preview', name),
                        DETAIL = format('Column "%s" of table "%s" contains values that violate it, and could not be read any more.', item.attname, item.relname),
                        HINT = 'Change those values first.';
                END IF;
                RAISE check_violation USING MESSAGE = format('column "%s" of table "%s" contains values that violate the new constraint', item.attname, item.relname),
                    SCHEMA = item.nspname, TABLE = item.relname, COLUMN = item.attname;
            WHEN not_null_violation THEN
                RAISE not_null_violation USING MESSAGE = format('column "%s" of table "%s" contains null values', item.attname, item.relname),
                    SCHEMA = item.nspname, TABLE = item.relname, COLUMN = item.attname;
        END;
    END LOOP;
END
$$;

-- Whether an event trigger of ours was fired by the DDL of another one, by its PG_CONTEXT: a stack of calls, the innermost first.
CREATE OR REPLACE FUNCTION previewpg.is_nested(stack text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT substr(stack, nullif(strpos(stack, E'\n'), 0)) ~ $r$previewpg\.(ddl_command_end|sql_drop)\(\)$r$
$$;

-- Somebody else's event triggers must not see our DDL. For the rest of the function that calls this.
CREATE OR REPLACE FUNCTION previewpg.hide_from_others() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled IN ('O', 'A') AND e.evtname !~ '^previewpg_') THEN
        PERFORM pg_catalog.set_config('session_replication_role', 'replica', true);
    END IF;
END
$$;

-- The relations that something of a type stands in: columns, indexes, constraints, defaults; of types that are made of it, too.
CREATE OR REPLACE FUNCTION previewpg.users_of_type(type oid) RETURNS SETOF oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE made(type) AS (
        SELECT $1
        UNION
        SELECT coalesce(nullif(c.reltype, 0), d.objid)
        FROM made m
        JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = m.type AND d.classid IN ('pg_type'::regclass, 'pg_class'::regclass)
        LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        WHERE d.classid = 'pg_type'::regclass OR c.reltype <> 0
    ), used AS (
        SELECT d.classid, d.objid FROM made m JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = m.type
    )
    SELECT coalesce(i.indrelid, u.objid) FROM used u LEFT JOIN pg_index i ON i.indexrelid = u.objid WHERE u.classid = 'pg_class'::regclass
    UNION SELECT k.conrelid FROM used u JOIN pg_constraint k ON k.oid = u.objid WHERE u.classid = 'pg_constraint'::regclass
    UNION SELECT f.adrelid FROM used u JOIN pg_attrdef f ON f.oid = u.objid WHERE u.classid = 'pg_attrdef'::regclass
$$;

CREATE OR REPLACE FUNCTION previewpg.ddl_command_end() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET client_min_messages = warning SET plan_cache_mode = force_generic_plan SET jit = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stack text;
    target oid;
    wide boolean;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF previewpg.is_nested(stack) THEN
        RETURN;
    END IF;
    PERFORM previewpg.hide_from_others();
    SELECT coalesce(bool_or(c.classid IN ('pg_namespace'::regclass, 'pg_extension'::regclass) AND c.command_tag LIKE 'ALTER %'), false)
    INTO wide FROM pg_event_trigger_ddl_commands() AS c;
    PERFORM CASE t.typtype WHEN 'e' THEN previewpg.verify_enum(t.oid) WHEN 'd' THEN previewpg.verify_domain(t.oid) END
    FROM pg_event_trigger_ddl_commands() AS c JOIN pg_type t ON t.oid = c.objid
    WHERE c.classid = 'pg_type'::regclass AND c.command_tag IN ('ALTER TYPE', 'ALTER DOMAIN');
    FOR target IN
        SELECT x.relation FROM (
            SELECT CASE WHEN i.indrelid IS NOT NULL THEN i.indrelid ELSE c.objid END
            FROM pg_event_trigger_ddl_commands() AS c LEFT JOIN pg_index i ON i.indexrelid = c.objid
            WHERE c.classid = 'pg_class'::regclass
            -- What copy-up must not fire.
            UNION SELECT t.tgrelid FROM pg_event_trigger_ddl_commands() AS c JOIN pg_trigger t ON t.oid = c.objid WHERE c.classid = 'pg_trigger'::regclass
            UNION SELECT w.ev_class FROM pg_event_trigger_ddl_commands() AS c JOIN pg_rewrite w ON w.oid = c.objid WHERE c.classid = 'pg_rewrite'::regclass
            UNION SELECT p.relid::oid FROM pg_event_trigger_ddl_commands() AS c JOIN pg_class o ON o.oid = c.objid AND (o.relkind = 'p' OR o.relispartition),
                LATERAL pg_partition_tree(pg_partition_root(o.oid)) AS p WHERE c.classid = 'pg_class'::regclass
            UNION SELECT r.upper FROM pg_event_trigger_ddl_commands() AS c JOIN pg_class o ON o.oid = c.objid AND o.relkind = 'r' AND NOT o.relispartition,
                LATERAL previewpg.inheritance_tree(o.oid) AS m JOIN previewpg.relation r ON r.upper = m WHERE c.classid = 'pg_class'::regclass
            -- A partition that has just left its tree.
            UNION SELECT r.upper FROM previewpg.relation r JOIN pg_class o ON o.oid = r.upper JOIN pg_class p ON p.oid = r.claims AND p.relkind = 'p'
                WHERE r.state = 'merged' AND r.claims <> r.upper AND NOT o.relispartition
            -- Texts of ours name the types of columns. A composite type's is its relation's.
            UNION SELECT u.relation FROM pg_event_trigger_ddl_commands() AS c
                LEFT JOIN pg_class o ON c.classid = 'pg_class'::regclass AND o.oid = c.objid AND o.relkind = 'c',
                LATERAL previewpg.users_of_type(coalesce(o.reltype, c.objid)) AS u(relation)
                WHERE (c.classid = 'pg_type'::regclass OR o.oid IS NOT NULL) AND c.command_tag LIKE 'ALTER %'
                  AND EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = u.relation AND r.state <> 'unsupported')
            UNION SELECT r.upper FROM previewpg.relation r WHERE wide AND r.state <> 'unsupported') AS x(relation)
        JOIN pg_class t ON t.oid = x.relation AND t.relkind IN ('r', 'p', 'm', 'f') AND t.relpersistence <> 't'
        ORDER BY x.relation
    LOOP
        PERFORM previewpg.follow(target);
    END LOOP;
    PERFORM previewpg.signal((SELECT coalesce(bool_or(c.schema_name IS DISTINCT FROM 'pg_temp'), true) FROM pg_event_trigger_ddl_commands() AS c));
END
$$;

CREATE OR REPLACE FUNCTION previewpg.sql_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET client_min_messages = warning SET plan_cache_mode = force_generic_plan SET jit = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stack text;
    children oid[];
    constraints oid[];
    target oid;
    dropped oid;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF previewpg.is_nested(stack) THEN
        RETURN;
    END IF;
    PERFORM previewpg.hide_from_others();
    -- The lower-backed tables that lost a constraint, themselves perhaps: their parents' triggers may copy them up.
    SELECT array_agg(DISTINCT r.upper) INTO children
    FROM pg_event_trigger_dropped_objects() AS d JOIN previewpg.relation r ON r.upper = CASE
        WHEN d.classid = 'pg_class'::regclass THEN d.objid
        WHEN d.object_type = 'table constraint' THEN to_regclass(format('%I.%I', d.address_names[1], d.address_names[2])) END;
    FOR target IN SELECT d.objid FROM pg_event_trigger_dropped_objects() AS d JOIN previewpg.relation r ON r.upper = d.objid
                  WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 LOOP
        IF (SELECT r.state = 'merged' AND r.key_numbers = '{}' AND EXISTS (SELECT FROM previewpg.relation o JOIN pg_class c ON c.oid = o.upper
                                                                           WHERE o.claims = r.claims AND (c.relkind = 'r' AND NOT c.relispartition OR r.claims <> r.upper)) FROM previewpg.relation r WHERE r.upper = target) THEN
            PERFORM previewpg.raise_part(target);
        END IF;
        IF (SELECT r.state = 'merged' AND r.claims <> r.upper AND EXISTS (SELECT FROM pg_class c WHERE c.oid = r.claims) FROM previewpg.relation r WHERE r.upper = target) THEN
            PERFORM previewpg.claim_all(target);
        END IF;
        PERFORM previewpg.forget(target);
    END LOOP;
    FOR dropped IN SELECT d.objid FROM pg_event_trigger_dropped_objects() AS d WHERE d.object_type = 'table constraint' AND to_regclass('previewpg_copy.k' || d.objid) IS NOT NULL LOOP
        EXECUTE format('DROP TABLE IF EXISTS previewpg_copy.k%s', dropped);
    END LOOP;
    -- Those of which there are functions of ours.
    SELECT array_agg(d.objid) INTO constraints FROM pg_event_trigger_dropped_objects() AS d
    WHERE d.classid = 'pg_class'::regclass AND to_regproc('previewpg_copy.x' || d.objid) IS NOT NULL
       OR d.classid = 'pg_constraint'::regclass AND (to_regproc('previewpg_copy.f' || d.objid) IS NOT NULL OR to_regproc('previewpg_copy.g' || d.objid) IS NOT NULL);
    -- Tables whose checks call a dropped index's or constraint's function, and parents of dropped foreign keys.
    FOR target IN
        SELECT substr(p.proname, 2)::oid FROM unnest(constraints) AS d(objid)
        JOIN pg_proc p ON p.pronamespace = 'previewpg_copy'::regnamespace AND p.proname ~ '^n[0-9]+$'
         AND (strpos(p.prosrc, format('previewpg_copy.x%s(', d.objid)) > 0 OR strpos(p.prosrc, format('previewpg_copy.f%s(', d.objid)) > 0 OR strpos(p.prosrc, format('previewpg_copy.k%s ', d.objid)) > 0)
        JOIN pg_class c ON c.oid = substr(p.proname, 2)::oid
        UNION
        -- A type was dropped with all that depends on it: our view too.
        SELECT r.upper FROM pg_event_trigger_dropped_objects() AS d JOIN previewpg.relation r ON d.object_type = 'view' AND d.schema_name = 'previewpg_lower' AND d.object_name = 'r' || r.upper
        JOIN pg_class c ON c.oid = r.upper
        UNION
        SELECT substr(p.proname, 2)::oid FROM unnest(children) AS l(child)
        JOIN pg_proc p ON p.pronamespace = 'previewpg_copy'::regnamespace AND p.proname ~ '^d[0-9]+$' AND strpos(p.prosrc, format('previewpg_lower.r%s AS ', l.child)) > 0
        JOIN pg_class c ON c.oid = substr(p.proname, 2)::oid
    LOOP
        PERFORM previewpg.follow(target);
    END LOOP;
    -- Types that the functions are declared with may be dropped next.
    FOR dropped IN SELECT p.oid FROM unnest(constraints) AS d(objid) JOIN pg_proc p ON p.pronamespace = 'previewpg_copy'::regnamespace AND p.proname IN ('x' || d.objid, 'f' || d.objid, 'g' || d.objid) LOOP
        EXECUTE format('DROP FUNCTION %s', dropped::regprocedure);
    END LOOP;
    PERFORM previewpg.signal((SELECT coalesce(bool_or(NOT d.is_temporary), true) FROM pg_event_trigger_dropped_objects() AS d));
END
$$;

-- ALTER TABLE rewrites upper only. A change of type without USING is followed; of another one the new values can't be known here.
CREATE OR REPLACE FUNCTION previewpg.table_rewrite() RETURNS event_trigger
LANGUAGE plpgsql AS $$
DECLARE
    relation oid := pg_catalog.pg_event_trigger_table_rewrite_oid();
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF NOT EXISTS (SELECT FROM previewpg.relation AS r WHERE r.upper = relation AND r.state = 'merged')
        OR pg_catalog.pg_event_trigger_table_rewrite_reason() & 4 = 0
        OR pg_catalog.strpos(stack, E'\n') = 0 AND pg_catalog.current_query() !~* $r$\musing\M$r$ THEN
        RETURN;
    END IF;
    RAISE feature_not_supported USING
        MESSAGE = pg_catalog.format('the type of a column of table "%s" can''t be changed with USING from here in a preview', (SELECT c.relname FROM pg_catalog.pg_class AS c WHERE c.oid = relation)),
        DETAIL = 'The rows of production were not copied up first, and the new values can''t be computed for them.',
        HINT = pg_catalog.format('Copy the table up first: SELECT previewpg.copy_up_all(%s::pg_catalog.regclass, true).', pg_catalog.quote_literal(previewpg.name_of(relation)));
END
$$;

-- PostgreSQL checks a new foreign key's rows of upper, and those of one that becomes valid, against upper parents only: so their parents are copied up before. All that is
-- known at this point is the text; what isn't recognised in it ends in PostgreSQL's error.
CREATE OR REPLACE FUNCTION previewpg.ddl_command_start() RETURNS event_trigger
LANGUAGE plpgsql AS $$
DECLARE
    query text := pg_catalog.current_query();
    name constant text := '("(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)';
    part text[];
    child text;
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF query !~* 'references|validate' OR previewpg.is_nested(stack) THEN
        RETURN;
    END IF;
    FOR part IN
        SELECT m FROM pg_catalog.regexp_matches(query, pg_catalog.replace(
            $r$alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(@(?:\s*\.\s*@)?)$r$
            || $r$|foreign\s+key\s*\(([^()]*)\)\s*references\s+(?:only\s+)?(@(?:\s*\.\s*@)?)(?:\s*\(([^()]*)\))?$r$
            || $r$|validate\s+constraint\s+(@)$r$, '@', pg_catalog.replace(name, '("', '(?:"')), 'gi') AS m
    LOOP
        IF part[1] IS NOT NULL THEN
            child := part[1];
        ELSIF part[5] IS NOT NULL THEN
            PERFORM previewpg.copy_up_parents(k.conrelid, k.confrelid,
                (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ',' ORDER BY c.place) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS c(number, place)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = c.number),
                (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ',' ORDER BY c.place) FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS c(number, place)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = c.number))
            FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = pg_catalog.to_regclass(child) AND k.contype = 'f' AND NOT k.convalidated
              AND k.conname = (pg_catalog.parse_ident(part[5]))[1];
        ELSIF child IS NOT NULL THEN
            PERFORM previewpg.copy_up_parents(pg_catalog.to_regclass(child), pg_catalog.to_regclass(part[3]), part[2], part[4]);
        END IF;
    END LOOP;
END
$$;

-- Copies up the rows of a parent that the rows of a child in upper refer to. The columns are lists as an ALTER TABLE has them; NULL: the primary key.
CREATE OR REPLACE FUNCTION previewpg.copy_up_parents(child oid, parent oid, child_columns text, parent_columns text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    keys text[];
    theirs text[] := pg_catalog.parse_ident(pg_catalog.replace(child_columns, ',', '.'));
    query text;
BEGIN
    IF child IS NULL OR NOT EXISTS (SELECT FROM previewpg.relation AS r WHERE r.upper = parent AND r.state = 'merged') THEN
        RETURN;
    END IF;
    IF parent_columns IS NULL THEN
        SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY k.place) INTO keys
        FROM pg_catalog.pg_index AS i, pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = parent AND a.attnum = k.number
        WHERE i.indrelid = parent AND i.indisprimary AND k.place <= i.indnkeyatts;
    ELSE
        keys := pg_catalog.parse_ident(pg_catalog.replace(parent_columns, ',', '.'));
    END IF;
    -- PostgreSQL says what is wrong with these.
    IF pg_catalog.cardinality(keys) IS DISTINCT FROM pg_catalog.cardinality(theirs)
        OR EXISTS (SELECT FROM pg_catalog.unnest(keys) AS k WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = parent AND a.attname = k AND a.attnum > 0))
        OR EXISTS (SELECT FROM pg_catalog.unnest(theirs) AS k WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = child AND a.attname = k AND a.attnum > 0)) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM previewpg.relation AS r WHERE r.upper = parent AND r.key_columns = '{}') THEN
        PERFORM previewpg.copy_up_all(parent, true);
        RETURN;
    END IF;
    SELECT pg_catalog.format('SELECT previewpg_copy.r%s(pg_catalog.array_agg(l)) FROM previewpg_lower.r%s AS l WHERE EXISTS (SELECT 1 FROM %s AS c WHERE %s) HAVING pg_catalog.count(*) > 0',
               r.copy_up, parent, previewpg.upper_of(child), pg_catalog.string_agg(pg_catalog.format('c.%I%s = l.%I', x.mine,
                   CASE WHEN a.attcollation IN (0, b.attcollation) THEN '' ELSE pg_catalog.format(' COLLATE %I.%I', n.nspname, o.collname) END, x.theirs), ' AND '))
    INTO query
    FROM previewpg.relation AS r CROSS JOIN ROWS FROM (pg_catalog.unnest(theirs), pg_catalog.unnest(keys)) AS x(mine, theirs)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = parent AND a.attname = x.theirs
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = child AND b.attname = x.mine
    LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = o.collnamespace
    WHERE r.upper = parent GROUP BY r.copy_up;
    EXECUTE query;
    PERFORM previewpg.touched(parent);
END
$$;
