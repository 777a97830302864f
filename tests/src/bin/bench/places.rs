//! The servers that are compared.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use previewpg_tests::client::{Address, Session};
use previewpg_tests::preview::Preview;
use previewpg_tests::servers::{
    PASSWORD, Server, forget_pid, free_port, note_pid, own, signal, unprivileged, workplace,
};
use tokio_postgres::{Client, NoTls};

use crate::measure::Scale;

/// Settings of the servers that hold the data: enough memory for it, so that the disk isn't what is measured.
const LARGE: &str =
    "shared_buffers = 512MB\nwork_mem = 64MB\nmax_wal_size = 4GB\nmax_connections = 200";

/// The database.
pub(crate) const DATABASE: &str = "bench";

/// Everything that is measured.
pub(crate) struct Places {
    /// Production's server.
    pub(crate) production: Server,
    /// The full copy's.
    pub(crate) copy: Server,
    /// pgbouncer, when it's installed.
    pub(crate) bouncer: Option<Bouncer>,
    /// The preview.
    pub(crate) preview: Preview,
}

/// pgbouncer before production, in session mode.
pub(crate) struct Bouncer {
    child: Child,
    port: u16,
}

impl Places {
    /// Starts and fills everything.
    pub(crate) fn open(scale: &Scale) -> Self {
        eprintln!("filling production and the full copy");
        let production = Server::start_with("production", None, LARGE);
        let copy = Server::start_with("copy", None, LARGE);
        std::thread::scope(|scope| {
            for server in [&production, &copy] {
                scope.spawn(move || fill(server, scale.rows));
            }
        });
        let bouncer = Bouncer::start(&production);
        let fresh_settings = format!("max_connections = {}", scale.clients + 100);
        let fresh = Server::start_with("fresh", None, &fresh_settings);
        let preview = Preview::start(
            &production.tcp("reader", DATABASE),
            fresh,
            &["--config", &configuration(scale)],
        )
        .unwrap_or_else(|failure| panic!("previewpg up failed: {failure:?}"));
        Self {
            production,
            copy,
            bouncer,
            preview,
        }
    }

    /// Production directly.
    pub(crate) async fn production(&self) -> Client {
        connect(&self.production.tcp("reader", DATABASE)).await
    }

    /// The copy directly, as the tables' owner.
    pub(crate) async fn copy(&self) -> Client {
        connect(&self.copy.tcp("app", DATABASE)).await
    }

    /// The preview.
    pub(crate) async fn preview(&self) -> Client {
        connect(&self.preview.address).await
    }

    /// Production through pgbouncer.
    pub(crate) async fn bouncer(&self) -> Option<Client> {
        match &self.bouncer {
            Some(bouncer) => Some(connect(&bouncer.address()).await),
            None => None,
        }
    }
}

fn configuration(scale: &Scale) -> String {
    let file = workplace().join("bench.yaml");
    let text = format!("limits: {{maxClients: {}}}\n", scale.clients + 100);
    std::fs::write(&file, text).expect("write the configuration");
    file.display().to_string()
}

fn fill(server: &Server, rows: u64) {
    let mut admin = server.connect("postgres");
    for sql in [
        format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
        format!("CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'"),
        "GRANT pg_read_all_data TO reader".to_owned(),
        format!("CREATE DATABASE {DATABASE} OWNER app"),
    ] {
        admin.must(&sql);
    }
    let mut admin = server.connect(DATABASE);
    admin.must("ALTER SCHEMA public OWNER TO app");
    admin.must("SET SESSION AUTHORIZATION app");
    for sql in schema(rows) {
        run_long(&mut admin, &sql);
    }
    admin.must("RESET SESSION AUTHORIZATION");
    run_long(&mut admin, "VACUUM ANALYZE");
}

/// A statement that may take longer than a test's patience.
pub(crate) fn run_long(session: &mut Session, sql: &str) {
    use previewpg_tests::client::{Protocol, Request};
    session.start(
        Protocol::Simple,
        Request {
            sql: sql.to_owned(),
            ..Request::default()
        },
    );
    loop {
        if let Some(answer) = session.poll(Duration::from_secs(600)) {
            assert!(answer.error().is_none(), "{sql}: {:?}", answer.error());
            return;
        }
    }
}

fn schema(rows: u64) -> Vec<String> {
    let users = (rows / 5).max(10);
    vec![
        "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, created_at timestamptz NOT NULL)".to_owned(),
        "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, status text NOT NULL, \
         amount numeric(12, 2) NOT NULL, discount numeric(4, 2) NOT NULL, created_at timestamptz NOT NULL)".to_owned(),
        format!(
            "INSERT INTO users SELECT n, 'user' || n || '@example.com', 'User ' || n, timestamptz '2020-01-01' + n * interval '1 minute' \
             FROM generate_series(1, {users}) n"
        ),
        format!(
            "INSERT INTO orders SELECT n, 1 + n::bigint * 7919 % {users}, (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + n % 4], \
             (n * 37 % 100000) / 100.0, (n % 10) / 100.0, timestamptz '2022-01-01' + n * interval '1 second' \
             FROM generate_series(1, {rows}) n"
        ),
        "CREATE INDEX ON orders (created_at)".to_owned(),
        "CREATE INDEX ON orders (user_id)".to_owned(),
    ]
}

/// Connects by tokio-postgres.
pub(crate) async fn connect(address: &Address) -> Client {
    let (client, connection) = tokio_postgres::connect(&address.url(), NoTls)
        .await
        .unwrap_or_else(|error| panic!("connect to {}:{}: {error}", address.host, address.port));
    tokio::spawn(connection);
    client
}

impl Bouncer {
    fn start(production: &Server) -> Option<Self> {
        let Some(program) = [
            "/usr/sbin/pgbouncer",
            "/usr/bin/pgbouncer",
            "/usr/local/bin/pgbouncer",
        ]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file()) else {
            eprintln!("pgbouncer isn't installed: its column stays empty");
            return None;
        };
        let port = free_port();
        let folder = workplace().join("pgbouncer");
        std::fs::create_dir_all(&folder).expect("make pgbouncer's folder");
        own(&folder);
        let users = folder.join("users");
        std::fs::write(&users, format!("\"reader\" \"{PASSWORD}\"\n"))
            .expect("write pgbouncer's users");
        let file = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\nmax_client_conn = 2000\n\
             default_pool_size = 100\nlog_connections = 0\nlog_disconnections = 0\n",
            production.port,
            users.display()
        );
        std::fs::write(&file, text).expect("write pgbouncer's configuration");
        let (uid, gid) = unprivileged();
        let mut command = Command::new(program);
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if is_root() {
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().expect("start pgbouncer");
        note_pid(child.id());
        let bouncer = Self { child, port };
        for _ in 0..100 {
            if Session::connect(&bouncer.address()).is_ok() {
                return Some(bouncer);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("pgbouncer doesn't answer: its column stays empty");
        None
    }

    fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "reader".to_owned(),
            password: PASSWORD.to_owned(),
            database: DATABASE.to_owned(),
        }
    }
}

/// Whether we are root: pgbouncer doesn't run as root.
fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("/proc is mounted"))
        == 0
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
        forget_pid(self.child.id());
    }
}
