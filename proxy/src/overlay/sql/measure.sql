-- How much the preview holds. Tables above a size are estimated, so that this stays cheap.

CREATE OR REPLACE FUNCTION previewpg.measure(OUT row_count bigint, OUT whiteouts bigint, OUT copied_up bigint, OUT bytes bigint, OUT last_connection timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    small constant bigint := 32 << 20;
    t record;
    counted record;
    known timestamptz := (SELECT m.value::timestamptz FROM previewpg.meta AS m WHERE m.name = 'last_connection');
    app text := previewpg.setting('app_role');
BEGIN
    row_count := 0; whiteouts := 0; copied_up := 0; bytes := 0;
    FOR t IN
        SELECT c.oid, c.relkind, r.upper IS NOT NULL AS lower_backed, r.key_numbers, to_regclass('previewpg_claims.r' || c.oid) AS claims,
               CASE WHEN c.relkind = 'p' THEN 0 ELSE pg_table_size(c.oid) END AS size
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN previewpg.relation r ON r.upper = c.oid
        WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^(pg_|previewpg)'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    LOOP
        IF t.relkind = 'm' AND t.lower_backed THEN
            CONTINUE;
        END IF;
        IF t.relkind <> 'p' AND pg_relation_size(t.oid) > 0 THEN
            bytes := bytes + pg_total_relation_size(t.oid);
            IF t.size > small THEN
                row_count := row_count + pg_stat_get_live_tuples(t.oid);
            ELSIF t.relkind = 'r' OR (SELECT c.relispopulated FROM pg_class c WHERE c.oid = t.oid) THEN
                EXECUTE format('SELECT count(*) FROM ONLY %s', t.oid::regclass) INTO counted;
                row_count := row_count + counted.count;
            END IF;
        END IF;
        IF t.claims IS NOT NULL AND pg_relation_size(t.claims) > 0 THEN
            bytes := bytes + pg_total_relation_size(t.claims);
            IF t.key_numbers <> '{}' THEN
                -- A claim without a row in upper is a row of production that was deleted, if it is one of production's.
                IF greatest(pg_table_size(t.claims), t.size) > small THEN
                    -- What was copied up and what was inserted or deleted can't be told apart without looking.
                    SELECT least(pg_stat_get_live_tuples(t.claims), pg_stat_get_live_tuples(t.oid)) AS copied,
                           greatest(pg_stat_get_live_tuples(t.claims) - pg_stat_get_live_tuples(t.oid), 0) AS gone INTO counted;
                ELSE
                    EXECUTE format('SELECT count(*) FILTER (WHERE u.present) AS copied, count(*) FILTER (WHERE NOT u.present) AS gone FROM %s AS c, LATERAL (SELECT EXISTS (SELECT FROM %s AS u WHERE %s) AS present) AS u WHERE c.previewpg_copied',
                        t.claims, previewpg.upper_of(t.oid), previewpg.claim_matches(t.oid, 'c', 'u')) INTO counted;
                END IF;
                copied_up := copied_up + counted.copied;
                whiteouts := whiteouts + counted.gone;
            END IF;
        END IF;
    END LOOP;
    SELECT greatest(known, max(a.backend_start)) INTO last_connection FROM pg_stat_activity a WHERE a.datname = current_database() AND a.usename = app;
    IF last_connection IS DISTINCT FROM known THEN
        INSERT INTO previewpg.meta AS m VALUES ('last_connection', last_connection::text) ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    END IF;
END
$$;

-- The condition "this claim is of this row of upper", over two aliases.
CREATE OR REPLACE FUNCTION previewpg.claim_matches(relation oid, claim_alias text, row_alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT string_agg(format('%s.%I %s %s.%2$I', claim_alias, a.attname, previewpg.index_equality(to_regclass('previewpg_claims.r' || $1 || '_pkey'), k.place::int), row_alias), ' AND ' ORDER BY k.place)
    FROM previewpg.relation r, unnest(r.key_numbers) WITH ORDINALITY AS k(number, place) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.number
    WHERE r.upper = $1);
END
$$;
