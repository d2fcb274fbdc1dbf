//! Embeds genotypes as vectors, for any search space. Similar networks have vectors that are close to each
//! other.
//!
//! A vector consists of blocks of equal weight:
//! - the one-hot genotype;
//! - counts of each kind of layer, alone and together with its inputs up to two steps back;
//! - lengths of paths, then parameters and multiply-accumulates;
//! - costs, if the study constrains or minimizes them;
//! - the predicted rank by zero-cost proxies, if they have scored some genotypes.
//!
//! The embedding does not learn from trials.

mod expected;

use std::collections::BTreeMap;

use kiln_space::Genotype;
use rand::{Rng, RngExt};

use self::expected::Expected;
use crate::domain::{Block, Domain};

/// Number of feasible genotypes that are drawn to estimate the variance of each block.
const REFERENCE: usize = 64;
/// Maximum number of candidates for the sample. Then mutants complete the sample.
const LOOKED_AT: u64 = 2_000;
/// Scaled numbers are clamped to this many standard deviations from the mean.
const FARTHEST: f64 = 5.0;

/// Computes the vectors. The scale of each block is determined from a random sample, so that the variances of
/// the block's columns add up to 1. Columns that do not vary in the sample are left out.
#[derive(Debug)]
pub(crate) struct Embedder {
    with_costs: bool,
    blocks: Vec<Scaling>,
    costs: Scaling,
    /// Predicts ranks by zero-cost proxies. `None` without proxies.
    proxies: Option<(Expected, Scaling)>,
}

/// The mean and scale of the columns of a block. Columns that do not vary are left out.
#[derive(Debug)]
struct Scaling {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    index: usize,
    mean: f64,
    factor: f64,
    limit: f64,
}

impl Embedder {
    /// Estimates the scale of each block from feasible genotypes drawn with `rng`. `places` contains the
    /// ranks of some genotypes by zero-cost proxies. It is empty without proxies.
    pub(crate) fn fit(domain: &Domain<'_>, places: &BTreeMap<Genotype, f64>, rng: &mut dyn Rng) -> Self {
        let sample = sample(domain, REFERENCE, rng);
        let costs = sample.first().and_then(|first| domain.costs(first).ok()).unwrap_or_default();
        let is_cost = |objective: &String| costs.0.contains_key(objective);
        let mut embedder = Self {
            with_costs: !domain.constraints().is_empty() || domain.objectives().iter().any(is_cost),
            blocks: Vec::new(),
            costs: Scaling { columns: Vec::new() },
            proxies: None,
        };
        let described: Vec<_> = sample.iter().map(|genotype| domain.description(genotype)).collect();
        let count = described.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
        let block = |index: usize| -> Vec<&Block> {
            described.iter().filter_map(|blocks| blocks.get(index)).collect()
        };
        embedder.blocks = (0..count).map(|index| Scaling::fit(&block(index))).collect();
        let costs: Vec<Block> =
            sample.iter().filter_map(|genotype| embedder.costs(domain, genotype)).collect();
        embedder.costs = Scaling::fit(&costs.iter().collect::<Vec<_>>());
        embedder.proxies =
            Expected::fit(places, |genotype| embedder.embed(domain, genotype)).map(|expected| {
                let place = |genotype| expected.block(&embedder.embed(domain, genotype));
                let places: Vec<Block> = sample.iter().map(place).collect();
                let scaling = Scaling::fit(&places.iter().collect::<Vec<_>>());
                (expected, scaling)
            });
        embedder
    }

    /// Whether the study constrains or minimizes costs.
    pub(crate) const fn with_costs(&self) -> bool {
        self.with_costs
    }

    /// Computes the vector of a genotype. If the genotype does not decode, only the one-hot block contains
    /// information.
    pub(crate) fn embed(&self, domain: &Domain<'_>, genotype: &Genotype) -> Vec<f64> {
        let described = domain.description(genotype);
        let empty = Block { values: Vec::new(), mixed: false };
        let mut vector = Vec::new();
        for (index, scaling) in self.blocks.iter().enumerate() {
            scaling.append(described.get(index).unwrap_or(&empty), &mut vector);
        }
        self.costs.append(self.costs(domain, genotype).as_ref().unwrap_or(&empty), &mut vector);
        if let Some((expected, scaling)) = &self.proxies {
            scaling.append(&expected.block(&vector), &mut vector);
        }
        vector
    }

    fn costs(&self, domain: &Domain<'_>, genotype: &Genotype) -> Option<Block> {
        let costs = self.with_costs.then(|| domain.costs(genotype).ok()).flatten()?;
        let values = costs.0.values().map(|cost| cost.max(0.0).ln_1p()).collect();
        Some(Block { values, mixed: true })
    }
}

/// Mean and variance of a column over the sample.
struct Spread {
    index: usize,
    mean: f64,
    variance: f64,
}

