//! The remaining budget of the search: trials, epochs and hours. It also tracks whether a trial has reached
//! the target.

use std::collections::BTreeSet;

use super::target;
use crate::contracts::SearchEnd;
use crate::study::effort::epochs_of;
use crate::study::question::Question;
use crate::study::settings::StudySettings;
use crate::trials::{Proposal, Seconds, Trial, TrialId};

/// Counts the requested trials and their epochs, and decides when no more trials may be requested.
pub(super) struct Budget<'a> {
    settings: &'a StudySettings,
    /// Number of epochs in a full training.
    full_epochs: u32,
    /// Maximum number of trials that may be requested.
    trials: u64,
    /// The last trial in the journal, which an earlier process evaluated.
    last_journaled: Option<TrialId>,
    /// Number of trials requested so far.
    asked: u64,
    /// The evaluations that used up budget. Repeating an evaluation costs nothing.
    paid: BTreeSet<Question>,
    /// Total number of epochs in these evaluations.
    epochs: u64,
    is_late: bool,
    /// The trial that reached the target.
    reached: Option<TrialId>,
}

impl<'a> Budget<'a> {
    /// Creates the whole budget of a study, from which at most `trials` trials may be requested. Trials up to
    /// `last_journaled` may be requested again even if the hours are used up.
    pub(super) const fn new(
        settings: &'a StudySettings,
        full_epochs: u32,
        trials: u64,
        last_journaled: Option<TrialId>,
    ) -> Self {
        Self {
            settings,
            full_epochs,
            trials,
            last_journaled,
            asked: 0,
            paid: BTreeSet::new(),
            epochs: 0,
            is_late: false,
            reached: None,
        }
    }

    /// Whether another trial may be requested, if the study has run for `elapsed`.
    pub(super) fn allows_another(&mut self, elapsed: impl FnOnce() -> Seconds) -> bool {
        self.is_late = self.is_out_of_time(elapsed);
        !self.is_late && self.reached.is_none() && self.asked < self.trials && !self.has_spent_epochs()
    }

    /// Counts a trial and returns its number.
    pub(super) const fn count(&mut self) -> TrialId {
        let id = self.asked;
        self.asked += 1;
        id
    }

    /// Returns the number of the next trial.
    pub(super) const fn next(&self) -> TrialId {
        self.asked
    }

    /// Subtracts an evaluation from the budget when it is requested, not when it ends. So a budget of epochs
    /// ends at the same trial for any number of workers.
    pub(super) fn pay(&mut self, proposal: &Proposal) {
        if self.paid.insert(proposal.into()) {
            self.epochs = self.epochs.saturating_add(epochs_of(proposal.fidelity, self.full_epochs));
        }
    }

    /// Checks whether a trial reaches the target, and keeps the first trial that reaches it.
    pub(super) fn tell(&mut self, trial: &Trial) {
        if self.reached.is_none() && target::is_reached(&self.settings.target, trial) {
            self.reached = Some(trial.id);
        }
    }

    /// Number of epochs in the evaluations requested so far.
    pub(super) const fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Whether the hours were used up at the last ask.
    pub(super) const fn is_late(&self) -> bool {
        self.is_late
    }

    /// Returns the part of the budget that ended the search after `told` trials. Returns `None` if no part
    /// ended it.
    pub(super) fn end(&self, told: u64) -> Option<SearchEnd> {
        if self.settings.trials.is_some_and(|trials| told >= trials) {
            return Some(SearchEnd::Trials);
        }
        if let Some(trial) = self.reached {
            return Some(SearchEnd::Target { trial });
        }
        if self.is_late {
            return Some(SearchEnd::Hours);
        }
        self.has_spent_epochs().then_some(SearchEnd::Epochs { epochs: self.epochs })
    }

    fn has_spent_epochs(&self) -> bool {
        self.settings.epochs.is_some_and(|budget| self.epochs >= budget)
    }

    /// Whether the hours are used up. Trials in the journal are always replayed, because their outcomes are
    /// known.
    fn is_out_of_time(&self, elapsed: impl FnOnce() -> Seconds) -> bool {
        let Some(hours) = self.settings.hours else { return false };
        let is_journaled = self.last_journaled.is_some_and(|last| self.asked <= last);
        !is_journaled && elapsed() >= Seconds::saturating(hours * 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;
    use crate::trials::{Fidelity, Origin};

    fn proposal(gene: u8, fidelity: Fidelity) -> Proposal {
        Proposal { genotype: Genotype::new([gene]), fidelity, origin: Origin::default() }
    }

    #[test]
    fn epochs_are_paid_once_for_equal_questions() {
        let settings = StudySettings { trials: None, epochs: Some(24), ..StudySettings::default() };
        let mut budget = Budget::new(&settings, 20, u64::MAX, None);
        for fidelity in [Fidelity::Epochs(3), Fidelity::Full, Fidelity::Full] {
            assert!(budget.allows_another(|| Seconds::ZERO));
            budget.pay(&proposal(0, fidelity));
        }
        assert_eq!((budget.epochs(), budget.end(3)), (23, None));
        budget.pay(&proposal(1, Fidelity::Epochs(3)));
        assert!(!budget.allows_another(|| Seconds::ZERO));
        assert_eq!(budget.end(4), Some(SearchEnd::Epochs { epochs: 26 }));
    }

    #[test]
    fn used_up_hours_still_allow_what_an_earlier_process_began() {
        let settings = StudySettings { hours: Some(1.0), ..StudySettings::default() };
        let mut budget = Budget::new(&settings, 0, 100, Some(1));
        let late = || Seconds::saturating(3600.0);
        for expected in [0, 1] {
            assert!(budget.allows_another(late));
            assert_eq!(budget.count(), expected);
        }
        assert!(budget.allows_another(|| Seconds::saturating(3599.0)));
        assert!(!budget.allows_another(late) && budget.is_late());
        assert_eq!(budget.end(2), Some(SearchEnd::Hours));
    }
}
