-- A view's text; NULL while another session's transaction has locked the view, or a table that it reads, against everybody: whoever reads the catalog
-- doesn't wait for it, nor do two wait for each other.
CREATE OR REPLACE FUNCTION previewpg.view_definition(relation oid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog SET quote_all_identifiers = off SET lock_timeout = '10ms' AS $$
BEGIN
    RETURN pg_get_viewdef(relation);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN NULL;
END
$$;

-- While fresh is being provisioned its tables look like ordinary, empty ones: nobody may take them for that.
CREATE OR REPLACE FUNCTION previewpg.unprovisioned() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'the preview is not provisioned to the end yet' USING ERRCODE = 'invalid_schema_name';
END
$$;

-- The catalog as one JSON document, read with a fixed search path so that every name in it is qualified alike
-- whoever asks. It runs with the caller's rights and sees what the caller's transaction sees. It takes no lock that another session's schema change could hold
-- (pg_relation_size, pg_get_indexdef, and pg_get_expr with a relation do): but for indexes over expressions and with conditions.
CREATE OR REPLACE FUNCTION previewpg.catalog() RETURNS text
-- Not SQL: planning it takes about as long as running it, and a session keeps the plan.
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog
SET quote_all_identifiers = off
-- Its estimated cost is high and its work small: compiling it takes seconds.
SET jit = off
AS $catalog$
BEGIN
RETURN (
WITH space AS MATERIALIZED (
    SELECT oid, nspname::text AS name FROM pg_namespace
    WHERE nspname NOT IN ('pg_catalog', 'information_schema')
      AND nspname !~ '^(pg_toast|previewpg)'
      AND (nspname !~ '^pg_temp_' OR oid = pg_my_temp_schema())
), rel AS MATERIALIZED (
    SELECT c.*, s.name AS schema FROM pg_class c JOIN space s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
), col AS (
    SELECT a.attrelid, json_agg(json_build_object(
        'number', a.attnum,
        'name', a.attname,
        'type_oid', a.atttypid::bigint,
        'type_name', CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN format_type(a.atttypid, a.atttypmod)
                     ELSE format_type(a.atttypid, NULL) END,
        'not_null', a.attnotnull,
        'generated', a.attgenerated <> '',
        'has_default', a.atthasdef OR a.attidentity <> '',
        'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END
    ) ORDER BY a.attnum) AS columns
    FROM pg_attribute a
    JOIN rel r ON r.oid = a.attrelid
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'S'
    GROUP BY a.attrelid
), key AS (
    SELECT i.indrelid, json_agg(json_build_object(
        'name', coalesce(c.conname, x.relname),
        'constraint', c.oid IS NOT NULL,
        'primary', i.indisprimary,
        'exclusion', i.indisexclusion,
        'partial', i.indpred IS NOT NULL OR i.indexprs IS NOT NULL,
        'expressions', part.expressions,
        'predicate', CASE WHEN i.indpred IS NOT NULL THEN pg_get_expr(i.indpred, i.indrelid) END,
        'columns', CASE WHEN i.indexprs IS NULL THEN part.columns END
    ) ORDER BY i.indisprimary DESC, i.indexrelid) AS keys
    FROM pg_index i
    JOIN rel r ON r.oid = i.indrelid
    JOIN pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x') AND c.conrelid = i.indrelid
    CROSS JOIN LATERAL (
        -- With the index's collation where another one finds other values equal: deterministic ones compare bytes.
        SELECT json_agg(CASE WHEN k.attnum = 0 THEN pg_get_indexdef(i.indexrelid, k.n::int, false) ELSE quote_ident(a.attname) END
                   || CASE WHEN i.indcollation[k.n - 1] IS DISTINCT FROM a.attcollation AND EXISTS (SELECT FROM pg_collation o WHERE o.oid IN (i.indcollation[k.n - 1], a.attcollation) AND NOT o.collisdeterministic)
                      THEN (SELECT format(' COLLATE %I.%I', s.nspname, o.collname) FROM pg_collation o JOIN pg_namespace s ON s.oid = o.collnamespace WHERE o.oid = i.indcollation[k.n - 1])
                      ELSE '' END ORDER BY k.n) AS expressions,
               json_agg(a.attname ORDER BY k.n) AS columns
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE k.n <= i.indnkeyatts) AS part
    WHERE (i.indisunique OR i.indisexclusion) AND i.indisvalid
    GROUP BY i.indrelid
), view_read AS (
    SELECT w.ev_class, json_agg(DISTINCT d.refobjid::bigint) AS reads
    FROM pg_rewrite w
    JOIN rel r ON r.oid = w.ev_class AND r.relkind IN ('v', 'm')
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
    GROUP BY w.ev_class
), rule_read AS (
    SELECT w.ev_class, json_agg(DISTINCT d.refobjid::bigint) AS reads
    FROM pg_rewrite w
    JOIN rel r ON r.oid = w.ev_class
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
    WHERE w.rulename <> '_RETURN'
    GROUP BY w.ev_class
), trigger_function AS (
    SELECT g.tgrelid, json_agg(DISTINCT g.tgfoid::bigint) AS functions
    FROM pg_trigger g JOIN rel r ON r.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgname !~ '^0?previewpg' AND g.tgenabled IN ('O', 'A')
    GROUP BY g.tgrelid
), child AS (
    SELECT k.confrelid, json_agg(DISTINCT k.conrelid::bigint) AS children
    FROM pg_constraint k JOIN rel r ON r.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
    GROUP BY k.confrelid
), heir_of AS (
    SELECT h.inhparent, json_agg(h.inhrelid::bigint ORDER BY h.inhrelid) AS heirs
    FROM pg_inherits h JOIN rel r ON r.oid = h.inhparent
    GROUP BY h.inhparent
), code AS MATERIALIZED (
    -- Functions whose bodies can be read: what else calls them, unseen in a statement's text, is told by pg_depend.
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = ANY (ARRAY(SELECT s.oid FROM space s)) AND p.prolang NOT IN (SELECT g.oid FROM pg_language g WHERE g.lanname IN ('c', 'internal'))
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), code_use AS MATERIALIZED (
    SELECT d.classid, d.objid, code.oid AS function FROM code
    JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = code.oid
    UNION
    SELECT d.classid, d.objid, code.oid FROM code JOIN pg_operator o ON o.oprcode = code.oid
    JOIN pg_depend d ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid
), type_code AS MATERIALIZED (
    -- Domain checks, range types' own functions, and casts; of a type made of others, theirs.
    WITH RECURSIVE own(type, function) AS (
        SELECT c.contypid, u.function FROM code_use u JOIN pg_constraint c ON u.classid = 'pg_constraint'::regclass AND c.oid = u.objid
        WHERE c.contypid <> 0
        UNION
        SELECT u.objid, u.function FROM code_use u WHERE u.classid = 'pg_type'::regclass
        UNION
        SELECT t.oid, code.oid FROM code JOIN pg_cast k ON k.castfunc = code.oid
        JOIN pg_type t ON t.oid IN (k.castsource, k.casttarget) JOIN space s ON s.oid = t.typnamespace
        WHERE EXISTS (SELECT FROM code)
    ), part(whole, type) AS (
        SELECT t.oid, unnest(ARRAY[t.typbasetype, t.typelem]) FROM pg_type t JOIN space s ON s.oid = t.typnamespace
        WHERE EXISTS (SELECT FROM own)
        UNION ALL
        SELECT r.reltype, a.atttypid FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND EXISTS (SELECT FROM own)
    ), all_parts(type, function) AS (
        SELECT type, function FROM own
        UNION
        SELECT part.whole, a.function FROM all_parts a JOIN part ON part.type = a.type
    )
    SELECT type, function FROM all_parts WHERE type <> 0
), row_code AS (
    -- What a new row of a relation may call: defaults, generated columns, checks, indexes, partition keys, policies, rules, conditions of triggers, types of columns.
    SELECT relation, json_agg(DISTINCT function::bigint) AS functions FROM (
        SELECT d.adrelid AS relation, u.function FROM code_use u JOIN pg_attrdef d ON u.classid = 'pg_attrdef'::regclass AND d.oid = u.objid
        UNION ALL
        SELECT c.conrelid, u.function FROM code_use u JOIN pg_constraint c ON u.classid = 'pg_constraint'::regclass AND c.oid = u.objid
        UNION ALL
        SELECT i.indrelid, u.function FROM code_use u JOIN pg_index i ON u.classid = 'pg_class'::regclass AND i.indexrelid = u.objid
        UNION ALL
        SELECT r.oid, u.function FROM code_use u JOIN rel r ON u.classid = 'pg_class'::regclass AND r.oid = u.objid
        UNION ALL
        SELECT w.ev_class, u.function FROM code_use u JOIN pg_rewrite w ON u.classid = 'pg_rewrite'::regclass AND w.oid = u.objid
        WHERE w.rulename <> '_RETURN'
        UNION ALL
        SELECT y.polrelid, u.function FROM code_use u JOIN pg_policy y ON u.classid = 'pg_policy'::regclass AND y.oid = u.objid
        UNION ALL
        SELECT g.tgrelid, u.function FROM code_use u JOIN pg_trigger g ON u.classid = 'pg_trigger'::regclass AND g.oid = u.objid
        WHERE g.tgqual IS NOT NULL
        UNION ALL
        SELECT a.attrelid, t.function FROM type_code t JOIN pg_attribute a ON a.atttypid = t.type
        WHERE a.attnum > 0 AND NOT a.attisdropped AND EXISTS (SELECT FROM type_code)
    ) AS use GROUP BY relation
), routine_call AS (
    -- Defaults of arguments, parts of aggregates, bodies of SQL that was parsed when it was made, types of arguments and results.
    SELECT routine, json_agg(DISTINCT function::bigint) AS functions FROM (
        SELECT u.objid AS routine, u.function FROM code_use u WHERE u.classid = 'pg_proc'::regclass
        UNION ALL
        SELECT d.objid, t.function FROM type_code t
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_type'::regclass AND d.refobjid = t.type
        WHERE EXISTS (SELECT FROM type_code)
    ) AS use GROUP BY routine
), written AS MATERIALIZED (
    SELECT w.upper FROM previewpg.written() AS w(upper)
), heir AS MATERIALIZED (
    SELECT r.oid FROM rel r
    WHERE EXISTS (SELECT FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
                  WHERE p.relkind <> 'p' AND (h.inhparent = r.oid OR h.inhrelid = r.oid))
)
SELECT CASE WHEN EXISTS (SELECT FROM previewpg.meta m WHERE m.name = 'provisioned') THEN json_build_object(
    'fresh_major', current_setting('server_version_num')::int / 10000,
    'production_major', (SELECT value::int FROM previewpg.meta WHERE name = 'production_major'),
    'copy_up_rows', (SELECT value::bigint FROM previewpg.meta WHERE name = 'copy_up_rows'),
    'copy_up_bytes', (SELECT value::bigint FROM previewpg.meta WHERE name = 'copy_up_bytes'),
    'user_operators', EXISTS (
        SELECT FROM pg_operator o WHERE o.oprnamespace <> 'pg_catalog'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e')),
    'relations', coalesce((SELECT json_agg(json_build_object(
        'oid', r.oid::bigint,
        'schema', r.schema,
        'name', r.relname,
        'kind', r.relkind,
        'temporary', r.relpersistence = 't',
        'row_security', r.relrowsecurity,
        'rules', EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = r.oid AND w.rulename <> '_RETURN'),
        'partition_root', CASE WHEN r.relispartition THEN pg_partition_root(r.oid)::oid::bigint END,
        'inherits', EXISTS (SELECT FROM heir WHERE heir.oid = r.oid),
        'columns', col.columns,
        'keys', key.keys,
        'definition', CASE WHEN r.relkind IN ('v', 'm') THEN previewpg.view_definition(r.oid) END,
        'barrier', EXISTS (SELECT FROM pg_options_to_table(r.reloptions) AS o WHERE o.option_name = 'security_barrier' AND o.option_value::boolean),
        'reads', view_read.reads,
        'trigger_functions', trigger_function.functions,
        'row_functions', row_code.functions,
        'children', child.children,
        'rule_reads', rule_read.reads,
        'heirs', heir_of.heirs,
        'lower', CASE WHEN l.upper IS NOT NULL THEN json_build_object(
            'state', CASE WHEN hidden.rows THEN 'unsupported' ELSE l.state END,
            'key', l.key_columns,
            'production_schema', l.production_schema,
            'production_name', l.production_name,
            'same_shape', l.same_shape,
            'policed', coalesce(hidden.rows, false),
            'row_security', l.row_security,
            'reason', CASE WHEN hidden.rows THEN 'Row-level security is forced on it, and its policies can''t be applied to production''s rows.' ELSE l.reason END,
            'rows', l.production_rows,
            'bytes', l.production_bytes,
            'claims', l.claims::bigint,
            'copy_up', l.copy_up::bigint,
            'written', l.state <> 'unsupported' AND (r.oid IN (SELECT d.upper FROM previewpg.dirty d) OR r.oid IN (SELECT w.upper FROM written w))) END) ORDER BY r.oid)
        FROM rel r
        LEFT JOIN col ON col.attrelid = r.oid
        LEFT JOIN key ON key.indrelid = r.oid
        LEFT JOIN view_read ON view_read.ev_class = r.oid
        LEFT JOIN trigger_function ON trigger_function.tgrelid = r.oid
        LEFT JOIN row_code ON row_code.relation = r.oid
        LEFT JOIN child ON child.confrelid = r.oid
        LEFT JOIN rule_read ON rule_read.ev_class = r.oid
        LEFT JOIN heir_of ON heir_of.inhparent = r.oid
        LEFT JOIN previewpg.relation l ON l.upper = r.oid
        -- Clients own their tables: policies hold for them only when forced.
        CROSS JOIN LATERAL (SELECT l.state = 'merged' AND r.relrowsecurity AND r.relforcerowsecurity AS rows) AS hidden), '[]'),
    'routines', coalesce((SELECT json_agg(json_build_object(
        'oid', p.oid::bigint,
        'schema', s.name,
        'name', p.proname,
        'volatility', p.provolatile,
        'language', g.lanname,
        'aggregate', p.prokind IN ('a', 'w'),
        'calls', routine_call.functions,
        'body', CASE WHEN g.lanname IN ('c', 'internal') THEN '' ELSE coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) END,
        'extension', (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' LIMIT 1)) ORDER BY p.oid)
        FROM pg_proc p JOIN space s ON s.oid = p.pronamespace JOIN pg_language g ON g.oid = p.prolang
        LEFT JOIN routine_call ON routine_call.routine = p.oid), '[]'),
    'operators', coalesce((SELECT json_agg(json_build_object('name', o.oprname, 'function', code.oid::bigint) ORDER BY o.oid)
        FROM pg_operator o JOIN code ON code.oid = o.oprcode), '[]'),
    -- Casts that a statement may apply without naming a user's type.
    'casts', coalesce((SELECT json_agg(json_build_object('function', code.oid::bigint, 'written', k.castcontext = 'e') ORDER BY k.oid)
        FROM code JOIN pg_cast k ON k.castfunc = code.oid
        WHERE k.castcontext <> 'e' OR NOT EXISTS (SELECT FROM pg_type t JOIN space s ON s.oid = t.typnamespace WHERE t.oid = k.casttarget)), '[]'),
    'types', coalesce((SELECT json_agg(json_build_object(
        'oid', t.oid::bigint,
        'schema', s.name,
        'name', t.typname,
        'kind', t.typtype,
        'functions', (SELECT json_agg(DISTINCT u.function::bigint) FROM type_code u WHERE u.type = t.oid),
        'array', t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc) ORDER BY t.oid)
        FROM pg_type t JOIN space s ON s.oid = t.typnamespace
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype <> 'c' OR c.relkind = 'c'), '[]')
)::text ELSE previewpg.unprovisioned() END);
END
$catalog$;
