//! Writes files that a user asked for. Existing files are overwritten only with the user's consent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use crate::reader::{kind, open};
use crate::{Content, Existing, FileError, WholeFolder, beside, make_folder, whole_file};

/// States which existing files may be overwritten. Without [`Overwrite::Always`], a file that already has the
/// same content is left alone.
#[derive(Clone, Copy)]
pub enum Overwrite<'a> {
    /// No existing file.
    Never,
    /// Files that Kiln wrote. The function recognizes them by their first [`BEGINNING`] bytes.
    Own(&'a dyn Fn(&[u8]) -> bool),
    /// Any file, because the user forced it.
    Always,
}

/// Whether the function had to write the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The output was written.
    Now,
    /// The same content already existed, so nothing was written.
    Before,
}

/// Number of bytes at the start of a file that Kiln reads to recognize its own files.
pub const BEGINNING: usize = 4096;

/// Writes a file that a user asked for. If the path is a pipe or a device, or a link to one, the bytes are
/// written to it directly.
///
/// # Errors
/// [`FileError::Exists`] when the path exists and must not be overwritten. Another [`FileError`] when the
/// path is a folder or the system reports an error.
pub fn write_output(place: &Path, bytes: &[u8], overwrite: Overwrite<'_>) -> Result<Written, FileError> {
    if place.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let written = File::options().write(true).open(place).and_then(|mut out| {
            out.write_all(bytes)?;
            out.flush()
        });
        return written.map(|()| Written::Now).map_err(FileError::io(place, "write"));
    }
    let Ok(found) = place.symlink_metadata() else {
        return whole_file::write_new(place, bytes).map(|()| Written::Now);
    };
    if found.is_dir() {
        return Err(FileError::NotAFile { path: place.to_owned(), found: kind(&found) });
    }
    if matches!(overwrite, Overwrite::Always) {
        return whole_file::write(place, bytes).map(|()| Written::Now);
    }
    if found.is_symlink() {
        return Err(FileError::Exists { path: place.to_owned(), existing: Existing::Link });
    }
    if is_same(place, bytes)? {
        return Ok(Written::Before);
    }
    match overwrite {
        Overwrite::Own(is_own) if is_own(&beginning_of(place)?) => {
            whole_file::write(place, bytes).map(|()| Written::Now)
        }
        Overwrite::Own(_) => Err(FileError::Exists { path: place.to_owned(), existing: Existing::Foreign }),
        _ => Err(FileError::Exists { path: place.to_owned(), existing: Existing::Different }),
    }
}

/// Writes a folder that a user asked for. `files` maps relative paths to contents.
///
/// A new folder appears complete or not at all. With `force`, the files are written into an existing folder,
/// and its other files stay. In that case the file `marker` is removed first and written last, so a folder
/// with a marker is complete.
///
/// # Errors
/// [`FileError::Exists`] when a folder with different content exists and `force` is not set. Another
/// [`FileError`] when the system reports an error.
pub fn write_output_folder(
    place: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    marker: &str,
    force: bool,
) -> Result<Written, FileError> {
    let place = &resolved(place)?;
    make_folder(beside::parent(place))?;
    let staged = WholeFolder::create(place)?;
    for (name, bytes) in files {
        let file = staged.path().join(name);
        let parent = beside::parent(&file);
        fs::create_dir_all(parent).map_err(FileError::io(place, "make a folder in"))?;
        whole_file::write(&file, bytes)?;
    }
    let is_free = fs::read_dir(place).map_or(true, |mut entries| entries.next().is_none());
    if is_free {
        return staged.finish().map(|()| Written::Now);
    }
    let mut is_there = true;
    for (name, bytes) in files {
        is_there = is_there && place.join(name).is_file() && is_same(&place.join(name), bytes)?;
    }
    if is_there {
        return Ok(Written::Before);
    }
    if !force {
        return Err(FileError::Exists { path: place.clone(), existing: Existing::Different });
    }
    put_into(&staged, place, files, marker).map(|()| Written::Now)
}

/// Moves staged files into an existing folder.
fn put_into(
    staged: &WholeFolder,
    place: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    marker: &str,
) -> Result<(), FileError> {
    for name in files.keys() {
        check_folders(place, name)?;
    }
    let failed = |action| FileError::io(place, action);
    beside::remove(&place.join(marker)).map_err(failed("write into"))?;
    beside::sync_folder(place).map_err(failed("sync"))?;
    let (last, others): (Vec<&String>, _) = files.keys().partition(|name| name.as_str() == marker);
    for name in others.into_iter().chain(last) {
        let file = place.join(name);
        let parent = beside::parent(&file);
        fs::create_dir_all(parent).map_err(failed("make a folder in"))?;
        fs::rename(staged.path().join(name), &file).map_err(FileError::io(&file, "write"))?;
        beside::sync_folder(parent).map_err(failed("sync"))?;
    }
    Ok(())
}

