//! Estimates the dominated volume of points with many coordinates, if computing the exact volume would take
//! minutes. The estimate is the share of random points in the box that are dominated.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Number of random points.
pub(super) const SAMPLES: usize = 1 << 16;
/// Seed of the random points. It is constant, so that equal fronts give equal estimates.
const SEED: u64 = 0x766f_6c75_6d65;

/// Returns the dominated share of the box after each point that increases the share. Also returns the largest
/// standard error of these shares. `best` is the corner of the box at which all values are lowest.
pub(super) fn growth<'a>(
    points: impl Iterator<Item = (usize, &'a [f64])>,
    reference: &[f64],
    best: &[f64],
) -> (Vec<(usize, f64)>, f64) {
    let mut rng = Pcg64::seed_from_u64(SEED);
    let mut draw = || -> Vec<f64> {
        let sides = best.iter().zip(reference);
        sides.map(|(low, high)| low + (high - low) * rng.random::<f64>()).collect()
    };
    let mut left: Vec<Vec<f64>> = (0..SAMPLES).map(|_| draw()).collect();
    let (mut shares, mut error) = (Vec::new(), 0.0_f64);
    for (number, point) in points {
        let before = left.len();
        left.retain(|sample| point.iter().zip(sample).any(|(value, sample)| value > sample));
        if left.len() < before {
            let share = (SAMPLES - left.len()) as f64 / SAMPLES as f64;
            error = error.max((share * (1.0 - share) / SAMPLES as f64).sqrt());
            shares.push((number, share));
        }
    }
    (shares, error)
}
