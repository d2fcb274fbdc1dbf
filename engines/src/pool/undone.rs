//! Why a piece of work has no result.

use kiln_files::FileError;
use kiln_search::EvalError;

use crate::engine::{EngineError, JobEnd};
use crate::folder::JobFolder;

/// Why a piece of work has no result.
#[derive(Debug)]
pub(crate) enum Undone {
    /// Each of its attempts ended too early.
    Lost {
        /// Number of attempts.
        attempts: u32,
        /// How the last one ended.
        end: JobEnd,
        /// What the last job printed at its end.
        log: String,
    },
    /// The environment is broken, or the study was stopped.
    Broken(EvalError),
}

impl From<FileError> for Undone {
    fn from(error: FileError) -> Self {
        Self::Broken(error.into())
    }
}

pub(super) fn broken(folder: &JobFolder, error: &EngineError) -> EvalError {
    EvalError::Job { path: folder.path().to_owned(), problem: error.to_string() }
}

/// Returns the last lines of a job as the end of a sentence.
pub(crate) fn said(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" | {log}") }
}
