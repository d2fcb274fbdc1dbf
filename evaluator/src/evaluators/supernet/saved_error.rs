//! Reasons why a study cannot use the supernet of another run.

use std::path::PathBuf;

use kiln_files::FileError;
use thiserror::Error;

/// The reason why a study cannot use the supernet of another run.
#[derive(Debug, Error)]
pub(super) enum SavedError {
    /// The folder does not contain the file.
    #[error("there is no `{}`: no supernet was trained there", path.display())]
    Missing {
        /// The expected path of the file.
        path: PathBuf,
    },
    /// The file cannot be read, or was changed after Kiln wrote it.
    #[error("{}", .0.said())]
    File(FileError),
    /// The supernet does not fit the study.
    #[error("{}: {unfit}", path.display())]
    Unfit {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        unfit: Unfit,
    },
}

/// The reason why a supernet does not fit a study.
#[derive(Debug, Error)]
pub(super) enum Unfit {
    /// The version of the file is unknown.
    #[error("version {found} is unknown to this program, which writes version {written}")]
    Version {
        /// Version of the file.
        found: u32,
        /// Version that this build writes.
        written: u32,
    },
    /// The data or the splits differ from the study's data or splits.
    #[error(
        "it was trained on other data, on other splits of them, or by a build that read them differently, so \
         it may know the examples that it would be judged on"
    )]
    Data,
    /// A shared parameter has another shape, or exists only in the file or only in the study's space.
    #[error(
        "it belongs to another space: `{parameter}` is {} there and {} in this one",
        shown(there.as_deref()),
        shown(here.as_deref())
    )]
    Space {
        /// Name of the parameter.
        parameter: String,
        /// Shape of the parameter in the file.
        there: Option<Vec<usize>>,
        /// Shape of the parameter in the study's space.
        here: Option<Vec<usize>>,
    },
}

fn shown(shape: Option<&[usize]>) -> String {
    shape.map_or_else(|| "missing".to_owned(), |shape| format!("{shape:?}"))
}
