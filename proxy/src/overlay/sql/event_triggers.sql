-- Last of all, so that provisioning itself isn't followed.
DROP EVENT TRIGGER IF EXISTS previewpg_ddl_command_end;
DROP EVENT TRIGGER IF EXISTS previewpg_ddl_command_start;
DROP EVENT TRIGGER IF EXISTS previewpg_sql_drop;
DROP EVENT TRIGGER IF EXISTS previewpg_table_rewrite;
CREATE EVENT TRIGGER previewpg_ddl_command_start ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION previewpg.ddl_command_start();
CREATE EVENT TRIGGER previewpg_ddl_command_end ON ddl_command_end EXECUTE FUNCTION previewpg.ddl_command_end();
CREATE EVENT TRIGGER previewpg_sql_drop ON sql_drop EXECUTE FUNCTION previewpg.sql_drop();
CREATE EVENT TRIGGER previewpg_table_rewrite ON table_rewrite EXECUTE FUNCTION previewpg.table_rewrite();
