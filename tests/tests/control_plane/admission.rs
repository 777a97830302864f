//! The definition as the API server takes it, and the objects that it admits and refuses: `operator/tests/specs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use previewpg_tests::kubernetes::namespace::{condition, name_of};
use previewpg_tests::kubernetes::{Cluster, Namespace, documents, text};
use serde_json::{Value, json};

use super::cluster;

const DEFINITION: &str = include_str!("../../../crds/previewdatabases.yaml");
const NAME: &str = "previewdatabases.previewpg.dev";

/// Installs the definition and waits until its objects can be made.
pub(crate) fn define(cluster: &Cluster) {
    cluster.api.apply("", DEFINITION);
    let started = std::time::Instant::now();
    loop {
        let object = cluster
            .api
            .get("CustomResourceDefinition", "", NAME)
            .expect("the definition");
        let established =
            condition(&object, "Established").is_some_and(|c| text(c, "/status") == "True");
        if established {
            // The condition comes a moment before the paths answer; kubectl wants the second.
            let group = "apis/previewpg.dev/v1alpha1";
            let paths = [
                format!("/{group}/previewdatabases"),
                format!("/openapi/v3/{group}"),
            ];
            if paths.iter().all(|path| cluster.api.raw(path).is_ok()) {
                return;
            }
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "not established: {object:#}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The files of a folder of specs: name and text.
fn specs(kind: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../operator/tests/specs")
        .join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(
        files.len() > 5,
        "only {} files in {}",
        files.len(),
        folder.display()
    );
    files
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&file).unwrap())
        })
        .collect()
}

/// The API server names no problem of the definition: a structural schema, no rule too dear.
#[test]
fn the_definition_is_taken_without_a_reproach() {
    let Some(cluster) = cluster() else { return };
    let object = cluster
        .api
        .get("CustomResourceDefinition", "", NAME)
        .unwrap();
    let conditions = object.pointer("/status/conditions").unwrap();
    for kind in [
        "NonStructuralSchema",
        "KubernetesAPIApprovalPolicyConformant",
    ] {
        assert!(
            condition(&object, kind).is_none_or(|c| text(c, "/status") != "True"),
            "{conditions:#}"
        );
    }
    assert_eq!(
        text(condition(&object, "NamesAccepted").unwrap(), "/status"),
        "True",
        "{conditions:#}"
    );
}

/// `kubectl explain` has a text for every field of the spec that has a name of ours.
#[test]
fn every_field_is_explained() {
    let Some(cluster) = cluster() else { return };
    for path in [
        "",
        ".spec",
        ".spec.production",
        ".spec.fresh",
        ".spec.proxy",
        ".spec.tables",
        ".spec.access",
        ".status",
    ] {
        let said = cluster.kubectl(&["explain", &format!("previewdatabase{path}")]);
        assert!(!said.contains("<no description>"), "{said}");
    }
    let short = cluster.kubectl(&["get", "pvdb", "--all-namespaces", "--output=name"]);
    assert!(!short.contains("error"), "{short}");
}

#[test]
fn good_specs_are_admitted() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "good");
    for (file, text) in specs("good") {
        for document in documents(&text) {
            // What is applied next is a change of what is stored: an object is stored, and its change is stored, too.
            let document = here(document, &namespace);
            cluster
                .api
                .dry_run(&namespace.name, &document)
                .unwrap_or_else(|refusal| panic!("{file}: {refusal}\n{text}"));
            namespace.apply(&document.to_string());
        }
        clear(&namespace);
    }
}

#[test]
fn bad_specs_are_refused_with_words_that_help() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "bad");
    let mut wrong = Vec::new();
    for (file, text) in specs("bad") {
        let expected = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .unwrap_or_else(|| panic!("{file}: the first line must say what the refusal contains"));
        let mut documents = documents(&text);
        let last = here(documents.pop().expect("a document"), &namespace);
        for document in documents {
            namespace.apply(&here(document, &namespace).to_string());
        }
        let answer = cluster.api.dry_run(&namespace.name, &last);
        clear(&namespace);
        match answer {
            Ok(_) => wrong.push(format!("{file} is admitted")),
            Err(refusal) if plain(&refusal.message).contains(&plain(expected)) => {}
            Err(refusal) => wrong.push(format!(
                "{file}: expected {expected:?}, the API server says: {}",
                refusal.message
            )),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every object of Kubernetes' or ours that documentation shows, as it stands there.
#[test]
fn what_documentation_shows_is_taken() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "shown");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut taken = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let page = std::fs::read_to_string(&file).unwrap();
        for block in page.split("\n```yaml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            let block = block
                .replace("${NUMBER}", "1234")
                .replace("${IMAGE}", "shop:1");
            for mut object in documents(&block) {
                // Objects of other projects, and what is no object.
                let known = ["v1", "apps/v1", "batch/v1", "previewpg.dev/v1alpha1"];
                if !known.contains(&text(&object, "/apiVersion")) {
                    continue;
                }
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
                let refused = |refusal| panic!("{}: {refusal}\n{block}", file.display());
                cluster
                    .api
                    .dry_run(&namespace.name, &object)
                    .unwrap_or_else(refused);
                taken += 1;
            }
        }
    }
    assert!(taken >= 6, "only {taken}");
}

/// A bad change of status can't be written either.
#[test]
fn status_is_a_subresource() {
    let Some(cluster) = cluster() else { return };
    let namespace = Namespace::new(cluster, "status");
    let object = json!({
        "apiVersion": "previewpg.dev/v1alpha1", "kind": "PreviewDatabase", "metadata": {"name": "one"},
        "spec": {"production": {"connection": {"uri": {"secretKeyRef": {"name": "prod", "key": "uri"}}}}},
        "status": {"secretName": "stolen"},
    });
    let made = cluster.api.create(&namespace.name, &object).unwrap();
    assert!(made.pointer("/status/secretName").is_none(), "{made:#}");
    assert_eq!(made["metadata"]["generation"], 1);
    let status = json!({"status": {"secretName": "one-app", "replicas": 1, "readyReplicas": 1, "selector": "a=b"}});
    let patched = cluster
        .api
        .patch_subresource("PreviewDatabase", &namespace.name, "one", "status", &status)
        .unwrap();
    assert_eq!(
        patched["metadata"]["generation"], 1,
        "a change of status isn't a change of the spec"
    );
    // kubectl scale works by the scale subresource.
    cluster.kubectl(&[
        "--namespace",
        &namespace.name,
        "scale",
        "pvdb/one",
        "--replicas=3",
    ]);
    let scaled = namespace.must_get("PreviewDatabase", "one");
    assert_eq!(scaled.pointer("/spec/proxy/replicas"), Some(&json!(3)));
    let refused = namespace
        .cluster
        .command("kubectl")
        .args([
            "--namespace",
            &namespace.name,
            "scale",
            "pvdb/one",
            "--replicas=17",
        ])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "17 replicas are taken");
}

/// An object without the namespace that its file may name: it goes into the test's.
fn here(mut object: Value, namespace: &Namespace) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    assert_eq!(
        text(&object, "/kind"),
        "PreviewDatabase",
        "in {}",
        namespace.name
    );
    object
}

/// The next file begins with nothing. No operator runs, so nothing holds an object back.
fn clear(namespace: &Namespace) {
    for object in namespace.list("PreviewDatabase", "") {
        namespace.delete("PreviewDatabase", &name_of(&object));
    }
}

/// A message without what differs between the API server and the checker of the unit tests: quotes and spaces.
fn plain(message: &str) -> String {
    message
        .replace(['"', '\'', '`'], "")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
