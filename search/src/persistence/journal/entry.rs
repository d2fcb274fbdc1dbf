//! One line of a journal.

use serde::{Deserialize, Serialize};

use crate::contracts::Event;
use crate::trials::Seconds;

/// Version of the lines that this build writes. Lines of version 1 have no `check`; lines of all later
/// versions have one.
pub const JOURNAL_VERSION: u32 = 2;
/// The last version whose lines have no check.
pub(super) const UNCHECKED_VERSION: u32 = 1;

/// Maximum length of a line in bytes.
pub(super) const LONGEST_LINE: u64 = 4 << 20;

/// One line of a journal without its check, which [`CheckChain`](crate::CheckChain) adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Version of the line.
    pub version: u32,
    /// Seconds since the Unix epoch, for display.
    pub unix_s: Seconds,
    /// Total time for which processes have run the study.
    pub elapsed_s: Seconds,
    /// The recorded event.
    #[serde(flatten)]
    pub event: Event,
}
