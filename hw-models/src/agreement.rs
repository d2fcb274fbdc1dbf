//! Measures how well predictions agree with measurements.

use kiln_space::Architecture;
use serde::{Deserialize, Serialize};

use crate::{CostModel, HwError};

/// A network and its measured latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The network. A layer that was measured alone is a network with one layer.
    pub architecture: Architecture,
    /// Latency of the whole batch in microseconds. This is the median if the network was measured repeatedly.
    pub latency_us: f64,
    /// Relative standard error of `latency_us`, estimated from repeated measurements. This error is 0 for a
    /// single measurement.
    pub standard_error: f64,
}

/// Error statistics of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Number of compared networks.
    pub networks: usize,
    /// Mean of |predicted - measured| / measured, in percent.
    pub mean_error_percent: f64,
    /// Median of |predicted - measured| / measured, in percent.
    pub median_error_percent: f64,
    /// Percentage of networks whose prediction is within 10 % of the measurement.
    pub within_a_tenth_percent: f64,
    /// Spearman's rank correlation; `None` if all predictions or all measurements are equal.
    pub spearman: Option<f64>,
}

/// Compares a model's predictions with measurements to which the model was not fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Error statistics of the predictions.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// Percentage of measurements inside their predicted interval.
    pub within_interval_percent: f64,
}

impl Agreement {
    /// Computes the agreement of `(predicted, measured)` pairs. All values must be finite, and measurements
    /// must be positive. Without pairs, all fields are 0.
    #[must_use]
    pub fn new(pairs: &[(f64, f64)]) -> Self {
        let mut errors: Vec<f64> = pairs
            .iter()
            .map(|(predicted, measured)| 100.0 * (predicted - measured).abs() / measured)
            .collect();
        errors.sort_by(f64::total_cmp);
        let count = errors.len().max(1) as f64;
        let middle = errors.len() / 2;
        let median = match errors.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => errors[middle],
            _ => f64::midpoint(errors[middle - 1], errors[middle]),
        };
        let (predicted, measured): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        Self {
            networks: pairs.len(),
            mean_error_percent: errors.iter().sum::<f64>() / count,
            median_error_percent: median,
            within_a_tenth_percent: 100.0 * errors.iter().filter(|error| **error <= 10.0).count() as f64
                / count,
            spearman: spearman(&predicted, &measured),
        }
    }
}

impl Comparison {
    /// Predicts the latency of every network and compares it with the measurement.
    ///
    /// # Errors
    /// The errors of [`CostModel::network`].
    pub fn new(model: &dyn CostModel, measured: &[Measured]) -> Result<Self, HwError> {
        let mut pairs = Vec::with_capacity(measured.len());
        let mut within = 0;
        for Measured { architecture, latency_us, .. } in measured {
            let predicted = model.network(architecture)?.latency_us;
            within += usize::from((predicted.low..=predicted.high).contains(latency_us));
            pairs.push((predicted.value, *latency_us));
        }
        let within_interval_percent = 100.0 * within as f64 / pairs.len().max(1) as f64;
        Ok(Self { agreement: Agreement::new(&pairs), within_interval_percent })
    }
}

/// Computes Spearman's rank correlation of two lists of equal length. Equal values share their mean rank.
/// Returns `None` if one of the lists is constant.
///
/// # Example
/// ```
/// assert_eq!(kiln_hw_models::spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]), Some(-1.0));
/// ```
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let covariance =
        |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = covariance(&a, &a) * covariance(&b, &b);
    (spread > 0.0).then(|| covariance(&a, &b) / spread.sqrt())
}

/// Returns the ranks of all values, starting at 0. Equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tie in order.chunk_by(|&i, &j| values[i].total_cmp(&values[j]).is_eq()) {
        for &i in tie {
            ranks[i] = first as f64 + (tie.len() as f64 - 1.0) / 2.0;
        }
        first += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_ties_are_their_mean_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 7.0]), [1.5, 0.0, 1.5, 3.0]);
        // The ranks 0 1.5 1.5 3 and 0 1 2 3 both have mean 1.5, so the correlation is 4.5 / sqrt(4.5 * 5).
        let found = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((found - 4.5 / 22.5_f64.sqrt()).abs() < 1e-15, "{found}");
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn agreement_matches_hand_computation() {
        let found = Agreement::new(&[(110.0, 100.0), (150.0, 200.0), (29.0, 20.0), (40.0, 40.0)]);
        let expected = Agreement {
            networks: 4,
            mean_error_percent: (10.0 + 25.0 + 45.0 + 0.0) / 4.0,
            median_error_percent: 17.5,
            within_a_tenth_percent: 50.0,
            spearman: Some(1.0),
        };
        assert_eq!(found, expected);
        assert_eq!(Agreement::new(&[]).spearman, None);
    }
}
