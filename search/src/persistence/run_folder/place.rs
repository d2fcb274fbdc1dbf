//! Checks that the paths of open files still lead to these files. A run folder may be removed, renamed or
//! replaced while a study runs. In that case, the study must not write into the new folder.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::StudyError;

/// A path, and the identity of the file or folder at this path when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode number, which differ between any two files that exist at the same time.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// Other systems do not provide such an identity. On these systems, a folder in use cannot be removed or
/// renamed.
#[cfg(not(unix))]
type Identity = ();
#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}

impl Place {
    /// Creates the place of an open file.
    pub(crate) fn of_file(path: &Path, file: &File) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&file.metadata()?) })
    }

    /// Creates the place of a folder.
    pub(crate) fn of_folder(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::metadata(path)?) })
    }

    /// Whether the path still leads to the same file or folder. The check takes one system call and reads no
    /// content.
    pub(crate) fn is_kept(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) => identity(&found) == self.identity,
            // Other errors, such as a network failure, do not prove that the file is gone.
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// The places that a process uses in its run folder: the folder, its lock and its journal.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
    places: Vec<Place>,
}

impl Places {
    pub(crate) fn new(root: &Path, places: Vec<Place>) -> Self {
        Self { root: root.to_owned(), places }
    }

    pub(crate) fn push(&mut self, place: Place) {
        self.places.push(place);
    }

    /// # Errors
    /// [`StudyError::Displaced`] with the first place whose path leads to something else.
    pub(crate) fn check(&self) -> Result<(), StudyError> {
        match self.places.iter().find(|place| !place.is_kept()) {
            None => Ok(()),
            Some(place) => Err(StudyError::Displaced { path: self.root.clone(), what: place.path.clone() }),
        }
    }
}

/// The run folders that this process has locked. A lock belongs to the whole process, so this list is global.
static HELD: Mutex<Vec<(u64, Place)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Registers a run folder as locked by this process, until this value is dropped.
#[derive(Debug)]
pub(crate) struct Held(u64);

impl Held {
    pub(crate) fn new(folder: Place) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push((number, folder));
        Self(number)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != self.0);
    }
}

/// Returns an error if `place` is in a run folder that this process has locked, and the folder's path no
/// longer leads to this folder. Call this function before you create a file or folder in a run folder.
///
/// # Errors
/// If the run folder was removed, moved or replaced.
pub fn check_held(place: &Path) -> io::Result<()> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let displaced = held.iter().find(|(_, folder)| place.starts_with(&folder.path) && !folder.is_kept());
    match displaced {
        None => Ok(()),
        Some(_) => Err(io::Error::new(ErrorKind::NotFound, "the run folder was removed, moved or replaced")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_removed_renamed_or_replaced_are_displaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        let (file, away) = (root.join("lock"), folder.path().join("away"));
        let make = || {
            fs::create_dir(&root).unwrap();
            let opened = File::create(&file).unwrap();
            let places = vec![Place::of_folder(&root).unwrap(), Place::of_file(&file, &opened).unwrap()];
            (Places::new(&root, places), opened)
        };
        let cases: [(&dyn Fn(), &Path); 4] = [
            (&|| fs::remove_file(&file).unwrap(), &file),
            (&|| fs::remove_dir_all(&root).unwrap(), &root),
            (&|| fs::rename(&root, &away).unwrap(), &root),
            (
                &|| {
                    fs::rename(&root, &away).unwrap();
                    fs::create_dir(&root).unwrap();
                    File::create(&file).unwrap();
                },
                &root,
            ),
        ];
        for (displace, expected) in cases {
            // The file stays open, so that no new file can get the same inode number.
            let (places, _opened) = make();
            places.check().unwrap();
            displace();
            match places.check().unwrap_err() {
                StudyError::Displaced { path, what } => {
                    assert_eq!((path.as_path(), what.as_path()), (&*root, expected));
                }
                error => panic!("{error}"),
            }
            for folder in [&root, &away] {
                let _ = fs::remove_dir_all(folder);
            }
        }
    }

    #[test]
    fn check_held_refuses_paths_below_a_held_folder_that_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (root, away) = (folder.path().join("run"), folder.path().join("away"));
        fs::create_dir(&root).unwrap();
        let held = Held::new(Place::of_folder(&root).unwrap());
        let file = root.join("training/a/step.ckpt");
        check_held(&file).unwrap();
        fs::rename(&root, &away).unwrap();
        fs::create_dir(&root).unwrap();
        assert!(check_held(&file).is_err());
        check_held(&folder.path().join("runner")).unwrap();
        drop(held);
        check_held(&file).unwrap();
    }
}
