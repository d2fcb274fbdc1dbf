//! The lock of a journal. It keeps a second writer away where somebody removed the lock of the run folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::lock::patiently;
use crate::error::StudyError;

/// Refuses a journal that another process writes.
pub(super) fn check_free(path: &Path) -> Result<(), StudyError> {
    match File::open(path) {
        Ok(file) => hold_journal(path, &file),
        // Opening the journal later tells what else is wrong with it.
        Err(_) => Ok(()),
    }
}

/// Locks a journal until the file is closed. A second writer gets [`StudyError::Held`].
pub(crate) fn hold_journal(path: &Path, file: &File) -> Result<(), StudyError> {
    // On other systems a lock would keep readers away too.
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
