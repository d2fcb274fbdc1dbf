//! Bayesian optimization: a Gaussian process over what the networks look like chooses among candidates, in any space.
//!
//! Candidates are offspring of tournaments, neighbors of the best and random genotypes; vectors come from
//! [`crate::embedding`], so the process sees layers, surroundings and paths, not only genes.
//!
//! Source: Snoek, Larochelle, Adams, Practical Bayesian optimization of machine learning algorithms, NeurIPS 2012; Kandasamy et
//! al., Neural architecture search with Bayesian optimisation and optimal transport, NeurIPS 2018 (evolving candidates);
//! Knowles, ParEGO, IEEE TEC 2006 (random weights for several objectives).

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use super::surrogate::{Acquisition, Candidates, Model, Parents, Told, places};
use super::unseen::Unseen;
use crate::embedding::Embedder;
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial};

/// Share of new trials at which the process is made anew; between, trials are added to it.
const RENEWAL: f64 = 0.06;

/// Settings of the strategy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProcessSettings {
    /// Random trials at the beginning.
    initial: usize,
    /// The rule of choice.
    acquisition: Acquisition,
    /// Standard deviations below the mean, for the confidence bound.
    optimism: f64,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self { initial: 10, acquisition: Acquisition::ConfidenceBound, optimism: 1.0 }
    }
}

/// Builds the strategy from `initial`, `acquisition` (`confidence_bound`, `expected_improvement` or `thompson`) and `optimism`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ProcessSettings = settings.read()?;
    if !(1..=100_000).contains(&read.initial) {
        return Err(SettingsError::value(settings.key("initial"), read.initial, "1 to 100000"));
    }
    if !(0.0..=100.0).contains(&read.optimism) {
        return Err(SettingsError::value(settings.key("optimism"), read.optimism, "0 to 100"));
    }
    Ok(Box::new(BayesianSearch {
        settings: read,
        unseen: Unseen::default(),
        embedder: None,
        told: Vec::new(),
        running: BTreeMap::new(),
        candidates: Candidates::default(),
        model: None,
        asked: 0,
    }))
}

struct BayesianSearch {
    settings: ProcessSettings,
    unseen: Unseen,
    embedder: Option<Embedder>,
    told: Vec<Told>,
    /// Proposals without an answer, with their vectors as far as they have been needed.
    running: BTreeMap<Genotype, Option<Arc<[f64]>>>,
    candidates: Candidates,
    /// The model, trials when it was made, and trials that it has heard of.
    model: Option<(Model, usize, usize)>,
    asked: usize,
}

impl BayesianSearch {
    /// The proposal of the model, `None` before there is one or without a candidate.
    fn guided(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Arc<[f64]>, Origin)> {
        if self.asked < self.settings.initial || self.told.is_empty() {
            return None;
        }
        let embedder = self.embedder.get_or_insert_with(|| Embedder::fit(domain, rng));
        for told in &mut self.told {
            told.vector.get_or_insert_with(|| embedder.embed(domain, &told.genotype).into());
        }
        for (genotype, vector) in &mut self.running {
            vector.get_or_insert_with(|| embedder.embed(domain, genotype).into());
        }
        let running: Vec<Arc<[f64]>> = self.running.values().flatten().cloned().collect();
        let (order, values) = places(&self.told);
        self.learn(&order, domain);
        let labels = vec![0; self.told.len()];
        let parents =
            Parents { told: &self.told, order: &order, values: &values, labels: &labels, bounds: &[0.0] };
        let embedder = self.embedder.as_ref().expect("made above");
        self.candidates.refresh(&parents, embedder, domain, &self.unseen, rng);
        let rule = (self.settings.acquisition, self.settings.optimism);
        let (model, ..) = self.model.as_mut().expect("made by `learn`");
        let best = model.choose(self.candidates.of(0), &running, rule, rng)?;
        let chosen = self.candidates.take(best);
        Some((chosen.genotype, chosen.vector, chosen.origin))
    }

    /// Brings the model up to date, or makes it anew when enough came in.
    fn learn(&mut self, order: &[usize], domain: &Domain<'_>) {
        let n = self.told.len();
        let vector = |told: &Told| Arc::clone(told.vector.as_ref().expect("every trial has its vector"));
        match &mut self.model {
            Some((model, made_at, heard)) if ((n - *made_at) as f64) < (RENEWAL * n as f64).max(1.0) => {
                if *heard < n {
                    let new: Vec<Arc<[f64]>> = self.told[*heard..].iter().map(vector).collect();
                    model.extend(&self.told, &new);
                    *heard = n;
                }
            }
            _ => {
                let vectors: Vec<Arc<[f64]>> = self.told.iter().map(vector).collect();
                self.model = Some((Model::fit(&self.told, &vectors, order, domain), n, n));
                self.candidates.forget_projections();
            }
        }
    }
}

impl Strategy for BayesianSearch {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let random = || Origin { operator: "random".to_owned(), ..Origin::default() };
        let next = match self.guided(domain, rng) {
            Some((genotype, vector, origin)) => Some((genotype, Some(vector), origin)),
            None => self.unseen.sample(domain, rng).map(|genotype| (genotype, None, random())),
        };
        let Some((genotype, vector, origin)) = next else { return Ask::Done };
        self.asked += 1;
        self.unseen.insert(&genotype);
        self.running.insert(genotype.clone(), vector);
        Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin })
    }

    fn tell(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        self.unseen.insert(&genotype);
        self.told.push(Told {
            id: trial.id,
            vector: self.running.remove(&genotype).flatten(),
            genotype,
            objectives: trial.objectives.0.clone(),
            violation: trial.violation,
        });
    }
}
