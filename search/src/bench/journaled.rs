//! Creates a problem from a study that has evaluated its whole space. Strategies then run on the study's
//! results.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::{Genotype, SearchSpace};

use super::error::BenchError;
use super::hardware::goal;
use super::problem::{Answer, Goal, Oracle, Problem};
use crate::domain::{Constraint, CostSet};
use crate::trials::{Fidelity, Trial};

/// A study whose trials provide the results of a problem.
pub struct Journaled<'a> {
    /// Name of the study.
    pub name: String,
    /// Search space of the study.
    pub space: Arc<dyn SearchSpace>,
    /// Cost models of the study's devices.
    pub costs: CostSet,
    /// Constraints of the study.
    pub constraints: Vec<Constraint>,
    /// Names of the study's objectives.
    pub objectives: Vec<String>,
    /// Trials of the study.
    pub trials: &'a [Trial],
    /// Number of evaluations of a run.
    pub budget: f64,
}

/// The objective values of every genotype that was evaluated with full fidelity. Genotypes whose evaluation
/// failed have no values.
struct Objectives(BTreeMap<Genotype, Vec<f64>>);

impl Journaled<'_> {
    /// Builds the problem. For one objective, the goal is the lowest value. For several objectives, the goal
    /// is the largest hypervolume within the objectives' limits.
    ///
    /// # Errors
    /// [`BenchError::NoTrials`] if the study has no measured trial.
    pub fn problem(self) -> Result<Problem, BenchError> {
        let full = self.trials.iter().filter(|trial| trial.proposal.fidelity == Fidelity::Full);
        let all: BTreeMap<Genotype, Vec<f64>> = full
            .filter(|trial| trial.violation <= 0.0)
            .map(|trial| (trial.proposal.genotype.clone(), trial.objectives.0.clone()))
            .collect();
        let goal = if self.objectives.len() == 1 {
            let lowest = all.values().flatten().copied().min_by(f64::total_cmp);
            lowest.map(|optimum| Goal::Lowest { optimum })
        } else {
            goal(all.values(), |objective| {
                let limits = self.constraints.iter().filter(|limit| limit.cost == self.objectives[objective]);
                limits.map(|limit| limit.max).min_by(f64::total_cmp)
            })
        };
        let goal = goal.ok_or_else(|| BenchError::NoTrials { study: self.name.clone() })?;
        Ok(Problem {
            name: format!("study {}, {} architectures", self.name, all.len()),
            space: self.space,
            objectives: self.objectives,
            costs: self.costs,
            constraints: self.constraints,
            oracle: Box::new(Objectives(all)),
            budget: self.budget,
            unit: "evaluations",
            goal,
            proxies: Vec::new(),
            descriptions: Arc::default(),
        })
    }
}

impl Oracle for Objectives {
    fn answer(&self, genotype: &Genotype, fidelity: Fidelity) -> Result<Option<Answer>, BenchError> {
        if fidelity != Fidelity::Full {
            return Ok(None);
        }
        let missing = || BenchError::MissingTrial { genotype: genotype.to_string() };
        let objectives = self.0.get(genotype).ok_or_else(missing)?.clone();
        Ok(Some(Answer { objectives, report: None, cost: 1.0 }))
    }
}
