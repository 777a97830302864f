//! Starts and ends the cluster of `tests/cluster/cluster.py`, one for each test binary; loads images, runs helm and kubectl.
//!
//! It needs root and Linux namespaces. Without them the tests that want it are left out with a notice on standard error, unless
//! `CI` is set: then they fail. To keep a cluster between runs while working on something, start one by `make cluster` and name its
//! folder in `PREVIEWPG_TEST_CLUSTER` (with a node) or `PREVIEWPG_TEST_CONTROL_PLANE`; it isn't ended then.
//!
//! Nothing outlives the tests: a watchdog, whose standard input is a pipe of ours, ends the cluster when the test process is gone.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

use super::api::Api;
use crate::preview::binary;
use crate::servers::kept_logs;

/// How much of a cluster is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// etcd, the API server and the controller manager: objects, but no pods.
    ControlPlane,
    /// A node as well: scheduler, kubelet, containerd, Services, names, NetworkPolicies, volumes.
    Node,
}

/// A running cluster.
pub struct Cluster {
    /// The API server, as its administrator.
    pub api: Api,
    /// The first two numbers of its addresses: this machine is `.0.1` to its pods.
    pub prefix: String,
    state: PathBuf,
    program: PathBuf,
    /// Kept for its standard input, which closes when this process ends.
    _watchdog: Option<Mutex<Child>>,
}

