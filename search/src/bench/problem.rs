//! The problems that strategies are compared on.

use std::sync::Arc;

use kiln_space::{Genotype, SearchSpace};

use super::error::BenchError;
use crate::domain::{Constraint, CostSet, Descriptions};
use crate::trials::Fidelity;

/// The answer of a problem for an architecture.
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

/// Knows every answer.
pub trait Oracle: Send + Sync {
    /// Returns the answer for a genotype; `None` if the problem does not have this fidelity.
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
    /// Names of the objectives. As in a study, strategies know an objective before the evaluation if its name
    /// is that of a cost (`parameters`, `macs`).
    pub objectives: Vec<String>,
    /// Further costs that strategies know, such as the costs on a study's devices.
    pub costs: CostSet,
    /// Constraints that every proposal meets.
    pub constraints: Vec<Constraint>,
    /// Names of the answers for [`Fidelity::Proxy`], in order. Empty if the problem has no proxies.
    pub proxies: Vec<String>,
    /// The answers.
    pub oracle: Box<dyn Oracle>,
    /// The budget. A run ends before an evaluation that exceeds the rest of the budget.
    pub budget: f64,
    /// Unit of the budget: `s`, `evaluations`.
    pub unit: &'static str,
    /// The goal of a search.
    pub goal: Goal,
    /// Descriptions of the architectures. All runs share them, so each is computed once.
    pub descriptions: Arc<Descriptions>,
}
