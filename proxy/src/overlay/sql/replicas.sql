-- What several proxies (replicas) of one fresh tell each other: which tables are dirty, when the schema changed, who is alive.
-- Why it is right stands in proxy/src/replicas/mod.rs.

-- One row: the number of the last piece of news. Whoever has news holds the row until it has committed, so numbers are in the order of commits.
CREATE TABLE IF NOT EXISTS previewpg.news (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    version bigint NOT NULL
);
INSERT INTO previewpg.news (version) VALUES (0) ON CONFLICT DO NOTHING;

-- The relations that somebody announced that they would write to. Never taken back: a write that was rolled back may have left its rows in no file, but nobody
-- can tell whether another one is on its way.
CREATE TABLE IF NOT EXISTS previewpg.dirty (
    upper oid PRIMARY KEY,
    version bigint NOT NULL
);

-- What committed without having been announced: a change of the schema (upper = 0), or rows of a relation that a function, a trigger or a referential action
-- wrote to. A part of the transaction that did it: a replica that dies right after it, and a transaction that another session commits (COMMIT PREPARED), are noticed
-- all the same.
CREATE TABLE IF NOT EXISTS previewpg.change (
    xid xid8,
    upper oid,
    PRIMARY KEY (xid, upper)
);

CREATE TABLE IF NOT EXISTS previewpg.replica (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Grows with each renewal of its lease.
    renewed bigint NOT NULL DEFAULT 0,
    -- The news up to this number are known to it.
    seen bigint NOT NULL DEFAULT -1,
    -- And the changes that this snapshot sees.
    catalog pg_snapshot,
    -- Its control line's backend.
    backend int NOT NULL,
    backend_start timestamptz NOT NULL
);

-- The replicas whose sessions are changing the schema, or are about to: at the commit of one, which may be now, a name may come to mean something else. Whoever reads by names
-- meanwhile has them held.
CREATE TABLE IF NOT EXISTS previewpg.changing (
    replica bigint PRIMARY KEY,
    version bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

-- A replica that is not yet registered has no lease. A new number each time: who knew an old one knows nothing of this one.
CREATE OR REPLACE FUNCTION previewpg.register() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO previewpg.replica (backend, backend_start)
    SELECT a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() RETURNING id
$$;

-- Renews a lease, and gives what is new since then; NULL: it isn't registered any more. The row is written first and the news read after it, by a snapshot of
-- their own: whoever finds the row unchanged knows that no news were read since.
-- No SET clause in the functions of replicas that set synchronous_commit for their transaction: leaving such a function would undo it.
CREATE OR REPLACE FUNCTION previewpg.renew(replica bigint, last_seen bigint, known pg_catalog.pg_snapshot) RETURNS pg_catalog.text
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    UPDATE previewpg.replica AS r SET renewed = r.renewed + 1, seen = last_seen, catalog = known WHERE r.id = replica;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN (
    SELECT pg_catalog.json_build_object(
        'version', n.version,
        'snapshot', pg_catalog.pg_current_snapshot()::pg_catalog.text,
        'marks', (SELECT coalesce(pg_catalog.json_agg(d.upper::pg_catalog.int8), '[]') FROM previewpg.dirty AS d WHERE d.version > last_seen),
        'written', (SELECT coalesce(pg_catalog.json_agg(DISTINCT c.upper::pg_catalog.int8), '[]') FROM previewpg.change AS c
                    WHERE c.upper <> 0 AND (known IS NULL OR NOT pg_catalog.pg_visible_in_snapshot(c.xid, known))),
        'changed', known IS NULL OR EXISTS (SELECT FROM previewpg.change AS c WHERE c.upper = 0 AND NOT pg_catalog.pg_visible_in_snapshot(c.xid, known)),
        'changing', EXISTS (SELECT FROM previewpg.changing AS c WHERE c.replica <> renew.replica),
        'others', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(r.id, r.renewed)), '[]') FROM previewpg.replica AS r WHERE r.id <> replica))
    FROM previewpg.news AS n);
END
$$;

-- A replica knows these news and changes now; whoever waits for it looks again.
CREATE OR REPLACE FUNCTION previewpg.acknowledge(replica bigint, now_seen bigint, known pg_catalog.pg_snapshot) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
    UPDATE previewpg.replica AS r SET seen = now_seen, catalog = known WHERE r.id = replica;
    PERFORM pg_catalog.pg_notify('previewpg_acknowledged', '');
END
$$;

