//! Chooses the networks of a space that are worth measuring: the extremes, and others spread over the space.

use std::collections::BTreeMap;

use kiln_space::encoding::structural;
use kiln_space::{Architecture, Genotype, SearchSpace, variation};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Number of random networks to choose from.
const CANDIDATES: usize = 1000;
/// Maximum number of draws for each candidate; small spaces repeat themselves.
const DRAWS: usize = 10;
/// Maximum number of steps to an extreme.
const STEPS: usize = 100;

/// A candidate: a network and its description.
struct Candidate {
    genotype: Genotype,
    architecture: Architecture,
    /// Description, each number as its rank among all candidates, from 0 to 1.
    description: Vec<f64>,
}

/// Up to `count` different networks, the same for the same seed: first those with the fewest and the most
/// multiply-accumulates and bytes of activations, then always the candidate that is farthest from all chosen
/// ones. With a larger `count`, the first ones stay the same. Fewer if the space has fewer.
///
/// Source: T. F. Gonzalez, Clustering to minimize the maximum intercluster distance, Theoretical Computer
/// Science 38, 1985 (the farthest-point rule). Differs: distances are between ranks of descriptions, so that
/// dense regions of the space are covered more finely than empty ones.
#[must_use]
pub fn choose_probes(space: &dyn SearchSpace, count: usize, seed: u64) -> Vec<(Genotype, Architecture)> {
    let mut candidates = candidates(space, seed);
    describe(&mut candidates);
    let mut chosen: Vec<usize> = Vec::new();
    for extreme in extremes(&candidates) {
        if !chosen.contains(&extreme) {
            chosen.push(extreme);
        }
    }
    let distance = |a: usize, b: usize| {
        let pairs = candidates[a].description.iter().zip(&candidates[b].description);
        pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    let nearest =
        |index: usize| chosen.iter().map(|&other| distance(index, other)).fold(f64::INFINITY, f64::min);
    let mut distances: Vec<f64> = (0..candidates.len()).map(nearest).collect();
    while chosen.len() < count.min(candidates.len()) {
        let open = (0..candidates.len()).filter(|index| !chosen.contains(index));
        let Some(next) = open.max_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(b.cmp(&a))) else {
            break;
        };
        chosen.push(next);
        for (index, known) in distances.iter_mut().enumerate() {
            *known = known.min(distance(index, next));
        }
    }
    chosen.truncate(count);
    let taken = |index: usize| (candidates[index].genotype.clone(), candidates[index].architecture.clone());
    chosen.into_iter().map(taken).collect()
}

/// Random networks and the extremes of the space, sorted by genotype. Genotypes that have no network are left
/// out.
fn candidates(space: &dyn SearchSpace, seed: u64) -> Vec<Candidate> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut found: BTreeMap<Genotype, Architecture> = BTreeMap::new();
    for _ in 0..CANDIDATES * DRAWS {
        if found.len() == CANDIDATES {
            break;
        }
        let genotype = variation::sample(space, &mut rng);
        if !found.contains_key(&genotype)
            && let Ok(architecture) = space.decode(&genotype)
        {
            found.insert(genotype, architecture);
        }
    }
    for (measure, sign) in measures() {
        let start = found.iter().max_by_key(|(_, architecture)| sign * measure(architecture));
        if let Some((start, _)) = start {
            let (genotype, architecture) = climbed(space, start.clone(), |network| sign * measure(network));
            found.extend(architecture.map(|architecture| (genotype, architecture)));
        }
    }
    let candidate = |(genotype, architecture): (Genotype, Architecture)| {
        let description = structural(&architecture);
        Candidate { genotype, architecture, description }
    };
    found.into_iter().map(candidate).collect()
}

type Measure = fn(&Architecture) -> i128;

/// What extremes are extreme in, with the sign of the direction.
fn measures() -> [(Measure, i128); 4] {
    let macs: Measure = |network| i128::from(network.counts().macs);
    let activations: Measure = |network| i128::from(network.counts().activation_bytes);
    [(macs, -1), (macs, 1), (activations, -1), (activations, 1)]
}

