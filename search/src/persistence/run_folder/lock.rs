//! The lock of a run folder, which decides which process may write it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::paths::RunPaths;
use super::place::Place;
use crate::error::StudyError;

/// Attempts to take a lock that is held, not counting the last one, and the pause after each.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Attempts to read the holder's id from the lock file, and the pause between them. A process that has just
/// taken the lock may not have written its id yet.
const HOLDER_ATTEMPTS: u32 = 40;
const HOLDER_PAUSE: Duration = Duration::from_millis(25);

/// Tries to take a lock a few times. A child process inherits its parent's open files until it starts its own
/// program. With them it keeps a lock for a moment that the parent has released.
pub(super) fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            tried => return tried,
        }
    }
    file.try_lock()
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a run folder and writes the id of this process into it.
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
            // A file that was removed between opening and locking would keep nobody away.
            if lock.place()?.is_kept() {
                lock.sign().map_err(StudyError::file(&path, "write the lock file"))?;
                return Ok(lock);
            }
        }
    }

    /// Its place in the file system.
    pub(super) fn place(&self) -> Result<Place, StudyError> {
        Place::of_file(&self.path, &self.file).map_err(StudyError::file(&self.path, "look at the lock file"))
    }

    fn sign(&self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        writeln!(&self.file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    /// Removes the id, so that nobody names a process that has ended. After a crash the id stays.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// The process that holds a lock, once it has written its id; `None` if it has not within a second.
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

/// Whether a process with this id may be running. After a crash the lock file may name a process that has
/// ended.
fn is_there(pid: u32) -> bool {
    let processes = std::path::Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}

/// Whether another process holds the lock. The check takes a shared lock for a moment, so two processes that
/// check do not disturb each other.
pub(super) fn is_held(paths: &RunPaths) -> bool {
    let looked = File::open(paths.lock()).map(|file| file.try_lock_shared());
    matches!(looked, Ok(Err(TryLockError::WouldBlock)))
}
