//! The Helm chart: what it renders, for several files of values, is what Kubernetes knows, secure, and what the operator needs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::rbac::v1::PolicyRule;
use previewpg_operator::api::Reason;
use previewpg_operator::cli::Cli;
use serde_json::Value;

use support::helm::{Helm, helm};
use support::{decode, documents, root, values, yaml_files};

fn chart() -> String {
    root().join("charts/previewpg").display().to_string()
}

fn files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values");
    let files: Vec<_> = yaml_files(&directory)
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, file.display().to_string())
        })
        .collect();
    assert!(files.len() >= 4);
    files
}

fn render(helm: &Helm, file: &str) -> String {
    let chart = chart();
    helm.output([
        "template",
        "release",
        chart.as_str(),
        "--namespace",
        "previewpg",
        "--values",
        file,
    ])
}

fn rendered(helm: &Helm, file: &str) -> Vec<Value> {
    documents(&render(helm, file))
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests
        .iter()
        .filter(|manifest| manifest["kind"] == kind)
        .collect()
}

#[test]
fn helm_finds_no_fault() {
    let Some(helm) = helm() else { return };
    for (_, file) in files() {
        let chart = chart();
        helm.output([
            "lint",
            "--strict",
            chart.as_str(),
            "--values",
            file.as_str(),
        ]);
    }
}

#[test]
fn every_manifest_is_known_to_its_type() {
    let Some(helm) = helm() else { return };
    let mut kinds = BTreeSet::new();
    for (name, file) in files() {
        let manifests = rendered(&helm, &file);
        assert!(!manifests.is_empty(), "{name}");
        for manifest in &manifests {
            decode::check(manifest);
            kinds.insert(manifest["kind"].as_str().unwrap().to_owned());
        }
    }
    for kind in [
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ] {
        assert!(kinds.contains(kind), "no file of values makes a {kind}");
    }
}

/// A check that never fails is none.
#[test]
#[should_panic(expected = "Deployment.spec.replica isn't known to its type")]
fn an_unknown_field_is_found() {
    decode::check(&serde_json::json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {
            "replica": 1,
            "selector": {},
            "template": {"metadata": {}, "spec": {"containers": []}},
        },
    }));
}

#[test]
fn pods_meet_the_restricted_standard() {
    let Some(helm) = helm() else { return };
    for (name, file) in files() {
        let manifests = rendered(&helm, &file);
        let mut specs: Vec<PodSpec> = Vec::new();
        for deployment in of_kind(&manifests, "Deployment") {
            let deployment: Deployment = decode::decoded(deployment);
            let spec = deployment.spec.unwrap().template.spec.unwrap();
            assert!(
                spec.containers[0].liveness_probe.is_some()
                    && spec.containers[0].readiness_probe.is_some()
            );
            specs.push(spec);
        }
        for pod in of_kind(&manifests, "Pod") {
            let pod: Pod = decode::decoded(pod);
            let spec = pod.spec.unwrap();
            assert_eq!(
                spec.automount_service_account_token,
                Some(false),
                "{name}: the test needs no token"
            );
            specs.push(spec);
        }
        assert!(!specs.is_empty(), "{name}");
        for spec in specs {
            let security = spec.security_context.unwrap();
            assert_eq!(security.run_as_non_root, Some(true), "{name}");
            assert!(security.run_as_user.is_some_and(|user| user > 0), "{name}");
            assert_eq!(
                security.seccomp_profile.unwrap().type_,
                "RuntimeDefault",
                "{name}"
            );
            assert!(
                spec.host_network.is_none() && spec.host_pid.is_none(),
                "{name}"
            );
            for container in spec.containers {
                let security = container.security_context.unwrap();
                assert_eq!(security.allow_privilege_escalation, Some(false), "{name}");
                assert_eq!(security.read_only_root_filesystem, Some(true), "{name}");
                let capabilities = security.capabilities.unwrap();
                assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]), "{name}");
                assert_eq!(capabilities.add, None, "{name}");
                let resources = container.resources.unwrap();
                assert!(
                    resources.requests.is_some() && resources.limits.is_some(),
                    "{name}"
                );
            }
        }
    }
}

