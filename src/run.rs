//! Reads the config and the journal of a run folder, for commands that do not change the folder.

use std::path::Path;

use anyhow::anyhow;
use kiln::config::{Document, RunConfig};
use kiln_search::{
    Doubts, Finished, FrontEntry, JournalEntry, MeasuredLatency, RunPaths, SearchEnd, Spent, StudyRecord,
    SupernetHealth, Trial, TrialId, study_front,
};

use crate::exit::Failure;
use crate::output;

/// Content of a run folder.
pub(crate) struct Run {
    pub(crate) paths: RunPaths,
    pub(crate) config: RunConfig,
    pub(crate) trials: Vec<Trial>,
    pub(crate) finished: Vec<Finished>,
    /// Measured latencies of finished networks.
    pub(crate) measured: Vec<MeasuredLatency>,
    /// Number of epochs of a full training. The number is 0 if nothing is trained or if the journal does not
    /// state it.
    pub(crate) full_epochs: u32,
    /// Verdict of the health check of the shared weights.
    pub(crate) health: Option<SupernetHealth>,
    /// Why the search ended early. `None` if the search has not ended early.
    pub(crate) search_end: Option<SearchEnd>,
}

impl Run {
    /// Reads a run folder. `run` is the folder's path, or the name of a study whose run folder is in `runs`.
    pub(crate) fn read(run: &Path, runs: &Path) -> Result<Self, Failure> {
        let (paths, config) = Self::open(run, runs)?;
        let record = read_record(&paths, &config, |_| {})?;
        let (health, search_end) = (record.health.clone(), record.search_end.clone());
        let full_epochs = record.full_epochs;
        let trials = record.trials.into_values().map(|journaled| journaled.trial).collect();
        let finished = record.finished.into_values().map(|(finished, _)| finished).collect();
        let measured = record.measured.into_values().collect();
        Ok(Self { paths, config, trials, finished, measured, full_epochs, health, search_end })
    }

    /// Returns a run folder's paths and config. Does not read the journal.
    pub(crate) fn open(run: &Path, runs: &Path) -> Result<(RunPaths, RunConfig), Failure> {
        let in_runs = runs.join(run);
        let named = [run, &in_runs];
        let found = named.into_iter().find(|folder| folder.join("config.toml").is_file());
        // If no config is found, the error names an existing path if possible.
        let found = found.or_else(|| named.into_iter().find(|path| path.exists()));
        let paths = RunPaths::new(found.unwrap_or(&in_runs));
        let text = paths.read_config()?;
        if paths.config_is_changed()? {
            let file = paths.config();
            output::say(&format!("warning: {}: was changed since Kiln wrote it", file.display()));
        }
        let config = RunConfig::from_document(Document::parse(&paths.config(), &text)?, None)?;
        Ok((paths, config))
    }

    /// Returns the Pareto front, sorted by trial number.
    pub(crate) fn front(&self) -> Vec<FrontEntry> {
        study_front(&self.trials)
    }

    /// Returns the total effort of the trials.
    pub(crate) fn spent(&self) -> Spent {
        Spent::of(&self.trials, self.full_epochs)
    }

    /// Returns the trial with this number.
    pub(crate) fn trial(&self, id: TrialId) -> Result<&Trial, Failure> {
        self.trials.iter().find(|trial| trial.id == id).ok_or_else(|| {
            let (run, trials) = (self.paths.root().display(), self.trials.len());
            Failure::wrong(anyhow!("{run}: there is no trial {id} among the {trials} that are finished"))
        })
    }
}

/// Reads the journal of a run and passes every entry to `see`. Prints warnings about the journal's integrity.
pub(crate) fn read_record(
    paths: &RunPaths,
    config: &RunConfig,
    see: impl FnMut(&JournalEntry),
) -> Result<StudyRecord, Failure> {
    let record = StudyRecord::read_with(paths, &config.search.objectives, see)?;
    say_doubts(paths, &record.doubts);
    Ok(record)
}

/// Warns if the journal is incomplete or if lines have no check.
pub(crate) fn say_doubts(paths: &RunPaths, doubts: &Doubts) {
    for doubt in doubts.sentences() {
        output::say(&format!("warning: {}: {doubt}", paths.journal().display()));
    }
}
