//! The paths of a run folder's files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::kept_config::{self, Kept};
use super::places::{check_file, check_folder, check_link};
use crate::error::StudyError;
use crate::trials::TrialId;

/// The paths of a run folder's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPaths(PathBuf);

impl RunPaths {
    /// Creates the paths for the run folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Creates the paths of a study whose run folder is in `runs`.
    ///
    /// # Errors
    /// [`StudyError::Setting`] if the study's name is not a valid folder name.
    pub fn of_study(runs: &Path, study: &str) -> Result<Self, StudyError> {
        check_study_name(study)?;
        Ok(Self(runs.join(study)))
    }

    /// Path of the run folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Path of the resolved config.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// Path of the journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// Path of the human-readable log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("kiln.log")
    }

    /// Path of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Path of the folder with all finished networks.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// Path of the folder with the files of one finished network.
    #[must_use]
    pub fn model(&self, trial: TrialId) -> PathBuf {
        self.models().join(trial.to_string())
    }

    /// Path of the folder of trainings. Each training has a subfolder there, which its writer locks with
    /// [`crate::hold_folder`]. The subfolders contain the training states that evaluators keep, and the
    /// checkpoints of networks that are being finished. After the search, the subfolders are removed, except
    /// those of networks that are being finished and those that are locked.
    #[must_use]
    pub fn trainings(&self) -> PathBuf {
        self.0.join("training")
    }

    /// Path of the folder with the checkpoints of a network that is being finished. The checkpoints are
    /// removed after the network was recorded in the journal.
    #[must_use]
    pub fn training(&self, trial: TrialId) -> PathBuf {
        self.trainings().join(format!("{}{trial}", Self::NETWORK))
    }

    /// Path of the folder with unfinished measurements. It is removed when all networks are measured.
    #[must_use]
    pub fn measurings(&self) -> PathBuf {
        self.0.join("measuring")
    }

    /// Path of the folder with unfinished measurements on one device. A device may be called `..`, so the
    /// folder's name has a prefix.
    #[must_use]
    pub fn measuring(&self, device: &str) -> PathBuf {
        self.measurings().join(format!("device-{device}"))
    }

    /// Path of the folder with event files for TensorBoard.
    #[must_use]
    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tensorboard")
    }

    /// Path of the device file that is fitted to the finished networks' latencies.
    #[must_use]
    pub fn refit(&self, device: &str) -> PathBuf {
        self.0.join(format!("{device}.refit.toml"))
    }

    /// Prefix of folder names for networks that are being finished.
    const NETWORK: &str = "network-";

    /// Whether a folder in [`RunPaths::trainings`] belongs to a network that is being finished.
    pub(crate) fn is_network(name: &OsStr) -> bool {
        name.to_string_lossy().starts_with(Self::NETWORK)
    }

    /// Path of the lock file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Reads the text of the study's config, for programs that only read the run folder.
    ///
    /// # Errors
    /// [`StudyError::NotARun`] if there is no config. [`StudyError::NotAFolder`] if the run folder is a file.
    /// [`StudyError::Misplaced`] if the config is not a file.
    pub fn read_config(&self) -> Result<String, StudyError> {
        if self.0.is_file() {
            return Err(StudyError::NotAFolder { path: self.0.clone() });
        }
        Ok(self.kept_config()?.text)
    }

    /// Whether the config was changed after Kiln wrote it. Changes to configs of older builds are not
    /// detected.
    ///
    /// # Errors
    /// The same as for [`RunPaths::read_config`].
    pub fn config_is_changed(&self) -> Result<bool, StudyError> {
        Ok(self.kept_config()?.is_changed)
    }

    /// Returns an error if an entry of the run folder is a link or has the wrong kind.
    pub(super) fn check_places(&self) -> Result<(), StudyError> {
        for file in [self.lock(), self.config(), self.journal(), self.log()] {
            check_file(&file)?;
            check_link(&file)?;
        }
        let folders = [self.store(), self.models(), self.trainings(), self.measurings(), self.tensorboard()];
        for folder in folders.into_iter().chain([self.root().join("supernet")]) {
            check_folder(&folder)?;
            check_link(&folder)?;
        }
        Ok(())
    }

    fn kept_config(&self) -> Result<Kept, StudyError> {
        check_file(&self.config())?;
        kept_config::read(&self.config())?
            .ok_or_else(|| StudyError::NotARun { path: self.0.clone(), missing: "config.toml" })
    }
}

/// Checks that a study's name can be the name of its run folder.
///
/// # Errors
/// [`StudyError::Setting`] if the name is not a valid folder name.
pub fn check_study_name(name: &str) -> Result<(), StudyError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let expected = "1 to 100 letters, digits, `-`, `_` or `.`, not beginning with `.`";
        return Err(StudyError::Setting { key: "name", found: format!("`{name}`"), expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn study_names_that_leave_the_folder_of_runs_are_refused() {
        for name in ["", ".", "..", "a/b", "a\\b", ".hidden", "é", &"a".repeat(101)] {
            assert!(check_study_name(name).is_err(), "{name}");
        }
        check_study_name("mnist-2_b.1").unwrap();
    }
}
