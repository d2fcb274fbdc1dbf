//! Clustered search: candidates and trials are grouped by what their networks look like (k-means by default), each cluster gets a
//! share of the proposals by what it has shown, and inside a cluster a model chooses the candidate.
//!
//! Each ask after a random beginning:
//! 1. **Candidates.** Offspring of parents chosen by tournaments inside clusters, neighbors of the best, random ones.
//! 2. **Clusters** (`shares.rs`). The cluster with the largest upper confidence bound
//!    `(best_c + mean_c) / 2 + exploration * sqrt(ln(n + 1) / (n_c + 1))` has its turn, where the value of a trial is
//!    `1 - (place + 1/2) / n` by its place among all (rank, then crowding), `n_c` counts the cluster's trials and those
//!    running, and a cluster without trials has the mean value 1/2.
//! 3. **Choice** (`surrogate.rs`). The candidate of that cluster that is best by a lower confidence bound.
//!
//! Source: Auer, Cesa-Bianchi, Fischer, Finite-time analysis of the multiarmed bandit problem, Machine Learning 2002
//! (the bound); White, Neiswanger, Savani, BANANAS, AAAI 2021 (models over encoded architectures); Knowles, ParEGO, IEEE
//! TEC 2006 (random weights for several objectives). The composition is our own.

mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use super::surrogate::{Acquisition, Candidates, Model, Parents, Told, places};
use super::unseen::Unseen;
use crate::cluster::{Clusters, Grouping};
use crate::embedding::Embedder;
use crate::{Ask, Domain, Fidelity, Origin, Proposal, Strategy, Trial};

/// Share of new trials at which the model is made anew; between, trials are added to it.
const RENEWAL: f64 = 0.06;
/// Share of new trials at which the clusters are made anew; between, trials join the nearest.
const REGROUPING: f64 = 0.25;
/// Trials and candidates that clusters are made from, at most; the others join the nearest.
const GROUPED: usize = 96;

/// Standard deviations below the mean at which a candidate is judged.
const OPTIMISM: f64 = 1.0;

/// Settings of the strategy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClusteredSettings {
    /// Random trials at the beginning.
    initial: usize,
    /// Most clusters; how many there are follows from how well they are separated.
    clusters: usize,
    /// How clusters are found.
    grouping: Grouping,
    /// Weight of the bonus for clusters with few trials.
    exploration: f64,
}

impl Default for ClusteredSettings {
    fn default() -> Self {
        Self { initial: 10, clusters: 12, grouping: Grouping::KMeans, exploration: 0.2 }
    }
}

/// Builds the strategy from `initial`, `clusters`, `grouping` (`k_means`, `hierarchical` or `dbscan`) and `exploration`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ClusteredSettings = settings.read()?;
    if !(1..=100_000).contains(&read.initial) {
        return Err(SettingsError::value(settings.key("initial"), read.initial, "1 to 100000"));
    }
    if !(1..=64).contains(&read.clusters) {
        return Err(SettingsError::value(settings.key("clusters"), read.clusters, "1 to 64"));
    }
    if !(0.0..=100.0).contains(&read.exploration) {
        return Err(SettingsError::value(settings.key("exploration"), read.exploration, "0 to 100"));
    }
    Ok(Box::new(Clustered {
        settings: read,
        unseen: Unseen::default(),
        embedder: None,
        told: Vec::new(),
        running: BTreeMap::new(),
        candidates: Candidates::default(),
        knowledge: None,
        asked: 0,
    }))
}

struct Clustered {
    settings: ClusteredSettings,
    unseen: Unseen,
    embedder: Option<Embedder>,
    told: Vec<Told>,
    /// Proposals without an answer, with their vectors as far as they have been needed.
    running: BTreeMap<Genotype, Option<Arc<[f64]>>>,
    candidates: Candidates,
    knowledge: Option<Knowledge>,
    asked: usize,
}

