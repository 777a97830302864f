-- Sequences start above production's last value, so that rows which production gets meanwhile don't collide with the preview's.

-- wanted: [{schema, name, last, readable, owner_schema, owner_table, owner_column}]; gap: how far above. A sequence that fresh has already used stays as it is.
CREATE OR REPLACE FUNCTION previewpg.set_sequences(wanted jsonb, gap bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    s record;
    base numeric;
    target numeric;
BEGIN
    FOR w IN SELECT * FROM jsonb_to_recordset(wanted) AS x(schema text, name text, last bigint, readable boolean, owner_schema text, owner_table text, owner_column text) LOOP
        SELECT q.* INTO s FROM pg_sequences q WHERE q.schemaname = w.schema AND q.sequencename = w.name;
        CONTINUE WHEN NOT FOUND OR s.last_value IS NOT NULL;
        base := w.last;
        IF NOT w.readable AND w.owner_table IS NOT NULL THEN
            BEGIN
                EXECUTE format('SELECT %s(%I) FROM previewpg_fdw.r%s', CASE WHEN s.increment_by > 0 THEN 'max' ELSE 'min' END, w.owner_column,
                    (SELECT r.upper FROM previewpg.relation r WHERE r.production_schema = w.owner_schema AND r.production_name = w.owner_table)) INTO base;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'sequence %.% can''t be read on production and keeps its start value: %', w.schema, w.name, SQLERRM;
                CONTINUE;
            END;
        END IF;
        CONTINUE WHEN base IS NULL AND gap = 0;
        base := coalesce(base, s.start_value - s.increment_by);
        -- Whole increments, and never more than half of what is left.
        target := CASE WHEN s.increment_by > 0 THEN least(gap, trunc((s.max_value::numeric - base) / 2)) ELSE -least(gap, trunc((base - s.min_value::numeric) / 2)) END;
        target := base + trunc(target / s.increment_by) * s.increment_by;
        CONTINUE WHEN target NOT BETWEEN s.min_value AND s.max_value;
        PERFORM setval(format('%I.%I', w.schema, w.name)::regclass, target::bigint, true);
    END LOOP;
END
$$;
