//! The contract of a store.

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
    /// Effort.
    pub fidelity: Fidelity,
}

/// An entry of a store.
pub type StoreEntry = (Key, Outcome);

/// Remembers outcomes. All threads share it.
///
/// Laws, which are checked for every store: `get` returns what was last `put` under a key. What was put
/// before a `flush` is still there after the process died. `iter` gives every entry once.
pub trait Store: Send + Sync {
    /// The outcome under a key.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be read, or holds a record of a newer version.
    fn get(&self, key: &Key) -> Result<Option<Outcome>, StudyError>;

    /// Remembers an outcome, replacing an earlier one.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be written.
    fn put(&self, key: &Key, outcome: &Outcome) -> Result<(), StudyError>;

    /// All entries.
    fn iter(&self) -> Box<dyn Iterator<Item = Result<StoreEntry, StudyError>> + '_>;

    /// Returns when all entries survive a crash.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be written.
    fn flush(&self) -> Result<(), StudyError>;
}
