//! The conformal bound of errors: how far nine of ten predictions are off at most.

use serde::{Deserialize, Serialize};

/// Errors as logarithms of quotients, relative to the uncertainty that a model states.
///
/// Source: H. Papadopoulos et al., Inductive confidence machines for regression, ECML 2002 (split conformal);
/// J. Lei et al., Distribution-free predictive inference for regression, JASA 113, 2018, section 5.2 (errors
/// divided by an estimate of their size).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bound {
    /// Quantile of the errors, each divided by its uncertainty plus `floor`.
    pub(crate) quantile: f64,
    /// Added to every uncertainty: the median one.
    pub(crate) floor: f64,
}

impl Bound {
    /// Takes the stated uncertainty as the bound.
    pub(crate) const STATED: Self = Self { quantile: 1.0, floor: 0.0 };

    /// What to say where nothing was compared: a factor of e.
    pub(crate) const UNKNOWN: Self = Self { quantile: 1.0, floor: 1.0 };

    /// The bound of errors with their uncertainties. With fewer than nine errors the quantile lies beyond the
    /// largest one, so that is raised in proportion.
    pub(crate) fn new(errors: &[(f64, f64)]) -> Self {
        let mut uncertainties: Vec<f64> = errors.iter().map(|(_, uncertainty)| *uncertainty).collect();
        uncertainties.sort_by(f64::total_cmp);
        let floor = uncertainties.get(uncertainties.len() / 2).copied().unwrap_or(0.0).max(1e-4);
        let mut scaled: Vec<f64> = errors.iter().map(|(error, own)| error.abs() / (own + floor)).collect();
        scaled.sort_by(f64::total_cmp);
        let rank = (0.9 * (scaled.len() as f64 + 1.0)).ceil();
        let place = (rank as usize).clamp(1, scaled.len().max(1));
        // Without any error nothing is known: a factor of e, if the uncertainty is 0.
        let found = scaled.get(place - 1).copied().unwrap_or(1.0 / floor);
        Self { quantile: found * (rank / place as f64), floor }
    }

    /// Half the interval of a prediction with this uncertainty, as a logarithm.
    pub(crate) fn half_width(self, uncertainty: f64) -> f64 {
        // A quotient above 1000 says only that nothing is known.
        (self.quantile * (uncertainty + self.floor)).min(1000_f64.ln())
    }

    /// Whether the bound of a file can be computed with.
    pub(crate) fn is_usable(self) -> bool {
        [self.quantile, self.floor].iter().all(|value| value.is_finite() && (0.0..=1e9).contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_holds_nine_of_ten_errors_and_more_with_few() {
        let errors: Vec<(f64, f64)> = (1..=99).map(|error| (f64::from(error) / 100.0, 0.05)).collect();
        // Rank 90 of 99.
        assert!((Bound::new(&errors).half_width(0.05) - 0.90).abs() < 1e-9);
        // Of three errors rank 4 is asked for: the largest, times 4 / 3.
        assert!((Bound::new(&errors[..3]).half_width(0.05) - 0.04).abs() < 1e-9);
        assert!(Bound::new(&[]).half_width(0.0) >= 1.0);
    }
}
