//! `previewpg serve` processes, several over one pair of databases: what a Deployment runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::client::{Address, Session};
use crate::preview::{START, binary};
use crate::servers::{PASSWORD, ended_within, forget_pid, keep_logs, note_pid, signal, workplace};

/// The folder of one configuration and its secrets.
pub struct Configuration {
    folder: PathBuf,
}

impl Configuration {
    /// Writes a configuration named `name` for these databases; `more` stands at its end.
    pub fn write(name: &str, production: &Address, fresh: &Address, more: &str) -> Configuration {
        let folder = workplace().join(format!("configuration-{name}"));
        std::fs::create_dir_all(&folder).expect("make the configuration's folder");
        let configuration = Configuration { folder };
        configuration.put("production", &production.url());
        configuration.put("fresh", &fresh.url());
        configuration.put("client", PASSWORD);
        configuration.set(more);
        configuration
    }

    /// Writes the configuration again, with other lines at its end.
    pub fn set(&self, more: &str) {
        let at = self.folder.display();
        self.put(
            "previewpg.yaml",
            &format!(
                "production: {{urlFile: {at}/production}}\nfresh: {{urlFile: {at}/fresh}}\nclient: {{passwordFile: {at}/client}}\n\
                 listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{more}"
            ),
        );
    }

    /// Writes a file beside it, or one of its secrets: `production`, `fresh`, `client`.
    pub fn put(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, format!("{content}\n")).expect("write a file of the configuration");
        path
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("previewpg.yaml")
    }

    /// Runs `previewpg provision`.
    pub fn provision(&self) {
        let out = Command::new(binary())
            .args(["provision", "--sequence-gap", "0", "--config"])
            .arg(self.file())
            .output()
            .expect("run previewpg");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "previewpg provision failed: {said}");
    }

    /// Starts a replica.
    pub fn serve(&self) -> Serve {
        Serve::start(&self.file())
    }
}

/// A process that serves; ended when dropped.
pub struct Serve {
    child: Child,
    log: PathBuf,
    /// Where clients connect.
    pub address: Address,
    /// Base URL of the admin port.
    pub admin: String,
}

impl Serve {
    /// Starts `previewpg serve` and waits until it serves.
    pub fn start(file: &Path) -> Serve {
        Serve::start_with(file, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(file: &Path, environment: &[(&str, &str)]) -> Serve {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = workplace().join(format!("serve-{number}.log"));
        let mut child = Command::new(binary())
            .args(["serve", "--config"])
            .arg(file)
            .env("RUST_BACKTRACE", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("make the log"))
            .spawn()
            .expect("start previewpg serve");
        note_pid(child.id());
        let stdout = child.stdout.take().expect("its standard output");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut serve = Serve {
            child,
            log,
            address: Address::parse("postgres://nobody@127.0.0.1:1/nothing"),
            admin: String::new(),
        };
        let mut address = Address::parse(&serve.line(&lines));
        PASSWORD.clone_into(&mut address.password);
        serve.address = address;
        let admin = serve.line(&lines);
        let admin = admin.strip_prefix("admin ").unwrap_or(&admin).trim();
        serve.admin = admin.to_owned();
        serve
    }

    fn line(&self, lines: &Receiver<String>) -> String {
        lines
            .recv_timeout(START)
            .unwrap_or_else(|_| panic!("previewpg serve doesn't serve: {}", self.stderr()))
    }

    /// A client's session.
    pub fn connect(&self) -> Session {
        Session::connect(&self.address)
            .unwrap_or_else(|e| panic!("log in at a replica: {e:?}\n{}", self.stderr()))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// What it said on standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        ended_within(&mut self.child, patience)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep_logs();
        }
        if self.child.try_wait().ok().flatten().is_none() {
            self.signal("CONT");
            self.signal("INT");
            self.signal("INT");
            if self.wait(Duration::from_secs(8)).is_none() {
                self.signal("KILL");
            }
        }
        let _ = self.child.wait();
        forget_pid(self.child.id());
    }
}
