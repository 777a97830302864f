//! A preview: a `previewpg up` process over production, with a fresh server of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::client::{Address, Session};
use crate::servers::{
    PASSWORD, Server, Servers, as_unprivileged, ended_within, forget_pid, fresh_programs,
    keep_logs, note_pid, signal, workplace,
};

/// How long `up` may take until it prints the client's URL.
pub const START: Duration = Duration::from_secs(180);

/// A preview that serves; stopped when dropped.
pub struct Preview {
    process: Up,
    /// The fresh server.
    pub fresh: Server,
    /// Where clients connect.
    pub address: Address,
    /// Base URL of the admin port, if it was printed.
    pub admin: Option<String>,
}

impl Preview {
    /// Starts a preview of a database of the shared production server, read by `reader`.
    pub fn of(database: &str) -> Preview {
        let production = Servers::shared().production.tcp("reader", database);
        Preview::start(&production, Servers::fresh(), &[])
            .unwrap_or_else(|failure| panic!("previewpg up failed: {failure:?}"))
    }

    /// Starts a preview of `production` over `fresh`.
    pub fn start(production: &Address, fresh: Server, extra: &[&str]) -> Result<Preview, Failure> {
        let fresh_url = fresh.tcp("postgres", "postgres").url();
        match Up::start(&production.url(), &fresh_url, extra) {
            Ok((process, address, admin)) => Ok(Preview {
                process,
                fresh,
                address,
                admin,
            }),
            Err(failure) => Err(failure),
        }
    }

    /// A client's session.
    pub fn connect(&self) -> Session {
        Session::connect(&self.address)
            .unwrap_or_else(|e| panic!("log in at the preview: {e:?}\n{}", self.process.stderr()))
    }

    /// A superuser's session directly at fresh, behind the preview's back: for names of types and for locks.
    pub fn behind(&self) -> Address {
        let mut postgres = self.fresh.connect("postgres");
        let name = self.address.database.clone();
        let there = postgres.value(&format!(
            "SELECT count(*) FROM pg_database WHERE datname = '{name}'"
        ));
        // The preview's database may have production's name or be the one that --fresh named.
        self.fresh
            .admin(if there == "0" { "postgres" } else { &name })
    }

    /// The proxy's process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// What the process said on standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Kills the proxy (`kill -9`) and leaves fresh running.
    pub fn kill(self) -> Server {
        signal(self.process.child.id(), "KILL");
        let Preview { process, fresh, .. } = self;
        drop(process);
        fresh
    }

    /// Ends the proxy by SIGTERM and says how it ended.
    pub fn terminate(mut self) -> (Option<ExitStatus>, Server) {
        let status = self.process.terminate(Duration::from_secs(15));
        (status, self.fresh)
    }
}

/// A preview whose fresh database lives on one server with those of others: what most tests need, and soon there.
/// A database of a template that was provisioned before is copied from the first one's, and `up` goes on from there.
pub struct Tenant {
    process: Option<Up>,
    server: &'static Server,
    database: String,
    /// Where clients connect.
    pub address: Address,
}

impl Tenant {
    /// Starts a preview of a database of the shared production server that was made from `template`.
    pub fn of(database: &str, template: &str) -> Tenant {
        Tenant::start(database, template, false)
    }

    /// The same, where no table may be copied up as a whole: all count as large.
    pub fn of_large_tables(database: &str, template: &str) -> Tenant {
        Tenant::start(database, template, true)
    }

    fn start(database: &str, template: &str, large: bool) -> Tenant {
        let server = shared_fresh();
        let production = Servers::shared().production.tcp("reader", database).url();
        let fresh = server.tcp("postgres", "postgres").url();
        let provisioned = format!("provisioned_{template}");
        {
            let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
            if templates.contains(template) {
                server.copy_database(&provisioned, database);
            } else {
                provision(&production, &fresh);
                server.copy_database(database, &provisioned);
                templates.insert(template.to_owned());
            }
        }
        if large {
            Session::connect(&server.admin(database))
                .expect("log in at fresh")
                .must("UPDATE previewpg.relation SET production_rows = 1000000000");
        }
        let (process, address, _) = Up::start(&production, &fresh, &[])
            .unwrap_or_else(|failure| panic!("previewpg up failed: {failure:?}"));
        Tenant {
            process: Some(process),
            server,
            database: database.to_owned(),
            address,
        }
    }

    /// Starts a preview of a database like no other.
    pub fn of_its_own(database: &str) -> Tenant {
        Tenant::of(database, database)
    }

    /// Removes what [`Tenant::of_its_own`] keeps to copy from.
    pub fn forget(template: &str) {
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        if templates.remove(template) {
            shared_fresh().connect("postgres").query(&format!(
                "DROP DATABASE provisioned_{template} WITH (FORCE)"
            ));
        }
    }

    /// A superuser's session directly at fresh, behind the preview's back: for names of types and for locks.
    pub fn behind(&self) -> Address {
        self.server.admin(&self.database)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.process.take();
        if let Ok(mut session) = Session::connect(&self.server.admin("postgres")) {
            session.query(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.database
            ));
        }
    }
}

/// Templates whose provisioned database is on the shared fresh server.
static TEMPLATES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn shared_fresh() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("fresh"))
}

