//! Why a command failed, and with what status it ends.

use std::fmt;
use std::path::PathBuf;

use super::connect::ConnectError;
use super::tour::TourError;
use crate::catalog::load::LoadError;
use crate::config::ConfigError;
use crate::embedded::EmbeddedError;
use crate::embedded::binaries::NotFound;
use crate::net::tls::TlsError;
use crate::overlay::provision;
use crate::preview::{self, Reason};
use crate::replicas::line::LineError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What it was told is wrong or incomplete.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A database can't be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There's no server of our own.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// PostgreSQL's programs weren't found.
    #[error(transparent)]
    Programs(#[from] NotFound),
    /// A catalog query failed.
    #[error("{side} didn't answer a question about its catalogs")]
    Ask {
        /// `production` or `fresh`.
        side: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The preview's database can't be brought up.
    #[error(transparent)]
    Preview(#[from] preview::Error),
    /// Provisioning can't be planned.
    #[error("can't prepare fresh")]
    Provision(#[from] provision::Error),
    /// fresh isn't provisioned.
    #[error(
        "fresh ({place}) isn't provisioned; run previewpg provision first, or up, which does both"
    )]
    NotProvisioned {
        /// Where it is.
        place: String,
    },
    /// fresh has the functions of another version.
    #[error(
        "fresh ({place}) was provisioned by {found}, and this is {}; a preview is served by the version that provisioned it only. \
         Run previewpg provision of this version (it keeps what the preview changed), or serve with the version that provisioned it",
        Runtime::own()
    )]
    OtherVersion {
        /// Where it is.
        place: String,
        /// Which one provisioned it.
        found: Runtime,
    },
    /// What fresh says of itself can't be read.
    #[error(
        "the catalog read from fresh can't be used; was it provisioned by another version of previewpg?"
    )]
    Catalog(#[from] LoadError),
    /// Another process serves this fresh.
    #[error(
        "another previewpg serves this fresh database ({place}), and one of the two is `previewpg up`, which shares it with nobody. End that one first"
    )]
    Served {
        /// Where it is.
        place: String,
    },
    /// fresh said nothing for too long.
    #[error("fresh didn't answer within {} s", .0.as_secs())]
    Silent(std::time::Duration),
    /// The control plane has no line to fresh at the moment.
    #[error("there's no line to fresh")]
    NoLine,
    /// What replicas tell each other can't be told.
    #[error("fresh can't be told what replicas tell each other")]
    Line(#[from] LineError),
    /// The certificate can't be used.
    #[error("can't use the certificate for clients")]
    Tls(#[from] TlsError),
    /// TLS towards fresh can't be prepared.
    #[error("can't listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The embedded server ended by itself.
    #[error("the embedded PostgreSQL server {how}; its log: {}", .log.display())]
    ServerEnded {
        /// How.
        how: String,
        /// Its log.
        log: PathBuf,
    },
    /// The sample shop can't be made.
    #[error("can't make the sample shop")]
    Shop(#[source] tokio_postgres::Error),
    /// The tour broke off.
    #[error("the tour broke off")]
    Tour(#[from] TourError),
    /// The tour showed something wrong.
    #[error("{} expectations of the tour were not met:\n  {}", .0.len(), .0.join("\n  "))]
    Unmet(Vec<String>),
    /// Signals can't be received.
    #[error("can't receive signals")]
    Signals(#[source] std::io::Error),
    /// A signal came before there was anything to end in good order.
    #[error("interrupted")]
    Interrupted,
}

/// A version of previewpg, as far as fresh knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// The program's version; `None`: it's from before that was noted.
    pub version: Option<String>,
    /// Which functions it makes in fresh: two builds of the same version may differ; `None` as above.
    pub digest: Option<String>,
}

impl Runtime {
    /// This program's.
    #[must_use]
    pub fn own() -> Self {
        Self {
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            digest: Some(provision::runtime_digest()),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// So many digits tell two builds apart.
        const SHOWN: usize = 8;
        match &self.version {
            Some(version) => write!(f, "previewpg {version}")?,
            None => f.write_str("an older previewpg")?,
        }
        match &self.digest {
            Some(digest) => write!(f, " (functions {})", digest.get(..SHOWN).unwrap_or(digest)),
            None => Ok(()),
        }
    }
}

impl CommandError {
    pub(crate) fn ask(side: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Ask { side, source }
    }

    /// The status that the program ends with.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Connect(_)
            | Self::Ask { .. }
            | Self::Silent(_)
            | Self::NoLine
            | Self::Line(_) => 2,
            Self::Preview(preview::Error::Connect(_) | preview::Error::Ask { .. }) => 2,
            Self::Preview(error) if error.reason() == Reason::ProductionRoleCanWrite => 3,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

/// An error and its causes, one on each line.
#[must_use]
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut said = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let line = cause.to_string();
        // tokio-postgres says "db error" and keeps the server's words (DETAIL and HINT included) for its source.
        if line != "db error" && !text.ends_with(&line) && !said.contains(&line) {
            text.push_str("\n  because: ");
            text.push_str(&line);
            said.push(line);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_shown_once() {
        let error = CommandError::Listen {
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            source: std::io::Error::other("taken"),
        };
        assert_eq!(
            explain(&error),
            "can't listen on 127.0.0.1:1\n  because: taken"
        );
        let older = CommandError::OtherVersion {
            place: "localhost:5432/shop".to_owned(),
            found: Runtime {
                version: None,
                digest: None,
            },
        };
        assert!(
            older
                .to_string()
                .starts_with("fresh (localhost:5432/shop) was provisioned by an older previewpg, and this is previewpg "),
            "{older}"
        );
        let transparent = CommandError::from(ConfigError::value("listen", "is wrong"));
        assert_eq!(explain(&transparent), "listen: is wrong");
        let writable = preview::Error::Writable(String::new());
        assert_eq!(CommandError::from(writable).status(), 3);
    }
}
