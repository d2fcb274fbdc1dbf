//! Persistent data: the run folder, and the journal and the store in it.

mod journal;
mod run_folder;
mod store;

pub use self::journal::{
    CheckChain, Doubts, JOURNAL_VERSION, Journal, JournalEntry, JournalReader, JournaledTrial, Opened,
    StageClock, StageSeconds, StudyRecord, facts,
};
pub(crate) use self::run_folder::Places;
pub use self::run_folder::{RunFolder, RunPaths, check_held, check_study_name, hold_folder};
pub use self::store::{Key, MemoryStore, SledStore, Store, StoreEntry};
