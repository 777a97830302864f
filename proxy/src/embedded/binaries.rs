//! Finding PostgreSQL's programs on this machine.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment variable that names the directory to take, before all others.
pub const DIRECTORY_VARIABLE: &str = "PREVIEWPG_POSTGRES_BIN";

/// The programs that an installation must have to be of use.
const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_dump", "pg_restore"];

/// Where packagers put PostgreSQL; the last `*` of a pattern stands for one path component's rest.
const USUAL_PLACES: [&str; 8] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",
];

/// One installation of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The directory of its programs.
    pub directory: PathBuf,
    /// Its version.
    pub version: Version,
}

impl Installation {
    /// The path of one of its programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A version, for example 15.14; of an unreleased one (`18beta1`) the minor is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// For example 15.
    pub major: u32,
    /// For example 14.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// No installation is new enough. Its message says what was found and what to install.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotFound {
    /// The least major version that would do.
    pub wanted: u32,
    /// What was found, all older.
    pub found: Vec<Installation>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, found } = self;
        if found.is_empty() {
            write!(
                f,
                "no PostgreSQL server programs were found on this machine"
            )?;
        } else {
            let found = found
                .iter()
                .map(|each| format!("{} in {}", each.version, each.directory.display()))
                .collect::<Vec<_>>()
                .join(", ");
            write!(
                f,
                "PostgreSQL {wanted} or newer is needed, as production runs {wanted}; found only {found}"
            )?;
        }
        write!(
            f,
            ". Install it (Debian, Ubuntu: apt-get install postgresql, for other versions see https://apt.postgresql.org; \
             Fedora, RHEL: dnf install postgresql-server postgresql-contrib; macOS: brew install postgresql@{wanted}), \
             or set {DIRECTORY_VARIABLE} to the directory of its programs, or give a database of your own with --fresh"
        )
    }
}

/// Looks everywhere and chooses as [`choose`] does.
///
/// # Errors
/// When no installation has at least production's major version.
pub fn find(wanted: u32) -> Result<Installation, NotFound> {
    choose(installations(), wanted)
}

/// Chooses the installation that is most like production: the least major version that isn't older, and of that the newest
/// minor. (A newer major would do, but a preview on the same major answers as production would.)
///
/// # Errors
/// When all are older.
pub fn choose(found: Vec<Installation>, wanted: u32) -> Result<Installation, NotFound> {
    let best = found
        .iter()
        .enumerate()
        .filter(|(_, each)| each.version.major >= wanted)
        .min_by_key(|(place, each)| {
            (
                each.version.major,
                std::cmp::Reverse(each.version.minor),
                *place,
            )
        });
    match best {
        Some((_, installation)) => Ok(installation.clone()),
        None => Err(NotFound { wanted, found }),
    }
}

/// Every installation that has all the programs, in the order in which places are looked at.
#[must_use]
pub fn installations() -> Vec<Installation> {
    let named = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from);
    if let Some(directory) = named {
        return inspect(&directory).into_iter().collect();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut seen = BTreeSet::new();
    candidates(&path, USUAL_PLACES.iter().copied())
        .into_iter()
        .chain(pg_config_directory())
        .filter_map(|directory| directory.canonicalize().ok())
        .filter(|directory| seen.insert(directory.clone()))
        .filter_map(|directory| inspect(&directory))
        .collect()
}

/// The directories that might be an installation's.
fn candidates<'a>(path: &OsStr, places: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    std::env::split_paths(path)
        .chain(places.flat_map(expand))
        .collect()
}

/// The existing directories that a pattern with at most one `*` means.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (directory, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let after = after.trim_start_matches('/');
    let Ok(entries) = std::fs::read_dir(if directory.is_empty() { "/" } else { directory }) else {
        return Vec::new();
    };
    let mut expanded: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| {
            if after.is_empty() {
                entry.path()
            } else {
                entry.path().join(after)
            }
        })
        .collect();
    expanded.sort();
    expanded
}

