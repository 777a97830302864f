-- Lower and copy-up: the projection view, the claims table and the functions that move rows of production into upper.

-- The projection view: production's rows in upper's shape. Rebuilt only when its text changed. true: it was (re)made.
CREATE OR REPLACE FUNCTION previewpg.build_projection(relation oid) RETURNS boolean
LANGUAGE plpgsql SET client_min_messages = warning SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    view text := format('previewpg_lower.r%s', relation);
    query text;
    shape text;
    current text;
BEGIN
    SELECT format('SELECT %s FROM previewpg_fdw.r%s%s',
               string_agg(format('%s AS %I', p.expression, a.attname), ', ' ORDER BY a.attnum), relation,
               (SELECT CASE WHEN r.state = 'detached' AND r.copied_by IS NULL THEN ' WHERE false'
                    -- Its own rows, without its children's: production's name for it as it is when it's read.
                    WHEN EXISTS (SELECT FROM pg_attribute f WHERE f.attrelid = to_regclass('previewpg_fdw.r' || $1) AND f.attname = 'previewpg_tableoid') THEN
                        format(' WHERE previewpg_tableoid OPERATOR(pg_catalog.=) (SELECT c.oid FROM previewpg_fdw.production_class AS c JOIN previewpg_fdw.production_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace'
                            ' WHERE c.relname OPERATOR(pg_catalog.=) %L AND n.nspname OPERATOR(pg_catalog.=) %L)', r.production_name, r.production_schema)
                    ELSE '' END FROM previewpg.relation r WHERE r.upper = $1)),
           string_agg(format('%I %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation), ', ' ORDER BY a.attnum)
    INTO query, shape
    FROM pg_attribute a LEFT JOIN previewpg.attribute p ON p.upper = $1 AND p.number = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped;
    IF to_regclass(view) IS NOT NULL THEN
        IF obj_description(to_regclass(view), 'pg_class') IS NOT DISTINCT FROM query THEN
            RETURN false;
        END IF;
        SELECT string_agg(format('%I %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation), ', ' ORDER BY a.attnum)
        INTO current FROM pg_attribute a WHERE a.attrelid = to_regclass(view) AND a.attnum > 0;
        IF current IS DISTINCT FROM shape THEN
            EXECUTE format('DROP FUNCTION IF EXISTS previewpg_copy.r%s, previewpg_copy.i%1$s', relation);
            EXECUTE 'DROP VIEW ' || view;
        END IF;
    END IF;
    EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', view, query);
    EXECUTE format('COMMENT ON VIEW %s IS %L', view, query);
    EXECUTE format('GRANT SELECT ON %s TO %I', view, previewpg.setting('app_role'));
    RETURN true;
END
$$;

-- The claims table: the key's columns with upper's names and types.
CREATE OR REPLACE FUNCTION previewpg.build_claims(relation oid, key smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    claims text := format('previewpg_claims.r%s', relation);
    columns text;
    renamed record;
BEGIN
    UPDATE previewpg.relation AS r
    SET key_columns = (SELECT coalesce(array_agg(a.attname::text ORDER BY k.place), '{}') FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place)
                       JOIN pg_attribute a ON a.attrelid = r.upper AND a.attnum = k.number)
    WHERE r.upper = relation;
    IF previewpg.claims_of(relation) <> relation THEN
        RETURN;
    END IF;
    IF to_regclass(claims) IS NULL THEN
        SELECT string_agg(format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                   (SELECT format(' COLLATE %I.%I', n.nspname, l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
                    WHERE l.oid = a.attcollation AND l.collname <> 'default')), ', ' ORDER BY k.place)
        INTO columns
        FROM unnest(key) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number;
        -- previewpg_copied: the row was copied up, so it is one of production's.
        EXECUTE format('CREATE TABLE %s (%s, previewpg_copied boolean NOT NULL DEFAULT false, CONSTRAINT r%s_pkey PRIMARY KEY (%s))', claims, coalesce(columns, 'all_rows boolean CHECK (all_rows)'), relation,
            coalesce(previewpg.column_list(relation, key), 'all_rows'));
        -- The app role claims by itself, with its own rights: hiding a row of production from its own preview is a right that DELETE gives it too.
        EXECUTE format('GRANT SELECT, INSERT ON %s TO %I', claims, previewpg.setting('app_role'));
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = to_regclass(claims) AND c.attname = 'previewpg_copied') THEN
        EXECUTE format('ALTER TABLE %s ADD COLUMN previewpg_copied boolean NOT NULL DEFAULT false', claims);
    END IF;
    -- A key column was renamed. Two steps, for names may have been swapped.
    FOR renamed IN
        SELECT k.place, c.attname AS old, a.attname AS new
        FROM unnest(key) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number
        JOIN pg_attribute c ON c.attrelid = to_regclass(claims) AND c.attnum = k.place
        WHERE c.attname <> a.attname
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', claims, renamed.old, 'previewpg_' || renamed.place);
    END LOOP;
    FOR renamed IN
        SELECT c.attname AS old, a.attname AS new
        FROM unnest(key) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number
        JOIN pg_attribute c ON c.attrelid = to_regclass(claims) AND c.attnum = k.place
        WHERE c.attname <> a.attname
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', claims, renamed.old, renamed.new);
    END LOOP;
END
$$;

-- The columns that copy-up stores: all but generated ones.
CREATE OR REPLACE FUNCTION previewpg.stored_columns(relation oid, prefix text DEFAULT '') RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT string_agg(prefix || quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
END
$$;

-- Copy-up of rows: previewpg_copy.rN switches triggers off (which takes the owner's rights) and calls previewpg_copy.iN, which the
-- app role owns: inserting evaluates checks, defaults and generated columns, that is code of the app role. The claim is the lock.
-- previewpg_copy.rN runs with the client's search path, which that code may need: every name and operator in it says its schema, for another one's would run as the owner.
CREATE OR REPLACE FUNCTION previewpg.build_copy(relation oid, key smallint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rows_limit text := previewpg.setting('copy_up_rows');
    bytes_limit text := previewpg.setting('copy_up_bytes');
    target text := previewpg.name_of(relation);
    app text := previewpg.setting('app_role');
    stored text := previewpg.stored_columns(relation, '');
    of_rows text := previewpg.column_list(relation, key, 'r.');
    move text;
    silent boolean;
    lifts boolean := EXISTS (SELECT FROM previewpg.unvalidated(relation));
BEGIN
    IF key = '{}' THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM previewpg.loud(relation)) THEN
        PERFORM previewpg.put_function('r' || relation, format('previewpg_rows previewpg_lower.r%s[]', relation), 'bigint', 'SECURITY DEFINER',
            format(E'\nBEGIN\n    RETURN previewpg.copy_up_all(%s::pg_catalog.oid, false);\nEND\n', relation));
        RETURN;
    END IF;
    SELECT format('WITH want AS MATERIALIZED (SELECT DISTINCT ON (%1$s) r.* FROM pg_catalog.unnest(previewpg_rows) AS r),
             claimed AS (INSERT INTO previewpg_claims.r%2$s (%3$s, previewpg_copied) SELECT %1$s, true FROM want AS r ON CONFLICT DO NOTHING RETURNING %3$s)
        INSERT INTO %4$s (%5$s) OVERRIDING SYSTEM VALUE SELECT %6$s FROM want JOIN claimed ON %7$s',
               of_rows, previewpg.claims_of($1), previewpg.column_list($1, key), target, stored, previewpg.stored_columns($1, 'want.'),
               string_agg(format('claimed.%1$I %2$s want.%1$I', a.attname,
                   previewpg.index_equality(to_regclass('previewpg_claims.r' || previewpg.claims_of($1) || '_pkey'), k.place::int)), ' AND ' ORDER BY k.place))
    INTO move
    FROM unnest(key) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number;
    PERFORM previewpg.put_function('i' || relation, format('previewpg_rows previewpg_lower.r%s[]', relation), 'bigint', 'SECURITY DEFINER', format($f$
#variable_conflict use_column
DECLARE
    previewpg_n bigint;
    previewpg_message text;
BEGIN
    -- A subtransaction only where it is needed: who waits for what one did waits for the whole transaction, ROLLBACK TO or not.
    IF pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        %2$s;
        GET DIAGNOSTICS previewpg_n = ROW_COUNT;
        RETURN previewpg_n;
    END IF;
    BEGIN
        %2$s;
        GET DIAGNOSTICS previewpg_n = ROW_COUNT;
        RETURN previewpg_n;
    EXCEPTION WHEN serialization_failure THEN
        GET STACKED DIAGNOSTICS previewpg_message = MESSAGE_TEXT;
        IF previewpg_message !~ 'concurrent update' THEN
            RAISE;
        END IF;
        -- Somebody claimed one after this transaction's snapshot: is it in upper?
        BEGIN
            INSERT INTO %4$s (%5$s) OVERRIDING SYSTEM VALUE SELECT DISTINCT ON (%3$s) %6$s FROM pg_catalog.unnest(previewpg_rows) AS r;
            RAISE SQLSTATE 'PPG03';
        EXCEPTION
            WHEN SQLSTATE 'PPG03' THEN
                RAISE serialization_failure USING MESSAGE = 'could not serialize access due to concurrent delete';
            WHEN OTHERS THEN
                RAISE serialization_failure USING MESSAGE = 'could not serialize access due to concurrent update';
        END;
    END;
END
$f$, relation, move, of_rows, target, stored, previewpg.stored_columns(relation, 'r.')));
    EXECUTE format('ALTER FUNCTION previewpg_copy.i%s OWNER TO %I', relation, app);
    -- The client's triggers and rules, and those of foreign keys that we don't check, are for new rows. Where there are none, ours alone are told
    -- to look away: each change of session_replication_role makes the session plan everything anew.
    silent := lifts OR EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND (c.relkind = 'p' OR c.relispartition OR c.relhasrules))
        OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgtype & 4 <> 0 AND t.tgenabled <> 'D' AND t.tgname NOT LIKE $r$0previewpg\_%$r$);
    PERFORM previewpg.put_function('r' || relation, format('previewpg_rows previewpg_lower.r%s[]', relation), 'bigint',
        CASE WHEN silent THEN 'SECURITY DEFINER SET session_replication_role = replica' ELSE 'SECURITY DEFINER' END, format(CASE WHEN silent THEN $f$
BEGIN
    IF pg_catalog.cardinality(previewpg_rows) OPERATOR(pg_catalog.>) %2$s OR pg_catalog.pg_column_size(previewpg_rows) OPERATOR(pg_catalog.>) %3$s THEN
        PERFORM previewpg.raise_limit(%1$s::pg_catalog.oid, pg_catalog.cardinality(previewpg_rows), pg_catalog.pg_column_size(previewpg_rows));
    END IF;
    %4$s
END
$f$ ELSE $f$
DECLARE
    previewpg_n bigint;
BEGIN
    IF pg_catalog.cardinality(previewpg_rows) OPERATOR(pg_catalog.>) %2$s OR pg_catalog.pg_column_size(previewpg_rows) OPERATOR(pg_catalog.>) %3$s THEN
        PERFORM previewpg.raise_limit(%1$s::pg_catalog.oid, pg_catalog.cardinality(previewpg_rows), pg_catalog.pg_column_size(previewpg_rows));
    END IF;
    PERFORM pg_catalog.set_config('previewpg.copying', '%1$s', true);
    previewpg_n := previewpg_copy.i%1$s(previewpg_rows);
    PERFORM pg_catalog.set_config('previewpg.copying', '', true);
    RETURN coalesce(previewpg_n, 0);
END
$f$ END, relation, rows_limit, bytes_limit, CASE WHEN lifts THEN format($f$
    DECLARE
        previewpg_n bigint;
        previewpg_again text;
    BEGIN
        RETURN coalesce(previewpg_copy.i%1$s(previewpg_rows), 0);
    EXCEPTION WHEN check_violation THEN
        -- A row of production's that breaks a check that it needn't keep yet.
        previewpg_again := previewpg.lift_checks(%1$s::pg_catalog.oid);
        previewpg_n := previewpg_copy.i%1$s(previewpg_rows);
        EXECUTE previewpg_again;
        RETURN coalesce(previewpg_n, 0);
    END;$f$, relation) ELSE format('RETURN coalesce(previewpg_copy.i%s(previewpg_rows), 0);', relation) END));
END
$$;

CREATE OR REPLACE FUNCTION previewpg.raise_limit(relation oid, row_count bigint, byte_count bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = pg_catalog.format('this would copy too much of table "%s" into the preview', (SELECT c.relname FROM pg_catalog.pg_class AS c WHERE c.oid = relation)),
        DETAIL = pg_catalog.format('It touches %s rows of production (%s); the limit is %s rows and %s.',
            coalesce(row_count::pg_catalog.text, 'too many'), coalesce(pg_catalog.pg_size_pretty(byte_count), 'size unknown'),
            previewpg.setting('copy_up_rows'), pg_catalog.pg_size_pretty(previewpg.setting('copy_up_bytes')::bigint)),
        HINT = 'Change fewer rows at a time, or raise the preview''s copy-up limit.';
END
$$;

-- Copies the whole relation up, within the limit; with detach, lower isn't looked at any more. Gives the number of rows copied.
CREATE OR REPLACE FUNCTION previewpg.copy_up_all(relation oid, detach boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET session_replication_role = replica SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r previewpg.relation;
    target text;
    root oid;
    rows_limit bigint := previewpg.setting('copy_up_rows');
    bytes_limit bigint := previewpg.setting('copy_up_bytes');
    before bigint;
    copied bigint;
    tree record;
    part record;
    again text;
BEGIN
    -- Without a key a tree is copied as one: one marker says so for all of it.
    SELECT x.claims::oid INTO root FROM previewpg.relation AS x WHERE x.upper = $1 AND x.key_numbers = '{}' AND x.claims <> x.upper;
    IF FOUND THEN
        RETURN previewpg.copy_up_all(root, detach);
    END IF;
    -- In the order of a schema change: the table first.
    IF (SELECT c.relkind IN ('r', 'p') FROM pg_class AS c WHERE c.oid = relation) THEN
        EXECUTE format('LOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE', previewpg.name_of(relation));
    END IF;
    -- FOR UPDATE can't be had by two sessions: a second one waits here and then finds the work done.
    SELECT * INTO r FROM previewpg.relation AS x WHERE x.upper = $1 FOR UPDATE;
    -- What is read from production only, a materialized view, is filled by what comes after.
    IF r.state = 'read_only' AND detach AND (SELECT c.relkind = 'm' FROM pg_class AS c WHERE c.oid = relation) THEN
        PERFORM previewpg.detach(relation, 'It was refreshed');
    END IF;
    IF NOT FOUND OR r.state <> 'merged' THEN
        RETURN 0;
    END IF;
    target := previewpg.name_of(relation);
    -- A partitioned table takes its partitions' rows; of an inheritance tree each table takes its own.
    SELECT coalesce(sum(x.production_rows) FILTER (WHERE c.relkind <> 'p'), r.production_rows)::bigint AS rows, sum(x.production_bytes)::bigint AS bytes, sum(pg_table_size(c.oid)) AS size,
           bool_and(x.state = 'merged') AS is_served, array_agg(c.oid ORDER BY c.oid) FILTER (WHERE c.oid = relation OR NOT c.relispartition) AS members
    INTO tree
    FROM previewpg.relation AS x JOIN pg_class AS c ON c.oid = x.upper AND (c.relkind <> 'p' OR c.oid = relation)
    WHERE relation IN (x.upper, x.claims) AND (r.key_numbers = '{}' OR x.upper = relation);
    IF NOT tree.is_served THEN
        RAISE feature_not_supported USING MESSAGE = format('table "%s" can''t be copied into the preview', (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation)),
            DETAIL = 'Another table of its tree can''t be served at this moment.', HINT = 'Ask whoever runs the preview: `previewpg check` tells what each relation needs.';
    END IF;
    IF tree.bytes > bytes_limit THEN
        PERFORM previewpg.raise_limit(relation, tree.rows, tree.bytes);
    END IF;
    before := tree.size;
    IF r.key_numbers = '{}' THEN
        -- The marker is the lock: a second session waits here and then finds the work done.
        copied := previewpg.as_app(format('INSERT INTO previewpg_claims.r%s VALUES (true) ON CONFLICT DO NOTHING', relation));
        IF copied > 0 THEN
            copied := 0;
            again := previewpg.silence(relation);
            FOREACH root IN ARRAY tree.members LOOP
                copied := copied + previewpg.as_app(format('INSERT INTO %s%s OVERRIDING SYSTEM VALUE SELECT %s FROM previewpg_lower.r%s LIMIT %s',
                    previewpg.name_of(root), ' (' || previewpg.stored_columns(root) || ')', previewpg.stored_columns(root), root, rows_limit + 1 - copied));
            END LOOP;
            EXECUTE again;
        END IF;
    ELSE
        again := previewpg.silence(relation);
        copied := previewpg.as_app(format($f$
            WITH want AS MATERIALIZED (SELECT l.* FROM previewpg_lower.r%1$s AS l WHERE %2$s LIMIT %3$s),
                 claimed AS (INSERT INTO previewpg_claims.r%9$s (%4$s, previewpg_copied) SELECT %4$s, true FROM want ON CONFLICT DO NOTHING RETURNING %4$s)
            INSERT INTO %5$s (%6$s) OVERRIDING SYSTEM VALUE SELECT %7$s FROM want JOIN claimed ON %8$s $f$,
            relation, previewpg.unclaimed(relation, 'l'), rows_limit + 1, previewpg.column_list(relation, r.key_numbers), target,
            previewpg.stored_columns(relation), previewpg.stored_columns(relation, 'want.'),
            (SELECT string_agg(format('claimed.%1$I %2$s want.%1$I', a.attname,
                        previewpg.index_equality(to_regclass('previewpg_claims.r' || r.claims || '_pkey'), k.place::int)), ' AND ')
             FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.number), r.claims));
        EXECUTE again;
    END IF;
    SELECT sum(pg_table_size(x.upper)) - before AS bytes INTO part FROM previewpg.relation AS x JOIN pg_class AS c ON c.oid = x.upper AND (c.relkind <> 'p' OR c.oid = relation)
    WHERE relation IN (x.upper, x.claims) AND (r.key_numbers = '{}' OR x.upper = relation);
    IF copied > rows_limit OR part.bytes > bytes_limit THEN
        PERFORM previewpg.raise_limit(relation, greatest(tree.rows, copied), greatest(tree.bytes, part.bytes::bigint));
    END IF;
    IF copied > 0 THEN
        PERFORM previewpg.touched(relation);
    END IF;
    -- A partition stays: its root's claims hide its rows from both.
    IF detach AND r.claims = r.upper THEN
        PERFORM previewpg.detach_claimed(relation);
    END IF;
    RETURN copied;
END
$$;

-- The rules and triggers of a table, and of what shares its claims, that act in a session of session_replication_role = replica: 'R' and 'A'. And policies that
-- are forced on the app role, which inserts: 'F'.
CREATE OR REPLACE FUNCTION previewpg.loud(relation oid) RETURNS TABLE (upper oid, kind text, name name, enabled "char")
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.tgrelid, 'TRIGGER', t.tgname, t.tgenabled
    FROM pg_trigger t WHERE NOT t.tgisinternal AND t.tgenabled IN ('R', 'A') AND (t.tgrelid = $1 OR t.tgrelid IN (SELECT r.upper FROM previewpg.relation r WHERE r.claims = $1))
    UNION ALL
    SELECT w.ev_class, 'RULE', w.rulename, w.ev_enabled
    FROM pg_rewrite w WHERE w.rulename <> '_RETURN' AND w.ev_enabled IN ('R', 'A') AND (w.ev_class = $1 OR w.ev_class IN (SELECT r.upper FROM previewpg.relation r WHERE r.claims = $1))
    UNION ALL
    SELECT c.oid, 'ROW LEVEL SECURITY', '', 'F'
    FROM pg_class c WHERE c.relrowsecurity AND c.relforcerowsecurity AND (c.oid = $1 OR c.oid IN (SELECT r.upper FROM previewpg.relation r WHERE r.claims = $1))
$$;

-- The NOT VALID checks of a table, and of what shares its claims: rows of production may break them.
CREATE OR REPLACE FUNCTION previewpg.unvalidated(relation oid) RETURNS SETOF pg_constraint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.* FROM pg_constraint k
    WHERE k.contype = 'c' AND NOT k.convalidated AND (k.conrelid = $1 OR k.conrelid IN (SELECT r.upper FROM previewpg.relation r WHERE r.claims = $1))
$$;

-- Takes them off, so that such rows can be copied up. Gives the statement that puts them back. Not an ALTER TABLE: that needs the table for itself, can't be had
-- under a cursor or in a cascade, and what it puts back isn't the same any more (comments and validity of the children's, names by another search path).
CREATE OR REPLACE FUNCTION previewpg.lift_checks(relation oid) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    checks oid[] := ARRAY(SELECT k.oid FROM previewpg.unvalidated(relation) AS k ORDER BY k.oid);
BEGIN
    IF checks = '{}' THEN
        RETURN '';
    END IF;
    -- Who may wait for no row (previewpg.copy_up_available) still waits here, until the function's end: it isn't a row that is held. Not apart from the client's
    -- transaction, which may be the one that holds them.
    IF current_setting('lock_timeout') = '1ms' AND current_setting('previewpg.apart', true) IS DISTINCT FROM 'on' THEN
        PERFORM set_config('lock_timeout', '0', true);
    END IF;
    PERFORM previewpg.switch_checks(checks, 'c', '-');
    RETURN format('SELECT previewpg.switch_checks(%L::pg_catalog.oid[], %L, %L);', checks, '-', 'c');
END
$$;

-- Makes checks something that PostgreSQL doesn't know, or checks again. What it knows of a table is read anew at the end of the command, for the number of its
-- checks has changed: of both, then.
CREATE OR REPLACE FUNCTION previewpg.switch_checks(checks oid[], before "char", after "char") RETURNS void
LANGUAGE plpgsql SET allow_system_table_mods = on SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH switched AS (
        UPDATE pg_constraint AS k SET contype = after WHERE k.oid = ANY (checks) AND k.contype = before RETURNING k.conrelid
    ), counted AS (
        SELECT s.conrelid, count(*) * CASE after WHEN 'c' THEN 1 ELSE -1 END AS more FROM switched AS s GROUP BY s.conrelid
    )
    UPDATE pg_class AS c SET relchecks = c.relchecks + n.more FROM counted AS n WHERE c.oid = n.conrelid;
END
$$;

-- Keeps rules and triggers from acting on rows that are copied up, and checks from looking at them. Gives the statements that let them act again.
CREATE OR REPLACE FUNCTION previewpg.silence(relation oid) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
    again text := previewpg.lift_checks(relation);
BEGIN
    FOR item IN SELECT l.* FROM previewpg.loud(relation) AS l ORDER BY l.upper, l.kind, l.name LOOP
        IF item.enabled = 'F' THEN
            EXECUTE format('ALTER TABLE %s NO FORCE %s', previewpg.name_of(item.upper), item.kind);
            again := again || format('ALTER TABLE %s FORCE %s;', previewpg.name_of(item.upper), item.kind);
            CONTINUE;
        END IF;
        EXECUTE format('ALTER TABLE %s DISABLE %s %I', previewpg.name_of(item.upper), item.kind, item.name);
        again := again || format('ALTER TABLE %s ENABLE %s %s %I;', previewpg.name_of(item.upper), CASE item.enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, item.kind, item.name);
    END LOOP;
    RETURN again;
END
$$;

-- Makes tables the preview's own, in a fixed order, so that two sessions that need the same ones wait for each other. patience: the lock_timeout from here
-- to the end of the transaction; NULL: as it is.
CREATE OR REPLACE FUNCTION previewpg.copy_up_whole(relations oid[], patience text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    relation pg_catalog.oid;
    copied bigint := 0;
BEGIN
    IF patience IS NOT NULL THEN
        PERFORM pg_catalog.set_config('lock_timeout', patience, true);
    END IF;
    FOR relation IN SELECT DISTINCT r FROM pg_catalog.unnest(relations) AS r ORDER BY r LOOP
        copied := copied + previewpg.copy_up_all(relation, true);
    END LOOP;
    RETURN copied;
END
$$;

-- Makes lower empty, of a partitioned table with all its partitions. What else looks at it (checks of other tables included) needs no change.
CREATE OR REPLACE FUNCTION previewpg.detach(relation oid, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    member oid;
BEGIN
    FOR member IN UPDATE previewpg.relation AS r SET state = 'detached', reason = $2, same_shape = false WHERE $1 IN (r.upper, r.claims) RETURNING r.upper LOOP
        PERFORM previewpg.build_projection(member);
    END LOOP;
    PERFORM previewpg.signal();
END
$$;

-- The same for one whose rows were all copied up and claimed. Its projection view goes on showing them (what production adds later is visible to nobody, but
-- its keys are taken): snapshots that are older than this don't see the claims nor the copies, and whoever has read the view would have to be waited for.
CREATE OR REPLACE FUNCTION previewpg.detach_claimed(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE previewpg.relation AS r SET state = 'detached', reason = 'It was copied up as a whole', same_shape = false, copied_by = pg_current_xact_id()
    WHERE $1 IN (r.upper, r.claims);
    PERFORM previewpg.signal();
END
$$;

-- Makes the projection views of relations that were copied up as a whole empty: once every snapshot sees that, and unless somebody reads them at this moment.
CREATE OR REPLACE FUNCTION previewpg.hide_copied() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET session_replication_role = replica SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms' AS $$
DECLARE
    relation oid;
BEGIN
    FOR relation IN SELECT r.upper FROM previewpg.relation AS r WHERE r.copied_by IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datname = current_database() AND age(a.backend_xmin) >= age(r.copied_by::xid)) LOOP
        BEGIN
            UPDATE previewpg.relation AS r SET copied_by = NULL WHERE r.upper = relation;
            PERFORM previewpg.build_projection(relation);
        EXCEPTION WHEN lock_not_available OR object_in_use THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- TRUNCATE: nothing of production is left in it.
CREATE OR REPLACE FUNCTION previewpg.truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET session_replication_role = replica SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT r.state = 'merged' AND r.claims = r.upper AND NOT (r.key_numbers = '{}' AND c.relkind <> 'p' AND EXISTS (SELECT FROM previewpg.relation o WHERE o.claims = r.upper AND o.upper <> r.upper))
        FROM previewpg.relation r JOIN pg_class c ON c.oid = r.upper WHERE r.upper = TG_RELID) THEN
        PERFORM previewpg.detach(TG_RELID, 'It was truncated');
    ELSIF (SELECT r.state = 'merged' AND r.key_numbers = '{}' FROM previewpg.relation r WHERE r.upper = TG_RELID) THEN
        PERFORM previewpg.raise_part(TG_RELID);
    ELSIF (SELECT r.state = 'merged' FROM previewpg.relation r WHERE r.upper = TG_RELID) THEN
        PERFORM previewpg.claim_all(TG_RELID);
    END IF;
    RETURN NULL;
END
$$;

-- A part of a tree without a key can't lose its rows of production by itself.
CREATE OR REPLACE FUNCTION previewpg.raise_part(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE feature_not_supported USING
        -- It may be gone already.
        MESSAGE = format('the rows of table "%s" can''t be taken away from here in a preview',
            coalesce((SELECT c.relname FROM pg_class c WHERE c.oid = relation), (SELECT r.production_name FROM previewpg.relation r WHERE r.upper = relation))),
        DETAIL = 'Its inheritance or partition tree has no key, and was not copied up first.',
        HINT = format('Copy it up first: SELECT previewpg.copy_up_all(%s::oid, true).', (SELECT r.claims FROM previewpg.relation r WHERE r.upper = relation));
END
$$;

-- Claims every row of a partition, without copying one: they are gone.
CREATE OR REPLACE FUNCTION previewpg.claim_all(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE (SELECT format('INSERT INTO previewpg_claims.r%s (%s, previewpg_copied) SELECT %2$s, true FROM previewpg_lower.r%3$s ON CONFLICT DO NOTHING', r.claims,
                 (SELECT string_agg(quote_ident(k), ', ') FROM unnest(r.key_columns) AS k), r.upper)
             FROM previewpg.relation r WHERE r.upper = relation);
    PERFORM previewpg.touched(relation);
END
$$;

-- Copies up what nobody else holds a claim of at this moment, the first `wanted` rows of it (NULL: all), and waits for nobody.
-- otherwise: 'skip' leaves a held row out (SKIP LOCKED), 'error' raises PostgreSQL's own lock_not_available (NOWAIT).
CREATE OR REPLACE FUNCTION previewpg.copy_up_available(relation oid, rows_wanted anyarray, wanted bigint, otherwise text) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '1ms' AS $$
DECLARE
    statement text := pg_catalog.format('SELECT previewpg_copy.r%s($1)', relation);
    total int := pg_catalog.cardinality(rows_wanted);
    first int := coalesce(least(wanted, total), total);
    next_row int := 1;
    copied bigint := 0;
    part bigint;
BEGIN
    IF coalesce(first, 0) < 1 THEN
        RETURN 0;
    END IF;
    -- Usually nobody holds anything.
    BEGIN
        EXECUTE statement INTO copied USING rows_wanted[1:first];
        next_row := first + 1;
    EXCEPTION WHEN lock_not_available THEN
        copied := 0;
    END;
    WHILE next_row <= total AND (wanted IS NULL OR copied < wanted) LOOP
        BEGIN
            EXECUTE statement INTO part USING rows_wanted[next_row:next_row];
            copied := copied + part;
        EXCEPTION WHEN lock_not_available THEN
            IF otherwise = 'error' THEN
                RAISE lock_not_available USING MESSAGE = pg_catalog.format('could not obtain lock on row in relation "%s"',
                    (SELECT c.relname FROM pg_catalog.pg_class AS c WHERE c.oid = relation));
            END IF;
        END;
        next_row := next_row + 1;
    END LOOP;
    RETURN copied;
END
$$;
