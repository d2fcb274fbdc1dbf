//! The Pareto front of a study. It is computed from the feasible trials at the highest fidelity, and contains
//! each architecture once.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::Genotype;
use serde::{Deserialize, Serialize};

use crate::comparison::pareto;
use crate::trials::{Costs, Fidelity, Objectives, Trial, TrialId};

/// An architecture on the Pareto front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontEntry {
    /// The trial that evaluated the architecture.
    pub trial: TrialId,
    /// The genotype of the architecture.
    pub genotype: Genotype,
    /// The fidelity of the trial. All entries of a front have the same fidelity.
    #[serde(default = "full")]
    pub fidelity: Fidelity,
    /// Values of the objectives.
    pub objectives: Objectives,
    /// Predicted costs.
    pub costs: Costs,
    /// Measured metrics.
    pub metrics: BTreeMap<String, f64>,
}

/// Default for entries without a fidelity, which older builds wrote. Fronts of older builds contain only
/// trials with full fidelity.
const fn full() -> Fidelity {
    Fidelity::Full
}

/// Returns the Pareto front of these trials, by ascending id. Only feasible trials that were measured at the
/// highest fidelity are considered. If several trials have the same genotype, only the first of these trials
/// is considered.
#[must_use]
pub fn study_front(trials: &[Trial]) -> Vec<FrontEntry> {
    let measured = |trial: &&Trial| trial.outcome.measurement().is_some() && trial.violation <= 0.0;
    let highest = trials.iter().filter(measured).map(|trial| trial.proposal.fidelity).max();
    let mut seen = BTreeSet::new();
    let mut eligible: Vec<&Trial> = trials.iter().filter(measured).collect();
    eligible.sort_by_key(|trial| trial.id);
    eligible
        .retain(|trial| Some(trial.proposal.fidelity) == highest && seen.insert(&trial.proposal.genotype));
    let front: BTreeSet<TrialId> = pareto::front(&eligible).into_iter().collect();
    let entry = |trial: &Trial| FrontEntry {
        trial: trial.id,
        genotype: trial.proposal.genotype.clone(),
        fidelity: trial.proposal.fidelity,
        objectives: trial.objectives.clone(),
        costs: trial.costs.clone(),
        metrics: trial
            .outcome
            .measurement()
            .map(|measured| measured.metrics().clone().into())
            .unwrap_or_default(),
    };
    eligible.into_iter().filter(|trial| front.contains(&trial.id)).map(entry).collect()
}

/// Returns the `count` entries to finish: the entries with the lowest values of the first objective. The
/// other objectives, in their order, break ties. Entries that are best in another objective are rarely worth
/// a training. A user who wants them can finish more networks.
pub(super) fn chosen(front: &[FrontEntry], count: usize) -> Vec<&FrontEntry> {
    let mut entries: Vec<&FrontEntry> = front.iter().collect();
    entries.sort_by(|a, b| {
        let values = a.objectives.0.iter().zip(&b.objectives.0);
        let by_value = values.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
        by_value.unwrap_or(std::cmp::Ordering::Equal).then(a.trial.cmp(&b.trial))
    });
    entries.truncate(count);
    entries
}
