//! The interval of the fitted model.

use serde::{Deserialize, Serialize};

/// Fewest points from which the interval is not widened.
const WIDENED: usize = 30;
/// Factor of the bound of fewer points.
const WIDER: f64 = 1.25;
/// Deviations above this many medians count as that many.
const DEVIATION_MAX: f64 = 3.0;

/// The bound of nine of ten errors of networks that were not fitted, as logarithms of quotients.
///
/// Source: V. Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74, 2015;
/// J. Lei et al., Distribution-free predictive inference for regression, Journal of the American Statistical
/// Association 113(523), 2018, section 5.2, for errors in local deviations. Differs: above 60 points the
/// folds share the kernels. Half of the scale is the same for all networks, since a model that misjudges its
/// own uncertainty would spread intervals too much; for the same reason the deviation is limited. Below
/// [`WIDENED`] points the bound is wider, since networks that were chosen are not exchangeable with others. A
/// rank above the number of points raises the largest error in proportion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bound {
    /// Errors of nine of ten networks, in deviations plus `floor`.
    quantile: f64,
    /// Median deviation.
    floor: f64,
}

impl Bound {
    /// The bound of errors, each with its deviation.
    pub(super) fn new(errors: &[(f64, f64)]) -> Self {
        let mut deviations: Vec<f64> = errors.iter().map(|(_, deviation)| *deviation).collect();
        deviations.sort_by(f64::total_cmp);
        let floor = deviations.get(deviations.len() / 2).copied().unwrap_or(0.0);
        let unscaled = Self { quantile: 1.0, floor };
        let mut scaled: Vec<f64> =
            errors.iter().map(|(error, deviation)| error / unscaled.scale(*deviation)).collect();
        scaled.sort_by(f64::total_cmp);
        let few = scaled.len() < WIDENED;
        let rank = ((scaled.len() as f64 + 1.0) * 0.9).ceil() + if few { 1.0 } else { 0.0 };
        let place = (rank as usize).clamp(1, scaled.len().max(1)) - 1;
        let found = scaled.get(place).copied().unwrap_or(2.0) * if few { WIDER } else { 1.0 };
        Self { quantile: found * (rank / (place + 1) as f64), floor }
    }

    /// What errors are measured in.
    fn scale(self, deviation: f64) -> f64 {
        deviation.min(DEVIATION_MAX * self.floor) + self.floor
    }

    /// The factor between prediction and either end of the interval.
    pub(super) fn factor(self, deviation: f64) -> f64 {
        // A quotient above 1000 says only that nothing is known.
        (self.quantile * self.scale(deviation)).min(1000_f64.ln()).exp()
    }

    /// Whether the bound of a file can be computed with.
    pub(super) fn is_usable(self) -> bool {
        [self.quantile, self.floor].iter().all(|value| value.is_finite() && (0.0..=1e6).contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_is_the_error_of_the_rank_by_hand() {
        // 39 errors of 1 to 39 hundredths in equal deviations: rank ceil(0.9 * 40) = 36.
        let errors: Vec<(f64, f64)> = (1..40).map(|i| (f64::from(i) / 100.0, 0.1)).collect();
        assert!((Bound::new(&errors).factor(0.1).ln() - 0.36).abs() < 1e-12);
        // 9 errors: rank ceil(0.9 * 10) + 1 = 10 of 9, so the largest error times 10 / 9, and wider.
        let few = Bound::new(&errors[..9]).factor(0.1).ln();
        assert!((few - 0.09 * 10.0 / 9.0 * 1.25).abs() < 1e-12, "{few}");
    }

    #[test]
    fn large_deviation_widens_the_interval_up_to_a_limit() {
        let errors: Vec<(f64, f64)> = (1..40).map(|i| (f64::from(i) / 100.0, 0.1)).collect();
        let bound = Bound::new(&errors);
        let logs = [0.1, 0.3, 30.0].map(|deviation| bound.factor(deviation).ln());
        assert!((logs[1] / logs[0] - 2.0).abs() < 1e-9 && (logs[2] / logs[1] - 1.0).abs() < 1e-9, "{logs:?}");
    }
}
