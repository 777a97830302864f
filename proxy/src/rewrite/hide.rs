//! Hiding ourselves: a full copy has no schema `previewpg`, no foreign server, no trigger of ours. A reference to a system catalog or an
//! information_schema view that would show them becomes a derived table that leaves them out.

use super::plan::Refusal;
use super::{Planner, replace};
use crate::overlay::names::quote_identifier;
use crate::sql::facts::{Name, Role};
use crate::sql::patch::Edits;

/// A condition that keeps what isn't ours, over a column with a schema's OID.
macro_rules! outside_of_ours {
    ($column:literal) => {
        concat!(
            $column,
            " <> ALL (ARRAY(SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname ~ '^previewpg'))"
        )
    };
}

/// The same over a column with a relation's OID.
macro_rules! not_of_our_relations {
    ($column:literal) => {
        concat!(
            $column,
            " <> ALL (ARRAY(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname ~ '^previewpg'))"
        )
    };
}

/// The catalogs of pg_catalog that show something of ours, and the condition that leaves it out.
const SYSTEM: [(&str, &str); 29] = [
    ("pg_class", outside_of_ours!("relnamespace")),
    ("pg_constraint", outside_of_ours!("connamespace")),
    (
        "pg_depend",
        "NOT (refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
         AND refobjid IN (SELECT x.oid FROM pg_catalog.pg_extension x WHERE x.extname = 'postgres_fdw'))",
    ),
    ("pg_event_trigger", "evtname !~ '^previewpg'"),
    ("pg_extension", "extname <> 'postgres_fdw'"),
    ("pg_foreign_data_wrapper", "fdwname <> 'postgres_fdw'"),
    ("pg_foreign_server", "srvname !~ '^previewpg'"),
    (
        "pg_foreign_table",
        "ftserver NOT IN (SELECT s.oid FROM pg_catalog.pg_foreign_server s WHERE s.srvname ~ '^previewpg')",
    ),
    ("pg_index", not_of_our_relations!("indrelid")),
    ("pg_indexes", "schemaname !~ '^previewpg'"),
    // Locks of ours: on our relations, and advisory ones of our class.
    (
        "pg_locks",
        concat!(
            "(locktype <> 'advisory' OR classid <> 1886549618 OR objsubid <> 2) AND (relation IS NULL OR database IS DISTINCT FROM \
             (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) OR ",
            not_of_our_relations!("relation"),
            ")"
        ),
    ),
    ("pg_namespace", "nspname !~ '^previewpg'"),
    ("pg_matviews", "schemaname !~ '^previewpg'"),
    ("pg_proc", outside_of_ours!("pronamespace")),
    ("pg_sequences", "schemaname !~ '^previewpg'"),
    // pg_dump sets it, and the session could no longer read the views that show production's rows.
    ("pg_settings", "name <> 'restrict_nonsystem_relation_kind'"),
    ("pg_stat_all_tables", "schemaname !~ '^previewpg'"),
    ("pg_stat_user_indexes", "schemaname !~ '^previewpg'"),
    ("pg_stat_user_tables", "schemaname !~ '^previewpg'"),
    ("pg_statio_user_tables", "schemaname !~ '^previewpg'"),
    ("pg_stat_user_functions", "schemaname !~ '^previewpg'"),
    ("pg_tables", "schemaname !~ '^previewpg'"),
    ("pg_rewrite", not_of_our_relations!("ev_class")),
    (
        "pg_trigger",
        concat!(
            "tgname !~ '^0?previewpg' AND ",
            not_of_our_relations!("tgrelid")
        ),
    ),
    ("pg_type", outside_of_ours!("typnamespace")),
    (
        "pg_user_mapping",
        "umserver NOT IN (SELECT s.oid FROM pg_catalog.pg_foreign_server s WHERE s.srvname ~ '^previewpg')",
    ),
    ("pg_user_mappings", "srvname !~ '^previewpg'"),
    ("pg_views", "schemaname !~ '^previewpg'"),
    ("pg_stats", "schemaname !~ '^previewpg'"),
];

/// The columns of pg_trigger in PostgreSQL 13 to 18. The triggers that check foreign keys are disabled, for ours do that: they're shown as they would be.
const TRIGGER: &str = "oid, tgrelid, tgparentid, tgname, tgfoid, tgtype, CASE WHEN tgisinternal AND tgenabled = 'D' THEN 'O' ELSE tgenabled END AS tgenabled, \
    tgisinternal, tgconstrrelid, tgconstrindid, tgconstraint, tgdeferrable, tginitdeferred, tgnargs, tgattr, tgargs, tgqual, tgoldtable, tgnewtable";

/// The columns of information_schema.triggers; a trigger's place is counted among those that are shown.
const TRIGGERS: &str = "trigger_catalog, trigger_schema, trigger_name, event_manipulation, event_object_catalog, event_object_schema, event_object_table, \
    (pg_catalog.rank() OVER (PARTITION BY event_object_schema, event_object_table, event_manipulation, action_orientation, action_timing \
    ORDER BY trigger_name))::information_schema.cardinal_number AS action_order, action_condition, action_statement, action_orientation, action_timing, \
    action_reference_old_table, action_reference_new_table, action_reference_old_row, action_reference_new_row, created";

