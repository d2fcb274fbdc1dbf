//! Reasons why a checkpoint cannot be used.

use std::string::FromUtf8Error;

use burn::store::RecordError;
use kiln_files::FileError;
use thiserror::Error;

/// The reason why a checkpoint cannot be used. A training skips damaged files. It stops if a file is intact
/// but the file's content does not fit.
#[derive(Debug, Error)]
pub(crate) enum CheckpointError {
    /// The file cannot be read.
    #[error("{}", .0.said())]
    File(FileError),
    /// The file ends before its header does.
    #[error("too short for a checkpoint")]
    TooShort,
    /// The content was changed after Kiln wrote it.
    #[error("the content does not match its hash")]
    Changed,
    /// The file does not start with the magic bytes of this version.
    #[error("not a checkpoint of this version")]
    OtherVersion,
    /// The file has the identity of another training.
    #[error("belongs to another training (settings, data, seed or build differ)")]
    OtherTraining,
    /// The state has more steps than the training may use.
    #[error("of step {step}, beyond the {steps} steps that are asked for")]
    Beyond {
        /// Step of the state.
        step: u64,
        /// Steps of the training.
        steps: u64,
    },
    /// The file ends within a part.
    #[error("a part is cut off")]
    CutOff,
    /// The name of a part is not text.
    #[error(transparent)]
    Name(#[from] FromUtf8Error),
    /// The checkpoint lacks a part.
    #[error("the checkpoint has no part `{name}`")]
    MissingPart {
        /// Name of the part.
        name: &'static str,
    },
    /// The epoch's loss does not have 8 bytes.
    #[error("the loss is not a number")]
    Loss,
    /// burn cannot read the weights or its optimizer's state.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The state of early stopping cannot be read.
    #[error(transparent)]
    Patience(#[from] serde_json::Error),
    /// The CPU optimizer's state is truncated or too long.
    #[error("the optimizer's memory is cut off or too long")]
    MemoryLength,
    /// The optimizer state has another number of tensors for each parameter than this optimizer needs.
    #[error("the optimizer's memory is that of another optimizer")]
    OtherOptimizer,
    /// A pruning mask has another size than its weight.
    #[error("the zeros of `{name}` have another size")]
    MaskSize {
        /// Name of the weight.
        name: String,
    },
}
