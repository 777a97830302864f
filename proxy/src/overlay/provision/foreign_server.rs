//! The foreign server by which fresh reaches production, as statements that make it.

use super::Options;
use super::inspect::Inspection;
use crate::net::target::{RootCertificates, Target};
use crate::overlay::names::quote_literal;

/// What fresh's sessions at production are told: they only read; a client that left a transaction open doesn't hold production's snapshot for ever;
/// one that has gone quiet doesn't hold a connection (postgres_fdw connects again when it is needed).
fn session_options(production_version: u32) -> String {
    let mut options =
        "-c default_transaction_read_only=on -c idle_in_transaction_session_timeout=10min"
            .to_owned();
    if production_version >= 140_000 {
        options.push_str(" -c idle_session_timeout=5min");
    }
    options
}

/// The foreign server's options: what it takes to reach production, and the locks on the door.
pub(super) fn server_options(options: &Options, production_version: u32) -> serde_json::Value {
    let target = lower_target(options);
    let (hosts, ports) = target.host_lists();
    let mut session = session_options(production_version);
    if let Some(own) = &target.options {
        session = format!("{own} {session}");
    }
    let mut server = serde_json::json!({
        "host": hosts,
        "port": ports,
        "dbname": target.database,
        "application_name": "previewpg",
        "connect_timeout": "10",
        "options": session,
        "use_remote_estimate": "true",
        "fetch_size": options.fetch_size.to_string(),
        "updatable": "false",
        "truncatable": "false",
        "sslmode": target.sslmode.as_str(),
    });
    if let (Some(map), Some(roots)) = (server.as_object_mut(), &target.sslrootcert) {
        let roots = match roots {
            RootCertificates::System => "system".to_owned(),
            RootCertificates::File(path) => path.display().to_string(),
        };
        map.insert("sslrootcert".to_owned(), roots.into());
    }
    server
}

/// Production, as fresh's server process reaches it.
pub(super) fn lower_target(options: &Options) -> &Target {
    options
        .production_from_fresh
        .as_ref()
        .unwrap_or(&options.production)
}

/// The client certificate's files, as a literal of a JSON object of the user mapping's options.
pub(super) fn certificates(target: &Target) -> String {
    let mut map = serde_json::Map::new();
    for (name, path) in [("sslcert", &target.sslcert), ("sslkey", &target.sslkey)] {
        if let Some(path) = path {
            map.insert(name.to_owned(), path.display().to_string().into());
        }
    }
    quote_literal(&serde_json::Value::Object(map).to_string())
}

/// The statement that makes the server, with the extensions whose functions and operators mean the same on both sides.
pub(super) fn put_server(options: &Options, inspection: &Inspection) -> String {
    let production: Vec<String> = inspection
        .production
        .extensions
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "plpgsql" | "postgres_fdw"))
        .map(|(name, version)| format!("({}, {})", quote_literal(name), quote_literal(version)))
        .collect();
    let plain = server_options(options, inspection.production.version).to_string();
    if production.is_empty() {
        return format!(
            "SELECT previewpg.put_server({}::jsonb, false)",
            quote_literal(&plain)
        );
    }
    format!(
        "SELECT previewpg.put_server({}::jsonb || coalesce((SELECT jsonb_build_object('extensions', string_agg(quote_ident(e.extname), ', ')) \
         FROM pg_extension AS e JOIN (VALUES {}) AS p(name, version) ON p.name = e.extname AND p.version = e.extversion HAVING count(*) > 0), '{{}}'), false)",
        quote_literal(&plain),
        production.join(", ")
    )
}
