//! The result of finishing a trial, and a check that the written files have not changed since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_files::{Content, FileError, optional};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The result of finishing one trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Id of the trial.
    pub trial: u64,
    /// Metrics, such as those on the test split. Each name includes the unit (`test_accuracy_percent`).
    pub metrics: BTreeMap<String, f64>,
    /// Files that the finisher wrote.
    pub files: Vec<FinishedFile>,
}

/// A file of a finished network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Journaled", into = "Journaled")]
pub struct FinishedFile {
    /// Path, relative to the run folder's `models/<id>/`.
    pub name: String,
    /// Length and hash of the file. A [`Finisher`](crate::Finisher) need not set this field, because the
    /// study reads the files and sets it. The field is `None` in journals of older builds.
    pub content: Option<Content>,
}

impl<T: Into<String>> From<T> for FinishedFile {
    fn from(name: T) -> Self {
        Self { name: name.into(), content: None }
    }
}

/// The record of a file in the journal. Older builds recorded only the file's name.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Journaled {
    Name(String),
    Whole {
        name: String,
        #[serde(flatten)]
        content: Content,
    },
}

impl From<Journaled> for FinishedFile {
    fn from(journaled: Journaled) -> Self {
        match journaled {
            Journaled::Name(name) => Self { name, content: None },
            Journaled::Whole { name, content } => Self { name, content: Some(content) },
        }
    }
}

impl From<FinishedFile> for Journaled {
    fn from(FinishedFile { name, content }: FinishedFile) -> Self {
        match content {
            None => Self::Name(name),
            Some(content) => Self::Whole { name, content },
        }
    }
}

/// How a file differs from the file that was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileMismatch {
    /// The file does not exist.
    #[error("{}: is missing", path.display())]
    Missing {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file has a different length.
    #[error("{}: is {found} bytes long, but {written} were written", path.display())]
    Length {
        /// Path of the file.
        path: PathBuf,
        /// Length of the file now.
        found: u64,
        /// Length of the file according to the journal.
        written: u64,
    },
    /// The file has the same length but different content.
    #[error("{}: was changed since it was written (its hash is not the one in the journal)", path.display())]
    Content {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is empty. An older build wrote the journal, so the journal does not record the file's
    /// content.
    #[error("{}: is empty", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}", .0.said())]
    Unreadable(#[source] FileError),
}

impl Finished {
    /// Returns the files in the network's folder that differ from the files that were written.
    #[must_use]
    pub fn mismatches(&self, folder: &Path) -> Vec<FileMismatch> {
        self.files.iter().filter_map(|file| file.check(folder).err()).collect()
    }

    /// Whether the journal lacks the length and hash of any file, as in journals of older builds.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        self.files.iter().any(|file| file.content.is_none())
    }
}

impl FinishedFile {
    /// Compares the file in the network's folder with the length and hash in the journal.
    ///
    /// # Errors
    /// [`FileMismatch`] if the file's length or hash differs.
    pub fn check(&self, folder: &Path) -> Result<(), FileMismatch> {
        let path = folder.join(&self.name);
        let found = optional(Content::of_file(&path)).map_err(FileMismatch::Unreadable)?;
        match (found, self.content) {
            (None, _) => Err(FileMismatch::Missing { path }),
            (Some(found), None) if found.bytes == 0 => Err(FileMismatch::Empty { path }),
            (Some(found), Some(written)) if found.bytes != written.bytes => {
                Err(FileMismatch::Length { path, found: found.bytes, written: written.bytes })
            }
            (Some(found), Some(written)) if found != written => Err(FileMismatch::Content { path }),
            (Some(_), _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn file_without_content_is_read_and_written_as_its_name() {
        let text = r#"{"trial":7,"metrics":{},"files":["model.onnx"]}"#;
        let old: Finished = serde_json::from_str(text).unwrap();
        assert_eq!(
            (old.files.as_slice(), old.is_unchecked()),
            ([FinishedFile::from("model.onnx")].as_slice(), true)
        );
        assert_eq!(serde_json::to_string(&old).unwrap(), text);
        let new = FinishedFile { content: Some(Content::of(b"abc")), ..old.files[0].clone() };
        let json = serde_json::to_value(&new).unwrap();
        assert_eq!((json["name"].as_str(), json["bytes"].as_u64()), (Some("model.onnx"), Some(3)));
        assert_eq!(serde_json::from_value::<FinishedFile>(json).unwrap(), new);
    }

    #[test]
    fn check_names_missing_changed_and_empty_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (old, new) = (
            FinishedFile::from("a"),
            FinishedFile { name: "a".to_owned(), content: Some(Content::of(b"abc")) },
        );
        let said = |file: &FinishedFile| file.check(folder.path()).err().map(|error| error.to_string());
        for file in [&old, &new] {
            assert!(said(file).unwrap().ends_with("a: is missing"));
        }
        fs::write(&path, "abc").unwrap();
        assert_eq!((said(&old), said(&new)), (None, None));
        fs::write(&path, "abd").unwrap();
        assert_eq!(said(&old), None);
        assert!(said(&new).unwrap().contains("was changed since it was written"));
        fs::write(&path, "").unwrap();
        assert!(said(&old).unwrap().ends_with("a: is empty"));
        assert!(said(&new).unwrap().ends_with("a: is 0 bytes long, but 3 were written"));
    }
}
