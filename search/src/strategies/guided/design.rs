//! Chooses the first trials. Several random genotypes are drawn for each first trial. They are clustered into
//! as many clusters as there are first trials. The genotypes nearest to the cluster centers are the first
//! trials.
//!
//! Source: Kennard, Stone, Computer aided design of experiments, Technometrics 1969 (trials spread evenly
//! over candidates); Zhdanov, Diverse mini-batch active learning, arXiv:1901.05954, 2019 (k-means, and the
//! point nearest to each center).

use kiln_space::Genotype;
use rand::Rng;
use serde::Deserialize;

use crate::domain::Domain;
use crate::learning::cluster::Clusters;
use crate::learning::{Embedder, sample};

/// Number of random genotypes drawn for each first trial.
const DRAWN: usize = 5;
/// Maximum number of designed trials.
const MOST: usize = 64;

/// Method that chooses the first trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::strategies) enum Beginning {
    /// The genotypes nearest to cluster centers; see [`Design`].
    #[default]
    KMeans,
    /// Random genotypes.
    Random,
}

/// The remaining first trials. The last element is proposed next.
#[derive(Default)]
pub(super) struct Design {
    left: Option<Vec<Genotype>>,
}

impl Design {
    /// Returns the next designed genotype that is not known. Returns `None` if no such genotype is left.
    pub(super) fn next(
        &mut self,
        trials: usize,
        is_known: impl Fn(&Genotype) -> bool,
        (domain, embedder): (&Domain<'_>, &Embedder),
        rng: &mut dyn Rng,
    ) -> Option<Genotype> {
        let left = self.left.get_or_insert_with(|| design(trials.min(MOST), domain, embedder, rng));
        std::iter::from_fn(|| left.pop()).find(|genotype| !is_known(genotype))
    }
}

/// Returns the genotypes nearest to the centers of `trials` clusters. The genotype from the largest cluster
/// comes last.
fn design(trials: usize, domain: &Domain<'_>, embedder: &Embedder, rng: &mut dyn Rng) -> Vec<Genotype> {
    let mut drawn = sample(domain, DRAWN * trials, rng);
    drawn.sort_unstable();
    drawn.dedup();
    let vectors: Vec<Vec<f64>> = drawn.iter().map(|genotype| embedder.embed(domain, genotype)).collect();
    let mut middles = Clusters::fit(&vectors, trials).medoids(&vectors);
    middles.sort_by_key(|(_, members)| *members);
    middles.into_iter().map(|(index, _)| drawn[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use kiln_space::spaces::NasBench201;

    use super::*;
    use crate::domain::CostSet;
    use crate::trials::seed::generator;
    use kiln_regression::squared_distance;

    #[test]
    fn designed_trials_cover_the_draws_better_than_the_first_draws_do() {
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let embedder = Embedder::fit(&domain, &BTreeMap::new(), &mut generator(1, "test", &[]));
        let (mut designed, mut first) = (0.0, 0.0);
        for seed in 0..10 {
            let mut rng = generator(seed, "test", &[]);
            let mut design = Design::default();
            let mut next = || design.next(10, |_| false, (&domain, &embedder), &mut rng);
            let given: Vec<Genotype> = std::iter::from_fn(&mut next).collect();
            assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 10);
            let drawn = sample(&domain, DRAWN * 10, &mut generator(seed, "test", &[]));
            assert!(given.iter().all(|genotype| drawn.contains(genotype)));
            let vector = |genotype: &Genotype| embedder.embed(&domain, genotype);
            let reach = |some: &[Genotype]| -> f64 {
                let some: Vec<Vec<f64>> = some.iter().map(vector).collect();
                let distance = |other: &Vec<f64>| {
                    some.iter().map(|vector| squared_distance(vector, other)).fold(f64::INFINITY, f64::min)
                };
                drawn.iter().map(vector).map(|other| distance(&other)).sum()
            };
            designed += reach(&given);
            first += reach(&drawn[..10]);
        }
        assert!(designed < 0.95 * first, "{designed} {first}");
    }

    #[test]
    fn design_leaves_out_known_genotypes() {
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let embedder = Embedder::fit(&domain, &BTreeMap::new(), &mut generator(1, "test", &[]));
        let all = |known: &[Genotype]| -> Vec<Genotype> {
            let (mut design, mut rng) = (Design::default(), generator(2, "test", &[]));
            let is_known = |genotype: &Genotype| known.contains(genotype);
            std::iter::from_fn(|| design.next(6, is_known, (&domain, &embedder), &mut rng)).collect()
        };
        let first = all(&[]);
        assert_eq!(all(&first[1..3]), [&first[..1], &first[3..]].concat());
    }
}
