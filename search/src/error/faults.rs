//! What is wrong with a proposal, a store, or a trial that is to be finished.

use kiln_space::SpaceError;
use thiserror::Error;

use crate::trials::TrialId;

/// Which law a proposal breaks.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ProposalFault {
    /// It is not a genotype of the space.
    #[error("not in the space: {0}")]
    Stranger(SpaceError),
    /// Another genotype stands for the same network.
    #[error("not canonical")]
    NotCanonical,
    /// It breaks a constraint.
    #[error("infeasible: it exceeds the constraints by {violation} of their limits")]
    Infeasible {
        /// Sum of the relative excesses.
        violation: f64,
    },
}

/// Why a trial cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfinishable {
    /// The study has no such trial.
    #[error("the study has {trials} trials, and it is none of them")]
    Unknown {
        /// Trials of the study.
        trials: usize,
    },
    /// The trial failed.
    #[error("it failed in the search ({reason})")]
    Failed {
        /// The trial's own reason.
        reason: String,
    },
}

/// What is wrong with a store.
#[derive(Debug, Error)]
pub enum StoreDamage {
    /// It cannot be read.
    #[error("the store could not be read ({})", chain(.0.as_ref()))]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// It says something else than a line of the journal whose check holds.
    #[error("the store is damaged: it {0}")]
    Contradicts(Contradiction),
}

/// Where the store says something else than a line of the journal whose check holds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("says `{store}` of trial {trial}, and the journal, whose check holds, says `{journal}`")]
pub struct Contradiction {
    /// The trial.
    pub trial: TrialId,
    /// What the journal says, as JSON.
    pub journal: String,
    /// What the store says, as JSON.
    pub store: String,
}

/// An error with what led to it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
