//! Scripts that run on a full copy and on a preview.
//!
//! Statements end with a semicolon at a line's end. `{t}` in one stands for the table: on the preview, for its merged relation.
//! A line `-- up t: condition` in front of a statement is what the proxy would do: copy up the rows, permit the write.
//! `-- as N` makes session N (1 or 2) run what follows; `-- preview:` prefixes a statement that only the preview runs.

use std::collections::HashMap;

use previewpg_proxy::catalog::load::{self, Shared};
use previewpg_proxy::catalog::model::Catalog;
use previewpg_proxy::net::target::{Address, ChannelBinding, Host, SslMode, Target};
use previewpg_proxy::overlay::merged::merged;
use previewpg_proxy::overlay::provision::{self, AppRole, Options, Outcome};
use previewpg_tests::overlay_servers::{FRESH, Failure, PRODUCTION, Servers};
use tokio_postgres::{Client, SimpleQueryMessage};

pub(crate) use previewpg_tests::overlay_servers::{
    FRESH as FRESH_PORT, PRODUCTION as PRODUCTION_PORT,
};

/// A production, its preview and its full copy.
pub(crate) struct World {
    pub(crate) servers: &'static Servers,
    pub(crate) database: String,
    pub(crate) outcome: Outcome,
    pub(crate) owner: Client,
    pub(crate) preview: Client,
    pub(crate) copy: Client,
    pub(crate) production: Client,
}

/// Prints when steps begin.
struct Timed(std::time::Instant);

impl provision::Progress for Timed {
    fn step(&mut self, done: usize, total: usize, name: &str) {
        println!("{:?} {done}/{total} {name}", self.0.elapsed());
    }
}

/// What a statement gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Rows as text, and the count of the command tag.
    Rows(Vec<Vec<Option<String>>>, u64),
    /// An error's fields: code, message, detail, hint, schema, table, column, type, constraint.
    Error(Vec<String>),
}

pub(crate) fn target(servers: &Servers, port: u16, user: &str, database: &str) -> Target {
    Target {
        hosts: vec![Host {
            address: Address::Unix(servers.socket_folder().to_owned()),
            port,
        }],
        user: user.to_owned(),
        password: None,
        database: database.to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        channel_binding: ChannelBinding::Prefer,
        options: None,
        application_name: None,
        connect_timeout: None,
    }
}

pub(crate) fn options(servers: &Servers, database: &str) -> Options {
    Options {
        sequence_gap: 0,
        ..Options::new(
            target(servers, PRODUCTION, "reader", database),
            target(servers, FRESH, "postgres", database),
            AppRole {
                name: "app".to_owned(),
                password: Some("not shown".to_owned()),
            },
        )
    }
}

impl World {
    /// Makes a production from a script, a full copy by the same script, and a preview.
    pub(crate) async fn new(script: &str) -> Result<Self, Failure> {
        Self::new_for(script, "reader", "").await
    }

    /// As [`World::new`], for a fresh that has tables of the app role's already.
    pub(crate) async fn adopting(script: &str, fresh: &str) -> Result<Self, Failure> {
        Self::new_for(script, "reader", fresh).await
    }

