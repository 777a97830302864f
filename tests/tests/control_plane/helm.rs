//! The chart, by helm itself. There's no node, so nothing starts; that it works is shown by the suite `end_to_end`.

use previewpg_tests::kubernetes::cluster::chart;
use previewpg_tests::kubernetes::namespace::name_of;
use previewpg_tests::kubernetes::operator::render;
use previewpg_tests::kubernetes::{Cluster, Namespace, documents, text};
use serde_json::{Value, json};

use super::cluster;

/// What users set, each with what must be in the outcome, and what must not.
const SETTINGS: &[(&[&str], &[&str], &[&str])] = &[
    (
        &[],
        &[
            "Deployment",
            "ClusterRole",
            "CustomResourceDefinition",
            "ServiceAccount",
            "NetworkPolicy",
        ],
        &["PodDisruptionBudget", "ServiceMonitor"],
    ),
    (&["replicas=2"], &["PodDisruptionBudget"], &[]),
    (&["crds.install=false"], &[], &["CustomResourceDefinition"]),
    (
        &["watchNamespaces={a,b}", "rbac.aggregate=false"],
        &["Role", "RoleBinding"],
        &["ClusterRoleBinding", "ClusterRole"],
    ),
    (
        &["rbac.create=false"],
        &[],
        &["ClusterRoleBinding", "RoleBinding"],
    ),
    (
        &["serviceAccount.create=false", "serviceAccount.name=other"],
        &[],
        &["ServiceAccount"],
    ),
    (
        &[
            "metrics.serviceMonitor.enabled=true",
            "metrics.prometheusRule.enabled=true",
        ],
        &["ServiceMonitor", "PrometheusRule"],
        &[],
    ),
    (&["metrics.dashboard.enabled=true"], &["ConfigMap"], &[]),
    (&["watchSecrets=true"], &["ClusterRole"], &[]),
    (
        &[
            "networkPolicy.enabled=false",
            "metrics.service.enabled=false",
        ],
        &[],
        &["NetworkPolicy", "Service"],
    ),
];

#[test]
fn the_chart_has_no_reproach() {
    let Some(cluster) = cluster() else { return };
    for (settings, ..) in SETTINGS {
        let chart = chart();
        let mut words = vec!["lint", "--strict", &chart];
        for setting in *settings {
            words.extend(["--set", setting]);
        }
        cluster
            .helm(&words)
            .unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    }
}

/// What is rendered has what was asked for, and the API server takes every object of its own kinds without a warning about a field.
#[test]
fn settings_do_what_they_say() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "previewpg-rendered");
    for (settings, wanted, unwanted) in SETTINGS {
        let rendered = render(cluster, &namespace.name, settings)
            .unwrap_or_else(|error| panic!("{settings:?}: {error}"));
        let objects = documents(&rendered);
        let kinds: Vec<&str> = objects.iter().map(|object| text(object, "/kind")).collect();
        for kind in *wanted {
            assert!(kinds.contains(kind), "{settings:?}: no {kind} in {kinds:?}");
        }
        for kind in *unwanted {
            assert!(!kinds.contains(kind), "{settings:?}: there's a {kind}");
        }
        for object in objects
            .iter()
            .filter(|object| !text(object, "/apiVersion").starts_with("monitoring.coreos.com"))
        {
            let home = text(object, "/metadata/namespace");
            // Roles for namespaces that don't exist can't be tried.
            if home.is_empty() || home == namespace.name {
                cluster.api.dry_run(home, object).unwrap_or_else(|refusal| {
                    panic!(
                        "{settings:?}: {} {}: {refusal}",
                        text(object, "/kind"),
                        name_of(object)
                    )
                });
            }
        }
    }
}

#[test]
fn a_setting_that_doesn_t_exist_is_refused() {
    let Some(cluster) = cluster() else { return };
    for setting in [
        "replicaCount=2",
        "image.repo=x",
        "replicas=many",
        "logging.format=xml",
    ] {
        let error = render(cluster, "previewpg-wrong", &[setting]).expect_err(setting);
        let name = setting.split(['=', '.']).next().unwrap();
        assert!(error.contains(name), "{setting}: {error}");
    }
}

/// Installed, upgraded, uninstalled: what was made goes, and the definition with everybody's previews stays.
#[test]
fn installed_upgraded_and_uninstalled() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "previewpg-helm");
    let chart = chart();
    let release = |words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["--namespace", &namespace.name]);
        cluster
            .helm(&all)
            .unwrap_or_else(|error| panic!("helm {words:?}: {error}"))
    };
    // The suite has installed the definition already: it's taken over.
    let said = release(&["install", &namespace.name, &chart, "--take-ownership"]);
    assert!(
        said.contains("kubectl"),
        "the notes say what to do next: {said}"
    );
    let preview = json!({
        "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": "kept"},
        "spec": {"production": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}},
    });
    namespace.apply(&preview.to_string());
    assert_eq!(deployment(&namespace)["spec"]["replicas"], 1);
    release(&["upgrade", &namespace.name, &chart, "--set", "replicas=2"]);
    assert_eq!(deployment(&namespace)["spec"]["replicas"], 2);
    assert_eq!(namespace.list("PodDisruptionBudget", "").len(), 1);
    release(&["rollback", &namespace.name, "1"]);
    assert_eq!(deployment(&namespace)["spec"]["replicas"], 1);
    release(&["uninstall", &namespace.name]);
    let selector = format!("app.kubernetes.io/instance={}", namespace.name);
    for kind in [
        "Deployment",
        "Service",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ] {
        assert!(
            namespace.list(kind, &selector).is_empty(),
            "a {kind} is left"
        );
    }
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert!(
            cluster.api.list(kind, "", &selector).is_empty(),
            "a {kind} is left"
        );
    }
    assert!(
        namespace.get("PreviewDatabase", "kept").is_some(),
        "the definition went, and everybody's previews with it"
    );
}

fn deployment(namespace: &Namespace) -> Value {
    let mut found = namespace.list("Deployment", "app.kubernetes.io/component=operator");
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Who may view or edit a namespace may view or edit its previews.
#[test]
fn the_usual_roles_include_previews() {
    let Some(cluster) = cluster() else { return };
    let release = "previewpg-aggregated";
    apply_roles(cluster, release);
    for (role, verbs) in [
        ("view", vec!["get", "list", "watch"]),
        ("edit", vec!["create", "delete", "patch", "update"]),
    ] {
        let rules = {
            // A controller puts them together.
            let started = std::time::Instant::now();
            loop {
                let object = cluster
                    .api
                    .get("ClusterRole", "", role)
                    .expect("one of the cluster's own roles");
                let ours: Vec<Value> = object["rules"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|rule| {
                        rule["apiGroups"]
                            .as_array()
                            .is_some_and(|groups| groups.contains(&json!("previewpg.dev")))
                    })
                    .cloned()
                    .collect();
                if !ours.is_empty() || started.elapsed().as_secs() > 30 {
                    break ours;
                }
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        };
        let given = json!(rules).to_string();
        for verb in verbs {
            assert!(
                given.contains(&format!("\"{verb}\"")),
                "{role} lacks {verb}: {given}"
            );
        }
    }
}

fn apply_roles(cluster: &Cluster, release: &str) {
    let rendered = render(cluster, release, &[]).unwrap();
    for object in documents(&rendered) {
        if text(&object, "/kind") == "ClusterRole" {
            cluster.api.apply("", &object.to_string());
        }
    }
}
