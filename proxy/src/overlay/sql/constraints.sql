-- Uniqueness and exclusion over merged rows, and the triggers of a table that carry all checks.
--
-- previewpg_copy.xI(keys..)   looks for keys of unique or exclusion index I among the unclaimed rows of lower
-- previewpg_copy.nN(), uN()   AFTER INSERT / AFTER UPDATE statement triggers of upper N: uniqueness, claims, foreign keys
-- Keys travel as arrays, one for each column, so that one remote query serves a whole statement. The triggers run with the rights of whoever writes.

-- The columns of an index: expression (with the index's collation where that isn't the column's, and equality is another one), type, equality operator, and
-- whether keys of it can be shipped as an array.
CREATE OR REPLACE FUNCTION previewpg.index_columns(index oid)
RETURNS TABLE (place int, expression text, type text, equality text, shippable boolean, not_null boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n, pg_get_indexdef(i.indexrelid, n, false) || CASE WHEN previewpg.same_equality(a.attcollation,
               coalesce((SELECT c.attcollation FROM pg_attribute c WHERE c.attrelid = i.indrelid AND c.attnum = nullif(i.indkey[n - 1], 0)), 0)) THEN ''
               ELSE (SELECT format(' COLLATE %I.%I', s.nspname, o.collname) FROM pg_collation o JOIN pg_namespace s ON s.oid = o.collnamespace WHERE o.oid = a.attcollation) END,
           format_type(coalesce(nullif(t.typbasetype, 0), t.oid), -1),
           previewpg.index_equality(i.indexrelid, n), t.typcategory NOT IN ('A', 'C'),
           i.indkey[n - 1] > 0 AND (SELECT c.attnotnull FROM pg_attribute c WHERE c.attrelid = i.indrelid AND c.attnum = i.indkey[n - 1])
    FROM pg_index i
    CROSS JOIN generate_series(1, i.indnkeyatts) AS n
    JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = n
    JOIN pg_type t ON t.oid = CASE WHEN i.indkey[n - 1] > 0
        THEN (SELECT c.atttypid FROM pg_attribute c WHERE c.attrelid = i.indrelid AND c.attnum = i.indkey[n - 1]) ELSE a.atttypid END
    WHERE i.indexrelid = $1 ORDER BY n;
END
$$;

-- Raises PostgreSQL's own unique_violation for the values given (already text; NULL elements are NULLs).
CREATE OR REPLACE FUNCTION previewpg.raise_duplicate(index oid, key_values text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    i record;
    leaf oid;
BEGIN
    -- PostgreSQL names the partition that the row went to.
    IF (SELECT c.relkind = 'I' FROM pg_catalog.pg_class AS c WHERE c.oid = index) THEN
        EXECUTE (SELECT pg_catalog.format('SELECT previewpg_x.tableoid FROM %s AS previewpg_x WHERE %s LIMIT 1', previewpg.name_of(x.indrelid),
                     (SELECT pg_catalog.string_agg(pg_catalog.format('(%s)::pg_catalog.text = ($1)[%s]', pg_catalog.pg_get_indexdef(index, n, false), n), ' AND ')
                      FROM pg_catalog.generate_series(1, x.indnkeyatts::int) AS n))
                 FROM pg_catalog.pg_index AS x WHERE x.indexrelid = index) INTO leaf USING key_values;
        index := coalesce((SELECT t.relid FROM pg_catalog.pg_partition_tree(index) AS t JOIN pg_catalog.pg_index AS x ON x.indexrelid = t.relid WHERE x.indrelid = leaf), index);
    END IF;
    SELECT c.relname, t.relname AS table_name, n.nspname INTO i
    FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    WHERE x.indexrelid = index;
    RAISE unique_violation USING
        MESSAGE = pg_catalog.format('duplicate key value violates unique constraint "%s"', i.relname),
        DETAIL = pg_catalog.format('Key (%s)=(%s) already exists.', previewpg.index_text(index),
            pg_catalog.array_to_string(key_values, ', ', 'null')),
        SCHEMA = i.nspname, TABLE = i.table_name, CONSTRAINT = i.relname;
END
$$;

-- An index's columns as PostgreSQL prints them in messages: with the search path of the client.
CREATE OR REPLACE FUNCTION previewpg.index_text(index oid) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.string_agg(pg_catalog.pg_get_indexdef(index, n, true), ', ' ORDER BY n)
    FROM pg_catalog.pg_index AS i, pg_catalog.generate_series(1, i.indnkeyatts::int) AS n WHERE i.indexrelid = index
$$;

-- Makes previewpg_copy.xI for a unique index and gives the text that calls it for a set of rows:
-- replace previewpg_source by the rows' relation.
CREATE OR REPLACE FUNCTION previewpg.build_unique(index oid) RETURNS TABLE (keys text, condition text, call text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    i pg_index;
    relation oid;
    distinct_nulls boolean;
    found_keys text;
    shipped text;
    matched text;
    arguments text;
    arrays text;
    names text;
    texts text;
    unnested text;
    unnested_due text;
    ranged text[];
    late text;
BEGIN
    SELECT * INTO i FROM pg_index x WHERE x.indexrelid = index;
    relation := i.indrelid;
    distinct_nulls := NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false);
    SELECT string_agg(CASE WHEN c.shippable THEN format('(%s)::%s AS previewpg_v%s', c.expression, c.type, c.place) ELSE format('(%s)::text AS previewpg_v%s', c.expression, c.place) END, ', ' ORDER BY c.place),
           string_agg(format('(%s) AS previewpg_v%s', c.expression, c.place), ', ' ORDER BY c.place),
           string_agg(CASE WHEN c.shippable AND (distinct_nulls OR c.not_null) THEN format(' AND (%s) %s ANY (previewpg_k%s)', c.expression, c.equality, c.place) ELSE '' END, '' ORDER BY c.place),
           string_agg(CASE WHEN distinct_nulls OR c.not_null THEN format('f.previewpg_v%s %s n.previewpg_v%1$s%3$s', c.place, c.equality, CASE WHEN c.shippable THEN '' ELSE '::' || c.type END)
                      ELSE format('(f.previewpg_v%s %s n.previewpg_v%1$s%3$s OR f.previewpg_v%1$s IS NULL AND n.previewpg_v%1$s IS NULL)', c.place, c.equality, CASE WHEN c.shippable THEN '' ELSE '::' || c.type END) END, ' AND ' ORDER BY c.place),
           string_agg(format('previewpg_k%s %s[]', c.place, CASE WHEN c.shippable THEN c.type ELSE 'text' END), ', ' ORDER BY c.place),
           string_agg(format('pg_catalog.array_agg(previewpg_v%s)', c.place), ', ' ORDER BY c.place),
           string_agg(format('previewpg_v%s', c.place), ', ' ORDER BY c.place),
           string_agg(CASE WHEN distinct_nulls AND NOT c.not_null THEN format(' AND (%s) IS NOT NULL', c.expression) ELSE '' END, '' ORDER BY c.place),
           string_agg(format('n.previewpg_v%s::pg_catalog.text', c.place), ', ' ORDER BY c.place),
           string_agg(format('pg_catalog.unnest(previewpg_k%s)', c.place), ', ' ORDER BY c.place),
           string_agg(format('pg_catalog.unnest(NEW.previewpg_k%s)', c.place), ', ' ORDER BY c.place),
           -- Many new keys are usually beyond all of production's: one look at their range spares shipping them.
           (array_agg(ARRAY[format(E'    previewpg_low %1$s;\n    previewpg_high %1$s;\n', c.type), format($f$
    IF pg_catalog.cardinality(previewpg_k%1$s) > 100 THEN
        SELECT pg_catalog.min(k), pg_catalog.max(k) INTO previewpg_low, previewpg_high FROM pg_catalog.unnest(previewpg_k%1$s) AS k;
        PERFORM 1 FROM previewpg_lower.r%2$s AS previewpg_l WHERE %3$s OPERATOR(pg_catalog.>=) previewpg_low AND %3$s OPERATOR(pg_catalog.<=) previewpg_high LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;$f$, c.place, relation, c.expression)] ORDER BY c.place) FILTER (WHERE i.indkey[c.place - 1] > 0 AND (distinct_nulls OR c.not_null)
                AND c.type IN ('smallint', 'integer', 'bigint', 'numeric', 'date', 'timestamp without time zone', 'timestamp with time zone')))
    INTO keys, found_keys, shipped, matched, arguments, arrays, names, condition, texts, unnested, unnested_due, ranged
    FROM previewpg.index_columns(index) AS c;
    condition := coalesce('(' || pg_get_expr(i.indpred, relation) || ')', 'true') || condition;
    -- Claims that were committed after a transaction's snapshot aren't seen in it; their unique index sees them.
    SELECT format($f$
    IF previewpg_found IS NOT NULL AND pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        FOR previewpg_row IN
            WITH found AS MATERIALIZED (SELECT %1$s, %2$s FROM previewpg_lower.r%3$s AS previewpg_l WHERE %4$s%5$s)
            SELECT ARRAY[%6$s] AS previewpg_texts, f.* FROM ROWS FROM (%7$s) WITH ORDINALITY AS n(%8$s, place) JOIN found AS f ON %9$s
            WHERE %10$s ORDER BY n.place
        LOOP
            BEGIN
                INSERT INTO previewpg_claims.r%11$s (%12$s) VALUES (%13$s);
                previewpg_found := previewpg_row.previewpg_texts;
                EXIT;
            EXCEPTION WHEN unique_violation THEN
                previewpg_found := NULL;
            END;
        END LOOP;
    END IF;$f$, found_keys, previewpg.column_list(relation, r.key_numbers, 'previewpg_l.'), relation, coalesce('(' || pg_get_expr(i.indpred, relation) || ')', 'true'), shipped,
        texts, unnested, names, matched, previewpg.unclaimed(relation, 'f'), r.claims,
        previewpg.column_list(relation, r.key_numbers), previewpg.column_list(relation, r.key_numbers, 'previewpg_row.'))
    INTO late FROM previewpg.relation r WHERE r.upper = relation AND r.key_numbers <> '{}';
    late := coalesce(late, '');
    -- A generic plan: a custom one would ask production for estimates again and again.
    PERFORM previewpg.put_function('x' || index, arguments, 'void', 'SET plan_cache_mode = force_generic_plan', format($f$
#variable_conflict use_column
DECLARE
    previewpg_found text[];
%12$sBEGIN%13$s
    WITH found AS MATERIALIZED (SELECT %1$s%11$s FROM previewpg_lower.r%2$s AS previewpg_l WHERE %3$s%4$s)
    SELECT ARRAY[%5$s] INTO previewpg_found
    FROM ROWS FROM (%6$s) WITH ORDINALITY AS n(%7$s, place) JOIN found AS f ON %8$s
    WHERE %9$s ORDER BY n.place LIMIT 1;%14$s
    IF previewpg_found IS NOT NULL THEN
        PERFORM previewpg.raise_duplicate(%10$s::pg_catalog.oid, previewpg_found);
    END IF;
END
$f$, found_keys, relation, coalesce('(' || pg_get_expr(i.indpred, relation) || ')', 'true'), shipped,
        texts, unnested,
        names, matched, previewpg.unclaimed(relation, 'f'), index,
        coalesce(', ' || previewpg.column_list(relation, (SELECT r.key_numbers FROM previewpg.relation r WHERE r.upper = relation), 'previewpg_l.'), ''),
        coalesce(ranged[1][1], '') || CASE WHEN late <> '' THEN E'    previewpg_row record;\n' ELSE '' END, coalesce(ranged[1][2], ''), late));
    call := previewpg.build_call(index, 'x' || index, arguments, arrays, format($f$
    -- Keys that upper holds twice: copying a row up while the constraint was deferred checked nothing.
    SELECT ARRAY[%1$s] INTO previewpg_twice
    FROM ROWS FROM (%2$s) WITH ORDINALITY AS n(%3$s, place)
    WHERE (SELECT pg_catalog.count(*) FROM (SELECT %4$s FROM %5$s WHERE %6$s) AS f WHERE %7$s) > 1 ORDER BY n.place LIMIT 1;
    IF previewpg_twice IS NOT NULL THEN
        PERFORM previewpg.raise_duplicate(%8$s::pg_catalog.oid, previewpg_twice);
    END IF;
    PERFORM previewpg_copy.x%8$s(%9$s) FROM ROWS FROM (%2$s) WITH ORDINALITY AS n(%3$s, place)
    WHERE EXISTS (SELECT 1 FROM (SELECT %4$s FROM %5$s WHERE %6$s) AS f WHERE %7$s) HAVING pg_catalog.count(*) > 0;$f$,
        texts, unnested_due,
        names, found_keys, previewpg.upper_of(relation), condition, matched, index, arrays));
    RETURN NEXT;
END
$$;

-- The text that has keys checked, by the function and over the rows of previewpg_source. For a deferrable constraint the keys of a statement
-- become one row of previewpg_copy.kC, whose constraint trigger checks them when the constraint is due: one event for each statement. The
-- trigger is made a part of the constraint itself, so that SET CONSTRAINTS finds it. due: what the trigger does.
CREATE OR REPLACE FUNCTION previewpg.build_call(object oid, check_function text, arguments text, arrays text, due text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k pg_constraint;
    names text := regexp_replace(arguments, $r$(previewpg_k\d+) [^,]*$r$, $r$\1$r$, 'g');
    columns text;
BEGIN
    SELECT * INTO k FROM pg_constraint c WHERE c.oid = object AND c.contype = 'f';
    IF NOT FOUND THEN
        SELECT * INTO k FROM pg_constraint c
        WHERE c.conrelid = (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = object) AND c.conindid = object AND c.contype IN ('p', 'u');
    END IF;
    IF k.condeferrable IS NOT TRUE THEN
        RETURN format('PERFORM previewpg_copy.%s(%s) FROM (previewpg_source) AS n HAVING pg_catalog.count(*) > 0', check_function, arrays);
    END IF;
    columns := (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = to_regclass('previewpg_copy.k' || k.oid) AND a.attnum > 1);
    IF columns IS DISTINCT FROM arguments OR NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass('previewpg_copy.k' || k.oid) AND t.tginitdeferred = k.condeferred) THEN
        EXECUTE format('DROP TABLE IF EXISTS previewpg_copy.k%s', k.oid);
        EXECUTE format('CREATE TABLE previewpg_copy.k%s (previewpg_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, %s)', k.oid, arguments);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON previewpg_copy.k%s TO %I', k.oid, previewpg.setting('app_role'));
    END IF;
    PERFORM previewpg.put_function('g' || k.oid, '', 'trigger', '', format($f$
#variable_conflict use_column
DECLARE
    previewpg_twice text[];
BEGIN%s
    DELETE FROM previewpg_copy.k%s AS d WHERE d.previewpg_id = NEW.previewpg_id;
    RETURN NULL;
END
$f$, due, k.oid));
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass('previewpg_copy.k' || k.oid)) THEN
        EXECUTE format('CREATE CONSTRAINT TRIGGER due AFTER INSERT ON previewpg_copy.k%s DEFERRABLE INITIALLY %s FOR EACH ROW EXECUTE FUNCTION previewpg_copy.g%1$s()',
            k.oid, CASE WHEN k.condeferred THEN 'DEFERRED' ELSE 'IMMEDIATE' END);
        SET LOCAL allow_system_table_mods = on;
        UPDATE pg_trigger AS t SET tgconstraint = k.oid WHERE t.tgrelid = to_regclass('previewpg_copy.k' || k.oid);
        SET LOCAL allow_system_table_mods = off;
    END IF;
    RETURN format('INSERT INTO previewpg_copy.k%s (%s) SELECT %s FROM (previewpg_source) AS n HAVING pg_catalog.count(*) > 0', k.oid, names, arrays);
END
$$;

-- Raises PostgreSQL's own exclusion_violation.
CREATE OR REPLACE FUNCTION previewpg.raise_conflict(index oid, new_values text[], old_values text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    i record;
BEGIN
    SELECT c.relname, t.relname AS table_name, n.nspname INTO i
    FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    WHERE x.indexrelid = index;
    RAISE exclusion_violation USING
        MESSAGE = pg_catalog.format('conflicting key value violates exclusion constraint "%s"', i.relname),
        DETAIL = pg_catalog.format('Key (%s)=(%s) conflicts with existing key (%1$s)=(%3$s).', previewpg.index_text(index),
            pg_catalog.array_to_string(new_values, ', ', 'null'), pg_catalog.array_to_string(old_values, ', ', 'null')),
        SCHEMA = i.nspname, TABLE = i.table_name, CONSTRAINT = i.relname;
END
$$;

-- The text that checks new rows against lower for an exclusion constraint. What can be equal only is shipped as an array.
CREATE OR REPLACE FUNCTION previewpg.build_exclusion(index oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT format($f$PERFORM previewpg.raise_conflict(%1$s::pg_catalog.oid, ARRAY[%2$s], ARRAY[%3$s])
        FROM (SELECT %4$s FROM previewpg_new WHERE %5$s) AS n
        JOIN (SELECT %4$s%6$s FROM previewpg_lower.r%7$s AS previewpg_l WHERE %5$s) AS l ON %8$s
        WHERE %9$s LIMIT 1$f$,
        i.indexrelid,
        string_agg(format('n.previewpg_v%s::pg_catalog.text', c.place), ', ' ORDER BY c.place),
        string_agg(format('l.previewpg_v%s::pg_catalog.text', c.place), ', ' ORDER BY c.place),
        string_agg(format('(%s) AS previewpg_v%s', c.expression, c.place), ', ' ORDER BY c.place),
        coalesce('(' || pg_get_expr(i.indpred, i.indrelid) || ')', 'true'),
        coalesce(', ' || previewpg.column_list(i.indrelid, (SELECT r.key_numbers FROM previewpg.relation r WHERE r.upper = i.indrelid), 'previewpg_l.'), ''),
        i.indrelid,
        string_agg(format('n.previewpg_v%s %s l.previewpg_v%1$s', c.place, previewpg.operator_text(k.conexclop[c.place])), ' AND ' ORDER BY c.place),
        previewpg.unclaimed(i.indrelid, 'l'))
    FROM pg_index i JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'x'
    CROSS JOIN LATERAL previewpg.index_columns(i.indexrelid) AS c
    WHERE i.indexrelid = $1 GROUP BY i.indexrelid, i.indrelid, i.indpred);
END
$$;

-- Creates or drops one of our triggers, so that it is there or isn't.
CREATE OR REPLACE FUNCTION previewpg.put_trigger(relation oid, name text, wanted boolean, definition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present record;
BEGIN
    SELECT t.tgparentid, t.tgenabled INTO present FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = name;
    IF wanted AND present.tgenabled IS NULL THEN
        EXECUTE format('CREATE TRIGGER %I %s', name, format(definition, previewpg.name_of(relation)));
    ELSIF wanted AND present.tgenabled <> 'O' THEN
        -- DISABLE TRIGGER USER means the client's own.
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER %I', previewpg.name_of(relation), name);
    ELSIF present.tgparentid = 0 AND NOT wanted THEN
        EXECUTE format('DROP TRIGGER %I ON %s', name, previewpg.name_of(relation));
    END IF;
END
$$;

-- What stands in front of the checks of an UPDATE: most change no column that a key is made of, and one look tells. Nothing where
-- an index may be made of more than columns.
CREATE OR REPLACE FUNCTION previewpg.unless_unchanged(relation oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND (i.indisexclusion OR i.indisunique AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL))) THEN
        RETURN '';
    END IF;
    RETURN (
    SELECT coalesce(format(E'    IF NOT EXISTS (SELECT %1$s FROM previewpg_new EXCEPT SELECT %1$s FROM previewpg_old) THEN\n        RETURN NULL;\n    END IF;\n',
        string_agg(format(previewpg.look($1, a.attnum), ''), ', ' ORDER BY a.attnum)), '')
    FROM pg_attribute a
    WHERE a.attrelid = $1 AND (
        EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = $1 AND a.attnum = ANY (r.key_numbers))
        OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1]))
        OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' AND a.attnum = ANY (k.conkey))));
END
$$;

-- Builds everything that checks a table's new rows: for lower-backed tables, and for the preview's own tables that reference one.
CREATE OR REPLACE FUNCTION previewpg.build_checks(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    backed boolean;
    inserted text := '';
    updated text := '';
    item record;
    part record;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    -- One that is halted keeps its guards.
    backed := coalesce('merged' IN (r.state, r.halted), false);
    IF backed THEN
        inserted := format(E'    IF pg_catalog.current_setting(\'previewpg.copying\', true) = \'%1$s\' THEN\n        RETURN NULL;\n    END IF;\n    PERFORM previewpg.touched(%1$s::pg_catalog.oid);\n', relation);
        FOR item IN
            SELECT x.indexrelid FROM pg_index x
            WHERE x.indrelid = relation AND x.indisunique AND x.indislive AND x.indisready ORDER BY x.indexrelid
        LOOP
            SELECT * INTO part FROM previewpg.build_unique(item.indexrelid);
            inserted := inserted || format(E'    %s;\n', replace(part.call, 'previewpg_source',
                format('SELECT %s FROM previewpg_new WHERE %s', part.keys, part.condition)));
            updated := updated || format(E'    %s;\n', replace(part.call, 'previewpg_source',
                format('SELECT %1$s FROM previewpg_new WHERE %2$s EXCEPT SELECT %1$s FROM previewpg_old WHERE %2$s', part.keys, part.condition)));
        END LOOP;
        FOR item IN SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = relation AND x.indisexclusion AND x.indislive ORDER BY x.indexrelid LOOP
            inserted := inserted || format(E'    %s;\n', previewpg.build_exclusion(item.indexrelid));
            updated := updated || format(E'    %s;\n', previewpg.build_exclusion(item.indexrelid));
        END LOOP;
        IF r.key_numbers <> '{}' THEN
            -- For many rows a plain INSERT, which is cheaper; what is claimed already, or at this moment, is rare.
            inserted := inserted || format($f$    IF (SELECT pg_catalog.count(*) FROM (SELECT 1 FROM previewpg_new LIMIT 1000) AS n) = 1000 THEN
        BEGIN
            INSERT INTO previewpg_claims.r%1$s SELECT %2$s FROM previewpg_new;
        EXCEPTION WHEN unique_violation THEN
            INSERT INTO previewpg_claims.r%1$s SELECT %2$s FROM previewpg_new ON CONFLICT DO NOTHING;
        END;
    ELSE
        INSERT INTO previewpg_claims.r%1$s SELECT %2$s FROM previewpg_new ON CONFLICT DO NOTHING;
    END IF;
$f$, r.claims, previewpg.column_list(relation, r.key_numbers));
            updated := updated || format(E'    INSERT INTO previewpg_claims.r%s SELECT %2$s FROM previewpg_new EXCEPT SELECT %2$s FROM previewpg_old ON CONFLICT DO NOTHING;\n',
                r.claims, previewpg.column_list(relation, r.key_numbers));
        END IF;
    END IF;
    FOR item IN
        SELECT k.oid FROM pg_constraint k LEFT JOIN pg_constraint o ON o.oid = k.conparentid
        -- One that a partition has from its root counts; one for each partition of the parent does not.
        WHERE k.conrelid = relation AND k.contype = 'f' AND o.conrelid IS DISTINCT FROM relation ORDER BY k.oid
    LOOP
        SELECT * INTO part FROM previewpg.build_foreign_key(item.oid);
        IF part.call IS NOT NULL THEN
            inserted := inserted || format(E'    %s%s;\n', part.mixed, replace(part.call, 'previewpg_source', part.keys_inserted));
            updated := updated || format(E'    %s%s;\n', part.mixed, replace(part.call, 'previewpg_source', part.keys_updated));
        END IF;
    END LOOP;
    IF inserted <> '' THEN
        PERFORM previewpg.put_function('n' || relation, '', 'trigger', '', E'\nBEGIN\n' || inserted || E'    RETURN NULL;\nEND\n');
    END IF;
    IF updated <> '' THEN
        updated := previewpg.unless_unchanged(relation) || updated;
        PERFORM previewpg.put_function('u' || relation, '', 'trigger', '', E'\nBEGIN\n' || updated || E'    RETURN NULL;\nEND\n');
    END IF;
    PERFORM previewpg.put_trigger(relation, '0previewpg_guard', backed,
        'BEFORE UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION previewpg.guard()');
    PERFORM previewpg.put_trigger(relation, '0previewpg_truncate', backed,
        'AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION previewpg.truncated()');
    PERFORM previewpg.put_trigger(relation, '0previewpg_insert', inserted <> '',
        format('AFTER INSERT ON %%s REFERENCING NEW TABLE AS previewpg_new FOR EACH STATEMENT EXECUTE FUNCTION previewpg_copy.n%s()', relation));
    PERFORM previewpg.put_trigger(relation, '0previewpg_update', updated <> '',
        format('AFTER UPDATE ON %%s REFERENCING OLD TABLE AS previewpg_old NEW TABLE AS previewpg_new FOR EACH STATEMENT EXECUTE FUNCTION previewpg_copy.u%s()', relation));
END
$$;

-- Builds all that stands around one relation, and around those that its foreign keys connect it with.
CREATE OR REPLACE FUNCTION previewpg.build(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
BEGIN
    SELECT * INTO r FROM previewpg.relation x WHERE x.upper = relation;
    IF r.state IN ('merged', 'read_only', 'detached') THEN
        PERFORM previewpg.build_projection(relation);
    END IF;
    IF r.state = 'merged' THEN
        PERFORM previewpg.build_claims(relation, r.key_numbers);
    END IF;
    PERFORM previewpg.build_checks(relation);
    IF r.state = 'merged' THEN
        PERFORM previewpg.build_copy(relation, r.key_numbers);
    END IF;
    PERFORM previewpg.build_children(relation);
END
$$;

-- The constraints and unique indexes of a table that rows of lower may break, and their definitions without names.
CREATE OR REPLACE FUNCTION previewpg.promisable(relation oid) RETURNS TABLE (object oid, definition text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- A partition's definition is its root's, as in describe.sql.
    SELECT k.oid, pg_get_constraintdef((
        WITH RECURSIVE up AS (SELECT k.oid AS object, k.conparentid AS parent
            UNION ALL SELECT p.oid, p.conparentid FROM up JOIN pg_constraint p ON p.oid = up.parent)
        SELECT up.object FROM up WHERE up.parent = 0))
    FROM pg_constraint k WHERE k.conrelid = $1 AND k.convalidated AND k.contype IN ('c', 'f', 'x')
    UNION ALL
    SELECT i.indexrelid, substr(pg_get_indexdef(i.indexrelid), length('CREATE UNIQUE INDEX ' || quote_ident(c.relname)) + 1)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indisunique;
END
$$;

-- Checks a table that was here before production was looked at: its constraints, and NOT NULLs, over the rows of lower.
CREATE OR REPLACE FUNCTION previewpg.verify_adopted(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT a.attname, a.attnum FROM previewpg.attribute p JOIN pg_attribute a ON a.attrelid = p.upper AND a.attnum = p.number
        WHERE p.upper = relation AND a.attnotnull AND NOT p.not_null ORDER BY a.attnum
    LOOP
        IF previewpg.as_app(format('SELECT 1 FROM previewpg_lower.r%s AS l WHERE l.%I IS NULL AND %s LIMIT 1', relation, item.attname, previewpg.unclaimed(relation, 'l'))) > 0 THEN
            PERFORM previewpg.raise_nulls(relation, item.attname, format('l.%I IS NULL', item.attname), false);
        END IF;
        UPDATE previewpg.attribute AS p SET not_null = true WHERE p.upper = relation AND p.number = item.attnum;
    END LOOP;
    IF EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'x' AND NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = k.oid)) THEN
        RAISE feature_not_supported USING MESSAGE = 'an exclusion constraint that production lacks can''t be checked over production''s rows';
    END IF;
    PERFORM previewpg.verify(relation);
END
$$;

-- Builds what stands around every relation, and around the preview's own tables that reference one. What fails is left to the planner to refuse.
-- It commits now and then, for a transaction that locks everything might need more locks than there are; so the session's search path must be pg_catalog.
CREATE OR REPLACE PROCEDURE previewpg.build_all()
LANGUAGE plpgsql AS $$
DECLARE
    target oid;
    done int := 0;
BEGIN
    FOREACH target IN ARRAY ARRAY(
        SELECT r.upper FROM previewpg.relation r WHERE r.state <> 'unsupported'
        UNION SELECT k.conrelid FROM pg_constraint k JOIN previewpg.relation r ON r.upper = k.confrelid WHERE k.contype = 'f' AND r.state IN ('merged', 'detached'))
    LOOP
        BEGIN
            -- Attaching has built the projection and the claims.
            PERFORM previewpg.build_checks(target);
            PERFORM previewpg.build_copy(r.upper, r.key_numbers) FROM previewpg.relation r WHERE r.upper = target AND r.state = 'merged';
            PERFORM previewpg.build_children(target);
        EXCEPTION WHEN OTHERS THEN
            UPDATE previewpg.relation AS r SET state = 'unsupported', reason = SQLERRM WHERE r.upper = target AND r.state = 'merged';
        END;
        done := done + 1;
        IF done % 50 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
    -- Of an inheritance tree all is served, or nothing.
    UPDATE previewpg.relation AS r SET state = 'unsupported', reason = 'Another table of its inheritance tree can''t be served'
    WHERE r.state = 'merged' AND r.key_numbers = '{}' AND EXISTS (SELECT FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid AND NOT c.relispartition WHERE r.upper IN (h.inhparent, h.inhrelid))
      AND EXISTS (SELECT FROM previewpg.inheritance_tree(r.upper) AS m LEFT JOIN previewpg.relation o ON o.upper = m WHERE o.state IS DISTINCT FROM 'merged');
    INSERT INTO previewpg.enum_label SELECT e.enumtypid, e.enumlabel FROM pg_enum e ON CONFLICT DO NOTHING;
    -- What a table had here before and production does not promise. These queries read tables, not catalogs.
    PERFORM pg_catalog.set_config(name, 'on', false) FROM pg_catalog.unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) AS name;
    FOREACH target IN ARRAY ARRAY(SELECT r.upper FROM previewpg.relation r WHERE r.state = 'merged' AND (
        EXISTS (SELECT FROM previewpg.promisable(r.upper) AS p WHERE NOT EXISTS (SELECT FROM previewpg.verified v WHERE v.object = p.object))
        OR EXISTS (SELECT FROM previewpg.attribute p JOIN pg_attribute a ON a.attrelid = p.upper AND a.attnum = p.number WHERE p.upper = r.upper AND a.attnotnull AND NOT p.not_null)))
    LOOP
        BEGIN
            PERFORM previewpg.verify_adopted(target);
        EXCEPTION WHEN OTHERS THEN
            UPDATE previewpg.relation AS r SET state = 'unsupported', reason = format('Rows of production break what the table has here: %s', SQLERRM) WHERE r.upper = target;
        END;
    END LOOP;
END
$$;
