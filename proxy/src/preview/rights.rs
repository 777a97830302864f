//! What production's role may do. A role that can write is the first lock left open.

use tokio_postgres::Client;

/// What was found out about the role.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rights {
    /// The role.
    pub role: String,
    /// The ways in which it can write user data: each one is a reason to refuse it.
    pub writes: Vec<String>,
    /// What it may do beyond reading that touches no user data.
    pub warnings: Vec<String>,
}

/// How many tables or schemas are named before the rest is counted.
const NAMED: usize = 5;

/// The roles that the session has or could take by SET ROLE.
const ROLES: &str = "(SELECT r.oid FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')) AS own(role)";

/// The ways in which the session's role can write; empty: it can't.
///
/// # Errors
/// When production can't be asked.
pub async fn production_can_write(
    production: &Client,
) -> Result<Vec<String>, tokio_postgres::Error> {
    Ok(read(production).await?.writes)
}

/// Reads the rights of the session's role.
///
/// # Errors
/// When production can't be asked.
pub async fn read(production: &Client) -> Result<Rights, tokio_postgres::Error> {
    let row = production
        .query_one(
            "SELECT current_user::text, bool_or(rolsuper), bool_or(rolcreaterole), bool_or(rolcreatedb), bool_or(rolbypassrls),
                    current_setting('server_version_num')::int
             FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(current_user, oid, 'MEMBER')",
            &[],
        )
        .await?;
    let mut rights = Rights {
        role: row.get(0),
        ..Rights::default()
    };
    if row.get(1) {
        // Nothing else matters: a superuser passes every other test, too.
        rights
            .writes
            .push("it is a superuser, or may become one by SET ROLE".to_owned());
        return Ok(rights);
    }
    if row.get(2) {
        rights.writes.push(
            "it may create and alter roles (CREATEROLE), and so give itself any right".to_owned(),
        );
    }
    for (has, name) in [
        (row.get::<_, bool>(3), "CREATEDB"),
        (row.get(4), "BYPASSRLS"),
    ] {
        if has {
            rights
                .warnings
                .push(format!("it has {name}, which a preview doesn't need"));
        }
    }
    let old_public = row.get::<_, i32>(5) < 150_000;
    predefined_roles(production, &mut rights).await?;
    tables(production, &mut rights).await?;
    schemas(production, old_public, &mut rights).await?;
    others(production, &mut rights).await?;
    Ok(rights)
}

async fn predefined_roles(
    production: &Client,
    rights: &mut Rights,
) -> Result<(), tokio_postgres::Error> {
    let rows = production
        .query(
            "SELECT rolname::text FROM pg_catalog.pg_roles
             WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
               AND pg_catalog.pg_has_role(current_user, oid, 'MEMBER') ORDER BY 1",
            &[],
        )
        .await?;
    rights.writes.extend(
        rows.iter()
            .map(|row| format!("it is a member of {}", row.get::<_, &str>(0))),
    );
    Ok(())
}

async fn tables(production: &Client, rights: &mut Rights) -> Result<(), tokio_postgres::Error> {
    let rows = production
        .query(
            &format!(
                "SELECT c.oid::regclass::text,
                        array_to_string(ARRAY(
                            SELECT privilege FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
                            WHERE EXISTS (SELECT FROM {ROLES} WHERE pg_catalog.has_table_privilege(role, c.oid, privilege)
                                OR (privilege IN ('INSERT', 'UPDATE') AND pg_catalog.has_any_column_privilege(role, c.oid, privilege)))), ', ')
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
                   AND EXISTS (SELECT FROM {ROLES} WHERE pg_catalog.has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                            OR pg_catalog.has_any_column_privilege(role, c.oid, 'INSERT, UPDATE'))
                 ORDER BY 1"
            ),
            &[],
        )
        .await?;
    if !rows.is_empty() {
        let named: Vec<String> = rows
            .iter()
            .map(|row| format!("{} ({})", row.get::<_, &str>(0), row.get::<_, &str>(1)))
            .collect();
        rights
            .writes
            .push(format!("it may change rows of {}", enumerate(&named)));
    }
    Ok(())
}

async fn schemas(
    production: &Client,
    old_public: bool,
    rights: &mut Rights,
) -> Result<(), tokio_postgres::Error> {
    let rows = production
        .query(
            &format!(
                "SELECT n.nspname::text FROM pg_catalog.pg_namespace n
                 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND EXISTS (SELECT FROM {ROLES} WHERE pg_catalog.has_schema_privilege(role, n.oid, 'CREATE'))
                 ORDER BY 1"
            ),
            &[],
        )
        .await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    // Before version 15 everybody may create in `public`: true of nearly every database there is.
    let (everybodys, own): (Vec<String>, Vec<String>) = names
        .into_iter()
        .partition(|name| old_public && name == "public");
    if !everybodys.is_empty() {
        rights.warnings.push("everybody may create objects in schema public (REVOKE CREATE ON SCHEMA public FROM PUBLIC)".to_owned());
    }
    if !own.is_empty() {
        rights.writes.push(format!(
            "it may create objects in schema {}",
            enumerate(&own)
        ));
    }
    Ok(())
}

async fn others(production: &Client, rights: &mut Rights) -> Result<(), tokio_postgres::Error> {
    let row = production
        .query_one(
            &format!(
                "SELECT EXISTS (SELECT FROM {ROLES} WHERE pg_catalog.has_database_privilege(role, current_database(), 'CREATE')),
                        (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                         WHERE c.relkind = 'S' AND n.nspname !~ '^pg_'
                           AND EXISTS (SELECT FROM {ROLES} WHERE pg_catalog.has_sequence_privilege(role, c.oid, 'USAGE, UPDATE')))"
            ),
            &[],
        )
        .await?;
    if row.get(0) {
        rights
            .writes
            .push("it may create schemas in the database".to_owned());
    }
    let sequences: i64 = row.get(1);
    if sequences > 0 {
        rights.warnings.push(format!(
            "it may draw from {sequences} sequences (nextval); SELECT on them is enough"
        ));
    }
    Ok(())
}

fn enumerate(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The message with which a writing role is refused.
#[must_use]
pub fn refusal(rights: &Rights) -> String {
    format!(
        "production's role {:?} can write: {}. A preview needs a role that may only SELECT:\n  \
         CREATE ROLE preview_reader LOGIN PASSWORD '...';\n  \
         GRANT pg_read_all_data TO preview_reader;   -- version 14 and newer\n\
         Or go on with --allow-writable-production (production.allowWritable): read-only sessions and foreign tables that aren't updatable \
         still keep previewpg from writing there",
        rights.role,
        rights.writes.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(enumerate(&names), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(enumerate(names.get(..2).unwrap_or_default()), "t1, t2");
    }

    #[test]
    fn the_refusal_says_why_and_the_way_out() {
        let rights = Rights {
            role: "boss".into(),
            writes: vec!["it is a superuser".into()],
            warnings: Vec::new(),
        };
        let message = refusal(&rights);
        for part in [
            "\"boss\"",
            "it is a superuser",
            "GRANT pg_read_all_data",
            "--allow-writable-production",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
