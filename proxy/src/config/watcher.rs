//! Noticing that the configuration, a secret or a certificate has changed.
//!
//! Files are read once a second and their content compared by hash: that sees an editor's rename, a rewrite in place, and the
//! swap of a symbolic link by which Kubernetes updates mounted Secrets and ConfigMaps, without any of their special cases.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Config, ConfigError, secret};
use crate::net::target::RootCertificates;

/// How often files are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

type Hash = [u8; 32];

/// One reading of everything: the configuration, and how often it or a file that it refers to has changed.
#[derive(Debug, Clone)]
pub struct Revision {
    /// The configuration.
    pub config: Arc<Config>,
    /// Grows with every change of the file or of what it refers to.
    pub number: u64,
}

/// Watches `path` until every receiver is gone. A new file that is invalid is logged, and the old configuration kept.
///
/// # Errors
/// When the first reading fails.
pub fn watch(path: &Path, interval: Duration) -> Result<watch::Receiver<Revision>, ConfigError> {
    let config = Arc::new(Config::read(path)?);
    let mut seen = fingerprint(path, &config);
    let (send, receive) = watch::channel(Revision {
        config: Arc::clone(&config),
        number: 0,
    });
    let path = path.to_owned();
    tokio::spawn(async move {
        let mut current = config;
        let mut number = 0;
        let mut refused = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = send.closed() => return,
            }
            let now = fingerprint(&path, &current);
            if now == seen {
                refused = None;
                continue;
            }
            if refused == Some(now) {
                continue;
            }
            match Config::read(&path) {
                Ok(config) => {
                    for key in current.needs_restart(&config) {
                        tracing::warn!(
                            key,
                            "changed in the configuration file; it's taken up by a restart only"
                        );
                    }
                    for key in current.needs_provisioning(&config) {
                        tracing::warn!(
                            key,
                            "changed in the configuration file; it's taken up by provisioning only"
                        );
                    }
                    current = Arc::new(config);
                    // It may refer to other files than the old one.
                    seen = fingerprint(&path, &current);
                    refused = None;
                    number += 1;
                    tracing::info!(file = %path.display(), "the configuration or a file that it refers to has changed");
                    let revision = Revision {
                        config: Arc::clone(&current),
                        number,
                    };
                    if send.send(revision).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    refused = Some(now);
                    tracing::error!(error = %chain(&error), "the new configuration is refused; the old one stays in force");
                }
            }
        }
    });
    Ok(receive)
}

/// The hash of the file and of all files that it refers to; a file that can't be read counts as such.
fn fingerprint(path: &Path, config: &Config) -> Hash {
    let mut hasher = Sha256::new();
    let files: Vec<PathBuf> = std::iter::once(path)
        .chain(config.referred_files())
        .map(Path::to_owned)
        .chain(certificates(config))
        .collect();
    for file in files {
        match std::fs::read(&file) {
            Ok(content) => {
                hasher.update([1]);
                hasher.update(Sha256::digest(&content));
            }
            Err(_) => hasher.update([0]),
        }
    }
    hasher.finalize().into()
}

/// The certificates that the ways to the databases name, those in URLs as well. A way that can't be read names none: its own file is
/// looked at.
fn certificates(config: &Config) -> Vec<PathBuf> {
    [secret::production(config), secret::fresh(config)]
        .into_iter()
        .flatten()
        .flat_map(|target| {
            let roots = match target.sslrootcert {
                Some(RootCertificates::File(path)) => Some(path),
                Some(RootCertificates::System) | None => None,
            };
            [roots, target.sslcert, target.sslkey]
        })
        .flatten()
        .collect()
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    fn text(production: &Path, clients: u32) -> String {
        format!(
            "production: {{urlFile: {}}}\nfresh: {{urlFile: /f}}\nlimits: {{maxClients: {clients}}}\n",
            production.display()
        )
    }

    async fn changed(receiver: &mut watch::Receiver<Revision>) -> Revision {
        tokio::time::timeout(Duration::from_secs(10), receiver.changed())
            .await
            .expect("no change was noticed")
            .unwrap();
        receiver.borrow_and_update().clone()
    }

    #[tokio::test]
    async fn changes_of_the_file_and_of_its_secrets_are_noticed_and_invalid_files_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (file, secret) = (
            directory.path().join("c.yaml"),
            directory.path().join("secret"),
        );
        std::fs::write(&secret, "postgres://a@b/c").unwrap();
        std::fs::write(&file, text(&secret, 1)).unwrap();
        let mut receiver = watch(&file, TICK).unwrap();
        assert_eq!(receiver.borrow().config.limits.max_clients, 1);

        std::fs::write(&file, text(&secret, 2)).unwrap();
        assert_eq!(changed(&mut receiver).await.config.limits.max_clients, 2);

        std::fs::write(&file, "nonsense: [").unwrap();
        tokio::time::sleep(TICK * 10).await;
        assert!(
            !receiver.has_changed().unwrap(),
            "an invalid file was taken"
        );
        assert_eq!(receiver.borrow().config.limits.max_clients, 2);

        std::fs::write(&file, text(&secret, 3)).unwrap();
        let before = changed(&mut receiver).await;
        assert_eq!(before.config.limits.max_clients, 3);

        let roots = directory.path().join("roots");
        let url = format!(
            "postgres://a@b/c?sslmode=verify-full&sslrootcert={}",
            roots.display()
        );
        std::fs::write(&secret, url).unwrap();
        changed(&mut receiver).await;
        std::fs::write(&roots, "other certificates").unwrap();
        changed(&mut receiver).await;

        std::fs::write(&secret, "postgres://a@b/d").unwrap();
        let after = changed(&mut receiver).await;
        assert!(after.number > before.number);
        assert_eq!(after.config, before.config);
    }

    /// How a kubelet updates a mounted volume: `..data` is a symbolic link that's replaced by a rename.
    #[tokio::test]
    async fn the_swap_of_a_symbolic_link_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (version, clients) in [("v1", 1), ("v2", 2)] {
            std::fs::create_dir(root.join(version)).unwrap();
            std::fs::write(
                root.join(version).join("c.yaml"),
                text(Path::new("/p"), clients),
            )
            .unwrap();
        }
        let link = |version: &str, name: &str| {
            std::os::unix::fs::symlink(version, root.join(name)).unwrap()
        };
        link("v1", "..data");
        link("..data/c.yaml", "c.yaml");
        let mut receiver = watch(&root.join("c.yaml"), TICK).unwrap();
        link("v2", "..new");
        std::fs::rename(root.join("..new"), root.join("..data")).unwrap();
        assert_eq!(changed(&mut receiver).await.config.limits.max_clients, 2);
    }

    #[tokio::test]
    async fn the_first_reading_must_succeed() {
        let error = watch(Path::new("/nonexistent/previewpg.yaml"), TICK).unwrap_err();
        assert_eq!(
            error.to_string(),
            "can't read the configuration file /nonexistent/previewpg.yaml"
        );
    }
}
