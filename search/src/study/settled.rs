//! Recognizes a study that has ended and is run again unchanged. Its result follows from the journal. Asking
//! the strategy for every trial again may take as long as the search did.

use super::settings::StudySettings;
use crate::domain::Domain;
use crate::persistence::StudyRecord;

/// Number of trials that are asked for again all the same. A changed strategy would propose something else
/// among them.
pub(super) const ASKED_AGAIN: u64 = 64;
/// Number of trials whose costs are computed again. A changed device file gives other costs for nearly every
/// network.
const COSTED_AGAIN: usize = 256;

/// Whether the search of this record is over and would give the same trials again.
///
/// It is over if the last run completed the study, its budget of trials is the present one and is used up,
/// and the journal ends with this front and these trials. A study that ended for another reason (a target,
/// hours, epochs, nothing left to propose) goes through its search again, since that reason may no longer
/// hold. `is_unchanged` means that the config is the same as in the last run. Every line of the journal must
/// have a check, since a line without one may have changed.
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
        // Numbers survive the text of the journal unchanged, so they compare exactly.
        domain.costs(&trial.proposal.genotype).unwrap_or_default() == trial.costs
    })
}
