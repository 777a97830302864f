//! Previews from their making to their end, with the operator as a process of this machine and a real API server: what goes wrong is
//! told and mended by itself, what ends leaves what it should. Pods don't run here; the databases are real.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

#[path = "operator/endings.rs"]
mod endings;
#[path = "operator/mistakes.rs"]
mod mistakes;

use std::sync::OnceLock;

use previewpg_tests::client::Session;
use previewpg_tests::kubernetes::kubelet::pretend;
use previewpg_tests::kubernetes::operator::{Operator, Release};
use previewpg_tests::kubernetes::production::Database;
use previewpg_tests::kubernetes::{Cluster, Namespace, Production, Tier};
use previewpg_tests::servers::PASSWORD;
use serde_json::{Value, json};

/// How long the operator tries to drop a deleted preview's database, in seconds.
const CLEANUP: &str = "10";

/// The cluster, with an operator.
fn cluster() -> Option<&'static Cluster> {
    static OPERATOR: OnceLock<Operator> = OnceLock::new();
    let cluster = Cluster::shared(Tier::ControlPlane)?;
    OPERATOR.get_or_init(|| {
        pretend(cluster, &[""]);
        Release::new(cluster, "previewpg-system", &[])
            .start(&[("PREVIEWPG_CLEANUP_WITHIN", CLEANUP)])
    });
    Some(cluster)
}

/// A namespace with a production and a fresh server.
struct Stage {
    namespace: Namespace,
    production: Database,
}

impl Stage {
    /// With the Secrets `prod-readonly` and `fresh-admin` of the shared servers.
    fn new(name: &str) -> Option<Stage> {
        let cluster = cluster()?;
        let production = Production::shared(cluster).database(
            "CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL);
             INSERT INTO customers SELECT n, 'customer' || n FROM generate_series(1, 100) n",
        );
        let namespace = Namespace::new(cluster, name);
        let stage = Stage {
            namespace,
            production,
        };
        stage.production_secret(&stage.production.url("reader"));
        stage.fresh_secret(&stage.admin_url());
        Some(stage)
    }

    fn production_secret(&self, url: &str) {
        self.namespace.secret("prod-readonly", &[("uri", url)]);
    }

    fn fresh_secret(&self, url: &str) {
        self.namespace.secret("fresh-admin", &[("uri", url)]);
    }

    /// Fresh's server, as its superuser. It's production's own server: a database of another name is all that a preview needs.
    fn admin_url(&self) -> String {
        self.production
            .production
            .address("postgres", "postgres")
            .role("postgres", PASSWORD)
            .url()
    }

    /// Fresh's database of a preview.
    fn fresh_database(&self, preview: &str) -> String {
        format!("fresh_{}_{preview}", self.production.name)
    }

    /// Applies a preview with `fresh.connection`, and what `more` adds to its spec.
    fn preview(&self, name: &str, more: Value) -> Value {
        let mut spec = json!({
            "production": {
                "connection": {"uri": {"secretKeyRef": {"name": "prod-readonly", "key": "uri"}}}, "tls": {"mode": "disable"},
            },
            "fresh": {"connection": {
                "uri": {"secretKeyRef": {"name": "fresh-admin", "key": "uri"}},
                "database": self.fresh_database(name), "tls": {"mode": "disable"},
            }},
        });
        merge(&mut spec, more);
        let object = json!({
            "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": name}, "spec": spec,
        });
        self.namespace.apply(&object.to_string()).remove(0)
    }

    /// A superuser's session at the server of both.
    fn admin(&self) -> Session {
        self.production.production.server.connect("postgres")
    }

    /// Whether fresh's server has the preview's database.
    fn has_database(&self, preview: &str) -> bool {
        let name = self.fresh_database(preview);
        self.admin().value(&format!(
            "SELECT count(*) FROM pg_database WHERE datname = '{name}'"
        )) == "1"
    }
}

/// Puts `more` into `value`, object by object; null takes away.
fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, field) in more {
                if field.is_null() {
                    fields.remove(&name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), field);
                }
            }
        }
        (value, more) => *value = more,
    }
}
