//! What the operator's integration tests share.

// Each test binary uses a part.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod admission;
pub mod decode;
pub mod helm;
pub mod schema;
pub mod values;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The documents of a YAML text, empty ones left out.
pub fn documents(text: &str) -> Vec<Value> {
    text.split("\n---")
        .map(|document| {
            serde_saphyr::from_str::<Value>(document.trim_start_matches("---"))
                .unwrap_or_else(|error| panic!("{error}\nin:\n{document}"))
        })
        .filter(|document| !document.is_null())
        .collect()
}

/// The YAML files of a directory, by name.
pub fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

/// Compares a generated text with the file that is committed; `UPDATE=1` in the environment writes it instead.
pub fn assert_fresh(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed != generated {
        let line = committed
            .lines()
            .zip(generated.lines())
            .position(|(old, new)| old != new)
            .unwrap_or_else(|| committed.lines().count().min(generated.lines().count()));
        panic!(
            "{path} is stale from line {} on:\n  committed: {:?}\n  generated: {:?}\nmake generated files anew: make generate",
            line + 1,
            committed.lines().nth(line).unwrap_or("(its end)"),
            generated.lines().nth(line).unwrap_or("(its end)"),
        );
    }
}
