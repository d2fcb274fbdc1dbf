//! Summary statistics of a sample.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean, standard deviation, and the 95 % confidence interval of the mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the sample, with denominator `n - 1`. It is 0 for a sample of size one.
    pub deviation: f64,
    /// Half the width of the mean's confidence interval, by Student's t distribution. It is 0 for a sample of
    /// size one.
    pub confidence_95: f64,
}

impl Sample {
    /// Computes the statistics of these values; `None` if there are no values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n;
        if values.len() == 1 {
            return Some(Self { mean, deviation: 0.0, confidence_95: 0.0 });
        }
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        Some(Self { mean, deviation, confidence_95: t.inverse_cdf(0.975) * deviation / n.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_four_values_by_hand() {
        let sample = Sample::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((sample.mean - 2.5).abs() < 1e-12);
        assert!((sample.deviation - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        // The 0.975 quantile of Student's t distribution with 3 degrees of freedom is 3.18245.
        assert!((sample.confidence_95 - 3.182_45 * sample.deviation / 2.0).abs() < 1e-4);
        assert_eq!(Sample::of(&[2.0]).map(|sample| sample.confidence_95), Some(0.0));
        assert_eq!(Sample::of(&[]), None);
    }
}
