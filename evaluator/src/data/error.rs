//! What can be wrong with data and its settings.

use std::path::PathBuf;

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