/// Runs `previewpg provision`.
fn provision(production: &str, fresh: &str) {
    let mut command = Command::new(binary());
    if let Some(programs) = fresh_programs() {
        command.env("PREVIEWPG_POSTGRES_BIN", programs);
    }
    let out = command
        .args(["provision", "--production", production, "--fresh", fresh])
        .args(["--client-user", "app", "--sequence-gap", "0"])
        .env("PREVIEWPG_CLIENT_PASSWORD", PASSWORD)
        .output()
        .expect("run previewpg");
    assert!(
        out.status.success(),
        "previewpg provision failed: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// Why `up` didn't come up.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code, `None` when it neither ended nor got ready in time.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub stderr: String,
}

/// A process of the binary.
pub struct Up {
    child: Child,
    log: PathBuf,
}

impl Up {
    /// Runs `previewpg up` until it prints the client's URL.
    pub fn start(
        production: &str,
        fresh: &str,
        extra: &[&str],
    ) -> Result<(Up, Address, Option<String>), Failure> {
        let place = |url: &str| {
            let place = url.rsplit('@').next().unwrap_or_default();
            place.replace(['/', ':'], "-")
        };
        let log = workplace().join(format!(
            "previewpg-{}-{}.log",
            place(fresh),
            place(production)
        ));
        let mut command = Command::new(binary());
        command.args(["up", "--fresh", fresh, "--client-user", "app"]);
        command.args(["--sequence-gap", "0"]).args(extra);
        Up::run(command, production, log)
    }

    /// Runs `previewpg up` with a server of its own, whose files are kept in `data`, as the servers' user or as ours.
    pub fn embedded(
        production: &str,
        data: &Path,
        as_servers_user: bool,
    ) -> Result<(Up, Address, Option<String>), Failure> {
        let mut command = if as_servers_user {
            as_unprivileged(&reachable_binary())
        } else {
            Command::new(binary())
        };
        command.args(["up", "--data"]).arg(data);
        let name = data.file_name().unwrap_or_default().to_string_lossy();
        Up::run(
            command,
            production,
            workplace().join(format!("previewpg-{name}.log")),
        )
    }

    /// Adds what all have in common to a command, and runs it.
    fn run(
        mut command: Command,
        production: &str,
        log: PathBuf,
    ) -> Result<(Up, Address, Option<String>), Failure> {
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("make the log");
        if let Some(programs) = fresh_programs() {
            command.env("PREVIEWPG_POSTGRES_BIN", programs);
        }
        let mut child = command
            .args(["--production", production])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .env("PREVIEWPG_CLIENT_PASSWORD", PASSWORD)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(out)
            .spawn()
            .expect("start previewpg");
        note_pid(child.id());
        let stdout = child.stdout.take().expect("its standard output");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut up = Up { child, log };
        let deadline = Instant::now() + START;
        let (mut address, mut admin) = (None, None);
        let mut wait = START;
        while let Ok(line) = lines.recv_timeout(wait) {
            if let Some(at) = line.find("postgres://") {
                let url = line.get(at..).unwrap_or_default();
                let url = url.split_whitespace().next().unwrap_or_default();
                let mut parsed = Address::parse(url);
                if parsed.password.is_empty() {
                    PASSWORD.clone_into(&mut parsed.password);
                }
                address = Some(parsed);
            } else if let Some(url) = line.strip_prefix("admin ") {
                admin = Some(url.trim().to_owned());
            }
            wait = match (&address, &admin) {
                (Some(_), Some(_)) => break,
                (Some(_), None) => Duration::from_millis(300),
                _ => deadline.saturating_duration_since(Instant::now()),
            };
        }
        match address {
            Some(address) => Ok((up, address, admin)),
            None => {
                let ended = up.wait(Duration::from_millis(500));
                Err(Failure {
                    code: ended.and_then(|s| s.code()),
                    stderr: up.stderr(),
                })
            }
        }
    }

    /// What it said on standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it (`kill -9`).
    pub fn kill(self) {
        signal(self.child.id(), "KILL");
    }

    /// Ends it by SIGTERM.
    pub fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        signal(self.child.id(), "TERM");
        self.wait(patience)
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        ended_within(&mut self.child, patience)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep_logs();
        }
        if self.child.try_wait().ok().flatten().is_none()
            && self.terminate(Duration::from_secs(5)).is_none()
        {
            signal(self.child.id(), "KILL");
        }
        let _ = self.child.wait();
        forget_pid(self.child.id());
    }
}

/// The binary under test, where the servers' user may run it.
fn reachable_binary() -> PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = workplace().join("previewpg");
        std::fs::copy(binary(), &copy).expect("copy the binary");
        copy
    })
    .clone()
}

/// The binary under test: `PREVIEWPG_BIN`, or the one that was built next to the test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PREVIEWPG_BIN") {
        return path.into();
    }
    let exe = std::env::current_exe().expect("the test's own path");
    let path = exe
        .ancestors()
        .nth(2)
        .expect("target/debug/deps")
        .join("previewpg");
    assert!(
        path.is_file(),
        "{} isn't there: run `cargo build --bins` first, or set PREVIEWPG_BIN",
        path.display()
    );
    path
}
