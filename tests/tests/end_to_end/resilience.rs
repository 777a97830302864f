//! What is killed or deleted comes back, and no change that was made in the preview is lost.

use std::time::Duration;

use previewpg_tests::kubernetes::namespace::name_of;
use previewpg_tests::kubernetes::{PATIENCE, Psql, text};
use serde_json::json;

use super::{SYSTEM, Stage, pods_of};

/// What the changes amount to.
const SUM: &str = "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT sum(total) FROM orders) || ' ' || \
                   (SELECT string_agg(note, ',' ORDER BY id) FROM notes)";

struct Changed<'a> {
    stage: &'a Stage,
    sum: String,
}

impl Changed<'_> {
    /// The preview serves, with all that was changed in it.
    fn holds(&self, after: &str) {
        let mut last = None;
        let sum = self
            .stage
            .namespace
            .wait(&format!("an answer after {after}"), PATIENCE, || {
                let answer = Psql::connect(&self.stage.namespace, "tough")
                    .and_then(|mut session| session.query(SUM));
                match answer {
                    Ok(rows) => rows.into_iter().next(),
                    Err(failure) => {
                        last = Some(failure);
                        None
                    }
                }
            });
        assert_eq!(
            sum, self.sum,
            "after {after}; the last failure was {last:?}"
        );
    }
}

#[test]
fn what_is_killed_or_deleted_comes_back_with_every_change() {
    let Some(stage) = Stage::new("tough") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("tough", json!({}));
    namespace.ready("tough");
    let mut session = stage.connect("tough");
    session.must("DELETE FROM orders WHERE id <= 100");
    session.must("UPDATE orders SET total = 1 WHERE id BETWEEN 200 AND 300");
    session.must("CREATE TABLE notes (id int PRIMARY KEY, note text)");
    session.must("INSERT INTO notes VALUES (1, 'one'), (2, 'two')");
    let changed = Changed {
        stage: &stage,
        sum: session.value(SUM),
    };

    for component in ["proxy", "fresh"] {
        let pod = namespace
            .ready_pods(&pods_of("tough", component), 1)
            .remove(0);
        let container =
            text(&namespace.must_get("Pod", &pod), "/spec/containers/0/name").to_owned();
        namespace.cluster.kill(&namespace.name, &pod, &container);
        changed.holds(&format!("kill -9 of {component}"));
        let pod = namespace
            .ready_pods(&pods_of("tough", component), 1)
            .remove(0);
        namespace.delete("Pod", &pod);
        changed.holds(&format!("the deletion of {component}'s pod"));
        namespace.ready_pods(&pods_of("tough", component), 1);
    }
    // The operator dies and starts again in the midst of it.
    for pod in namespace
        .cluster
        .api
        .list("Pod", SYSTEM, "app.kubernetes.io/component=operator")
    {
        namespace.cluster.kill(
            SYSTEM,
            &name_of(&pod),
            text(&pod, "/spec/containers/0/name"),
        );
    }
    for kind in [
        "ConfigMap",
        "Secret",
        "Service",
        "Deployment",
        "StatefulSet",
        "NetworkPolicy",
    ] {
        let children = namespace.list(kind, "app.kubernetes.io/instance=tough");
        assert!(!children.is_empty(), "no {kind} of the preview");
        for child in children {
            let (name, uid) = (name_of(&child), text(&child, "/metadata/uid").to_owned());
            namespace.delete(kind, &name);
            namespace.until(&format!("{kind} {name} to come back"), || {
                namespace.get(kind, &name).is_some_and(|new| {
                    text(&new, "/metadata/uid") != uid
                        && new.pointer("/metadata/deletionTimestamp").is_none()
                })
            });
            changed.holds(&format!("the deletion of {kind} {name}"));
        }
    }
    namespace.ready("tough");
}

/// A change by hand of what the operator owns is put right again.
#[test]
fn what_is_bent_is_straightened() {
    let Some(stage) = Stage::new("bent") else {
        return;
    };
    let namespace = &stage.namespace;
    stage.preview("bent", json!({}));
    namespace.ready("bent");
    let settled = namespace.must_get("Service", "bent");
    namespace.patch(
        "Service",
        "bent",
        &json!({"spec": {"selector": {"app.kubernetes.io/component": "nobody"}}}),
    );
    namespace.wait(
        "the selector to be as it was",
        Duration::from_secs(30),
        || {
            let now = namespace.must_get("Service", "bent");
            (now.pointer("/spec/selector") == settled.pointer("/spec/selector")).then_some(())
        },
    );
    let deployment = name_of(
        &namespace
            .list("Deployment", "app.kubernetes.io/instance=bent")
            .remove(0),
    );
    namespace.patch("Deployment", &deployment, &json!({"spec": {"replicas": 0}}));
    namespace.ready_pods(&pods_of("bent", "proxy"), 1);
    stage.connect("bent");
}
