//! The trait of stores.

use kiln_space::Genotype;

use crate::error::StudyError;
use crate::trials::{Fidelity, Outcome};

/// Everything that an outcome depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The evaluator's fingerprint.
    pub fingerprint: String,
    /// The canonical genotype.
    pub genotype: Genotype,
    /// The fidelity of the evaluation.
    pub fidelity: Fidelity,
}

/// An entry of a store.
pub type StoreEntry = (Key, Outcome);

/// Stores outcomes. All threads share the store.
///
/// Every store obeys these laws, and tests check them. `get` returns the outcome that was last `put` under a
/// key. Outcomes that were put before a `flush` survive a crash of the process. `iter` returns every entry
/// once.
pub trait Store: Send + Sync {
    /// Returns the outcome under a key.
    ///
    /// # Errors
    /// [`StudyError`] if the store cannot be read, or contains a record of a newer version.
    fn get(&self, key: &Key) -> Result<Option<Outcome>, StudyError>;

    /// Stores an outcome under a key. An earlier outcome under the key is replaced.
    ///
    /// # Errors
    /// [`StudyError`] if the store cannot be written.
    fn put(&self, key: &Key, outcome: &Outcome) -> Result<(), StudyError>;

    /// Returns all entries.
    fn iter(&self) -> Box<dyn Iterator<Item = Result<StoreEntry, StudyError>> + '_>;

    /// Writes all entries to disk, so that they survive a crash.
    ///
    /// # Errors
    /// [`StudyError`] if the store cannot be written.
    fn flush(&self) -> Result<(), StudyError>;
}
