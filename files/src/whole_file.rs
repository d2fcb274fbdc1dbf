//! Writes whole files. Every crate of Kiln writes files through this module.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::reader::kind;
use crate::{Existing, FileError, beside};

/// A file that is written under a temporary name beside its final path (the place). [`WholeFile::finish`]
/// moves the file to its place. Dropping a `WholeFile` before that removes the temporary file.
#[derive(Debug)]
pub struct WholeFile {
    place: PathBuf,
    /// The temporary path; `None` once the file is in its place.
    beside: Option<PathBuf>,
    out: BufWriter<File>,
}

impl WholeFile {
    /// Creates the temporary file. Removes leftovers of dead writers to the same place.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be created, or when a folder, a pipe or a device is in its place.
    pub fn create(place: &Path) -> Result<Self, FileError> {
        if let Ok(found) = place.symlink_metadata()
            && !found.is_file()
            && !found.is_symlink()
        {
            return Err(FileError::NotAFile { path: place.to_owned(), found: kind(&found) });
        }
        let make = |path: &Path| File::options().write(true).create_new(true).open(path);
        let (beside, file) = beside::create(place, make).map_err(FileError::io(place, "write"))?;
        Ok(Self { place: place.to_owned(), beside: Some(beside), out: BufWriter::new(file) })
    }

    /// Syncs the file and moves it to its place. A file or link there is replaced.
    ///
    /// # Errors
    /// [`FileError`]. The place is then unchanged.
    pub fn finish(self) -> Result<(), FileError> {
        self.finish_by(Sync::Whole, |beside, place| fs::rename(beside, place))
    }

    /// Syncs the file and moves it to its place, which must not exist.
    ///
    /// # Errors
    /// [`FileError::Exists`] when the place exists, and the errors of [`WholeFile::finish`].
    pub fn finish_new(self) -> Result<(), FileError> {
        self.finish_new_by(Sync::Whole)
    }

    fn finish_new_by(self, sync: Sync) -> Result<(), FileError> {
        let place = self.place.clone();
        let ended = self.finish_by(sync, |beside, place| {
            // `hard_link` fails if the place exists; `rename` would silently replace it.
            match fs::hard_link(beside, place) {
                Ok(()) => fs::remove_file(beside),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                // Not every file system has hard links.
                Err(_) if place.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(beside, place),
            }
        });
        match ended {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(FileError::Exists { path: place, existing: Existing::Any })
            }
            ended => ended,
        }
    }

    fn finish_by(
        mut self,
        sync: Sync,
        put: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let beside = self.beside.clone().expect("the file is beside its place until it is finished");
        let end = |out: &mut BufWriter<File>| {
            out.flush()?;
            if sync == Sync::Whole {
                out.get_ref().sync_all()?;
            }
            put(&beside, &self.place)?;
            Ok(())
        };
        end(&mut self.out).map_err(FileError::io(&self.place, "write"))?;
        self.beside = None;
        if sync == Sync::None {
            return Ok(());
        }
        beside::sync_folder(beside::parent(&self.place)).map_err(FileError::io(&self.place, "sync"))
    }
}

/// Whether a file survives a crash of the machine from the moment it is in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Whole,
    None,
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // A partial file is useless. If it cannot be removed now, the next write removes it.
            let _ = beside::remove(beside);
        }
    }
}

/// Writes a file. A file or link in its place is replaced.
///
/// # Errors
/// [`FileError`]. The place is then unchanged.
pub fn write(place: &Path, bytes: &[u8]) -> Result<(), FileError> {
    with(place, bytes)?.finish()
}

/// Writes a file whose place must not exist.
///
/// # Errors
/// [`FileError::Exists`] when the place exists, and the errors of [`write()`].
pub fn write_new(place: &Path, bytes: &[u8]) -> Result<(), FileError> {
    with(place, bytes)?.finish_new()
}

/// Writes a file for another process on this machine. Its place must not exist. Other processes see the whole
/// file or none. The file is not synced: after a crash of the machine, it may be missing or incomplete.
///
/// # Errors
/// [`FileError::Exists`] when the place exists, and the errors of [`write()`].
pub fn hand_over(place: &Path, bytes: &[u8]) -> Result<(), FileError> {
    with(place, bytes)?.finish_new_by(Sync::None)
}

/// Writes a file that other processes read while it is replaced again and again. They see a whole file. The
/// file is not synced.
///
/// # Errors
/// [`FileError`]. The place is then unchanged.
pub fn show(place: &Path, bytes: &[u8]) -> Result<(), FileError> {
    with(place, bytes)?.finish_by(Sync::None, |beside, place| fs::rename(beside, place))
}

/// Gives a file a second path, which must not exist. Where the file system has no hard links, the file is
/// copied.
///
/// # Errors
/// [`FileError`] naming `place` when it exists, or when the file cannot be linked and not be copied.
pub fn link_or_copy(file: &Path, place: &Path) -> Result<(), FileError> {
    match fs::hard_link(file, place) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
            Err(FileError::io(place, "link")(error))
        }
        Err(_) => fs::copy(file, place).map(drop).map_err(FileError::io(place, "copy")),
    }
}

fn with(place: &Path, bytes: &[u8]) -> Result<WholeFile, FileError> {
    let mut file = WholeFile::create(place)?;
    file.write_all(bytes).map_err(FileError::io(place, "write"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn finished_file_is_in_place_and_dropped_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a");
        write(&place, b"one").unwrap();
        let mut second = WholeFile::create(&place).unwrap();
        second.write_all(b"half").unwrap();
        second.flush().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"one");
        drop(second);
        assert_eq!(
            (fs::read(&place).unwrap(), names(folder.path())),
            (b"one".to_vec(), vec!["a".to_owned()])
        );
        write(&place, b"two").unwrap();
        assert_eq!(
            (fs::read(&place).unwrap(), names(folder.path())),
            (b"two".to_vec(), vec!["a".to_owned()])
        );
    }

    #[test]
    fn write_new_refuses_existing_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a");
        write_new(&place, b"one").unwrap();
        assert!(matches!(write_new(&place, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(
            (fs::read(&place).unwrap(), names(folder.path())),
            (b"one".to_vec(), vec!["a".to_owned()])
        );
    }

    #[test]
    fn write_to_folder_or_into_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let said = write(folder.path(), b"").unwrap_err().to_string();
        assert!(said.ends_with("is a folder, expected a file"), "{said}");
        assert!(write(&folder.path().join("no/a"), b"").unwrap_err().is_missing());
    }

    #[cfg(unix)]
    #[test]
    fn write_replaces_link_instead_of_following_it() {
        let folder = tempfile::tempdir().unwrap();
        let (place, target) = (folder.path().join("a"), folder.path().join("target"));
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &place).unwrap();
        assert!(matches!(write_new(&place, b"one"), Err(FileError::Exists { .. })));
        write(&place, b"one").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        assert!(place.symlink_metadata().unwrap().is_file());
    }
}
