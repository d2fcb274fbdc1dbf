//! Keeps the trials that were reported to the strategy, and reports trials to the observers.

use super::ledger::Answered;
use super::pace::Pace;
use crate::contracts::{Event, Progress};
use crate::error::StudyError;
use crate::persistence::StudyRecord;
use crate::study::log::Log;
use crate::study::settings::StudySettings;
use crate::trials::{Outcome, Trial, TrialId};

/// Trials in virtual completion order. This is the order in which trials are reported to the strategy and the
/// observers.
pub(super) struct Told<'a> {
    settings: &'a StudySettings,
    log: &'a Log,
    trials: Vec<Trial>,
    pace: Pace,
    panics_in_a_row: u32,
}

impl<'a> Told<'a> {
    /// Creates an empty list of trials.
    pub(super) const fn new(settings: &'a StudySettings, log: &'a Log, pace: Pace) -> Self {
        Self { settings, log, trials: Vec::new(), pace, panics_in_a_row: 0 }
    }

    /// Returns the number of reported trials.
    pub(super) const fn len(&self) -> usize {
        self.trials.len()
    }

    /// Returns the reported trials.
    pub(super) fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Returns the reported trials at the end of the search.
    pub(super) fn into_trials(self) -> Vec<Trial> {
        self.trials
    }

    /// Reports a trial to the observers. `epochs` is the number of epochs of all trials so far.
    ///
    /// # Errors
    /// [`StudyError::Panics`] if too many evaluations in a row have panicked. In this case, too, the trial is
    /// reported to the observers.
    pub(super) fn push(&mut self, answered: Answered, epochs: u64) -> Result<(), StudyError> {
        let Answered { trial, known, seconds, worker } = answered;
        self.trials.push(trial.clone());
        self.pace.count(trial.proposal.fidelity, known);
        let panicked = self.count_panic(&trial);
        self.log.show(&Event::Trial { trial, known, seconds, worker });
        let told = self.trials.len() as u64;
        let total = self.pace.total(told, epochs, self.settings, self.log.elapsed().duration());
        self.log.report("search", told, total, "");
        panicked
    }

    /// Reports the journal's trials from number `next` on to the observers. The strategy is not asked for
    /// these trials.
    pub(super) fn take_over(&mut self, record: &StudyRecord, next: TrialId) {
        for (_, journaled) in record.trials.range(next..) {
            let (trial, seconds, worker) = (journaled.trial.clone(), journaled.seconds, journaled.worker);
            self.trials.push(trial.clone());
            self.log.show(&Event::Trial { trial, known: true, seconds, worker });
        }
        let told = self.trials.len() as u64;
        self.log.report("search", told, told, "");
    }

    fn count_panic(&mut self, trial: &Trial) -> Result<(), StudyError> {
        match &trial.outcome {
            Outcome::Failed { reason, .. } if trial.outcome.is_panic() => {
                self.panics_in_a_row += 1;
                if self.panics_in_a_row >= self.settings.panics_in_a_row {
                    let reason = reason.clone();
                    return Err(StudyError::Panics { count: self.panics_in_a_row, trial: trial.id, reason });
                }
            }
            _ => self.panics_in_a_row = 0,
        }
        Ok(())
    }
}
