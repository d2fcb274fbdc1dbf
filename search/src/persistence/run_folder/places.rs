//! Checks that files and folders of a run folder are of the right kind before they are opened. Opening a pipe
//! would wait forever, and other kinds fail with messages that do not help.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::StudyError;

/// Refuses something that is not a file in the place of a file. A missing file is fine.
pub(crate) fn check_file(path: &Path) -> Result<(), StudyError> {
    check(path, "file", Metadata::is_file)
}

/// Refuses a link: through it, the maker of the run folder would choose where this process writes.
pub(super) fn check_link(path: &Path) -> Result<(), StudyError> {
    if path.is_symlink() { Err(StudyError::Linked { path: path.to_owned() }) } else { Ok(()) }
}

/// Refuses something that is not a folder in the place of a folder. A missing folder is fine.
pub(super) fn check_folder(path: &Path) -> Result<(), StudyError> {
    check(path, "folder", Metadata::is_dir)
}

fn check(path: &Path, kind: &'static str, fits: fn(&Metadata) -> bool) -> Result<(), StudyError> {
    let is_right = match path.metadata() {
        Ok(found) => fits(&found),
        // Opening it will report this.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => true,
        // A link that leads nowhere is misplaced as well.
        Err(_) => path.symlink_metadata().is_err(),
    };
    if is_right { Ok(()) } else { Err(StudyError::Misplaced { path: path.to_owned(), kind }) }
}
