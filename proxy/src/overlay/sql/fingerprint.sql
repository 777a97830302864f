-- Production's schema as one value: a digest of all that a preview takes over from it, read by a role that may only SELECT.
-- The session's search path is pg_catalog, so that names are printed alike whoever asks.
WITH space AS MATERIALIZED (
    SELECT n.oid, n.nspname::text AS name FROM pg_namespace n WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
), member AS MATERIALIZED (
    SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e'
), rel AS MATERIALIZED (
    SELECT c.*, space.name AS space FROM pg_class c JOIN space ON space.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
      AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
), fact(what) AS (
    SELECT concat_ws(' ', 'schema', space.name, has_schema_privilege(space.oid, 'USAGE')) FROM space
    UNION ALL
    SELECT concat_ws(' ', 'extension', e.extname, e.extversion) FROM pg_extension e
    UNION ALL
    SELECT concat_ws(' ', 'relation', r.relkind, r.space, r.relname, r.relrowsecurity, r.relforcerowsecurity, r.relispartition,
        pg_get_expr(r.relpartbound, r.oid), CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
        CASE WHEN r.relkind <> 'S' THEN has_table_privilege(r.oid, 'SELECT') AND NOT row_security_active(r.oid) END,
        CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END) FROM rel r
    UNION ALL
    SELECT concat_ws(' ', 'column', r.space, r.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
        a.attcollation, pg_get_expr(d.adbin, d.adrelid))
    FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p', 'f', 'm', 'c')
    UNION ALL
    SELECT concat_ws(' ', 'inherits', p.space, p.relname, r.space, r.relname) FROM pg_inherits h JOIN rel r ON r.oid = h.inhrelid JOIN rel p ON p.oid = h.inhparent
    UNION ALL
    SELECT concat_ws(' ', 'constraint', r.space, r.relname, k.conname, k.convalidated,
        -- A partition's definition is its root's, as in describe.sql.
        CASE WHEN k.conparentid = 0 THEN pg_get_constraintdef(k.oid) END) FROM pg_constraint k JOIN rel r ON r.oid = k.conrelid
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid) FROM pg_index i JOIN rel r ON r.oid = i.indrelid
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'rule', pg_get_ruledef(w.oid)) FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT concat_ws(' ', 'policy', r.space, r.relname, y.polname, y.polcmd, y.polpermissive, pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid))
    FROM pg_policy y JOIN rel r ON r.oid = y.polrelid
    UNION ALL
    SELECT concat_ws(' ', 'sequence', r.space, r.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
    FROM pg_sequence s JOIN rel r ON r.oid = s.seqrelid
    UNION ALL
    SELECT concat_ws(' ', 'routine', space.name, p.proname, CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE p.prokind::text || ' ' || pg_get_function_identity_arguments(p.oid) END)
    FROM pg_proc p JOIN space ON space.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
    UNION ALL
    SELECT concat_ws(' ', 'type', t.typtype, space.name, t.typname, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
        (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
        (SELECT string_agg(concat_ws(' ', k.conname, pg_get_constraintdef(k.oid)), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid),
        (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid))
    FROM pg_type t JOIN space ON space.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r', 'b') AND t.typcategory <> 'A' AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
)
SELECT 'sha256:' || encode(sha256(convert_to(string_agg(what, E'\n' ORDER BY what COLLATE "C"), 'UTF8')), 'hex') FROM fact
