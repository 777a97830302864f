//! Running Helm: the binary that holds it is named by `PREVIEWPG_KUBE` (one that is also kubectl), or `helm` is found on PATH.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Helm, if it's there. Without it the caller's test is left out, loudly; in CI that isn't allowed.
pub fn helm() -> Option<Helm> {
    if let Some(program) = std::env::var_os("PREVIEWPG_KUBE").filter(|program| !program.is_empty())
    {
        let program = PathBuf::from(program);
        assert!(
            program.exists(),
            "PREVIEWPG_KUBE={} isn't there",
            program.display()
        );
        return Some(Helm {
            program,
            first: Some("helm"),
        });
    }
    let plain = Helm {
        program: "helm".into(),
        first: None,
    };
    if Command::new("helm").arg("version").output().is_ok() {
        return Some(plain);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "there is no Helm: set PREVIEWPG_KUBE, or put helm on PATH; in CI the chart must be tested"
    );
    eprintln!(
        "\n*** LEFT OUT: there is no Helm. Set PREVIEWPG_KUBE, or put helm on PATH, to test the chart. ***\n"
    );
    None
}

/// How Helm is called.
pub struct Helm {
    program: PathBuf,
    first: Option<&'static str>,
}

impl Helm {
    /// Runs it in a home of its own.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
        Command::new(&self.program)
            .args(self.first)
            .args(arguments)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            // No cluster is asked.
            .env("KUBECONFIG", home.join("no-cluster"))
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    /// Runs it and gives what it prints.
    pub fn output<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
