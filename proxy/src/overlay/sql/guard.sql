-- The guard: an UPDATE or DELETE that nobody copied up for would silently miss production's rows, so it is refused.
-- permit and guard have no SET clause: leaving a function that has one undoes set_config(.., true).

-- Lets the next statement on the relation through. ops: the statement triggers that it will fire, exactly: U, D or UD
-- (INSERT .. ON CONFLICT DO UPDATE: U; MERGE: by its actions).
CREATE OR REPLACE FUNCTION previewpg.permit(relation oid, ops text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('previewpg.permit', pg_catalog.concat(pg_catalog.current_setting('previewpg.permit', true),
        (SELECT pg_catalog.string_agg(pg_catalog.concat('[', relation, op, ']'), '') FROM pg_catalog.regexp_split_to_table(ops, '') AS op)), true);
END
$$;

CREATE OR REPLACE FUNCTION previewpg.guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    permits text := pg_catalog.current_setting('previewpg.permit', true);
    permit text := pg_catalog.concat('[', TG_RELID, pg_catalog.left(TG_OP, 1), ']');
    place int := pg_catalog.strpos(permits, permit);
    stack text;
    lines text[];
BEGIN
    IF place > 0 THEN
        PERFORM pg_catalog.set_config('previewpg.permit',
            pg_catalog.concat(pg_catalog.left(permits, place - 1), pg_catalog.substr(permits, place + pg_catalog.length(permit))), true);
        RETURN NULL;
    END IF;
    IF (SELECT r.state = 'detached' FROM previewpg.relation AS r WHERE r.oid = TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- PostgreSQL's own referential actions: their query stands right under this function, and no PL/pgSQL statement ran it.
    GET DIAGNOSTICS stack = PG_CONTEXT;
    lines := pg_catalog.regexp_split_to_array(stack, E'\n');
    IF pg_catalog.strpos(lines[2], pg_catalog.concat('"', CASE TG_OP WHEN 'DELETE' THEN 'DELETE FROM ' ELSE 'UPDATE ' END)) > 0
        AND lines[2] ~ ' WHERE \$1(::[^ ]+)? OPERATOR\(|" SET "' AND lines[2] ~ ' OPERATOR\('
        AND pg_catalog.strpos(lines[2], pg_catalog.format('"%s"."%s"',
            pg_catalog.replace(TG_TABLE_SCHEMA, '"', '""'), pg_catalog.replace(TG_TABLE_NAME, '"', '""'))) > 0
        AND coalesce(lines[3], '') !~ '^PL/pgSQL function .* (SQL statement|EXECUTE)$' THEN
        RETURN NULL;
    END IF;
    RAISE feature_not_supported USING
        MESSAGE = pg_catalog.format('cannot %s table "%s" from here in a preview', CASE TG_OP WHEN 'DELETE' THEN 'delete from' ELSE 'update' END, TG_TABLE_NAME),
        DETAIL = 'The rows of production that it may touch were not copied up first, because the statement does not come from the client itself (it stands in a function, trigger or rule).',
        HINT = 'Send it as a statement of its own, or copy the whole table up first: SELECT previewpg.copy_up_all('
            || pg_catalog.quote_literal(pg_catalog.format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)) || '::regclass, true).',
        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END
$$;
