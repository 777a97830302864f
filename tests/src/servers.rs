//! PostgreSQL servers for tests.
//!
//! One test binary has a production server and a copy server ([`Servers::shared`]), and every preview gets
//! an empty fresh server of its own ([`Servers::fresh`]): roles belong to a server, and a preview that finds
//! those of another test's would prove little. They live in a temporary folder, run as an unprivileged user
//! when the tests run as root, and listen on a Unix socket and on loopback.
//!
//! Nothing outlives the tests: a watchdog (a shell whose standard input is a pipe of ours) stops every process
//! that is written down in `pids/` and removes the folder as soon as the test process is gone, however it went.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::client::{Address, Session};

/// The password of every role that the tests make.
pub const PASSWORD: &str = "of-the-tests";

/// Settings of every server: fast, quiet, and the same everywhere.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
shared_buffers = 32MB
max_connections = 150
max_prepared_transactions = 10
deadlock_timeout = 150ms
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
password_encryption = 'scram-sha-256'
log_line_prefix = '%m [%p] %q%u@%d '
";

/// Writes every second row of every table anew, unchanged and unseen by triggers.
const SHUFFLE: &str = "
SET session_replication_role = replica;
DO $$
DECLARE r record;
BEGIN
    FOR r IN
        SELECT DISTINCT ON (c.oid) c.oid::regclass AS tab, a.attname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> 'a' AND a.attgenerated = ''
        ORDER BY c.oid, a.attnum
    LOOP
        EXECUTE format('UPDATE ONLY %s t SET %I = %2$I WHERE hashtext(t::text) %% 2 = 0', r.tab, r.attname);
    END LOOP;
END $$;
RESET session_replication_role;";

/// The servers that all tests of a binary share.
pub struct Servers {
    /// What is only ever read through a preview.
    pub production: Server,
    /// Holds the full copies.
    pub copy: Server,
    numbers: AtomicU32,
    templates: Mutex<Vec<String>>,
}

