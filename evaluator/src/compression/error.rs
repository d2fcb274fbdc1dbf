//! Errors of compression.

use std::path::PathBuf;

use kiln_export::ExportError;
use kiln_files::FileError;
use kiln_search::EvalError;
use kiln_space::{SettingsError, SpaceError, UnknownName};
use thiserror::Error;

use crate::deploy::matching::Mismatch;

/// The reason why a network cannot be compressed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// A list of recipes, or one of its parts, is empty.
    #[error("`{list}`: a recipe is missing; expected recipes such as `ptq-int8,structured-0.5+qat-int8`")]
    NoRecipe {
        /// The list of recipes.
        list: String,
    },
    /// No recipe has this name.
    #[error("there is no such recipe: {0}")]
    UnknownRecipe(UnknownName),
    /// A recipe is named twice.
    #[error("recipe `{recipe}` is named twice")]
    Twice {
        /// The recipe.
        recipe: String,
    },
    /// A setting of a recipe is not written as `key=value`.
    #[error("recipe `{recipe}`: found `{found}`, expected `key=value`; settings are separated by `;`")]
    NotASetting {
        /// The recipe.
        recipe: String,
        /// The text in place of a setting.
        found: String,
    },
    /// A recipe refuses its value or its settings.
    #[error("recipe `{recipe}`: {problem}")]
    Settings {
        /// The recipe.
        recipe: String,
        /// The setting, and what was expected.
        problem: SettingsError,
    },
    /// A recipe does not fit the network, such as a second rounding of a rounded network.
    #[error("recipe `{recipe}` does not fit: {problem}")]
    Unfit {
        /// The recipe.
        recipe: String,
        /// The reason.
        problem: String,
    },
    /// A target cannot be met.
    #[error("recipe `{recipe}`: {target} cannot be met; the best reached is {reached}")]
    Unreachable {
        /// The recipe.
        recipe: String,
        /// What was asked for.
        target: String,
        /// The best that was reached.
        reached: String,
    },
    /// The teacher has other classes or predicted values than the network.
    #[error("{teacher} cannot teach this network: {mismatch}")]
    Teacher {
        /// The teacher.
        teacher: String,
        /// The difference.
        mismatch: Mismatch,
    },
    /// The teacher normalizes its inputs in another way, so it would see other images than the network.
    #[error("{teacher} cannot teach this network: it was trained on inputs with another mean or deviation")]
    TeacherInputs {
        /// The teacher.
        teacher: String,
    },
    /// The study has no shared weights, so there is no largest subnet.
    #[error(
        "the study has no supernet that could teach; name a model file with `teacher=`, such as \
         `distill:teacher=runs/large/models/7/model.kiln`"
    )]
    NoSupernet,
    /// The file is no network that can teach.
    #[error(
        "{}: a teacher is a model file (`.kiln`) or an ONNX file of Kiln's operations (`.onnx`); files of \
         this kind cannot be read",
        path.display()
    )]
    TeacherFile {
        /// Path of the file.
        path: PathBuf,
    },
    /// The data differ from the data that the network was trained on.
    #[error("the data do not fit the network")]
    Data(#[from] Mismatch),
    /// The mean or deviation of the data differ from those of the network's training data.
    #[error("the network was trained on other data: the mean or deviation of inputs differs")]
    OtherData,
    /// The network gives values that are not finite.
    #[error("the network gives values that are not finite on the {split} split")]
    NotFinite {
        /// Name of the split.
        split: &'static str,
    },
    /// The architecture cannot be changed as a recipe asks.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The network cannot be rounded or written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Files(#[from] FileError),
    /// A training failed, or the user stopped it.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl CompressionError {
    /// Whether the user can fix the error in the request or the files. Other errors occur during the work.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        !matches!(self, Self::Eval(_) | Self::Files(_))
    }
}
