//! Reconciliations against an API server of values: which calls are made, in which order, and which aren't.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{Lookup, Store, store};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::api::PreviewDatabase;
use crate::build::family::Defaults;
use crate::build::network::OperatorSource;
use crate::children::{Children, Ledger};
use crate::context::{Context, Memory, Settings, Watched};
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::reconcile::reconcile;
use crate::secrets::Reader;

const UID: &str = "5f9c";
const PREVIEW: &str = "/apis/previewpg.dev/v1alpha1/namespaces/shop/previewdatabases/pr-1";

/// Objects by path, and the calls that were made.
#[derive(Default)]
struct Server {
    objects: Mutex<BTreeMap<String, Value>>,
    calls: Mutex<Vec<String>>,
    forbidden: Mutex<Option<&'static str>>,
}

impl Server {
    fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    fn get(&self, path: &str) -> Value {
        self.objects
            .lock()
            .unwrap()
            .get(path)
            .cloned()
            .unwrap_or_default()
    }

    /// The calls since the last time, as `METHOD kind/name`, those that only read aside.
    fn writes(&self) -> Vec<String> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        calls
            .into_iter()
            .filter(|call| !call.starts_with("GET"))
            .collect()
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let short: Vec<_> = path
            .split('/')
            .skip_while(|part| *part != "shop")
            .skip(1)
            .collect();
        self.calls
            .lock()
            .unwrap()
            .push(format!("{method} {}", short.join("/")));
        if method != "GET"
            && self
                .forbidden
                .lock()
                .unwrap()
                .is_some_and(|part| path.contains(part))
        {
            return refusal(StatusCode::FORBIDDEN, "Forbidden", "not for you");
        }
        let mut objects = self.objects.lock().unwrap();
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match method {
            "GET" => match objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => refusal(StatusCode::NOT_FOUND, "NotFound", "there is none"),
            },
            "POST" => (StatusCode::CREATED, sent),
            "DELETE" => (StatusCode::OK, objects.remove(path).unwrap_or_default()),
            "PATCH" => {
                let whole = path.strip_suffix("/status").unwrap_or(path);
                let object = objects.entry(whole.to_owned()).or_insert_with(|| {
                    json!({"metadata": {"uid": format!("u{}", path.len()), "resourceVersion": "1", "generation": 1}})
                });
                match sent {
                    // The finalizer's.
                    Value::Array(steps) => {
                        let adds = steps.iter().any(|step| step["op"] == "add");
                        object["metadata"]["finalizers"] = if adds {
                            json!([crate::api::FINALIZER])
                        } else {
                            json!([])
                        };
                    }
                    sent => merge(object, sent),
                }
                (StatusCode::OK, object.clone())
            }
            other => unreachable!("{other}"),
        }
    }
}

fn refusal(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code.as_u16()});
    (code, status)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn client(server: &Arc<Server>) -> Client {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (head, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            let (code, answer) = server.answer(head.method.as_str(), head.uri.path(), &body);
            let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
            *response.status_mut() = code;
            Ok::<_, Infallible>(response)
        }
    });
    Client::new(service, "default")
}

fn filled<K>() -> Store<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let (reader, mut writer) = store();
    writer.apply_watcher_event(&watcher::Event::Init);
    writer.apply_watcher_event(&watcher::Event::InitDone);
    reader
}

fn context(server: &Arc<Server>) -> Arc<Context> {
    let client = client(server);
    let metrics = Arc::new(Metrics::new());
    let (wake, _) = mpsc::unbounded_channel();
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), Reporter::from("test".to_owned())),
        reader: Reader::new(client.clone(), None),
        // No work on a database ever gets its turn.
        jobs: Jobs::new(Arc::new(Semaphore::new(0)), wake, Arc::clone(&metrics)),
        client,
        settings: Arc::new(Settings {
            defaults: Defaults {
                proxy_image: "proxy".to_owned(),
                fresh_image: "fresh".to_owned(),
                pull_policy: None,
                operator: OperatorSource::default(),
            },
            fresh_by_address: false,
            watch_secrets: false,
            cleanup_within: Duration::from_secs(60),
            programs: None,
        }),
        children: Children {
            config_maps: filled(),
            services: filled(),
            deployments: filled(),
            stateful_sets: filled(),
            network_policies: filled(),
            budgets: filled(),
        },
        ledger: Ledger::default(),
        metrics,
        memory: Memory::default(),
    })
}

fn preview(more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "previewpg.dev/v1alpha1",
        "kind": "PreviewDatabase",
        "metadata": {"name": "pr-1", "namespace": "shop", "uid": UID, "generation": 1, "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [crate::api::FINALIZER]},
        "spec": {"production": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}},
    });
    merge(&mut object, more);
    object
}

