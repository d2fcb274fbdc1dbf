//! Errors of data and its settings.

use std::path::{Path, PathBuf};

use kiln_space::SettingsError;
use thiserror::Error;

/// The reason why data cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A setting is invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data set needs a folder.
    #[error("data set `{kind}` reads files: name their folder with `--data FOLDER`")]
    NoFolder {
        /// Kind of the data set.
        kind: &'static str,
    },
    /// A file cannot be read.
    #[error("{}: cannot read", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A required file does not exist, neither plain nor gzipped.
    #[error("{}: not found (looked for it plain and with `.gz`)", path.display())]
    Missing {
        /// Path of the file.
        path: PathBuf,
    },
    /// A split has too few examples.
    #[error(
        "data set `{name}`: {training} training, {validation} validation and {test} test examples, expected \
         at least 2, 1 and 1; {advice}"
    )]
    TooFew {
        /// Name of the data set.
        name: String,
        /// Number of training examples.
        training: usize,
        /// Number of validation examples.
        validation: usize,
        /// Number of test examples.
        test: usize,
        /// What the user can do.
        advice: String,
    },
    /// Files of a folder cannot be read.
    #[error("{}: {files} cannot be read: {list}{advice}", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Text with the number of unreadable files and the number of all files.
        files: String,
        /// The first unreadable files, each with its error.
        list: String,
        /// What the user can do.
        advice: String,
    },
    /// Columns of a table are ambiguous, and the user must decide how to read them.
    #[error("{}: {}: {list}{settings}", path.display(), undecided(*columns))]
    Decisions {
        /// The table.
        path: PathBuf,
        /// Number of ambiguous columns.
        columns: usize,
        /// The columns, each with its ambiguity.
        list: String,
        /// Settings that resolve the ambiguities.
        settings: String,
    },
    /// A file has unexpected content.
    #[error("{}: {place}: found {found}, expected {expected}", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// Byte, line or record with the unexpected content.
        place: String,
        /// Actual content.
        found: String,
        /// Expected content.
        expected: String,
    },
}

fn undecided(columns: usize) -> String {
    if columns == 1 {
        "1 column needs a decision".to_owned()
    } else {
        format!("{columns} columns need a decision")
    }
}

impl DataError {
    /// Builds an error for unexpected content of a file, from place, actual and expected content.
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
