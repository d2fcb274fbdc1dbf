//! The 256 values that an 8-bit activation can have.

use serde::{Deserialize, Serialize};

/// Smallest and largest integer of a grid.
const RANGE: [f32; 2] = [-128.0, 127.0];

/// A quantization grid: 256 equidistant values. The integer `q` from -128 to 127 represents the value `(q -
/// zero_point) * scale`. So zero is represented exactly.
///
/// Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, equation 1. Values are rounded half to even, as in ONNX's
/// `QuantizeLinear`.
///
/// # Example
/// ```
/// let grid = kiln_export::Grid::covering(0.0, 25.5).expect("the ends are finite");
/// assert_eq!(grid.zero_point, -128);
/// assert!((grid.round(1.26) - 1.3).abs() < 1e-6);
/// assert_eq!(grid.round(0.0), 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Distance between neighboring values of the grid.
    pub scale: f32,
    /// The integer that represents zero.
    pub zero_point: i8,
}

impl Grid {
    /// Returns the grid that covers the range from `min` to `max`, extended to include zero. Returns `None`
    /// if an end is not finite.
    #[must_use]
    pub fn covering(min: f32, max: f32) -> Option<Self> {
        if !(min.is_finite() && max.is_finite()) {
            return None;
        }
        let (min, max) = (f64::from(min).min(0.0), f64::from(max).max(0.0));
        let scale = ((max - min) / 255.0) as f32;
        if !scale.is_normal() {
            // All values are (nearly) zero, so any grid can represent them.
            return Some(Self { scale: 1.0, zero_point: 0 });
        }
        let zero_point = (f64::from(RANGE[0]) - min / f64::from(scale)).round_ties_even();
        Some(Self { scale, zero_point: zero_point.clamp(RANGE[0].into(), RANGE[1].into()) as i8 })
    }

    /// Returns the grid with the zero point 0 that covers the range from `min` to `max`. Its integers from
    /// -127 to 127 represent this range. Returns `None` if an end is not finite.
    #[must_use]
    pub fn symmetric(min: f32, max: f32) -> Option<Self> {
        if !(min.is_finite() && max.is_finite()) {
            return None;
        }
        let scale = (f64::from(min.abs().max(max.abs())) / f64::from(RANGE[1])) as f32;
        // If all values are (nearly) zero, any grid can represent them.
        Some(Self { scale: if scale.is_normal() { scale } else { 1.0 }, zero_point: 0 })
    }

    /// Returns the integer whose grid value is nearest to `value`.
    #[must_use]
    pub fn quantize(self, value: f32) -> i8 {
        let zero_point = f32::from(self.zero_point);
        ((value / self.scale).round_ties_even() + zero_point).clamp(RANGE[0], RANGE[1]) as i8
    }

    /// Returns the value that an integer represents.
    #[must_use]
    pub fn dequantize(self, integer: i8) -> f32 {
        f32::from(i16::from(integer) - i16::from(self.zero_point)) * self.scale
    }

    /// Rounds `value` to the nearest value on the grid.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        self.dequantize(self.quantize(value))
    }

    /// Returns the minimum and maximum of `q - zero_point`.
    #[must_use]
    pub fn steps(self) -> [f32; 2] {
        RANGE.map(|end| end - f32::from(self.zero_point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    #[test]
    fn grid_matches_hand_computation() {
        // The grid has 255 intervals of 0.1 from -2.5 to 23. Zero is 25 intervals above the start, so its
        // integer is -128 + 25 = -103.
        let grid = Grid::covering(-2.5, 23.0).unwrap();
        assert!((grid.scale - 0.1).abs() < 1e-7);
        assert_eq!(grid.zero_point, -103);
        assert_eq!(
            [-9.0, -2.5, 0.0, 0.26, 23.0, 99.0].map(|x| grid.quantize(x)),
            [-128, -128, -103, -100, 127, 127]
        );
        assert!((grid.dequantize(-100) - 0.3).abs() < 1e-6);
    }

    #[test]
    fn covering_extends_range_to_zero_and_accepts_empty_range() {
        assert_eq!(Grid::covering(5.0, 25.5), Grid::covering(0.0, 25.5));
        assert_eq!(Grid::covering(-3.0, -1.0), Grid::covering(-3.0, 0.0));
        assert_eq!(Grid::covering(0.0, 0.0), Some(Grid { scale: 1.0, zero_point: 0 }));
        assert_eq!(Grid::covering(f32::NEG_INFINITY, 1.0), None);
        assert_eq!(Grid::covering(0.0, f32::NAN), None);
        assert!(Grid::covering(f32::MIN, f32::MAX).unwrap().scale.is_finite());
    }

    #[test]
    fn symmetric_grid_matches_hand_computation() {
        let grid = Grid::symmetric(-1.0, 12.7).unwrap();
        assert_eq!(grid.zero_point, 0);
        assert!((grid.scale - 0.1).abs() < 1e-7);
        assert_eq!([-99.0, -1.0, 0.26, 12.7, 99.0].map(|x| grid.quantize(x)), [-128, -10, 3, 127, 127]);
        assert_eq!(Grid::symmetric(0.0, 0.0), Some(Grid { scale: 1.0, zero_point: 0 }));
        assert_eq!(Grid::symmetric(f32::NAN, 1.0), None);
    }

    #[test]
    fn round_is_idempotent_and_within_half_a_step() {
        let mut rng = Pcg64::seed_from_u64(1);
        for _ in 0..2000 {
            let (a, b): (f32, f32) = (rng.random_range(-50.0..50.0), rng.random_range(-50.0..50.0));
            let grid = Grid::covering(a.min(b), a.max(b)).unwrap();
            let value = rng.random_range(a.min(b)..=a.max(b));
            let rounded = grid.round(value);
            assert!((rounded - value).abs() <= grid.scale * 0.501, "{grid:?}: {value} became {rounded}");
            assert_eq!(grid.round(rounded).to_bits(), rounded.to_bits(), "{grid:?}: {value}");
            assert_eq!(grid.round(0.0).to_bits(), 0, "{grid:?}");
        }
    }
}
