//! Two PostgreSQL servers for the tests of the overlay: production and fresh, one pair for each test process.
//!
//! The servers live as long as the process: the kernel stops them when the thread that started them ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

/// What can go wrong here, with the text that says it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The pair of servers.
#[derive(Debug)]
pub struct Servers {
    folder: PathBuf,
    next: AtomicU32,
}

/// Production's port: a number in a socket's name.
pub const PRODUCTION: u16 = 5501;
/// Fresh's port.
pub const FRESH: u16 = 5502;

impl Servers {
    /// The process's pair, started on first use.
    ///
    /// # Errors
    /// When the servers can't be started.
    pub fn get() -> Result<&'static Self, String> {
        static PAIR: OnceLock<Result<Servers, String>> = OnceLock::new();
        PAIR.get_or_init(|| start().map_err(|error| error.to_string()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The folder of their sockets.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// A number that no other test of this process got.
    pub fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Connects.
    ///
    /// # Errors
    /// When that's not possible.
    pub async fn connect(&self, port: u16, user: &str, database: &str) -> Result<Client, Failure> {
        let (client, connection) = Config::new()
            .host_path(&self.folder)
            .port(port)
            .user(user)
            .dbname(database)
            .connect(NoTls)
            .await?;
        tokio::spawn(async move {
            // An error of the connection shows in the client's next call.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Connects, and gives what the server says beside answers: `severity code detail` (a signal has no detail).
    ///
    /// # Errors
    /// When that's not possible.
    pub async fn listen(
        &self,
        port: u16,
        user: &str,
        database: &str,
    ) -> Result<(Client, UnboundedReceiver<String>), Failure> {
        let (client, mut connection) = Config::new()
            .host_path(&self.folder)
            .port(port)
            .user(user)
            .dbname(database)
            .connect(NoTls)
            .await?;
        let (tell, heard) = unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message {
                    let detail = notice.detail().unwrap_or_default();
                    // Nobody listens any more: that's the listener's affair.
                    let _ = tell.send(format!(
                        "{} {} {detail}",
                        notice.severity(),
                        notice.code().code()
                    ));
                }
            }
        });
        Ok((client, heard))
    }
}

fn start() -> Result<Servers, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("previewpg-overlay-")
        .tempdir()?
        .keep();
    let binaries = binaries()?;
    let root = std::fs::metadata("/proc/self")?.uid() == 0;
    if root {
        succeed(Command::new("chown").arg("postgres").arg(&folder))?;
    }
    let machines = binaries;
    for (name, port) in [("production", PRODUCTION), ("fresh", FRESH)] {
        let binaries = crate::servers::fresh_programs()
            .filter(|_| name == "fresh")
            .unwrap_or_else(|| machines.clone());
        let data = folder.join(name);
        succeed(
            as_server(root, &binaries.join("initdb"))
                .args([
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                    "-U",
                    "postgres",
                    "-D",
                ])
                .arg(&data),
        )?;
        let mut server = as_server(root, &binaries.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args([
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=200",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(std::env::temp_dir().join(format!(
                "previewpg-overlay-{name}-{}.log",
                std::process::id()
            )))?);
        // The thread never ends by itself: the servers get their signal when the process does.
        std::thread::spawn(move || {
            if let Ok(mut child) = server.spawn() {
                let _ = child.wait();
            }
            loop {
                std::thread::park();
            }
        });
        let mut ready = false;
        for _ in 0..200 {
            ready = Command::new(binaries.join("pg_isready"))
                .arg("-q")
                .arg("-h")
                .arg(&folder)
                .args(["-p", &port.to_string()])
                .status()?
                .success();
            if ready {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if !ready {
            return Err(format!("the server of {name} didn't start").into());
        }
    }
    Ok(Servers {
        folder,
        next: AtomicU32::new(1),
    })
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// A program of the server: run as the user postgres when we are root, and ended with us.
fn as_server(root: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=INT");
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program).env("LC_ALL", "C.UTF-8");
    command
}

/// The newest server's programs.
fn binaries() -> Result<PathBuf, Failure> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            Some((major, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("postgres").exists())
        .collect();
    found.sort();
    found
        .pop()
        .map(|(_, folder)| folder)
        .ok_or_else(|| "no PostgreSQL server in /usr/lib/postgresql".into())
}
