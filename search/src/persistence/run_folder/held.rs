//! Locks folders inside a run folder, so that each training's folder has only one writer.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::lock::patiently;
use super::place::check_held;

/// Name of the lock file.
const LOCK: &str = "lock";
/// Maximum number of attempts. An attempt fails if another process removes the folder at the same time.
const ATTEMPTS: usize = 16;

/// Locks a folder, and creates it if it is missing. The lock lasts until the returned file is dropped or the
/// process ends. Returns `None` if another writer, in this process or in another one, has the lock.
///
/// # Errors
/// If the folder or its lock file cannot be created or locked.
pub fn hold_folder(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    for _ in 0..ATTEMPTS {
        check_held(folder)?;
        fs::create_dir_all(folder)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match patiently(&file) {
            Ok(()) if is_at(&file, &path) => return Ok(Some(file)),
            // The previous writer has removed the folder. This lock is on a deleted file, which no other
            // process can open, so the lock protects nothing.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: fs::Metadata, b: fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
    file.metadata().ok().zip(fs::metadata(path).ok()).is_some_and(|(open, there)| same(open, there))
}

/// On other systems an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("training").join("a");
        let held = hold_folder(&place).unwrap();
        assert!(held.is_some() && hold_folder(&place).unwrap().is_none());
        assert!(hold_folder(&place.with_file_name("b")).unwrap().is_some());
        // The writer removes the folder. The next writer creates it again.
        fs::remove_dir_all(&place).unwrap();
        let next = hold_folder(&place).unwrap();
        assert!(next.is_some() && hold_folder(&place).unwrap().is_none());
        drop(held);
        assert!(hold_folder(&place).unwrap().is_none());
        drop(next);
        assert!(hold_folder(&place).unwrap().is_some());
    }
}
