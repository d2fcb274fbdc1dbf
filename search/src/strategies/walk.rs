//! The state of a walk from neighbor to neighbor, which compares trials by a single value.

use std::collections::BTreeMap;

use kiln_space::Genotype;

use super::unseen::Unseen;
use super::weighing::Weighing;
use crate::trials::{Origin, Trial, TrialId};

#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) unseen: Unseen,
    pub(super) weighing: Weighing,
    told: BTreeMap<Genotype, (TrialId, Vec<f64>)>,
    /// Reported genotypes that the walk has not used yet. Genotypes of failed trials are left out.
    pub(super) news: Vec<Genotype>,
}

impl Walk {
    /// Returns the objectives of a genotype as one number. The number is infinite if the genotype's trial
    /// failed or was not reported.
    pub(super) fn value(&self, genotype: &Genotype) -> f64 {
        self.told.get(genotype).map_or(f64::INFINITY, |(_, objectives)| self.weighing.value(objectives))
    }

    /// Returns the genotype with the lowest value of all trials reported to the strategy.
    pub(super) fn best(&self) -> Option<&Genotype> {
        self.told.keys().min_by(|a, b| self.value(a).total_cmp(&self.value(b)))
    }

    /// Returns the origin of a step from this genotype.
    pub(super) fn step_from(&self, genotype: Option<&Genotype>) -> Origin {
        let parent = genotype.and_then(|genotype| self.told.get(genotype)).map(|(id, _)| *id);
        Origin::of("mutation", parent.into_iter().collect())
    }

    pub(super) fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        if !trial.objectives.0.is_empty() {
            self.weighing.widen(trial);
            self.told.insert(genotype.clone(), (trial.id, trial.objectives.0.clone()));
            self.news.push(genotype);
        }
    }
}
