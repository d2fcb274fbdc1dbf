//! Errors of pruning.

use std::collections::BTreeMap;

use kiln_space::{SpaceError, Sparsity};
use thiserror::Error;

use super::structured::Plan;
use crate::ExportError;

/// The pruning that came closest to a budget.
#[derive(Clone, Debug, PartialEq)]
pub enum Best {
    /// The channels that were removed.
    Channels(Plan),
    /// The sparsity of each layer, by name.
    Zeros(BTreeMap<String, Sparsity>),
}

/// An error of pruning.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PruningError {
    /// A share is not between 0 and 1.
    #[error("the share to remove is {found}, expected at least 0 and less than 1 (100 %)")]
    Share {
        /// The share.
        found: f64,
    },
    /// The budget cannot be met.
    #[error("the budget is {target}, but the smallest network that the rules allow costs {reached}")]
    Budget {
        /// The budget.
        target: f64,
        /// The lowest cost that was reached.
        reached: f64,
        /// What was pruned at that cost.
        best: Box<Best>,
    },
    /// A cost or a budget is not a number.
    #[error("the {what} of the network is {found}, expected a finite number")]
    Number {
        /// What the number is: `cost`, `budget` or `loss`.
        what: &'static str,
        /// The number.
        found: f64,
    },
    /// The number of scores does not match the network.
    #[error("there are {found} scores for {what}, expected {expected}")]
    Scores {
        /// What the scores belong to.
        what: String,
        /// Number of scores.
        found: usize,
        /// Expected number.
        expected: usize,
    },
    /// A score is not a number.
    #[error("score {index} of {what} is {found}, expected a finite number")]
    Score {
        /// What the scores belong to.
        what: String,
        /// Index of the score.
        index: usize,
        /// The score.
        found: f64,
    },
    /// Channels cannot be kept in multiples of zero.
    #[error("channels are kept in multiples of 0, expected at least 1")]
    Multiple,
    /// Scores were given for a layer without a weight.
    #[error("layer `{name}` has no weight to prune, expected a convolution or a fully connected layer")]
    Layer {
        /// Name of the layer.
        name: String,
    },
    /// An array of gradients is missing or has another size than its weight.
    #[error("the gradients of `{name}` hold {found} values, expected {expected} as in the weight")]
    Gradients {
        /// Name of the array.
        name: String,
        /// Number of values; 0 if there is no such array.
        found: usize,
        /// Number of values of the weight.
        expected: usize,
    },
    /// Channels cannot be removed from the architecture.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The network is invalid.
    #[error(transparent)]
    Model(#[from] ExportError),
}

/// Checks the number of scores, and that they are finite.
pub(super) fn check_scores(what: &str, scores: &[f64], expected: usize) -> Result<(), PruningError> {
    if scores.len() != expected {
        return Err(PruningError::Scores { what: what.to_owned(), found: scores.len(), expected });
    }
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(index) => Err(PruningError::Score { what: what.to_owned(), index, found: scores[index] }),
    }
}
