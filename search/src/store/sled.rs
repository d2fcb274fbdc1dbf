//! The store of a run folder, on sled.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::record::{Unreadable, key_bytes, outcome_bytes, read_key, read_outcome};
use super::{Key, Store, StoreEntry};
use crate::{Outcome, StudyError};

/// Bytes of pages that sled keeps in memory.
const CACHE_BYTES: u64 = 32 << 20;

/// Tries of a lock that is held, beside the last one, and the pause after each.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A store in a folder. One process at a time can have it open.
pub struct SledStore {
    path: PathBuf,
    db: sled::Db,
}

impl SledStore {
    /// Opens the store in this folder, which is made when it is missing.
    ///
    /// # Errors
    /// [`StudyError::Store`] when it is damaged or another process has it open.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        for _ in 0..LOCK_ATTEMPTS {
            match config.open() {
                // A child process that is just being started holds the lock of a store that was closed.
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
        // Nothing is wrong with the store, and building it anew would need as much room.
        sled::Error::Io(error)
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            StudyError::File { path, action: "write the store", source: error.kind().into() }
        }
        source => StudyError::Store { path, source: Box::new(source) },
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