impl Cluster {
    /// The cluster that all tests of this binary share, started by the first that asks. `None`: it can't be had here; the test is left out.
    pub fn shared(tier: Tier) -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                if !possible() {
                    return None;
                }
                let variable = match tier {
                    Tier::ControlPlane => "PREVIEWPG_TEST_CONTROL_PLANE",
                    Tier::Node => "PREVIEWPG_TEST_CLUSTER",
                };
                Some(match std::env::var_os(variable) {
                    Some(state) => Cluster::attach(Path::new(&state)),
                    None => Cluster::start(tier),
                })
            })
            .as_ref()
    }

    fn attach(state: &Path) -> Cluster {
        let cluster = Cluster::open(state, None);
        cluster.load_images();
        cluster
    }

    /// A cluster of its own, ended when it's dropped or this process ends.
    pub fn start(tier: Tier) -> Cluster {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let state =
            std::env::temp_dir().join(format!("previewpg-cluster-{}-{number}", std::process::id()));
        let watchdog = watch(&state);
        let mut up = script("cluster.py");
        up.arg("up").arg(&state).arg("--program").arg(program());
        if tier == Tier::ControlPlane {
            up.arg("--control-plane");
        } else {
            for image in images() {
                up.arg("--image").arg(image);
            }
        }
        must(&mut up, "start the cluster");
        Cluster::open(&state, Some(watchdog))
    }

    fn open(state: &Path, watchdog: Option<Child>) -> Cluster {
        let settings = fs::read_to_string(state.join("cluster.json"))
            .unwrap_or_else(|e| panic!("no cluster in {}: {e}", state.display()));
        let settings: Value = serde_json::from_str(&settings).expect("cluster.json");
        Cluster {
            api: Api::connect(&state.join("admin.conf")),
            prefix: super::text(&settings, "/prefix").to_owned(),
            state: state.to_owned(),
            program: PathBuf::from(super::text(&settings, "/program")),
            _watchdog: watchdog.map(Mutex::new),
        }
    }

    /// Imports the images of what is built now.
    fn load_images(&self) {
        must(
            script("cluster.py")
                .arg("load")
                .arg(&self.state)
                .args(images()),
            "load the images",
        );
    }

    /// This machine's address as pods see it.
    pub fn host(&self) -> String {
        format!("{}.0.1", self.prefix)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.conf")
    }

    /// A kubeconfig of a service account with a token that no other has, and the token's name in the audit log.
    pub fn kubeconfig_of(&self, namespace: &str, account: &str) -> (PathBuf, String) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let admin = fs::read_to_string(self.kubeconfig()).expect("the administrator's kubeconfig");
        let mut file: Value = serde_json::from_str(&admin).expect("JSON");
        let token = self.api.token(namespace, account);
        let claims = token
            .split('.')
            .nth(1)
            .expect("a JSON Web Token")
            .replace('-', "+")
            .replace('_', "/");
        let claims: Value =
            serde_json::from_str(&super::namespace::decode(&claims)).expect("claims");
        let name = format!("JTI={}", super::text(&claims, "/jti"));
        file["users"][0]["user"] = serde_json::json!({"token": token});
        file["contexts"][0]["context"]["namespace"] = serde_json::json!(namespace);
        let path = self
            .state
            .join(format!("{namespace}-{account}-{number}.conf"));
        fs::write(&path, file.to_string()).expect("write the kubeconfig");
        (path, name)
    }

    /// A command with the administrator's rights, `kubectl` or `helm` or another of the cluster's programs.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(name)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HELM_CACHE_HOME", self.state.join("helm"))
            .env("HELM_CONFIG_HOME", self.state.join("helm"))
            .env("HELM_DATA_HOME", self.state.join("helm"))
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl; its standard output. A failure fails the test.
    pub fn kubectl(&self, words: &[&str]) -> String {
        must(
            self.command("kubectl").args(words),
            &format!("kubectl {}", words.join(" ")),
        )
    }

    /// Runs helm.
    pub fn helm(&self, words: &[&str]) -> Result<String, String> {
        result(self.command("helm").args(words))
    }

    /// Sends SIGKILL to the first process of a pod's container, as the kernel does when memory is short.
    pub fn kill(&self, namespace: &str, pod: &str, container: &str) {
        let object = self
            .api
            .get("Pod", namespace, pod)
            .unwrap_or_else(|| panic!("no pod {pod}"));
        let statuses = object
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array);
        let id = statuses
            .into_iter()
            .flatten()
            .find(|status| super::text(status, "/name") == container)
            .map(|status| {
                super::text(status, "/containerID")
                    .trim_start_matches("containerd://")
                    .to_owned()
            })
            .unwrap_or_else(|| panic!("no container {container} in {object:#}"));
        must(
            script("cluster.py").arg("run").arg(&self.state).args([
                "ctr",
                "--namespace",
                "k8s.io",
                "tasks",
                "kill",
                "--signal",
                "SIGKILL",
                &id,
            ]),
            "kill a container",
        );
    }

    /// What service accounts asked the API server and what it answered, since the cluster began; see cluster.py's audit policy.
    pub fn audit(&self) -> Vec<Call> {
        fs::read_to_string(self.state.join("logs/audit.log"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .map(|line: Value| Call::read(&line))
            .collect()
    }

    /// The end of what the operators' logs say about a namespace.
    pub fn operator_log(&self, namespace: &str) -> String {
        let mut out = String::new();
        for (name, log) in self.operator_logs() {
            let lines: Vec<_> = log
                .lines()
                .filter(|line| line.contains(namespace))
                .collect();
            out += &format!("operator {name}:\n");
            for line in lines.iter().skip(lines.len().saturating_sub(60)) {
                out += &format!("  {line}\n");
            }
        }
        out
    }

    /// All that operators have logged.
    pub fn whole_operator_log(&self) -> String {
        self.operator_logs()
            .into_iter()
            .map(|(_, log)| log)
            .collect()
    }

    /// The logs of the chart's pods, and of operators on this machine.
    fn operator_logs(&self) -> Vec<(String, String)> {
        let mut logs = Vec::new();
        for pod in self.api.list(
            "Pod",
            "",
            "app.kubernetes.io/name=previewpg,app.kubernetes.io/component=operator",
        ) {
            let (home, name) = (
                super::text(&pod, "/metadata/namespace"),
                super::text(&pod, "/metadata/name"),
            );
            for previous in [true, false] {
                let path = format!(
                    "/api/v1/namespaces/{home}/pods/{name}/log?tailLines=5000&previous={previous}"
                );
                if let Ok(log) = self.api.raw(&path) {
                    logs.push((name.to_owned(), log));
                }
            }
        }
        for entry in fs::read_dir(self.state.join("logs"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("operator-") {
                logs.push((name, fs::read_to_string(entry.path()).unwrap_or_default()));
            }
        }
        logs
    }

    /// A place for the log of a process of this machine; kept with the cluster's own logs.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.state.join("logs").join(name)
    }

    /// The logs of the cluster's own programs are kept in `target/test-logs` when it ends.
    pub fn keep_logs(&self) {
        let _ = fs::write(self.state.join("keep"), "");
    }
}

/// A request that a service account made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who.
    pub user: String,
    /// The token, as [`Cluster::kubeconfig_of`] names it.
    pub credential: String,
    /// `get`, `patch`, ..
    pub verb: String,
    /// The API group, empty for the core's.
    pub group: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The HTTP status of the answer.
    pub code: u64,
    /// Whether the rights allowed it; what it then met is another matter.
    pub allowed: bool,
    /// When it came, as text that sorts.
    pub at: String,
}

