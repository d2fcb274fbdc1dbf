//! What can be wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Something else is where a file is needed.
    #[error("{}: is {found}, expected a file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
        /// Its kind, with its article.
        found: &'static str,
    },
    /// Something else is where a folder is needed.
    #[error("{}: is {found}, expected a folder", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
        /// Its kind, with its article.
        found: &'static str,
    },
    /// The file is longer than its reader allows.
    #[error("{}: is {bytes} bytes long, and at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is no UTF-8.
    #[error("{}:{line}: byte {byte} of the file is no UTF-8; save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first line that is none, from 1.
        line: usize,
        /// The first byte that is none, from 0.
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
    /// Something is there that may not be overwritten.
    #[error("{}: is there already{why}", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
        /// What else is to be said of it, for the end of the message.
        why: &'static str,
    },
}

impl FileError {
    /// Whether nothing is there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the file is the caller's mistake, not a failure of the system.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// What is wrong, without the name of the file.
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

    /// The whole message on one line, with what the system said.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// An [`FileError::Io`] from what the system said.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}