/// What was learned from the trials told so far.
struct Knowledge {
    clusters: Clusters,
    /// Trials when the clusters were made.
    grouped_at: usize,
    /// Cluster of each trial.
    labels: Vec<usize>,
    model: Model,
    /// Trials when the model was made.
    made_at: usize,
    /// Trials from best to worst.
    order: Vec<usize>,
    /// Value of each trial between 0 and 1, by its place in the order.
    values: Vec<f64>,
}

impl Clustered {
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
        let mut knowledge = self.learned(domain);
        let embedder = self.embedder.as_ref().expect("made above");

        let running: Vec<Arc<[f64]>> = self.running.values().flatten().cloned().collect();
        let mut counts = vec![0; knowledge.clusters.count()];
        for vector in &running {
            counts[knowledge.clusters.nearest(vector)] += 1;
        }
        let bounds = shares::bounds(&knowledge.labels, &knowledge.values, &counts, self.settings.exploration);
        let Knowledge { order, values, labels, .. } = &knowledge;
        let parents = Parents { told: &self.told, order, values, labels, bounds: &bounds };
        self.candidates.refresh(&parents, embedder, domain, &self.unseen, rng);
        self.candidates.assign(&knowledge.clusters);

        let cluster = shares::turn(&bounds, |cluster| self.candidates.are_in(cluster))?;
        let best = knowledge.model.choose(
            self.candidates.of(cluster),
            &running,
            (Acquisition::ConfidenceBound, OPTIMISM),
            rng,
        )?;
        self.knowledge = Some(knowledge);
        let chosen = self.candidates.take(best);
        let origin = Origin { cluster: Some(cluster), ..chosen.origin };
        Some((chosen.genotype, chosen.vector, origin))
    }

    /// What follows from all trials told: brought up to date, or made anew when enough came in.
    fn learned(&mut self, domain: &Domain<'_>) -> Knowledge {
        let told = &self.told;
        let n = told.len();
        let grown = |since: usize, share: f64| (n - since) as f64 >= (share * n as f64).max(1.0);
        let vector = |told: &Told| Arc::clone(told.vector.as_ref().expect("every trial has its vector"));
        let (order, values) = places(told);
        let known = self.knowledge.take();
        let (clusters, grouped_at, mut labels) = match &known {
            Some(known) if !grown(known.grouped_at, REGROUPING) => {
                (known.clusters.clone(), known.grouped_at, known.labels.clone())
            }
            _ => {
                let all: Vec<Arc<[f64]>> = told.iter().map(vector).chain(self.candidates.vectors()).collect();
                let step = all.len().div_ceil(GROUPED);
                let some: Vec<Arc<[f64]>> = all.into_iter().step_by(step).collect();
                (self.settings.grouping.fit(&some, self.settings.clusters), n, Vec::new())
            }
        };
        labels.extend(told[labels.len()..].iter().map(|told| clusters.nearest(&vector(told))));
        let (model, made_at) = match known {
            Some(Knowledge { mut model, made_at, labels, .. }) if !grown(made_at, RENEWAL) => {
                let new: Vec<Arc<[f64]>> = told[labels.len()..].iter().map(vector).collect();
                if !new.is_empty() {
                    model.extend(told, &new);
                }
                (model, made_at)
            }
            _ => {
                let vectors: Vec<Arc<[f64]>> = told.iter().map(vector).collect();
                self.candidates.forget_projections();
                (Model::fit(told, &vectors, &order, domain), n)
            }
        };
        Knowledge { clusters, grouped_at, labels, model, made_at, order, values }
    }
}

impl Strategy for Clustered {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let (genotype, vector, origin) = match self.guided(domain, rng) {
            Some((genotype, vector, origin)) => (genotype, Some(vector), origin),
            None => match self.unseen.sample(domain, rng) {
                Some(genotype) => {
                    (genotype, None, Origin { operator: "random".to_owned(), ..Origin::default() })
                }
                None => return Ask::Done,
            },
        };
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