/// The same for information_schema.
const INFORMATION_SCHEMA: [(&str, &str); 21] = [
    ("column_privileges", "table_schema !~ '^previewpg'"),
    ("columns", "table_schema !~ '^previewpg'"),
    ("constraint_column_usage", "table_schema !~ '^previewpg'"),
    (
        "foreign_data_wrappers",
        "foreign_data_wrapper_name <> 'postgres_fdw'",
    ),
    ("foreign_servers", "foreign_server_name !~ '^previewpg'"),
    (
        "foreign_table_options",
        "foreign_table_schema !~ '^previewpg'",
    ),
    ("foreign_tables", "foreign_table_schema !~ '^previewpg'"),
    ("key_column_usage", "table_schema !~ '^previewpg'"),
    ("parameters", "specific_schema !~ '^previewpg'"),
    ("role_routine_grants", "routine_schema !~ '^previewpg'"),
    ("role_table_grants", "table_schema !~ '^previewpg'"),
    ("routine_privileges", "routine_schema !~ '^previewpg'"),
    ("routines", "routine_schema !~ '^previewpg'"),
    ("schemata", "schema_name !~ '^previewpg'"),
    ("table_constraints", "table_schema !~ '^previewpg'"),
    ("table_privileges", "table_schema !~ '^previewpg'"),
    ("tables", "table_schema !~ '^previewpg'"),
    (
        "triggers",
        "trigger_name !~ '^0?previewpg' AND event_object_schema !~ '^previewpg'",
    ),
    ("user_mappings", "foreign_server_name !~ '^previewpg'"),
    ("view_table_usage", "view_schema !~ '^previewpg'"),
    ("views", "table_schema !~ '^previewpg'"),
];

impl Planner<'_> {
    /// Whether a relation of the statement would show something of ours.
    pub(super) fn shows_ours(&self) -> bool {
        (0..self.statement.relations.len()).any(|at| self.hiding(at).is_some())
    }

    /// Edits that leave out what is ours.
    pub(super) fn hide_ours(&self, edits: &mut Edits) -> Result<(), Refusal> {
        // Only pg_dump asks for tableoid of a catalog; nobody else should find one more column behind `*`.
        let table_oid = if self.statement.words.contains("tableoid") {
            "tableoid, "
        } else {
            ""
        };
        let triggers_known = (13..=18).contains(&self.context.catalog.fresh_major);
        for (at, named) in self.statement.relations.iter().enumerate() {
            let Some((schema, condition)) = self.hiding(at) else {
                continue;
            };
            let name = quote_identifier(&named.name.name);
            let columns = match named.name.name.as_str() {
                "pg_trigger" if triggers_known => TRIGGER,
                "triggers" => TRIGGERS,
                _ => "*",
            };
            let select =
                format!("SELECT {table_oid}{columns} FROM {schema}.{name} WHERE {condition}");
            let derived = match (named.role, &named.alias) {
                (Role::Table, _) => format!("({select})"),
                (_, Some(_)) => format!("({select})"),
                (_, None) => format!("({select}) AS {name}"),
            };
            replace(edits, &named.span, derived)?;
        }
        self.unqualify_catalogs(edits)
    }

    /// The schema, and the condition that hides what is ours, of a catalog that is read.
    fn hiding(&self, at: usize) -> Option<(&'static str, &'static str)> {
        let named = self.statement.relations.get(at)?;
        let is_read = matches!(named.role, Role::Read | Role::Table);
        if !is_read || self.resolved.get(at)?.known().is_some() {
            return None;
        }
        self.condition(&named.name)
    }

    fn condition(&self, name: &Name) -> Option<(&'static str, &'static str)> {
        let find = |list: &'static [(&'static str, &'static str)]| {
            list.iter()
                .find(|(catalog, _)| *catalog == name.name)
                .map(|(_, condition)| *condition)
        };
        let implicit = |schema: &str| self.context.search_path.iter().any(|path| path == schema);
        match name.schema.as_deref() {
            Some("pg_catalog") => Some(("pg_catalog", find(&SYSTEM)?)),
            Some("information_schema") => Some(("information_schema", find(&INFORMATION_SCHEMA)?)),
            Some(_) => None,
            None => match find(&SYSTEM) {
                Some(condition) => Some(("pg_catalog", condition)),
                None if implicit("information_schema") => {
                    Some(("information_schema", find(&INFORMATION_SCHEMA)?))
                }
                None => None,
            },
        }
    }

    /// `pg_catalog.pg_class.oid` → `pg_class.oid`.
    fn unqualify_catalogs(&self, edits: &mut Edits) -> Result<(), Refusal> {
        for column in &self.statement.columns {
            let [.., schema, table, _] = column.parts.as_slice() else {
                continue;
            };
            let hidden = (0..self.statement.relations.len()).any(|at| {
                let named = self.statement.relations.get(at);
                self.hiding(at).is_some_and(|(found, _)| found == schema)
                    && named.is_some_and(|named| named.alias.is_none() && named.name.name == *table)
            });
            let (first, second) = (
                column.spans.first(),
                column.spans.get(column.spans.len().saturating_sub(2)),
            );
            if let (true, Some(first), Some(second)) = (hidden, first, second) {
                replace(edits, &(first.start..second.start), "")?;
            }
        }
        Ok(())
    }
}
