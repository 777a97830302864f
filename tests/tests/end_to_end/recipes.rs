//! The pipelines of docs/pull-requests.md, run step by step as they stand in the examples, with no more rights than that page asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use previewpg_tests::kubernetes::{documents, text};
use serde_json::{Value, json};

use super::Stage;

/// A runner's machine: a folder with the examples checked out, and a home.
struct Runner {
    stage: Stage,
    folder: tempfile::TempDir,
    /// Of the account whose credentials the pipeline has.
    kubeconfig: PathBuf,
}

impl Runner {
    fn new(name: &str) -> Option<Runner> {
        let stage = Stage::new(name)?;
        let namespace = &stage.namespace;
        // The page's pipeline reads production by a Secret that says all: the preview's file stays as it is.
        namespace.secret(
            "prod-readonly",
            &[("uri", &format!("{}?sslmode=disable", stage.url()))],
        );
        let all = json!(["get", "list", "watch", "create", "patch", "delete"]);
        let account = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pipeline"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "pipeline"}, "rules": [
                {"apiGroups": ["previewpg.dev"], "resources": ["previewdatabases"], "verbs": all},
                {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": all},
                {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]},
            ]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "pipeline"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pipeline"},
                "subjects": [{"kind": "ServiceAccount", "name": "pipeline"}]},
        ]});
        for object in account["items"].as_array().unwrap() {
            namespace.apply(&object.to_string());
        }
        let (kubeconfig, _) = namespace.cluster.kubeconfig_of(&namespace.name, "pipeline");
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for directory in ["examples", "bin", "home"] {
            std::fs::create_dir(at(directory)).unwrap();
        }
        std::fs::write(
            at("examples/pull-request.yaml"),
            example("pull-request.yaml"),
        )
        .unwrap();
        // The only part that is the application's own.
        let migration = example("migration.yaml");
        let own = "psql $DATABASE_URL -v ON_ERROR_STOP=1 -c 'ALTER TABLE orders ADD IF NOT EXISTS migrations int NOT NULL DEFAULT 0' -c 'UPDATE orders SET migrations = migrations + 1 WHERE id = 1'";
        assert!(migration.contains("./migrate"));
        std::fs::write(
            at("examples/migration.yaml"),
            migration.replace("./migrate", own),
        )
        .unwrap();
        // GitHub's own program isn't ours to try.
        std::fs::write(
            at("bin/gh"),
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >> \"$HOME/said\"\n",
        )
        .unwrap();
        let status = Command::new("chmod").arg("+x").arg(at("bin/gh")).status();
        assert!(status.unwrap().success());
        Some(Runner {
            stage,
            folder,
            kubeconfig,
        })
    }

    /// Runs a script as a runner does.
    fn run(&self, script: &str, environment: &BTreeMap<String, String>) {
        let programs = self.stage.namespace.cluster.command("kubectl");
        let programs = Path::new(programs.get_program())
            .parent()
            .unwrap()
            .to_owned();
        let path = std::env::join_paths(
            [self.folder.path().join("bin"), programs]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let out = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", script])
            .current_dir(self.folder.path())
            .env("PATH", path.unwrap())
            .env("HOME", self.folder.path().join("home"))
            .env_remove("KUBECONFIG")
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{script}\n{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// How many migrations the preview has seen.
    fn migrated(&self, expected: &str) {
        // This machine isn't in the namespace.
        let open = json!({"spec": {"proxy": {"networkPolicy": {"enabled": false}}}});
        self.stage
            .namespace
            .patch("PreviewDatabase", "pr-1234", &open);
        let mut session = self.stage.connect("pr-1234");
        assert_eq!(
            session.value("SELECT migrations FROM orders WHERE id = 1"),
            expected
        );
    }

    fn is_gone(&self) {
        let namespace = &self.stage.namespace;
        assert!(namespace.get("PreviewDatabase", "pr-1234").is_none());
        assert!(namespace.get("Job", "migrate-1234").is_none());
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The variables that something sets, with what a pipeline's host puts into them.
fn variables(of: &Value, words: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), filled(value.as_str().unwrap(), words)))
        .collect()
}

fn filled(text: &str, words: &[(&str, &str)]) -> String {
    words
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn github_s_pipeline() {
    let Some(runner) = Runner::new("github") else {
        return;
    };
    let kubeconfig = std::fs::read_to_string(&runner.kubeconfig).unwrap();
    let words = [
        ("${{ github.event.number }}", "1234"),
        ("${{ github.repository }}", "example/shop"),
        ("${{ github.sha }}", "abc"),
        ("${{ github.token }}", "token"),
        ("${{ secrets.PREVIEWS_KUBECONFIG }}", kubeconfig.as_str()),
    ];
    let workflow = documents(&example("github/preview.yaml")).remove(0);
    let job = |name: &str| {
        let mut scripts = 0;
        for step in workflow["jobs"][name]["steps"].as_array().unwrap() {
            let Some(script) = step["run"].as_str() else {
                assert_eq!(text(step, "/uses"), "actions/checkout@v4");
                continue;
            };
            let mut environment = variables(&workflow["env"], &words);
            environment.extend(variables(&step["env"], &words));
            environment.insert("NAMESPACE".to_owned(), runner.stage.namespace.name.clone());
            if let Some(image) = environment.get_mut("IMAGE") {
                assert_eq!(image, "ghcr.io/example/shop:abc");
                "localhost/postgres:18".clone_into(image);
            }
            let script = filled(script, &words);
            assert!(!script.contains("${{"), "{script}");
            runner.run(&script, &environment);
            scripts += 1;
        }
        assert!(scripts >= 2, "{name}");
    };
    job("preview");
    runner.migrated("1");
    let said = std::fs::read_to_string(runner.folder.path().join("home/said")).unwrap();
    assert!(said.contains("pr comment 1234"), "{said}");
    assert!(said.contains("`pr-1234-app`"), "{said}");
    // Another commit keeps what the first one's migration did.
    job("preview");
    runner.migrated("2");
    job("cleanup");
    runner.is_gone();
}

#[test]
fn gitlab_s_pipeline() {
    let Some(runner) = Runner::new("gitlab") else {
        return;
    };
    let words = [
        ("$CI_MERGE_REQUEST_IID", "1234"),
        ("$CI_REGISTRY_IMAGE", "registry.example/shop"),
        ("$CI_COMMIT_SHA", "abc"),
    ];
    let pipeline = documents(&example("gitlab/.gitlab-ci.yml")).remove(0);
    let job = |name: &str| {
        let mut environment = variables(&pipeline[".preview"]["variables"], &words);
        environment.insert("NAMESPACE".to_owned(), runner.stage.namespace.name.clone());
        let image = environment.insert("IMAGE".to_owned(), "localhost/postgres:18".to_owned());
        assert_eq!(image.as_deref(), Some("registry.example/shop:abc"));
        let kubeconfig = runner.kubeconfig.display().to_string();
        environment.insert("KUBECONFIG".to_owned(), kubeconfig);
        let lines: Vec<&str> = pipeline[name]["script"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        runner.run(&lines.join("\n"), &environment);
    };
    job("preview");
    runner.migrated("1");
    job("preview");
    runner.migrated("2");
    job("delete-preview");
    runner.is_gone();
}
