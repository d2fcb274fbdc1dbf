//! The state of a study according to all lines of its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::doubts::Doubts;
use super::entry::JournalEntry;
use super::reader::JournalReader;
use super::stages::{StageClock, StageSeconds};
use crate::contracts::{Event, Finished, MeasuredLatency, SearchEnd, SupernetHealth};
use crate::error::StudyError;
use crate::persistence::run_folder::RunPaths;
use crate::trials::{Outcome, Proposal, Seconds, Trial, TrialId};

/// A trial and further data from its journal line.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledTrial {
    /// The trial.
    pub trial: Trial,
    /// Time that the evaluation took.
    pub seconds: Seconds,
    /// Index of the worker that evaluated the trial.
    pub worker: usize,
    /// Whether the trial's line has a check. A line without a check may have been changed.
    pub checked: bool,
}

/// The state of a study according to its journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyRecord {
    /// Fingerprint of the evaluator. `None` if the evaluator was not prepared yet.
    pub fingerprint: Option<String>,
    /// Number of epochs in a full training. It is 0 if the evaluator trains no networks, or if the build that
    /// wrote the journal did not record the number.
    pub full_epochs: u32,
    /// Health of the shared weights that `fingerprint` identifies.
    pub health: Option<SupernetHealth>,
    /// Trials by id. If panicked trials were retried, only trials since the last retry.
    pub trials: BTreeMap<TrialId, Box<JournaledTrial>>,
    /// Number of trials, and ids of the Pareto front. `None` if the search stage has not ended.
    pub searched: Option<(u64, Vec<TrialId>)>,
    /// The reason why the search stage ended before it used up its budget of trials. `None` if it used up the
    /// budget or has not ended.
    pub search_end: Option<SearchEnd>,
    /// Finished networks, each with the time that finishing took.
    pub finished: BTreeMap<TrialId, (Finished, Seconds)>,
    /// Latest measured latency of each finished network, by trial and device.
    pub measured: BTreeMap<(TrialId, String), MeasuredLatency>,
    /// Whether the last event is [`Event::Ended`].
    pub ended: bool,
    /// The budget of trials of the last run. `None` if that run did not complete the study.
    pub(crate) completed: Option<u64>,
    /// The budget of trials of the last run.
    budget: Option<u64>,
    /// Total time for which processes have run the study.
    pub elapsed_s: Seconds,
    /// Time spent in each stage.
    pub stages: StageSeconds,
    /// Time of the last entry, in seconds since the Unix epoch.
    pub unix_s: Seconds,
    /// Tracks the current stage.
    clock: StageClock,
    /// Signs that the journal may be incomplete or changed.
    pub doubts: Doubts,
    /// Trials before the last retry whose outcomes are still valid.
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

    /// Works like [`StudyRecord::read`], and also checks that each trial's values of these objectives follow
    /// from its metrics and costs. `see` is called with every entry, in order.
    ///
    /// # Errors
    /// The same as for [`StudyRecord::read`].
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
        // List the networks before the journal is read. Otherwise a running study could add a trial and
        // finish its network in between, and the trial would seem to be missing.
        let networks = networks(paths);
        let mut record = Self::default();
        record.take_in(&mut reader, see)?;
        record.doubts = reader.doubts();
        // After a retry, trials are recorded again while their finished networks stay. So a missing trial is
        // no sign of damage.
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

    /// Adds the times of an entry to the record.
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
                // proposals. So all trials are reported to the strategy again. The outcomes of the other
                // trials stay valid for the same genotype and fidelity.
                self.ended = false;
                self.searched = None;
                self.search_end = None;
                self.finished.clear();
                self.measured.clear();
                let told = std::mem::take(&mut self.trials).into_values().map(|journaled| *journaled);
                let mut known = BTreeSet::new();
                let all = told.chain(std::mem::take(&mut self.earlier));
                self.earlier = all
                    .filter(|told| !told.trial.outcome.is_breakdown())
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
            Event::Measured { measured, .. } => {
                self.measured.insert((measured.trial, measured.device.clone()), measured);
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

    /// Returns the proposals and outcomes of the trials that panicked.
    pub(crate) fn panics(&self) -> impl Iterator<Item = (&Proposal, &Outcome)> {
        let trials = self.trials.values().map(|journaled| &journaled.trial);
        trials.filter(|trial| trial.outcome.is_breakdown()).map(|trial| (&trial.proposal, &trial.outcome))
    }
}

/// Returns the trials that have a finished network in the run folder.
fn networks(paths: &RunPaths) -> BTreeSet<TrialId> {
    let Ok(folder) = fs::read_dir(paths.models()) else { return BTreeSet::new() };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
