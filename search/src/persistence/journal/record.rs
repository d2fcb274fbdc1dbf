//! The state of a study according to all lines of its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::doubts::Doubts;
use super::entry::JournalEntry;
use super::reader::JournalReader;
use super::stages::{StageClock, StageSeconds};
use crate::contracts::{Event, Finished, SearchEnd, SupernetHealth};
use crate::error::StudyError;
use crate::persistence::run_folder::RunPaths;
use crate::trials::{Outcome, Proposal, Seconds, Trial, TrialId};

/// A trial with further data from its journal line.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledTrial {
    /// The trial.
    pub trial: Trial,
    /// Time of its evaluation.
    pub seconds: Seconds,
    /// Worker that evaluated it.
    pub worker: usize,
    /// Whether the trial's line has a check. A line without a check may have been changed.
    pub checked: bool,
}

/// The state of a study according to its journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyRecord {
    /// Fingerprint of the evaluator, if the evaluator was prepared.
    pub fingerprint: Option<String>,
    /// Epochs of a full training. It is 0 if the evaluator trains nothing, or if the build that wrote the
    /// journal did not record it.
    pub full_epochs: u32,
    /// Health of the shared weights that this fingerprint identifies.
    pub health: Option<SupernetHealth>,
    /// Trials by id, since the last retry of panicked trials.
    pub trials: BTreeMap<TrialId, Box<JournaledTrial>>,
    /// Number of trials and the Pareto front, if the search stage ended.
    pub searched: Option<(u64, Vec<TrialId>)>,
    /// Why the search stage ended before it used up its budget of trials, if it did.
    pub search_end: Option<SearchEnd>,
    /// Finished networks, with the time that each took.
    pub finished: BTreeMap<TrialId, (Finished, Seconds)>,
    /// Whether the last event reports the end of the study.
    pub ended: bool,
    /// The budget of trials of the last run, if that run completed the study.
    pub(crate) completed: Option<u64>,
    /// The budget of trials of the last run.
    budget: Option<u64>,
    /// Total time for which processes have run the study.
    pub elapsed_s: Seconds,
    /// The same time by stage.
    pub stages: StageSeconds,
    /// Time since the epoch at the last entry.
    pub unix_s: Seconds,
    /// The current stage.
    clock: StageClock,
    /// Doubts about the journal itself.
    pub doubts: Doubts,
    /// Trials from before the last retry whose outcomes are still valid.
    earlier: Vec<JournaledTrial>,
}

impl StudyRecord {
    /// Reads the journal of a run folder, even while another process writes to it.
    ///
    /// # Errors
    /// [`StudyError`] if there is no journal, or if the journal is damaged.
    pub fn read(paths: &RunPaths) -> Result<Self, StudyError> {
        Self::collect(paths, JournalReader::of_run(paths)?, |_| {})
    }

    /// Works like [`StudyRecord::read`], and also checks that the values of these objectives follow from each
    /// trial's metrics and costs. `see` is called with every entry, in order.
    ///
    /// # Errors
    /// As [`StudyRecord::read`].
    pub fn read_with(
        paths: &RunPaths,
        objectives: &[String],
        see: impl FnMut(&JournalEntry),
    ) -> Result<Self, StudyError> {
        Self::collect(paths, JournalReader::of_run(paths)?.with_objectives(objectives), see)
    }

    fn collect(
        paths: &RunPaths,
        mut reader: JournalReader,
        see: impl FnMut(&JournalEntry),
    ) -> Result<Self, StudyError> {
        // The networks are listed before the journal is read. Otherwise a running study could add a trial and
        // finish its network in between, and the trial would seem to be missing.
        let networks = networks(paths);
        let mut record = Self::default();
        record.take_in(&mut reader, see)?;
        record.doubts = reader.doubts();
        // After a retry, trials are recorded again while their networks stay. So missing trials are not a
        // sign of damage.
        if record.earlier.is_empty() {
            let unknown = networks.into_iter().filter(|id| !record.trials.contains_key(id));
            record.doubts.unknown_networks = unknown.collect();
        }
        Ok(record)
    }

