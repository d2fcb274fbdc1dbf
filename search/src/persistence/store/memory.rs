//! A store in memory, which is lost when the process ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::contract::{Key, Store, StoreEntry};
use crate::error::StudyError;
use crate::trials::Outcome;

/// A store in memory, for tests and for evaluators that are faster than reading a file.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Key, Outcome>>);

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Key, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Outcome>, StudyError> {
        Ok(self.entries().get(key).cloned())
    }

    fn put(&self, key: &Key, outcome: &Outcome) -> Result<(), StudyError> {
        self.entries().insert(key.clone(), outcome.clone());
        Ok(())
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<StoreEntry, StudyError>> + '_> {
        let entries = self.entries().clone();
        Box::new(entries.into_iter().map(Ok))
    }

    fn flush(&self) -> Result<(), StudyError> {
        Ok(())
    }
}
