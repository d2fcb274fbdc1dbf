//! The lock of a run folder. Only the process that has the lock may write to the folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::paths::RunPaths;
use super::place::Place;
use crate::error::StudyError;

/// Number of attempts to take a lock before the last attempt, and the pause after each of them.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Number of attempts to read the process id from the lock file, and the pause between them. A process that
/// has just taken the lock may not have written its id yet.
const HOLDER_ATTEMPTS: u32 = 40;
const HOLDER_PAUSE: Duration = Duration::from_millis(25);

/// Tries several times to take a lock. A child process inherits its parent's open files until it starts its
/// own program. So the child can briefly keep a lock that the parent has already released.
pub(super) fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            tried => return tried,
        }
    }
    file.try_lock()
}

/// The lock, which is released when this value is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a run folder and writes the id of this process into the lock file.
    pub(super) fn take(paths: &RunPaths) -> Result<Self, StudyError> {
        let path = paths.lock();
        loop {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = open.map_err(StudyError::file(&path, "open the lock file"))?;
            match patiently(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StudyError::Held { path: paths.root().to_owned(), pid: holder(file) });
                }
                Err(TryLockError::Error(source)) => return Err(StudyError::file(&path, "lock")(source)),
            }
            let lock = Self { file, path: path.clone() };
            // If the file was removed after it was opened, its lock does not prevent other writers.
            if lock.place()?.is_kept() {
                lock.sign().map_err(StudyError::file(&path, "write the lock file"))?;
                return Ok(lock);
            }
        }
    }

    /// Returns the path and identity of the lock file.
    pub(super) fn place(&self) -> Result<Place, StudyError> {
        Place::of_file(&self.path, &self.file).map_err(StudyError::file(&self.path, "look at the lock file"))
    }

    fn sign(&self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        writeln!(&self.file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    /// Removes the process id, so that no message contains the id of a process that has ended. After a crash
    /// the id remains in the file.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// Returns the id of the process that has the lock. Waits up to a second for that process to write its id.
/// Returns `None` if the file then still contains no id.
fn holder(mut file: File) -> Option<u32> {
    for attempt in 0..HOLDER_ATTEMPTS {
        if attempt > 0 {
            thread::sleep(HOLDER_PAUSE);
        }
        let mut text = String::new();
        let read = file.rewind().and_then(|()| (&mut file).take(32).read_to_string(&mut text));
        let pid = read.ok().and_then(|_| text.trim().parse().ok());
        if pid.is_some_and(is_there) {
            return pid;
        }
    }
    None
}

/// Whether a process with this id may be running. After a crash, the lock file may contain the id of a
/// process that has ended.
fn is_there(pid: u32) -> bool {
    let processes = std::path::Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

/// Whether another process has the lock. To check this, the function briefly takes a shared lock, so that two
/// processes can check at the same time.
pub(super) fn is_held(paths: &RunPaths) -> bool {
    let looked = File::open(paths.lock()).map(|file| file.try_lock_shared());
    matches!(looked, Ok(Err(TryLockError::WouldBlock)))
}
