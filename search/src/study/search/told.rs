//! Keeps the trials that were reported to the strategy, and reports trials to the observers.

use super::ledger::Answered;
use super::pace::Pace;
use crate::contracts::{Event, Progress};
use crate::error::StudyError;
use crate::persistence::StudyRecord;
use crate::study::log::Log;
use crate::study::settings::StudySettings;
use crate::trials::{CommonReason, FailureKind, Outcome, Trial, TrialId};

/// Trials in virtual completion order. This is the order in which trials are reported to the strategy and the
/// observers.
pub(super) struct Told<'a> {
    settings: &'a StudySettings,
    log: &'a Log,
    trials: Vec<Trial>,
    pace: Pace,
    /// The last trials, if their evaluations broke down.
    broken_in_a_row: Vec<Trial>,
}

impl<'a> Told<'a> {
    /// Creates an empty list of trials.
    pub(super) const fn new(settings: &'a StudySettings, log: &'a Log, pace: Pace) -> Self {
        Self { settings, log, trials: Vec::new(), pace, broken_in_a_row: Vec::new() }
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
    /// [`StudyError::Panics`] or [`StudyError::Failing`] if too many evaluations in a row have broken down.
    /// In this case, too, the trial is reported to the observers.
    pub(super) fn push(&mut self, answered: Answered, epochs: u64) -> Result<(), StudyError> {
        let Answered { trial, known, seconds, worker } = answered;
        self.trials.push(trial.clone());
        self.pace.count(trial.proposal.fidelity, known);
        let broken = self.count_breakdown(&trial);
        self.log.show(&Event::Trial { trial, known, seconds, worker });
        let told = self.trials.len() as u64;
        let total = self.pace.total(told, epochs, self.settings, self.log.elapsed().duration());
        self.log.report("search", told, total, "");
        broken
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

    fn count_breakdown(&mut self, trial: &Trial) -> Result<(), StudyError> {
        if !trial.outcome.is_breakdown() {
            self.broken_in_a_row.clear();
            return Ok(());
        }
        self.broken_in_a_row.push(trial.clone());
        let (count, trial) = (self.broken_in_a_row.len() as u32, trial.id);
        if count < self.settings.panics_in_a_row {
            return Ok(());
        }
        let reasons: Vec<&str> = self.broken_in_a_row.iter().filter_map(breakdown).collect();
        if self.broken_in_a_row.iter().all(is_panic) {
            let reason = reasons.last().copied().unwrap_or_default().to_owned();
            return Err(StudyError::Panics { count, trial, reason });
        }
        Err(StudyError::Failing { count, trial, common: CommonReason::of(&reasons) })
    }
}

fn is_panic(trial: &Trial) -> bool {
    matches!(&trial.outcome, Outcome::Failed { kind: FailureKind::Panicked, .. })
}

fn breakdown(trial: &Trial) -> Option<&str> {
    match &trial.outcome {
        Outcome::Failed { reason, .. } => Some(reason),
        Outcome::Measured(_) => None,
    }
}
