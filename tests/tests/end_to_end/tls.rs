//! What goes over the network is encrypted, and each end knows whom it talks to.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use previewpg_tests::client::Address;
use previewpg_tests::kubernetes::namespace::condition;
use previewpg_tests::kubernetes::{Namespace, Production, text};
use previewpg_tests::servers::PASSWORD;
use serde_json::{Value, json};

use super::{SHOP, Stage, pods_of};

/// As the managed PostgreSQL's superuser, inside of its pod.
const ADMIN: &str = "export PGPASSWORD=$(cat /etc/previewpg/internal/fresh-password) PGUSER=previewpg PGDATABASE=template1; ";
/// How long the kubelet and then the server may take to see a certificate that is new in the Secret.
const ROTATED: Duration = Duration::from_secs(180);

/// Runs a shell script in a pod; what it printed, on both outputs.
fn shell(namespace: &Namespace, pod: &str, script: &str) -> String {
    let script = format!("{ADMIN}{script} 2>&1");
    let out = namespace
        .exec(pod, &["sh", "-c", &script])
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// One value of the managed PostgreSQL.
fn value(namespace: &Namespace, pod: &str, sql: &str) -> String {
    shell(
        namespace,
        pod,
        &format!("psql -h /var/run/previewpg -XAtc \"{sql}\""),
    )
}

/// The certificate that a pod's PostgreSQL shows, in PEM.
fn shown(namespace: &Namespace, pod: &str) -> Option<String> {
    let mut forward = namespace
        .cluster
        .command("kubectl")
        .args(["--namespace", &namespace.name, "port-forward", pod, ":5432"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    // Kept: kubectl ends when nobody reads what it says.
    let mut says = BufReader::new(forward.stdout.take().unwrap());
    let read = says.read_line(&mut said);
    let shown = read.ok().and_then(|_| {
        // Forwarding from 127.0.0.1:41234 -> 5432
        let place = said.split_whitespace().nth(2)?;
        let out = Command::new("openssl")
            .args(["s_client", "-starttls", "postgres", "-connect", place])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let begin = said.find("-----BEGIN CERTIFICATE-----")?;
        let end = said.find("-----END CERTIFICATE-----")?;
        said.get(begin..end).map(str::to_owned)
    });
    let _ = forward.kill();
    let _ = forward.wait();
    shown
}

/// Proxies and the operator reach a preview's own PostgreSQL by TLS only, with a certificate of the preview's authority, which is renewed
/// without a restart: whoever is connected stays.
#[test]
fn the_managed_server_s_certificate_is_renewed() {
    let Some(stage) = Stage::new("sealed") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("sealed", json!({"sync": {"interval": "10s"}}));
    namespace.ready("sealed");
    let mut session = stage.connect("sealed");
    session.must("UPDATE orders SET total = 0 WHERE id = 1");
    let pod = namespace
        .ready_pods(&pods_of("sealed", "fresh"), 1)
        .remove(0);

    let connections = value(
        namespace,
        &pod,
        "SELECT count(*) FILTER (WHERE NOT s.ssl) || ' of ' || count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.client_addr IS NOT NULL",
    );
    assert!(
        connections.starts_with("0 of ") && connections != "0 of 0",
        "connections without TLS: {connections}"
    );
    let refused = shell(
        namespace,
        &pod,
        "psql 'host=127.0.0.1 sslmode=disable' -XAtc 'SELECT 1'",
    );
    assert!(refused.contains("no encryption"), "{refused}");

    let secret = |key: &str| {
        namespace
            .secret_values("sealed-internal")
            .remove(key)
            .unwrap()
    };
    let old = secret("fresh-server.crt");
    assert!(old.contains(&shown(namespace, &pod).expect("a certificate")));
    let loaded = value(namespace, &pod, "SELECT pg_conf_load_time()");
    // As if its end were near.
    namespace.patch(
        "Secret",
        "sealed-internal",
        &json!({"metadata": {"annotations": {"previewpg.dev/fresh-certificate-not-after": "2026-01-01T00:00:00Z"}}}),
    );
    let new = namespace.wait("another certificate in the Secret", ROTATED, || {
        Some(secret("fresh-server.crt")).filter(|new| *new != old)
    });
    namespace.wait("the server to show it", ROTATED, || {
        shown(namespace, &pod).filter(|shown| new.contains(shown))
    });
    assert_ne!(value(namespace, &pod, "SELECT pg_conf_load_time()"), loaded);
    assert_eq!(
        namespace.ready_pods(&pods_of("sealed", "fresh"), 1),
        [pod],
        "the pod was replaced"
    );
    assert_eq!(
        session.value("SELECT count(*) FROM orders WHERE total = 0 AND id = 1"),
        "1",
        "who was connected stays"
    );
    let mut another = stage.connect("sealed");
    assert_eq!(another.value("SELECT count(*) FROM orders"), "10000");
    namespace.ready("sealed");
}

/// A production that is reached by TLS alone, verified, by the operator, the proxies and the preview's own PostgreSQL. Authorities come from a
/// ConfigMap or a Secret; with others production isn't taken for what it says it is.
#[test]
fn production_is_verified() {
    let Some(stage) = Stage::new("verified") else {
        return;
    };
    let namespace = &stage.namespace;
    let cluster = namespace.cluster;
    let mut production = Production::start(cluster, "verified");
    let trusted = production.server.certify(&format!("IP:{}", cluster.host()));
    let trusted = std::fs::read_to_string(trusted).unwrap();
    let data = production.server.data();
    std::fs::write(
        data.join("pg_hba.conf"),
        "local all all trust\nhostssl all all all scram-sha-256\n",
    )
    .unwrap();
    let mut admin = production.server.connect("postgres");
    admin.must("SELECT pg_reload_conf()");
    admin.must(&format!(
        "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    production.server.create_template("shop", SHOP);
    let address: Address = production.address("reader", "shop");
    namespace.secret("prod-readonly", &[("uri", &address.url())]);

    // Another production's.
    let mut other = Production::start(cluster, "impostor");
    let wrong = other.server.certify(&format!("IP:{}", cluster.host()));
    let wrong = std::fs::read_to_string(wrong).unwrap();
    drop(other);

    let authorities = |certificate: &str| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prod-ca"}, "data": {"ca.crt": certificate}});
        namespace.apply(&object.to_string());
    };
    authorities(&wrong);
    namespace.secret("prod-ca", &[("ca.crt", &trusted)]);
    let tls = |ca: Value| json!({"production": {"tls": {"mode": "verify-full", "ca": ca}}, "sync": {"interval": "10s"}});
    let from_config_map = json!({"configMapKeyRef": {"name": "prod-ca", "key": "ca.crt"}});
    stage.preview("wary", tls(from_config_map.clone()));
    let object = namespace.condition("wary", "ProductionReachable", "False", "CertificateInvalid");
    let message = text(
        condition(&object, "ProductionReachable").unwrap(),
        "/message",
    );
    assert!(message.contains("certificate"), "{message}");
    namespace.event("wary", "CertificateInvalid");
    authorities(&trusted);
    namespace.ready("wary");
    stage.preview(
        "sure",
        tls(json!({"secretKeyRef": {"name": "prod-ca", "key": "ca.crt"}})),
    );
    namespace.ready("sure");
    let mut sessions = Vec::new();
    for name in ["wary", "sure"] {
        let mut session = stage.connect(name);
        // By the foreign server, which finds new authorities as soon as the kubelet has brought them.
        namespace.wait("a merged read", ROTATED, || {
            session
                .query("UPDATE orders SET total = 0 WHERE id = 1")
                .ok()?;
            let rows = session.query("SELECT count(*) FROM orders").ok()?;
            assert_eq!(rows, ["10000"]);
            Some(())
        });
        // By the proxy itself.
        assert_eq!(session.value("SELECT count(*) FROM customers"), "2000");
        sessions.push(session);
    }
    let ways = admin.value(
        "SELECT string_agg(DISTINCT application_name || ' ' || ssl, ', ') FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'reader'",
    );
    assert!(
        ways.contains("true") && !ways.contains("false"),
        "how production is reached: {ways}"
    );
    drop(sessions);

    // Whoever else answers at production's address is found out: by new connections at once, by the operator with its next look.
    authorities(&wrong);
    namespace.condition("wary", "ProductionReachable", "False", "CertificateInvalid");
    authorities(&trusted);
    namespace.ready("wary");
    for name in ["wary", "sure"] {
        namespace.delete("PreviewDatabase", name);
        namespace.gone("PreviewDatabase", name);
    }
}
