//! A server with two databases: `full`, a full copy, and `fresh`, which lacks the rows of table `lower` in table `orig`; and a proxy
//! whose planner makes the second look like the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::admin::metrics::Metrics;
use crate::auth::backend::{self, Backend, ConnectError};
use crate::auth::verifier::Verifier;
use crate::catalog::load;
use crate::catalog::model::Oid;
use crate::catalog::store::Store;
use crate::net::accept::Greeting;
use crate::net::drain::Shutdown;
use crate::net::listen::{self, Listener, Places};
use crate::net::pool::Pool;
use crate::net::target::Target;
use crate::net::testing;
use crate::net::tls::ClientTls;
use crate::rewrite::Context;
use crate::rewrite::plan::{Before, Effects, Fresh, Plan, Production, Refusal};
use crate::session::planner::{Planner, Rewriter};
use crate::session::server::Hooked;
use crate::session::{Hooks, Options, Server};
use crate::sql::facts::{Kind, Script, Statement};
use crate::wire::frame::{Direction, Limits, Next, Scanner};
use crate::wire::startup::CancelRequest;

const SCHEMA: &str = "CREATE ROLE app LOGIN PASSWORD 'secret';
CREATE DATABASE base;
\\c base
CREATE SCHEMA other;
CREATE SCHEMA previewpg;
GRANT USAGE ON SCHEMA previewpg TO app;
CREATE FUNCTION previewpg.renamed(text[], text[]) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION previewpg.renamed() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE orig (id int PRIMARY KEY, v text, m mood);
CREATE TABLE lower (id int PRIMARY KEY, v text, m mood);
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE other.plain (id int PRIMARY KEY, v text);
CREATE TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE deferred OWNER TO app;
INSERT INTO lower SELECT n, 'row ' || n, 'glad' FROM generate_series(1, 20) n;
INSERT INTO plain SELECT n, repeat('x', n % 50) FROM generate_series(1, 5000) n;
INSERT INTO other.plain VALUES (1, 'other');
ALTER TABLE orig OWNER TO app; ALTER TABLE lower OWNER TO app; ALTER TABLE plain OWNER TO app; ALTER TABLE other.plain OWNER TO app;
ALTER SCHEMA other OWNER TO app; GRANT ALL ON SCHEMA public TO app;
\\c postgres
CREATE DATABASE \"full\" TEMPLATE base;
CREATE DATABASE fresh TEMPLATE base;
\\c full
INSERT INTO orig SELECT * FROM lower;
";

const TABLES: [&str; 5] = ["orig", "lower", "plain", "deferred", "other.plain"];

/// What a process knows of a database with these tables: `[schema.]name`.
pub(super) fn store(builtins: &str, tables: &[&str]) -> Arc<Store> {
    let store = Store::default();
    store.shared.set_builtins(builtins).unwrap();
    let relation = |(at, name): (usize, &&str)| {
        let (schema, name) = name.split_once('.').unwrap_or(("public", name));
        serde_json::json!({"oid": at + 7, "schema": schema, "name": name, "kind": "r", "temporary": false,
            "row_security": false, "rules": false, "inherits": false})
    };
    let relations: Vec<_> = tables.iter().enumerate().map(relation).collect();
    let document = serde_json::json!({"fresh_major": 15, "production_major": 15, "user_operators": false, "routines": [], "types": [],
        "relations": relations});
    let catalog = load::parse(&document.to_string(), &store.shared).unwrap();
    store.publish(Arc::new(catalog));
    Arc::new(store)
}

/// Makes `orig` look as if it held `lower`'s rows.
#[derive(Debug, Default)]
pub(super) struct TestPlanner {
    pub(super) planned: AtomicUsize,
}

const MERGED: &str = "(SELECT id, v, m FROM orig UNION ALL SELECT id, v, m FROM lower l WHERE NOT EXISTS (SELECT FROM orig o WHERE o.id = l.id)) AS orig";

impl Planner for TestPlanner {
    fn read(&self, text: &str, standard_strings: bool) -> Script {
        Rewriter.read(text, standard_strings)
    }

