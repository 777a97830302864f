//! What docs/install.md and docs/first-preview.md tell a new user to type is typed, as it stands there.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use previewpg_tests::kubernetes::{Cluster, Tier};
use previewpg_tests::servers::{forget_pid, note_pid};

use super::Stage;

const PAGE: &str = include_str!("../../../docs/first-preview.md");
const INSTALL: &str = include_str!("../../../docs/install.md");
const EXAMPLE: &str = include_str!("../../../examples/smallest.yaml");

/// A page's blocks in a language, in their order.
fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    page.split(&format!("\n```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

/// A text with each of the page's placeholders, all of which must be there, in place of which this test has something of its own.
fn replaced(text: &str, placeholders: &[(&str, &str)]) -> String {
    placeholders
        .iter()
        .fold(text.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{text:?} has no {from:?}");
            text.replace(from, to)
        })
}

/// A user's terminal: a folder, and a kubeconfig that names the namespace.
struct Terminal<'a> {
    cluster: &'a Cluster,
    folder: &'a Path,
}

impl Terminal<'_> {
    fn command(&self, script: &str) -> Command {
        let programs = self.cluster.command("kubectl");
        let programs = Path::new(programs.get_program()).parent().unwrap();
        let psql = previewpg_tests::servers::tool("psql");
        let path = std::env::join_paths(
            [programs, psql.parent().unwrap()]
                .into_iter()
                .map(Path::to_owned)
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.folder)
            .env("PATH", path.unwrap())
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("HOME", self.folder);
        command
    }

    /// Types it, and `input` into what it starts; what it said.
    fn run(&self, script: &str, input: &str) -> String {
        let mut child = self
            .command(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who doesn't read it doesn't want it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(out.status.success(), "{script}\n{said}");
        said
    }
}

/// What goes on in a terminal of its own; ended when dropped.
struct Left(Child);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        forget_pid(self.0.id());
    }
}