    /// As [`World::new`], for another role that reads production.
    pub(crate) async fn new_for(
        script: &str,
        reader_name: &str,
        before: &str,
    ) -> Result<Self, Failure> {
        let servers = Servers::get()?;
        let database = format!("w{}", servers.number());
        let copy_database = format!("{database}_copy");
        let root = servers.connect(PRODUCTION, "postgres", "postgres").await?;
        root.batch_execute(
            "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$; GRANT pg_read_all_data TO reader; \
             DO $$ BEGIN CREATE ROLE narrow LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$; \
             DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$"
        )
        .await
        .or_else(|error| match error.code() {
            // Two tests at the same time.
            Some(code) if code.code() == "XX000" => Ok(()),
            _ => Err(error),
        })?;
        root.batch_execute(&format!("CREATE DATABASE {database}"))
            .await?;
        let production = servers.connect(PRODUCTION, "postgres", &database).await?;
        production.batch_execute(script).await?;
        let root = servers.connect(FRESH, "postgres", "postgres").await?;
        root.batch_execute(&format!("CREATE DATABASE {database}"))
            .await?;
        let owner = servers.connect(FRESH, "postgres", &database).await?;
        if !before.is_empty() {
            owner.batch_execute(&format!("DO $$ BEGIN CREATE ROLE app LOGIN CREATEDB; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$; GRANT CREATE ON SCHEMA public TO app; SET ROLE app; {before}; RESET ROLE")).await?;
        }
        let reader = servers.connect(PRODUCTION, reader_name, &database).await?;
        let mut options = options(servers, &database);
        options.production.user = reader_name.to_owned();
        let start = std::time::Instant::now();
        let outcome = provision::provision(&options, &reader, &owner, &mut Timed(start)).await?;
        println!("provisioned in {:?}", start.elapsed());
        root.batch_execute(&format!("CREATE DATABASE {copy_database} OWNER app"))
            .await?;
        // A dump of production, restored: that is what a preview must be like, down to the order in which indexes were made.
        let dump = servers.socket_folder().join(format!("{database}.dump"));
        let program = |name: &str, port: u16| {
            let mut command = std::process::Command::new(name);
            command.arg("-h").arg(servers.socket_folder()).args([
                "-U",
                "postgres",
                "-p",
                &port.to_string(),
            ]);
            command
        };
        let dumped = program("pg_dump", PRODUCTION)
            .args(["-Fc", "-f"])
            .arg(&dump)
            .arg(&database)
            .status()?;
        let restored = program("pg_restore", FRESH)
            .args([
                "--no-owner",
                "--no-privileges",
                "--role=app",
                "-d",
                &copy_database,
            ])
            .arg(&dump)
            .status()?;
        assert!(
            dumped.success() && restored.success(),
            "the full copy can't be made"
        );
        Ok(Self {
            preview: servers.connect(FRESH, "app", &database).await?,
            copy: servers.connect(FRESH, "app", &copy_database).await?,
            servers,
            database,
            outcome,
            owner,
            production,
        })
    }

    /// Another pair of sessions: preview, copy.
    pub(crate) async fn sessions(&self) -> Result<(Client, Client), Failure> {
        Ok((
            self.servers.connect(FRESH, "app", &self.database).await?,
            self.servers
                .connect(FRESH, "app", &format!("{}_copy", self.database))
                .await?,
        ))
    }

    /// Runs a script on both; panics with every difference.
    pub(crate) async fn run(&self, script: &str) {
        let mut differences = String::new();
        for step in steps(script) {
            let preview = self.on_preview(&self.preview, &step).await;
            let copy = if step.preview_only {
                Answer::Rows(Vec::new(), 0)
            } else {
                answer(&self.copy, &step.plain()).await
            };
            if preview != copy {
                differences.push_str(&format!(
                    "{}preview:   {preview:?}\nfull copy: {copy:?}\n\n",
                    step.text
                ));
            }
        }
        assert!(differences.is_empty(), "\n{differences}");
    }

    /// Runs one step on a session of the preview, as the proxy would.
    pub(crate) async fn on_preview(&self, session: &Client, step: &Step) -> Answer {
        let catalog = catalog(session).await;
        let mut text = step.text.clone();
        let mut before = String::new();
        if let Some(catalog) = &catalog {
            for (name, oid) in tables(catalog) {
                let Some(relation) = catalog.relations.get(&oid) else {
                    continue;
                };
                let rows = relation.lower.as_ref().map_or_else(
                    || format!("\"{}\".\"{}\"", relation.schema, relation.name),
                    |lower| format!("({})", merged(relation, lower, false)),
                );
                let alias = if relation.lower.is_some() {
                    format!(" AS \"{name}\"")
                } else {
                    String::new()
                };
                text = text.replace(&format!("{{{name}}}"), &format!("{rows}{alias}"));
                let Some(lower) = &relation.lower else {
                    continue;
                };
                for (table, condition) in &step.ups {
                    if *table != name {
                        continue;
                    }
                    match &lower.copy_up {
                        Some(function) => before.push_str(&format!(
                            "SELECT {function}(pg_catalog.array_agg(\"{name}\")) FROM {} AS \"{name}\" WHERE {condition} HAVING count(*) > 0; ",
                            lower.view
                        )),
                        None => before.push_str(&format!("SELECT previewpg.copy_up_all({oid}, true); ")),
                    }
                    before.push_str(&format!("SELECT previewpg.permit({oid}); "));
                }
            }
        }
        if before.is_empty() {
            return answer(session, &text).await;
        }
        // In the client's transaction where there is one, else in one of its own.
        let own = answer(session, "SAVEPOINT previewpg_probe").await;
        let own = match own {
            Answer::Error(fields) if fields.first().is_some_and(|code| code == "25P01") => true,
            Answer::Error(fields) => return Answer::Error(fields),
            Answer::Rows(..) => {
                let _ = answer(session, "RELEASE previewpg_probe").await;
                false
            }
        };
        if own {
            before.insert_str(0, "BEGIN; ");
        }
        if let Answer::Error(fields) = answer(session, &before).await {
            let _ = answer(session, if own { "ROLLBACK" } else { "SELECT 1" }).await;
            return Answer::Error(fields);
        }
        let result = answer(session, &text).await;
        if own {
            let failed = matches!(result, Answer::Error(_));
            if let Answer::Error(fields) =
                answer(session, if failed { "ROLLBACK" } else { "COMMIT" }).await
            {
                return Answer::Error(fields);
            }
        }
        result
    }
}

