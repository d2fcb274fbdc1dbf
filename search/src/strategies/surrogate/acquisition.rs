//! Rates candidates by their predicted objectives. Lower ratings are better.

use kiln_regression::Prediction;
use rand::Rng;
use serde::Deserialize;
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::normal::normal;
use super::volume::Volume;

/// Number of random draws over which the hypervolume improvement is averaged. Half of the draws mirror the
/// other half (antithetic sampling), which removes the sampling error of the linear part.
const DRAWS: usize = 8;

/// With [`Acquisition::Alternating`], one of this many proposals uses the confidence bound.
const BY_BOUND: usize = 3;

/// The setting `acquisition`. It determines the rule that rates the candidates for each proposal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::strategies) enum Acquisition {
    /// Two proposals use expected improvement, and the next one uses the confidence bound. Expected
    /// improvement also explores where the model is uncertain. The confidence bound exploits what the model
    /// predicts to be best.
    ///
    /// Source: Hoffman, Brochu, de Freitas, Portfolio allocation for Bayesian optimization, UAI 2011.
    /// Differs: the rules alternate in a fixed order.
    #[default]
    Alternating,
    /// Every proposal uses [`Rule::ConfidenceBound`].
    ConfidenceBound,
    /// Every proposal uses [`Rule::ExpectedImprovement`].
    ExpectedImprovement,
    /// Every proposal uses [`Rule::Thompson`].
    Thompson,
}

impl Acquisition {
    /// Returns the rule for the next proposal. `proposals` is the number of earlier proposals.
    pub(in crate::strategies) const fn rule(self, proposals: usize) -> Rule {
        match self {
            Self::Alternating if proposals % BY_BOUND == BY_BOUND - 1 => Rule::ConfidenceBound,
            Self::ConfidenceBound => Rule::ConfidenceBound,
            Self::Alternating | Self::ExpectedImprovement => Rule::ExpectedImprovement,
            Self::Thompson => Rule::Thompson,
        }
    }
}

/// The rule that rates the candidates for one proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::strategies) enum Rule {
    /// The mean minus a multiple of the standard deviation. With several objectives, the hypervolume that a
    /// candidate with these objective values would add.
    ///
    /// Source: Srinivas, Krause, Kakade, Seeger, Gaussian process optimization in the bandit setting, ICML
    /// 2010; Ponweiser, Wagner, Biermann, Vincze, Multiobjective optimization on a limited budget of
    /// evaluations using model-assisted S-metric selection, PPSN 2008.
    ConfidenceBound,
    /// The expected improvement over the best trial so far. With several objectives, the expected improvement
    /// of the hypervolume.
    ///
    /// Source: Jones, Schonlau, Welch, Efficient global optimization of expensive black-box functions, J.
    /// Global Optim. 1998, equation 15.
    ExpectedImprovement,
    /// A random draw from the predicted distribution of each candidate. With several objectives, the
    /// hypervolume that the draw would add.
    ///
    /// Source: White, Neiswanger, Savani, BANANAS, AAAI 2021 (independent Thompson sampling).
    Thompson,
}

impl Rule {
    /// Rates each candidate by the predictions of one objective. `best` is the lowest objective value of all
    /// trials. The confidence bound is `optimism` standard deviations below the mean.
    pub(super) fn of_one(
        self,
        predicted: &[Prediction],
        best: f64,
        optimism: f64,
        rng: &mut dyn Rng,
    ) -> Vec<f64> {
        let mut value = |found: &Prediction| match self {
            Self::ConfidenceBound => found.mean - optimism * found.deviation,
            Self::Thompson => found.mean + found.deviation * normal(rng),
            Self::ExpectedImprovement => -expected_improvement(best - found.mean, found.deviation),
        };
        predicted.iter().map(&mut value).collect()
    }

