//! The unprivileged user that a server runs as when we are root: PostgreSQL refuses to run as root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

/// Why no unprivileged user could be had.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The users can't be read.
    #[error(
        "can't read /etc/passwd, to find a user who may run PostgreSQL (it refuses to run as root)"
    )]
    Passwd(#[source] std::io::Error),
    /// There is nobody.
    #[error(
        "PostgreSQL refuses to run as root, and neither a user {preferred:?} nor \"nobody\" exists here; start previewpg as an ordinary user"
    )]
    Nobody {
        /// The user that would have been taken.
        preferred: &'static str,
    },
    /// There is no program to change the user with.
    #[error(
        "PostgreSQL refuses to run as root, and setpriv (package util-linux) wasn't found; install it, or start previewpg as an ordinary user"
    )]
    NoSetpriv,
}

/// The users that may run a server, the first that exists.
const PREFERRED: [&str; 2] = ["postgres", "nobody"];

/// How to start programs of PostgreSQL: as whom, and whether they can be tied to our own life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher {
    /// Drop to this user; `None`: run as we are.
    pub account: Option<Account>,
    setpriv: Option<PathBuf>,
}

impl Launcher {
    /// The launcher for whoever runs this process.
    ///
    /// # Errors
    /// When we are root and there is nobody else, or nothing to become somebody else with.
    pub fn detect() -> Result<Self, AccountError> {
        let setpriv = find_program("setpriv");
        if !rustix::process::geteuid().is_root() {
            return Ok(Self {
                account: None,
                setpriv,
            });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(AccountError::Passwd)?;
        let account = unprivileged(&passwd).ok_or(AccountError::Nobody {
            preferred: PREFERRED[0],
        })?;
        if setpriv.is_none() {
            return Err(AccountError::NoSetpriv);
        }
        Ok(Self {
            account: Some(account),
            setpriv,
        })
    }

    /// A command that runs `program` as the unprivileged user. With `tied`, the kernel sends it SIGINT (PostgreSQL's fast
    /// shutdown) when the thread that started it ends, however this process ends, where the system can do that.
    #[must_use]
    pub fn command(&self, program: &Path, tied: bool) -> Command {
        let Some(setpriv) = &self.setpriv else {
            return Command::new(program);
        };
        if self.account.is_none() && !tied {
            return Command::new(program);
        }
        let mut command = Command::new(setpriv);
        if let Some(account) = &self.account {
            command
                .args([
                    "--reuid",
                    &account.uid.to_string(),
                    "--regid",
                    &account.gid.to_string(),
                ])
                .args(["--clear-groups", "--reset-env"]);
        }
        if tied {
            command.args(["--pdeathsig", "INT"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Whether a tied program really ends with us.
    #[must_use]
    pub fn can_tie(&self) -> bool {
        self.setpriv.is_some()
    }

    /// Gives a file or directory to the unprivileged user.
    ///
    /// # Errors
    /// When the owner can't be changed.
    pub fn give(&self, path: &Path) -> std::io::Result<()> {
        match &self.account {
            Some(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        }
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The preferred user of a passwd file (passwd(5): `name:password:uid:gid:..`).
fn unprivileged(passwd: &str) -> Option<Account> {
    PREFERRED.iter().find_map(|wanted| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let _password = fields.next()?;
            let uid = fields.next()?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (name == *wanted && uid != 0).then(|| Account {
                name: name.to_owned(),
                uid,
                gid,
            })
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_preferred_to_nobody_and_root_is_never_taken() {
        let nobody =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n";
        let both = format!("{nobody}postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");
        let account = |name: &str, uid, gid| {
            Some(Account {
                name: name.into(),
                uid,
                gid,
            })
        };
        assert_eq!(unprivileged(nobody), account("nobody", 65534, 65533));
        assert_eq!(unprivileged(&both), account("postgres", 101, 104));
        assert_eq!(unprivileged("postgres:x:0:0::/:/bin/sh"), None);
        assert_eq!(unprivileged("postgres:x\n\n::::\nnobody:x:a:b"), None);
    }

    #[test]
    fn a_command_drops_privileges_and_is_tied_to_us() {
        let launcher = Launcher {
            account: Some(Account {
                name: "postgres".into(),
                uid: 101,
                gid: 104,
            }),
            setpriv: Some("/usr/bin/setpriv".into()),
        };
        let words = |command: &Command| -> Vec<String> {
            std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(
            words(&launcher.command(Path::new("/pg/postgres"), true)).join(" "),
            "/usr/bin/setpriv --reuid 101 --regid 104 --clear-groups --reset-env --pdeathsig INT -- /pg/postgres"
        );
        let ordinary = Launcher {
            account: None,
            setpriv: Some("/usr/bin/setpriv".into()),
        };
        assert_eq!(
            words(&ordinary.command(Path::new("/pg/initdb"), false)),
            ["/pg/initdb"]
        );
        assert_eq!(
            words(&ordinary.command(Path::new("/pg/postgres"), true)).join(" "),
            "/usr/bin/setpriv --pdeathsig INT -- /pg/postgres"
        );
        let bare = Launcher::default();
        assert_eq!(
            words(&bare.command(Path::new("/pg/postgres"), true)),
            ["/pg/postgres"]
        );
        assert!(!bare.can_tie());
    }
}
