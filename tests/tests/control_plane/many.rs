//! Many previews at once: what they cost the API server and the operator.

use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::cluster::Call;
use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::{Namespace, Production, text};
use serde_json::{Value, json};

use super::cluster;

/// How many, unless `PREVIEWPG_TEST_PREVIEWS` says otherwise.
const PREVIEWS: usize = 200;
/// How long all of them may take.
const LONG: Duration = Duration::from_secs(300);
/// How long peace is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// What the operator may use with all of them, in KiB.
const MEMORY: u64 = 64 * 1024;

/// How many previews there are to be.
fn previews() -> usize {
    std::env::var("PREVIEWPG_TEST_PREVIEWS")
        .map_or(PREVIEWS, |text| text.parse().expect("a number"))
}

/// Many managed previews whose PostgreSQLs don't become ready (there's no node): every child is made, and then there's peace.
/// Previews that serve are measured by `make bench-cluster`.
#[test]
fn many_previews() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "many");
    let watched = format!("watchNamespaces={{{}}}", namespace.name);
    let home = format!("previewpg-{}", namespace.name);
    let settings = ["crds.install=false", &watched, "watchSecrets=true"];
    let release = Release::new(cluster, &home, &settings);
    let database =
        Production::shared(cluster).database("CREATE TABLE customers (id int PRIMARY KEY)");
    namespace.secret("prod-readonly", &[("uri", &database.url("reader"))]);

    let operator = release.start(&[("PREVIEWPG_WATCH_SECRETS", "false")]);
    let began = Instant::now();
    let previews = previews();
    for n in 0..previews {
        let object = json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": format!("pr-{n}")},
            "spec": {"production": {
                "connection": {"uri": {"secretKeyRef": {"name": "prod-readonly", "key": "uri"}}}, "tls": {"mode": "disable"},
            }},
        });
        cluster.api.create(&namespace.name, &object).unwrap();
    }
    let all_wait = |what: &str| {
        namespace.wait(what, LONG, || {
            let objects = namespace.list("PreviewDatabase", "");
            (objects.len() == previews && objects.iter().all(waits)).then_some(())
        });
    };
    all_wait("all to wait for their databases");
    eprintln!(
        "{previews} previews: all seen to after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // Two of its own for each preview once in an interval of a minute, and production's for all of them.
    is_quiet(&namespace, &operator, 2 * previews);
    drop(operator);

    let operator = release.start(&[]);
    let began = Instant::now();
    namespace.wait("the new operator to have seen to all", LONG, || {
        let reconciled = metric(&operator, "previewpg_operator_reconciles_total")?;
        (reconciled >= previews as f64).then_some(())
    });
    eprintln!(
        "a new operator has seen to all after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // This one watches them.
    is_quiet(&namespace, &operator, 0);
}

/// Its children are made and it waits for PostgreSQL.
fn waits(object: &Value) -> bool {
    condition(object, "FreshReady")
        .is_some_and(|condition| text(condition, "/reason") == "FreshStarting")
}

/// In half a minute the operator writes nothing, asks for nothing but so many Secrets, and uses no more memory than it may.
fn is_quiet(namespace: &Namespace, operator: &Operator, most: usize) {
    let calls = || {
        let mut calls = namespace.cluster.audit();
        calls.retain(|call| {
            call.credential == operator.credential()
                && call.verb != "watch"
                && call.resource != "leases"
        });
        calls
    };
    let writes = || {
        let mut calls = calls();
        calls.retain(Call::writes);
        calls
    };
    // What its own last writes set off comes back by the watches first, and the controller manager is at work still.
    let mut before = writes().len();
    namespace.wait("peace", LONG, || {
        std::thread::sleep(Duration::from_secs(5));
        let now = writes().len();
        let peace = now == before;
        before = now;
        peace.then_some(())
    });
    let before = calls().len();
    std::thread::sleep(WATCHED);
    let after = calls();
    let (secrets, others): (Vec<_>, Vec<_>) = after[before..]
        .iter()
        .partition(|call| call.verb == "get" && call.resource == "secrets");
    assert!(
        others.is_empty(),
        "{} requests without a change: {others:#?}",
        others.len()
    );
    eprintln!(
        "in {WATCHED:?} the operator reads {} Secrets",
        secrets.len()
    );
    assert!(secrets.len() <= most, "{} Secrets", secrets.len());
    let memory = operator.memory();
    eprintln!("the operator uses {} MiB", memory / 1024);
    assert!(memory <= MEMORY, "{memory} KiB");
}

/// The sum of a metric over its labels.
fn metric(operator: &Operator, name: &str) -> Option<f64> {
    let (_, text) = operator.admin("/metrics")?;
    let values: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
