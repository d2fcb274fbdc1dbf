//! Genotypes that may be proposed next, kept from ask to ask as long as they are recent.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_space::Genotype;
use rand::{Rng, RngExt};

use super::Told;
use crate::cluster::Clusters;
use crate::embedding::Embedder;
use crate::strategies::unseen::Unseen;
use crate::{Domain, Origin};

/// Candidates kept; the oldest leave first.
const CAPACITY: usize = 160;
/// Offspring made at each ask.
const OFFSPRING: usize = 12;
/// Random genotypes drawn at each ask.
const RANDOM: usize = 6;
/// Genotypes looked at for them, feasible or not, after which no more are drawn.
const LOOKED_AT: u64 = 100;
/// Best trials whose neighbors become candidates, and neighbors of each at most.
const EXPANDED: usize = 2;
const NEIGHBORS: usize = 64;
/// Trials in a tournament inside a cluster.
const TOURNAMENT: usize = 5;
/// How much worse a cluster's bound may be to be drawn for parents less often by a factor e.
const TEMPERATURE: f64 = 0.1;
/// Probability that an offspring has two parents, and that it is mutated once more.
const CROSSOVER: f64 = 0.3;
const SECOND_MUTATION: f64 = 0.4;

/// A genotype that may be proposed.
pub(in crate::strategies) struct Candidate {
    pub(in crate::strategies) genotype: Genotype,
    pub(in crate::strategies) vector: Arc<[f64]>,
    pub(in crate::strategies) origin: Origin,
    /// Cost of each objective that is a cost.
    pub(in crate::strategies) known: Vec<Option<f64>>,
    /// Projection on each objective's model, extended as the models grow.
    pub(in crate::strategies) projections: Vec<Vec<f64>>,
    cluster: usize,
}

/// What offspring are made from.
pub(in crate::strategies) struct Parents<'a> {
    pub(in crate::strategies) told: &'a [Told],
    /// Trials from best to worst.
    pub(in crate::strategies) order: &'a [usize],
    /// Value of each trial by its place in the order.
    pub(in crate::strategies) values: &'a [f64],
    /// Cluster of each trial.
    pub(in crate::strategies) labels: &'a [usize],
    /// How promising each cluster is.
    pub(in crate::strategies) bounds: &'a [f64],
}

/// The candidates, oldest first.
#[derive(Default)]
pub(in crate::strategies) struct Candidates {
    all: Vec<Candidate>,
    genotypes: BTreeSet<Genotype>,
    /// Trials whose neighbors were added.
    expanded: BTreeSet<usize>,
}

impl Candidates {
    /// Drops what became known or old, and adds new candidates.
    pub(in crate::strategies) fn refresh(
        &mut self,
        parents: &Parents<'_>,
        embedder: &Embedder,
        domain: &Domain<'_>,
        unseen: &Unseen,
        rng: &mut dyn Rng,
    ) {
        let origin =
            |operator: &str, parents| Origin { operator: operator.to_owned(), parents, cluster: None };
        let mut new: Vec<(Genotype, Origin)> = Vec::new();
        for &trial in parents.order.iter().take(EXPANDED) {
            if self.expanded.insert(trial) {
                let told = &parents.told[trial];
                let mut neighbors = domain.neighbors(&told.genotype);
                while neighbors.len() > NEIGHBORS {
                    neighbors.swap_remove(rng.random_range(0..neighbors.len()));
                }
                new.extend(
                    neighbors.into_iter().map(|neighbor| (neighbor, origin("mutation", vec![told.id]))),
                );
            }
        }
        new.extend((0..OFFSPRING).filter_map(|_| parents.offspring(domain, rng)));
        let before = domain.rejections().candidates;
        for _ in 0..RANDOM {
            if domain.rejections().candidates - before < LOOKED_AT {
                new.extend(domain.sample(rng).map(|genotype| (genotype, origin("random", Vec::new()))));
            }
        }
        for (genotype, origin) in new {
            if !unseen.is_known(&genotype) && self.genotypes.insert(genotype.clone()) {
                let costs = embedder.with_costs().then(|| domain.costs(&genotype).ok()).flatten();
                let cost =
                    |objective: &String| costs.as_ref().and_then(|costs| costs.0.get(objective).copied());
                self.all.push(Candidate {
                    vector: embedder.embed(domain, &genotype).into(),
                    origin,
                    known: domain.objectives().iter().map(cost).collect(),
                    projections: vec![Vec::new(); domain.objectives().len()],
                    cluster: 0,
                    genotype,
                });
            }
        }
        let mut excess = self.all.len().saturating_sub(CAPACITY);
        self.all.retain(|candidate| {
            let old = excess > 0;
            excess = excess.saturating_sub(1);
            let stays = !old && !unseen.is_known(&candidate.genotype);
            if !stays {
                self.genotypes.remove(&candidate.genotype);
            }
            stays
        });
    }

