-- Foreign keys over merged rows.
--
-- previewpg_copy.fC(keys..)   checks keys of constraint C against the merged parent (C's own check triggers are switched off)
-- previewpg_copy.cN()         AFTER DELETE / UPDATE row trigger of parent N: copies the children up, before PostgreSQL's own actions run
--
-- A parent row in lower can't be locked. In its place stands one transaction-level advisory lock for each parent table (class 1886549618):
-- checks that found a parent in lower share it; deleting a parent, or changing its key, takes it alone.

-- The columns of a foreign key: child's and parent's names, types, and the operator parent = child. Where their collations differ, keys compare by the parent's:
-- `collation` is what stands behind the child's column then (else nothing), `any_collation` behind a parent's key that is to compare as the child's column does,
-- and `by_bytes` whether that's the same. `look` gives, with the name of a row in place of %s, what tells keys that are equal and don't look alike from each other.
CREATE OR REPLACE FUNCTION previewpg.foreign_key_columns(fk oid)
RETURNS TABLE (place int, child text, parent text, child_type text, parent_type text, equality text, commuted text, shippable boolean,
               collation text, any_collation text, by_bytes boolean, look text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n::int, quote_ident(c.attname), quote_ident(p.attname),
           format_type(coalesce(nullif(ct.typbasetype, 0), ct.oid), -1), format_type(coalesce(nullif(pt.typbasetype, 0), pt.oid), -1),
           previewpg.operator_text(k.conpfeqop[n]), previewpg.operator_text((SELECT o.oprcom FROM pg_operator o WHERE o.oid = k.conpfeqop[n])),
           ct.typcategory NOT IN ('A', 'C') AND pt.typcategory NOT IN ('A', 'C'),
           CASE WHEN p.attcollation IN (0, c.attcollation) THEN '' ELSE format(' COLLATE %I.%I', s.nspname, o.collname) END,
           CASE WHEN p.attcollation IN (0, c.attcollation) THEN '' ELSE ' COLLATE pg_catalog."default"' END,
           previewpg.same_equality(p.attcollation, c.attcollation),
           previewpg.look(k.confrelid, k.confkey[n])
    FROM pg_constraint k
    CROSS JOIN generate_subscripts(k.conkey, 1) AS n
    JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = k.conkey[n]
    JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = k.confkey[n]
    JOIN pg_type ct ON ct.oid = c.atttypid
    JOIN pg_type pt ON pt.oid = p.atttypid
    LEFT JOIN pg_collation o ON o.oid = p.attcollation
    LEFT JOIN pg_namespace s ON s.oid = o.collnamespace
    WHERE k.oid = $1 ORDER BY n;
END
$$;

-- A column, with the name of a row in place of %s, and its text as well where equal values needn't look alike (1.0 and 1.00, citext): PostgreSQL passes a
-- parent's key on to its children when it looks otherwise.
CREATE OR REPLACE FUNCTION previewpg.look(relation oid, number smallint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN t.typtype = 'e' OR t.typname IN ('int2', 'int4', 'int8', 'oid', 'uuid', 'bool', 'date', 'timestamp', 'timestamptz', 'bytea') AND t.typnamespace = 'pg_catalog'::regnamespace
                     OR t.typname IN ('text', 'varchar') AND t.typnamespace = 'pg_catalog'::regnamespace AND previewpg.same_equality(a.attcollation, 0)
                THEN format('%%1$s%s', q.name) ELSE format('%%1$s%1$s, pg_catalog.concat(%%1$s%1$s) COLLATE pg_catalog."C"', q.name) END
    FROM pg_attribute a CROSS JOIN LATERAL (SELECT replace(quote_ident(a.attname), '%', '%%') AS name) AS q JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = relation AND a.attnum = number
$$;

CREATE OR REPLACE FUNCTION previewpg.raise_missing_parent(fk oid, key_values text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    leaf oid;
BEGIN
    -- PostgreSQL names the partition that the row went to.
    IF key_values IS NOT NULL AND (SELECT c.relkind = 'p' FROM pg_catalog.pg_constraint AS x JOIN pg_catalog.pg_class AS c ON c.oid = x.conrelid WHERE x.oid = fk) THEN
        EXECUTE (SELECT pg_catalog.format('SELECT previewpg_x.tableoid FROM %s AS previewpg_x WHERE %s LIMIT 1', previewpg.name_of(x.conrelid),
                     (SELECT pg_catalog.string_agg(pg_catalog.format('previewpg_x.%I::pg_catalog.text = ($1)[%s]', a.attname, o.place), ' AND ')
                      FROM pg_catalog.unnest(x.conkey) WITH ORDINALITY AS o(number, place)
                      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.conrelid AND a.attnum = o.number))
                 FROM pg_catalog.pg_constraint AS x WHERE x.oid = fk) INTO leaf USING key_values;
        fk := coalesce((SELECT y.oid FROM pg_catalog.pg_constraint AS x JOIN pg_catalog.pg_constraint AS y ON y.conrelid = leaf AND y.conname = x.conname AND y.contype = 'f' WHERE x.oid = fk), fk);
    END IF;
    SELECT x.conname, c.relname, n.nspname, p.relname AS parent,
           (SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY o.place) FROM pg_catalog.unnest(x.conkey) WITH ORDINALITY AS o(number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.conrelid AND a.attnum = o.number) AS columns
    INTO k
    FROM pg_catalog.pg_constraint AS x
    JOIN pg_catalog.pg_class AS c ON c.oid = x.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class AS p ON p.oid = x.confrelid
    WHERE x.oid = fk;
    RAISE foreign_key_violation USING
        MESSAGE = pg_catalog.format('insert or update on table "%s" violates foreign key constraint "%s"', k.relname, k.conname),
        DETAIL = CASE WHEN key_values IS NULL THEN 'MATCH FULL does not allow mixing of null and nonnull key values.'
            ELSE pg_catalog.format('Key (%s)=(%s) is not present in table "%s".', k.columns, pg_catalog.array_to_string(key_values, ', '), k.parent) END,
        SCHEMA = k.nspname, TABLE = k.relname, CONSTRAINT = k.conname;
END
$$;

-- Makes previewpg_copy.fC for a foreign key whose parent is lower-backed, and gives the texts that call it; no row texts (NULL call) otherwise.
CREATE OR REPLACE FUNCTION previewpg.build_foreign_key(fk oid)
RETURNS TABLE (keys_inserted text, keys_updated text, call text, mixed text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k pg_constraint;
    parent text;
    arguments text;
    arrays text;
    columns text;
    names text;
    present text;
    unnested text;
    shipped text;
    matched text;
    locked text;
    chosen text;
    quick text;
    item record;
BEGIN
    SELECT * INTO k FROM pg_constraint x WHERE x.oid = fk;
    IF NOT EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = k.confrelid AND r.state IN ('merged', 'detached')
                   AND to_regclass('previewpg_lower.r' || r.upper) IS NOT NULL) THEN
        RETURN;
    END IF;
    FOR item IN
        SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgconstraint = fk AND t.tgrelid = k.conrelid AND p.proname IN ('RI_FKey_check_ins', 'RI_FKey_check_upd') AND t.tgenabled <> 'D'
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', previewpg.name_of(k.conrelid), item.tgname);
    END LOOP;
    parent := previewpg.upper_of(k.confrelid);
    SELECT string_agg(format('previewpg_k%s %s[]', c.place, CASE WHEN c.shippable THEN c.child_type ELSE 'text' END), ', ' ORDER BY c.place),
           string_agg(format('pg_catalog.array_agg(k%s ORDER BY place)', c.place), ', ' ORDER BY c.place),
           string_agg(format('%s%s AS k%s', c.child, CASE WHEN c.shippable THEN '::' || c.child_type || c.collation ELSE '::text' END, c.place), ', ' ORDER BY c.place),
           string_agg(format('k%s', c.place), ', ' ORDER BY c.place),
           string_agg(format('%s IS NOT NULL', c.child), ' AND ' ORDER BY c.place),
           string_agg(format('pg_catalog.unnest(previewpg_k%s)', c.place), ', ' ORDER BY c.place),
           string_agg(CASE WHEN c.shippable THEN format('p.%s %s ANY (previewpg_k%s)', c.parent, c.equality, c.place) ELSE 'true' END, ' AND ' ORDER BY c.place),
           string_agg(format('f.k%s %s n.k%1$s%3$s', c.place, c.equality, CASE WHEN c.shippable THEN '' ELSE '::' || c.child_type || c.collation END), ' AND ' ORDER BY c.place),
           string_agg(format('p.%s AS k%s', c.parent, c.place), ', ' ORDER BY c.place),
           string_agg(format('previewpg_k%s', c.place), ', ' ORDER BY c.place)
    INTO arguments, arrays, columns, names, present, unnested, shipped, matched, locked, chosen
    FROM previewpg.foreign_key_columns(fk) AS c;
    -- Distinct keys, unique there: all are present when as many rows have them as there are keys. Production counts.
    SELECT format($f$
    IF NOT EXISTS (SELECT 1 FROM previewpg_claims.r%1$s AS p WHERE p.%2$s %3$s ANY (previewpg_k1))
        AND (SELECT pg_catalog.count(*) FROM previewpg_lower.r%4$s AS p WHERE p.%2$s %3$s ANY (previewpg_k1)) = pg_catalog.cardinality(previewpg_k1) THEN
        RETURN;
    END IF;$f$, r.claims, c.parent, c.equality, r.upper)
    INTO quick FROM previewpg.foreign_key_columns(fk) AS c, previewpg.relation r
    WHERE r.upper = k.confrelid AND r.key_numbers = k.confkey AND cardinality(k.confkey) = 1 AND c.shippable;
    -- Claims that were committed after a transaction's snapshot aren't seen in it; their unique index sees them.
    quick := concat((SELECT format($f$
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        BEGIN
            INSERT INTO previewpg_claims.r%1$s (%2$s, previewpg_copied) SELECT %2$s, true FROM previewpg_lower.r%3$s AS p WHERE %4$s AND %5$s;
            RAISE SQLSTATE 'PPG03';
        EXCEPTION
            WHEN SQLSTATE 'PPG03' THEN
                -- None is claimed, and none by this.
            WHEN unique_violation THEN
                RAISE serialization_failure USING MESSAGE = 'could not serialize access due to concurrent update';
        END;
    END IF;$f$, r.claims, previewpg.column_list(r.upper, r.key_numbers), r.upper, shipped, previewpg.unclaimed(r.upper, 'p'))
        FROM previewpg.relation r WHERE r.upper = k.confrelid AND r.key_numbers <> '{}'), quick);
    PERFORM previewpg.put_function('f' || fk, arguments, 'void', 'SET plan_cache_mode = force_generic_plan', format($f$
#variable_conflict use_column
BEGIN
    -- Parents in upper, locked as PostgreSQL's own check locks them.
    WITH f AS MATERIALIZED (SELECT %1$s FROM %2$s AS p WHERE %3$s FOR KEY SHARE OF p)
    SELECT %4$s INTO %5$s FROM ROWS FROM (%6$s) WITH ORDINALITY AS n(%7$s, place) WHERE NOT EXISTS (SELECT 1 FROM f WHERE %8$s);
    IF previewpg_k1 IS NULL THEN
        RETURN;
    END IF;
    -- Parents in lower, under the lock that stands for theirs.
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1886549618, %9$s);%14$s
    WITH p AS MATERIALIZED (SELECT %15$s FROM previewpg_lower.r%10$s AS p WHERE %3$s),
         f AS MATERIALIZED (SELECT %1$s FROM p WHERE %11$s)
    SELECT %4$s INTO %5$s FROM ROWS FROM (%6$s) WITH ORDINALITY AS n(%7$s, place) WHERE NOT EXISTS (SELECT 1 FROM f WHERE %8$s);
    IF previewpg_k1 IS NULL THEN
        RETURN;
    END IF;
    -- Parents that somebody copied up and committed in between.
    WITH f AS MATERIALIZED (SELECT %1$s FROM %2$s AS p WHERE %3$s FOR KEY SHARE OF p)
    SELECT %4$s INTO %5$s FROM ROWS FROM (%6$s) WITH ORDINALITY AS n(%7$s, place) WHERE NOT EXISTS (SELECT 1 FROM f WHERE %8$s);
    IF previewpg_k1 IS NOT NULL THEN
        PERFORM previewpg.raise_missing_parent(%12$s::pg_catalog.oid, ARRAY[%13$s]);
    END IF;
END
$f$, locked, parent, shipped, arrays, chosen, unnested, names, matched,
        k.confrelid::bigint - CASE WHEN k.confrelid::bigint > 2147483647 THEN 4294967296 ELSE 0 END, k.confrelid,
        previewpg.unclaimed(k.confrelid, 'p'), fk,
        (SELECT string_agg(format('previewpg_k%s[1]::pg_catalog.text', c.place), ', ' ORDER BY c.place) FROM previewpg.foreign_key_columns(fk) c), quick,
        (SELECT string_agg(DISTINCT format('p.%I', a.attname), ', ') FROM pg_attribute a JOIN previewpg.relation r ON r.upper = a.attrelid
         WHERE r.upper = k.confrelid AND (a.attnum = ANY (r.key_numbers) OR a.attnum = ANY (k.confkey)))));
    -- In the order of the rows, so that the row that is complained about is PostgreSQL's.
    keys_inserted := format('SELECT %1$s, pg_catalog.min(place) AS place FROM (SELECT %2$s, pg_catalog.row_number() OVER () AS place FROM previewpg_new WHERE %3$s) AS k GROUP BY %1$s',
        names, columns, present);
    keys_updated := format('SELECT %1$s, 0 AS place FROM (SELECT %2$s FROM previewpg_new WHERE %3$s EXCEPT SELECT %2$s FROM previewpg_old WHERE %3$s) AS k',
        names, columns, present);
    call := previewpg.build_call(fk, 'f' || fk, arguments, arrays, format($f$
    PERFORM previewpg_copy.f%1$s(%2$s) FROM ROWS FROM (%3$s) WITH ORDINALITY AS n(%4$s, place)
    WHERE EXISTS (SELECT 1 FROM %5$s AS c WHERE %6$s) HAVING pg_catalog.count(*) > 0;$f$, fk, arrays,
        (SELECT string_agg(format('pg_catalog.unnest(NEW.previewpg_k%s)', c.place), ', ' ORDER BY c.place) FROM previewpg.foreign_key_columns(fk) c),
        names, previewpg.upper_of(k.conrelid),
        (SELECT string_agg(format('c.%s %s n.k%s%s', c.child, previewpg.operator_text(k.conffeqop[c.place]), c.place,
            CASE WHEN c.shippable THEN '' ELSE '::' || c.child_type END), ' AND ' ORDER BY c.place) FROM previewpg.foreign_key_columns(fk) c)));
    mixed := CASE WHEN k.confmatchtype = 'f' AND cardinality(k.conkey) > 1 THEN
        (SELECT format('IF EXISTS (SELECT 1 FROM previewpg_new WHERE pg_catalog.num_nulls(%s) BETWEEN 1 AND %s) THEN PERFORM previewpg.raise_missing_parent(%s::pg_catalog.oid, NULL); END IF; ',
            string_agg(c.child, ', ' ORDER BY c.place), count(*) - 1, fk) FROM previewpg.foreign_key_columns(fk) c) ELSE '' END;
    RETURN NEXT;
END
$$;

-- Whether a cascade from a table comes back to it and the client has statement triggers there, of deletes (8) or updates (16). A row trigger with transition
-- tables makes PostgreSQL take what comes back for another statement: it would call them again.
CREATE OR REPLACE FUNCTION previewpg.comes_back(relation oid, event int) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND NOT t.tgisinternal AND t.tgname NOT LIKE '0previewpg%' AND t.tgtype & 1 = 0 AND t.tgtype & event <> 0)
       AND EXISTS (
        WITH RECURSIVE acts AS (SELECT k.conrelid AS child, k.confrelid AS parent FROM pg_constraint k
                WHERE k.contype = 'f' AND CASE event WHEN 8 THEN k.confdeltype = 'c' ELSE k.confupdtype IN ('c', 'n', 'd') END),
            reached AS (SELECT a.child FROM acts a WHERE a.parent = relation UNION SELECT a.child FROM reached r JOIN acts a ON a.parent = r.child)
        SELECT FROM reached r WHERE r.child = relation)
$$;

-- Makes the trigger of a parent that copies up the children of lower-backed tables. Its name sorts before PostgreSQL's RI_ConstraintTrigger_a_*,
-- and row triggers fire in the order of rows, then names: at the first row it does the whole statement's work.
CREATE OR REPLACE FUNCTION previewpg.build_children(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk record;
    deleted text := '';
    updated text := '';
    step text;
    keys_deleted text;
    keys_updated text;
    changed text;
    -- Row triggers of a partition tree can't have transition tables: there each row does its own work.
    tree boolean := (SELECT c.relkind = 'p' OR c.relispartition FROM pg_class c WHERE c.oid = relation);
    deleted_by_row boolean := tree OR previewpg.comes_back(relation, 8);
    updated_by_row boolean := tree OR previewpg.comes_back(relation, 16);
    of_row record;
    -- A partition has its root's triggers by the same names.
    name text := '0previewpg_children' || CASE WHEN (SELECT c.relispartition FROM pg_class c WHERE c.oid = relation) THEN '_' || relation ELSE '' END;
    number bigint := relation::bigint - CASE WHEN relation::bigint > 2147483647 THEN 4294967296 ELSE 0 END;
BEGIN
    FOR fk IN
        SELECT k.oid, k.conrelid, k.confdeltype, k.confupdtype, k.condeferrable, r.key_numbers FROM pg_constraint k
        JOIN previewpg.relation r ON r.upper = k.conrelid AND r.state = 'merged'
        WHERE k.contype = 'f' AND k.confrelid = relation AND k.conparentid = 0 ORDER BY k.oid
    LOOP
        SELECT format($f$    previewpg_n := (WITH k AS MATERIALIZED (%%s)
        SELECT %1$s FROM previewpg_lower.r%2$s AS l
        WHERE %3$s AND EXISTS (SELECT 1 FROM k WHERE %4$s) AND %5$s HAVING pg_catalog.count(*) > 0);
$f$,
                CASE WHEN fk.key_numbers = '{}' THEN format('previewpg.copy_up_all(%s::pg_catalog.oid, true)', fk.conrelid)
                    ELSE format('previewpg_copy.r%s(pg_catalog.array_agg(l))', fk.conrelid) END,
                fk.conrelid,
                string_agg(CASE WHEN c.shippable AND c.by_bytes THEN format('l.%s %s ANY (ARRAY(SELECT k%s%s FROM k))', c.child, c.commuted, c.place, c.any_collation) ELSE 'true' END, ' AND ' ORDER BY c.place),
                -- Which collation PostgreSQL's action compares by depends on its version: too many children do no harm.
                string_agg(format(CASE WHEN c.by_bytes THEN 'k.k%1$s %2$s l.%3$s%4$s' ELSE '(k.k%1$s %2$s l.%3$s%4$s OR k.k%1$s%5$s %2$s l.%3$s)' END,
                    c.place, c.equality, c.child, c.collation, c.any_collation), ' AND ' ORDER BY c.place),
                replace(previewpg.unclaimed(fk.conrelid, 'l'), '%', '%%')),
            format('SELECT %s FROM previewpg_old WHERE %s', string_agg(format('%s AS k%s', c.parent, c.place), ', ' ORDER BY c.place),
                string_agg(c.parent || ' IS NOT NULL', ' AND ')),
            format('SELECT %s FROM (SELECT %s FROM previewpg_old WHERE %s EXCEPT SELECT %s FROM previewpg_new) AS previewpg_gone',
                string_agg(format('%s AS k%s', c.parent, c.place), ', ' ORDER BY c.place),
                string_agg(format(c.look, ''), ', ' ORDER BY c.place),
                string_agg(c.parent || ' IS NOT NULL', ' AND '), string_agg(format(c.look, ''), ', ' ORDER BY c.place))
        INTO step, keys_deleted, keys_updated FROM previewpg.foreign_key_columns(fk.oid) AS c;
        IF deleted_by_row OR updated_by_row THEN
            SELECT format('SELECT %s WHERE %s', string_agg(format('OLD.%s AS k%s', c.parent, c.place), ', ' ORDER BY c.place), string_agg(format('OLD.%s IS NOT NULL', c.parent), ' AND ')) AS deleted,
                   format('SELECT %s WHERE %s AND ROW(%s) IS DISTINCT FROM ROW(%s)', string_agg(format('OLD.%s AS k%s', c.parent, c.place), ', ' ORDER BY c.place),
                       string_agg(format('OLD.%s IS NOT NULL', c.parent), ' AND '), string_agg(format(c.look, 'OLD.'), ', ' ORDER BY c.place), string_agg(format(c.look, 'NEW.'), ', ' ORDER BY c.place)) AS updated
            INTO of_row FROM previewpg.foreign_key_columns(fk.oid) AS c;
            keys_deleted := CASE WHEN deleted_by_row THEN of_row.deleted ELSE keys_deleted END;
            keys_updated := CASE WHEN updated_by_row THEN of_row.updated ELSE keys_updated END;
        END IF;
        deleted := deleted || format(step, keys_deleted);
        updated := updated || format(step, keys_updated);
    END LOOP;
    IF deleted <> '' THEN
        -- PostgreSQL finds a key taken before it acts on children.
        FOR fk IN
            SELECT u.keys, u.condition, u.call FROM pg_index i CROSS JOIN LATERAL previewpg.build_unique(i.indexrelid) AS u
            WHERE i.indrelid = relation AND i.indisunique AND i.indimmediate AND i.indislive AND NOT updated_by_row
              AND EXISTS (SELECT FROM previewpg.relation r WHERE r.upper = relation AND r.state = 'merged') ORDER BY i.indexrelid DESC
        LOOP
            updated := format(E'    %s;\n', replace(fk.call, 'previewpg_source',
                format('SELECT %1$s FROM previewpg_new WHERE %2$s EXCEPT SELECT %1$s FROM previewpg_old WHERE %2$s', fk.keys, fk.condition))) || updated;
        END LOOP;
        SELECT CASE WHEN updated_by_row THEN format('SELECT %s EXCEPT SELECT %s', string_agg(format(k.look, 'OLD.'), ', '), string_agg(format(k.look, 'NEW.'), ', '))
            ELSE format('SELECT %1$s FROM previewpg_old EXCEPT SELECT %1$s FROM previewpg_new', string_agg(format(k.look, ''), ', ')) END
        INTO changed
        FROM (SELECT DISTINCT previewpg.look(relation, n.number) AS look FROM pg_constraint k, unnest(k.confkey) AS n(number)
              WHERE k.contype = 'f' AND k.confrelid = relation) AS k;
        PERFORM previewpg.put_function('d' || relation, '', 'trigger', '', previewpg.children_body(number,
            CASE WHEN deleted_by_row THEN 'false' ELSE 'NOT (OLD OPERATOR(pg_catalog.*=) (SELECT o FROM previewpg_old AS o LIMIT 1))' END, deleted));
        PERFORM previewpg.put_function('c' || relation, '', 'trigger', '', previewpg.children_body(number,
            CASE WHEN updated_by_row THEN '' ELSE 'NOT (OLD OPERATOR(pg_catalog.*=) (SELECT o FROM previewpg_old AS o LIMIT 1)) OR ' END || format('NOT EXISTS (%s)', changed), updated));
    END IF;
    FOR fk IN
        SELECT t.tgname FROM pg_trigger t
        WHERE t.tgrelid = relation AND t.tgname IN (name || '_delete', name || '_update') AND t.tgparentid = 0
          AND (t.tgoldtable IS NULL) <> CASE WHEN t.tgname = name || '_delete' THEN deleted_by_row ELSE updated_by_row END
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', fk.tgname, previewpg.name_of(relation));
    END LOOP;
    PERFORM previewpg.put_trigger(relation, name || '_delete', deleted <> '',
        format('AFTER DELETE ON %%s %s FOR EACH ROW EXECUTE FUNCTION previewpg_copy.d%s()', CASE WHEN deleted_by_row THEN '' ELSE 'REFERENCING OLD TABLE AS previewpg_old' END, relation));
    PERFORM previewpg.put_trigger(relation, name || '_update', updated <> '',
        format('AFTER UPDATE ON %%s %s FOR EACH ROW EXECUTE FUNCTION previewpg_copy.c%s()',
            CASE WHEN updated_by_row THEN '' ELSE 'REFERENCING OLD TABLE AS previewpg_old NEW TABLE AS previewpg_new' END, relation));
END
$$;

-- The body of a parent's trigger function: nothing when `idle` holds, else the lock, then the steps.
CREATE OR REPLACE FUNCTION previewpg.children_body(number bigint, idle text, steps text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN format($f$
#variable_conflict use_column
DECLARE
    previewpg_n bigint;
BEGIN
    IF %2$s THEN
        RETURN NULL;
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(1886549618, %1$s);
%3$s    RETURN NULL;
END
$f$, number, idle, steps);
END
$$;
