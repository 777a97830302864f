//! `previewpg-operator` as a process of this machine: as the chart runs it, with the chart's service account and nothing more.
//!
//! What it's started with is taken from the Deployment that the chart renders, so that a setting which the chart forgets is missing
//! here, too.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{chart, folder};
use super::{Cluster, documents, text};
use crate::preview::binary;
use crate::servers::{forget_pid, free_port, note_pid, signal, tool};

/// A release whose operator runs on this machine; its objects in the cluster are the chart's.
pub struct Release {
    cluster: &'static Cluster,
    /// The release's namespace.
    pub namespace: String,
    /// The environment of the operator's container.
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    account: String,
}

/// A running operator; killed when dropped.
pub struct Operator {
    child: Child,
    log: PathBuf,
    admin: String,
    credential: String,
}

impl Release {
    /// Applies what the chart renders with `settings` (as `--set` has them), without the Deployment: that is what we are. The release has
    /// the name of its namespace, which must contain `previewpg`.
    pub fn new(cluster: &'static Cluster, namespace: &str, settings: &[&str]) -> Release {
        let rendered = render(cluster, namespace, settings)
            .unwrap_or_else(|error| panic!("helm template: {error}"));
        cluster.api.apply(
            "",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
                .to_string(),
        );
        let mut deployment = None;
        for object in documents(&rendered) {
            let hook = object
                .pointer("/metadata/annotations/helm.sh~1hook")
                .is_some();
            if text(&object, "/kind") == "Deployment" {
                deployment = Some(object);
            } else if !hook {
                let home = text(&object, "/metadata/namespace").to_owned();
                cluster.api.apply(&home, &object.to_string());
            }
        }
        let deployment = deployment.expect("the chart renders a Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let environment = container["env"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|variable| variable.get("value").is_some())
            .map(|variable| {
                (
                    text(variable, "/name").to_owned(),
                    text(variable, "/value").to_owned(),
                )
            })
            .collect();
        let arguments = container["args"].as_array().into_iter().flatten();
        Release {
            cluster,
            namespace: namespace.to_owned(),
            environment,
            arguments: arguments
                .filter_map(Value::as_str)
                .map(ToOwned::to_owned)
                .collect(),
            account: text(pod, "/serviceAccountName").to_owned(),
        }
    }

    /// The name under which the API server knows the operator.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }

    /// The name of the Lease.
    pub fn lease(&self) -> String {
        self.arguments
            .iter()
            .find_map(|argument| argument.strip_prefix("--lease="))
            .unwrap_or("previewpg-operator")
            .to_owned()
    }

    /// Starts an operator; `more` comes on top of the chart's environment.
    pub fn start(&self, more: &[(&str, &str)]) -> Operator {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = self
            .cluster
            .log_file(&format!("operator-{}-{number}.log", self.namespace));
        let admin = format!("127.0.0.1:{}", free_port());
        let programs = tool("pg_dump");
        let (kubeconfig, credential) = self.cluster.kubeconfig_of(&self.namespace, &self.account);
        let child = Command::new(binary().with_file_name("previewpg-operator"))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("POD_NAMESPACE", &self.namespace)
            .env("POD_NAME", format!("operator-{number}"))
            .env("KUBECONFIG", kubeconfig)
            .env("PREVIEWPG_ADMIN", &admin)
            .env(
                "PREVIEWPG_POSTGRES_BIN",
                programs.parent().expect("a folder of programs"),
            )
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("make the operator's log"))
            .spawn()
            .expect("start previewpg-operator");
        note_pid(child.id());
        Operator {
            child,
            log,
            admin,
            credential,
        }
    }
}

impl Operator {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What tells this process' requests from those of others with the same account, in the API server's audit log.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the operator") {
                forget_pid(self.child.id());
                return status;
            }
            assert!(
                started.elapsed() < patience,
                "the operator goes on after {patience:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("ask for the operator")
            .is_none()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The answer of its admin port: status code and text.
    pub fn admin(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.admin).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Its resident memory, in KiB, without what it shares with other processes by files: what a container is charged for.
    pub fn memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        forget_pid(self.child.id());
    }
}

/// What the chart renders for a release in the namespace of its own name, with the tests' values.
pub fn render(cluster: &Cluster, namespace: &str, settings: &[&str]) -> Result<String, String> {
    let values = folder().join("values.yaml").display().to_string();
    let chart = chart();
    let mut words = vec![
        "template",
        namespace,
        &chart,
        "--namespace",
        namespace,
        "--values",
        &values,
    ];
    for setting in settings {
        words.extend(["--set", setting]);
    }
    cluster.helm(&words)
}
