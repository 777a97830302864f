//! Making, starting, watching and ending the server.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio_postgres::{Client, NoTls};

use super::EmbeddedError;
use super::account::Launcher;
use super::binaries::{self, Installation};
use super::directory::{files, make_private, open_home, reachable, temporary_directory, write};
use super::settings::{self, Likeness, OWNER};

/// How long a server may take to become ready; recovery after a crash can take a while.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a fast shutdown may take before an immediate one is asked for.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// The port, which is only a part of the socket's file name.
const PORT: u16 = 5432;

/// Where the server's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// In a temporary directory, removed at the end.
    Temporary,
    /// In this directory, which is kept, and opened again the next time.
    Kept(PathBuf),
}

/// What server is wanted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Where its files are.
    pub home: Home,
    /// The least major version.
    pub major: u32,
    /// `max_prepared_transactions`.
    pub max_prepared_transactions: u32,
}

/// How a database of an embedded server is reached: by the owner role, without a password, through the private socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The directory of the socket.
    pub socket_directory: PathBuf,
    /// The port, a part of the socket's name.
    pub port: u16,
    /// The owner role.
    pub owner: String,
    /// The database.
    pub name: String,
}

impl Database {
    /// Its connection URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://{}@{}:{}/{}",
            percent_encode(&self.owner),
            percent_encode(&self.socket_directory.to_string_lossy()),
            self.port,
            percent_encode(&self.name)
        )
    }
}

/// Percent-encodes what isn't unreserved in a URL (RFC 3986, section 2.3).
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A running server. Dropping it ends it; [`Server::stop`] does so in good order.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    postmaster: Pid,
    ended: watch::Receiver<Option<String>>,
    log: PathBuf,
    kept: bool,
    // Dropped, and the directories removed, after the server has ended: see `Drop`.
    runtime: TempDir,
    _locks: (File, Option<File>),
}

impl Server {
    /// Finds the programs, makes the data directory unless it exists, starts the server and waits until it answers.
    ///
    /// # Errors
    /// When any of that fails; the message says what to do.
    pub async fn start(spec: Spec) -> Result<Self, EmbeddedError> {
        let launcher = Launcher::detect()?;
        let (runtime, runtime_lock) = temporary_directory(&launcher)?;
        let (home, lock) = match &spec.home {
            Home::Temporary => (runtime.path().to_owned(), None),
            Home::Kept(directory) => {
                let lock = open_home(directory)?;
                // The server doesn't start where we stand.
                let directory = directory.canonicalize().map_err(files("find", directory))?;
                (directory, Some(lock))
            }
        };
        let kept = lock.is_some();
        let data = home.join("pgdata");
        let log = home.join("postgres.log");
        let installation = installation_for(&data, spec.major)?;
        reachable(&launcher, &home)?;
        if data.join("PG_VERSION").exists() {
            end_orphan(&launcher, &installation, &data);
        } else {
            initialise(&launcher, &installation, &data, kept).await?;
        }
        let sockets = runtime.path().join("s");
        make_private(&launcher, &sockets)?;
        let configuration = settings::configuration(&sockets, kept, spec.max_prepared_transactions);
        write(&launcher, &data.join("previewpg.conf"), &configuration)?;
        write(
            &launcher,
            &data.join("postgresql.conf"),
            "include = 'previewpg.conf'\n",
        )?;
        write(&launcher, &data.join("pg_hba.conf"), &settings::access())?;
        if !launcher.can_tie() {
            tracing::info!(
                "without setpriv the embedded server outlives a previewpg that is killed; the next start on the same --data ends it"
            );
        }

        let (postmaster, ended) = spawn(&launcher, &installation, &data, &log).await?;
        let server = Self {
            installation,
            postmaster,
            ended,
            log,
            kept,
            runtime,
            _locks: (runtime_lock, lock),
        };
        server.wait_until_ready().await?;
        server.require_foreign_data().await?;
        Ok(server)
    }

