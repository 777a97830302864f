-- Production as one JSON document: what provisioning needs to know of it, read by a role that may only SELECT.
-- The session's search path is pg_catalog, so that types are printed with their schemas.
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'encoding', (SELECT pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = current_database()),
    'collate', (SELECT d.datcollate FROM pg_database d WHERE d.datname = current_database()),
    'ctype', (SELECT d.datctype FROM pg_database d WHERE d.datname = current_database()),
    'extensions', coalesce((SELECT json_object_agg(e.extname, e.extversion) FROM pg_extension e), '{}'),
    'schemas', coalesce((SELECT json_agg(n.nspname ORDER BY n.nspname) FROM pg_namespace n WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'), '[]'),
    'relations', coalesce((SELECT json_agg(json_build_object(
        'schema', n.nspname,
        'name', c.relname,
        'oid', c.oid::bigint,
        'kind', c.relkind,
        'partition', c.relispartition,
        'select', has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
        'row_security', row_security_active(c.oid),
        'rows', greatest(c.reltuples, 0)::bigint,
        'bytes', CASE WHEN c.relkind = 'f' THEN 0 ELSE coalesce(pg_table_size(c.oid), 0) END,
        'partitioned', c.relkind = 'p' OR c.relispartition,
        'inherits', c.relkind = 'r' AND NOT c.relispartition
            AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid OR h.inhparent = c.oid),
        'heirs', coalesce((SELECT json_agg(json_build_array(s.nspname, k.relname) ORDER BY s.nspname, k.relname)
            FROM pg_inherits h JOIN pg_class k ON k.oid = h.inhrelid JOIN pg_namespace s ON s.oid = k.relnamespace
            WHERE h.inhparent = c.oid AND c.relkind = 'r'), '[]'),
        'columns', coalesce((SELECT json_agg(json_build_object(
            'name', a.attname,
            'number', a.attnum,
            'default', pg_get_expr(d.adbin, d.adrelid),
            'type', format_type(a.atttypid, a.atttypmod),
            'collation', CASE WHEN a.attcollation <> t.typcollation THEN
                (SELECT format('%I.%I', m.nspname, l.collname) FROM pg_collation l JOIN pg_namespace m ON m.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
            'not_null', a.attnotnull,
            'generated', a.attgenerated <> '',
            'identity', a.attidentity) ORDER BY a.attnum)
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
        -- Those that are made by themselves: a constraint's index and what a partition got from its root aren't.
        'constraints', coalesce((SELECT json_object_agg(k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
            WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conislocal AND k.conparentid = 0), '{}'),
        'indexes', coalesce((SELECT json_object_agg(x.relname, pg_get_indexdef(i.indexrelid)) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND i.indisvalid AND NOT x.relispartition AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x'))), '{}'),
        'index_names', coalesce((SELECT json_agg(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid), '[]'),
        'keys', coalesce((SELECT json_agg((SELECT json_agg(a.attname ORDER BY k.place)
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts) ORDER BY i.indisprimary DESC, i.indexrelid)
            FROM pg_index i
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL), '[]'),
        'promises', coalesce((SELECT json_agg(p.definition ORDER BY p.definition) FROM (
            -- That of a partition is its root's: PostgreSQL can't print ON DELETE SET NULL (columns) of a partition whose columns are in another order.
            SELECT pg_get_constraintdef((
                WITH RECURSIVE up AS (SELECT k.oid AS object, k.conparentid AS parent
                    UNION ALL SELECT p.oid, p.conparentid FROM up JOIN pg_constraint p ON p.oid = up.parent)
                SELECT up.object FROM up WHERE up.parent = 0)) AS definition
            FROM pg_constraint k WHERE k.conrelid = c.oid AND k.convalidated AND k.contype IN ('c', 'f', 'x')
            UNION ALL
            SELECT substr(pg_get_indexdef(i.indexrelid), length('CREATE UNIQUE INDEX ' || quote_ident(x.relname)) + 1)
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid) AS p), '[]'))
        ORDER BY c.relispartition, n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^(pg_toast|pg_temp_)'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')), '[]'),
    'enums', coalesce((SELECT json_agg(json_build_object(
        'schema', n.nspname,
        'name', t.typname,
        'labels', (SELECT json_agg(json_build_array(e.oid::bigint, e.enumlabel) ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)) ORDER BY n.nspname, t.typname)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype = 'e' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')), '[]'),
    'sequences', coalesce((SELECT json_agg(json_build_object(
        'schema', n.nspname,
        'name', c.relname,
        'last', CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid) END,
        'readable', has_sequence_privilege(c.oid, 'SELECT, USAGE'),
        'owner_schema', o.nspname,
        'owner_table', o.relname,
        'owner_column', o.attname) ORDER BY n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL (
            SELECT m.nspname, t.relname, a.attname
            FROM pg_depend d
            JOIN pg_class t ON t.oid = d.refobjid
            JOIN pg_namespace m ON m.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1) AS o ON true
        WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')), '[]')
)::text
