//! The reasons why a journal line is damaged.

use thiserror::Error;

use crate::trials::TrialId;

/// What is wrong with a journal line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LineDamage {
    /// The line is longer than the maximum length.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// Maximum length of a line in bytes.
        limit: u64,
    },
    /// The line's check does not follow from the lines before it.
    #[error(transparent)]
    Chain(#[from] ChainBreak),
    /// Lines of this version must have a check and the line has none, or they must have none and the line has
    /// one.
    #[error("a line of version {version} {} a check", if *.is_checked { "with" } else { "without" })]
    Version {
        /// Version of the line.
        version: u32,
        /// Whether it has a check.
        is_checked: bool,
    },
    /// The line is not the JSON of an entry.
    #[error(transparent)]
    Json(serde_json::Error),
    /// No study writes it.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

/// How a line breaks the chain of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChainBreak {
    /// The line, or a line before it, was changed.
    #[error("its check does not follow from it and the lines before")]
    Mismatch,
    /// It lost its check.
    #[error("it has no check, and lines before it have one")]
    Missing,
}

/// The reasons why no study can have written a line.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Implausible {
    /// The journal contains a trial twice, without a retry in between.
    #[error("trial {0} is there already")]
    Twice(TrialId),
    /// The line implies more unfinished trials than a study can have at one time.
    #[error("its trial is {trial}, and only {before} are finished before it")]
    Ahead {
        /// The trial.
        trial: TrialId,
        /// Number of trials that finished before this trial.
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
        /// Values computed from metrics and costs, if the objectives are known.
        expected: Option<Vec<f64>>,
    },
    /// The violation does not follow from the costs.
    #[error("trial {trial} exceeds the constraints by {found:?}{}", wanted(.expected.as_ref()))]
    Violation {
        /// The trial.
        trial: TrialId,
        /// Value of the line.
        found: f64,
        /// Value computed from the costs, if the constraints are known.
        expected: Option<f64>,
    },
    /// The line names a trial that is not in the journal.
    #[error("it speaks of trial {0}, which is not finished")]
    Unknown(TrialId),
    /// The trials of a front are not in ascending order.
    #[error("its front is {0:?}, expected ascending trials")]
    Order(Vec<TrialId>),
    /// The line counts more trials than the journal contains.
    #[error("it tells of {told} trials, and {finished} are finished")]
    Told {
        /// Number of trials that the line states.
        told: u64,
        /// Number of trials in the journal.
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
    /// The path of a finished file leads outside the network's folder.
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