    /// The installation that runs it.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// How a database of it is reached.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database {
            socket_directory: self.sockets(),
            port: PORT,
            owner: OWNER.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The file that the server logs to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Connects as the owner.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(self.sockets())
            .port(PORT)
            .user(OWNER)
            .dbname(database)
            .application_name("previewpg")
            .connect_timeout(Duration::from_secs(5))
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Makes the database as production's is, unless it exists, and takes over the settings. Returns whether it was made.
    ///
    /// # Errors
    /// When this machine lacks production's locale, or the server refuses otherwise.
    pub async fn prepare(&self, likeness: &Likeness) -> Result<bool, EmbeddedError> {
        let connect = |source| EmbeddedError::Statement {
            what: "let its owner in".into(),
            source,
        };
        let client = self.connect("postgres").await.map_err(connect)?;
        for (name, value) in &likeness.settings {
            let sql = format!(
                "ALTER SYSTEM SET {} = {}",
                settings::identifier(name),
                settings::literal(value)
            );
            if let Err(error) = client.batch_execute(&sql).await {
                tracing::warn!(setting = %name, %value, reason = %reason(&error), "production's setting can't be taken over");
            }
        }
        let statement = |what: &str| {
            let what = what.to_owned();
            move |source| EmbeddedError::Statement { what, source }
        };
        client
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .map_err(statement("read its settings again"))?;
        let exists = client
            .query_opt(
                "SELECT 1 FROM pg_database WHERE datname = $1",
                &[&likeness.database],
            )
            .await
            .map_err(statement("list its databases"))?
            .is_some();
        // Every server has a database `postgres`: ours is empty and may have another locale than production's.
        let replaced = likeness.database == "postgres"
            && !self
                .prepared(&client)
                .await
                .map_err(statement("list its databases"))?;
        if exists && !replaced {
            return Ok(false);
        }
        let client = if replaced {
            drop(client);
            let client = self.connect("template1").await.map_err(connect)?;
            client
                .batch_execute("DROP DATABASE postgres WITH (FORCE)")
                .await
                .map_err(statement("drop its initial database"))?;
            client
        } else {
            client
        };
        if let Err(error) = client
            .batch_execute(&likeness.create_database(self.installation.version.major))
            .await
        {
            return Err(if error.as_db_error().is_some() {
                EmbeddedError::Locale {
                    locale: likeness.locale_name().to_owned(),
                    provider: likeness.provider.name(),
                    reason: reason(&error),
                }
            } else {
                EmbeddedError::Statement {
                    what: "make the database".into(),
                    source: error,
                }
            });
        }
        let mark = format!(
            "COMMENT ON DATABASE {} IS 'made by previewpg'",
            settings::identifier(&likeness.database)
        );
        if replaced {
            client
                .batch_execute(&mark)
                .await
                .map_err(statement("mark its database"))?;
        }
        Ok(true)
    }

    /// Whether the database `postgres` is one that `prepare` made.
    async fn prepared(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let sql = "SELECT coalesce(shobj_description(oid, 'pg_database') = 'made by previewpg', false) FROM pg_database WHERE datname = 'postgres'";
        Ok(client
            .query_opt(sql, &[])
            .await?
            .is_some_and(|row| row.get(0)))
    }

