//! Errors of reading and writing files.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused an operation.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The operation.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The path is not a file.
    #[error("{}: is {found}, expected a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Its kind, with its article.
        found: &'static str,
    },
    /// The path is not a folder.
    #[error("{}: is {found}, expected a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// Its kind, with its article.
        found: &'static str,
    },
    /// The file is longer than its reader allows.
    #[error("{}: is {bytes} bytes long, and at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("{}:{line}: byte {byte} of the file is not UTF-8; save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line of the first invalid byte, from 1.
        line: usize,
        /// Offset of the first invalid byte, from 0.
        byte: usize,
    },
    /// The content is not what Kiln wrote.
    #[error("{}: damaged ({problem})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The path exists and must not be overwritten.
    #[error("{}: already exists{why}", path.display())]
    Exists {
        /// The existing path.
        path: PathBuf,
        /// More about what exists, for the end of the message.
        why: &'static str,
    },
}

impl FileError {
    /// Whether the path does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the caller can fix the error, as opposed to a failure of the system.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// The message without the name of the file.
    #[must_use]
    pub fn problem(&self) -> String {
        let said = self.said();
        let path = format!("{}:", self.path().display());
        said.strip_prefix(&path).map_or(said.as_str(), str::trim_start).to_owned()
    }

    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::NotAFile { path, .. }
            | Self::NotAFolder { path, .. }
            | Self::TooLarge { path, .. }
            | Self::NotText { path, .. }
            | Self::Damaged { path, .. }
            | Self::Exists { path, .. } => path,
        }
    }

    /// The whole message on one line, including the system's error.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// Wraps a system error in [`FileError::Io`].
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}
