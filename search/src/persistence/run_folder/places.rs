//! What stands where a run folder has its files and folders. Opening a pipe would wait for ever, and other things fail
//! in words that say nothing of the study.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::StudyError;

/// Refuses whatever is in the place of a file and is none. That nothing is there is no mistake.
pub(crate) fn check_file(path: &Path) -> Result<(), StudyError> {
    check(path, "file", Metadata::is_file)
}

/// Refuses a link: through it, the maker of the run folder would choose where this process writes.
pub(super) fn check_link(path: &Path) -> Result<(), StudyError> {
    if path.is_symlink() { Err(StudyError::Linked { path: path.to_owned() }) } else { Ok(()) }
}

/// Refuses whatever is in the place of a folder and is none. That nothing is there is no mistake.
pub(super) fn check_folder(path: &Path) -> Result<(), StudyError> {
    check(path, "folder", Metadata::is_dir)
}

fn check(path: &Path, kind: &'static str, fits: fn(&Metadata) -> bool) -> Result<(), StudyError> {
    let is_right = match path.metadata() {
        Ok(found) => fits(&found),
        // Opening it tells the rest.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
        // A link to nothing is something too.
        Err(_) => path.symlink_metadata().is_err(),
    };
    if is_right { Ok(()) } else { Err(StudyError::Misplaced { path: path.to_owned(), kind }) }
}
