-- The guard: an UPDATE or DELETE that nobody copied up for would silently miss production's rows, so it is refused.
-- permit and guard have no SET clause: leaving a function that has one undoes set_config(.., true).

-- Lets the next UPDATE, DELETE, MERGE or INSERT .. ON CONFLICT DO UPDATE of the relation through that comes from the client itself.
CREATE OR REPLACE FUNCTION previewpg.permit(relation oid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('previewpg.permit', pg_catalog.concat(pg_catalog.current_setting('previewpg.permit', true),
        '[', relation, 'U][', relation, 'D]'), true);
END
$$;

-- In front of a statement whose choice of rows may change when some of them are copied up (LIMIT without a full order, say): remaining is how many
-- rows of lower it would still choose now. With everything in upper it can choose what it likes.
CREATE OR REPLACE FUNCTION previewpg.settle(relation oid, remaining bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF remaining > 0 THEN
        PERFORM previewpg.copy_up_all(relation, false);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION previewpg.guard() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    permits text := pg_catalog.current_setting('previewpg.permit', true);
    permit text := pg_catalog.concat('[', TG_RELID, pg_catalog.left(TG_OP, 1), ']');
    stack text;
    lines text[];
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    lines := pg_catalog.regexp_split_to_array(stack, E'\n');
    -- Nothing below this function: the client's own statement, not one from a function's body. What is left of a permit (a MERGE
    -- fires for both, an UPDATE for one) serves the client's own statements only, and those have permits of their own.
    IF lines[2] IS NULL AND pg_catalog.strpos(permits, permit) > 0 THEN
        PERFORM pg_catalog.set_config('previewpg.permit', pg_catalog.replace(permits, permit, ''), true);
        RETURN NULL;
    END IF;
    IF (SELECT r.state = 'detached' FROM previewpg.relation AS r WHERE r.upper = TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- PostgreSQL's own referential actions: their query stands right below, and no PL/pgSQL statement ran it.
    IF pg_catalog.strpos(lines[2], pg_catalog.concat('"', CASE TG_OP WHEN 'DELETE' THEN 'DELETE FROM ' ELSE 'UPDATE ' END)) > 0
        AND lines[2] ~ $r$ OPERATOR\($r$
        AND (lines[2] ~ $r$ WHERE \$1(::[^ ]+)? OPERATOR\($r$ OR lines[2] ~ ' SET "')
        AND pg_catalog.strpos(lines[2], pg_catalog.format('"%s"."%s"',
            pg_catalog.replace(TG_TABLE_SCHEMA, '"', '""'), pg_catalog.replace(TG_TABLE_NAME, '"', '""'))) > 0
        AND coalesce(lines[3], '') !~ '^PL/pgSQL function .* (SQL statement|EXECUTE)$' THEN
        PERFORM previewpg.touched(TG_RELID);
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
