//! A client's session through `psql`: TLS, authentication and all that a session of libpq does, from this machine or in a pod.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Namespace, text};

/// How long a statement may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Says that a statement has ended, with its SQLSTATE.
const MARK: &str = "== done ";

/// What a statement that failed said.
#[derive(Debug, Clone)]
pub struct Failure {
    /// SQLSTATE; `lost` if the session is over.
    pub sqlstate: String,
    /// All that psql printed.
    pub said: String,
}

/// Errors come in their order with everything else, and not some time after the answer that they belong to.
const TO_ONE_OUTPUT: &str = "exec \"$0\" \"$@\" 2>&1";

/// A session; ended when dropped.
pub struct Psql {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Psql {
    /// Runs `command`, which must be psql with its connection arguments or lead to it, and waits for the login.
    pub fn start(mut command: Command) -> Result<Psql, Failure> {
        let mut child = command
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--set", "VERBOSITY=verbose", "--set", "ON_ERROR_STOP=0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start psql");
        let stdin = child.stdin.take().expect("piped");
        let (sender, lines) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        // The end of both outputs is the end of the session.
        drop(sender);
        let mut session = Psql {
            child,
            stdin,
            lines,
        };
        session.query("SELECT 1")?;
        Ok(session)
    }

    /// A session from this machine with a preview of `namespace`, through its Service, with what the access Secret says: address
    /// (the Service's own, because this machine doesn't know the cluster's names), certificate's authority and password.
    pub fn connect(namespace: &Namespace, preview: &str) -> Result<Psql, Failure> {
        let service = namespace.must_get("Service", preview);
        Psql::connect_at(namespace, preview, text(&service, "/spec/clusterIP"))
    }

    /// The same at the address of one pod.
    pub fn connect_at(
        namespace: &Namespace,
        preview: &str,
        address: &str,
    ) -> Result<Psql, Failure> {
        let access = namespace.secret_values(&format!("{preview}-app"));
        Psql::connect_with(namespace, preview, address, &access["password"])
    }

    /// The same with another password.
    pub fn connect_with(
        namespace: &Namespace,
        preview: &str,
        address: &str,
        password: &str,
    ) -> Result<Psql, Failure> {
        let access = namespace.secret_values(&format!("{preview}-app"));
        let authority =
            crate::servers::workplace().join(format!("{}-{preview}.crt", namespace.name));
        std::fs::write(&authority, &access["ca.crt"]).expect("write the authority's certificate");
        let mut command = Command::new("sh");
        command
            .args(["-c", TO_ONE_OUTPUT])
            .arg(crate::servers::tool("psql"))
            .arg(format!(
                "host={} hostaddr={address} port={} dbname={} user={} sslmode=verify-full sslrootcert={} connect_timeout=10",
                access["host"], access["port"], access["dbname"], access["username"], authority.display()
            ))
            .env("PGPASSWORD", password);
        Psql::start(command)
    }

    /// A session from inside of a pod that has psql and, in its environment, `DATABASE_URL`.
    pub fn in_pod(namespace: &Namespace, pod: &str) -> Result<Psql, Failure> {
        // The shell keeps the other output open: where a container closes it, whoever carries them both ends.
        let script = "psql \"$DATABASE_URL\" \"$@\" 2>&1; exit $?";
        Psql::start(namespace.exec(pod, &["sh", "-c", script, "psql"]))
    }

    /// Runs a statement; its rows, columns separated by `|`.
    pub fn query(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        self.send(sql);
        self.answer()
    }

    /// Runs a statement that must go well.
    pub fn must(&mut self, sql: &str) -> Vec<String> {
        self.query(sql)
            .unwrap_or_else(|failure| panic!("{sql}: {failure:?}"))
    }

    /// The one value of a query.
    pub fn value(&mut self, sql: &str) -> String {
        self.must(sql)
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no row from: {sql}"))
    }

    /// Sends a statement without waiting for it.
    pub fn send(&mut self, sql: &str) {
        // A session that has ended shows at its answer.
        let sql = sql.trim().trim_end_matches(';');
        let _ = writeln!(self.stdin, "{sql};\n\\echo {MARK}:SQLSTATE");
        let _ = self.stdin.flush();
    }

    /// Waits for what was sent.
    pub fn answer(&mut self) -> Result<Vec<String>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let sqlstate = match self.lines.recv_timeout(left) {
                Ok(line) => match line.strip_prefix(MARK) {
                    Some(sqlstate) => sqlstate.to_owned(),
                    None => {
                        said.push(line);
                        continue;
                    }
                },
                Err(RecvTimeoutError::Disconnected) => "lost".to_owned(),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no answer in {PATIENCE:?}; so far: {said:#?}")
                }
            };
            return if sqlstate == "00000" {
                // A proxy that ends says farewell after its last answer, and psql may print that first.
                said.retain(|line| !line.starts_with("FATAL:  57P01:"));
                Ok(said)
            } else {
                // What went to the other output may come a moment later.
                std::thread::sleep(Duration::from_millis(20));
                said.extend(self.lines.try_iter());
                Err(Failure {
                    sqlstate,
                    said: said.join("\n"),
                })
            };
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
