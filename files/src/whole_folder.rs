//! Writes whole folders. Every crate of Kiln writes folders through this module.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::reader::kind;
use crate::{Existing, FileError, beside};

/// A folder that is filled under a temporary name beside its final path (the place). [`WholeFolder::finish`]
/// moves the folder to its place. Dropping a `WholeFolder` before that removes the temporary folder.
#[derive(Debug)]
pub struct WholeFolder {
    place: PathBuf,
    /// The temporary path; `None` once the folder is in its place.
    beside: Option<PathBuf>,
    /// The lock that keeps other processes from removing the folder as a leftover.
    _lock: File,
}

impl WholeFolder {
    /// Creates the temporary folder. Removes leftovers of dead writers to the same place.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be created, or when its place is not a folder.
    pub fn create(place: &Path) -> Result<Self, FileError> {
        if let Ok(found) = place.symlink_metadata()
            && !found.is_dir()
        {
            return Err(FileError::NotAFolder { path: place.to_owned(), found: kind(&found) });
        }
        let make = |path: &Path| fs::create_dir(path).and_then(|()| File::open(path));
        let (beside, lock) = beside::create(place, make).map_err(FileError::io(place, "make the folder"))?;
        Ok(Self { place: place.to_owned(), beside: Some(beside), _lock: lock })
    }

    /// Returns the path of the temporary folder, which the caller fills.
    ///
    /// # Panics
    /// Never, because the temporary path is set until the folder is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.beside.as_deref().expect("the folder is beside its place until it is finished")
    }

    /// Syncs all files and moves the folder to its place, which must be missing or an empty folder.
    ///
    /// # Errors
    /// [`FileError::Exists`] when a non-empty folder exists. Another [`FileError`] when the system reports an
    /// error.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.sync()?;
        match fs::rename(self.path(), &self.place) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(FileError::Exists { path: self.place.clone(), existing: Existing::Any })
            }
            Err(error) => Err(FileError::io(&self.place, "write the folder")(error)),
            Ok(()) => self.end(),
        }
    }

    /// Syncs all files and moves the folder to its place. An existing folder is removed with its content.
    ///
    /// # Errors
    /// [`FileError`]. If the process is killed midway, the place contains the old folder, nothing, or the new
    /// folder.
    pub fn finish_over(mut self) -> Result<(), FileError> {
        self.sync()?;
        let failed = |action| FileError::io(&self.place, action);
        // The old folder moves into a second temporary folder, which is removed when dropped.
        let old = if self.place.exists() { Some(Self::create(&self.place)?) } else { None };
        if let Some(old) = &old {
            fs::rename(&self.place, old.path()).map_err(failed("move the old folder away"))?;
        }
        fs::rename(self.path(), &self.place).map_err(|error| {
            if let Some(old) = &old {
                // If this fails too, report the first error.
                let _ = fs::rename(old.path(), &self.place);
            }
            failed("write the folder")(error)
        })?;
        self.end()
    }

    fn end(&mut self) -> Result<(), FileError> {
        self.beside = None;
        beside::sync_folder(beside::parent(&self.place)).map_err(FileError::io(&self.place, "sync"))
    }

    /// Syncs every file and folder, because the code that filled the folder may not have synced them.
    fn sync(&self) -> Result<(), FileError> {
        sync_all(self.path()).map_err(FileError::io(&self.place, "sync"))
    }
}

/// Creates a folder and its missing parents, and syncs them. An existing folder is not an error.
///
/// # Errors
/// [`FileError`] when a folder cannot be created, or when a part of the path is not a folder.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    match path.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(found) => return Err(FileError::NotAFolder { path: path.to_owned(), found: kind(&found) }),
        Err(_) => {}
    }
    let parent = beside::parent(path);
    if parent != path {
        make_folder(parent)?;
    }
    let failed = FileError::io(path, "make the folder");
    match fs::create_dir(path).and_then(|()| beside::sync_folder(parent)) {
        // Another process may have created the folder meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(failed),
    }
}

fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_all(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    beside::sync_folder(folder)
}

impl Drop for WholeFolder {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // A partial folder is useless. If it cannot be removed now, the next write removes it.
            let _ = beside::remove(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn finished_folder_is_in_place_and_dropped_folder_is_removed() {
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("a");
        let folder = WholeFolder::create(&place).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/x"), "1").unwrap();
        assert!(!place.exists());
        folder.finish().unwrap();
        assert_eq!((fs::read(place.join("inner/x")).unwrap(), count(outer.path())), (b"1".to_vec(), 1));

        let dropped = WholeFolder::create(&place).unwrap();
        fs::write(dropped.path().join("y"), "2").unwrap();
        drop(dropped);
        assert_eq!((count(&place), count(outer.path())), (1, 1));
    }

    #[test]
    fn finish_refuses_filled_folder_and_finish_over_replaces_it() {
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("a");
        fs::create_dir(&place).unwrap();
        let first = WholeFolder::create(&place).unwrap();
        fs::write(first.path().join("x"), "1").unwrap();
        first.finish().unwrap();
        let second = WholeFolder::create(&place).unwrap();
        fs::write(second.path().join("y"), "2").unwrap();
        assert!(matches!(second.finish(), Err(FileError::Exists { .. })));
        assert!(place.join("x").exists());
        let third = WholeFolder::create(&place).unwrap();
        fs::write(third.path().join("z"), "3").unwrap();
        third.finish_over().unwrap();
        assert_eq!((count(&place), count(outer.path())), (1, 1));
        assert!(place.join("z").exists());
    }

    #[test]
    fn create_folder_over_file_is_an_error() {
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("a");
        fs::write(&place, "").unwrap();
        let said = WholeFolder::create(&place).unwrap_err().to_string();
        assert!(said.ends_with("is a file, expected a folder"), "{said}");
    }
}
