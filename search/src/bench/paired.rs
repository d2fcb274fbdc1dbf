//! Tests whether one strategy is better than another on the same seeds.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// Maximum number of pairs for which the distribution of the statistic is computed exactly.
const EXACT: usize = 50;

/// A comparison with a baseline, seed by seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Number of seeds on which the strategy is better.
    pub better: usize,
    /// Number of seeds on which the strategy is worse.
    pub worse: usize,
    /// Number of seeds on which the strategy and the baseline are equal.
    pub equal: usize,
    /// p-value of the test that the strategy is better: the probability of at least this much evidence if
    /// there is no difference.
    pub p_better: f64,
    /// p-value of the test that the strategy is worse.
    pub p_worse: f64,
}

/// One-sided Wilcoxon signed-rank tests of `found` against `baseline`, where lower is better. Pairs with
/// equal values are left out, and equal differences share their mean rank. The test is exact for up to 50
/// pairs without equal differences. Otherwise it uses the normal approximation with corrections for ties and
/// continuity.
///
/// Source: Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1945; Hollander, Wolfe,
/// Chicken, Nonparametric statistical methods, Wiley 2014, section 3.1.
///
/// # Panics
/// If `found` and `baseline` have different lengths.
#[must_use]
pub fn wilcoxon(found: &[f64], baseline: &[f64]) -> Paired {
    assert_eq!(found.len(), baseline.len(), "every seed has a result of both");
    let mut differences: Vec<f64> = found.iter().zip(baseline).map(|(a, b)| a - b).collect();
    differences.retain(|difference| difference.abs() > f64::EPSILON);
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (mut lower, mut higher, mut ties, mut rank) = (0.0, 0.0, 0.0, 0.0);
    for equal in differences.chunk_by(|a, b| (a.abs() - b.abs()).abs() <= f64::EPSILON) {
        let size = equal.len() as f64;
        let middle = rank + f64::midpoint(size, 1.0);
        lower += middle * equal.iter().filter(|difference| **difference < 0.0).count() as f64;
        higher += middle * equal.iter().filter(|difference| **difference > 0.0).count() as f64;
        ties += size.powi(3) - size;
        rank += size;
    }
    let n = differences.len();
    let p = |sum: f64| if ties <= 0.0 && n <= EXACT { exact(n, sum) } else { approximate(n, sum, ties) };
    let better = differences.iter().filter(|difference| **difference < 0.0).count();
    Paired { better, worse: n - better, equal: found.len() - n, p_better: p(lower), p_worse: p(higher) }
}

/// Returns the probability that the ranks with a positive sign add up to at least `sum`, if each sign is
/// random with probability 1/2.
fn exact(n: usize, sum: f64) -> f64 {
    let mut share = vec![1.0];
    for rank in 1..=n {
        let mut next = vec![0.0; share.len() + rank];
        for (at, value) in share.iter().enumerate() {
            next[at] += value / 2.0;
            next[at + rank] += value / 2.0;
        }
        share = next;
    }
    share.iter().enumerate().filter(|(at, _)| *at as f64 >= sum).map(|(_, value)| value).sum::<f64>().min(1.0)
}

fn approximate(n: usize, sum: f64, ties: f64) -> f64 {
    let n = n as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    if variance <= 0.0 {
        return 1.0;
    }
    Normal::standard().sf((sum - n * (n + 1.0) / 4.0 - 0.5) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_of_small_samples_by_hand() {
        // In all four unequal pairs, `found` is lower. This is one of 16 sign patterns.
        let all = wilcoxon(&[1.0, 1.0, 1.0, 1.0, 7.0], &[2.0, 3.0, 4.0, 5.0, 7.0]);
        assert_eq!((all.better, all.worse, all.equal), (4, 0, 1));
        assert!((all.p_better - 1.0 / 16.0).abs() < 1e-12 && (all.p_worse - 1.0).abs() < 1e-12);
        // `found` is lower in the pairs with ranks 2, 3 and 4, and higher in the pair with rank 1. The rank
        // sum is 9, and 2 of 16 sign patterns have a sum of at least 9.
        let most = wilcoxon(&[3.0, 1.0, 1.0, 1.0], &[2.0, 3.0, 4.0, 5.0]);
        assert!((most.p_better - 2.0 / 16.0).abs() < 1e-12, "{most:?}");
    }

    #[test]
    fn equal_samples_have_p_values_of_one() {
        let same = wilcoxon(&[1.0, 2.0], &[1.0, 2.0]);
        assert!((same.p_better - 1.0).abs() < 1e-12 && (same.p_worse - 1.0).abs() < 1e-12);
        assert_eq!(same.equal, 2);
    }

    #[test]
    fn normal_approximation_agrees_with_the_exact_distribution() {
        for sum in [700.0, 800.0, 900.0] {
            assert!((exact(50, sum) - approximate(50, sum, 0.0)).abs() < 2e-3, "{sum}");
        }
    }

    #[test]
    fn ties_share_ranks_in_the_approximation() {
        // All 60 pairs differ by 1, and `found` is lower in 45 of them. All differences have equal rank, so
        // the test is a sign test. Without the continuity correction, z is 3.873.
        let found: Vec<f64> = (0..60).map(|i| if i < 45 { 0.0 } else { 2.0 }).collect();
        let paired = wilcoxon(&found, &[1.0; 60]);
        assert!(paired.p_better < 1e-4 && paired.p_better > 1e-5, "{paired:?}");
        assert!(paired.p_worse > 0.999);
    }
}
