//! One operator and many previews that serve: their databases are real, on one server; their pods only say that they are ready.

use std::time::{Duration, Instant};

use previewpg_tests::kubernetes::kubelet::pretend;
use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::{Cluster, Namespace, Production, text};
use previewpg_tests::servers::PASSWORD;
use serde_json::json;

use super::table::Table;

/// How long all of them may take.
const LONG: Duration = Duration::from_secs(3600);
/// How long peace is watched.
const WATCHED: Duration = Duration::from_secs(120);

pub(crate) fn measure(cluster: &'static Cluster, previews: usize, table: &mut Table) {
    pretend(cluster, &[""]);
    let release = Release::new(cluster, "previewpg-system", &[]);
    let namespace = Namespace::new(cluster, "many");
    // A server of its own at an address of its own: pods and this machine see production under the same one.
    let production: &'static Production = Box::leak(Box::new(Production::start(cluster, "many")));
    production.server.connect("postgres").must(&format!(
        "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    let database =
        production.database("CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL)");
    namespace.secret("prod-readonly", &[("uri", &database.url("reader"))]);
    let fresh: &'static Production = Box::leak(Box::new(Production::start(cluster, "fresh")));
    let admin = fresh
        .address("postgres", "postgres")
        .role("postgres", PASSWORD);
    namespace.secret("fresh-admin", &[("uri", &admin.url())]);

    let operator = release.start(&[]);
    let began = Instant::now();
    for n in 0..previews {
        let object = json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": format!("pr-{n}")},
            "spec": {
                "production": {
                    "connection": {"uri": {"secretKeyRef": {"name": "prod-readonly", "key": "uri"}}}, "tls": {"mode": "disable"},
                },
                "fresh": {"connection": {"uri": {"secretKeyRef": {"name": "fresh-admin", "key": "uri"}}, "tls": {"mode": "disable"}}},
            },
        });
        cluster
            .api
            .create(&namespace.name, &object)
            .expect("make a PreviewDatabase");
    }
    namespace.wait("all to serve", LONG, || {
        std::thread::sleep(Duration::from_secs(2));
        let objects = namespace.list("PreviewDatabase", "");
        let serving = objects
            .iter()
            .filter(|object| {
                condition(object, "Ready")
                    .is_some_and(|condition| text(condition, "/status") == "True")
            })
            .count();
        (serving == previews).then_some(())
    });
    table.time(
        &format!("{previews} previews at once, all Ready"),
        began.elapsed(),
        None,
    );
    peace(cluster, &operator, previews, table);
    drop(operator);

    let operator = release.start(&[]);
    let began = Instant::now();
    namespace.wait("the new operator to have seen to all", LONG, || {
        let (_, metrics) = operator.admin("/metrics")?;
        let seen: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("previewpg_operator_reconciles_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        (seen >= previews as f64).then_some(())
    });
    // The Lease of the one that was killed has to run out first.
    table.time(
        &format!("a new operator has seen to {previews} previews, its wait for the lease included"),
        began.elapsed(),
        None,
    );
    peace(cluster, &operator, previews, table);
}

fn peace(cluster: &Cluster, operator: &Operator, previews: usize, table: &mut Table) {
    let writes = || {
        let calls = cluster.audit();
        calls
            .iter()
            .filter(|call| call.credential == operator.credential() && call.writes())
            .count()
    };
    std::thread::sleep(Duration::from_secs(30));
    let before = writes();
    std::thread::sleep(WATCHED);
    table.count(
        &format!(
            "writes to the API server in {} s without a change",
            WATCHED.as_secs()
        ),
        writes() - before,
        Some(0),
    );
    table.memory(
        &format!("operator with {previews} previews"),
        operator.memory() * 1024,
        Some(64_000_000),
    );
}
