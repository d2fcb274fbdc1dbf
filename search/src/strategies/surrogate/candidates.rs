//! The candidates: genotypes that may be proposed next. Recent candidates are kept for the next ask, because
//! most of the work for a candidate (its embedding and projections) can be reused.

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln_space::Genotype;
use rand::{Rng, RngExt};

use super::told::{Features, Told};
use super::update::Change;
use crate::domain::Domain;
use crate::learning::Embedder;
use crate::learning::cluster::Clusters;
use crate::strategies::unseen::Unseen;
use crate::trials::Origin;

/// Maximum number of candidates that are kept. The oldest candidates are removed first.
const CAPACITY: usize = 160;
/// Number of offspring generated at each ask.
const OFFSPRING: usize = 12;
/// Number of random genotypes drawn at each ask.
const RANDOM: usize = 6;
/// Maximum number of genotypes that are checked for these draws, including infeasible ones.
const LOOKED_AT: u64 = 100;
/// Number of best trials whose neighbors become candidates, and maximum number of neighbors for each of these
/// trials.
const EXPANDED: usize = 2;
const NEIGHBORS: usize = 64;
/// Number of trials in a tournament inside a cluster.
const TOURNAMENT: usize = 5;
/// If the bound of a cluster is lower by this amount, the cluster provides parents less often by a factor of
/// e.
const TEMPERATURE: f64 = 0.1;
/// Probability that an offspring has two parents, and probability that an offspring has one more mutation.
const CROSSOVER: f64 = 0.3;
const SECOND_MUTATION: f64 = 0.4;

/// A genotype that may be proposed.
pub(in crate::strategies) struct Candidate {
    pub(in crate::strategies) genotype: Genotype,
    pub(in crate::strategies) features: Features,
    pub(in crate::strategies) origin: Origin,
    /// Squared distances to the model's points. They are extended when points are added.
    pub(super) distances: Vec<f64>,
    /// The projections for the models of the objectives, then for the model of failures. They are extended
    /// when points are added.
    pub(super) projections: Vec<Vec<f64>>,
    /// Cluster of the candidate. `None` until the candidate is assigned to one of the current clusters.
    cluster: Option<usize>,
}