async fn catalog(session: &Client) -> Option<Catalog> {
    let answer = session.simple_query(load::QUERY).await.ok()?;
    let document = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })?;
    Some(load::parse(&document, &Shared::default()).expect("the catalog is well-formed"))
}

fn tables(catalog: &Catalog) -> HashMap<String, u32> {
    catalog
        .by_name
        .values()
        .flatten()
        .map(|(name, oid)| (name.clone(), *oid))
        .collect()
}

/// Runs a text by the simple protocol.
pub(crate) async fn answer(session: &Client, text: &str) -> Answer {
    match session.simple_query(text).await {
        Ok(messages) => {
            let mut rows = Vec::new();
            let mut count = 0;
            for message in messages {
                match message {
                    SimpleQueryMessage::Row(row) => {
                        rows.push(
                            (0..row.len())
                                .map(|at| row.get(at).map(str::to_owned))
                                .collect(),
                        );
                    }
                    SimpleQueryMessage::CommandComplete(rows) => count = rows,
                    _ => {}
                }
            }
            Answer::Rows(rows, count)
        }
        Err(error) => Answer::Error(error.as_db_error().map_or_else(
            || vec![error.to_string()],
            |error| {
                [
                    Some(error.code().code()),
                    Some(error.message()),
                    error.detail(),
                    error.hint(),
                    error.schema(),
                    error.table(),
                    error.column(),
                    error.datatype(),
                    error.constraint(),
                ]
                .map(|field| field.unwrap_or_default().to_owned())
                .to_vec()
            },
        )),
    }
}

/// One statement of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) ups: Vec<(String, String)>,
    pub(crate) preview_only: bool,
    pub(crate) session: usize,
}

impl Step {
    /// The text for the full copy.
    pub(crate) fn plain(&self) -> String {
        let mut text = String::new();
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            match after.split_once('}') {
                Some((name, after))
                    if !name.is_empty()
                        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') =>
                {
                    text.push_str(name);
                    rest = after;
                }
                _ => {
                    text.push('{');
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        text
    }
}

pub(crate) fn steps(script: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = Step {
        session: 1,
        ..Step::default()
    };
    for line in script.lines() {
        if let Some(up) = line.strip_prefix("-- up ") {
            let (table, condition) = up.split_once(": ").expect("-- up table: condition");
            step.ups.push((table.to_owned(), condition.to_owned()));
        } else if let Some(session) = line.strip_prefix("-- as ") {
            step.session = session.trim().parse().expect("-- as N");
        } else if line.starts_with("-- preview:") {
            step.preview_only = true;
        } else if !(line.starts_with("--") || line.trim().is_empty() && step.text.is_empty()) {
            step.text.push_str(line);
            step.text.push('\n');
            if line.trim_end().ends_with(';') {
                let session = step.session;
                steps.push(std::mem::take(&mut step));
                step.session = session;
            }
        }
    }
    assert!(
        step.text.is_empty(),
        "a statement without its semicolon: {}",
        step.text
    );
    steps
}
