//! Removes the saved training states after a search has ended. No later trial can continue from them.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::StudyError;
use crate::persistence::{RunPaths, hold_folder};

/// Removes the saved training states, except those of networks that are being finished and those in folders
/// that another process writes to. Every trial has an outcome, so no training continues from a removed state.
pub(super) fn clear(paths: &RunPaths) -> Result<(), StudyError> {
    let trainings = paths.trainings();
    let failed = |path: &Path, source| StudyError::File {
        path: path.to_owned(),
        action: "remove what trainings left behind",
        source,
    };
    let entries = match fs::read_dir(&trainings) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(&trainings, source)),
    };
    for entry in entries {
        let path = entry.map_err(|source| failed(&trainings, source))?.path();
        if path.file_name().is_some_and(RunPaths::is_network) {
            continue;
        }
        remove(&path).map_err(|source| failed(&path, source))?;
    }
    // If the folder is not empty, this call fails, as intended.
    let _ = fs::remove_dir(&trainings);
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() {
        let held = hold_folder(path)?;
        // Another process writes to this folder: an audit may train at the same time as the study.
        if held.is_none() {
            return Ok(());
        }
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_removes_states_of_trials_and_keeps_networks_and_held_folders() {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(folder.path());
        clear(&paths).unwrap();
        let trainings = paths.trainings();
        for name in ["trial-a", "trial-b", "milestones", "network-3"] {
            fs::create_dir_all(trainings.join(name)).unwrap();
            fs::write(trainings.join(name).join("step-00000001.ckpt"), "state").unwrap();
        }
        fs::write(trainings.join("stray"), "of an older version").unwrap();
        let names = || {
            let entries = fs::read_dir(&trainings).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let held = hold_folder(&trainings.join("trial-b")).unwrap();
        clear(&paths).unwrap();
        assert_eq!(names(), ["network-3", "trial-b"]);
        drop(held);
        fs::remove_dir_all(paths.training(3)).unwrap();
        clear(&paths).unwrap();
        assert!(!trainings.exists());
    }
}
