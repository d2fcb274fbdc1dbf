//! The store contains the evaluator's outcomes, by fingerprint, genotype and fidelity. The journal is
//! authoritative: a store can always be rebuilt from the journal.

mod contract;
mod memory;
mod record;
mod sled;

pub use self::contract::{Key, Store, StoreEntry};
pub use self::memory::MemoryStore;
pub use self::sled::SledStore;