fn pg_config_directory() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| PathBuf::from(text))
}

/// The installation in `directory`, when all programs are there and `postgres --version` can be read.
fn inspect(directory: &Path) -> Option<Installation> {
    let runnable = |name: &str| {
        std::fs::metadata(directory.join(name))
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if !PROGRAMS.iter().all(|name| runnable(name)) {
        return None;
    }
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Installation {
        directory: directory.to_owned(),
        version,
    })
}

/// Reads what `postgres --version` prints, for example `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parse_version(text: &str) -> Option<Version> {
    let number = text
        .split_once("(PostgreSQL)")?
        .1
        .split_whitespace()
        .next()?;
    let digits = |text: &str| {
        text.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    };
    let major = digits(number).parse().ok()?;
    let minor = number
        .split_once('.')
        .and_then(|(_, rest)| digits(rest).parse().ok())
        .unwrap_or(0);
    Some(Version { major, minor })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn installation(directory: &str, major: u32, minor: u32) -> Installation {
        Installation {
            directory: directory.into(),
            version: Version { major, minor },
        }
    }

    #[test]
    fn versions_are_read_as_they_are_printed() {
        for (text, wanted) in [
            (
                "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n",
                Some((15, 14)),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some((18, 0))),
            ("postgres (PostgreSQL) 17.0", Some((17, 0))),
            ("postgres (PostgreSQL) 16devel", Some((16, 0))),
            ("postgres (EnterpriseDB) 15.1", None),
            ("", None),
        ] {
            assert_eq!(
                parse_version(text).map(|v| (v.major, v.minor)),
                wanted,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_installation_most_like_production_is_chosen() {
        let all = vec![
            installation("/a", 14, 9),
            installation("/b", 17, 1),
            installation("/c", 15, 3),
            installation("/d", 15, 14),
        ];
        for (wanted, chosen) in [(13, "/a"), (14, "/a"), (15, "/d"), (16, "/b"), (17, "/b")] {
            assert_eq!(
                choose(all.clone(), wanted).unwrap().directory,
                Path::new(chosen),
                "production {wanted}"
            );
        }
        let error = choose(all, 18).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("PostgreSQL 18 or newer is needed"),
            "{message}"
        );
        assert!(message.contains("17.1 in /b"), "{message}");
        assert!(message.contains("--fresh"), "{message}");
    }

    #[test]
    fn without_any_installation_the_message_says_what_to_install() {
        let message = choose(Vec::new(), 16).unwrap_err().to_string();
        assert!(
            message.starts_with("no PostgreSQL server programs were found"),
            "{message}"
        );
        assert!(message.contains("apt-get install postgresql"), "{message}");
    }

    #[test]
    fn patterns_are_expanded_within_a_component() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["pgsql-15/bin", "pgsql-16/bin", "other/bin"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let root = root.path().to_str().unwrap();
        assert_eq!(
            expand(&format!("{root}/pgsql-*/bin")),
            [
                PathBuf::from(format!("{root}/pgsql-15/bin")),
                PathBuf::from(format!("{root}/pgsql-16/bin"))
            ]
        );
        assert_eq!(expand(&format!("{root}/pgsql-*")).len(), 2);
        assert_eq!(expand(&format!("{root}/none/*/bin")), Vec::<PathBuf>::new());
        assert_eq!(
            expand("/usr/local/pgsql/bin"),
            [PathBuf::from("/usr/local/pgsql/bin")]
        );
    }

    #[test]
    fn a_directory_without_all_the_programs_is_no_installation() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = root.path().join(name);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 16.2'\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("postgres");
        write("initdb");
        assert_eq!(inspect(root.path()), None);
        write("pg_dump");
        write("pg_restore");
        assert_eq!(
            inspect(root.path()).unwrap().version,
            Version {
                major: 16,
                minor: 2
            }
        );
    }
}
