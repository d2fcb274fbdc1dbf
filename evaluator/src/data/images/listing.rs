//! Which image files there are, and of which class each is.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::data::DataError;

/// An image file and its class.
pub(super) struct Labeled {
    pub(super) path: PathBuf,
    pub(super) label: u32,
}

/// Entries of a folder in order of their names, hidden ones aside.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Names of the folders in a folder that holds nothing else.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, DataError> {
    entries(folder)?
        .into_iter()
        .map(|path| {
            if !path.is_dir() {
                return Err(DataError::content(
                    &path,
                    "file",
                    "a file",
                    "folders of images, one for each class",
                ));
            }
            let name = path.file_name().and_then(|name| name.to_str());
            name.map(str::to_owned)
                .ok_or_else(|| DataError::content(&path, "folder", "a name that is no UTF-8", "UTF-8"))
        })
        .collect()
}

/// The images of each class that has a folder here.
pub(super) fn labeled(folder: &Path, names: &[String]) -> Result<Vec<Labeled>, DataError> {
    let mut files = Vec::new();
    for (label, name) in names.iter().enumerate() {
        let class = folder.join(name);
        if !class.is_dir() {
            continue;
        }
        for path in entries(&class)? {
            let extension = path.extension().map(OsStr::to_ascii_lowercase);
            let known = extension
                .is_some_and(|extension| ["png", "jpg", "jpeg"].iter().any(|known| extension == *known));
            if !known || !path.is_file() {
                let found = "something that is no image";
                return Err(DataError::content(&path, "file", found, "only files `.png`, `.jpg` or `.jpeg`"));
            }
            files.push(Labeled { path, label: label as u32 });
        }
    }
    Ok(files)
}