fn secret() -> Value {
    use k8s_openapi::ByteString;
    json!({"metadata": {"name": "prod", "namespace": "shop", "uid": "p"},
        "data": {"uri": ByteString(b"postgres://reader:sesame@db.example/shop".to_vec())}})
}

/// Reconciles the object as the server has it.
async fn once(server: &Server, context: &Arc<Context>) -> bool {
    let object: PreviewDatabase = serde_json::from_value(server.get(PREVIEW)).unwrap();
    let watched: Watched = DeserializeGuard(Ok(object));
    reconcile(Arc::new(watched), Arc::clone(context))
        .await
        .is_ok()
}

fn condition(server: &Server, kind: &str) -> (String, String) {
    let status = server.get(PREVIEW)["status"]["conditions"].clone();
    let found = status
        .as_array()
        .and_then(|all| all.iter().find(|each| each["type"] == kind).cloned())
        .unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn start(more: Value) -> (Arc<Server>, Arc<Context>) {
    let server = Arc::new(Server::default());
    server.put(PREVIEW, preview(more));
    let context = context(&server);
    (server, context)
}

#[tokio::test]
async fn the_finalizer_comes_before_anything_else() {
    let (server, context) = start(json!({"metadata": {"finalizers": []}}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    assert_eq!(server.writes(), ["PATCH previewdatabases/pr-1"]);
}

#[tokio::test]
async fn a_managed_database_is_started_before_proxies_are_made() {
    let (server, context) = start(json!({}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        [
            "PATCH secrets/pr-1-internal",
            "PATCH secrets/pr-1-app",
            "PATCH services/pr-1",
            "PATCH networkpolicies/pr-1-fresh",
            "PATCH configmaps/pr-1-fresh",
            "PATCH services/pr-1-fresh",
            "PATCH statefulsets/pr-1-fresh",
            "PATCH previewdatabases/pr-1/status",
            "PATCH previewdatabases/pr-1/status",
        ]
    );
    assert_eq!(condition(&server, "FreshReady").0, "FreshStarting");
    assert_eq!(condition(&server, "Ready").0, "Reconciling");
    let objects = server.objects.lock().unwrap();
    for (path, object) in objects.iter() {
        let shown = path.contains("/secrets/");
        assert!(!object.to_string().contains("sesame"), "{path}");
        let text = object.to_string();
        assert!(shown || !text.contains("password\":"), "{path}");
        if path != PREVIEW && !path.ends_with("/prod") {
            assert_eq!(
                object["metadata"]["ownerReferences"][0]["uid"], UID,
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn proxies_start_when_both_databases_were_reached() {
    let fresh = json!({"spec": {"fresh": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}}});
    let (server, context) = start(fresh.clone());
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    let proxies = "PATCH deployments/pr-1-proxy".to_owned();
    // Its work waits for its turn: what the Secrets say may yet turn out to be wrong.
    assert!(!server.writes().contains(&proxies));
    context.jobs.step(UID);
    assert!(once(&server, &context).await);
    let writes = server.writes();
    assert!(writes.contains(&proxies), "{writes:?}");
    let (reason, message) = condition(&server, "Ready");
    assert_eq!(reason, "Reconciling");
    assert!(message.contains("step 1 of 9"), "{message}");

    // Proxies that serve are left alone until the database is as this version needs it.
    let mut served = fresh;
    served["status"] = json!({"schema": {"fingerprint": "sha256:1"}, "secretName": "pr-1-app",
        "endpoint": {"host": "pr-1.shop.svc", "port": 5432}});
    let (server, context) = start(served);
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    context.jobs.step(UID);
    assert!(once(&server, &context).await);
    let writes = server.writes();
    assert!(!writes.contains(&proxies), "{writes:?}");
}

#[tokio::test]
async fn a_name_of_somebody_elses_stops_everything() {
    let (server, context) = start(json!({}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    server.put(
        "/api/v1/namespaces/shop/services/pr-1-fresh",
        json!({"metadata": {"name": "pr-1-fresh", "uid": "other"}}),
    );
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        ["PATCH previewdatabases/pr-1/status", "POST events"]
    );
    let (reason, message) = condition(&server, "Ready");
    assert_eq!(reason, "NameConflict");
    assert!(message.contains("Service \"pr-1-fresh\""), "{message}");
}

#[tokio::test]
async fn a_missing_secret_is_told_once_and_mended_by_itself() {
    let (server, context) = start(json!({}));
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        ["PATCH previewdatabases/pr-1/status", "POST events"]
    );
    assert_eq!(condition(&server, "Ready").0, "SecretNotFound");
    assert_eq!(
        condition(&server, "ProductionReachable").0,
        "SecretNotFound"
    );
    assert!(once(&server, &context).await);
    assert_eq!(server.writes(), Vec::<String>::new());
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    assert!(
        server
            .writes()
            .contains(&"PATCH statefulsets/pr-1-fresh".to_owned())
    );
}

#[tokio::test]
async fn what_the_api_server_refuses_is_a_condition() {
    let (server, context) = start(json!({}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    *server.forbidden.lock().unwrap() = Some("/statefulsets/");
    assert!(once(&server, &context).await);
    let (reason, message) = condition(&server, "Ready");
    assert_eq!(reason, "Forbidden");
    assert!(message.contains("not for you"), "{message}");
}

#[tokio::test]
async fn a_volume_that_cannot_grow_stops_nothing_and_is_asked_for_now_and_then() {
    let (server, context) =
        start(json!({"spec": {"fresh": {"managed": {"storage": {"size": "20Gi"}}}}}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    server.put(
        "/apis/apps/v1/namespaces/shop/statefulsets/pr-1-fresh",
        json!({
            "metadata": {"name": "pr-1-fresh", "uid": "s", "generation": 1,
                "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "pr-1", "uid": UID, "controller": true}]},
            "spec": {"volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "10Gi"}}}}]},
        }),
    );
    *server.forbidden.lock().unwrap() = Some("/persistentvolumeclaims/");
    const ASKED: &str = "PATCH persistentvolumeclaims/data-pr-1-fresh-0";
    assert!(once(&server, &context).await);
    let writes = server.writes();
    let place = |call: &str| writes.iter().position(|each| each == call);
    assert!(
        place("PATCH statefulsets/pr-1-fresh") < place(ASKED),
        "{writes:?}"
    );
    let (reason, message) = condition(&server, "FreshReady");
    assert_eq!(reason, "FreshStarting");
    assert!(
        message.contains("can't grow to 20Gi") && message.contains("not for you"),
        "{message}"
    );
    // Not with each look at the object.
    assert!(once(&server, &context).await);
    let again = server.writes();
    assert!(!again.iter().any(|call| call == ASKED), "{again:?}");
    // A new operator asks again; now it's granted.
    *server.forbidden.lock().unwrap() = None;
    let another = self::context(&server);
    server.put(
        "/api/v1/namespaces/shop/persistentvolumeclaims/data-pr-1-fresh-0",
        json!({"metadata": {"name": "data-pr-1-fresh-0", "uid": "c"}}),
    );
    assert!(once(&server, &another).await);
    assert!(server.writes().iter().any(|call| call == ASKED));
    let claim = server.get("/api/v1/namespaces/shop/persistentvolumeclaims/data-pr-1-fresh-0");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert!(!condition(&server, "FreshReady").1.contains("20Gi"));
}

#[tokio::test]
async fn passwords_are_made_once() {
    let (server, context) = start(json!({}));
    server.put("/api/v1/namespaces/shop/secrets/prod", secret());
    assert!(once(&server, &context).await);
    let path = "/api/v1/namespaces/shop/secrets/pr-1-internal";
    let made = server.get(path)["data"].clone();
    assert!(made["ca.key"].is_string());
    // A new operator, which remembers nothing.
    let another = self::context(&server);
    assert!(once(&server, &another).await);
    assert_eq!(server.get(path)["data"], made);
}

#[tokio::test]
async fn a_deleted_object_whose_database_was_never_begun_goes_at_once() {
    let (server, context) = start(json!({
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:01Z"},
        "spec": {"fresh": {"connection": {"uri": {"secretKeyRef": {"name": "gone", "key": "uri"}}}}},
    }));
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        ["POST events", "PATCH previewdatabases/pr-1"]
    );
    assert_eq!(server.get(PREVIEW)["metadata"]["finalizers"], json!([]));
}

#[tokio::test]
async fn a_database_that_cannot_be_dropped_is_left_in_the_end() {
    let more = |deleted: String| {
        json!({
            "metadata": {"deletionTimestamp": deleted},
            "spec": {"fresh": {"connection": {"uri": {"secretKeyRef": {"name": "gone", "key": "uri"}}}}},
            "status": {"endpoint": {"host": "pr-1.shop.svc", "port": 5432}},
        })
    };
    let now = k8s_openapi::jiff::Timestamp::now();
    let (server, context) = start(more(now.to_string()));
    assert!(once(&server, &context).await);
    assert_eq!(server.writes(), ["PATCH previewdatabases/pr-1/status"]);
    assert_eq!(condition(&server, "Ready").0, "Deleting");

    let (server, context) = start(more("2026-01-01T00:00:01Z".to_owned()));
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        [
            "PATCH previewdatabases/pr-1/status",
            "POST events",
            "PATCH previewdatabases/pr-1"
        ]
    );
}

#[tokio::test]
async fn what_has_expired_is_deleted_whatever_else_is_wrong() {
    let (server, context) = start(json!({"spec": {"lifetime": {"ttl": "1h"}}}));
    assert!(once(&server, &context).await);
    assert_eq!(
        server.writes(),
        [
            "PATCH previewdatabases/pr-1/status",
            "POST events",
            "DELETE previewdatabases/pr-1"
        ]
    );
}
