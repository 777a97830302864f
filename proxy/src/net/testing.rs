//! For tests: certificates of a CA of our own, and a PostgreSQL server that ends with its value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::target::Target;

/// A CA.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) root: PathBuf,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(
            DnType::CommonName,
            format!("CA {:x}", rand::random::<u64>()),
        );
        let root = folder.path().join("root.pem");
        fs::write(&root, parameters.self_signed(&key).unwrap().pem()).unwrap();
        open_to_all(folder.path());
        Self {
            issuer: Issuer::new(parameters, key),
            root,
            folder,
        }
    }

    /// A certificate for `name` and its key, in files.
    pub(crate) fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let certificate = self.folder.path().join(format!("{name}.pem"));
        let key_file = self.folder.path().join(format!("{name}.key"));
        self.certify_into(name, &certificate, &key_file);
        (certificate, key_file)
    }

    pub(crate) fn certify_into(&self, name: &str, certificate: &Path, key_file: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let signed = parameters.signed_by(&key, &self.issuer).unwrap();
        fs::write(certificate, signed.pem()).unwrap();
        fs::write(key_file, key.serialize_pem()).unwrap();
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A PostgreSQL server.
pub(crate) struct Server {
    folder: TempDir,
    child: Option<Child>,
    pub(crate) port: u16,
}

impl Server {
    /// Starts one with these lines in `pg_hba.conf`, in front of trust for the superuser `postgres` on the socket, and these settings.
    pub(crate) fn start(hba: &str, settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        open_to_all(folder.path());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(&data, Some(uid), Some(gid)).unwrap();
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let initialized = command("initdb")
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initialized.status.success(), "{initialized:?}");
        fs::write(
            data.join("pg_hba.conf"),
            format!("{hba}\nlocal all postgres trust\n"),
        )
        .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let listen = format!("listen_addresses = '127.0.0.1'\nport = {port}\nfsync = off\n");
        fs::write(
            data.join("postgresql.auto.conf"),
            format!(
                "{listen}unix_socket_directories = '{}'\n{settings}",
                folder.path().display()
            ),
        )
        .unwrap();
        let mut server = Self {
            folder,
            child: None,
            port,
        };
        server.run();
        server
    }

    /// A private key that the server may read.
    pub(crate) fn own(key: &Path) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = unprivileged() {
            chown(key, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(crate) fn run(&mut self) {
        let child = command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let limit = Instant::now() + Duration::from_secs(60);
        while self.try_sql("select 1").is_err() {
            assert!(Instant::now() < limit, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let stopped = command("pg_ctl")
                .args(["stop", "-m", "immediate", "-w", "-D"])
                .arg(self.folder.path().join("data"))
                .output()
                .unwrap();
            assert!(stopped.status.success(), "{stopped:?}");
            child.wait().unwrap();
        }
    }

    pub(crate) fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A target on the socket.
    pub(crate) fn local(&self, user: &str, more: &str) -> Target {
        let text = format!(
            "host={} port={} user={user} dbname=postgres {more}",
            self.socket_folder().display(),
            self.port
        );
        Target::parse(&text).unwrap()
    }

    /// A target on TCP.
    pub(crate) fn tcp(&self, host: &str, user: &str, more: &str) -> Target {
        let text = format!(
            "host={host} port={} user={user} dbname=postgres {more}",
            self.port
        );
        Target::parse(&text).unwrap()
    }

    /// Runs SQL by the superuser; the output, unaligned.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap()
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = Command::new(program("psql"))
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-c",
                sql,
                "-h",
            ])
            .arg(self.socket_folder())
            .args(["-p", &self.port.to_string()])
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)
                .unwrap()
                .trim_end()
                .to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of PostgreSQL's programs; the newest installed.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// A server's program, as somebody without privileges.
fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir("/");
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom PostgreSQL runs as, when the tests run as root, whom it refuses.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == wanted).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, fields.next()?.parse().ok()?))
        })
    };
    ids("postgres").or_else(|| ids("nobody"))
}
