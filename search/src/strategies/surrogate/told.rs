//! The data about trials and genotypes that the models use.

use std::sync::Arc;

use kiln_space::Genotype;

use crate::domain::Domain;
use crate::learning::Embedder;
use crate::trials::TrialId;

/// The features of a genotype that are known before it is evaluated.
#[derive(Clone, Debug)]
pub(in crate::strategies) struct Features {
    pub(in crate::strategies) vector: Arc<[f64]>,
    /// The value of each objective that is a cost.
    pub(in crate::strategies) known: Arc<[Option<f64>]>,
}

/// The data that models keep about a trial reported to the strategy.
pub(in crate::strategies) struct Told {
    pub(in crate::strategies) id: TrialId,
    pub(in crate::strategies) genotype: Genotype,
    /// The features of the genotype. `None` until they are needed.
    pub(in crate::strategies) features: Option<Features>,
    pub(in crate::strategies) objectives: Vec<f64>,
    pub(in crate::strategies) violation: f64,
}

impl Features {
    pub(in crate::strategies) fn of(genotype: &Genotype, embedder: &Embedder, domain: &Domain<'_>) -> Self {
        let costs = embedder.with_costs().then(|| domain.costs(genotype).ok()).flatten();
        let cost = |objective: &String| costs.as_ref().and_then(|costs| costs.0.get(objective).copied());
        Self {
            vector: embedder.embed(domain, genotype).into(),
            known: domain.objectives().iter().map(cost).collect(),
        }
    }
}

impl Told {
    pub(in crate::strategies) fn vector(&self) -> &Arc<[f64]> {
        &self.features.as_ref().expect("every trial was looked at before it is learned from").vector
    }

    pub(super) fn is_feasible(&self) -> bool {
        !self.objectives.is_empty() && self.violation <= 0.0
    }
}
