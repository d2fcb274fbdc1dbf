//! Files that a command was asked to write, where it was asked to.

use std::path::Path;

use anyhow::anyhow;
use kiln_files::{FileError, Overwrite, write_output};

use crate::exit::Failure;

/// Writes a file, whole. What is there is overwritten as far as `overwrite` allows.
pub(crate) fn write(path: &Path, bytes: &[u8], overwrite: Overwrite<'_>) -> Result<(), Failure> {
    write_output(path, bytes, overwrite).map(drop).map_err(refused)
}

/// The failure of an output: with what to do where something is in its place.
pub(crate) fn refused(error: FileError) -> Failure {
    match error {
        FileError::Exists { .. } => {
            Failure::wrong(anyhow!("{error}; name another, or overwrite it with `--force`"))
        }
        error if error.is_callers() => Failure::wrong(error),
        error => Failure::unwritable(error),
    }
}
