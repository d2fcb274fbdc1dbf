//! What strategies are compared on.

use std::sync::Arc;

use kiln_space::{Genotype, SearchSpace};

use super::error::BenchError;
use crate::domain::{Constraint, CostSet, Descriptions};
use crate::trials::Fidelity;

/// What a problem says about an architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Values of the objectives, or of the proxies, minimized; empty for an architecture that fails.
    pub objectives: Vec<f64>,
    /// What is reported of the best architecture but never shown to the strategy, such as the test error in percent.
    pub report: Option<f64>,
    /// What the evaluation takes from the budget, in its unit.
    pub cost: f64,
}

/// Knows every answer.
pub trait Oracle: Send + Sync {
    /// The answer for a genotype; `None` where the problem has no such fidelity.
    ///
    /// # Errors
    /// [`BenchError::MissingAnswer`] where a table has a gap.
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError>;
}

/// What is to be found.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// The lowest value of the one objective. Regret is in the objective's own unit.
    Lowest {
        /// The lowest value there is.
        optimum: f64,
    },
    /// The largest hypervolume. Regret is the share of the largest one that is missing.
    Hypervolume {
        /// The reference point.
        reference: Vec<f64>,
        /// The hypervolume of the true Pareto front.
        optimum: f64,
    },
}

/// A space with known answers, and the protocol under which it is searched.
pub struct Problem {
    /// What it is, for people: the table, the signal, the protocol.
    pub name: String,
    /// Where to search.
    pub space: Arc<dyn SearchSpace>,
    /// Names of the objectives. Those named like a cost (`parameters`, `macs`) are known to strategies before an evaluation,
    /// as they are in a study.
    pub objectives: Vec<String>,
    /// Costs that strategies know besides, those of a study's devices.
    pub costs: CostSet,
    /// What every proposal meets.
    pub constraints: Vec<Constraint>,
    /// Names of what [`Fidelity::Proxy`] answers, in order; no such answers without one.
    pub proxies: Vec<String>,
    /// What is known.
    pub oracle: Box<dyn Oracle>,
    /// Evaluations end before one that does not fit into what is left of it.
    pub budget: f64,
    /// Unit of the budget: `s`, `evaluations`.
    pub unit: &'static str,
    /// What is to be found.
    pub goal: Goal,
    /// What the architectures look like, for all runs together: each is looked at once.
    pub descriptions: Arc<Descriptions>,
}