    /// Puts every candidate into its cluster.
    pub(in crate::strategies) fn assign(&mut self, clusters: &Clusters) {
        for candidate in &mut self.all {
            candidate.cluster = clusters.nearest(&candidate.vector);
        }
    }

    /// Whether a cluster has candidates.
    pub(in crate::strategies) fn are_in(&self, cluster: usize) -> bool {
        self.all.iter().any(|candidate| candidate.cluster == cluster)
    }

    /// The candidates of a cluster with their indices.
    pub(in crate::strategies) fn of(&mut self, cluster: usize) -> Vec<(usize, &mut Candidate)> {
        self.all.iter_mut().enumerate().filter(|(_, candidate)| candidate.cluster == cluster).collect()
    }

    /// Removes a candidate.
    pub(in crate::strategies) fn take(&mut self, index: usize) -> Candidate {
        let candidate = self.all.remove(index);
        self.genotypes.remove(&candidate.genotype);
        candidate
    }

    /// Vectors of all candidates.
    pub(in crate::strategies) fn vectors(&self) -> impl Iterator<Item = Arc<[f64]>> + '_ {
        self.all.iter().map(|candidate| Arc::clone(&candidate.vector))
    }

    /// For when the models were made anew.
    pub(in crate::strategies) fn forget_projections(&mut self) {
        self.all.iter_mut().flat_map(|candidate| &mut candidate.projections).for_each(Vec::clear);
    }
}

impl Parents<'_> {
    fn offspring(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        let parent = &self.told[self.tournament(rng)];
        let mut origin = Origin { operator: "mutation".to_owned(), parents: vec![parent.id], cluster: None };
        let mut genotype = parent.genotype.clone();
        let crossed = rng.random_bool(CROSSOVER);
        if crossed {
            let other = &self.told[self.tournament(rng)];
            genotype = domain.crossover(&genotype, &other.genotype, rng)?;
            "crossover".clone_into(&mut origin.operator);
            origin.parents.push(other.id);
        } else {
            genotype = domain.mutate(&genotype, rng)?;
        }
        if rng.random_bool(SECOND_MUTATION) {
            genotype = domain.mutate(&genotype, rng)?;
        }
        Some((genotype, origin))
    }

    /// A trial: a cluster that has trials is drawn with a weight that falls with its bound, and there the best of a few.
    fn tournament(&self, rng: &mut dyn Rng) -> usize {
        let labels = self.labels;
        let highest = self.bounds.iter().copied().fold(f64::MIN, f64::max);
        let mut weights = vec![0.0; self.bounds.len()];
        for &label in labels {
            weights[label] = ((self.bounds[label] - highest) / TEMPERATURE).exp();
        }
        let cluster = weighted(&weights, rng);
        let members: Vec<usize> = (0..labels.len()).filter(|&trial| labels[trial] == cluster).collect();
        let drawn = (0..TOURNAMENT).map(|_| members[rng.random_range(0..members.len())]);
        let values = self.values;
        drawn.max_by(|&a, &b| values[a].total_cmp(&values[b])).expect("a tournament has members")
    }
}

/// An index drawn with these weights, of which one at least is positive; never one of weight zero.
fn weighted(weights: &[f64], rng: &mut dyn Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    let mut last = 0;
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        last = index;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}
