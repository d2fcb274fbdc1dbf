//! The journal: one event a line. It is the authority on what happened in a study.
//!
//! [`facts`] are the part of a journal that belongs to the study, not to the processes that ran it.

mod chain;
mod doubts;
mod entry;
mod facts;
mod plausibility;
mod reader;
mod record;
mod stages;
mod writer;

pub use self::chain::CheckChain;
pub use self::doubts::Doubts;
pub use self::entry::{JOURNAL_VERSION, JournalEntry};
pub use self::facts::facts;
pub use self::reader::JournalReader;
pub use self::record::{JournaledTrial, StudyRecord};
pub use self::stages::StageSeconds;
pub use self::writer::{Journal, Opened};
