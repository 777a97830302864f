-- What a client finds when it looks around: nothing of ours.
SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE 'pg_toast_temp%' ORDER BY nspname;
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname;
SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2;
SELECT column_name, data_type, is_nullable, column_default, is_identity, is_generated FROM information_schema.columns WHERE table_name = 'users' AND table_schema = 'public' ORDER BY ordinal_position;
SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'billing'::regnamespace) ORDER BY 1, 2;
SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2;
-- ignore: rows: foreign keys are checked by the preview's own triggers, PostgreSQL's are disabled (docs/limits.md)
-- ignore: tag: the same
SELECT tgrelid::regclass::text, tgenabled, count(*) FROM pg_trigger WHERE tgisinternal GROUP BY 1, 2 ORDER BY 1, 2;
SELECT indexrelid::regclass::text, indisunique, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT srvname FROM pg_foreign_server;
SELECT count(*) FROM pg_foreign_table;
SELECT count(*) FROM pg_user_mappings;
SELECT extname FROM pg_extension ORDER BY 1;
SELECT evtname FROM pg_event_trigger;
SELECT fdwname FROM pg_foreign_data_wrapper;
SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1;
-- ignore: rows: every table of the preview has triggers (docs/limits.md)
SELECT schemaname, tablename, hastriggers FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2;
SELECT schemaname, tablename, tableowner, hasindexes, hasrules, rowsecurity FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2;
SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'gb%' AND proname NOT LIKE '%citext%' AND prolang <> 13 ORDER BY 1;
SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE 'gb%' ORDER BY 1;
SELECT enumlabel FROM pg_enum WHERE enumtypid = 'order_status'::regtype ORDER BY enumsortorder;
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attnum FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0 ORDER BY attnum;
SELECT obj_description('users'::regclass), col_description('users'::regclass, 4);
SELECT tc.constraint_name, tc.constraint_type FROM information_schema.table_constraints tc WHERE table_name = 'orders' AND constraint_type <> 'CHECK' ORDER BY 1;
SELECT trigger_name, event_manipulation FROM information_schema.triggers ORDER BY 1, 2;
SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres' ORDER BY 1;
SELECT count(*) FROM pg_database WHERE datname = current_database();
SELECT sequencename, last_value FROM pg_sequences ORDER BY 1;
SELECT relname FROM pg_class WHERE relname LIKE '%previewpg%';
SELECT relname FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'previewpg%');
SELECT name FROM pg_settings WHERE name LIKE 'previewpg%';
SELECT count(*) FROM pg_stat_user_tables WHERE schemaname LIKE 'previewpg%';
SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'public' ORDER BY relname;
UPDATE users SET name = 'x' WHERE id = 3;
ALTER TABLE users ADD COLUMN seen int;
SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 ORDER BY attnum;
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname;
SELECT conname FROM pg_constraint WHERE conrelid = 'users'::regclass ORDER BY 1;
