//! The lock of a run folder: which process may write it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use super::{RunPaths, failed};
use crate::StudyError;

/// Tries of a lock that is held, beside the last one, and the pause after each.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Tries the lock a few times: a child process that is just being started holds its parent's files open until it runs its
/// program, and with them a lock that was given back.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            tried => return tried,
        }
    }
    file.try_lock()
}

/// Takes the lock of a run folder and writes the id of this process into it.
pub(super) fn lock(paths: &RunPaths) -> Result<File, StudyError> {
    let path = paths.lock();
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(failed(&path, "open the lock file"))?;
    match patiently(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(32).read_to_string(&mut holder);
            let pid = read.ok().and_then(|_| holder.trim().parse().ok());
            return Err(StudyError::Held { path: paths.root().to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(&path, "lock")(source)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed(&path, "write the lock file"))?;
    Ok(file)
}

/// Whether another process has the lock. It is taken only together with others who look, and given back at
/// once.
pub(super) fn is_held(paths: &RunPaths) -> bool {
    let looked = File::open(paths.lock()).map(|file| file.try_lock_shared());
    matches!(looked, Ok(Err(TryLockError::WouldBlock)))
}
