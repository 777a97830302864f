//! `previewpg-operator run`: everything started, and ended in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use kube::{Client, Config};
use previewpg_proxy::admin::http::{self, Admin, bind};
use previewpg_proxy::command::signals::Signals;
use tokio::sync::{Semaphore, watch};

use crate::build::family::Defaults;
use crate::build::network::OperatorSource;
use crate::cli::Run;
use crate::context::Settings;
use crate::controller::{self, Start};
use crate::leader::{Candidate, Lost, Timing};
use crate::metrics::Metrics;

/// How long reconciliations that were begun get at the end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cluster isn't known.
    #[error("there is no cluster to talk to: neither a kubeconfig nor a service account was found")]
    Cluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cluster can't be talked to.
    #[error("can't set up the connection to the API server")]
    Client(#[source] kube::Error),
    /// The admin port can't be opened.
    #[error("can't listen on {address} for health and metrics")]
    Admin {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Signals can't be received.
    #[error(transparent)]
    Signals(#[from] previewpg_proxy::command::error::CommandError),
    /// Another operator may lead now.
    #[error("not the leader any more; another operator may act now")]
    Lost(#[from] Lost),
}

/// Where the operator is, for `/readyz`.
#[derive(Debug, Default)]
struct Readiness {
    waiting: Mutex<Vec<String>>,
    leads: AtomicBool,
}

impl Readiness {
    fn failing(&self) -> Vec<(&'static str, String)> {
        if !self.leads.load(Ordering::Relaxed) {
            // A candidate is as ready as it can be.
            return Vec::new();
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            Vec::new()
        } else {
            vec![("caches", format!("not filled yet: {}", waiting.join(", ")))]
        }
    }

    fn begin(&self, scope: &str) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(scope.to_owned());
    }

    fn filled(&self, scope: &str) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|waiting| waiting != scope);
    }
}

/// Runs until a signal comes or the Lease is lost.
///
/// # Errors
/// When it can't be started, or the Lease is lost.
pub async fn run(options: Run) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::default());
    let listener = bind(options.admin)
        .await
        .map_err(|source| RunError::Admin {
            address: options.admin,
            source,
        })?;
    let admin = Admin::with_readiness(
        {
            let readiness = Arc::clone(&readiness);
            Arc::new(move || http::Readiness {
                failing: readiness.failing(),
                production: None,
            })
        },
        {
            let metrics = Arc::clone(&metrics);
            Arc::new(move || metrics.render())
        },
    );
    tokio::spawn(admin.serve(listener));

    let config = Config::infer()
        .await
        .map_err(|error| RunError::Cluster(Box::new(error)))?;
    let namespace = options
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(RunError::Client)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespaces = %if options.watch_namespaces.is_empty() { "all".to_owned() } else { options.watch_namespaces.join(", ") },
        admin = %options.admin,
        "starting"
    );

    let candidate = (!options.no_leader_election).then(|| {
        Candidate::new(
            client.clone(),
            &namespace,
            &options.lease,
            identity(),
            Timing::default(),
        )
    });
    if let Some(candidate) = &candidate {
        tokio::select! {
            () = candidate.acquire() => {}
            name = signals.next() => {
                tracing::info!(signal = name, "ending");
                return Ok(());
            }
        }
        tracing::info!(lease = %options.lease, namespace, "leading");
    }
    metrics.leads(true);
    readiness.leads.store(true, Ordering::Relaxed);

    let (end, ending) = watch::channel(false);
    let start = Start {
        client,
        settings: Arc::new(settings(&options)),
        concurrency: options.concurrency,
        permits: Arc::new(Semaphore::new(usize::from(options.concurrency))),
        metrics,
        ending,
    };
    let scopes: Vec<Option<String>> = if options.watch_namespaces.is_empty() {
        vec![None]
    } else {
        options.watch_namespaces.iter().cloned().map(Some).collect()
    };
    let controllers = join_all(scopes.into_iter().map(|scope| {
        let name = scope.clone().unwrap_or_else(|| "all namespaces".to_owned());
        readiness.begin(&name);
        let readiness = Arc::clone(&readiness);
        controller::run(start.clone(), scope, move || readiness.filled(&name))
    }));
    let mut controllers = std::pin::pin!(controllers);

    let lost = async {
        match &candidate {
            Some(candidate) => candidate.keep().await,
            None => std::future::pending().await,
        }
    };
    let mut lost = std::pin::pin!(lost);
    tokio::select! {
        _ = &mut controllers => {}
        why = &mut lost => return Err(why.into()),
        name = signals.next() => {
            tracing::info!(signal = name, "ending");
            let _ = end.send(true);
            tokio::select! {
                _ = tokio::time::timeout(END_WITHIN, &mut controllers) => {}
                why = &mut lost => return Err(why.into()),
            }
        }
    }
    if let Some(candidate) = &candidate {
        candidate.release().await;
    }
    Ok(())
}

/// A name that no other process has, not even one of the same pod.
fn identity() -> String {
    let host = std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let unique: String = crate::generated::password().chars().take(10).collect();
    format!("{}_{unique}", host.trim())
}

fn settings(options: &Run) -> Settings {
    Settings {
        defaults: Defaults {
            proxy_image: options.proxy_image.clone(),
            fresh_image: options.fresh_image.clone(),
            pull_policy: options.image_pull_policy.clone(),
            operator: OperatorSource {
                namespace: options.namespace.clone(),
                labels: options.labels(),
                addresses: options.operator_addresses.clone(),
            },
        },
        fresh_by_address: options.fresh_by_address,
        watch_secrets: options.watch_secrets,
        cleanup_within: options.cleanup_within,
        programs: options.postgres_bin.clone(),
    }
}