impl Call {
    fn read(line: &Value) -> Call {
        let of = |pointer| super::text(line, pointer).to_owned();
        let resource = of("/objectRef/resource");
        let subresource = of("/objectRef/subresource");
        Call {
            user: of("/user/username"),
            credential: of("/user/extra/authentication.kubernetes.io~1credential-id/0"),
            verb: of("/verb"),
            group: of("/objectRef/apiGroup"),
            resource: if subresource.is_empty() {
                resource
            } else {
                format!("{resource}/{subresource}")
            },
            namespace: of("/objectRef/namespace"),
            code: line
                .pointer("/responseStatus/code")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            allowed: of("/annotations/authorization.k8s.io~1decision") != "forbid",
            at: of("/requestReceivedTimestamp"),
        }
    }

    /// Whether it changes something, other than a Lease that is renewed.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && self.resource != "leases"
    }
}

/// A file of `tests/cluster`, to be run.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    command.stdin(Stdio::null());
    command
}

/// `tests/cluster`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster")
}

/// The chart.
pub fn chart() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/previewpg")
        .display()
        .to_string()
}

/// Installs the chart in `namespace`, which enforces Pod Security's `restricted`, and waits until the operator is ready.
pub fn install(cluster: &Cluster, namespace: &str, settings: &[&str]) {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    cluster.api.apply("", &object.to_string());
    let (chart, values) = (chart(), folder().join("values.yaml").display().to_string());
    let mut words = vec![
        "upgrade",
        "--install",
        "previewpg",
        &chart,
        "--namespace",
        namespace,
        "--values",
        &values,
    ];
    // A cluster that is used again has an operator of the last build.
    words.extend(["--wait", "--timeout", "120s", "--set-string"]);
    let now = format!("podAnnotations.started=at-{}", std::process::id());
    words.push(&now);
    for setting in settings {
        words.extend(["--set", setting]);
    }
    if let Err(error) = cluster.helm(&words) {
        cluster.keep_logs();
        let pods = cluster.kubectl(&["--namespace", namespace, "describe", "pods"]);
        panic!(
            "helm install: {error}\n{pods}\n{}",
            cluster.whole_operator_log()
        );
    }
}

/// A manifest's text, by its name without `.yaml`.
pub fn manifest(name: &str) -> String {
    let path = folder().join("manifests").join(format!("{name}.yaml"));
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Whether a cluster can be had here; if not, says so once.
fn possible() -> bool {
    let out = script("possible")
        .output()
        .expect("run tests/cluster/possible");
    if out.status.success() {
        return true;
    }
    let reason = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        std::env::var_os("CI").is_none(),
        "a cluster is required in CI: {reason}"
    );
    // Not by a macro: what is printed by a test that passes isn't shown.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {reason}");
    false
}

/// The binary that is every program of the cluster, built if need be.
fn program() -> String {
    let out = script("program")
        .stderr(Stdio::inherit())
        .output()
        .expect("run tests/cluster/program");
    assert!(out.status.success(), "the cluster's binary can't be built");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// The images of what is built now, in this test's own profile, as archives; made once for a test binary.
pub fn images() -> Vec<PathBuf> {
    static MADE: OnceLock<Vec<PathBuf>> = OnceLock::new();
    MADE.get_or_init(make_images).clone()
}

fn make_images() -> Vec<PathBuf> {
    let built = binary();
    let target = built.parent().expect("a folder of binaries");
    let profile = target
        .file_name()
        .expect("a profile")
        .to_string_lossy()
        .into_owned();
    let out = target.join("images");
    must(
        script("images").arg(&out).arg(profile).env(
            "CARGO_TARGET_DIR",
            target.parent().expect("a target folder"),
        ),
        "make the images",
    );
    ["pause.tar", "previewpg.tar", "postgres.tar"]
        .map(|name| out.join(name))
        .to_vec()
}

/// Ends the cluster in `state` when this process is gone, however it went.
fn watch(state: &Path) -> Child {
    let kept = kept_logs().join("cluster");
    let commands = format!(
        "cat >/dev/null
         if [ -e '{state}/keep' ]; then mkdir -p '{kept}' && cp '{state}'/logs/* '{kept}'; fi
         '{script}' down '{state}'; rm -rf '{state}'",
        state = state.display(),
        kept = kept.display(),
        script = folder().join("cluster.py").display(),
    );
    Command::new("sh")
        .arg("-c")
        .arg(commands)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("start the watchdog")
}

fn result(command: &mut Command) -> Result<String, String> {
    let out: Output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        Ok(said)
    } else {
        Err(format!("{said}{}", String::from_utf8_lossy(&out.stderr)))
    }
}

fn must(command: &mut Command, what: &str) -> String {
    result(command).unwrap_or_else(|error| panic!("{what}: {error}"))
}
