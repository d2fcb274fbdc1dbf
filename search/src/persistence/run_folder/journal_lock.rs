//! The lock of a journal. It prevents a second writer even if the lock file of the run folder was removed.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::lock::patiently;
use crate::error::StudyError;

/// Returns an error if another process is writing to the journal.
pub(super) fn check_free(path: &Path) -> Result<(), StudyError> {
    match File::open(path) {
        Ok(file) => hold_journal(path, &file),
        // Other problems are reported when the journal is opened.
        Err(_) => Ok(()),
    }
}

/// Locks a journal until the file is closed. A second writer gets [`StudyError::Held`].
pub(crate) fn hold_journal(path: &Path, file: &File) -> Result<(), StudyError> {
    // On other systems, a lock would also prevent reading.
    if cfg!(not(unix)) {
        return Ok(());
    }
    match patiently(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let root = path.parent().unwrap_or(path).to_owned();
            Err(StudyError::Held { path: root, pid: None })
        }
        Err(TryLockError::Error(source)) => Err(StudyError::file(path, "lock the journal")(source)),
    }
}