-- Announces writes to relations; gives the number of the news that say so. Committed for good before the first write.
CREATE OR REPLACE FUNCTION previewpg.mark(relations oid[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    announced bigint;
BEGIN
    IF EXISTS (SELECT FROM unnest(relations) AS r WHERE NOT EXISTS (SELECT FROM previewpg.dirty d WHERE d.upper = r)) THEN
        UPDATE previewpg.news SET version = version + 1 RETURNING version INTO announced;
        INSERT INTO previewpg.dirty SELECT DISTINCT r, announced FROM unnest(relations) AS r ON CONFLICT DO NOTHING;
        PERFORM pg_notify('previewpg_news', '');
    END IF;
    RETURN (SELECT coalesce(max(d.version), 0) FROM previewpg.dirty d WHERE d.upper = ANY (relations));
END
$$;

-- Announces that sessions of this replica are about to change the schema; gives the number of the news that say so.
CREATE OR REPLACE FUNCTION previewpg.begin_changes(changer bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    announced bigint;
BEGIN
    UPDATE previewpg.news SET version = version + 1 RETURNING version INTO announced;
    INSERT INTO previewpg.changing VALUES (changer, announced) ON CONFLICT (replica) DO UPDATE SET version = excluded.version, since = excluded.since;
    PERFORM pg_notify('previewpg_news', '');
    RETURN announced;
END
$$;

-- None does any more: the others find that out when they renew.
CREATE OR REPLACE FUNCTION previewpg.end_changes(changer bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM previewpg.changing c WHERE c.replica = changer
$$;

-- After a commit that may have changed the schema: news for everybody, if there's a change that somebody doesn't know yet; 0: everybody does.
CREATE OR REPLACE FUNCTION previewpg.publish() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    announced bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM previewpg.change c, previewpg.replica r WHERE r.catalog IS NULL OR NOT pg_visible_in_snapshot(c.xid, r.catalog)) THEN
        UPDATE previewpg.news SET version = version + 1 RETURNING version INTO announced;
        PERFORM pg_notify('previewpg_news', '');
    END IF;
    RETURN announced;
END
$$;

-- For who changes fresh behind the proxies' back (with event triggers off, or the tables of schema previewpg): every proxy reads the catalog again.
-- Gives the number of the news: when previewpg.behind(0, number) has no rows, all proxies know, and those that it still has 2.6 s after the commit have stopped to
-- read by what they know. To be called in a short transaction: until it has ended, nobody else can announce anything.
CREATE OR REPLACE FUNCTION previewpg.changed() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    announced bigint;
BEGIN
    INSERT INTO previewpg.change VALUES (pg_current_xact_id(), 0) ON CONFLICT DO NOTHING;
    UPDATE previewpg.news SET version = version + 1 RETURNING version INTO announced;
    PERFORM pg_notify('previewpg_news', '');
    RETURN announced;
END
$$;

-- The replicas that don't know these news yet, and how often each has renewed its lease.
CREATE OR REPLACE FUNCTION previewpg.behind(replica bigint, announced bigint) RETURNS TABLE (id bigint, renewed bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.id, r.renewed FROM previewpg.replica r WHERE r.id <> replica AND r.seen < announced
$$;

-- Takes out a replica that hasn't renewed its lease since it had this number of renewals, and ends its control line. true: it was.
CREATE OR REPLACE FUNCTION previewpg.expire(replica bigint, renewals bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone previewpg.replica;
BEGIN
    DELETE FROM previewpg.replica r WHERE r.id = replica AND r.renewed = renewals RETURNING r.* INTO gone;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.pid = gone.backend AND a.backend_start = gone.backend_start;
    RETURN true;
END
$$;

-- Takes one's own row away; whoever waits for it needn't any more.
CREATE OR REPLACE FUNCTION previewpg.leave(replica bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM previewpg.replica r WHERE r.id = replica;
    DELETE FROM previewpg.changing c WHERE c.replica = leave.replica;
    SELECT pg_notify('previewpg_acknowledged', '')
$$;

-- Forgets the changes that every replica knows. One that registers later reads the catalog after it. What sessions of a replica that is gone were changing has come to its end
-- after a while.
CREATE OR REPLACE FUNCTION previewpg.forget_changes() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM previewpg.change c
    WHERE NOT EXISTS (SELECT FROM previewpg.replica r WHERE r.catalog IS NULL OR NOT pg_visible_in_snapshot(c.xid, r.catalog));
    DELETE FROM previewpg.changing c
    WHERE c.since < now() - interval '1 minute' AND NOT EXISTS (SELECT FROM previewpg.replica r WHERE r.id = c.replica)
$$;

-- The schema, or a relation's state, changed in this transaction.
CREATE OR REPLACE FUNCTION previewpg.note_change() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO previewpg.change VALUES (pg_current_xact_id(), 0) ON CONFLICT DO NOTHING
$$;

-- A relation was written to in this transaction. Where its first write was announced, nobody needs to be told.
CREATE OR REPLACE FUNCTION previewpg.note_written(relation oid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO previewpg.change SELECT pg_current_xact_id(), relation
    WHERE NOT EXISTS (SELECT FROM previewpg.dirty d WHERE d.upper = relation) ON CONFLICT DO NOTHING
$$;
