//! Says of pods that they're ready, where there's no node that could run it: Deployments and StatefulSets then become available,
//! and what waits for them goes on. Nothing runs.

use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};

use super::namespace::{is_ready, name_of};
use super::{Cluster, text};

/// Begins to, once for a test binary, until it ends: in the namespaces whose names begin so.
pub fn pretend(cluster: &'static Cluster, namespaces: &'static [&'static str]) {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        std::thread::spawn(move || {
            loop {
                for pod in cluster.api.list("Pod", "", "") {
                    let namespace = text(&pod, "/metadata/namespace");
                    if !namespaces.iter().any(|start| namespace.starts_with(start)) {
                        continue;
                    }
                    if pod.pointer("/metadata/deletionTimestamp").is_some() {
                        end(cluster, &pod);
                    } else if !is_ready(&pod) {
                        begin(cluster, &pod);
                    }
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
    });
}

/// A pod that is gone meanwhile is no matter.
fn begin(cluster: &Cluster, pod: &Value) {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]});
    let statuses: Vec<Value> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": true, "started": true,
                   "restartCount": 0, "state": {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}})
        })
        .collect();
    let kinds = ["Initialized", "ContainersReady", "Ready", "PodScheduled"];
    let status = json!({"status": {
        "phase": "Running", "conditions": kinds.map(condition), "containerStatuses": statuses,
    }});
    let _ = cluster.api.patch_subresource(
        "Pod",
        text(pod, "/metadata/namespace"),
        &name_of(pod),
        "status",
        &status,
    );
}

/// Nothing has to be stopped: it may go at once.
fn end(cluster: &Cluster, pod: &Value) {
    cluster
        .api
        .delete_now("Pod", text(pod, "/metadata/namespace"), &name_of(pod));
}
