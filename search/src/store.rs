//! The memo table: what the evaluator answered, by fingerprint, genotype and fidelity. The journal is the authority; a
//! store can always be rebuilt from it.

mod memory;
mod record;
mod sled;

use kiln_space::Genotype;

pub use self::memory::MemoryStore;
pub use self::sled::SledStore;
use crate::{Fidelity, Outcome, StudyError};

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

/// Remembers outcomes. Shared by all threads.
///
/// Laws (checked for every store): `get` gives what was `put` last under a key; what was put before a `flush` is there
/// after the process died; `iter` gives every entry once.
pub trait Store: Send + Sync {
    /// The outcome under a key.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be read, or holds a record of a newer version.
    fn get(&self, key: &Key) -> Result<Option<Outcome>, StudyError>;

    /// Remembers an outcome, in place of an earlier one.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be written.
    fn put(&self, key: &Key, outcome: &Outcome) -> Result<(), StudyError>;

    /// All entries.
    fn iter(&self) -> Box<dyn Iterator<Item = Result<StoreEntry, StudyError>> + '_>;

    /// Returns when all that was put will survive a crash.
    ///
    /// # Errors
    /// [`StudyError`] when the store cannot be written.
    fn flush(&self) -> Result<(), StudyError>;
}