/// The trials that can be parents of offspring.
pub(in crate::strategies) struct Parents<'a> {
    told: &'a [Told],
    /// Trials from best to worst.
    order: &'a [usize],
    /// Value of each trial by its position in the order.
    values: &'a [f64],
    /// Trials in each cluster.
    members: Vec<Vec<usize>>,
    /// Weight with which each cluster is chosen for parents; 0 for a cluster without trials.
    weights: Vec<f64>,
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
    /// Adds new candidates. Removes candidates that are known or too old.
    pub(in crate::strategies) fn refresh(
        &mut self,
        parents: &Parents<'_>,
        embedder: &Embedder,
        domain: &Domain<'_>,
        unseen: &Unseen,
        rng: &mut dyn Rng,
    ) {
        let mut new: Vec<(Genotype, Origin)> = Vec::new();
        for &trial in parents.order.iter().take(EXPANDED) {
            if self.expanded.insert(trial) {
                let told = &parents.told[trial];
                let mut neighbors = domain.neighbors(&told.genotype);
                while neighbors.len() > NEIGHBORS {
                    neighbors.swap_remove(rng.random_range(0..neighbors.len()));
                }
                let origin = || Origin::of("mutation", vec![told.id]);
                new.extend(neighbors.into_iter().map(|neighbor| (neighbor, origin())));
            }
        }
        new.extend((0..OFFSPRING).filter_map(|_| parents.offspring(domain, rng)));
        let before = domain.rejections().candidates;
        for _ in 0..RANDOM {
            if domain.rejections().candidates - before < LOOKED_AT {
                new.extend(domain.sample(rng).map(|genotype| (genotype, Origin::of("random", Vec::new()))));
            }
        }
        for (genotype, origin) in new {
            if !unseen.is_known(&genotype) && self.genotypes.insert(genotype.clone()) {
                self.all.push(Candidate {
                    features: Features::of(&genotype, embedder, domain),
                    origin,
                    distances: Vec::new(),
                    projections: vec![Vec::new(); domain.objectives().len() + 1],
                    cluster: None,
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

    /// Assigns candidates to clusters. If the clusters are `new`, all candidates are assigned; otherwise only
    /// candidates without a cluster.
    pub(in crate::strategies) fn assign(&mut self, clusters: &Clusters, new: bool) {
        for candidate in self.all.iter_mut().filter(|candidate| new || candidate.cluster.is_none()) {
            candidate.cluster = Some(clusters.nearest(&candidate.features.vector));
        }
    }

    /// Returns all candidates, oldest first.
    pub(in crate::strategies) fn all(&mut self) -> &mut [Candidate] {
        &mut self.all
    }

    /// Returns the candidate with the lowest value in each of the `clusters`: its index and its value. If
    /// several candidates are equal, returns the first one.
    pub(in crate::strategies) fn lowest(&self, values: &[f64], clusters: usize) -> Vec<Option<(usize, f64)>> {
        let mut lowest: Vec<Option<(usize, f64)>> = vec![None; clusters];
        for (index, (candidate, &value)) in self.all.iter().zip(values).enumerate() {
            let Some(lowest) = candidate.cluster.map(|cluster| &mut lowest[cluster]) else { continue };
            if lowest.is_none_or(|(_, other)| value < other) {
                *lowest = Some((index, value));
            }
        }
        lowest
    }

    /// Removes a candidate and returns it.
    pub(in crate::strategies) fn take(&mut self, index: usize) -> Candidate {
        let candidate = self.all.remove(index);
        self.genotypes.remove(&candidate.genotype);
        candidate
    }

    /// Returns the embeddings of all candidates.
    pub(in crate::strategies) fn vectors(&self) -> impl Iterator<Item = Arc<[f64]>> + '_ {
        self.all.iter().map(|candidate| Arc::clone(&candidate.features.vector))
    }

    /// Drops distances and projections that became invalid when the models changed.
    pub(in crate::strategies) fn follow(&mut self, change: Change) {
        for candidate in self.all.iter_mut().filter(|_| change != Change::Grown) {
            candidate.projections.iter_mut().for_each(Vec::clear);
            if change == Change::Points {
                candidate.distances.clear();
            }
        }
    }
}

impl Candidate {
    /// Drops the numbers that belong to points after the first `points`.
    pub(super) fn forget_after(&mut self, points: usize) {
        self.distances.truncate(points);
        self.projections.iter_mut().for_each(|projection| projection.truncate(points));
    }
}

impl<'a> Parents<'a> {
    /// Creates the parents. `order` contains the trials from best to worst. `values` and `labels` contain the
    /// values and clusters of the trials. A cluster with a higher bound provides more parents.
    pub(in crate::strategies) fn new(
        told: &'a [Told],
        (order, values): (&'a [usize], &'a [f64]),
        labels: &[usize],
        bounds: &[f64],
    ) -> Self {
        let mut members = vec![Vec::new(); bounds.len()];
        for (trial, &label) in labels.iter().enumerate() {
            members[label].push(trial);
        }
        let weights = weights(bounds, &members);
        Self { told, order, values, members, weights }
    }

    fn offspring(&self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<(Genotype, Origin)> {
        let parent = &self.told[self.tournament(rng)];
        let mut origin = Origin::of("mutation", vec![parent.id]);
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

    /// Draws a cluster by its weight, draws a few of its trials, and returns the best of them.
    fn tournament(&self, rng: &mut dyn Rng) -> usize {
        let members = &self.members[weighted(&self.weights, rng)];
        let drawn = (0..TOURNAMENT).map(|_| members[rng.random_range(0..members.len())]);
        let values = self.values;
        drawn.max_by(|&a, &b| values[a].total_cmp(&values[b])).expect("a tournament has members")
    }
}

/// Returns the weights of clusters. The weight is 1 for the highest bound among clusters with members,
/// smaller for lower bounds, and 0 for clusters without members.
fn weights(bounds: &[f64], members: &[Vec<usize>]) -> Vec<f64> {
    let pairs = || bounds.iter().zip(members);
    let highest =
        pairs().filter(|(_, members)| !members.is_empty()).map(|(bound, _)| *bound).fold(f64::MIN, f64::max);
    let weight = |(bound, members): (&f64, &Vec<usize>)| {
        if members.is_empty() { 0.0 } else { ((bound - highest) / TEMPERATURE).exp() }
    };
    pairs().map(weight).collect()
}

/// Draws an index with these weights. At least one weight must be positive. Despite rounding errors, an index
/// with weight zero is never drawn.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trials::seed::generator;

    #[test]
    fn cluster_without_trials_is_never_drawn_even_with_the_highest_bound() {
        let weights = weights(&[1e6, 0.5, 0.4], &[vec![], vec![0], vec![1, 2]]);
        assert_eq!(weights[..2], [0.0, 1.0]);
        assert!((weights[2] - (-0.1 / TEMPERATURE).exp()).abs() < 1e-12, "{weights:?}");
        let mut rng = generator(1, "test", &[]);
        assert!((0..100).all(|_| weighted(&weights, &mut rng) > 0));
    }
}
