//! Which networks to measure.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::process::{Kernel, Pair};
use super::rows::Row;

/// Networks that compete for a measurement.
const COMPETING: usize = 500;
/// Networks that are chosen; further ones are drawn. Intervals rest on networks that are drawn.
pub(crate) const CHOSEN_MAX: usize = 24;

/// Chooses `count` of the networks `allowed`, one after the other: each time the one whose measurement leaves
/// the smallest variance over all of them, by the covariance that is assumed before anything is measured.
/// Where known devices disagree, that covariance is large.
///
/// Source: D. Cohn, Neural network exploration using optimal experiment design, Neural Networks 9(6), 1996,
/// equation 6. Differs: a Gaussian process instead of a network.
pub(crate) fn chosen(rows: &[Row], allowed: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut drawn = drawn(allowed, count.max(COMPETING), seed);
    let place = |row: &Row| row.place(1.0, row.prior);
    let competing = &drawn[..drawn.len().min(COMPETING)];
    let kernel = Kernel::PRIOR;
    let mut covariances: Vec<Vec<f64>> = competing
        .iter()
        .map(|&i| {
            let to = |&j: &usize| {
                kernel.covariance(place(&rows[i]), place(&rows[j]), Pair::new(&rows[i], &rows[j]))
            };
            competing.iter().map(to).collect()
        })
        .collect();
    let mut order = Vec::with_capacity(count);
    for _ in 0..count.min(CHOSEN_MAX).min(competing.len()) {
        let gain = |i: usize| {
            let squares: f64 = covariances[i].iter().map(|covariance| covariance * covariance).sum();
            squares / (covariances[i][i].max(0.0) + kernel.noise)
        };
        let open = (0..covariances.len()).filter(|i| !order.contains(i));
        let Some((_, best)) = open.map(|i| (gain(i), i)).max_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        order.push(best);
        let pivot = covariances[best].clone();
        let whole = pivot[best].max(0.0) + kernel.noise;
        for (i, row) in covariances.iter_mut().enumerate() {
            let share = pivot[i] / whole;
            for (covariance, other) in row.iter_mut().zip(&pivot) {
                *covariance -= share * other;
            }
        }
    }
    let first: Vec<usize> = order.iter().map(|&i| competing[i]).collect();
    drawn.retain(|network| !first.contains(network));
    drawn.truncate(count.saturating_sub(first.len()));
    first.into_iter().chain(drawn).collect()
}

/// Draws `count` of the networks `allowed`, uniformly and in random order.
pub(crate) fn drawn(allowed: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut order = allowed.to_vec();
    let count = count.min(order.len());
    for place in 0..count {
        let other = rng.random_range(place..order.len());
        order.swap(place, other);
    }
    order.truncate(count);
    order
}
