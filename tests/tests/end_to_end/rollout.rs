//! Several proxies of one preview, and new ones in the place of the old.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use previewpg_tests::kubernetes::namespace::is_ready;
use previewpg_tests::kubernetes::{PATIENCE, Psql, text};
use serde_json::{Value, json};

use super::{Stage, pods_of};

/// While the proxies are replaced one by one, nobody who connects is refused, and who is in a transaction finishes it.
#[test]
fn a_rolling_update_loses_no_connection() {
    let Some(stage) = Stage::new("rolling") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("rolling", json!({"proxy": {"replicas": 2}}));
    namespace.ready("rolling");
    let old = namespace.ready_pods(&pods_of("rolling", "proxy"), 2);
    stage
        .connect("rolling")
        .must("CREATE TABLE marks (id int PRIMARY KEY)");

    // A transaction at each of the old proxies.
    let mut held: Vec<Psql> = old
        .iter()
        .map(|pod| {
            let pod = namespace.must_get("Pod", pod);
            Psql::connect_at(namespace, "rolling", text(&pod, "/status/podIP")).unwrap()
        })
        .collect();
    for (n, session) in held.iter_mut().enumerate() {
        session.must("BEGIN");
        session.must(&format!("INSERT INTO marks VALUES ({n})"));
    }
    let done = AtomicBool::new(false);
    let (attempts, failures) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut attempts = 0;
            let mut failures = Vec::new();
            while !done.load(Ordering::Relaxed) {
                attempts += 1;
                let answer = Psql::connect(namespace, "rolling")
                    .and_then(|mut s| s.query("SELECT count(*) FROM customers"));
                match answer {
                    Ok(rows) => assert_eq!(rows, ["2000"]),
                    Err(failure) => failures.push(failure),
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            (attempts, failures)
        });
        namespace.patch(
            "PreviewDatabase",
            "rolling",
            &json!({"spec": {"proxy": {"podAnnotations": {"example.test/roll": "1"}}}}),
        );
        // In the meantime, before the old proxies give up on them.
        std::thread::sleep(Duration::from_secs(5));
        for session in &mut held {
            session.must("COMMIT");
        }
        namespace.until("new proxies only", || {
            let new = namespace.pods(&pods_of("rolling", "proxy"));
            new.len() == 2
                && new
                    .iter()
                    .all(|pod| !old.contains(&text(pod, "/metadata/name").to_owned()))
        });
        namespace.ready_pods(&pods_of("rolling", "proxy"), 2);
        std::thread::sleep(Duration::from_secs(3));
        done.store(true, Ordering::Relaxed);
        clients.join().unwrap()
    });
    assert!(
        failures.is_empty(),
        "{} of {attempts} connections failed: {failures:#?}",
        failures.len()
    );
    assert!(attempts > 5, "only {attempts} attempts");
    assert_eq!(
        stage.connect("rolling").value("SELECT count(*) FROM marks"),
        "2"
    );
}

/// DDL through one proxy is seen by the other before the client of the first hears that it's done, in both directions.
#[test]
fn two_proxies_agree() {
    let Some(stage) = Stage::new("agree") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("agree", json!({"proxy": {"replicas": 2}}));
    namespace.ready("agree");
    let mut sessions: Vec<Psql> = namespace
        .ready_pods(&pods_of("agree", "proxy"), 2)
        .iter()
        .map(|pod| {
            Psql::connect_at(
                namespace,
                "agree",
                text(&namespace.must_get("Pod", pod), "/status/podIP"),
            )
            .unwrap()
        })
        .collect();
    for n in 0..20 {
        let [writer, reader] = sessions.as_mut_slice() else {
            panic!("two sessions")
        };
        writer.must(&format!(
            "ALTER TABLE customers ADD COLUMN extra{n} int NOT NULL DEFAULT {n}"
        ));
        assert_eq!(
            reader.value(&format!("SELECT sum(extra{n}) FROM customers")),
            (2000 * n).to_string()
        );
        reader.must(&format!(
            "UPDATE customers SET extra{n} = 1000 WHERE id = 7"
        ));
        assert_eq!(
            writer.value(&format!("SELECT extra{n} FROM customers WHERE id = 7")),
            "1000"
        );
        sessions.reverse();
    }
}

/// `kubectl scale` and a change of the spec, without a restart of what needs none.
#[test]
fn proxies_are_scaled() {
    let Some(stage) = Stage::new("scaled") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("scaled", json!({}));
    namespace.ready("scaled");
    let first = namespace
        .ready_pods(&pods_of("scaled", "proxy"), 1)
        .remove(0);
    let mut session = stage.connect("scaled");
    namespace.cluster.kubectl(&[
        "--namespace",
        &namespace.name,
        "scale",
        "pvdb/scaled",
        "--replicas=3",
    ]);
    let three = namespace.ready_pods(&pods_of("scaled", "proxy"), 3);
    assert!(
        three.contains(&first),
        "scaling replaced {first}: {three:?}"
    );
    assert_eq!(session.value("SELECT count(*) FROM customers"), "2000");
    let object = namespace.wait("the status to tell", PATIENCE, || {
        let object = namespace.must_get("PreviewDatabase", "scaled");
        (object.pointer("/status/readyReplicas") == Some(&Value::from(3))).then_some(object)
    });
    assert_eq!(object["status"]["replicas"], 3);
    assert!(
        !namespace
            .list("PodDisruptionBudget", "app.kubernetes.io/instance=scaled")
            .is_empty(),
        "no PodDisruptionBudget"
    );
    namespace.cluster.kubectl(&[
        "--namespace",
        &namespace.name,
        "scale",
        "pvdb/scaled",
        "--replicas=1",
    ]);
    namespace.ready_pods(&pods_of("scaled", "proxy"), 1);
    namespace.until("the PodDisruptionBudget to go", || {
        namespace
            .list("PodDisruptionBudget", "app.kubernetes.io/instance=scaled")
            .is_empty()
    });
}

/// What needs more connections than a managed PostgreSQL has restarts it once; what needs fewer again doesn't.
#[test]
fn connections_are_given_and_never_taken() {
    let Some(stage) = Stage::new("connections") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("many", json!({}));
    namespace.ready("many");
    let server = || {
        let pod = namespace.get("Pod", "many-fresh-0")?;
        is_ready(&pod).then(|| text(&pod, "/metadata/uid").to_owned())
    };
    let first = server().expect("a PostgreSQL that's ready");
    let mut session = stage.connect("many");
    session.must("CREATE TABLE mine (id int); INSERT INTO mine VALUES (1)");
    let clients = |number: u32| {
        let more = json!({"spec": {"proxy": {"pool": {"maxClientConnections": number}}}});
        namespace.patch("PreviewDatabase", "many", &more);
        namespace.until("proxies to be told", || {
            let config = namespace.must_get("ConfigMap", "many-proxy").to_string();
            config.contains(&format!("maxClients: {number}"))
        });
    };
    clients(201);
    let second = namespace.wait("PostgreSQL with more connections", PATIENCE, || {
        server().filter(|now| *now != first)
    });
    namespace.ready("many");
    let mut session = stage.connect("many");
    assert_eq!(session.value("SELECT count(*) FROM mine"), "1");
    assert_eq!(session.value("SHOW max_connections"), "3250");
    clients(200);
    namespace.until("the change to be seen to", || {
        let object = namespace.must_get("PreviewDatabase", "many");
        object["status"]["observedGeneration"] == object["metadata"]["generation"]
    });
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(server(), Some(second));
    assert_eq!(session.value("SELECT count(*) FROM mine"), "1");
}
