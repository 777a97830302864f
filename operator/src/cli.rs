//! The command line: options and the help that teaches them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use previewpg_proxy::config::file::LogFormat;

const TOP_EXAMPLES: &str = "\
In a cluster the Helm chart runs it. By hand:
  previewpg-operator crd | kubectl apply --server-side -f -
  previewpg-operator run --proxy-image registry.example/previewpg:1.0 --fresh-image registry.example/previewpg-postgres:18

Standard output carries only what a program would want to read; logs go to standard error.";

const RUN_EXAMPLES: &str = "\
Examples:
  previewpg-operator run
      all namespaces, as the leader of the Lease previewpg-operator in its own namespace
  previewpg-operator run --watch-namespaces shop-previews,web-previews
      these namespaces only: a Role in each is enough
  previewpg-operator run --no-leader-election --admin 127.0.0.1:8081
      on a developer's machine, with the current context of kubeconfig

It ends with a status that isn't 0 when it loses the Lease; whoever started it starts it again.
GET /livez, /readyz and /metrics on the admin port say how it is.";

/// PreviewPG on Kubernetes: every PreviewDatabase becomes a PostgreSQL database that looks like production.
#[derive(Debug, Parser)]
#[command(name = "previewpg-operator", version, after_help = TOP_EXAMPLES, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile PreviewDatabases until a signal comes
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
    /// Print the CustomResourceDefinition
    Crd,
    /// Ask a health address until it answers 200, as `helm test` does
    Probe {
        /// The address, as http://host:port/path
        url: String,
        /// How long to ask, in seconds
        #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
        within: Duration,
    },
}

/// `previewpg-operator run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Reconcile in these namespaces only [default: all]
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        env = "PREVIEWPG_WATCH_NAMESPACES"
    )]
    pub watch_namespaces: Vec<String>,
    /// The proxies' image, unless a PreviewDatabase names another
    #[arg(
        long,
        value_name = "IMAGE",
        env = "PREVIEWPG_PROXY_IMAGE",
        default_value = concat!("ghcr.io/previewpg/previewpg:", env!("CARGO_PKG_VERSION"))
    )]
    pub proxy_image: String,
    /// The managed PostgreSQL's image, unless a PreviewDatabase names another
    #[arg(
        long,
        value_name = "IMAGE",
        env = "PREVIEWPG_FRESH_IMAGE",
        default_value = concat!("ghcr.io/previewpg/previewpg-postgres:", env!("CARGO_PKG_VERSION"))
    )]
    pub fresh_image: String,
    /// The pull policy of the pods' images: Always, IfNotPresent or Never [default: Kubernetes' choice]
    #[arg(
        long,
        value_name = "POLICY",
        env = "PREVIEWPG_IMAGE_PULL_POLICY",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    pub image_pull_policy: Option<String>,
    /// Serve /livez, /readyz and /metrics here
    #[arg(
        long,
        value_name = "ADDR",
        env = "PREVIEWPG_ADMIN",
        default_value = "0.0.0.0:8080"
    )]
    pub admin: SocketAddr,
    /// The operator's own namespace: of its Lease, and the one that NetworkPolicies admit it from
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// Labels of the operator's pods, for the NetworkPolicies of managed PostgreSQLs, as name=value,..
    #[arg(
        long,
        value_name = "LABELS",
        env = "PREVIEWPG_POD_LABELS",
        value_delimiter = ',',
        value_parser = label,
        default_value = "app.kubernetes.io/name=previewpg,app.kubernetes.io/component=operator"
    )]
    pub pod_labels: Vec<(String, String)>,
    /// Addresses (CIDR) that NetworkPolicies admit as well: of an operator outside of the cluster
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        env = "PREVIEWPG_OPERATOR_ADDRESSES"
    )]
    pub operator_addresses: Vec<String>,
    /// Connect to managed PostgreSQLs by their Services' addresses rather than names: for an operator outside of the cluster
    #[arg(long, env = "PREVIEWPG_FRESH_BY_ADDRESS")]
    pub fresh_by_address: bool,
    /// Watch Secrets, in place of reading them once in each interval: needs the rights to list and watch them all
    #[arg(long, env = "PREVIEWPG_WATCH_SECRETS")]
    pub watch_secrets: bool,
    /// Act without holding the Lease. Two operators at once undo each other's work
    #[arg(long, env = "PREVIEWPG_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
    /// The Lease's name
    #[arg(long, value_name = "NAME", default_value = "previewpg-operator")]
    pub lease: String,
    /// How many objects are reconciled, and how many databases are worked on, at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256), env = "PREVIEWPG_CONCURRENCY")]
    pub concurrency: u16,
    /// How long a deleted object waits for its database to be dropped before it's let go, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds, env = "PREVIEWPG_CLEANUP_WITHIN")]
    pub cleanup_within: Duration,
    /// The directory of pg_dump and pg_restore, of production's major version or newer [default: PATH]
    #[arg(long, value_name = "DIR", env = "PREVIEWPG_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,
    /// How log lines on standard error look
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "PREVIEWPG_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// The least level that is logged, or a filter such as `info,previewpg_operator=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "PREVIEWPG_LOG",
        default_value = "info,kube_client=warn,kube_runtime=warn"
    )]
    pub log: String,
}

impl Run {
    /// The labels of the operator's pods.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.pod_labels.iter().cloned().collect()
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no label: write name=value"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| format!("{text:?} is no number of seconds"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_are_split() {
        let cli = Cli::try_parse_from([
            "previewpg-operator",
            "run",
            "--watch-namespaces",
            "a,b",
            "--pod-labels",
            "x=1,y=",
        ])
        .unwrap();
        let Command::Run(run) = cli.command else {
            unreachable!()
        };
        assert_eq!(run.watch_namespaces, ["a", "b"]);
        assert_eq!(run.labels().get("y").map(String::as_str), Some(""));
        assert!(Cli::try_parse_from(["previewpg-operator", "run", "--concurrency", "0"]).is_err());
    }
}