/// Resolves a link to a folder, because the user means the folder and not the link.
fn resolved(place: &Path) -> Result<PathBuf, FileError> {
    let is_link = place.symlink_metadata().is_ok_and(|found| found.is_symlink());
    // A path such as `.` or `a/..` has no file name, so no temporary name beside it can be formed.
    let is_nameless = place.file_name().is_none();
    if place.is_dir() && (is_link || is_nameless) {
        return place.canonicalize().map_err(FileError::io(place, "open the folder"));
    }
    Ok(place.to_owned())
}

/// Refuses links among the parent folders of `name` inside `place`, because a link can lead outside.
fn check_folders(place: &Path, name: &str) -> Result<(), FileError> {
    let mut path = place.to_owned();
    for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else { continue };
        path.push(part);
        match path.symlink_metadata() {
            Ok(found) if !found.is_dir() => return Err(FileError::NotAFolder { found: kind(&found), path }),
            _ => {}
        }
    }
    Ok(())
}

fn is_same(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let length = path.metadata().map_err(FileError::io(path, "read"))?.len();
    Ok(length == bytes.len() as u64 && Content::of_file(path)? == Content::of(bytes))
}

fn beginning_of(path: &Path) -> Result<Vec<u8>, FileError> {
    let (file, _) = open(path, u64::MAX)?;
    let mut bytes = Vec::new();
    file.take(BEGINNING as u64).read_to_end(&mut bytes).map_err(FileError::io(path, "read"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(written: &Result<Written, FileError>) -> bool {
        matches!(written, Err(FileError::Exists { .. }))
    }

    #[test]
    fn write_output_overwrites_own_and_forced_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.html");
        let own = |bytes: &[u8]| bytes.starts_with(b"kiln");
        assert_eq!(write_output(&place, b"kiln 1", Overwrite::Never).unwrap(), Written::Now);
        assert_eq!(write_output(&place, b"kiln 1", Overwrite::Never).unwrap(), Written::Before);
        assert!(refused(&write_output(&place, b"kiln 2", Overwrite::Never)));
        assert_eq!(write_output(&place, b"kiln 2", Overwrite::Own(&own)).unwrap(), Written::Now);
        fs::write(&place, "mine").unwrap();
        let said = write_output(&place, b"kiln 2", Overwrite::Own(&own)).unwrap_err().to_string();
        assert!(said.contains("already exists, and Kiln did not write it"), "{said}");
        assert_eq!(fs::read(&place).unwrap(), b"mine");
        assert_eq!(write_output(&place, b"kiln 2", Overwrite::Always).unwrap(), Written::Now);
        assert_eq!(fs::read(&place).unwrap(), b"kiln 2");
    }

    #[cfg(unix)]
    #[test]
    fn write_output_refuses_link_replaces_it_by_force_and_writes_to_device() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (place, target) = (folder.path().join("a"), folder.path().join("target"));
        fs::write(&target, "mine").unwrap();
        symlink(&target, &place).unwrap();
        assert!(refused(&write_output(&place, b"x", Overwrite::Own(&|_| true))));
        write_output(&place, b"x", Overwrite::Always).unwrap();
        assert_eq!(
            (fs::read(&target).unwrap(), fs::read(&place).unwrap()),
            (b"mine".to_vec(), b"x".to_vec())
        );
        let device = folder.path().join("null");
        symlink("/dev/null", &device).unwrap();
        assert_eq!(write_output(&device, b"x", Overwrite::Never).unwrap(), Written::Now);
        assert!(device.symlink_metadata().unwrap().is_symlink());
    }

    fn package(body: &str) -> BTreeMap<String, Vec<u8>> {
        [("Cargo.toml", "[package]"), ("src/lib.rs", body)]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn write_output_folder_with_force_keeps_other_files() {
        let outer = tempfile::tempdir().unwrap();
        let place = outer.path().join("a");
        let write = |body: &str, force| write_output_folder(&place, &package(body), "Cargo.toml", force);
        assert_eq!(write("1", false).unwrap(), Written::Now);
        fs::create_dir(place.join("target")).unwrap();
        assert_eq!(write("1", false).unwrap(), Written::Before);
        assert!(refused(&write("2", false)));
        assert_eq!(fs::read(place.join("src/lib.rs")).unwrap(), b"1");
        assert_eq!(write("2", true).unwrap(), Written::Now);
        assert_eq!(fs::read(place.join("src/lib.rs")).unwrap(), b"2");
        assert!(place.join("Cargo.toml").is_file() && place.join("target").is_dir());
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn write_output_folder_refuses_link_inside_folder() {
        let outer = tempfile::tempdir().unwrap();
        let (place, other) = (outer.path().join("a"), outer.path().join("other"));
        fs::create_dir_all(&place).unwrap();
        fs::create_dir_all(&other).unwrap();
        std::os::unix::fs::symlink(&other, place.join("src")).unwrap();
        let said = write_output_folder(&place, &package("1"), "Cargo.toml", true).unwrap_err().to_string();
        assert!(said.ends_with("a/src: is a link, expected a folder"), "{said}");
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    }
}
