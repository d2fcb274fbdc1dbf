//! What all lines of a journal together say about the study.

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

/// What the journal says about a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledTrial {
    /// The trial.
    pub trial: Trial,
    /// Time of its evaluation.
    pub seconds: Seconds,
    /// Worker that evaluated it.
    pub worker: usize,
    /// Whether its line has a check. A line without one may have changed.
    pub checked: bool,
}

/// What a journal says about its study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyRecord {
    /// Fingerprint of the evaluator, once it is prepared.
    pub fingerprint: Option<String>,
    /// Epochs of a full training; 0 where the evaluator trains nothing, or the journal is of a build that did
    /// not write them.
    pub full_epochs: u32,
    /// Health of the shared weights with this fingerprint.
    pub health: Option<SupernetHealth>,
    /// Trials by id, since the last retry of failed ones.
    pub trials: BTreeMap<TrialId, Box<JournaledTrial>>,
    /// Number of trials told and the Pareto front, if the search stage ended.
    pub searched: Option<(u64, Vec<TrialId>)>,
    /// Why the search stage ended before it used up its budget of trials, if it did.
    pub search_end: Option<SearchEnd>,
    /// Finished networks, with the time that each took.
    pub finished: BTreeMap<TrialId, (Finished, Seconds)>,
    /// Whether the last event is the end of the study.
    pub ended: bool,
    /// The budget of trials of the last run, if that run completed the study.
    pub(crate) completed: Option<u64>,
    /// The budget of trials of the last run.
    budget: Option<u64>,
    /// Time that processes have worked on the study.
    pub elapsed_s: Seconds,
    /// The same time by stage.
    pub stages: StageSeconds,
    /// Time since the epoch at the last entry.
    pub unix_s: Seconds,
    /// The current stage.
    clock: StageClock,
    /// Doubts about the journal itself.
    pub doubts: Doubts,
    /// Answers from before the last retry that are still valid.
    earlier: Vec<JournaledTrial>,
}

impl StudyRecord {
    /// Reads the journal of a run folder, also while another process writes it.
    ///
    /// # Errors
    /// [`StudyError`] when there is none, or it is damaged.
    pub fn read(paths: &RunPaths) -> Result<Self, StudyError> {
        Self::collect(paths, JournalReader::of_run(paths)?, |_| {})
    }

    /// As [`StudyRecord::read`], for a study with these objectives: the values of each trial must follow from
    /// its metrics and costs. `see` gets every entry, in order.
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
        // The networks are listed before the journal is read. Otherwise a running study could finish a
        // network after its trial was missed here.
        let networks = networks(paths);
        let mut record = Self::default();
        record.take_in(&mut reader, see)?;
        record.doubts = reader.doubts();
        // After a retry the trials are told anew while their networks stay, so missing trials are no sign of
        // damage.
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

    /// Applies a last line that lacks only its line end; false where the rest of the file is not such a line.
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

    /// The record of these entries, in the order of the journal.
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

    /// The same for an event whose line had a check, or had none.
    fn apply_from(&mut self, event: Event, checked: bool) {
        match event {
            Event::Prepared { fingerprint, full_epochs } => {
                // The health belongs to the weights of one fingerprint.
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
                // A different answer may lead the strategy to different proposals, so all trials are told
                // anew. Answers stay valid for the same question.
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

    /// All answers that are still valid, also from before a retry.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &JournaledTrial> {
        self.earlier.iter().chain(self.trials.values().map(AsRef::as_ref))
    }

    /// The panics among the trials, with their proposals.
    pub(crate) fn panics(&self) -> impl Iterator<Item = (&Proposal, &Outcome)> {
        let trials = self.trials.values().map(|journaled| &journaled.trial);
        trials.filter(|trial| trial.outcome.is_panic()).map(|trial| (&trial.proposal, &trial.outcome))
    }
}

/// Trials with a finished network in the run folder, ascending.
fn networks(paths: &RunPaths) -> BTreeSet<TrialId> {
    let Ok(folder) = fs::read_dir(paths.models()) else { return BTreeSet::new() };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
