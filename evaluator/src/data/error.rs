//! What can be wrong with data and its settings.

use std::path::{Path, PathBuf};

use kiln_space::SettingsError;
use thiserror::Error;

/// Data cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data set needs a folder, and none was given.
    #[error("data set `{kind}` reads files: name their folder with `--data FOLDER`")]
    NoFolder {
        /// Kind of the data set.
        kind: &'static str,
    },
    /// A file cannot be read.
    #[error("{}: cannot read", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that should be there is not, compressed or plain.
    #[error("{}: not found (looked for it plain and with `.gz`)", path.display())]
    Missing {
        /// File.
        path: PathBuf,
    },
    /// There are not enough examples to train, judge and test with.
    #[error(
        "data set `{name}`: {training} training, {validation} validation and {test} test examples, expected at least 2, 1 \
         and 1; {advice}"
    )]
    TooFew {
        /// Data set.
        name: String,
        /// Examples to train on.
        training: usize,
        /// Examples to judge by.
        validation: usize,
        /// Examples to test on.
        test: usize,
        /// What to do.
        advice: String,
    },
    /// Files of a folder cannot be read.
    #[error("{}: {files} cannot be read: {list}{advice}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// How many, of how many.
        files: String,
        /// The first of them, each with the reason.
        list: String,
        /// What to do.
        advice: String,
    },
    /// Columns of a table leave open how they are to be read.
    #[error("{}: {columns} columns need a decision: {list}{settings}", path.display())]
    Decisions {
        /// The table.
        path: PathBuf,
        /// How many columns.
        columns: usize,
        /// Each with what is open.
        list: String,
        /// Settings that would decide.
        settings: String,
    },
    /// A file holds something else than it should.
    #[error("{}: {place}: found {found}, expected {expected}", path.display())]
    Content {
        /// File.
        path: PathBuf,
        /// Byte, line or record.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
}

impl DataError {
    /// A file holds something else than it should: where, what, and what should be there.
    pub fn content(
        path: &Path,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (place, found, expected) = (place.into(), found.into(), expected.into());
        Self::Content { path: path.to_owned(), place, found, expected }
    }
}
