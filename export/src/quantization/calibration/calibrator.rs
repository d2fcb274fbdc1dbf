//! Chooses the range of a quantization grid from a histogram.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::entropy::entropy_threshold;
use super::histogram::Histogram;
use crate::{ExportError, Grid};

/// Percentage of values inside the range of `percentile`, if none is stated.
const PERCENTILE: f64 = 99.99;
/// Number of ranges that a search along one end tries.
const CANDIDATES: u32 = 64;
/// The smallest share of the whole range that a search tries.
const LEAST_SHARE: f64 = 0.1;

/// How the range of a quantization grid follows from the activations of calibration.
///
/// In text, a calibrator is `min-max`, `percentile` (of 99.99 %), `percentile-99.9`, `mse` or `entropy`.
///
/// # Example
/// ```
/// use kiln_export::{Calibrator, Histogram};
/// let mut histogram = Histogram::default();
/// histogram.add(&[0.0, 1.0, 2.0, 25.5]);
/// let grid = Calibrator::MinMax.grid(&histogram, false).expect("the values are finite");
/// assert!((grid.scale - 0.1).abs() < 1e-6);
/// assert_eq!("percentile-99.9".parse::<Calibrator>()?, Calibrator::Percentile(99.9));
/// # Ok::<(), kiln_export::ExportError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// The range of all values.
    #[default]
    MinMax,
    /// The range that contains this percentage of the values. Each end excludes half of the others.
    Percentile(f64),
    /// The range whose grid has the smallest mean squared error.
    MeanSquaredError,
    /// The range whose grid loses the least information about the distribution of magnitudes: its
    /// Kullback-Leibler divergence from the distribution is the smallest.
    ///
    /// Source: S. Migacz, "8-bit inference with `TensorRT`", GPU Technology Conference 2017. Differs: exact
    /// zeros are not counted, and ranges of one sign use all 256 values of an asymmetric grid.
    Entropy,
}

impl Calibrator {
    /// Returns the quantization grid for these values. A `symmetric` grid has the zero point 0. Returns
    /// `None` if there are no values, or if a value is not finite.
    #[must_use]
    pub fn grid(self, histogram: &Histogram, symmetric: bool) -> Option<Grid> {
        let range = histogram.range()?;
        match self {
            Self::MinMax => grid(range, symmetric),
            Self::Percentile(percent) => grid(inside(histogram, range, percent), symmetric),
            Self::MeanSquaredError => least_error(histogram, range, symmetric),
            Self::Entropy => {
                let threshold = entropy_threshold(histogram, symmetric || range[0] < 0.0) as f32;
                grid([range[0].max(-threshold), range[1].min(threshold)], symmetric)
            }
        }
    }
}

impl fmt::Display for Calibrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile-{percent}"),
            Self::MeanSquaredError => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

impl FromStr for Calibrator {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, ExportError> {
        let unknown = || ExportError::UnknownCalibrator { name: text.to_owned() };
        match text {
            "min-max" => Ok(Self::MinMax),
            "percentile" => Ok(Self::Percentile(PERCENTILE)),
            "mse" => Ok(Self::MeanSquaredError),
            "entropy" => Ok(Self::Entropy),
            other => {
                let percent = other.strip_prefix("percentile-").and_then(|percent| percent.parse().ok());
                let percent = percent.filter(|percent: &f64| (50.0..=100.0).contains(percent));
                percent.map(Self::Percentile).ok_or_else(unknown)
            }
        }
    }
}

fn grid([min, max]: [f32; 2], symmetric: bool) -> Option<Grid> {
    if symmetric { Grid::symmetric(min, max) } else { Grid::covering(min, max) }
}

/// Returns the range of the values without `100 - percent` percent of them, half at each end.
fn inside(histogram: &Histogram, [min, max]: [f32; 2], percent: f64) -> [f32; 2] {
    let values = histogram.values();
    let excluded = histogram.count() as f64 * ((100.0 - percent) / 200.0);
    let end = |ordered: &mut dyn Iterator<Item = &(f32, u64)>| {
        let mut passed = 0.0;
        let mut last = 0.0;
        for (value, count) in ordered {
            passed += *count as f64;
            last = *value;
            if passed > excluded {
                break;
            }
        }
        last
    };
    // A value represents its bin by the center, so half a bin is added.
    let half = (histogram.width() / 2.0) as f32;
    let (low, high) = (end(&mut values.iter()), end(&mut values.iter().rev()));
    [(low - half).max(min), (high + half).min(max)]
}