fn rules(manifests: &[Value], kind: &str) -> Vec<(String, PolicyRule)> {
    of_kind(manifests, kind)
        .into_iter()
        .flat_map(|role| {
            let name = role["metadata"]["name"].as_str().unwrap().to_owned();
            role["rules"]
                .as_array()
                .unwrap()
                .iter()
                .map(move |rule| (name.clone(), decode::decoded(rule)))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn rights_are_few() {
    let Some(helm) = helm() else { return };
    for (name, file) in files() {
        let manifests = rendered(&helm, &file);
        let all = [rules(&manifests, "Role"), rules(&manifests, "ClusterRole")].concat();
        for (role, rule) in all {
            let PolicyRule {
                api_groups,
                resources,
                verbs,
                non_resource_urls,
                resource_names: _,
            } = rule;
            let (groups, resources) = (api_groups.unwrap(), resources.unwrap());
            for text in groups.iter().chain(&resources).chain(&verbs) {
                assert!(
                    !text.contains('*'),
                    "{name}: {role} has a rule with \"{text}\""
                );
            }
            assert_eq!(non_resource_urls, None, "{name}: {role}");
            if resources.iter().any(|resource| resource == "secrets") {
                let by_name = verbs == ["get", "create", "patch", "delete"];
                let asked_for = name == "everything" && verbs == ["list", "watch"];
                assert!(by_name || asked_for, "{name}: {role} may {verbs:?} Secrets");
            }
            for verb in ["escalate", "bind", "impersonate"] {
                assert!(
                    !verbs.iter().any(|each| each == verb),
                    "{name}: {role} may {verb}"
                );
            }
        }
    }
}

/// Each rule says above itself what it's for.
#[test]
fn every_right_has_its_reason() {
    let Some(helm) = helm() else { return };
    for (name, file) in files() {
        let text = render(&helm, &file);
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.trim_start().starts_with("- apiGroups:") {
                let above = number
                    .checked_sub(1)
                    .map_or("", |above| lines[above].trim_start());
                assert!(
                    above.starts_with("# "),
                    "{name}: no comment above {line:?} but {above:?}"
                );
            }
        }
    }
}

#[test]
fn watched_namespaces_have_roles_and_the_cluster_has_none() {
    let Some(helm) = helm() else { return };
    let file = files()
        .into_iter()
        .find(|(name, _)| name == "namespaces")
        .unwrap()
        .1;
    let namespaced = rendered(&helm, &file);
    assert!(of_kind(&namespaced, "ClusterRole").is_empty());
    assert!(of_kind(&namespaced, "ClusterRoleBinding").is_empty());
    let mut places: Vec<_> = of_kind(&namespaced, "Role")
        .into_iter()
        .map(|role| role["metadata"]["namespace"].as_str().unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!(places, ["previewpg", "shop-previews", "web-previews"]);

    // The same rules, wherever they stand.
    let file = files()
        .into_iter()
        .find(|(name, _)| name == "defaults")
        .unwrap()
        .1;
    let everywhere = rendered(&helm, &file);
    let of = |manifests: &[Value], kind: &str| -> Vec<PolicyRule> {
        rules(manifests, kind)
            .into_iter()
            .filter(|(name, _)| name == "release-previewpg")
            .map(|(_, rule)| rule)
            .collect()
    };
    let (cluster, roles) = (of(&everywhere, "ClusterRole"), of(&namespaced, "Role"));
    assert!(cluster.len() > 5);
    assert_eq!(roles, [cluster.clone(), cluster].concat());
}

/// A preview's pods have the same name label; the operator's selectors must not take them in.
#[test]
fn selectors_take_in_the_operator_alone() {
    let Some(helm) = helm() else { return };
    for (name, file) in files() {
        let manifests = rendered(&helm, &file);
        let mut selectors = 0;
        for (kind, path) in [
            ("Deployment", "/spec/selector/matchLabels"),
            ("Service", "/spec/selector"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
            ("ServiceMonitor", "/spec/selector/matchLabels"),
        ] {
            for manifest in of_kind(&manifests, kind) {
                let selector = manifest.pointer(path).unwrap();
                assert_eq!(
                    selector["app.kubernetes.io/component"], "operator",
                    "{name}: {kind}"
                );
                assert_eq!(
                    selector["app.kubernetes.io/instance"], "release",
                    "{name}: {kind}"
                );
                selectors += 1;
            }
        }
        assert!(selectors > 0, "{name}");
        for pod in of_kind(&manifests, "Pod") {
            assert_eq!(
                pod["metadata"]["labels"]["app.kubernetes.io/component"], "test",
                "{name}"
            );
        }
    }
}

#[test]
fn the_definition_stays_when_the_release_goes() {
    let Some(helm) = helm() else { return };
    for (name, kept) in [("defaults", Some("keep")), ("everything", None)] {
        let file = files()
            .into_iter()
            .find(|(each, _)| each == name)
            .unwrap()
            .1;
        let manifests = rendered(&helm, &file);
        let crd = of_kind(&manifests, "CustomResourceDefinition")[0];
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"].as_str(),
            kept,
            "{name}"
        );
        let committed = &documents(
            &std::fs::read_to_string(root().join("crds/previewdatabases.yaml")).unwrap(),
        )[0];
        decode::assert_kept("spec", &committed["spec"], &crd["spec"]);
    }
}

#[test]
fn mistakes_in_values_are_told() {
    let Some(helm) = helm() else { return };
    let chart = chart();
    for (set, parts) in [
        (
            "replica=2",
            &["additional properties 'replica' not allowed"][..],
        ),
        (
            "image.tags=1",
            &["image", "additional properties 'tags' not allowed"],
        ),
        ("replicas=many", &["replicas", "got string, want integer"]),
        ("logging.format=xml", &["logging", "format"]),
        (
            "watchNamespaces={Shop}",
            &["watchNamespaces", "does not match pattern"],
        ),
        (
            "image.digest=sha256:1",
            &["digest", "does not match pattern"],
        ),
        (
            "serviceAccount.create=false",
            &["serviceAccount.name is needed"],
        ),
        (
            "metrics.service.enabled=false,metrics.serviceMonitor.enabled=true",
            &["metrics.serviceMonitor needs metrics.service.enabled"],
        ),
    ] {
        let output = helm.run(["template", "release", chart.as_str(), "--set", set]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{set} is taken");
        for part in parts {
            assert!(told.contains(part), "{set}: {told:?} lacks {part:?}");
        }
    }
}

#[test]
fn the_notes_teach_the_next_step() {
    let Some(helm) = helm() else { return };
    let chart = chart();
    for (set, parts) in [
        (
            "replicas=1",
            &["watches all namespaces", "kubectl apply -f -"][..],
        ),
        (
            "watchNamespaces={shop,web}",
            &["the namespaces shop, web", "kubectl -n shop apply -f -"],
        ),
    ] {
        let told = helm.output([
            "install",
            "release",
            chart.as_str(),
            "--namespace",
            "previewpg",
            "--dry-run=client",
            "--set",
            set,
        ]);
        let (_, notes) = told.split_once("NOTES:").unwrap();
        for part in
            parts
                .iter()
                .chain(&["helm test", "kubectl describe pvdb", "docs/operations.md"])
        {
            assert!(notes.contains(part), "{set}: no {part:?} in:\n{notes}");
        }
        // What it tells to apply can be applied.
        let (_, object) = notes.split_once("<<END\n").unwrap();
        let (object, _) = object.split_once("     END").unwrap();
        let object: String = object
            .lines()
            .map(|line| format!("{}\n", line.trim_start_matches("     ")))
            .collect();
        decode::check(&documents(&object)[0]);
    }
}

/// Every argument and variable that the chart sets is one that the operator reads, with a value that it takes.
#[test]
fn the_operator_understands_what_it_is_told() {
    let Some(helm) = helm() else { return };
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    for (name, file) in files() {
        let manifests = rendered(&helm, &file);
        let deployment: Deployment = decode::decoded(of_kind(&manifests, "Deployment")[0]);
        let container = deployment
            .spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .containers
            .remove(0);
        let mut line = [container.command.unwrap(), container.args.unwrap()].concat();
        for variable in container.env.unwrap() {
            // Not the operator's own: HTTP clients and the C library read these.
            if matches!(variable.name.as_str(), "HTTPS_PROXY" | "MALLOC_ARENA_MAX") {
                continue;
            }
            let option = run
                .get_arguments()
                .find(|option| {
                    option
                        .get_env()
                        .is_some_and(|env| env == variable.name.as_str())
                })
                .unwrap_or_else(|| panic!("{name}: the operator reads no {}", variable.name));
            line.push(format!("--{}", option.get_long().unwrap()));
            if !option.get_action().takes_values() {
                assert_eq!(variable.value.as_deref(), Some("true"), "{name}");
                continue;
            }
            line.push(variable.value.unwrap_or_else(|| "previewpg".to_owned()));
        }
        Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{name}: {error}"));

        for pod in of_kind(&manifests, "Pod") {
            let pod: Pod = decode::decoded(pod);
            let container = pod.spec.unwrap().containers.remove(0);
            let line = [container.command.unwrap(), container.args.unwrap()].concat();
            Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// The metrics that operator and proxies have, as they're named in the text that Prometheus reads.
fn metrics() -> BTreeSet<String> {
    let operator = std::sync::Arc::new(previewpg_operator::metrics::Metrics::new());
    operator.reconciled(true, std::time::Duration::ZERO);
    operator.job("bring_up").ended(true);
    operator.reason("uid", "Serving");
    let proxy = previewpg_proxy::admin::metrics::Metrics::new();
    proxy.refused("call");
    let _ = proxy.connected();
    format!("{}{}", operator.render(), proxy.render())
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let metrics = metrics();
    let directory = root().join("charts/previewpg/files");
    let alerts = std::fs::read_to_string(directory.join("alerts.yaml")).unwrap();
    let dashboard = std::fs::read_to_string(directory.join("dashboard.json")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&alerts).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let asked: Vec<&str> = alerts["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["expr"].as_str().unwrap())
        .chain(
            dashboard["panels"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|panel| {
                    panel["targets"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|target| target["expr"].as_str().unwrap())
                }),
        )
        .collect();
    let mut found = 0;
    for expression in asked {
        for word in expression.split(|each: char| !(each.is_ascii_alphanumeric() || each == '_')) {
            if word.starts_with("previewpg_") {
                assert!(
                    metrics.contains(word),
                    "there is no metric {word}, only {metrics:#?}"
                );
                found += 1;
            }
        }
    }
    assert!(found > 15, "only {found}");
}

/// Alerts tell reasons apart: those that they name exist.
#[test]
fn alerts_name_reasons_that_there_are() {
    let alerts =
        std::fs::read_to_string(root().join("charts/previewpg/files/alerts.yaml")).unwrap();
    let mut found = 0;
    for list in alerts.split("reason").skip(1) {
        let Some(list) = list
            .strip_prefix("!~\"")
            .or_else(|| list.strip_prefix("=~\""))
        else {
            continue;
        };
        for word in list.split('"').next().unwrap().split('|') {
            assert!(
                Reason::ALL.iter().any(|reason| reason.as_str() == word),
                "{word}"
            );
            found += 1;
        }
    }
    assert!(found > 5);
}

#[test]
fn versions_agree() {
    let text = std::fs::read_to_string(root().join("charts/previewpg/Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_value_is_documented_and_in_the_schema() {
    let directory = root().join("charts/previewpg");
    let text = std::fs::read_to_string(directory.join("values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let schema: Value = serde_json::from_str(
        &std::fs::read_to_string(directory.join("values.schema.json")).unwrap(),
    )
    .unwrap();
    let documented = values::documented(&text);
    assert!(documented.len() > 40);
    for leaf in values::leaves(&defaults) {
        assert!(
            documented
                .iter()
                .any(|value| leaf == value.path || leaf.starts_with(&format!("{}.", value.path))),
            "{leaf} has no `# --` comment"
        );
        let mut place = &schema;
        for name in leaf.split('.') {
            if let Some(property) = place["properties"].get(name) {
                assert_eq!(
                    place["additionalProperties"],
                    Value::Bool(false),
                    "above {leaf}"
                );
                place = property;
            } else {
                // A map of free names.
                assert!(
                    place.get("$ref").is_some() || place["additionalProperties"].is_object(),
                    "{leaf} isn't in the schema"
                );
            }
        }
    }
    // Nothing is in the schema that has no default. `global` is Helm's own.
    fn properties(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            if property.get("properties").is_some() {
                properties(&path, property, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut all = Vec::new();
    properties("", &schema, &mut all);
    for path in all {
        assert!(
            path == "/global" || defaults.pointer(&path).is_some(),
            "{path} is in the schema and not in values.yaml"
        );
    }
}
