//! The directories that a server of our own lives in: private, locked while they are used, and removed when they were left over.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::EmbeddedError;
use super::account::Launcher;

/// The longest directory whose socket's path still fits into a socket address (104 bytes on macOS, 108 on Linux).
const LONGEST_SOCKET_DIRECTORY: usize = 80;
/// The file whose lock says that a kept directory is in use.
const KEPT_LOCK: &str = "previewpg.lock";
/// The same for a temporary directory: another name, for a directory with this one may be removed.
const TEMPORARY_LOCK: &str = "previewpg-temporary.lock";
/// How temporary directories' names begin.
const PREFIX: &str = "previewpg-";

/// A private temporary directory whose path is short enough for a socket, and its lock. What killed processes left is removed.
pub(super) fn temporary_directory(launcher: &Launcher) -> Result<(TempDir, File), EmbeddedError> {
    let usual = std::env::temp_dir();
    let base = if usual.as_os_str().len() > LONGEST_SOCKET_DIRECTORY - 20 {
        PathBuf::from("/tmp")
    } else {
        usual
    };
    remove_left_over(&base);
    // tempfile makes it 0700.
    let directory = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(&base)
        .map_err(files("make a directory in", &base))?;
    // It gets its name when it's locked: an unlocked one would be taken for left over.
    let (new, path) = (
        directory.path().join("new.lock"),
        directory.path().join(TEMPORARY_LOCK),
    );
    let lock = File::create(&new).map_err(files("make", &new))?;
    lock.try_lock()
        .map_err(|error| files("lock", &new)(error.into()))?;
    std::fs::rename(&new, &path).map_err(files("make", &path))?;
    launcher
        .give(directory.path())
        .map_err(files("change the owner of", directory.path()))?;
    Ok((directory, lock))
}

/// Removes the temporary directories of processes that were killed: those whose lock nobody holds.
fn remove_left_over(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(TEMPORARY_LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            // Somebody else's can't be removed, and needn't be.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes the kept directory, or opens it, and locks it for as long as we live.
pub(super) fn open_home(directory: &Path) -> Result<File, EmbeddedError> {
    std::fs::create_dir_all(directory).map_err(files("make", directory))?;
    let lock_path = directory.join(KEPT_LOCK);
    let empty = std::fs::read_dir(directory)
        .map_err(files("read", directory))?
        .next()
        .is_none();
    if !empty && !lock_path.exists() {
        return Err(EmbeddedError::NotOurs(directory.to_owned()));
    }
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(files("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(EmbeddedError::InUse(directory.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(files("lock", &lock_path)(source)),
    }
}

/// Refuses a directory that the server's user can't enter.
pub(super) fn reachable(launcher: &Launcher, directory: &Path) -> Result<(), EmbeddedError> {
    let Some(account) = &launcher.account else {
        return Ok(());
    };
    let shell = Path::new("/bin/sh");
    let status = launcher
        .command(shell, false)
        .args(["-c", "cd -- \"$0\""])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|source| EmbeddedError::Run {
            program: shell.to_owned(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(EmbeddedError::Unreachable {
            directory: directory.to_owned(),
            account: account.name.clone(),
        })
    }
}

/// Makes a directory that only the server's user may enter.
pub(super) fn make_private(launcher: &Launcher, directory: &Path) -> Result<(), EmbeddedError> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory)
        .map_err(files("make", directory))?;
    launcher
        .give(directory)
        .map_err(files("change the owner of", directory))
}

/// Writes a file of the server's user.
pub(super) fn write(launcher: &Launcher, path: &Path, text: &str) -> Result<(), EmbeddedError> {
    std::fs::write(path, text).map_err(files("write", path))?;
    launcher
        .give(path)
        .map_err(files("change the owner of", path))
}

/// Says what could not be done to which file.
pub(super) fn files(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> EmbeddedError + use<> {
    let path = path.to_owned();
    move |source| EmbeddedError::Files {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("precious"), "").unwrap();
        assert!(matches!(
            open_home(directory.path()),
            Err(EmbeddedError::NotOurs(_))
        ));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let directory = base.path().join(name);
            std::fs::create_dir(&directory).unwrap();
            File::create(directory.join(TEMPORARY_LOCK)).unwrap()
        };
        drop(make("previewpg-left"));
        drop(make("others"));
        let kept = base.path().join("previewpg-kept");
        drop(open_home(&kept).unwrap());
        let used = make("previewpg-used");
        used.try_lock().unwrap();
        std::fs::create_dir(base.path().join("previewpg-new")).unwrap();
        remove_left_over(base.path());
        let mut names: Vec<_> = std::fs::read_dir(base.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "others",
                "previewpg-kept",
                "previewpg-new",
                "previewpg-used"
            ]
        );
    }

    #[test]
    fn a_directory_is_opened_once_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = open_home(directory.path()).unwrap();
        assert!(matches!(
            open_home(directory.path()),
            Err(EmbeddedError::InUse(_))
        ));
        drop(first);
        open_home(directory.path()).unwrap();
    }
}