    fn plan(&self, text: &str, statement: &Statement, context: Context<'_>) -> Plan {
        self.planned.fetch_add(1, Ordering::Relaxed);
        let text = &text[statement.span.clone()];
        if text.contains("forbidden") {
            return Plan::Refuse(Refusal::new(
                "forbidden",
                "forbidden is not served",
                "It is a test.",
                "Do without.",
            ));
        }
        let effects = match &statement.kind {
            Kind::Utility { .. } | Kind::AlterTable(_) | Kind::Do => Effects {
                schema: true,
                ..Effects::default()
            },
            Kind::Prepare { .. } if text.contains("changes_schema") => Effects {
                schema: true,
                ..Effects::default()
            },
            Kind::Set(set) if set.name == "search_path" => Effects {
                search_path: true,
                ..Effects::default()
            },
            _ => Effects::default(),
        };
        // A name is `orig` only where the search path says so.
        let named = text.contains(" orig")
            && context
                .search_path
                .first()
                .is_none_or(|schema| schema != "other");
        if !named {
            return Plan::Pass(effects);
        }
        let mut fresh = Fresh {
            before: Vec::new(),
            text: None,
            merged: false,
            dirties: vec![1],
            effects,
            describe_original: true,
        };
        match statement.kind {
            Kind::Query => {
                fresh.text = Some(text.replacen(" orig", &format!(" {MERGED}"), 1).into());
                if text.contains("FROM production") {
                    let production = Production {
                        text: text.into(),
                        relations: Vec::new(),
                        transaction_time: false,
                        fresh: Box::new(fresh),
                    };
                    return Plan::Production(Box::new(production));
                }
            }
            Kind::Copy(ref copy) if !copy.from => {
                fresh.text = Some(
                    text.replacen(
                        " orig",
                        &format!(" (SELECT id, v, m FROM {MERGED} ORDER BY id)"),
                        1,
                    )
                    .into(),
                );
                fresh.describe_original = false;
            }
            Kind::Update | Kind::Delete => {
                let (condition, parameters) = if text.contains("$1") {
                    ("id = $1", 1)
                } else {
                    ("true", 0)
                };
                fresh.before.push(Before {
                    text: format!("WITH up AS (INSERT INTO orig SELECT id, v, m FROM lower WHERE {condition} ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM up"),
                    parameters,
                    apart: text.contains("apart"),
                });
            }
            _ => return Plan::Pass(effects),
        }
        Plan::Fresh(Box::new(fresh))
    }
}

#[derive(Debug, Default)]
pub(super) struct CountingHooks {
    pub(super) marks: AtomicUsize,
    pub(super) reloads: AtomicUsize,
    pub(super) cancels_elsewhere: AtomicUsize,
}

impl Hooks for CountingHooks {
    fn mark_dirty(&self, relations: Vec<Oid>) -> Hooked {
        self.marks.fetch_add(relations.len(), Ordering::Relaxed);
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(())
        })
    }

    fn changing(&self, _: Option<u32>) -> Hooked {
        Box::pin(std::future::ready(Ok(())))
    }

    fn reload(&self) -> Hooked {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }

    fn current(&self) -> Hooked {
        Box::pin(std::future::ready(Ok(())))
    }

    fn cancel_elsewhere(&self, _request: &CancelRequest) -> Hooked {
        self.cancels_elsewhere.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}

pub(super) struct Preview {
    pub(super) postgres: testing::Server,
    pub(super) hooks: Arc<CountingHooks>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) port: u16,
}

impl Preview {
    pub(super) async fn start(planner: Arc<dyn Planner>) -> Self {
        Self::start_with(planner, Greeting::default()).await
    }

