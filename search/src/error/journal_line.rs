//! The reasons why a journal line is damaged.

use thiserror::Error;

use crate::trials::TrialId;

/// The damage of a journal line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LineDamage {
    /// The line is longer than the maximum length.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// Maximum length of a line in bytes.
        limit: u64,
    },
    /// The line's check does not match the line and the lines before it.
    #[error(transparent)]
    Chain(#[from] ChainBreak),
    /// Lines of this version must have a check, but the line has none. Or lines of this version must not have
    /// a check, but the line has one.
    #[error("a line of version {version} {} a check", if *.is_checked { "with" } else { "without" })]
    Version {
        /// Version of the line.
        version: u32,
        /// Whether the line has a check.
        is_checked: bool,
    },
    /// The line is not a journal entry in JSON.
    #[error(transparent)]
    Json(serde_json::Error),
    /// The line contains an event that no study can write.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

/// The way in which a line breaks the chain of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChainBreak {
    /// The line, or a line before it, was changed.
    #[error("its check does not follow from it and the lines before")]
    Mismatch,
    /// The line has no check, but an earlier line has one.
    #[error("it has no check, and lines before it have one")]
    Missing,
}

/// The reason why no study can have written a line.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Implausible {
    /// The journal contains a trial twice, without a retry between the two lines.
    #[error("trial {0} is there already")]
    Twice(TrialId),
    /// The line implies more unfinished trials than a study can have at the same time.
    #[error("its trial is {trial}, and only {before} are finished before it")]
    Ahead {
        /// Id of the trial.
        trial: TrialId,
        /// Number of trials in the journal before this trial.
        before: usize,
    },
    /// The objective values of a trial do not follow from its metrics and costs.
    #[error(
        "the objectives {found:?} of trial {trial} do not follow from its metrics and costs{}",
        wanted(.expected.as_deref())
    )]
    Objectives {
        /// Id of the trial.
        trial: TrialId,
        /// Objective values in the line.
        found: Vec<f64>,
        /// Objective values computed from metrics and costs. `None` if the study's objectives are not known.
        expected: Option<Vec<f64>>,
    },
    /// The violation of a trial does not follow from its costs.
    #[error("trial {trial} exceeds the constraints by {found:?}{}", wanted(.expected.as_ref()))]
    Violation {
        /// Id of the trial.
        trial: TrialId,
        /// Violation in the line.
        found: f64,
        /// Violation computed from the costs. `None` if the study's constraints are not known.
        expected: Option<f64>,
    },
    /// The line contains the id of a trial that is not in the journal.
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
        /// Id of the trial.
        trial: TrialId,
        /// Name of the metric or cost.
        name: String,
        /// Value of the metric or cost.
        value: f64,
    },
    /// The path of a finished file leads outside the network's folder.
    #[error(
        "the finished file `{}` of trial {trial} is not inside the network's folder",
        name.escape_debug()
    )]
    Outside {
        /// Id of the trial.
        trial: TrialId,
        /// Name of the file.
        name: String,
    },
}

fn wanted(values: Option<&(impl std::fmt::Debug + ?Sized)>) -> String {
    values.map(|values| format!(", expected {values:?}")).unwrap_or_default()
}
