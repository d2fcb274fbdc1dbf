//! The store of a run folder, based on the database sled.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use super::contract::{Key, Store, StoreEntry};
use super::record::{Unreadable, key_bytes, outcome_bytes, read_key, read_outcome};
use crate::error::StudyError;
use crate::trials::Outcome;

/// Size of the page cache of sled in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// Number of attempts to open a locked store before the last attempt, and the pause after each of them.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A store in a folder. Only one process at a time can open it.
pub struct SledStore {
    path: PathBuf,
    db: sled::Db,
}

impl SledStore {
    /// Opens the store in this folder, or creates it.
    ///
    /// # Errors
    /// [`StudyError::Store`] if the store is damaged. [`StudyError::File`] if another process has opened the
    /// store, or if the operating system returns an error.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        // If the clock is before the Unix epoch, sled panics.
        if SystemTime::now() < SystemTime::UNIX_EPOCH {
            let source = io::Error::other("the clock of this machine stands before 1970; set it");
            return Err(StudyError::File { path: path.to_owned(), action: "open the store", source });
        }
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        for _ in 0..LOCK_ATTEMPTS {
            match config.open() {
                // A child process that is starting can briefly keep the lock of a store that its parent has
                // closed.
                Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                    thread::sleep(LOCK_PAUSE);
                }
                opened => return Self::opened(path, opened),
            }
        }
        Self::opened(path, config.open())
    }

    fn opened(path: &Path, opened: sled::Result<sled::Db>) -> Result<Self, StudyError> {
        let db = opened.map_err(|source| broken(path, source))?;
        Ok(Self { path: path.to_owned(), db })
    }

    fn unreadable(&self, why: Unreadable) -> StudyError {
        let path = self.path.clone();
        match why {
            Unreadable::Newer(version) => StudyError::Newer { path, version: u32::from(version) },
            Unreadable::Damaged => StudyError::StoreRecord { path },
        }
    }
}

fn broken(path: &Path, source: sled::Error) -> StudyError {
    let path = path.to_owned();
    match source {
        // The store is not damaged, and a new store would fail in the same way.
        sled::Error::Io(error) if !is_damage(&error) => {
            StudyError::File { path, action: "use the store", source: as_it_was(error) }
        }
        source => StudyError::Store { path, source: Box::new(source) },
    }
}

/// Whether an error is caused by the content of the files. Other errors come from the operating system, such
/// as a full disk, too many open files, or a folder without write permission.
fn is_damage(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory => true,
        // sled uses `Other` for its own errors: damaged content, or a lock of another process. Only the text
        // distinguishes the two errors.
        ErrorKind::Other => !error.to_string().contains("could not acquire lock"),
        _ => false,
    }
}

/// Restores the operating system's error. sled returns a copy with the error's text but without its number.
fn as_it_was(error: io::Error) -> io::Error {
    let text = error.to_string();
    let number = text.strip_prefix("Os { code: ").and_then(|rest| rest.split_once(','));
    match number.and_then(|(number, _)| number.parse().ok()) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error,
    }
}

impl Store for SledStore {
    fn get(&self, key: &Key) -> Result<Option<Outcome>, StudyError> {
        let key = key_bytes(key);
        let bytes = self.db.get(&key).map_err(|source| broken(&self.path, source))?;
        bytes.map(|bytes| read_outcome(&key, &bytes)).transpose().map_err(|why| self.unreadable(why))
    }

    fn put(&self, key: &Key, outcome: &Outcome) -> Result<(), StudyError> {
        let key = key_bytes(key);
        let bytes = outcome_bytes(&key, outcome);
        self.db.insert(key, bytes).map(drop).map_err(|source| broken(&self.path, source))
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<StoreEntry, StudyError>> + '_> {
        Box::new(self.db.iter().map(|entry| {
            let (key, outcome) = entry.map_err(|source| broken(&self.path, source))?;
            let read = || Ok((read_key(&key)?, read_outcome(&key, &outcome)?));
            read().map_err(|why| self.unreadable(why))
        }))
    }

    fn flush(&self) -> Result<(), StudyError> {
        self.db.flush().map(drop).map_err(|source| broken(&self.path, source))
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_system_are_not_damage() {
        let damage = |error: io::Error| {
            matches!(broken(Path::new("store"), sled::Error::Io(error)), StudyError::Store { .. })
        };
        for number in [24, 13, 28, 30, 27, 5, 122] {
            let error = || io::Error::from_raw_os_error(number);
            assert!(!damage(error()), "{number}");
            // A copy of the error, as sled creates it.
            let copy = io::Error::new(error().kind(), format!("{:?}", error()));
            match broken(Path::new("store"), sled::Error::Io(copy)) {
                StudyError::File { source, .. } => assert_eq!(source.raw_os_error(), Some(number)),
                other => panic!("{other}"),
            }
        }
        assert!(damage(ErrorKind::UnexpectedEof.into()));
        assert!(damage(io::Error::new(ErrorKind::InvalidData, "crc")));
        assert!(damage(io::Error::other("bad header")));
        assert!(damage(io::Error::from_raw_os_error(22)), "a place that no file has");
        assert!(!damage(io::Error::other(
            "could not acquire lock on \"db\": Os { code: 11, kind: WouldBlock }"
        )));
    }
}
