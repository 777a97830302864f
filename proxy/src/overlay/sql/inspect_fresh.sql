-- Fresh as one JSON document: what is there already.
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'superuser', (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user),
    'encoding', (SELECT pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = current_database()),
    'collate', (SELECT d.datcollate FROM pg_database d WHERE d.datname = current_database()),
    'ctype', (SELECT d.datctype FROM pg_database d WHERE d.datname = current_database()),
    'provisioned', to_regclass('previewpg.meta') IS NOT NULL,
    'noted', to_regclass('previewpg.production') IS NOT NULL AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('previewpg.attribute') AND a.attname = 'origin'),
    'relations', coalesce((SELECT json_agg(json_build_array(n.nspname, c.relname))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^(pg_toast|pg_temp_|previewpg)'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')), '[]')
)::text
