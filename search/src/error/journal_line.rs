//! Why a line of a journal is not what was written.

use thiserror::Error;

use crate::trials::TrialId;

/// What is wrong with a line of a journal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LineDamage {
    /// It has no end within the longest line that is read.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// Bytes of the longest line.
        limit: u64,
    },
    /// It does not follow from the lines before.
    #[error(transparent)]
    Chain(#[from] ChainBreak),
    /// Lines of its version have a check and it has none, or the other way round.
    #[error("a line of version {version} {} a check", if *.is_checked { "with" } else { "without" })]
    Version {
        /// Version of the line.
        version: u32,
        /// Whether it has a check.
        is_checked: bool,
    },
    /// It is not the JSON of an entry.
    #[error(transparent)]
    Json(serde_json::Error),
    /// No study writes it.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

/// How a line breaks the chain of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChainBreak {
    /// The line, or a line before it, is not what was written.
    #[error("its check does not follow from it and the lines before")]
    Mismatch,
    /// It lost its check.
    #[error("it has no check, and lines before it have one")]
    Missing,
}

/// Why no study can have written a line.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Implausible {
    /// A trial stands in the journal twice without a retry between.
    #[error("trial {0} is there already")]
    Twice(TrialId),
    /// More trials would have to be out at one time than a study allows.
    #[error("its trial is {trial}, and only {before} are finished before it")]
    Ahead {
        /// The trial.
        trial: TrialId,
        /// Trials finished before it.
        before: usize,
    },
    /// Objectives do not follow from metrics and costs.
    #[error(
        "the objectives {found:?} of trial {trial} do not follow from its metrics and costs{}",
        wanted(.expected.as_deref())
    )]
    Objectives {
        /// The trial.
        trial: TrialId,
        /// Values of the line.
        found: Vec<f64>,
        /// Values that follow, where the objectives are known.
        expected: Option<Vec<f64>>,
    },
    /// The violation does not follow from the costs.
    #[error("trial {trial} exceeds the constraints by {found:?}{}", wanted(.expected.as_ref()))]
    Violation {
        /// The trial.
        trial: TrialId,
        /// Value of the line.
        found: f64,
        /// Value that follows, where the constraints are known.
        expected: Option<f64>,
    },
    /// It names a trial that the journal does not have.
    #[error("it speaks of trial {0}, which is not finished")]
    Unknown(TrialId),
    /// A front is not ascending.
    #[error("its front is {0:?}, expected ascending trials")]
    Order(Vec<TrialId>),
    /// More trials were told than are finished.
    #[error("it tells of {told} trials, and {finished} are finished")]
    Told {
        /// Trials of the line.
        told: u64,
        /// Trials of the journal.
        finished: usize,
    },
    /// A number is NaN or infinite.
    #[error("`{name}` of trial {trial} is {value:?}, expected a finite number")]
    NotFinite {
        /// The trial.
        trial: TrialId,
        /// Name of the metric or cost.
        name: String,
        /// Its value.
        value: f64,
    },
    /// A finished file would lie outside of its network's folder.
    #[error(
        "the finished file `{}` of trial {trial} is not inside the network's folder",
        name.escape_debug()
    )]
    Outside {
        /// The trial.
        trial: TrialId,
        /// Name of the file.
        name: String,
    },
}

fn wanted(values: Option<&(impl std::fmt::Debug + ?Sized)>) -> String {
    values.map(|values| format!(", expected {values:?}")).unwrap_or_default()
}
