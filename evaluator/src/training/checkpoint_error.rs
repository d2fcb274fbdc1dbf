//! Why a checkpoint cannot be used.

use std::string::FromUtf8Error;

use burn::store::RecordError;
use kiln_files::FileError;
use thiserror::Error;

/// Why a checkpoint cannot be used. A training passes over such a file, or stops if it is intact.
#[derive(Debug, Error)]
pub(crate) enum CheckpointError {
    /// The file cannot be read.
    #[error("{}", .0.said())]
    File(FileError),
    /// The file ends before its header does.
    #[error("too short for a checkpoint")]
    TooShort,
    /// The content was changed after it was written.
    #[error("the content does not match its hash")]
    Changed,
    /// The file begins differently.
    #[error("not a checkpoint of this version")]
    OtherVersion,
    /// The file has another identity.
    #[error("belongs to another training (settings, data, seed or build differ)")]
    OtherTraining,
    /// The state is later than the training may use.
    #[error("of step {step}, beyond the {steps} steps that are asked for")]
    Beyond {
        /// Step of the state.
        step: u64,
        /// Steps of the training.
        steps: u64,
    },
    /// The file ends inside of a part.
    #[error("a part is cut off")]
    CutOff,
    /// The name of a part is not text.
    #[error(transparent)]
    Name(#[from] FromUtf8Error),
    /// A part does not exist.
    #[error("the checkpoint has no part `{name}`")]
    MissingPart {
        /// Name of the part.
        name: &'static str,
    },
    /// The epoch's loss does not have 8 bytes.
    #[error("the loss is not a number")]
    Loss,
    /// burn cannot read weights or the memory of its optimizer.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The state of patience cannot be read.
    #[error(transparent)]
    Patience(#[from] serde_json::Error),
    /// The memory of the optimizer on the CPU has another length than it states.
    #[error("the optimizer's memory is cut off or too long")]
    MemoryLength,
    /// The memory holds another number of tensors for each parameter.
    #[error("the optimizer's memory is that of another optimizer")]
    OtherOptimizer,
    /// A mask of zeros does not fit its weight.
    #[error("the zeros of `{name}` have another size")]
    MaskSize {
        /// Name of the weight.
        name: String,
    },
}
