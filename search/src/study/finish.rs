//! The finish stage: the best of the front become trained, exported networks.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::log::Log;
use crate::{
    EvalError, Event, Finished, Finisher, Outcome, Progress, RunPaths, StudyError, StudyRecord, Trial,
    TrialId,
};

/// Networks finished, and whether the user stopped the stage.
pub(super) struct Networks {
    pub(super) finished: Vec<Finished>,
    pub(super) interrupted: bool,
}

/// Finishes trials in this order. Those that the journal and the folder already have are left as they are.
pub(super) fn finish(
    trials: &[&Trial],
    finisher: &dyn Finisher,
    paths: &RunPaths,
    record: &StudyRecord,
    log: &Log,
) -> Result<Networks, StudyError> {
    let mut networks = Networks { finished: Vec::new(), interrupted: false };
    for (done, trial) in trials.iter().enumerate() {
        if log.stop_requested() {
            networks.interrupted = true;
            return Ok(networks);
        }
        let note = format!("trial {}", trial.id);
        log.report("finish", done as u64, trials.len() as u64, &note);
        if let Some((finished, seconds)) = record.finished.get(&trial.id)
            && missing_file(finished, &paths.model(trial.id)).is_none()
        {
            log.show(&Event::Finished { finished: finished.clone(), seconds: *seconds });
            networks.finished.push(finished.clone());
            continue;
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

/// Has one network finished beside its place, moves it there, and journals it.
fn finish_one(
    trial: &Trial,
    finisher: &dyn Finisher,
    paths: &RunPaths,
    log: &Log,
) -> Result<Finished, StudyError> {
    let began = Instant::now();
    let place = paths.model(trial.id);
    let beside = paths.models().join(format!(".{}.partial", trial.id));
    remove(&beside)?;
    fs::create_dir_all(&beside).map_err(failed(&beside, "make the folder"))?;
    let finished = finisher.finish(trial, &beside, log)?;
    if let Some(file) = missing_file(&finished, &beside) {
        return Err(StudyError::MissingFile { trial: trial.id, file });
    }
    remove(&place)?;
    fs::rename(&beside, &place).map_err(failed(&place, "move the finished network here"))?;
    sync_folder(&paths.models())?;
    let seconds = began.elapsed().as_secs_f64();
    log.record(&Event::Finished { finished: finished.clone(), seconds })?;
    remove(&paths.training(trial.id))?;
    // The folder stays where something else is in it.
    let _ = fs::remove_dir(paths.trainings());
    Ok(finished)
}

/// The first file of a finished network that is not there.
fn missing_file(finished: &Finished, folder: &Path) -> Option<String> {
    finished.files.iter().find(|file| !folder.join(file).is_file()).cloned()
}

fn remove(folder: &Path) -> Result<(), StudyError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(folder, "remove")(error)),
        _ => Ok(()),
    }
}

/// Makes a rename survive a crash of the machine.
fn sync_folder(folder: &Path) -> Result<(), StudyError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder, "sync"))
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> StudyError {
    let path = path.to_owned();
    move |source| StudyError::File { path, action, source }
}

/// The trials of these ids, which must be there and measured.
pub(super) fn named<'a>(trials: &'a [Trial], ids: &[TrialId]) -> Result<Vec<&'a Trial>, StudyError> {
    let named = |id: &TrialId| {
        let refuse = |problem: String| StudyError::NotATrial { trial: *id, problem };
        let trial = trials.iter().find(|trial| trial.id == *id);
        let trial = trial.ok_or_else(|| {
            refuse(format!("the study has {} trials, and it is none of them", trials.len()))
        })?;
        match &trial.outcome {
            Outcome::Measured(_) => Ok(trial),
            Outcome::Failed { reason, .. } => Err(refuse(format!("it failed in the search ({reason})"))),
        }
    };
    ids.iter().map(named).collect()
}

/// Networks that are finished: journaled, with their files in place.
pub(super) fn kept<'a>(record: &'a StudyRecord, paths: &'a RunPaths) -> impl Iterator<Item = &'a Finished> {
    let finished = record.finished.values().map(|(finished, _)| finished);
    finished.filter(|finished| missing_file(finished, &paths.model(finished.trial)).is_none())
}

/// Trials by id, in the order of the ids.
pub(super) fn by_id(trials: &[Trial], ids: impl Iterator<Item = TrialId>) -> Vec<&Trial> {
    ids.filter_map(|id| trials.iter().find(|trial| trial.id == id)).collect()
}
