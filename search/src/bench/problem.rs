//! The problems on which strategies are compared.

use std::sync::Arc;

use kiln_space::{Genotype, SearchSpace};

use super::error::BenchError;
use crate::domain::{Constraint, CostSet, Descriptions};
use crate::trials::Fidelity;

/// The known result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Values of the objectives or proxies, minimized. Empty for an architecture that fails.
    pub objectives: Vec<f64>,
    /// A value that is reported for the best architecture but never shown to the strategy, such as test
    /// accuracy in percent.
    pub report: Option<f64>,
    /// Cost of the evaluation in the unit of the budget.
    pub cost: f64,
}

/// Returns the known result of every evaluation.
pub trait Oracle: Send + Sync {
    /// Returns the result for a genotype. Returns `None` if the problem does not support this fidelity.
    ///
    /// # Errors
    /// [`BenchError::MissingAnswer`] if a table lacks the genotype.
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError>;
}

/// The goal of a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// The lowest value of a single objective. Regret is in the unit of the objective.
    Lowest {
        /// The lowest value in the space.
        optimum: f64,
    },
    /// The largest hypervolume. Regret is the missing share of this hypervolume.
    Hypervolume {
        /// The reference point.
        reference: Vec<f64>,
        /// The hypervolume of the true Pareto front.
        optimum: f64,
    },
}

/// A space with known answers, and the protocol for searching it.
pub struct Problem {
    /// Name to display: table, signal and protocol.
    pub name: String,
    /// The search space.
    pub space: Arc<dyn SearchSpace>,
    /// Names of the objectives. If an objective has the name of a cost (`parameters`, `macs`), strategies
    /// know its value before the evaluation, as in a study.
    pub objectives: Vec<String>,
    /// Further costs that strategies know, such as the costs on a study's devices.
    pub costs: CostSet,
    /// Constraints that every proposal meets.
    pub constraints: Vec<Constraint>,
    /// Names of the scores that [`Fidelity::Proxy`] returns, in order. Empty if the problem has no proxies.
    pub proxies: Vec<String>,
    /// Returns the known results.
    pub oracle: Box<dyn Oracle>,
    /// The budget. A run ends when the next evaluation would cost more than the rest of the budget.
    pub budget: f64,
    /// Unit of the budget: `s` or `evaluations`.
    pub unit: &'static str,
    /// The goal of a search.
    pub goal: Goal,
    /// Descriptions of the architectures. All runs share them, so each description is computed once.
    pub descriptions: Arc<Descriptions>,
}