impl Scaling {
    fn fit(sample: &[&Block]) -> Self {
        let width = sample.iter().map(|block| block.values.len()).max().unwrap_or(0);
        let mixed = sample.iter().any(|block| block.mixed);
        let n = sample.len().max(1) as f64;
        let mut spreads: Vec<Spread> = (0..width)
            .map(|index| {
                let values = || sample.iter().map(|block| block.values.get(index).copied().unwrap_or(0.0));
                let mean = values().sum::<f64>() / n;
                let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
                Spread { index, mean, variance }
            })
            .collect();
        spreads.retain(|spread| spread.variance > f64::EPSILON);
        let total = spreads.iter().map(|spread| spread.variance).sum::<f64>();
        let count = spreads.len() as f64;
        let column = |Spread { index, mean, variance }| {
            let factor = if mixed { (variance * count).sqrt().recip() } else { total.sqrt().recip() };
            Column { index, mean, factor, limit: FARTHEST * variance.sqrt() * factor }
        };
        Self { columns: spreads.into_iter().map(column).collect() }
    }

    /// Appends the scaled values to `vector`. A missing value is replaced by the mean of its column.
    fn append(&self, block: &Block, vector: &mut Vec<f64>) {
        vector.extend(self.columns.iter().map(|column| {
            let value =
                block.values.get(column.index).map_or(0.0, |value| (value - column.mean) * column.factor);
            value.clamp(-column.limit, column.limit)
        }));
    }
}

/// Draws `count` feasible genotypes. If feasible draws are rare, mutants of the first genotypes complete the
/// sample. Genotypes may repeat. The result is empty if no feasible genotype is found.
pub(crate) fn sample(domain: &Domain<'_>, count: usize, rng: &mut dyn Rng) -> Vec<Genotype> {
    let mut sample: Vec<Genotype> = Vec::with_capacity(count);
    let before = domain.rejections().candidates;
    for _ in 0..count {
        let next = if sample.is_empty() || domain.rejections().candidates - before < LOOKED_AT {
            domain.sample(rng)
        } else {
            domain.mutate(&sample[rng.random_range(0..sample.len())], rng)
        };
        match next {
            Some(genotype) => sample.push(genotype),
            None if sample.is_empty() => break,
            None => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use kiln_regression::squared_distance;
    use kiln_space::spaces::NasBench201;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;
    use crate::domain::CostSet;

    #[test]
    fn scaled_block_has_variance_one_and_no_constant_columns() {
        let block = |mixed, values: [f64; 3]| Block { values: values.to_vec(), mixed };
        for mixed in [false, true] {
            let sample = [block(mixed, [1.0, 7.0, 10.0]), block(mixed, [3.0, 7.0, 90.0])];
            let scaling = Scaling::fit(&[&sample[0], &sample[1]]);
            let mut vector = Vec::new();
            scaling.append(&sample[0], &mut vector);
            assert_eq!(vector.len(), 2);
            assert!(
                (vector.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-12,
                "{vector:?}"
            );
            vector.clear();
            scaling.append(&block(mixed, [2.0, 0.0, 1e9]), &mut vector);
            assert!(vector[0].abs() < 1e-12 && vector[1] <= FARTHEST, "{vector:?}");
        }
    }

    #[test]
    fn last_number_predicts_the_place_of_cells_that_proxies_did_not_score() {
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        // Cells with few 3x3 convolutions (gene 3) have low ranks, which are good.
        let place = |genotype: &Genotype| {
            genotype.genes().iter().map(|gene| f64::from(u8::from(*gene == 3))).sum::<f64>()
        };
        let scored = sample(&domain, 60, &mut Pcg64::seed_from_u64(2));
        let places: BTreeMap<Genotype, f64> =
            scored.into_iter().map(|genotype| (genotype.clone(), place(&genotype))).collect();
        let fit =
            |places: &BTreeMap<Genotype, f64>| Embedder::fit(&domain, places, &mut Pcg64::seed_from_u64(1));
        let (with, without) = (fit(&places), fit(&BTreeMap::new()));
        // The last element of the vector predicts the ranks of cells without scores.
        let others = sample(&domain, 40, &mut Pcg64::seed_from_u64(3));
        let last = |genotype: &Genotype| {
            let vector = with.embed(&domain, genotype);
            assert_eq!(vector.len(), without.embed(&domain, genotype).len() + 1);
            vector[vector.len() - 1]
        };
        let pairs = others.iter().flat_map(|a| others.iter().map(move |b| (a, b)));
        let differing = pairs.filter(|(a, b)| place(a) < place(b));
        let (right, all) = differing
            .fold((0_u32, 0_u32), |(right, all), (a, b)| (right + u32::from(last(a) < last(b)), all + 1));
        assert!(f64::from(right) > 0.95 * f64::from(all), "{right} of {all}");
        // With too few scores, the vector has no element for the rank.
        let few: BTreeMap<Genotype, f64> = places.into_iter().take(4).collect();
        assert_eq!(fit(&few).embed(&domain, &others[0]), without.embed(&domain, &others[0]));
    }

    #[test]
    fn similar_cells_have_near_vectors() {
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let embedder = Embedder::fit(&domain, &BTreeMap::new(), &mut Pcg64::seed_from_u64(1));
        let embed = |genes: [u8; 6]| embedder.embed(&domain, &Genotype::new(genes));
        let (base, near, far) =
            (embed([3, 3, 3, 1, 1, 3]), embed([3, 3, 3, 1, 1, 2]), embed([4, 0, 1, 4, 0, 0]));
        assert!(squared_distance(&base, &near) < squared_distance(&base, &far));
        assert!(base.iter().all(|value| value.is_finite()));
    }
}
