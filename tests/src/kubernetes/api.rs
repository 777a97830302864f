//! The API server, blocking, objects as JSON: what a test says is what goes over the wire.

use std::path::Path;
use std::sync::OnceLock;

use hyper::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::{documents, text};

/// The field manager of what tests apply.
const MANAGER: &str = "tests";

/// The kinds that tests name: kind, group and version, plural, namespaced.
const KINDS: &[(&str, &str, &str, bool)] = &[
    (
        "PreviewDatabase",
        "previewpg.dev/v1alpha1",
        "previewdatabases",
        true,
    ),
    ("Pod", "v1", "pods", true),
    ("Service", "v1", "services", true),
    ("Secret", "v1", "secrets", true),
    ("ConfigMap", "v1", "configmaps", true),
    ("ServiceAccount", "v1", "serviceaccounts", true),
    (
        "PersistentVolumeClaim",
        "v1",
        "persistentvolumeclaims",
        true,
    ),
    ("PersistentVolume", "v1", "persistentvolumes", false),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
    ("ResourceQuota", "v1", "resourcequotas", true),
    ("Namespace", "v1", "namespaces", false),
    ("Node", "v1", "nodes", false),
    ("Event", "events.k8s.io/v1", "events", true),
    ("Deployment", "apps/v1", "deployments", true),
    ("ReplicaSet", "apps/v1", "replicasets", true),
    ("StatefulSet", "apps/v1", "statefulsets", true),
    ("Job", "batch/v1", "jobs", true),
    (
        "NetworkPolicy",
        "networking.k8s.io/v1",
        "networkpolicies",
        true,
    ),
    (
        "PodDisruptionBudget",
        "policy/v1",
        "poddisruptionbudgets",
        true,
    ),
    ("Lease", "coordination.k8s.io/v1", "leases", true),
    ("Role", "rbac.authorization.k8s.io/v1", "roles", true),
    (
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        true,
    ),
    (
        "ClusterRole",
        "rbac.authorization.k8s.io/v1",
        "clusterroles",
        false,
    ),
    (
        "ClusterRoleBinding",
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        false,
    ),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        false,
    ),
];

/// The API server's refusal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The machine's word for it.
    pub reason: String,
    /// The words for people.
    pub message: String,
}

/// A client of an API server.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
}

/// Runs a future on the tests' own runtime.
fn block<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime")
        })
        .block_on(future)
}

/// The path of a kind's objects, of one object if `name` isn't empty.
fn path(kind: &str, namespace: &str, name: &str) -> String {
    let (_, version, plural, namespaced) = KINDS
        .iter()
        .find(|(known, ..)| *known == kind)
        .unwrap_or_else(|| panic!("the tests don't know the kind {kind}"));
    let root = if version.contains('/') { "apis" } else { "api" };
    let mut path = format!("/{root}/{version}");
    if *namespaced && !namespace.is_empty() {
        path += &format!("/namespaces/{namespace}");
    }
    path += &format!("/{plural}");
    if !name.is_empty() {
        path += &format!("/{name}");
    }
    path
}

impl Api {
    /// A client with the identity that a kubeconfig names.
    pub fn connect(kubeconfig: &Path) -> Api {
        let client = block(async {
            let file = Kubeconfig::read_from(kubeconfig).expect("read the kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .expect("use the kubeconfig");
            kube::Client::try_from(config).expect("a client")
        });
        Api { client }
    }

    /// One request. A refusal is a value; an API server that doesn't answer is a failed test.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let text = self.request_text(method, path, content, body)?;
        Ok(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
    }

    fn request_text(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<String, Refusal> {
        let body = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("Content-Type", content)
            .header("Accept", "application/json")
            .body(body)
            .expect("a request");
        match block(self.client.request_text(request)) {
            Ok(text) => Ok(text),
            Err(kube::Error::Api(status)) => Err(Refusal {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            }),
            Err(other) => panic!("{method} {path}: {other}"),
        }
    }

    /// The text at a path that isn't an object: `/metrics`, logs.
    pub fn raw(&self, path: &str) -> Result<String, Refusal> {
        self.request_text(Method::GET, path, "", None)
    }

    /// An object, if it's there.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        match self.request(Method::GET, &path(kind, namespace, name), "", None) {
            Ok(object) => Some(object),
            Err(refusal) if refusal.code == 404 => None,
            Err(refusal) => panic!("get {kind} {namespace}/{name}: {refusal}"),
        }
    }

    /// The objects that a label selector chooses (all, if it's empty), each with its kind.
    pub fn list(&self, kind: &str, namespace: &str, selector: &str) -> Vec<Value> {
        self.list_where(
            kind,
            namespace,
            &format!("labelSelector={}", escape(selector)),
        )
    }

