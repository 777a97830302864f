-- Who may do what with our own objects. The app role reads lineage, lower and claims and calls what is listed here; nothing else.

CREATE OR REPLACE FUNCTION previewpg.put_grants(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name, p.proname FROM pg_proc p WHERE p.pronamespace = 'previewpg'::regnamespace LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f.name);
        IF f.proname IN (
            'catalog', 'unprovisioned', 'renamed', 'held', 'view_definition', 'permit', 'settle',
            'copy_up_all', 'copy_up_whole', 'hide_copied', 'copy_up_available', 'is_written', 'written',
            'raise_limit', 'raise_duplicate', 'raise_conflict', 'raise_missing_parent', 'index_text', 'setting',
            'signal', 'note_change', 'touched', 'note_written', 'name_of', 'claims_of',
            'upper_of', 'table_rewrite', 'is_nested', 'ddl_command_start', 'copy_up_parents', 'guard') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f.name, role_name);
        END IF;
        IF f.proname IN ('as_app', 'value_as_app') THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', f.name, role_name);
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA previewpg, previewpg_lower, previewpg_claims, previewpg_copy TO %I', role_name);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA previewpg TO %I', role_name);
    REVOKE ALL ON SCHEMA previewpg, previewpg_fdw, previewpg_lower, previewpg_claims, previewpg_copy FROM PUBLIC;
    -- A server that is touched makes every session connect to production anew.
    IF EXISTS (SELECT FROM pg_foreign_server s, aclexplode(s.srvacl) AS a WHERE s.srvname = 'previewpg_production' AND a.grantee = 0) THEN
        REVOKE ALL ON FOREIGN SERVER previewpg_production FROM PUBLIC;
    END IF;
END
$$;
