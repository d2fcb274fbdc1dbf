//! Creates temporary files and folders beside their final path (the place). Callers fill a temporary file or
//! folder and then move it to the place.
//!
//! A writer locks its temporary file or folder. An unlocked temporary file or folder is a leftover of a dead
//! writer, and the next writer removes it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// Maximum number of names that `create` tries. Usually the first name works, but another process can remove
/// the new file before this process locks it.
const ATTEMPTS: u32 = 16;
/// Maximum length of a file name in bytes. In temporary names a hash replaces longer names, so that the
/// temporary name does not become too long for the file system.
const LONGEST_NAME: usize = 200;
const ENDING: &str = ".partial";
const DIGITS: usize = 16;

/// Returns the folder that contains `place`.
pub(crate) fn parent(place: &Path) -> &Path {
    match place.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => place,
    }
}

/// Creates a temporary file or folder beside `place` and locks it. Before that, it removes leftovers of dead
/// writers to the same place.
///
/// `make` creates the file or folder under the name that it receives, and returns the handle to lock. It must
/// fail if the name exists, even as a link.
pub(crate) fn create(place: &Path, make: impl Fn(&Path) -> io::Result<File>) -> io::Result<(PathBuf, File)> {
    let Some(name) = place.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path names no file"));
    };
    let start = beginning(name);
    clean(parent(place), &start);
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        let mut beside = start.clone();
        beside.push(format!("{:0DIGITS$x}{ENDING}", unpredictable()));
        let beside = parent(place).join(beside);
        let file = match make(&beside) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                last = error;
                continue;
            }
            Err(error) => return Err(error),
        };
        // Another process may remove the new file as a leftover before this process holds the lock. On a file
        // system without locks, no process removes leftovers.
        let is_lost = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if !is_lost && beside.symlink_metadata().is_ok() {
            return Ok((beside, file));
        }
        let _ = remove(&beside);
    }
    Err(last)
}

/// Syncs the parent folder of `place`, so that a new or renamed file survives a crash of the machine.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_parent(place: &Path) -> io::Result<()> {
    sync_folder(parent(place))
}

/// Syncs a folder, so that renames and new files in it survive a crash of the machine.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix can open a folder as a file.
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot sync folders.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Removes a file, a link, or a folder with its content. A missing path is not an error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let removed = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns the common start of all temporary names beside the place with this file name.
fn beginning(name: &OsStr) -> OsString {
    let mut start = OsString::from(".");
    if name.len() <= LONGEST_NAME {
        start.push(name);
    } else {
        start.push(&blake3::hash(name.as_encoded_bytes()).to_hex()[..32]);
    }
    start.push(".");
    start
}

/// Removes unlocked leftovers whose names begin with `start`. A leftover that cannot be removed stays and
/// does no harm.
fn clean(folder: &Path, start: &OsStr) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let digits = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes());
        let digits = digits.and_then(|rest| rest.strip_suffix(ENDING.as_bytes()));
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if !digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(is_digit)) {
            continue;
        }
        // `file_type` does not follow links. Writers never make links, so a link is not a leftover.
        if !entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_dir()) {
            continue;
        }
        let path = folder.join(name);
        if File::open(&path).is_ok_and(|left| left.try_lock().is_ok()) {
            let _ = remove(&path);
        }
    }
}

/// Returns a number that other processes cannot predict, because the system seeds the standard library's
/// hashers.
fn unpredictable() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path) -> io::Result<File> {
        File::options().write(true).create_new(true).open(path)
    }

    #[test]
    fn create_removes_unlocked_leftovers_of_same_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.txt");
        let (held, lock) = create(&place, make).unwrap();
        let left = folder.path().join(".a.txt.0123456789abcdef.partial");
        let left_folder = folder.path().join(".a.txt.0123456789abcde0.partial");
        fs::write(&left, "half").unwrap();
        fs::create_dir_all(left_folder.join("inside")).unwrap();
        let others = [".a.txt.partial", ".a.txt.0123456789ABCDEF.partial", ".b.txt.0123456789abcdef.partial"];
        for other in others {
            fs::write(folder.path().join(other), "").unwrap();
        }
        let (second, _lock) = create(&place, make).unwrap();
        assert!(held.exists() && second.exists() && !left.exists() && !left_folder.exists());
        assert!(others.iter().all(|other| folder.path().join(other).exists()));
        drop(lock);
        let _third = create(&place, make).unwrap();
        assert!(!held.exists() && second.exists());
    }

    #[cfg(unix)]
    #[test]
    fn create_keeps_link_that_has_name_of_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "mine").unwrap();
        let link = folder.path().join(".a.txt.0123456789abcdef.partial");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let _made = create(&folder.path().join("a.txt"), make).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(link.symlink_metadata().is_ok());
    }

    #[test]
    fn create_shortens_name_beside_place_of_255_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (beside, _lock) = create(&folder.path().join("a".repeat(255)), make).unwrap();
        assert!(beside.file_name().unwrap().len() < 80);
    }
}
