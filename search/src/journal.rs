//! The journal: one event a line, the authority on what happened in a study.
//!
//! What a study is, as against how one process went through it, are its facts: see [`facts`].

mod chain;
mod plausibility;
mod reader;
mod record;
mod stages;
mod writer;

use serde::{Deserialize, Serialize};

pub use self::chain::CheckChain;
pub use self::reader::JournalReader;
pub use self::record::{Doubts, JournaledTrial, StudyRecord};
pub(crate) use self::writer::is_free;
pub use self::writer::{Journal, Opened};
use crate::{Event, Seconds};

/// Version of the lines written here. Lines of version 1 have no `check`. Lines of version 2, and of any
/// later one, have one.
pub const JOURNAL_VERSION: u32 = 2;
/// The last version of lines without a check.
const UNCHECKED_VERSION: u32 = 1;

/// Bytes of the longest line that is read.
pub(crate) const LONGEST_LINE: u64 = 4 << 20;

/// One line of a journal, but for its check (see [`CheckChain`]).
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

/// The facts of a study, one line each, in an order of their own: two journals tell of the same study when these are
/// equal.
///
/// Facts are the evaluator's fingerprint, the trials, the last front, and the networks finished. What belongs
/// to one process is left out: times, checks, worker names, whether an answer was known, starts, progress,
/// warnings and rejections. The health of shared weights is left out too: it follows from the fingerprint,
/// and studies of older programs lack it.
///
/// # Example
/// ```
/// use kiln_search::{Event, JOURNAL_VERSION, JournalEntry, Seconds, facts};
/// let event = Event::Searched { trials: 2, front: vec![1] };
/// let entry = |unix_s| JournalEntry {
///     version: JOURNAL_VERSION,
///     unix_s: Seconds::saturating(unix_s),
///     elapsed_s: Seconds::ZERO,
///     event: event.clone(),
/// };
/// assert_eq!(facts([entry(1.0)]), facts([entry(2.0), entry(3.0)]));
/// ```
#[must_use]
pub fn facts(entries: impl IntoIterator<Item = JournalEntry>) -> Vec<String> {
    let record = StudyRecord::new(entries);
    let mut events = Vec::new();
    let full_epochs = record.full_epochs;
    events.extend(record.fingerprint.map(|fingerprint| Event::Prepared { fingerprint, full_epochs }));
    events.extend(record.trials.into_values().map(|journaled| Event::Trial {
        trial: journaled.trial,
        known: false,
        seconds: Seconds::ZERO,
        worker: 0,
    }));
    events.extend(record.searched.map(|(trials, front)| Event::Searched { trials, front }));
    let finished = record.finished.into_values();
    events.extend(finished.map(|(finished, _)| Event::Finished { finished, seconds: Seconds::ZERO }));
    events.extend(record.ended.then_some(Event::Ended));
    events.iter().map(line).collect()
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is plain data with names as keys")
}
