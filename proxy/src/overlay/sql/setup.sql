-- Before anything else in fresh: schemas, the foreign data wrapper, and functions that make what may be there already.

CREATE SCHEMA IF NOT EXISTS previewpg;
CREATE SCHEMA IF NOT EXISTS previewpg_fdw;
CREATE SCHEMA IF NOT EXISTS previewpg_lower;
CREATE SCHEMA IF NOT EXISTS previewpg_claims;
CREATE SCHEMA IF NOT EXISTS previewpg_copy;
CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA previewpg_fdw;

-- The foreign server with exactly these options, and its extensions if those are to be kept. It is altered only where it differs, for a changed one makes every
-- session connect to production anew.
CREATE OR REPLACE FUNCTION previewpg.put_server(wanted jsonb, keep_extensions boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    options text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = 'previewpg_production') THEN
        EXECUTE format('CREATE SERVER previewpg_production FOREIGN DATA WRAPPER postgres_fdw OPTIONS (%s)',
            (SELECT string_agg(format('%I %L', w.key, w.value), ', ') FROM jsonb_each_text(wanted) AS w));
        RETURN;
    END IF;
    SELECT string_agg(CASE WHEN w.key IS NULL THEN format('DROP %I', o.option_name)
                           WHEN o.option_name IS NULL THEN format('ADD %I %L', w.key, w.value)
                           ELSE format('SET %I %L', w.key, w.value) END, ', ')
    INTO options
    FROM jsonb_each_text(wanted) AS w
    FULL JOIN (SELECT x.option_name, x.option_value FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) AS x
               WHERE s.srvname = 'previewpg_production') AS o ON o.option_name = w.key
    WHERE o.option_value IS DISTINCT FROM w.value AND NOT (keep_extensions AND w.key IS NULL AND o.option_name = 'extensions');
    IF options IS NOT NULL THEN
        EXECUTE format('ALTER SERVER previewpg_production OPTIONS (%s)', options);
    END IF;
END
$$;

-- The one user mapping: the owner's, with exactly these options (more: others than the name and the password). It is altered only where it differs, for a changed
-- one makes every session connect to production anew. An error must not show the statement, for it contains the password.
CREATE OR REPLACE FUNCTION previewpg.put_mapping(username text, secret text, more jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted jsonb := more || jsonb_build_object('user', username, 'password_required', 'false') || CASE WHEN secret = '' THEN '{}' ELSE jsonb_build_object('password', secret) END;
    options text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_user_mappings m WHERE m.srvname = 'previewpg_production' AND m.usename = current_user) THEN
        EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER previewpg_production OPTIONS (%s)',
            (SELECT string_agg(format('%I %L', w.key, w.value), ', ') FROM jsonb_each_text(wanted) AS w));
        RETURN;
    END IF;
    SELECT string_agg(CASE WHEN w.key IS NULL THEN format('DROP %I', o.option_name)
                           WHEN o.option_name IS NULL THEN format('ADD %I %L', w.key, w.value)
                           ELSE format('SET %I %L', w.key, w.value) END, ', ')
    INTO options
    FROM jsonb_each_text(wanted) AS w
    FULL JOIN (SELECT x.option_name, x.option_value FROM pg_user_mappings m, pg_options_to_table(m.umoptions) AS x
               WHERE m.srvname = 'previewpg_production' AND m.usename = current_user) AS o ON o.option_name = w.key
    WHERE o.option_value IS DISTINCT FROM w.value;
    IF options IS NOT NULL THEN
        EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER previewpg_production OPTIONS (%s)', options);
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'can''t create the user mapping for production';
END
$$;

-- The app role: an ordinary one. verifier: its password's SCRAM verifier; empty: unchanged. mark: the comment that says whose it is; empty: unchanged.
CREATE OR REPLACE FUNCTION previewpg.put_app_role(role_name text, verifier text, mark text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Roles are the server's: others may be provisioning another database of it.
    LOCK TABLE pg_authid IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name AND r.rolsuper) THEN
        RAISE invalid_role_specification USING MESSAGE = format('role "%s" is a superuser of fresh', role_name), HINT = 'Clients need an ordinary role: choose another name.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I LOGIN CREATEDB', role_name);
    ELSIF NOT (SELECT r.rolcanlogin AND r.rolcreatedb FROM pg_roles r WHERE r.rolname = role_name) THEN
        EXECUTE format('ALTER ROLE %I LOGIN CREATEDB', role_name);
    END IF;
    IF verifier <> '' THEN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', role_name, verifier);
    END IF;
    IF mark <> '' AND mark IS DISTINCT FROM (SELECT shobj_description(r.oid, 'pg_authid') FROM pg_roles r WHERE r.rolname = role_name) THEN
        EXECUTE format('COMMENT ON ROLE %I IS %L', role_name, mark);
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), role_name);
    IF current_setting('server_version_num')::int < 150000 THEN
        EXECUTE format('ALTER SCHEMA public OWNER TO %I', role_name);
    END IF;
END
$$;

-- Everything that pg_restore made belongs to a role of its own at first, so that it can be handed over as a whole. Gives its name.
CREATE OR REPLACE FUNCTION previewpg.restorer() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN (
    SELECT 'previewpg_restorer_' || d.oid FROM pg_database d WHERE d.datname = current_database());
END
$$;

CREATE OR REPLACE FUNCTION previewpg.begin_restore() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE pg_authid IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = previewpg.restorer()) THEN
        EXECUTE format('CREATE ROLE %I SUPERUSER NOLOGIN', previewpg.restorer());
    END IF;
    RETURN previewpg.restorer();
END
$$;

CREATE OR REPLACE FUNCTION previewpg.end_restore(role_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('REASSIGN OWNED BY %I TO %I', previewpg.restorer(), role_name);
    EXECUTE format('DROP OWNED BY %I', previewpg.restorer());
    EXECUTE format('DROP ROLE %I', previewpg.restorer());
END
$$;