    pub(super) async fn start_with(planner: Arc<dyn Planner>, greeting: Greeting) -> Self {
        let postgres = testing::Server::start("local all all trust\nhost all all all trust", "");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), SCHEMA).unwrap();
        let output = std::process::Command::new(testing::program("psql"))
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-h",
            ])
            .arg(postgres.socket_folder())
            .args(["-p", &postgres.port.to_string(), "-f"])
            .arg(file.path())
            .args(["-c", load::BUILTINS_QUERY])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let builtins = String::from_utf8(output.stdout).unwrap();
        let mut fresh = postgres.local("app", "");
        fresh.database = "fresh".to_owned();
        let fresh_tls = ClientTls::new(&fresh).unwrap();
        let mut production = postgres.local("app", "");
        production.database = "full".to_owned();
        let pool = Pool::new(
            production.clone(),
            ClientTls::new(&production).unwrap(),
            Default::default(),
        );
        let options = Options {
            database: "full".to_owned(),
            user: "app".to_owned(),
            verifier: Arc::new(Verifier::new("secret")),
            fresh,
            fresh_tls,
            limits: Limits::default(),
            apart_lock_timeout: Duration::from_millis(100),
        };
        let hooks = Arc::new(CountingHooks::default());
        let metrics = Arc::new(Metrics::new());
        let server = Server::new(
            options,
            planner,
            store(&builtins, &TABLES),
            Arc::clone(&hooks) as Arc<dyn Hooks>,
            Some(pool),
            Arc::clone(&metrics),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shutdown = Shutdown::default();
        let options = listen::Options {
            greeting,
            drain_limit: Duration::from_secs(5),
        };
        tokio::spawn(listen::serve(
            Listener::Tcp(listener),
            options,
            Places::new(100),
            Arc::new(server),
            shutdown.clone(),
        ));
        Self {
            postgres,
            hooks,
            metrics,
            shutdown,
            port,
        }
    }

    /// A target: the full copy directly, or the preview.
    pub(super) fn target(&self, through: bool) -> Target {
        let port = if through {
            self.port
        } else {
            self.postgres.port
        };
        Target::parse(&format!(
            "host=127.0.0.1 port={port} user=app password=secret dbname=full sslmode=disable"
        ))
        .unwrap()
    }

    pub(super) async fn connect(&self, through: bool) -> Talk {
        Talk::connect(&self.target(through)).await.unwrap()
    }

    pub(super) async fn cancel(&self, key: &CancelRequest) {
        let target = self.target(true);
        backend::cancel(&target, &ClientTls::new(&target).unwrap(), key)
            .await
            .unwrap();
    }

    /// Runs SQL by the superuser in one of the databases.
    pub(super) fn sql_in(&self, database: &str, sql: &str) -> String {
        let output = std::process::Command::new(testing::program("psql"))
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                database,
                "-c",
                sql,
                "-h",
            ])
            .arg(self.postgres.socket_folder())
            .args(["-p", &self.postgres.port.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    pub(super) fn psql(&self, through: bool, arguments: &[&str]) -> String {
        let port = if through {
            self.port
        } else {
            self.postgres.port
        };
        let output = std::process::Command::new(testing::program("psql"))
            .args([
                "-X",
                "-U",
                "app",
                "-d",
                "full",
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .args(arguments)
            .env("PGPASSWORD", "secret")
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

/// A client of bytes.
pub(super) struct Talk {
    pub(super) backend: Backend,
    scanner: Scanner,
    ended: bool,
}

impl Talk {
    pub(super) async fn connect(target: &Target) -> Result<Self, ConnectError> {
        let tls = ClientTls::new(target).unwrap();
        Ok(Self {
            backend: backend::connect(target, &[], &tls).await?,
            scanner: Scanner::new(Direction::Backend, Limits::default()),
            ended: false,
        })
    }

    /// Writes in pieces of `piece` bytes (0: at once).
    pub(super) async fn write(&mut self, bytes: &[u8], piece: usize) {
        let piece = if piece == 0 {
            bytes.len().max(1)
        } else {
            piece
        };
        for bytes in bytes.chunks(piece) {
            self.backend.stream.write_all(bytes).await.unwrap();
            self.backend.stream.flush().await.unwrap();
            if piece < 64 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next frame; `None` at the end.
    pub(super) async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.scanner.scan(&self.backend.leftover, |_| false).next {
                Next::Frame { header, present } if present == header.total() => {
                    self.scanner.take();
                    return Some(self.backend.leftover.split_to(present).to_vec());
                }
                Next::Malformed(error) => panic!("{error}: {:?}", self.backend.leftover),
                _ => {}
            }
            if self.ended {
                return None;
            }
            let reading = self.backend.stream.read_buf(&mut self.backend.leftover);
            let count = tokio::time::timeout(Duration::from_secs(10), reading)
                .await
                .expect("an answer within 10 s")
                .unwrap();
            self.ended = count == 0;
        }
    }

    /// Everything up to the `count`th ReadyForQuery, or the end.
    pub(super) async fn read(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut left = count;
        while left > 0 {
            let Some(frame) = self.frame().await else {
                break;
            };
            left -= usize::from(frame[0] == b'Z');
            frames.push(frame);
        }
        frames
    }
}

/// Frames for a failure's message.
pub(super) fn show(frames: &[Vec<u8>]) -> String {
    frames
        .iter()
        .map(|frame| format!("{} {}\n", char::from(frame[0]), frame[5..].escape_ascii()))
        .collect()
}

/// Messages of a client.
pub(super) fn say(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}
