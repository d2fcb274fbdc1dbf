//! Why a study cannot use the supernet of another run.

use std::path::PathBuf;

use kiln_files::FileError;
use thiserror::Error;

/// Why a study cannot use the supernet of another run.
#[derive(Debug, Error)]
pub(super) enum SavedError {
    /// The folder has no such file.
    #[error("there is no `{}`: no supernet was trained there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read, or was changed.
    #[error("{}", .0.said())]
    File(FileError),
    /// The supernet does not fit the study.
    #[error("{}: {unfit}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why it does not fit.
        unfit: Unfit,
    },
}

/// Why a supernet does not fit a study.
#[derive(Debug, Error)]
pub(super) enum Unfit {
    /// The version of the file is unknown.
    #[error("version {found} is unknown to this program, which writes version {written}")]
    Version {
        /// Version of the file.
        found: u32,
        /// Version that this program writes.
        written: u32,
    },
    /// Data or splits differ.
    #[error(
        "it was trained on other data, on other splits of them, or by a build that read them differently, so \
         it may know the examples that it would be judged on"
    )]
    Data,
    /// A shared parameter differs.
    #[error(
        "it belongs to another space: `{parameter}` is {} there and {} in this one",
        shown(there.as_deref()),
        shown(here.as_deref())
    )]
    Space {
        /// Name of the parameter.
        parameter: String,
        /// Its shape in the file.
        there: Option<Vec<usize>>,
        /// Its shape in the study's space.
        here: Option<Vec<usize>>,
    },
}

fn shown(shape: Option<&[usize]>) -> String {
    shape.map_or_else(|| "missing".to_owned(), |shape| format!("{shape:?}"))
}
