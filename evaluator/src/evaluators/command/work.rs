//! The folder in which one training works: the files that the program reads and writes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kiln_files::{make_folder, read_document, write, write_document};
use kiln_processes::Identity;
use kiln_search::{EvalError, hold_folder};
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::kept::{CHECKPOINT, Kept, WEIGHTS};

/// Name of the document about the running program.
const PROCESS: &str = "process.json";
/// Name of the document with the epochs so far.
const COURSE: &str = "course.json";
/// Maximum size of these documents in bytes.
const DOCUMENT_MAX: u64 = 64 << 20;

/// The folder of one training. Only this training uses it.
pub(super) struct Work {
    folder: PathBuf,
    _held: File,
}

/// The document about a running program. A killed Kiln leaves it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    id: u32,
    started: Option<u64>,
}

/// The document with the epochs so far.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Epochs {
    course: Course,
}

impl Work {
    /// Opens the folder and locks it. If a killed Kiln left a program that still runs there, that program is
    /// ended, because two programs must not write the same checkpoint.
    ///
    /// # Errors
    /// [`EvalError::Held`] when another process of Kiln works there, [`EvalError::File`] when the folder
    /// cannot be made.
    pub(super) fn open(folder: &Path) -> Result<Self, EvalError> {
        // The program may run in another folder.
        let folder = std::path::absolute(folder).map_err(failed(folder, "find the full path"))?;
        let held = hold_folder(&folder).map_err(failed(&folder, "make the folder of a training"))?;
        let held = held.ok_or_else(|| EvalError::Held { path: folder.clone() })?;
        let process = folder.join(PROCESS);
        if let Ok(left) = read_document::<Running>(&process, DOCUMENT_MAX) {
            let Running { id, started } = left.content;
            if (Identity { id, started }).end() {
                tracing::warn!("{}: ended the program that an earlier run left there", folder.display());
            }
        }
        Ok(Self { folder, _held: held })
    }

    /// Whether an attempt that was interrupted left the program's own folder.
    pub(super) fn was_begun(&self) -> bool {
        self.checkpoint().is_dir()
    }

    /// Makes the program's own folder. A new one starts with the checkpoint of a shorter training if there is
    /// one. Returns the epochs that are known.
    ///
    /// # Errors
    /// [`EvalError`] when the folder cannot be made.
    pub(super) fn begin(&self, states: Option<&Kept>, epochs: u32) -> Result<Course, EvalError> {
        let place = self.checkpoint();
        if self.was_begun() {
            let known = read_document::<Epochs>(&self.path(COURSE), DOCUMENT_MAX);
            return Ok(known.map(|known| known.content.course).unwrap_or_default());
        }
        if let Some(course) = states.and_then(|states| states.restore(epochs, &place)) {
            self.save(&course)?;
            return Ok(course);
        }
        make_folder(&place)?;
        Ok(Course::default())
    }

    /// Removes what an interrupted attempt left of the training.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub(super) fn begin_again(&self) -> Result<(), EvalError> {
        let place = self.checkpoint();
        fs::remove_dir_all(&place).map_err(failed(&place, "remove"))?;
        self.forget(COURSE)
    }

    /// Writes a file for the program.
    ///
    /// # Errors
    /// [`EvalError::Files`].
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), EvalError> {
        Ok(write(&self.path(name), bytes)?)
    }

    /// Stores the epochs so far, so that a killed training need not repeat them.
    ///
    /// # Errors
    /// [`EvalError::Files`].
    pub(super) fn save(&self, course: &Course) -> Result<(), EvalError> {
        Ok(write_document(&self.path(COURSE), &Epochs { course: course.clone() })?)
    }

    /// Stores which program runs here. Without this, a killed Kiln leaves a program that nobody ends.
    pub(super) fn save_process(&self, Identity { id, started }: Identity) {
        if let Err(error) = write_document(&self.path(PROCESS), &Running { id, started }) {
            tracing::warn!("{error}");
        }
    }

    /// The path of a file in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The program's own folder.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.path(CHECKPOINT)
    }

    /// The file of trained weights.
    pub(super) fn weights(&self) -> PathBuf {
        self.path(WEIGHTS)
    }

    /// Removes files that an earlier attempt wrote, so that its result is not taken for a new one.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub(super) fn forget(&self, name: &str) -> Result<(), EvalError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(&path, "remove")(source)),
            _ => Ok(()),
        }
    }

    /// Removes the folder when its training is over.
    ///
    /// # Errors
    /// [`EvalError::File`].
    pub(super) fn clear(self) -> Result<(), EvalError> {
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.folder, "remove what a training left")(source))
            }
            _ => Ok(()),
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> EvalError {
    let path = path.to_owned();
    move |source| EvalError::File { path, action, source }
}
