//! Detects that a completed study is run again unchanged. In that case the result follows from the journal,
//! and the trials are not replayed. A full replay may take as long as the search did.

use super::settings::StudySettings;
use crate::domain::Domain;
use crate::persistence::StudyRecord;

/// Number of first trials that are replayed anyway. If the strategy has changed, it is likely to propose
/// something different in one of these trials.
pub(super) const ASKED_AGAIN: u64 = 64;
/// Maximum number of trials whose costs are recomputed. A changed device file changes the costs of nearly
/// every network.
const COSTED_AGAIN: usize = 256;

/// Whether the search of this record has ended and would produce the same trials again.
///
/// This is the case if the last run completed the study, had the same budget of trials and used it up, and
/// the journal ends with this front and these trials. If a study ended for another reason (a target, hours,
/// epochs, no more proposals), the search is replayed, since the reason may no longer apply. `is_unchanged`
/// means that the config is the same as in the last run. Every line of the journal must have a check, since a
/// line without a check may have been changed.
pub(super) fn is_settled(
    record: &StudyRecord,
    settings: &StudySettings,
    domain: &Domain<'_>,
    is_unchanged: bool,
) -> bool {
    let Some(trials) = settings.trials else { return false };
    let is_whole = record.trials.len() as u64 == trials
        && record.trials.last_key_value().is_none_or(|(last, _)| last + 1 == trials);
    is_unchanged
        && record.doubts.unchecked_lines == 0
        && record.completed == Some(trials)
        && is_whole
        && record.search_end.is_none()
        && settings.target.is_empty()
        && settings.epochs.is_none()
        && record.searched.as_ref().is_some_and(|(told, _)| *told == trials)
        && costs_are_the_same(record, domain)
}

fn costs_are_the_same(record: &StudyRecord, domain: &Domain<'_>) -> bool {
    let every = record.trials.len().div_ceil(COSTED_AGAIN).max(1);
    let front = record.searched.iter().flat_map(|(_, front)| front).take(COSTED_AGAIN);
    let looked_at = record.trials.values().step_by(every).chain(front.filter_map(|id| record.trials.get(id)));
    looked_at.map(|known| &known.trial).all(|trial| {
        // The journal's text preserves numbers exactly, so they can be compared exactly.
        domain.costs(&trial.proposal.genotype).unwrap_or_default() == trial.costs
    })
}
