//! Chooses the kernels of a space that are worth measuring.

use std::collections::BTreeSet;

use kiln_regression::squared_distance;
use kiln_space::{SearchSpace, variation};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::features::{Base, few};
use super::shape::{KernelKind, KernelShape};
use crate::Schedule;
use crate::measuring::choose_probes;

/// Networks whose kernels are gathered at least, among them the extremes of the space.
const PROBES: usize = 200;
/// Networks in a row without a new kernel after which none is expected.
const FRUITLESS: usize = 1000;
/// Most networks that are drawn.
const DRAWS_MAX: usize = 100_000;
/// Squared distance between kernels of different kinds: farther than kernels of one kind usually are.
const OTHER_KIND: f64 = 100.0;

/// The distinct kernels of a space that a network can consist of, in ascending order. Networks are drawn
/// until 1000 in a row have no new kernel, or until there are more than `most`.
///
/// # Example
/// ```
/// use kiln_hw_models::distinct_kernels;
/// use kiln_space::spaces::NasBench201;
///
/// // Each of three stages has convolutions, a pooling and sums, fused and not.
/// let kernels = distinct_kernels(&NasBench201::default(), 1, 0, 1000);
/// assert!((20..100).contains(&kernels.len()));
/// ```
#[must_use]
pub fn distinct_kernels(space: &dyn SearchSpace, batch: u64, seed: u64, most: usize) -> Vec<KernelShape> {
    let mut found = BTreeSet::new();
    let add = |found: &mut BTreeSet<KernelShape>, network: &kiln_space::Architecture| {
        let before = found.len();
        let kernels = Schedule::new(network).kernels;
        let shapes = kernels.iter().map(|kernel| KernelShape::new(network, kernel, batch));
        found.extend(shapes.filter(|shape| shape.network().is_ok()));
        found.len() > before
    };
    for (_, network) in choose_probes(space, PROBES, seed) {
        add(&mut found, &network);
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut fruitless = 0;
    for _ in 0..DRAWS_MAX {
        if fruitless >= FRUITLESS || found.len() > most {
            break;
        }
        let network = space.decode(&variation::sample(space, &mut rng));
        let is_new = network.is_ok_and(|network| add(&mut found, &network));
        fruitless = if is_new { 0 } else { fruitless + 1 };
    }
    found.into_iter().collect()
}

/// Up to `count` of these kernels: first the one with the most operations of each kind, then always the one
/// that is farthest from all chosen ones. With a larger `count`, the first ones stay the same.
#[must_use]
pub fn choose_kernels(kernels: &[KernelShape], count: usize) -> Vec<KernelShape> {
    let unit = Base { operations_per_us: 1e3, bytes_per_us: 1e3, overhead_us: 1.0 };
    let features: Vec<Vec<f64>> = kernels.iter().map(|kernel| few(kernel, &unit)).collect();
    let distance = |a: usize, b: usize| {
        let other = if kernels[a].kind == kernels[b].kind { 0.0 } else { OTHER_KIND };
        other + squared_distance(&features[a], &features[b])
    };
    let largest = |kind: KernelKind| {
        let of_kind = (0..kernels.len()).filter(|i| kernels[*i].kind == kind);
        of_kind.max_by(|a, b| kernels[*a].operations().total_cmp(&kernels[*b].operations()))
    };
    let mut chosen: Vec<usize> = KernelKind::ALL.into_iter().filter_map(largest).collect();
    let nearest = |i: usize| chosen.iter().map(|c| distance(i, *c)).fold(f64::INFINITY, f64::min);
    let mut distances: Vec<f64> = (0..kernels.len()).map(nearest).collect();
    while chosen.len() < count.min(kernels.len()) {
        let open = (0..kernels.len()).filter(|i| !chosen.contains(i));
        let next = open.max_by(|a, b| distances[*a].total_cmp(&distances[*b]).then(b.cmp(a)));
        let Some(next) = next else { break };
        chosen.push(next);
        for (i, known) in distances.iter_mut().enumerate() {
            *known = known.min(distance(i, next));
        }
    }
    chosen.truncate(count);
    chosen.into_iter().map(|i| kernels[i]).collect()
}

#[cfg(test)]
mod tests {
    use kiln_space::spaces::NasBench201;

    use super::*;

    #[test]
    fn chosen_kernels_hold_every_kind_and_begin_the_same() {
        let all = distinct_kernels(&NasBench201::default(), 1, 0, 1000);
        let kinds = |kernels: &[KernelShape]| -> BTreeSet<KernelKind> {
            kernels.iter().map(|kernel| kernel.kind).collect()
        };
        let chosen = choose_kernels(&all, 15);
        assert_eq!((chosen.len(), kinds(&chosen)), (15, kinds(&all)));
        assert_eq!(choose_kernels(&all, 12)[..], chosen[..12]);
        assert_eq!(choose_kernels(&all, 100_000).len(), all.len());
        assert!(distinct_kernels(&NasBench201::default(), 1, 0, 3).len() > 3);
    }
}
