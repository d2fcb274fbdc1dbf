//! Lists image files with their classes, and entries that are not images.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::data::{DataError, ReadingRules, Split};

/// Files that desktop environments create, in lower case.
const SYSTEM_FILES: [&str; 4] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"];
/// Folders that archivers and storage systems create, in lower case.
const SYSTEM_FOLDERS: [&str; 2] = ["__macosx", "@eadir"];
/// Extensions of images, in lower case.
const ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "webp", "tif", "tiff"];
/// Extensions of images under the first rules.
const FIRST_ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Extensions of unsupported image formats.
const OTHER_IMAGES: [&str; 12] =
    ["heic", "heif", "avif", "jp2", "jxl", "svg", "psd", "ico", "tga", "exr", "raw", "dng"];

/// An image file with its class and the split of its folder.
pub(super) struct Labeled {
    pub(super) path: PathBuf,
    pub(super) label: u32,
    pub(super) split: Option<Split>,
}

/// The images, classes and problems found in the folders.
pub(super) struct Listing {
    /// Names of the classes.
    pub(super) names: Vec<String>,
    pub(super) files: Vec<Labeled>,
    /// Entries that are not images.
    pub(super) problems: Vec<Problem>,
}

/// Entries of a folder, sorted by name, without hidden files and files of the system.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_systems = SYSTEM_FILES.contains(&name.as_str()) || SYSTEM_FOLDERS.contains(&name.as_str());
        if !name.starts_with('.') && !is_systems {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The images in a folder.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = entries(folder)?;
    files.retain(|path| path.is_file() && ENDINGS.contains(&ending(path).as_str()));
    Ok(files)
}

/// The lower-case extension of a file.
fn ending(path: &Path) -> String {
    let ending = path.extension().map(OsStr::to_ascii_lowercase);
    ending.as_deref().and_then(OsStr::to_str).unwrap_or_default().to_owned()
}

/// Names of the folders in a folder that should contain only folders.
pub(super) fn folders(folder: &Path, problems: &mut Vec<Problem>) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            problems.push(Problem::unreadable(path, "a file among the folders of the classes".to_owned()));
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        names.push(name.ok_or_else(|| {
            DataError::content(&path, "folder", "a name that is not UTF-8", "a name in UTF-8")
        })?);
    }
    Ok(names)
}

/// Appends the images in the class folders of `folder`.
pub(super) fn labeled(
    folder: &Path,
    names: &[String],
    split: Option<Split>,
    rules: ReadingRules,
    files: &mut Vec<Labeled>,
    problems: &mut Vec<Problem>,
) -> Result<(), DataError> {
    let known: &[&str] = if rules == ReadingRules::First { &FIRST_ENDINGS } else { &ENDINGS };
    for (label, name) in names.iter().enumerate() {
        let class = folder.join(name);
        if !class.is_dir() {
            continue;
        }
        for path in entries(&class)? {
            let ending = ending(&path);
            let ending = ending.as_str();
            if known.contains(&ending) && path.is_file() {
                files.push(Labeled { path, label: label as u32, split });
                continue;
            }
            let what = if path.is_dir() {
                "a folder within a class".to_owned()
            } else if OTHER_IMAGES.contains(&ending) {
                format!("an image of a kind that is not read (`.{ending}`); convert it to PNG")
            } else {
                format!("no image: names of images end with `.{}`", known.join("`, `."))
            };
            problems.push(Problem::unreadable(path, what));
        }
    }
    Ok(())
}
