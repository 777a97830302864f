//! A test's own namespace, which enforces Pod Security's `restricted`: apply, wait with a deadline, tell what was seen.
//!
//! When the test fails, what it could have waited for is printed: conditions, events, pods with the ends of their logs, and the
//! end of the operator's log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::manifest;
use super::{Cluster, PATIENCE, Refusal, fill, text};

/// How often a condition that is waited for is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// A namespace; deleted when dropped.
pub struct Namespace {
    /// The cluster that it's in.
    pub cluster: &'static Cluster,
    /// Its name, with a number that no other test has.
    pub name: String,
}

impl Namespace {
    /// Makes one.
    pub fn new(cluster: &'static Cluster, name: &str) -> Namespace {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            }},
        });
        cluster
            .api
            .create("", &object)
            .unwrap_or_else(|e| panic!("make the namespace {name}: {e}"));
        let namespace = Namespace { cluster, name };
        // Before it's there no pod is admitted.
        namespace.until("the default service account", || {
            namespace.get("ServiceAccount", "default").is_some()
        });
        namespace
    }

    /// Applies a text of manifests.
    pub fn apply(&self, yaml: &str) -> Vec<Value> {
        self.cluster.api.apply(&self.name, yaml)
    }

    /// Applies a text of manifests that may be refused.
    pub fn try_apply(&self, yaml: &str) -> Result<Vec<Value>, Refusal> {
        self.cluster.api.try_apply(&self.name, yaml)
    }

    /// Applies a file of `tests/cluster/manifests`.
    pub fn apply_file(&self, name: &str, values: &[(&str, &str)]) -> Vec<Value> {
        self.apply(&fill(&manifest(name), values))
    }

    /// A Secret of text values.
    pub fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = values.iter().copied().collect();
        self.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string());
    }

    /// The values of a Secret.
    pub fn secret_values(&self, name: &str) -> BTreeMap<String, String> {
        let secret = self.must_get("Secret", name);
        let data = secret["data"].as_object().cloned().unwrap_or_default();
        data.into_iter()
            .map(|(key, value)| (key, decode(value.as_str().unwrap_or_default())))
            .collect()
    }

    /// An object, if it's there.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.api.get(kind, &self.name, name)
    }

    /// An object that must be there.
    pub fn must_get(&self, kind: &str, name: &str) -> Value {
        self.get(kind, name)
            .unwrap_or_else(|| panic!("there's no {kind} {}/{name}", self.name))
    }

    /// The objects that a label selector chooses.
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        self.cluster.api.list(kind, &self.name, selector)
    }

    /// A merge patch that must go well.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) -> Value {
        self.cluster.api.patch(kind, &self.name, name, patch)
    }

    /// Deletes an object, in the background.
    pub fn delete(&self, kind: &str, name: &str) {
        self.cluster.api.delete(kind, &self.name, name);
    }

    /// Waits until `probe` has a value.
    pub fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> T {
        let started = Instant::now();
        loop {
            if let Some(value) = probe() {
                return value;
            }
            assert!(
                started.elapsed() < patience,
                "waited {patience:?} in vain in namespace {} for {what}",
                self.name
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut probe: impl FnMut() -> bool) {
        self.wait(what, PATIENCE, || probe().then_some(()));
    }

    /// Waits until an object is gone.
    pub fn gone(&self, kind: &str, name: &str) {
        self.until(&format!("the end of {kind} {name}"), || {
            self.get(kind, name).is_none()
        });
    }

    /// Waits until a PreviewDatabase is Ready as its present generation says; the object as it is then.
    pub fn ready(&self, name: &str) -> Value {
        self.condition(name, "Ready", "True", "Serving")
    }

    /// Waits until a condition is about the present generation and has this status and reason; the object as it is then.
    pub fn condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> Value {
        self.wait(
            &format!("{name} to be {kind}={status} for {reason}"),
            PATIENCE,
            || {
                let object = self.get("PreviewDatabase", name)?;
                let generation = object
                    .pointer("/metadata/generation")
                    .and_then(Value::as_i64);
                let condition = condition(&object, kind)?;
                let holds = text(condition, "/status") == status
                    && text(condition, "/reason") == reason
                    && condition["observedGeneration"].as_i64() == generation;
                holds.then(|| object.clone())
            },
        )
    }

    /// The events about a PreviewDatabase: type, reason, note.
    pub fn events(&self, name: &str) -> Vec<(String, String, String)> {
        self.cluster
            .api
            .list("Event", &self.name, "")
            .iter()
            .filter(|event| {
                text(event, "/regarding/kind") == "PreviewDatabase"
                    && text(event, "/regarding/name") == name
            })
            .map(|event| {
                let of = |pointer| text(event, pointer).to_owned();
                (of("/type"), of("/reason"), of("/note"))
            })
            .collect()
    }

    /// Waits for an event of this reason; its note.
    pub fn event(&self, name: &str, reason: &str) -> String {
        self.wait(
            &format!("the event {reason} about {name}"),
            PATIENCE,
            || {
                self.events(name)
                    .into_iter()
                    .find(|(_, r, _)| r == reason)
                    .map(|(_, _, note)| note)
            },
        )
    }

    /// The pods that a selector chooses and that aren't being deleted.
    pub fn pods(&self, selector: &str) -> Vec<Value> {
        let mut pods = self.list("Pod", selector);
        pods.retain(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        pods
    }

    /// Waits for `count` Ready pods and no other (those that end don't count); their names.
    pub fn ready_pods(&self, selector: &str, count: usize) -> Vec<String> {
        self.wait(
            &format!("{count} ready pods of {selector}"),
            PATIENCE,
            || {
                let pods = self.pods(selector);
                let ready: Vec<_> = pods
                    .iter()
                    .filter(|pod| is_ready(pod))
                    .map(name_of)
                    .collect();
                (ready.len() == count && pods.len() == count).then_some(ready)
            },
        )
    }

    /// `kubectl exec`, to be run.
    pub fn exec(&self, pod: &str, words: &[&str]) -> Command {
        let mut command = self.cluster.command("kubectl");
        command
            .args(["--namespace", &self.name, "exec", "--stdin", pod, "--"])
            .args(words);
        command
    }

    /// What there is to see in the namespace, for a test that has failed.
    pub fn explain(&self) -> String {
        let mut out = format!("\n==== namespace {}\n", self.name);
        for object in self.list("PreviewDatabase", "") {
            let _ = writeln!(
                out,
                "PreviewDatabase {}: {}",
                name_of(&object),
                object["spec"]
            );
            for condition in object
                .pointer("/status/conditions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let of = |pointer| text(condition, pointer);
                let _ = writeln!(
                    out,
                    "  {}={} {}: {}",
                    of("/type"),
                    of("/status"),
                    of("/reason"),
                    of("/message")
                );
            }
            let mut rest = object["status"].clone();
            if let Some(fields) = rest.as_object_mut() {
                fields.remove("conditions");
            }
            let _ = writeln!(
                out,
                "  finalizers {}, status {rest}",
                object["metadata"]["finalizers"]
            );
        }
        let mut events = self.list("Event", "");
        events.sort_by_key(|event| text(event, "/metadata/creationTimestamp").to_owned());
        for event in events {
            let of = |pointer| text(&event, pointer);
            let _ = writeln!(
                out,
                "event {} {} {}/{} {}: {}",
                of("/metadata/creationTimestamp"),
                of("/type"),
                of("/regarding/kind"),
                of("/regarding/name"),
                of("/reason"),
                of("/note")
            );
        }
        for pod in self.list("Pod", "") {
            out += &self.explain_pod(&pod);
        }
        out + &self.cluster.operator_log(&self.name)
    }

    fn explain_pod(&self, pod: &Value) -> String {
        let name = name_of(pod);
        let mut out = format!("pod {name}: {}\n", text(pod, "/status/phase"));
        for kind in ["initContainerStatuses", "containerStatuses"] {
            for status in pod["status"][kind].as_array().into_iter().flatten() {
                let container = text(status, "/name");
                let restarts = status["restartCount"].as_i64().unwrap_or_default();
                let _ = writeln!(
                    out,
                    "  container {container}: ready {}, {restarts} restarts, {}, before {}",
                    status["ready"], status["state"], status["lastState"]
                );
                for previous in [true, false] {
                    if previous && restarts == 0 {
                        continue;
                    }
                    if let Ok(log) = self.cluster.api.log(&self.name, &name, container, previous) {
                        for line in log.lines() {
                            let _ = writeln!(out, "    {line}");
                        }
                    }
                }
            }
        }
        out
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.explain());
            self.cluster.keep_logs();
        }
        self.cluster.api.delete("Namespace", "", &self.name);
    }
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// An object's name.
pub fn name_of(object: &Value) -> String {
    text(object, "/metadata/name").to_owned()
}

/// Whether a pod's condition Ready is true.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| text(condition, "/status") == "True")
}

/// Base64, as Secrets have it.
pub fn decode(encoded: &str) -> String {
    let mut bytes = Vec::new();
    let mut bits = 0u32;
    let mut count = 0;
    for byte in encoded.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
