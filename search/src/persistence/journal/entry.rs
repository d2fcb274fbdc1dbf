//! One line of a journal.

use serde::{Deserialize, Serialize};

use crate::contracts::Event;
use crate::trials::Seconds;

/// Version of the lines written here. Lines of version 1 have no `check`. Lines of version 2, and of any
/// later one, have one.
pub const JOURNAL_VERSION: u32 = 2;
/// The last version of lines without a check.
pub(super) const UNCHECKED_VERSION: u32 = 1;

/// Bytes of the longest line that is read.
pub(super) const LONGEST_LINE: u64 = 4 << 20;

/// One line of a journal, but for its check (see [`CheckChain`](crate::CheckChain)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Version of the format.
    pub version: u32,
    /// Seconds since the epoch, for people.
    pub unix_s: Seconds,
    /// Seconds for which processes have worked on the study.
    pub elapsed_s: Seconds,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}