/// Follows the best neighbor until none is better. The network is `None` if the start is the best.
fn climbed(
    space: &dyn SearchSpace,
    start: Genotype,
    worth: impl Fn(&Architecture) -> i128,
) -> (Genotype, Option<Architecture>) {
    let mut best_worth = space.decode(&start).map_or(i128::MIN, |network| worth(&network));
    let mut best = (start, None);
    for _ in 0..STEPS {
        let neighbors = variation::neighbors(space, &best.0).into_iter();
        let decoded = neighbors.filter_map(|genotype| Some((space.decode(&genotype).ok()?, genotype)));
        let worths = decoded.map(|(network, genotype)| (worth(&network), network, genotype));
        let Some((found, network, genotype)) = worths.max_by_key(|(worth, ..)| *worth) else { break };
        if found <= best_worth {
            break;
        }
        (best_worth, best) = (found, (genotype, Some(network)));
    }
    best
}

/// The extremes among the candidates.
fn extremes(candidates: &[Candidate]) -> impl Iterator<Item = usize> {
    let of = |(measure, sign): (Measure, i128)| {
        (0..candidates.len()).max_by_key(|&index| sign * measure(&candidates[index].architecture))
    };
    measures().into_iter().filter_map(of)
}

/// Replaces each number of each description by its rank. Equal numbers have equal ranks.
fn describe(candidates: &mut [Candidate]) {
    let width = candidates.first().map_or(0, |candidate| candidate.description.len());
    let last = candidates.len().saturating_sub(1).max(1) as f64;
    for column in 0..width {
        let mut sorted: Vec<f64> = candidates.iter().map(|candidate| candidate.description[column]).collect();
        sorted.sort_by(f64::total_cmp);
        for candidate in &mut *candidates {
            let value = &mut candidate.description[column];
            let below = sorted.partition_point(|other| other.total_cmp(value).is_lt());
            *value = below as f64 / last;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kiln_space::spaces::NasBench201;

    use super::*;

    fn macs(chosen: &[(Genotype, Architecture)]) -> Vec<u64> {
        chosen.iter().map(|(_, network)| network.counts().macs).collect()
    }

    #[test]
    fn probes_are_different_and_include_the_extremes() {
        let space = NasBench201::default();
        let chosen = choose_probes(&space, 40, 1);
        let different: BTreeSet<&Genotype> = chosen.iter().map(|(genotype, _)| genotype).collect();
        assert_eq!((chosen.len(), different.len()), (40, 40));
        let all_convolutions = NasBench201::genotype_from_arch(
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        );
        let most = space.decode(&all_convolutions.unwrap()).unwrap().counts().macs;
        assert_eq!(macs(&chosen).into_iter().max(), Some(most));
        // A cell without convolutions leaves the stem, the reductions and the head.
        let none =
            NasBench201::genotype_from_arch("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").unwrap();
        let least = space.decode(&space.canonical(&none)).unwrap().counts().macs;
        assert!(macs(&chosen).into_iter().min().unwrap() <= 2 * least.max(1));
    }

    #[test]
    fn more_probes_begin_with_the_same() {
        let space = NasBench201::default();
        let genotypes = |count| {
            choose_probes(&space, count, 5).into_iter().map(|(genotype, _)| genotype).collect::<Vec<_>>()
        };
        assert_eq!(genotypes(12)[..], genotypes(30)[..12]);
        assert_eq!(genotypes(2).len(), 2);
    }

    #[test]
    fn probes_are_spread_more_evenly_than_random_networks() {
        let space = NasBench201::default();
        let chosen = choose_probes(&space, 40, 3);
        let mut rng = Pcg64::seed_from_u64(3);
        let random: Vec<_> = (0..40)
            .map(|_| variation::sample(&space, &mut rng))
            .map(|genotype| (genotype.clone(), space.decode(&genotype).unwrap()))
            .collect();
        // The largest gap between neighbors in sorted multiply-accumulates.
        let spread = |all: &[(Genotype, Architecture)]| {
            let macs = macs(all);
            macs.iter().max().unwrap() - macs.iter().min().unwrap()
        };
        assert!(spread(&chosen) > spread(&random), "{} {}", spread(&chosen), spread(&random));
    }
}