    /// Applies all lines up to the end of a journal.
    pub(super) fn take_in(
        &mut self,
        reader: &mut JournalReader,
        mut see: impl FnMut(&JournalEntry),
    ) -> Result<(), StudyError> {
        while let Some(entry) = reader.next_entry()? {
            see(&entry);
            self.pass(&entry);
            self.apply_from(entry.event, reader.is_checked());
        }
        Ok(())
    }

    /// Applies a last line that lacks only its line end. Returns false if the rest of the file is not such a
    /// line.
    pub(super) fn take_in_last(&mut self, reader: &mut JournalReader) -> bool {
        let Some(entry) = reader.last_without_end() else { return false };
        self.pass(&entry);
        self.apply_from(entry.event, reader.is_checked());
        true
    }

    /// Applies the times of an entry.
    fn pass(&mut self, entry: &JournalEntry) {
        self.clock.pass(entry.elapsed_s, &entry.event, &mut self.stages);
        self.unix_s = entry.unix_s;
        self.elapsed_s = self.elapsed_s.max(entry.elapsed_s);
    }

    /// Creates the record from entries in the order of the journal.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = JournalEntry>) -> Self {
        let mut record = Self::default();
        for entry in entries {
            record.pass(&entry);
            record.apply(entry.event);
        }
        record
    }

    /// Applies one more event.
    pub fn apply(&mut self, event: Event) {
        self.apply_from(event, true);
    }

    /// Applies one more event. `checked` states whether the event's line had a check.
    fn apply_from(&mut self, event: Event, checked: bool) {
        match event {
            Event::Prepared { fingerprint, full_epochs } => {
                // The health is valid only for the weights that the fingerprint identifies.
                if self.fingerprint.as_ref() != Some(&fingerprint) {
                    self.health = None;
                }
                self.fingerprint = Some(fingerprint);
                self.full_epochs = full_epochs;
            }
            Event::Health { health } => self.health = Some(health),
            Event::Trial { trial, seconds, worker, .. } => {
                self.ended = false;
                self.search_end = None;
                self.trials.insert(trial.id, Box::new(JournaledTrial { trial, seconds, worker, checked }));
            }
            Event::Retried { .. } => {
                self.completed = None;
                // A retried trial may have a different outcome, which may lead the strategy to different
                // proposals. So the strategy is told of all trials again. The outcomes of other trials stay
                // valid for the same genotype and fidelity.
                self.ended = false;
                self.searched = None;
                self.search_end = None;
                self.finished.clear();
                let told = std::mem::take(&mut self.trials).into_values().map(|journaled| *journaled);
                let mut known = BTreeSet::new();
                let all = told.chain(std::mem::take(&mut self.earlier));
                self.earlier = all
                    .filter(|told| !told.trial.outcome.is_panic())
                    .filter(|told| {
                        let Proposal { genotype, fidelity, .. } = &told.trial.proposal;
                        known.insert((genotype.clone(), *fidelity))
                    })
                    .collect();
            }
            Event::SearchEnd { end } => self.search_end = Some(end),
            Event::Searched { trials, front } => self.searched = Some((trials, front)),
            Event::Finished { finished, seconds } => {
                self.finished.insert(finished.trial, (finished, seconds));
            }
            Event::Ended => {
                self.ended = true;
                self.completed = self.budget;
            }
            Event::Started { trials, .. } => {
                self.budget = trials;
                self.completed = None;
            }
            Event::Progress { .. } | Event::Rejections { .. } | Event::Warning { .. } => {}
        }
    }

    /// Returns all trials whose outcomes are still valid, including those from before a retry.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &JournaledTrial> {
        self.earlier.iter().chain(self.trials.values().map(AsRef::as_ref))
    }

    /// Returns the trials whose outcome is a panic: their proposals and outcomes.
    pub(crate) fn panics(&self) -> impl Iterator<Item = (&Proposal, &Outcome)> {
        let trials = self.trials.values().map(|journaled| &journaled.trial);
        trials.filter(|trial| trial.outcome.is_panic()).map(|trial| (&trial.proposal, &trial.outcome))
    }
}

/// Returns the trials that have a finished network in the run folder.
fn networks(paths: &RunPaths) -> BTreeSet<TrialId> {
    let Ok(folder) = fs::read_dir(paths.models()) else { return BTreeSet::new() };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
