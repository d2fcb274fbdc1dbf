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
    /// The paths in the run folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The paths of a study whose run folder is in `runs`.
    ///
    /// # Errors
    /// [`StudyError::Setting`] when the name cannot be that of a folder.
    pub fn of_study(runs: &Path, study: &str) -> Result<Self, StudyError> {
        check_study_name(study)?;
        Ok(Self(runs.join(study)))
    }

    /// The run folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The resolved config.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The log for people.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("kiln.log")
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The finished networks.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// The files of one finished network.
    #[must_use]
    pub fn model(&self, trial: TrialId) -> PathBuf {
        self.models().join(trial.to_string())
    }

    /// Folders of trainings: states that evaluators keep of trials, and checkpoints of networks that are
    /// being finished. Each training has a folder, which its writer holds with [`crate::hold_folder`]. When
    /// the search has ended, all these folders are removed, except those of networks and those that are held.
    #[must_use]
    pub fn trainings(&self) -> PathBuf {
        self.0.join("training")
    }

    /// Checkpoints of a network that is being finished. They are removed once it is journaled.
    #[must_use]
    pub fn training(&self, trial: TrialId) -> PathBuf {
        self.trainings().join(format!("{}{trial}", Self::NETWORK))
    }

    /// Prefix of the folders of networks that are being finished.
    const NETWORK: &str = "network-";

    /// Whether a folder of [`RunPaths::trainings`] is that of a network that is being finished.
    pub(crate) fn is_network(name: &OsStr) -> bool {
        name.to_string_lossy().starts_with(Self::NETWORK)
    }

    /// The lock file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The text of the study's config, for programs that only read the run folder.
    ///
    /// # Errors
    /// [`StudyError::NotARun`] when there is none, [`StudyError::NotAFolder`] when a file is in the place of
    /// the run folder, [`StudyError::Misplaced`] when something else is in the place of the config.
    pub fn read_config(&self) -> Result<String, StudyError> {
        if self.0.is_file() {
            return Err(StudyError::NotAFolder { path: self.0.clone() });
        }
        Ok(self.kept_config()?.text)
    }

    /// Whether the config was changed since Kiln wrote it. Changes of a config that an older build wrote are
    /// not noticed.
    ///
    /// # Errors
    /// As [`RunPaths::read_config`].
    pub fn config_is_changed(&self) -> Result<bool, StudyError> {
        Ok(self.kept_config()?.is_changed)
    }

    /// Refuses links and whatever else is in the place of a file or folder of the run folder.
    pub(super) fn check_places(&self) -> Result<(), StudyError> {
        for file in [self.lock(), self.config(), self.journal(), self.log()] {
            check_file(&file)?;
            check_link(&file)?;
        }
        for folder in [self.store(), self.models(), self.trainings(), self.root().join("supernet")] {
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
/// [`StudyError::Setting`] when it cannot.
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
