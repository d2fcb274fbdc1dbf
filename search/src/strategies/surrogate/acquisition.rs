//! How promising a candidate is, from what is predicted of its objectives; lower is more promising.

use rand::{Rng, RngExt};
use serde::Deserialize;
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

/// Weight of the mean over the objectives beside the worst of them (ParEGO).
const MEAN_WEIGHT: f64 = 0.05;

/// What is predicted of an objective, on the common scale.
#[derive(Clone, Copy, Debug)]
pub(in crate::strategies) struct Prediction {
    pub(in crate::strategies) mean: f64,
    pub(in crate::strategies) deviation: f64,
}

/// The rule of choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::strategies) enum Acquisition {
    /// Mean minus deviations.
    ///
    /// Source: Srinivas, Krause, Kakade, Seeger, Gaussian process optimization in the bandit setting, ICML 2010.
    #[default]
    ConfidenceBound,
    /// Expected improvement on the best so far.
    ///
    /// Source: Jones, Schonlau, Welch, Efficient global optimization of expensive black-box functions, J. Global Optim. 1998,
    /// equation 15.
    ExpectedImprovement,
    /// A draw from each candidate's own distribution.
    ///
    /// Source: White, Neiswanger, Savani, BANANAS, AAAI 2021 (independent Thompson sampling).
    Thompson,
}

/// What the rule is applied with: one weight and one offset for each objective.
#[derive(Clone, Debug)]
pub(in crate::strategies) struct Terms {
    /// Drawn anew at each choice, uniform on the simplex.
    pub(in crate::strategies) weights: Vec<f64>,
    /// What makes the best value of each objective positive.
    pub(in crate::strategies) offsets: Vec<f64>,
    /// Lowest weighed sum among the trials.
    pub(in crate::strategies) best: f64,
    /// Standard deviations below the mean, for the confidence bound.
    pub(in crate::strategies) optimism: f64,
}

impl Acquisition {
    /// The value of a candidate; lower is better.
    pub(in crate::strategies) fn value(
        self,
        predicted: &[Prediction],
        terms: &Terms,
        rng: &mut dyn Rng,
    ) -> f64 {
        match self {
            Self::ConfidenceBound => {
                terms.scalar(predicted.iter().map(|found| found.mean - terms.optimism * found.deviation))
            }
            Self::Thompson => {
                let drawn: Vec<f64> =
                    predicted.iter().map(|found| found.mean + found.deviation * normal(rng)).collect();
                terms.scalar(drawn.into_iter())
            }
            Self::ExpectedImprovement => {
                let weighed = || predicted.iter().zip(&terms.weights);
                let mean: f64 = weighed().map(|(found, weight)| weight * found.mean).sum();
                let variance: f64 = weighed().map(|(found, weight)| (weight * found.deviation).powi(2)).sum();
                -expected_improvement(terms.best - mean, variance.sqrt())
            }
        }
    }
}

impl Terms {
    /// Several values as one (augmented Chebyshev).
    fn scalar(&self, values: impl Iterator<Item = f64>) -> f64 {
        let mut worst = f64::MIN;
        let mut mean = 0.0;
        for ((value, weight), offset) in values.zip(&self.weights).zip(&self.offsets) {
            worst = worst.max(weight * (value + offset));
            mean += weight * value;
        }
        worst + MEAN_WEIGHT * mean
    }
}

/// Mean of what is below `gain` standardized; of the same size as the gain.
fn expected_improvement(gain: f64, deviation: f64) -> f64 {
    if deviation <= f64::EPSILON {
        return gain.max(0.0);
    }
    let normal = Normal::standard();
    let z = gain / deviation;
    gain * normal.cdf(z) + deviation * normal.pdf(z)
}

/// A draw from the standard normal distribution.
///
/// Source: Box, Muller, A note on the generation of random normal deviates, Ann. Math. Stat. 1958.
fn normal(rng: &mut dyn Rng) -> f64 {
    let (u, v) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn improvements_by_hand() {
        // At the mean of the best: deviation over the square root of 2 pi.
        assert!((expected_improvement(0.0, 2.0) - 2.0 * 0.398_942_280_4).abs() < 1e-9);
        assert!(
            (expected_improvement(3.0, 0.0) - 3.0).abs() < 1e-12 && expected_improvement(-1.0, 0.0) <= 0.0
        );
        // z = 1: 1 * .841345 + 1 * .241971.
        assert!((expected_improvement(1.0, 1.0) - 1.083_315_5).abs() < 1e-6);
    }

    #[test]
    fn draws_have_mean_zero_and_variance_one() {
        let mut rng = Pcg64::seed_from_u64(1);
        let drawn: Vec<f64> = (0..4_000).map(|_| normal(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 4_000.0;
        let variance = drawn.iter().map(|value| value * value).sum::<f64>() / 4_000.0;
        // Five standard errors: 5 / sqrt(4000) and 5 * sqrt(2 / 4000).
        assert!(mean.abs() < 0.08 && (variance - 1.0).abs() < 0.112, "{mean} {variance}");
    }

    #[test]
    fn every_rule_prefers_the_better_of_two_equally_sure_ones() {
        let terms = Terms { weights: vec![1.0], offsets: vec![5.0], best: 0.0, optimism: 1.0 };
        let at = |mean: f64| [Prediction { mean, deviation: 0.1 }];
        for rule in [Acquisition::ConfidenceBound, Acquisition::ExpectedImprovement, Acquisition::Thompson] {
            let mut rng = Pcg64::seed_from_u64(2);
            assert!(
                rule.value(&at(-1.0), &terms, &mut rng) < rule.value(&at(1.0), &terms, &mut rng),
                "{rule:?}"
            );
        }
    }
}
