//! The finish stage, which trains and exports the best architectures of the front.

use std::fs;
use std::path::Path;
use std::time::Instant;

use kiln_files::{Content, WholeFolder, make_folder, optional};

use super::log::Log;
use crate::contracts::{EvalError, Event, Finished, Finisher, Progress};
use crate::error::{StudyError, Unfinishable};
use crate::persistence::{RunPaths, StudyRecord, check_held};
use crate::trials::{Outcome, Trial, TrialId};

/// The finished networks, and whether the user stopped the stage.
pub(super) struct Networks {
    pub(super) finished: Vec<Finished>,
    pub(super) interrupted: bool,
}

/// Finishes trials in the order given. If the journal already contains the finished network of a trial and
/// its files are intact, the network is left unchanged.
pub(super) fn finish(
    trials: &[&Trial],
    finisher: &dyn Finisher,
    paths: &RunPaths,
    record: &StudyRecord,
    log: &Log,
) -> Result<Networks, StudyError> {
    let mut networks = Networks { finished: Vec::new(), interrupted: false };
    let is_open = |trial: &&&Trial| {
        let known = record.finished.get(&trial.id);
        known.is_none_or(|(finished, _)| !finished.mismatches(&paths.model(trial.id)).is_empty())
    };
    let open: Vec<&Trial> = trials.iter().filter(is_open).copied().collect();
    finisher.announce(&open);
    for (done, trial) in trials.iter().enumerate() {
        if log.stop_requested() {
            networks.interrupted = true;
            return Ok(networks);
        }
        let note = format!("trial {}", trial.id);
        log.report("finish", done as u64, trials.len() as u64, &note);
        if let Some((finished, seconds)) = record.finished.get(&trial.id) {
            let mismatches = finished.mismatches(&paths.model(trial.id));
            if mismatches.is_empty() {
                log.show(&Event::Finished { finished: finished.clone(), seconds: *seconds });
                networks.finished.push(finished.clone());
                continue;
            }
            for mismatch in mismatches {
                log.warn(format!("{mismatch}; the network is finished again"))?;
            }
        }
        match finish_one(trial, finisher, paths, log) {
            Ok(finished) => networks.finished.push(finished),
            Err(StudyError::Eval(EvalError::Interrupted)) => {
                networks.interrupted = true;
                return Ok(networks);
            }
            Err(error) => return Err(error),
        }
    }
    log.report("finish", trials.len() as u64, trials.len() as u64, "");
    Ok(networks)
}

/// Finishes one network in a temporary folder and moves the folder to its final path. Then records the
/// network and the hashes of its files in the journal.
fn finish_one(
    trial: &Trial,
    finisher: &dyn Finisher,
    paths: &RunPaths,
    log: &Log,
) -> Result<Finished, StudyError> {
    let began = Instant::now();
    let place = paths.model(trial.id);
    let is_held = || check_held(&place).map_err(StudyError::file(&place, "finish a network"));
    is_held()?;
    make_folder(&paths.models())?;
    // An older build that was killed may have left an incomplete network here.
    remove(&paths.models().join(format!(".{}.partial", trial.id)))?;
    let folder = WholeFolder::create(&place)?;
    let mut finished = finisher.finish(trial, folder.path(), log)?;
    for file in &mut finished.files {
        let content = optional(Content::of_file(&folder.path().join(&file.name)))?;
        let content =
            content.ok_or_else(|| StudyError::MissingFile { trial: trial.id, file: file.name.clone() })?;
        file.content = Some(content);
    }
    is_held()?;
    folder.finish_over()?;
    let seconds = began.elapsed().into();
    log.record(&Event::Finished { finished: finished.clone(), seconds })?;
    remove(&paths.training(trial.id))?;
    // If the folder is not empty, removing it fails, as intended.
    let _ = fs::remove_dir(paths.trainings());
    Ok(finished)
}

fn remove(folder: &Path) -> Result<(), StudyError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StudyError::file(folder, "remove")(error))
        }
        _ => Ok(()),
    }
}

/// Returns the trials with these ids. Every id must belong to a measured trial.
pub(super) fn named<'a>(trials: &'a [Trial], ids: &[TrialId]) -> Result<Vec<&'a Trial>, StudyError> {
    let named = |id: &TrialId| {
        let refuse = |reason| StudyError::NotATrial { trial: *id, reason };
        let trial = trials.iter().find(|trial| trial.id == *id);
        let trial = trial.ok_or_else(|| refuse(Unfinishable::Unknown { trials: trials.len() }))?;
        match &trial.outcome {
            Outcome::Measured(_) => Ok(trial),
            Outcome::Failed { reason, .. } => Err(refuse(Unfinishable::Failed { reason: reason.clone() })),
        }
    };
    ids.iter().map(named).collect()
}

/// Returns the finished networks in the journal whose files are intact.
pub(super) fn kept<'a>(record: &'a StudyRecord, paths: &'a RunPaths) -> impl Iterator<Item = &'a Finished> {
    let finished = record.finished.values().map(|(finished, _)| finished);
    finished.filter(|finished| finished.mismatches(&paths.model(finished.trial)).is_empty())
}

/// Returns the trials with these ids, in the order of the ids.
pub(super) fn by_id(trials: &[Trial], ids: impl Iterator<Item = TrialId>) -> Vec<&Trial> {
    ids.filter_map(|id| trials.iter().find(|trial| trial.id == id)).collect()
}
