//! What is expected of a candidate: for each objective its cost, where it is one, and what a model says otherwise; and which
//! candidate is the most promising by that.

mod acquisition;
mod candidates;
mod failures;
mod model;
mod objective;
mod places;
mod points;
mod scale;
mod volume;

use std::sync::Arc;

use kiln_space::Genotype;
use serde::Deserialize;

pub(super) use self::acquisition::{Acquisition, Rule};
pub(super) use self::candidates::{Candidates, Parents};
pub(super) use self::model::{Change, Model};
use crate::{Domain, TrialId, embedding::Embedder};

/// What learns from the trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Surrogate {
    /// [`kiln_regression::GaussianProcess`].
    #[default]
    GaussianProcess,
    /// [`kiln_regression::Forest`].
    Ensemble,
}

/// What a model knows of a genotype before it is judged.
#[derive(Clone, Debug)]
pub(super) struct Features {
    pub(super) vector: Arc<[f64]>,
    /// Cost of each objective that is a cost.
    pub(super) known: Arc<[Option<f64>]>,
}

/// What is kept of a trial.
pub(super) struct Told {
    pub(super) id: TrialId,
    pub(super) genotype: Genotype,
    /// Absent until it is needed.
    pub(super) features: Option<Features>,
    pub(super) objectives: Vec<f64>,
    pub(super) violation: f64,
}

impl Features {
    pub(super) fn of(genotype: &Genotype, embedder: &Embedder, domain: &Domain<'_>) -> Self {
        let costs = embedder.with_costs().then(|| domain.costs(genotype).ok()).flatten();
        let cost = |objective: &String| costs.as_ref().and_then(|costs| costs.0.get(objective).copied());
        Self {
            vector: embedder.embed(domain, genotype).into(),
            known: domain.objectives().iter().map(cost).collect(),
        }
    }
}

impl Told {
    pub(super) fn vector(&self) -> &Arc<[f64]> {
        &self.features.as_ref().expect("every trial was looked at before it is learned from").vector
    }

    fn is_feasible(&self) -> bool {
        !self.objectives.is_empty() && self.violation <= 0.0
    }
}
