//! Checks that entries of a run folder have the right kind before they are opened. Opening a pipe would wait
//! forever, and opening other kinds would fail with unhelpful messages.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::StudyError;

/// Returns an error if the path exists but is not a file. A missing file is accepted.
pub(crate) fn check_file(path: &Path) -> Result<(), StudyError> {
    check(path, "file", Metadata::is_file)
}

/// Returns an error if the path is a link. Otherwise the creator of the run folder could choose where this
/// process writes.
pub(super) fn check_link(path: &Path) -> Result<(), StudyError> {
    if path.is_symlink() { Err(StudyError::Linked { path: path.to_owned() }) } else { Ok(()) }
}

/// Returns an error if the path exists but is not a folder. A missing folder is accepted.
pub(super) fn check_folder(path: &Path) -> Result<(), StudyError> {
    check(path, "folder", Metadata::is_dir)
}

fn check(path: &Path, kind: &'static str, fits: fn(&Metadata) -> bool) -> Result<(), StudyError> {
    let is_right = match path.metadata() {
        Ok(found) => fits(&found),
        // Opening the path later reports this error.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
        // A broken link also counts as misplaced.
        Err(_) => path.symlink_metadata().is_err(),
    };
    if is_right { Ok(()) } else { Err(StudyError::Misplaced { path: path.to_owned(), kind }) }
}
