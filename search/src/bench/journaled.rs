//! Uses a study that has evaluated its whole space as a problem: other strategies run on the study's results.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::{Genotype, SearchSpace};

use super::error::BenchError;
use super::hardware::goal;
use super::problem::{Answer, Goal, Oracle, Problem};
use crate::domain::{Constraint, CostSet};
use crate::trials::{Fidelity, Trial};

/// A study whose trials are used as the answers of a problem.
pub struct Journaled<'a> {
    /// Its name.
    pub name: String,
    /// Its space.
    pub space: Arc<dyn SearchSpace>,
    /// The costs of its devices.
    pub costs: CostSet,
    /// Its constraints.
    pub constraints: Vec<Constraint>,
    /// Names of its objectives.
    pub objectives: Vec<String>,
    /// Its trials.
    pub trials: &'a [Trial],
    /// Number of evaluations of a run.
    pub budget: f64,
}

/// The objectives of every genotype that was evaluated with full effort. They are empty for genotypes that
/// failed.
struct Objectives(BTreeMap<Genotype, Vec<f64>>);

impl Journaled<'_> {
    /// Builds the problem. With one objective, the goal is the lowest value. With several objectives, the
    /// goal is the largest hypervolume within their limits.
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
