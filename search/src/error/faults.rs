//! The faults of a proposal, of a store, or of a trial that is to be finished.

use kiln_space::SpaceError;
use thiserror::Error;

use crate::trials::TrialId;

/// The rule that a proposal breaks.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ProposalFault {
    /// The proposal is not a genotype of the space.
    #[error("not in the space: {0}")]
    Stranger(SpaceError),
    /// Another genotype is the canonical form of the same network.
    #[error("not canonical")]
    NotCanonical,
    /// The proposal exceeds a constraint.
    #[error("infeasible: it exceeds the constraints by {violation} of their limits")]
    Infeasible {
        /// Sum of the relative amounts by which costs exceed the constraints.
        violation: f64,
    },
}

/// The reason why a trial cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfinishable {
    /// The study has no such trial.
    #[error("the study has {trials} trials, and it is none of them")]
    Unknown {
        /// Number of trials in the study.
        trials: usize,
    },
    /// The trial failed.
    #[error("it failed in the search ({reason})")]
    Failed {
        /// The reason of the failure.
        reason: String,
    },
}

/// The damage of a store.
#[derive(Debug, Error)]
pub enum StoreDamage {
    /// The store cannot be read.
    #[error("the store could not be read ({})", chain(.0.as_ref()))]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    /// The store contradicts a journal line that has a valid check.
    #[error("the store is damaged: it {0}")]
    Contradicts(Contradiction),
}

/// A difference between the store and a journal line that has a valid check.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("says `{store}` of trial {trial}, and the journal, whose check holds, says `{journal}`")]
pub struct Contradiction {
    /// Id of the trial.
    pub trial: TrialId,
    /// Outcome in the journal, as JSON.
    pub journal: String,
    /// Outcome in the store, as JSON.
    pub store: String,
}

/// Returns an error's message and the messages of its sources, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