/// Searches the range whose grid has the smallest mean squared error. First scales both ends together, then
/// moves each end alone, twice. If errors are equal, the wider range is used.
fn least_error(histogram: &Histogram, [min, max]: [f32; 2], symmetric: bool) -> Option<Grid> {
    let values = histogram.values();
    let error =
        |range: [f32; 2]| grid(range, symmetric).map_or(f64::INFINITY, |grid| squared_error(grid, &values));
    let share = |i: u32| (1.0 - (1.0 - LEAST_SHARE) * f64::from(i) / f64::from(CANDIDATES)) as f32;
    let mut best = ([min, max], error([min, max]));
    let mut search = |change: &dyn Fn([f32; 2], f32) -> [f32; 2]| {
        let from = best.0;
        for i in 0..=CANDIDATES {
            let range = change(from, share(i));
            let found = error(range);
            if found < best.1 {
                best = (range, found);
            }
        }
    };
    search(&|[min, max], share| [min * share, max * share]);
    if !symmetric && min < 0.0 && max > 0.0 {
        for _ in 0..2 {
            search(&|[_, high], share| [min * share, high]);
            search(&|[low, _], share| [low, max * share]);
        }
    }
    grid(best.0, symmetric)
}

fn squared_error(grid: Grid, values: &[(f32, u64)]) -> f64 {
    let error = |(value, count): &(f32, u64)| f64::from(value - grid.round(*value)).powi(2) * *count as f64;
    values.iter().map(error).sum()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Values with a bell-shaped distribution and a few outliers.
    fn bell(seed: u64, shift: f32) -> Vec<f32> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut values: Vec<f32> = (0..20_000)
            .map(|_| (0..12).map(|_| rng.random_range(-0.5..0.5_f32)).sum::<f32>() + shift)
            .collect();
        values.extend([60.0, -30.0, 45.0]);
        values
    }

    #[test]
    fn min_max_covers_all_values() {
        for values in [bell(1, 0.0), bell(2, 5.0), vec![3.0], vec![0.0; 4], vec![-1.0, -2.0]] {
            let (min, max) = (
                values.iter().copied().fold(f32::INFINITY, f32::min),
                values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            );
            assert_eq!(Calibrator::MinMax.grid(&histogram(&values), false), Grid::covering(min, max));
        }
    }

    #[test]
    fn percentile_equals_sorted_values() {
        let mut values = bell(3, 0.3);
        let range = inside(&histogram(&values), [-30.0, 60.0], 99.0);
        values.sort_by(f32::total_cmp);
        // Half of one percent of 20003 values is at each end. A bin is 64 / 2048 wide.
        let expected = [values[100], values[values.len() - 101]];
        for (found, expected) in range.iter().zip(expected) {
            assert!((found - expected).abs() <= 64.0 / 2048.0, "{found}, not {expected}");
        }
        let whole = inside(&histogram(&values), [-30.0, 60.0], 100.0);
        assert_eq!(whole.map(f32::to_bits), [-30.0_f32, 60.0].map(f32::to_bits));
    }

    #[test]
    fn mean_squared_error_is_near_the_best_of_all_ranges() {
        for (shift, symmetric) in [(0.0, true), (0.0, false), (2.5, false), (40.0, false)] {
            let values: Vec<f32> =
                bell(4, shift).into_iter().map(|x| if shift > 30.0 { x.max(0.0) } else { x }).collect();
            let histogram = histogram(&values);
            let counted: Vec<(f32, u64)> = values.iter().map(|value| (*value, 1)).collect();
            let found = Calibrator::MeanSquaredError.grid(&histogram, symmetric).unwrap();
            let found = squared_error(found, &counted);
            let [min, max] = histogram.range().unwrap();
            let shares = || (1..=24).map(|i| i as f32 / 24.0);
            let all = shares().flat_map(|low| shares().map(move |high| [min * low, max * high]));
            let best =
                all.filter_map(|range| grid(range, symmetric)).map(|grid| squared_error(grid, &counted));
            let best = best.fold(f64::INFINITY, f64::min);
            assert!(found <= 1.05 * best, "shift {shift}: {found}, best of a search over both ends {best}");
            let whole = squared_error(grid([min, max], symmetric).unwrap(), &counted);
            assert!(found <= whole);
        }
    }

    #[test]
    fn outliers_are_clipped_by_all_but_min_max() {
        let values = bell(5, 0.0);
        let histogram = histogram(&values);
        let widest = Calibrator::MinMax.grid(&histogram, true).unwrap().scale;
        for calibrator in [Calibrator::Percentile(99.9), Calibrator::Entropy] {
            let scale = calibrator.grid(&histogram, true).unwrap().scale;
            assert!(scale < widest / 4.0, "{calibrator}: {scale} of {widest}");
        }
    }

    #[test]
    fn symmetric_grids_have_zero_point_zero() {
        let histogram = histogram(&bell(6, 1.0));
        for name in ["min-max", "percentile", "percentile-99.5", "mse", "entropy"] {
            let calibrator: Calibrator = name.parse().unwrap();
            assert_eq!(calibrator.grid(&histogram, true).unwrap().zero_point, 0, "{name}");
            let shown = calibrator.to_string();
            assert_eq!(shown.parse::<Calibrator>().unwrap(), calibrator, "{shown}");
        }
        let said = "percentile-200".parse::<Calibrator>().unwrap_err().to_string();
        assert!(said.contains("`percentile-200`") && said.contains("`entropy`"), "{said}");
    }
}
