//! The store remembers what the evaluator answered, by fingerprint, genotype and fidelity. The journal is the
//! authority: a store can always be rebuilt from it.

mod contract;
mod memory;
mod record;
mod sled;

pub use self::contract::{Key, Store, StoreEntry};
pub use self::memory::MemoryStore;
pub use self::sled::SledStore;
