-- A preview that was provisioned before, as one JSON document: what it knows of production, and what it has become.
SELECT json_build_object(
    'settings', (SELECT json_object_agg(m.name, m.value) FROM previewpg.meta m),
    'relations', coalesce((SELECT json_agg(json_build_object(
        'description', p.description,
        'upper', CASE WHEN c.oid IS NOT NULL THEN p.upper::bigint END,
        'schema', n.nspname,
        'name', c.relname,
        'state', coalesce(r.halted, r.state, 'empty'),
        'halted', r.halted IS NOT NULL,
        'written', r.upper IS NOT NULL AND (previewpg.is_written(r.upper) OR r.claims <> r.upper AND previewpg.is_written(r.claims::oid)),
        'key', coalesce((SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(r.key_numbers) WITH ORDINALITY AS k(number, place)
            JOIN pg_attribute a ON a.attrelid = r.upper AND a.attnum = k.number), '[]'),
        'columns', coalesce((SELECT json_agg(json_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'not_null', a.attnotnull,
            'default', pg_get_expr(d.adbin, d.adrelid),
            -- The production column that it reads, whatever is made of it; NULL: the preview's own.
            'reads', (SELECT e.origin FROM previewpg.attribute e WHERE e.upper = p.upper AND e.number = a.attnum)) ORDER BY a.attnum)
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
        'constraints', coalesce((SELECT json_object_agg(k.conname,
                -- A partition's definition is its root's, as in describe.sql.
                CASE WHEN k.conparentid = 0 THEN pg_get_constraintdef(k.oid) ELSE '' END) FROM pg_constraint k
            WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')), '{}'),
        'indexes', coalesce((SELECT json_object_agg(x.relname, pg_get_indexdef(i.indexrelid)) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid), '{}')))
        FROM previewpg.production p
        LEFT JOIN pg_class c ON c.oid = p.upper
        LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN previewpg.relation r ON r.upper = p.upper), '[]'),
    'enums', coalesce((SELECT json_agg(json_build_object('schema', n.nspname, 'name', t.typname,
        'labels', (SELECT json_agg(json_build_array(e.oid::bigint, e.enumlabel) ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)))
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e'), '[]'),
    -- Changes of type that lose nothing: built-in, implicit, of the same collation.
    'widenings', (SELECT json_agg(json_build_array(format_type(k.castsource, NULL), format_type(k.casttarget, NULL)))
        FROM pg_cast k JOIN pg_type b ON b.oid = k.castsource JOIN pg_type t ON t.oid = k.casttarget
        WHERE k.castcontext = 'i' AND k.castmethod IN ('b', 'f') AND b.typcollation = t.typcollation AND k.oid < 16384 AND k.castsource <> k.casttarget)
)::text
