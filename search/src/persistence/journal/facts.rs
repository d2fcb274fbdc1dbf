//! The facts that two journals of the same study have in common.

use super::entry::JournalEntry;
use super::record::StudyRecord;
use crate::contracts::Event;
use crate::trials::Seconds;

/// Returns the facts of a study as text, one line for each fact, in a fixed order. Two journals belong to the
/// same study if their facts are equal.
///
/// The facts are the evaluator's fingerprint, the trials, the last front, and the finished networks. They
/// exclude everything that depends on a process: times, checks, workers, whether an outcome was already in
/// the store, starts, progress, warnings and rejections. They also exclude the health of shared weights,
/// because it follows from the fingerprint, and journals of older builds lack it.
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