    /// The objects that a query string chooses, each with its kind.
    pub fn list_where(&self, kind: &str, namespace: &str, query: &str) -> Vec<Value> {
        let path = format!("{}?{query}", path(kind, namespace, ""));
        let mut list = self
            .request(Method::GET, &path, "", None)
            .unwrap_or_else(|refusal| panic!("list {kind} in {namespace}: {refusal}"));
        let Value::Array(mut items) = list["items"].take() else {
            panic!("no list at {path}");
        };
        for item in &mut items {
            item["kind"] = json!(kind);
        }
        items
    }

    /// Applies every document of a text server-side and takes over what others own in it; answers with what the objects are now.
    pub fn try_apply(&self, namespace: &str, yaml: &str) -> Result<Vec<Value>, Refusal> {
        documents(yaml)
            .iter()
            .map(|document| self.apply_one(namespace, document))
            .collect()
    }

    /// The same; a refusal fails the test.
    pub fn apply(&self, namespace: &str, yaml: &str) -> Vec<Value> {
        self.try_apply(namespace, yaml)
            .unwrap_or_else(|refusal| panic!("apply in {namespace}: {refusal}\n{yaml}"))
    }

    /// Whether the API server would take an object, as a new one or in the place of what is there; nothing is stored. What somebody changes meanwhile is read again.
    pub fn dry_run(&self, namespace: &str, object: &Value) -> Result<Value, Refusal> {
        const CONFLICT: u16 = 409;
        const TRIES: usize = 20;
        let mut taken = self.try_dry_run(namespace, object);
        for _ in 1..TRIES {
            match &taken {
                Err(refusal) if refusal.code == CONFLICT => {
                    taken = self.try_dry_run(namespace, object);
                }
                _ => break,
            }
        }
        taken
    }

    fn try_dry_run(&self, namespace: &str, object: &Value) -> Result<Value, Refusal> {
        const QUERY: &str = "?dryRun=All&fieldValidation=Strict";
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let Some(old) = self.get(kind, namespace, name) else {
            let path = path(kind, namespace, "") + QUERY;
            return self.request(Method::POST, &path, "application/json", Some(object));
        };
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        let path = path(kind, namespace, name) + QUERY;
        self.request(Method::PUT, &path, "application/json", Some(&object))
    }

    fn apply_one(&self, namespace: &str, object: &Value) -> Result<Value, Refusal> {
        let path = format!(
            "{}?fieldManager={MANAGER}&force=true",
            path(
                text(object, "/kind"),
                namespace,
                text(object, "/metadata/name")
            )
        );
        self.request(
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            Some(object),
        )
    }

    /// Creates an object.
    pub fn create(&self, namespace: &str, object: &Value) -> Result<Value, Refusal> {
        let path = path(text(object, "/kind"), namespace, "");
        self.request(Method::POST, &path, "application/json", Some(object))
    }

    /// A merge patch.
    pub fn try_patch(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Refusal> {
        let path = path(kind, namespace, name);
        self.request(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            Some(patch),
        )
    }

    /// A merge patch that must go well.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Value {
        self.try_patch(kind, namespace, name, patch)
            .unwrap_or_else(|refusal| panic!("patch {kind} {namespace}/{name}: {refusal}"))
    }

    /// A merge patch of a subresource.
    pub fn patch_subresource(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Value,
    ) -> Result<Value, Refusal> {
        let path = format!("{}/{subresource}", path(kind, namespace, name));
        self.request(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            Some(patch),
        )
    }

    /// Deletes an object, in the background. One that isn't there is fine.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.delete_with(
            kind,
            namespace,
            name,
            &json!({"propagationPolicy": "Background"}),
        );
    }

    /// Deletes a pod without a grace period.
    pub fn delete_now(&self, kind: &str, namespace: &str, name: &str) {
        self.delete_with(kind, namespace, name, &json!({"gracePeriodSeconds": 0}));
    }

    fn delete_with(&self, kind: &str, namespace: &str, name: &str, options: &Value) {
        let path = path(kind, namespace, name);
        match self.request(Method::DELETE, &path, "application/json", Some(options)) {
            Ok(_) => {}
            Err(refusal) if refusal.code == 404 => {}
            Err(refusal) => panic!("delete {kind} {namespace}/{name}: {refusal}"),
        }
    }

    /// The last lines of a container's log.
    pub fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<String, Refusal> {
        self.raw(&format!(
            "{}/log?container={container}&tailLines=30&previous={previous}",
            path("Pod", namespace, pod)
        ))
    }

    /// A token of a service account, for an hour.
    pub fn token(&self, namespace: &str, account: &str) -> String {
        let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 3600}});
        let path = format!("{}/token", path("ServiceAccount", namespace, account));
        let answer = self
            .request(Method::POST, &path, "application/json", Some(&request))
            .unwrap_or_else(|refusal| panic!("a token of {namespace}/{account}: {refusal}"));
        text(&answer, "/status/token").to_owned()
    }
}

/// Escapes a value for a query string.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
