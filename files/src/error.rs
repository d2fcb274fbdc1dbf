//! Errors of reading and writing files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error from reading or writing files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused an operation.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The path is not a file.
    #[error("{}: is {found}, expected a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What the path is instead.
        found: FileKind,
    },
    /// The path is not a folder.
    #[error("{}: is {found}, expected a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// What the path is instead.
        found: FileKind,
    },
    /// The file is longer than its reader allows.
    #[error("{}: is {bytes} bytes long, expected at most {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The file's length in bytes.
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
        /// What is wrong with the file.
        problem: Damage,
    },
    /// The path exists, and Kiln must not overwrite it.
    #[error("{}: already exists{existing}", path.display())]
    Exists {
        /// The existing path.
        path: PathBuf,
        /// What exists at the path.
        existing: Existing,
    },
}

/// What is wrong with a damaged document or line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Damage {
    /// The text carries no hash, although its version requires one.
    #[error("its `check` is missing: the end of the file was changed")]
    MissingCheck,
    /// The hash is not in the form that Kiln writes.
    #[error("its `check` is not as Kiln writes it: the end of the file was changed")]
    ChangedCheck,
    /// The hash does not match the content.
    #[error("its content does not match its `check`: it was changed since Kiln wrote it")]
    ChangedContent,
    /// The text is not JSON of the expected type.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

impl fmt::Display for FileKind {
    /// Writes the kind with an article, such as "a file".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::Special => "a pipe, a socket or a device",
        })
    }
}

/// What exists at a path that must not be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The path exists. The message does not state its kind.
    Any,
    /// A symbolic link.
    Link,
    /// A file that Kiln did not write.
    Foreign,
    /// A file or folder with different content.
    Different,
}

impl fmt::Display for Existing {
    /// Writes the end of a message that starts with "already exists".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "",
            Self::Link => ", and is a link",
            Self::Foreign => ", and Kiln did not write it",
            Self::Different => " with different content",
        })
    }
}

impl FileError {
    /// Whether the path does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Returns whether the caller can fix the error. Only failures of the operating system return `false`.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }

    /// Returns the message without the file's name.
    #[must_use]
    pub fn problem(&self) -> String {
        let said = self.said();
        let path = format!("{}:", self.path().display());
        said.strip_prefix(&path).map_or(said.as_str(), str::trim_start).to_owned()
    }

    /// Returns the file or folder that the error is about.
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

    /// Returns the whole message on one line, including the system's error.
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
