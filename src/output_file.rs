//! Writes a command's output file to the path that the user chose.

use std::path::Path;

use anyhow::anyhow;
use kiln_files::{FileError, Overwrite, write_output};

use crate::exit::Failure;

/// Writes a whole file. `overwrite` decides whether an existing file may be replaced.
pub(crate) fn write(path: &Path, bytes: &[u8], overwrite: Overwrite<'_>) -> Result<(), Failure> {
    write_output(path, bytes, overwrite).map(drop).map_err(refused)
}

/// Makes the failure for an output that cannot be written. If another file already exists at the path, the
/// message advises what to do.
pub(crate) fn refused(error: FileError) -> Failure {
    match error {
        FileError::Exists { .. } => {
            Failure::wrong(anyhow!("{error}; name another, or overwrite it with `--force`"))
        }
        error if error.is_callers() => Failure::wrong(error),
        error => Failure::unwritable(error),
    }
}
