//! The configuration: one YAML file, the same that an operator renders for a pod.
//!
//! [`file`](mod@file) is the file as a value (and the reference of its keys), [`secret`] reads what the file only refers to,
//! [`watcher`] notices that the file, a secret or a certificate was changed. Nothing here connects to anything.

pub mod file;
pub mod secret;
pub mod watcher;

pub use file::Config;

use std::path::{Path, PathBuf};

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("can't read {what} {}", .path.display())]
    Read {
        /// What the file is for, for example `the password file`.
        what: String,
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The text isn't a configuration; the message names the line.
    #[error("{}: {message}", .path.display())]
    Syntax {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// The values don't fit together.
    #[error("{key}: {message}")]
    Value {
        /// The key, in dotted form.
        key: String,
        /// What is wrong and what to do.
        message: String,
    },
}

impl ConfigError {
    pub(crate) fn value(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Value {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// Reads a file of text.
pub(crate) fn read_text(what: &str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        what: what.to_owned(),
        path: path.to_owned(),
        source,
    })
}
