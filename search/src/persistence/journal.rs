//! The journal, which has one event per line. It is the authoritative record of a study.
//!
//! [`facts`] returns the part of a journal that depends only on the study, not on the processes that ran it.

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
pub use self::stages::{StageClock, StageSeconds};
pub use self::writer::{Journal, Opened};