impl Servers {
    /// The servers, started by the first test that asks.
    pub fn shared() -> &'static Servers {
        static SHARED: OnceLock<Servers> = OnceLock::new();
        SHARED.get_or_init(|| {
            let servers = Servers {
                production: Server::start("production"),
                copy: Server::start("copy"),
                numbers: AtomicU32::new(0),
                templates: Mutex::new(Vec::new()),
            };
            for server in [&servers.production, &servers.copy] {
                let mut admin = server.connect("postgres");
                // `app` owns everything and may make databases, as in a preview; the writer and the reader are production's.
                admin.must(&format!(
                    "CREATE ROLE app LOGIN CREATEDB PASSWORD '{PASSWORD}'"
                ));
            }
            let mut admin = servers.production.connect("postgres");
            admin.must(&format!(
                "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader;
                 CREATE ROLE writer LOGIN PASSWORD '{PASSWORD}';
                 GRANT pg_read_all_data, pg_write_all_data TO writer"
            ));
            servers
        })
    }

    /// An empty server for one preview.
    pub fn fresh() -> Server {
        Server::start("fresh")
    }

    /// A database of the same name on production and on the copy server, both holding what `sql` makes.
    /// `sql` runs once for each `template`; databases are then copied from it.
    pub fn database(&self, template: &str, sql: &str) -> String {
        {
            let mut templates = self.templates.lock().unwrap_or_else(|e| e.into_inner());
            if !templates.iter().any(|t| t == template) {
                self.production.create_template(template, sql);
                self.restore(template);
                templates.push(template.to_owned());
            }
        }
        let name = format!("{template}_{}", self.next());
        for server in [&self.production, &self.copy] {
            server.copy_database(template, &name);
        }
        name
    }

    /// Makes the full copy of a database of production as one does: a dump of it, restored.
    pub fn restore(&self, name: &str) {
        self.copy
            .connect("postgres")
            .must(&format!("CREATE DATABASE {name} OWNER app"));
        let dump = workplace().join(format!("{name}.dump"));
        let run = |program: &str, address: Address, more: &[&str]| {
            let out = Command::new(tool_of(fresh_programs().as_deref(), program))
                .args(["--no-owner", "--no-privileges", "-h", &address.host])
                .args(["-p", &address.port.to_string(), "-U", &address.user])
                .args(more)
                .output()
                .expect("run PostgreSQL's own tools");
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{program} of {name}: {said}");
        };
        let file = dump.display().to_string();
        run(
            "pg_dump",
            self.production.admin(name),
            &["-Fc", "-f", &file, name],
        );
        let app = self.copy.admin(name).role("app", PASSWORD);
        run("pg_restore", app, &["--exit-on-error", "-d", name, &file]);
        let _ = fs::remove_file(&dump);
        self.copy.connect(name).must("ANALYZE");
    }

    /// One more database from a template, on the copy server only. Half of its rows have moved in their heaps: what
    /// depends on the physical order of rows, which nobody promises, shows as a difference between two copies.
    pub fn another_copy(&self, template: &str) -> String {
        let name = format!("{template}_{}", self.next());
        self.copy.copy_database(template, &name);
        self.copy.connect(&name).must(SHUFFLE);
        name
    }

    /// Removes a test's databases.
    pub fn drop_database(&self, name: &str) {
        for server in [&self.production, &self.copy] {
            server
                .connect("postgres")
                .query(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }

    fn next(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// One PostgreSQL server; stopped when dropped.
pub struct Server {
    child: Child,
    folder: PathBuf,
    log: PathBuf,
    programs: Option<PathBuf>,
    /// The port of loopback and of the socket.
    pub port: u16,
}

impl Server {
    /// Makes a cluster and starts a server in it.
    pub fn start(name: &str) -> Server {
        Server::start_with(name, None, "")
    }

    /// The same with further lines for `postgresql.conf` and the data folder in a place of the caller's
    /// (which must be writable for [`unprivileged`]).
    pub fn start_with(name: &str, place: Option<&Path>, settings: &str) -> Server {
        let programs = fresh_programs().filter(|_| name != "production");
        Server::start_from(name, place, settings, programs)
    }

    /// The same of the version whose programs are in that folder; `None`: the machine's own.
    pub fn start_from(
        name: &str,
        place: Option<&Path>,
        settings: &str,
        programs: Option<PathBuf>,
    ) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = workplace();
        let folder = place
            .map(Path::to_path_buf)
            .unwrap_or_else(|| root.join(format!("{name}{number}")));
        let data = folder.join("data");
        fs::create_dir_all(&folder).expect("make the server's folder");
        own(&folder);
        copy_tree(&cluster(programs.as_deref()), &data);
        let log = root.join(format!("{name}{number}.log"));
        let mut last = String::new();
        for _ in 0..5 {
            let port = free_port();
            fs::write(
                data.join("postgresql.auto.conf"),
                format!(
                    "{SETTINGS}\nport = {port}\nlisten_addresses = '127.0.0.1'\n\
                     unix_socket_directories = '{}'\n{settings}\n",
                    root.display()
                ),
            )
            .expect("write the server's settings");
            let out = fs::File::create(&log).expect("make the log");
            let child = as_unprivileged(&tool_of(programs.as_deref(), "postgres"))
                .arg("-D")
                .arg(&data)
                .stdin(Stdio::null())
                .stdout(out.try_clone().expect("the log twice"))
                .stderr(out)
                .process_group(0)
                .spawn()
                .expect("start postgres");
            note_pid(child.id());
            let mut server = Server {
                child,
                folder: folder.clone(),
                log: log.clone(),
                programs: programs.clone(),
                port,
            };
            if server.wait_until_ready() {
                return server;
            }
            last = fs::read_to_string(&log).unwrap_or_default();
        }
        panic!("the {name} server didn't start:\n{last}");
    }

    fn wait_until_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.child.try_wait().ok().flatten().is_some() {
                return false;
            }
            if Session::connect(&self.admin("postgres")).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The superuser's address (over the Unix socket, no password).
    pub fn admin(&self, database: &str) -> Address {
        Address {
            host: workplace().display().to_string(),
            port: self.port,
            user: "postgres".to_owned(),
            password: PASSWORD.to_owned(),
            database: database.to_owned(),
        }
    }

    /// A role's address over TCP, with its password.
    pub fn tcp(&self, user: &str, database: &str) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: user.to_owned(),
            password: PASSWORD.to_owned(),
            database: database.to_owned(),
        }
    }

    /// A superuser's session.
    pub fn connect(&self, database: &str) -> Session {
        Session::connect(&self.admin(database))
            .unwrap_or_else(|e| panic!("log in as superuser at {database}: {e:?}"))
    }

    /// Makes a database and runs `sql` in it as `app`, with a superuser's help for extensions.
    pub fn create_template(&self, name: &str, sql: &str) {
        self.connect("postgres")
            .must(&format!("CREATE DATABASE {name} OWNER app"));
        let mut admin = self.connect(name);
        for extension in ["btree_gist", "citext"] {
            admin.must(&format!("CREATE EXTENSION {extension}"));
        }
        admin.must("SET SESSION AUTHORIZATION app");
        admin.must(sql);
        admin.must("RESET SESSION AUTHORIZATION");
        admin.must("ANALYZE");
    }

    /// `CREATE DATABASE .. TEMPLATE`.
    pub fn copy_database(&self, template: &str, name: &str) {
        // The template's last session may be still on its way out.
        for _ in 0..200 {
            let answer = self.connect("postgres").query(&format!(
                "CREATE DATABASE {name} TEMPLATE {template} OWNER app STRATEGY file_copy"
            ));
            match answer.sqlstate() {
                None => return,
                Some("55006") => std::thread::sleep(Duration::from_millis(25)),
                Some(_) => panic!("copy {template}: {:?}", answer.error()),
            }
        }
        panic!("database {template} is always in use");
    }

    /// Where the data lives.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Gives it TLS, with a self-signed certificate for `name` (as OpenSSL's subjectAltName has it), and restarts it; the file of what to trust.
    pub fn certify(&mut self, name: &str) -> PathBuf {
        let data = self.data();
        let (key, certificate) = (data.join("server.key"), data.join("server.crt"));
        let out = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
            ])
            .args(["-addext", &format!("subjectAltName={name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("run openssl");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "openssl: {said}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("guard the key");
        own(&key);
        own(&certificate);
        self.connect("postgres").must("ALTER SYSTEM SET ssl = on");
        self.stop();
        self.restart();
        let root = workplace().join(format!("root-{}.crt", self.port));
        fs::copy(&certificate, &root).expect("copy the certificate");
        root
    }

    /// Stops the server at once, as a crash of the machine's network would look to others.
    pub fn stop(&mut self) {
        signal(self.child.id(), "QUIT");
        let _ = self.child.wait();
    }

    /// Starts a stopped server again, on the same port.
    pub fn restart(&mut self) {
        let out = fs::OpenOptions::new()
            .append(true)
            .open(&self.log)
            .expect("open the log");
        forget_pid(self.child.id());
        self.child = as_unprivileged(&tool_of(self.programs.as_deref(), "postgres"))
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the log twice"))
            .stderr(out)
            .process_group(0)
            .spawn()
            .expect("start postgres");
        note_pid(self.child.id());
        assert!(self.wait_until_ready(), "no restart:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep_logs();
        }
        if self.child.try_wait().ok().flatten().is_none() {
            signal(self.child.id(), "QUIT");
            let _ = self.child.wait();
        }
        forget_pid(self.child.id());
        let _ = fs::remove_dir_all(self.data());
    }
}

/// The folder of this test process: sockets, data, logs. World-readable, so that every role can come near.
pub fn workplace() -> &'static Path {
    static PLACE: OnceLock<(PathBuf, Mutex<Child>)> = OnceLock::new();
    &PLACE
        .get_or_init(|| {
            let place = std::env::temp_dir().join(format!("previewpg-tests-{}", std::process::id()));
            let _ = fs::remove_dir_all(&place);
            fs::create_dir_all(place.join("pids")).expect("make the tests' folder");
            own(&place);
            let kept = kept_logs();
            let script = format!(
                "cat >/dev/null; cd '{0}' || exit
                 for p in pids/*; do [ -e \"$p\" ] && kill -QUIT \"${{p#pids/}}\" 2>/dev/null; done; sleep 1
                 for p in pids/*; do [ -e \"$p\" ] && kill -KILL \"${{p#pids/}}\" 2>/dev/null; done
                 if [ -e keep ]; then mkdir -p '{1}' && cp ./*.log '{1}'; fi
                 umount -l '{0}'/mnt-* 2>/dev/null; cd / && rm -rf '{0}'",
                place.display(),
                kept.display()
            );
            let watchdog = Command::new("sh")
                .arg("-c")
                .arg(script)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .expect("start the watchdog");
            // Kept for its standard input, which closes when this process ends.
            (place, Mutex::new(watchdog))
        })
        .0
}

/// Keeps all logs of this test process (in `target/test-logs`) when it ends.
pub fn keep_logs() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let _ = fs::write(workplace().join("keep"), "");
    if !TOLD.swap(true, Ordering::Relaxed) {
        let _ = writeln!(
            std::io::stderr(),
            "logs will be kept in {}",
            kept_logs().display()
        );
    }
}

/// Where the logs of this process are kept, if they are.
pub fn kept_logs() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    target_folder()
        .join("test-logs")
        .join(exe.file_stem().unwrap_or_default())
}

/// Cargo's target folder, whether a test (`target/debug/deps/NAME`) or a program (`target/release/NAME`) runs.
pub fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors()
        .find(|path| path.ends_with("target"))
        .or_else(|| exe.ancestors().nth(3))
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Writes down a process for the watchdog.
pub fn note_pid(pid: u32) {
    let _ = fs::write(workplace().join("pids").join(pid.to_string()), "");
}

/// Crosses it out again, because it has ended.
pub fn forget_pid(pid: u32) {
    let _ = fs::remove_file(workplace().join("pids").join(pid.to_string()));
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}

/// Waits until a process of ours has ended by itself; `None`: it goes on.
pub fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if Instant::now() > deadline => return None,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
        .port()
}

/// The environment variable with the folder of the programs of fresh's (and the full copies') version, if it isn't production's.
pub const FRESH_BIN: &str = "PREVIEWPG_TEST_FRESH_BIN";

/// What [`FRESH_BIN`] says.
pub fn fresh_programs() -> Option<PathBuf> {
    std::env::var_os(FRESH_BIN)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// A PostgreSQL program of that folder, or as [`tool`].
pub fn tool_of(programs: Option<&Path>, name: &str) -> PathBuf {
    programs.map_or_else(|| tool(name), |folder| folder.join(name))
}

/// A PostgreSQL program: from PATH, where `pg_config` says, or from Debian's folder of the highest version.
pub fn tool(name: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(out) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(String::from_utf8_lossy(&out.stdout).trim().into());
    }
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|e| {
                    let major = e.file_name().to_str()?.parse().ok()?;
                    Some((major, e.path().join("bin")))
                })
                .collect()
        })
        .unwrap_or_default();
    debian.sort();
    folders.extend(debian.into_iter().rev().map(|(_, folder)| folder));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} isn't installed: apt-get install postgresql"))
}

/// User and group that servers run as: ours, or an unprivileged one when we're root.
pub fn unprivileged() -> (u32, u32) {
    static IDS: OnceLock<(u32, u32)> = OnceLock::new();
    *IDS.get_or_init(|| {
        let me = fs::metadata("/proc/self").expect("/proc is mounted");
        if me.uid() != 0 {
            return (me.uid(), me.gid());
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| {
                let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
                let mut parts = line.split(':').skip(2);
                Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
            })
            .expect("a user postgres or nobody")
    })
}

/// A command that runs as the servers' user.
pub fn as_unprivileged(program: &Path) -> Command {
    let (uid, gid) = unprivileged();
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
        command.uid(uid).gid(gid);
    }
    // Another user's HOME would be searched for client certificates by libpq inside of the server.
    command.current_dir("/").env("HOME", workplace());
    command
}

/// Gives a folder to the servers' user.
pub fn own(path: &Path) {
    let (uid, gid) = unprivileged();
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("give a folder away");
}

/// An initialised cluster to copy from: initdb once for each test process and version.
fn cluster(programs: Option<&Path>) -> PathBuf {
    static CLUSTERS: Mutex<Vec<(Option<PathBuf>, PathBuf)>> = Mutex::new(Vec::new());
    let mut clusters = CLUSTERS.lock().unwrap_or_else(|e| e.into_inner());
    if let Some((_, made)) = clusters.iter().find(|(of, _)| of.as_deref() == programs) {
        return made.clone();
    }
    let place = workplace();
    let password = place.join("password");
    fs::write(&password, PASSWORD).expect("write the password file");
    own(&password);
    let made = place.join(format!("cluster{}", clusters.len()));
    let out = as_unprivileged(&tool_of(programs, "initdb"))
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
        .args([
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
        ])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(&made)
        .output()
        .expect("run initdb");
    assert!(
        out.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    clusters.push((programs.map(Path::to_path_buf), made.clone()));
    made
}

fn copy_tree(from: &Path, to: &Path) {
    let status = as_unprivileged(Path::new("cp"))
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .expect("run cp");
    assert!(status.success(), "copying the cluster failed");
}
