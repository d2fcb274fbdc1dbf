//! Kendall's rank correlation with a confidence interval. It measures how well two scores agree on the order
//! of networks.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::trials::seed;

/// Number of bootstrap resamples.
const RESAMPLES: usize = 2_000;
/// Share of the resamples below the interval, and also above the interval.
const TAIL: f64 = 0.025;

/// A rank correlation with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankCorrelation {
    /// Kendall's tau: 1 for the same order, -1 for the opposite order, about 0 for unrelated orders.
    pub tau: f64,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

/// Returns Kendall's tau-b of two scores of the same items. Returns `None` if all values of one score are
/// equal.
///
/// `(concordant - discordant) / sqrt((pairs - ties in a) (pairs - ties in b))`
///
/// Source: M. G. Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 33, 1945.
///
/// # Panics
/// If the two scores have different numbers of values.
#[must_use]
pub fn tau_b(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "each item has both scores");
    let (mut agreement, mut apart_in_a, mut apart_in_b) = (0_i64, 0_i64, 0_i64);
    for i in 0..a.len() {
        for j in 0..i {
            let (in_a, in_b) = (a[i].total_cmp(&a[j]) as i64, b[i].total_cmp(&b[j]) as i64);
            agreement += in_a * in_b;
            apart_in_a += in_a.abs();
            apart_in_b += in_b.abs();
        }
    }
    let scale = (apart_in_a as f64).sqrt() * (apart_in_b as f64).sqrt();
    (apart_in_a > 0 && apart_in_b > 0).then(|| agreement as f64 / scale)
}

/// Returns [`tau_b`] with the percentile interval of a bootstrap over the items. The generator of the
/// resamples has the seed `seed`. Returns `None` if [`tau_b`] returns `None` for the items or for most
/// resamples.
///
/// Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7, 1979.
///
/// # Panics
/// If the two scores have different numbers of values.
#[must_use]
pub fn rank_correlation(a: &[f64], b: &[f64], seed: u64) -> Option<RankCorrelation> {
    let tau = tau_b(a, b)?;
    let mut rng = seed::generator(seed, "bootstrap", &[]);
    let mut taus: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<usize> = (0..a.len()).map(|_| rng.random_range(0..a.len())).collect();
            let pick = |scores: &[f64]| drawn.iter().map(|item| scores[*item]).collect::<Vec<f64>>();
            tau_b(&pick(a), &pick(b))
        })
        .collect();
    if taus.len() < RESAMPLES / 2 {
        return None;
    }
    taus.sort_by(f64::total_cmp);
    let tail = (TAIL * taus.len() as f64) as usize;
    Some(RankCorrelation { tau, low: taus[tail], high: taus[taus.len() - 1 - tail] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tau(a: &[f64], b: &[f64]) -> f64 {
        tau_b(a, b).unwrap()
    }

    #[test]
    fn tau_without_ties_by_hand() {
        assert!((tau(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]) - 1.0).abs() < 1e-12);
        assert!((tau(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // One of six pairs is discordant, so tau is (5 - 1) / 6.
        assert!((tau(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]) - 4.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn tau_with_ties_by_hand() {
        // Pair (1,2) is tied in `a`, pair (3,4) is tied in `b`, and the four other pairs are concordant. So
        // tau is 4 / sqrt(5 * 5).
        assert!((tau(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 3.0]) - 0.8).abs() < 1e-12);
        assert_eq!(tau_b(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(tau_b(&[], &[]), None);
    }

    #[test]
    fn interval_holds_tau_and_narrows_with_more_items() {
        let noisy = |items: usize| {
            let a: Vec<f64> = (0..items).map(|i| i as f64).collect();
            let b: Vec<f64> = (0..items).map(|i| (i + 7 * (i % 3)) as f64).collect();
            rank_correlation(&a, &b, 1).unwrap()
        };
        let (few, many) = (noisy(12), noisy(60));
        for found in [few, many] {
            assert!(found.low <= found.tau && found.tau <= found.high, "{found:?}");
        }
        assert!(many.high - many.low < few.high - few.low, "{few:?} {many:?}");
        assert_eq!(noisy(12), few, "the same seed gives the same interval");
        let same = rank_correlation(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0], 1).unwrap();
        assert!((same.low - 1.0).abs() < 1e-12 && (same.high - 1.0).abs() < 1e-12, "{same:?}");
    }
}
