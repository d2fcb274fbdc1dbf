//! The journal: one event a line, the authority on what happened in a study.
//!
//! What a study is, as against how one process went through it, are its facts: see [`facts`].

mod reader;
mod stages;
mod writer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::reader::JournalReader;
use self::stages::StageClock;
pub use self::writer::{Journal, Opened};
use crate::{
    Event, Finished, Outcome, Proposal, RunPaths, SearchEnd, StageSeconds, StudyError, Trial, TrialId,
};

/// Version of the lines written here.
pub const JOURNAL_VERSION: u32 = 1;

/// Bytes of the longest line that is read.
pub(crate) const LONGEST_LINE: u64 = 4 << 20;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Version of the format.
    pub version: u32,
    /// Seconds since the epoch, for people.
    pub unix_s: f64,
    /// Seconds for which processes have worked on the study.
    pub elapsed_s: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What is known about a trial from its line.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledTrial {
    /// The trial.
    pub trial: Trial,
    /// Seconds of its evaluation.
    pub seconds: f64,
    /// Worker that evaluated it.
    pub worker: usize,
}

/// What a journal says about its study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyRecord {
    /// Fingerprint of the evaluator, once it was prepared.
    pub fingerprint: Option<String>,
    /// Epochs for which the evaluator trains a network with full effort; 0 where it trains nothing, or the
    /// journal is of a build that did not write it.
    pub full_epochs: u32,
    /// Finished trials by id (since the last retry of failed ones).
    pub trials: BTreeMap<TrialId, JournaledTrial>,
    /// Trials told and the Pareto front, if the search stage ended.
    pub searched: Option<(u64, Vec<TrialId>)>,
    /// Why the search stage ended before its budget of trials was used up, if it did.
    pub search_end: Option<SearchEnd>,
    /// Networks finished, with the seconds each took.
    pub finished: BTreeMap<TrialId, (Finished, f64)>,
    /// Whether the last thing that happened is the end.
    pub ended: bool,
    /// Seconds for which processes have worked on the study.
    pub elapsed_s: f64,
    /// The same by stage.
    pub stages: StageSeconds,
    /// Seconds since the epoch at the last entry.
    pub unix_s: f64,
    /// Every answer that still counts, also from before a retry.
    pub(crate) answers: Vec<(Proposal, Outcome)>,
}

impl StudyRecord {
    /// Reads the journal of a run folder, also while another process writes it.
    ///
    /// # Errors
    /// [`StudyError`] when there is none, or it is damaged.
    pub fn read(paths: &RunPaths) -> Result<Self, StudyError> {
        if !paths.journal().exists() {
            let path = paths.root().to_owned();
            return Err(StudyError::NotARun { path, missing: "journal.jsonl" });
        }
        Ok(Self::new(JournalReader::open(&paths.journal())?.entries()?))
    }

    /// What these entries say, in the order of the journal.
    #[must_use]
    pub fn new(entries: Vec<JournalEntry>) -> Self {
        let mut record = Self::default();
        let mut stages = StageClock::default();
        for entry in entries {
            stages.pass(entry.elapsed_s, &entry.event);
            record.unix_s = entry.unix_s;
            record.elapsed_s = record.elapsed_s.max(entry.elapsed_s);
            record.apply(entry.event);
        }
        record.stages = stages.seconds;
        record
    }

    /// What it says after one more event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Prepared { fingerprint, full_epochs } => {
                self.fingerprint = Some(fingerprint);
                self.full_epochs = full_epochs;
            }
            Event::Trial { trial, seconds, worker, .. } => {
                self.ended = false;
                self.search_end = None;
                self.answers.push((trial.proposal.clone(), trial.outcome.clone()));
                self.trials.insert(trial.id, JournaledTrial { trial, seconds, worker });
            }
            Event::Retried { .. } => {
                // Trials after a retried one may be others now, so all are told anew; answers are kept.
                self.ended = false;
                self.searched = None;
                self.search_end = None;
                self.finished.clear();
                self.trials.clear();
                self.answers.retain(|(_, outcome)| !outcome.is_panic());
            }
            Event::SearchEnd { end } => self.search_end = Some(end),
            Event::Searched { trials, front } => self.searched = Some((trials, front)),
            Event::Finished { finished, seconds } => {
                self.finished.insert(finished.trial, (finished, seconds));
            }
            Event::Ended => self.ended = true,
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Rejections { .. }
            | Event::Warning { .. } => {}
        }
    }
}

/// The facts of a study, one line each, in an order of their own: two journals tell of the same study when these are
/// equal.
///
/// Facts are the evaluator's fingerprint, the trials, the last front, and the networks finished. Left out is what belongs to
/// one process: times, worker names, whether an answer was known, starts, progress, warnings and rejections.
///
/// # Example
/// ```
/// use kiln_search::{Event, JOURNAL_VERSION, JournalEntry, facts};
/// let event = Event::Searched { trials: 2, front: vec![1] };
/// let entry = |unix_s| JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s: 0.5, event: event.clone() };
/// assert_eq!(facts(vec![entry(1.0)]), facts(vec![entry(2.0), entry(3.0)]));
/// ```
#[must_use]
pub fn facts(entries: Vec<JournalEntry>) -> Vec<String> {
    let record = StudyRecord::new(entries);
    let mut events = Vec::new();
    let full_epochs = record.full_epochs;
    events.extend(record.fingerprint.map(|fingerprint| Event::Prepared { fingerprint, full_epochs }));
    events.extend(record.trials.into_values().map(|JournaledTrial { trial, .. }| Event::Trial {
        trial,
        known: false,
        seconds: 0.0,
        worker: 0,
    }));
    events.extend(record.searched.map(|(trials, front)| Event::Searched { trials, front }));
    let finished = record.finished.into_values();
    events.extend(finished.map(|(finished, _)| Event::Finished { finished, seconds: 0.0 }));
    events.extend(record.ended.then_some(Event::Ended));
    events.iter().map(line).collect()
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is plain data with names as keys")
}