#[test]
fn the_first_preview_in_five_minutes() {
    let Some(stage) = Stage::new("docs") else {
        return;
    };
    let Stage {
        namespace,
        production,
        ..
    } = &stage;
    namespace.delete("Secret", "prod-readonly");
    let cluster = namespace.cluster;
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(cluster.kubeconfig(), folder.path().join("kubeconfig")).unwrap();
    let terminal = Terminal {
        cluster,
        folder: folder.path(),
    };

    let own = format!("--namespace={}", namespace.name);
    terminal.run(&format!("kubectl config set-context --current {own}"), "");

    // 1. A role.
    let [role] = blocks(PAGE, "sql")[..] else {
        panic!("another number of SQL blocks");
    };
    for statement in role.lines() {
        production.connect().must(statement);
    }
    // 2. Its URI and a preview. The test's production has no certificate.
    let place = production
        .production
        .address("preview_reader", &production.name);
    let example = replaced(
        EXAMPLE,
        &[(
            "@prod.example:5432/shop",
            &format!(
                "@{}:{}/{}?sslmode=disable",
                place.host, place.port, production.name
            ),
        )],
    );
    std::fs::create_dir(folder.path().join("examples")).unwrap();
    std::fs::write(folder.path().join("examples/smallest.yaml"), example).unwrap();

    let [make, open, connect, reset, delete] = blocks(PAGE, "sh")[..] else {
        panic!("another number of blocks to type: {PAGE}");
    };
    // 3. Wait.
    let said = terminal.run(make, "");
    assert!(said.contains("condition met"), "{said}");
    assert!(said.contains("Serving"), "{said}");
    // 4. Connect, by a port that is free here.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let own = port.to_string();
    let open = replaced(open, &[("6432", &own)]);
    let way = terminal
        .command(&format!("exec {open}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    note_pid(way.id());
    let way = Left(way);
    namespace.until("the way to the preview", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let connect = replaced(
        connect,
        &[
            ("6432", &own),
            ("app shop", &format!("app {}", production.name)),
        ],
    );
    // 5. Change something.
    let count = "SELECT count(*) || ' changed' FROM orders WHERE total = -1;\n";
    let said = terminal.run(
        &connect,
        &format!("UPDATE orders SET total = -1 WHERE id <= 5;\nALTER TABLE orders ADD note text;\n{count}"),
    );
    assert!(said.contains("5 changed"), "{said}");
    let said = terminal.run(&connect, count);
    assert!(said.contains("5 changed"), "{said}");
    // 6. Start over.
    let said = terminal.run(reset, "");
    assert_eq!(said.matches("condition met").count(), 2, "{said}");
    let said = terminal.run(&connect, count);
    assert!(said.contains("0 changed"), "{said}");
    drop(way);
    // Or end it.
    terminal.run(delete, "");
    namespace.gone("PreviewDatabase", "my-preview");
    production
        .connect()
        .must("DROP OWNED BY preview_reader; DROP ROLE preview_reader");
}

/// In a cluster of its own: everywhere and in two namespaces, tested, upgraded, uninstalled. Nothing is added but where the images are.
#[test]
fn the_operator_comes_and_goes() {
    if super::installed().is_none() {
        return;
    }
    let cluster = Cluster::start(Tier::Node);
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::copy(cluster.kubeconfig(), at("kubeconfig")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (from, to) in [
        ("charts", "charts"),
        ("examples", "examples"),
        ("tests/cluster/values.yaml", "values.yaml"),
    ] {
        std::os::unix::fs::symlink(root.join(from).canonicalize().unwrap(), at(to)).unwrap();
    }
    let terminal = Terminal {
        cluster: &cluster,
        folder: folder.path(),
    };
    let [install, few, restricted, upgrade, uninstall] = blocks(INSTALL, "sh")[..] else {
        panic!("another number of blocks to type: {INSTALL}");
    };
    let images = |script: &str| replaced(script, &[("--wait", "--wait --values values.yaml")]);
    let finalizers = "-o jsonpath='{.metadata.finalizers}'";
    let preview = format!(
        "kubectl -n shop-previews apply -f examples/smallest.yaml
         until kubectl -n shop-previews get pvdb my-preview {finalizers} | grep -q cleanup; do sleep 0.2; done"
    );
    let (_, helm_test) = install.split_once('\n').unwrap();

    terminal.run(
        "kubectl create namespace shop-previews; kubectl create namespace web-previews",
        "",
    );
    terminal.run(restricted, "");
    let said = terminal.run(&images(install), "");
    assert!(said.contains("Succeeded"), "{said}");
    terminal.run(&preview, "");
    terminal.run(&images(upgrade), "");
    let said = terminal.run(uninstall, "");
    assert!(said.contains("my-preview"), "{said}");
    assert!(said.contains("uninstalled"), "{said}");
    terminal.run("! kubectl get crd previewdatabases.previewpg.dev", "");

    // The namespace is there still.
    terminal.run(&images(few), "");
    let said = terminal.run(helm_test, "");
    assert!(said.contains("Succeeded"), "{said}");
    terminal.run("! kubectl get clusterrole previewpg", "");
    terminal.run(&preview, "");
    // The operator is gone before its preview.
    let mut lines = uninstall.lines();
    let (all, operator) = (lines.next().unwrap(), lines.next().unwrap());
    terminal.run(operator, "");
    terminal.run(&format!("{all} --wait=false"), "");
    terminal.run("sleep 3; kubectl -n shop-previews get pvdb my-preview", "");
    let (_, patch) = INSTALL.split_once("doesn't go: `").unwrap();
    let (patch, _) = patch.split_once('`').unwrap();
    let patch = replaced(patch, &[("pvdb NAME", "-n shop-previews pvdb my-preview")]);
    terminal.run(&patch, "");
    terminal.run("! kubectl -n shop-previews get pvdb my-preview", "");
}