    /// Rates each candidate by the predictions of several objectives. `scaled` converts an objective's
    /// predicted value to the scale of the hypervolume.
    pub(super) fn of_several(
        self,
        predicted: &[Vec<Prediction>],
        scaled: impl Fn(usize, f64) -> f64,
        volume: &Volume,
        optimism: f64,
        rng: &mut dyn Rng,
    ) -> Vec<f64> {
        let objectives = predicted.first().map_or(0, Vec::len);
        let at = |found: &[Prediction], deviations: &mut dyn FnMut(usize) -> f64| -> Vec<f64> {
            let each = found.iter().enumerate();
            each.map(|(i, found)| scaled(i, found.mean + deviations(i) * found.deviation)).collect()
        };
        let bound = |found: &[Prediction]| at(found, &mut |_| -optimism);
        match self {
            Self::ConfidenceBound => predicted.iter().map(|found| -volume.gain(&bound(found))).collect(),
            Self::Thompson => {
                predicted.iter().map(|found| -volume.gain(&at(found, &mut |_| normal(rng)))).collect()
            }
            Self::ExpectedImprovement => {
                let half: Vec<Vec<f64>> =
                    (0..DRAWS / 2).map(|_| (0..objectives).map(|_| normal(rng)).collect()).collect();
                let draws = || half.iter().flat_map(|draw| [(draw, 1.0), (draw, -1.0)]);
                let mean = |found: &Vec<Prediction>| {
                    let drawn = draws().map(|(draw, sign)| {
                        volume.gain(&at(found, &mut |index| sign * draw[index])).max(0.0)
                    });
                    let expected = drawn.sum::<f64>() / DRAWS as f64;
                    // If no draw adds volume, candidates are ranked by the distance of their confidence bound
                    // from the front.
                    if expected > 0.0 { -expected } else { -volume.gain(&bound(found)).min(0.0) }
                };
                predicted.iter().map(mean).collect()
            }
        }
    }
}

/// Returns the expected improvement, in the unit of `gain`. `gain` is the best value minus the predicted
/// mean.
fn expected_improvement(gain: f64, deviation: f64) -> f64 {
    if deviation <= f64::EPSILON {
        return gain.max(0.0);
    }
    let normal = Normal::standard();
    let z = gain / deviation;
    gain * normal.cdf(z) + deviation * normal.pdf(z)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn expected_improvements_by_hand() {
        // If the mean equals the best value, the expected improvement is the standard deviation divided by
        // sqrt(2 pi).
        assert!((expected_improvement(0.0, 2.0) - 2.0 * 0.398_942_280_4).abs() < 1e-9);
        assert!(
            (expected_improvement(3.0, 0.0) - 3.0).abs() < 1e-12 && expected_improvement(-1.0, 0.0) <= 0.0
        );
        // For z = 1, the expected improvement is 1 * .841345 + 1 * .241971.
        assert!((expected_improvement(1.0, 1.0) - 1.083_315_5).abs() < 1e-6);
    }

    #[test]
    fn alternating_rules_use_the_bound_for_every_third_proposal() {
        let rules: Vec<Rule> = (0..6).map(|proposals| Acquisition::default().rule(proposals)).collect();
        let three = [Rule::ExpectedImprovement, Rule::ExpectedImprovement, Rule::ConfidenceBound];
        assert_eq!(rules, [three, three].concat());
        assert_eq!(Acquisition::Thompson.rule(2), Rule::Thompson);
    }

    #[test]
    fn rules_rate_better_means_lower_at_equal_deviations() {
        let at = |mean: f64| Prediction { mean, deviation: 0.1 };
        for rule in [Rule::ConfidenceBound, Rule::ExpectedImprovement, Rule::Thompson] {
            let mut rng = Pcg64::seed_from_u64(2);
            let one = rule.of_one(&[at(-1.0), at(1.0)], 0.0, 1.0, &mut rng);
            assert!(one[0] < one[1], "{rule:?}");
            let mut volume = Volume::new(vec![1.1; 2], &mut rng);
            volume.insert(&[0.5, 0.5]);
            let pairs = [[0.1, 0.1], [0.3, 0.3], [0.9, 0.9], [3.0, 3.0]].map(|pair| pair.map(at).to_vec());
            let several = rule.of_several(&pairs, |_, value| value, &volume, 0.0, &mut rng);
            assert!(several.is_sorted_by(|a, b| a < b), "{rule:?}: {several:?}");
        }
    }
}