    /// Waits until the server ends, for whatever reason, and says how it ended.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let how = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|how| how.clone());
        how.unwrap_or_else(|| "ended".to_owned())
    }

    /// Ends it: clients are disconnected, everything is written.
    pub async fn stop(self) {
        self.signal(Signal::INT);
        if tokio::time::timeout(STOP_WITHIN, self.ended())
            .await
            .is_err()
        {
            tracing::warn!(
                "the embedded server takes longer than {} s to end; ending it at once",
                STOP_WITHIN.as_secs()
            );
            self.signal(Signal::QUIT);
            let _ = tokio::time::timeout(STOP_WITHIN, self.ended()).await;
        }
    }

    fn sockets(&self) -> PathBuf {
        self.runtime.path().join("s")
    }

    fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    fn signal(&self, signal: Signal) {
        if !self.has_ended() {
            // Failing means that it has ended between.
            let _ = rustix::process::kill_process(self.postmaster, signal);
        }
    }

    async fn wait_until_ready(&self) -> Result<(), EmbeddedError> {
        let not_ready = |what: String| EmbeddedError::NotReady {
            what,
            log: tail(&self.log),
        };
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.has_ended() {
                return Err(not_ready(format!(
                    "{} while it started",
                    self.ended().await
                )));
            }
            if let Ok(client) = self.connect("template1").await
                && client.simple_query("SELECT 1").await.is_ok()
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(not_ready(format!(
                    "was not ready after {} s",
                    READY_WITHIN.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn require_foreign_data(&self) -> Result<(), EmbeddedError> {
        let statement = |source| EmbeddedError::Statement {
            what: "list its extensions".into(),
            source,
        };
        let client = self.connect("template1").await.map_err(statement)?;
        let found = client
            .query_opt(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'postgres_fdw'",
                &[],
            )
            .await
            .map_err(statement)?;
        match found {
            Some(_) => Ok(()),
            None => Err(EmbeddedError::NoForeignData {
                directory: self.installation.directory.clone(),
                major: self.installation.version.major,
            }),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        self.signal(if self.kept { Signal::INT } else { Signal::QUIT });
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The installation that may open `data`, or the one most like production for a new directory.
fn installation_for(data: &Path, major: u32) -> Result<Installation, EmbeddedError> {
    let Ok(found) = std::fs::read_to_string(data.join("PG_VERSION")) else {
        return Ok(binaries::find(major)?);
    };
    let found = found.trim().to_owned();
    let chosen = binaries::find(found.parse().unwrap_or(major))?;
    if chosen.version.major.to_string() == found {
        Ok(chosen)
    } else {
        Err(EmbeddedError::MajorDiffers {
            directory: data.to_owned(),
            found,
            chosen: chosen.version.major,
        })
    }
}

/// We hold the directory's lock: a server that still runs on it is one whose previewpg was killed.
fn end_orphan(launcher: &Launcher, installation: &Installation, data: &Path) {
    if !data.join("postmaster.pid").exists() {
        return;
    }
    let ended = launcher
        .command(&installation.program("pg_ctl"), false)
        .args([
            "stop",
            "--mode=fast",
            "--wait",
            "--timeout=20",
            "--silent",
            "--pgdata",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if ended.is_ok_and(|status| status.success()) {
        tracing::warn!("ended the server that a previous previewpg, killed, had left running");
    }
}

async fn initialise(
    launcher: &Launcher,
    installation: &Installation,
    data: &Path,
    kept: bool,
) -> Result<(), EmbeddedError> {
    make_private(launcher, data)?;
    let program = installation.program("initdb");
    let mut command = launcher.command(&program, true);
    command
        .arg("--pgdata")
        .arg(data)
        .args([
            "--username",
            OWNER,
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .stdin(Stdio::null())
        .current_dir("/")
        .process_group(0);
    if !kept {
        command.arg("--no-sync");
    }
    let output = on_own_thread(move || command.output())
        .await
        .map_err(|source| EmbeddedError::Run { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    // A half-made data directory would be taken for a whole one the next time.
    let _ = std::fs::remove_dir_all(data);
    Err(EmbeddedError::Initdb(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// Starts the postmaster from a thread that lives as long as it: the kernel's parent-death signal is bound to the thread that forked.
async fn spawn(
    launcher: &Launcher,
    installation: &Installation,
    data: &Path,
    log: &Path,
) -> Result<(Pid, watch::Receiver<Option<String>>), EmbeddedError> {
    let program = installation.program("postgres");
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(files("open", log))?;
    let errors = output.try_clone().map_err(files("open", log))?;
    let mut command: Command = launcher.command(&program, true);
    command
        .arg("-D")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .current_dir("/")
        // A terminal's Ctrl-C is for us; we end the server after its clients.
        .process_group(0);
    let (started, has_started) = oneshot::channel();
    let (ended, has_ended) = watch::channel(None);
    let run = move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = started.send(Ok(pid));
        let how = match child.wait() {
            Ok(status) => format!("ended ({status})"),
            Err(error) => format!("can't be waited for ({error})"),
        };
        let _ = ended.send(Some(how));
    };
    let failed = |source| EmbeddedError::Run {
        program: program.clone(),
        source,
    };
    std::thread::Builder::new()
        .name("postmaster".into())
        .spawn(run)
        .map_err(failed)?;
    let pid = match has_started.await {
        Ok(Ok(Some(pid))) => pid,
        Ok(Err(error)) => return Err(failed(error)),
        Ok(Ok(None)) | Err(_) => return Err(failed(std::io::Error::other("it has no process id"))),
    };
    Ok((pid, has_ended))
}

/// Runs `work` on a thread of its own, so that a tied child's parent thread lives as long as the child.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let (send, receive) = oneshot::channel();
    std::thread::Builder::new()
        .name("child".into())
        .spawn(move || {
            let _ = send.send(work());
        })?;
    receive
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("its thread ended")))
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default();
    if last.is_empty() {
        "(empty)".to_owned()
    } else {
        last.join("\n")
    }
}

/// A server's message without "db error:" in front.
fn reason(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| db.message().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::embedded::settings::LocaleProvider;

    fn likeness() -> Likeness {
        Likeness {
            major: 13,
            database: "sh op".into(),
            encoding: "UTF8".into(),
            provider: LocaleProvider::Libc,
            collate: "C".into(),
            ctype: "C".into(),
            locale: None,
            icu_rules: None,
            settings: vec![
                ("TimeZone".into(), "Asia/Tokyo".into()),
                ("lc_monetary".into(), "xx_XX.UTF-8".into()),
            ],
            max_prepared_transactions: 2,
        }
    }

    fn spec(home: Home) -> Spec {
        Spec {
            home,
            major: 13,
            max_prepared_transactions: 2,
        }
    }

    async fn text(client: &Client, sql: &str) -> String {
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    #[test]
    fn urls_are_encoded() {
        let database = Database {
            socket_directory: "/tmp/a b".into(),
            port: 5432,
            owner: "previewpg".into(),
            name: "a/b@c".into(),
        };
        assert_eq!(
            database.url(),
            "postgres://previewpg@%2Ftmp%2Fa%20b:5432/a%2Fb%40c"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_temporary_server_is_like_production_and_leaves_nothing() {
        let server = Server::start(spec(Home::Temporary)).await.unwrap();
        assert!(
            server.prepare(&likeness()).await.unwrap(),
            "the database is made"
        );
        assert!(
            !server.prepare(&likeness()).await.unwrap(),
            "and found the second time"
        );
        let client = server.connect("sh op").await.unwrap();
        assert_eq!(text(&client, "SHOW timezone").await, "Asia/Tokyo");
        assert_eq!(text(&client, "SHOW max_prepared_transactions").await, "2");
        assert_eq!(text(&client, "SHOW listen_addresses").await, "");
        let data = text(&client, "SHOW data_directory").await;
        server.stop().await;
        assert!(!Path::new(&data).exists());
        assert!(client.simple_query("SELECT 1").await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_kept_server_is_opened_again() {
        let directory = tempfile::Builder::new()
            .prefix("previewpg-test-")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let home = Home::Kept(directory.path().join("data"));
        let server = Server::start(spec(home.clone())).await.unwrap();
        let client = server.connect("postgres").await.unwrap();
        client
            .batch_execute("CREATE TABLE t AS SELECT 'kept' AS v")
            .await
            .unwrap();
        assert!(matches!(
            Server::start(spec(home.clone())).await,
            Err(EmbeddedError::InUse(_))
        ));
        server.stop().await;
        let server = Server::start(spec(home)).await.unwrap();
        let client = server.connect("postgres").await.unwrap();
        assert_eq!(text(&client, "SELECT v FROM t").await, "kept");
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_killed_is_reported() {
        let server = Server::start(spec(Home::Temporary)).await.unwrap();
        rustix::process::kill_process(server.postmaster, Signal::QUIT).unwrap();
        let how = tokio::time::timeout(Duration::from_secs(10), server.ended())
            .await
            .unwrap();
        assert!(how.starts_with("ended"), "{how}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unknown_locale_is_named_and_the_way_out_too() {
        let server = Server::start(spec(Home::Temporary)).await.unwrap();
        let wanted = Likeness {
            collate: "xx_XX.UTF-8".into(),
            ..likeness()
        };
        let message = server.prepare(&wanted).await.unwrap_err().to_string();
        assert!(
            message.contains("xx_XX.UTF-8") && message.contains("--fresh"),
            "{message}"
        );
        server.stop().await;
    }
}
