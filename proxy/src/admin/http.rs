//! The admin port: `/livez`, `/readyz` and `/metrics` over HTTP/1.1.
//!
//! It's meant for probes and scrapers of the same network, has no login, and shows nothing secret. `/readyz` answers in JSON to who
//! asks for it (`Accept: application/json`), else in text.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::health::Health;

/// The most connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long a request's head may take to arrive; an idle connection is closed after it, too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long one connection may last in all: nobody who scrapes needs longer.
const CONNECTION_WITHIN: Duration = Duration::from_secs(300);
/// The media type of Prometheus' text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Gives the metrics' text.
pub type Encode = Arc<dyn Fn() -> String + Send + Sync>;

/// What isn't ready. Without secrets: everybody who reaches the port reads it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// What doesn't hold, by name, and why not; empty: ready.
    pub failing: Vec<(&'static str, String)>,
    /// production's state, which doesn't count; `None`: nothing is known of it.
    pub production: Option<Result<(), String>>,
}

/// Tells what isn't ready.
pub type Tell = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// What the admin port serves.
#[derive(Clone)]
pub struct Admin {
    readiness: Tell,
    metrics: Encode,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Listens on `address`.
///
/// # Errors
/// When it can't.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

impl Admin {
    /// Serves this health and these metrics.
    #[must_use]
    pub fn new(health: Arc<Health>, metrics: Encode) -> Self {
        let readiness = move || Readiness {
            failing: health
                .failing()
                .into_iter()
                .map(|(condition, reason)| (condition.name(), reason))
                .collect(),
            production: health.production(),
        };
        Self::with_readiness(Arc::new(readiness), metrics)
    }

    /// Serves what isn't ready as this tells it, and these metrics.
    #[must_use]
    pub fn with_readiness(readiness: Tell, metrics: Encode) -> Self {
        Self { readiness, metrics }
    }

    /// Serves until it's dropped.
    pub async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Too many open files, mostly: it passes.
                    tracing::warn!(%error, "the admin port can't accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = admin.answer(
                        request.method(),
                        request.uri().path(),
                        request.headers().get(ACCEPT),
                    );
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_WITHIN)
                    .max_buf_size(16 * 1024)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that goes away in the middle is nobody's problem.
                let _ = tokio::time::timeout(CONNECTION_WITHIN, connection).await;
                drop(place);
            });
        }
    }

    fn answer(
        &self,
        method: &Method,
        path: &str,
        accept: Option<&HeaderValue>,
    ) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD\n".to_owned(),
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness(wants_json(accept)),
            "/metrics" => reply(StatusCode::OK, OPEN_METRICS, (self.metrics)()),
            "/" => text(StatusCode::OK, "/livez\n/readyz\n/metrics\n".to_owned()),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz and /metrics\n".to_owned(),
            ),
        }
    }

    fn readiness(&self, json: bool) -> Response<Full<Bytes>> {
        let readiness = (self.readiness)();
        let status = if readiness.failing.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        if json {
            let reasons: serde_json::Map<String, serde_json::Value> = readiness
                .failing
                .into_iter()
                .map(|(name, reason)| (name.to_owned(), reason.into()))
                .collect();
            let mut body =
                serde_json::json!({ "ready": status == StatusCode::OK, "failing": reasons });
            if let (Some(state), Some(body)) = (readiness.production, body.as_object_mut()) {
                let state = state.err().unwrap_or_else(|| "ok".to_owned());
                body.insert("production".to_owned(), state.into());
            }
            return reply(status, "application/json", format!("{body}\n"));
        }
        let mut body: String = readiness
            .failing
            .into_iter()
            .map(|(name, reason)| format!("{name}: {reason}\n"))
            .collect();
        if body.is_empty() {
            "ok\n".clone_into(&mut body);
        }
        if let Some(Err(reason)) = readiness.production {
            body = format!("{body}(production, which doesn't count: {reason})\n");
        }
        text(status, body)
    }
}

fn wants_json(accept: Option<&HeaderValue>) -> bool {
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("application/json"))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", body)
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::super::health::Condition;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn start() -> (SocketAddr, Arc<Health>) {
        let health = Arc::new(Health::default());
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let admin = Admin::new(
            Arc::clone(&health),
            Arc::new(|| "statements_total 3\n# EOF\n".to_owned()),
        );
        tokio::spawn(admin.serve(listener));
        (address, health)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(address: SocketAddr, path: &str, more: &str) -> String {
        ask(
            address,
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n"),
        )
        .await
    }

    #[tokio::test]
    async fn the_three_pages() {
        let (address, health) = start().await;
        assert!(get(address, "/livez", "").await.starts_with("HTTP/1.1 200"));
        let metrics = get(address, "/metrics", "").await;
        assert!(
            metrics.contains(OPEN_METRICS) && metrics.ends_with("# EOF\n"),
            "{metrics}"
        );

        let answer = get(address, "/readyz", "").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("catalog: not read yet\n"),
            "{answer}"
        );
        for condition in [
            Condition::Fresh,
            Condition::Catalog,
            Condition::Lease,
            Condition::Serving,
        ] {
            health.holds(condition);
        }
        assert!(
            get(address, "/readyz", "")
                .await
                .starts_with("HTTP/1.1 200")
        );
        health.fails(Condition::Serving, "draining");
        let answer = get(address, "/readyz", "accept: application/json\r\n").await;
        assert!(
            answer.ends_with("{\"failing\":{\"serving\":\"draining\"},\"ready\":false}\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn what_is_no_request_of_ours_is_refused() {
        let (address, _) = start().await;
        assert!(get(address, "/", "").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/etc", "").await.starts_with("HTTP/1.1 404"));
        let post =
            "POST /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(ask(address, post).await.starts_with("HTTP/1.1 405"));
        assert!(
            ask(address, "nonsense\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400")
        );
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024));
        let answer = ask(address, &long).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}
