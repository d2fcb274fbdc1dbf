//! Reads whole files. Every read has a size limit and accepts regular files only.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::{FileError, FileKind};

/// Opens a file of at most `limit` bytes and returns it with its length.
///
/// # Errors
/// [`FileError`] when the path cannot be opened, is not a file, or is longer than `limit`. The kind of the
/// path is checked before opening, because opening a pipe would wait for a writer.
pub fn open(path: &Path, limit: u64) -> Result<(File, u64), FileError> {
    let failed = || FileError::io(path, "read");
    check(path, &path.metadata().map_err(failed())?)?;
    let file = File::open(path).map_err(failed())?;
    let found = file.metadata().map_err(failed())?;
    check(path, &found)?;
    let bytes = found.len();
    if bytes > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    Ok((file, bytes))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// The errors of [`open`], and an error when the file grows beyond the limit during reading.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let (file, length) = open(path, limit)?;
    let mut bytes = Vec::new();
    // A sparse file may be longer than the memory. Then the allocation must return an error, not abort the
    // process.
    let reserved = bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX));
    reserved.map_err(|_| FileError::io(path, "read")(io::ErrorKind::OutOfMemory.into()))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::io(path, "read"))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// The errors of [`read`], and an error when the content is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..byte].split(|byte| *byte == b'\n').count();
        FileError::NotText { path: path.to_owned(), line, byte }
    })
}

/// Turns a missing file into `None`.
///
/// # Errors
/// Every error in `read`, except the error for a missing file.
pub fn optional<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(path: &Path, found: &Metadata) -> Result<(), FileError> {
    if found.is_file() {
        return Ok(());
    }
    Err(FileError::NotAFile { path: path.to_owned(), found: kind(found) })
}

/// Returns what kind of path this metadata describes.
pub(crate) fn kind(found: &Metadata) -> FileKind {
    if found.is_file() {
        FileKind::File
    } else if found.is_dir() {
        FileKind::Folder
    } else if found.is_symlink() {
        FileKind::Link
    } else {
        FileKind::Special
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn read_accepts_file_at_limit_and_error_states_length_and_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap(), [7; 10]);
        let said = format!("{}: is 10 bytes long, expected at most 9", path.display());
        assert_eq!(read(&path, 9).unwrap_err().to_string(), said);
    }

    #[test]
    fn error_names_folder_missing_file_and_invalid_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let said = read(folder.path(), 9).unwrap_err().to_string();
        assert!(said.ends_with("is a folder, expected a file"), "{said}");
        let missing = folder.path().join("none");
        assert!(read(&missing, 9).unwrap_err().is_missing());
        assert!(optional(read(&missing, 9)).unwrap().is_none());
        let path = folder.path().join("a");
        fs::write(&path, b"one\ntwo\nthree \xff").unwrap();
        let said = read_text(&path, 99).unwrap_err().to_string();
        assert!(said.ends_with("a:3: byte 14 of the file is not UTF-8; save the file as UTF-8"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn read_refuses_devices() {
        let said = read(Path::new("/dev/zero"), 9).unwrap_err().to_string();
        assert_eq!(said, "/dev/zero: is a pipe, a socket or a device, expected a file");
    }
}
