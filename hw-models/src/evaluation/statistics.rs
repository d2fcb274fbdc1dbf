//! Scores of predictions, and their statistics over draws.

use serde::Serialize;

use super::Prediction;
use crate::spearman;

/// Statistics of a score over draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Tenth percentile.
    pub p10: f64,
}

impl Summary {
    /// Statistics of at least one value.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        // Linear interpolation between the two neighbors.
        let at = 0.1 * (values.len().max(1) - 1) as f64;
        let neighbor = |place: f64| values.get(place as usize).copied().unwrap_or(0.0);
        let (below, above) = (neighbor(at.floor()), neighbor(at.ceil()));
        Self {
            mean,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
            p10: below + (above - below) * at.fract(),
        }
    }

    /// Statistics of values that all draws have or none has.
    pub(super) fn of_some(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Option<Vec<f64>> = values.collect();
        values.map(|values| Self::of(values.into_iter()))
    }
}

/// Scores of one draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    pub(super) spearman: f64,
    pub(super) kendall: f64,
    pub(super) within_5: f64,
    pub(super) within_10: f64,
    pub(super) coverage: Option<f64>,
    pub(super) width: Option<f64>,
}

impl Scores {
    pub(super) fn new(predicted: &[Prediction], measured: &[f64]) -> Self {
        let values: Vec<f64> = predicted.iter().map(|(value, _)| *value).collect();
        let count = measured.len().max(1) as f64;
        let within = |share: f64| {
            let pairs = values.iter().zip(measured);
            pairs.filter(|(value, measured)| (*value - *measured).abs() <= share * *measured).count() as f64
                / count
        };
        let intervals: Option<Vec<[f64; 2]>> = predicted.iter().map(|(_, interval)| *interval).collect();
        let covered = |intervals: &Vec<[f64; 2]>| {
            let pairs = intervals.iter().zip(measured);
            pairs.filter(|([low, high], measured)| low <= *measured && *measured <= high).count() as f64
                / count
        };
        let width = |intervals: &Vec<[f64; 2]>| {
            let pairs = intervals.iter().zip(&values);
            pairs.map(|([low, high], value)| (high - low) / value).sum::<f64>() / count
        };
        Self {
            // A model that predicts one latency for all orders nothing.
            spearman: spearman(&values, measured).unwrap_or(0.0),
            kendall: kendall(&values, measured).unwrap_or(0.0),
            within_5: within(0.05),
            within_10: within(0.1),
            coverage: intervals.as_ref().map(covered),
            width: intervals.as_ref().map(width),
        }
    }
}

/// Kendall's rank correlation of two lists of equal length, tau-b: corrected for ties. `None` if one list is
/// constant.
///
/// Source: W. Knight, A computer method for calculating Kendall's tau with ungrouped data, Journal of the
/// American Statistical Association 61, 1966: inversions are counted while sorting.
///
/// # Example
/// ```
/// assert_eq!(kiln_hw_models::kendall(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), Some(2.0 / 3.0));
/// ```
#[must_use]
pub fn kendall(a: &[f64], b: &[f64]) -> Option<f64> {
    let mut pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let tied = |groups: &mut dyn Iterator<Item = usize>| -> f64 {
        groups.map(|size| size as f64 * (size as f64 - 1.0) / 2.0).sum()
    };
    let equal = |x: f64, y: f64| x.total_cmp(&y).is_eq();
    let tied_a = tied(&mut pairs.chunk_by(|x, y| equal(x.0, y.0)).map(<[_]>::len));
    let tied_both = tied(&mut pairs.chunk_by(|x, y| equal(x.0, y.0) && equal(x.1, y.1)).map(<[_]>::len));
    let mut values: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let inversions = sorted_inversions(&mut values);
    let tied_b = tied(&mut values.chunk_by(|x, y| equal(*x, *y)).map(<[_]>::len));
    let all = pairs.len() as f64 * (pairs.len() as f64 - 1.0) / 2.0;
    let spread = (all - tied_a) * (all - tied_b);
    let concordant = all - tied_a - tied_b + tied_both - inversions;
    (spread > 0.0).then(|| (concordant - inversions) / spread.sqrt())
}

/// Sorts values and returns the number of pairs that stood in the wrong order.
fn sorted_inversions(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if middle == 0 {
        return 0.0;
    }
    let (left, right) = values.split_at_mut(middle);
    let mut inversions = sorted_inversions(left) + sorted_inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        let from_left = j == right.len() || i < left.len() && left[i].total_cmp(&right[j]).is_le();
        if from_left {
            merged.push(left[i]);
            i += 1;
        } else {
            inversions += (left.len() - i) as f64;
            merged.push(right[j]);
            j += 1;
        }
    }
    values.copy_from_slice(&merged);
    inversions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kendall_with_ties_by_hand() {
        // Of six pairs one is tied in the first list and none in the second; four agree and one does not.
        let found = kendall(&[1.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 4.0, 3.0]).unwrap();
        assert!((found - 3.0 / 30_f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(kendall(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(kendall(&[3.0, 2.0, 1.0], &[1.0, 2.0, 3.0]), Some(-1.0));
    }

    #[test]
    fn summary_by_hand() {
        let found = Summary::of([3.0, 1.0, 2.0].into_iter());
        assert!((found.mean - 2.0).abs() < 1e-12 && (found.deviation - 1.0).abs() < 1e-12);
        assert!((found.p10 - 1.2).abs() < 1e-12);
        assert_eq!(Summary::of_some([Some(1.0), None].into_iter()), None);
    }

    #[test]
    fn scores_by_hand() {
        let predicted =
            [(100.0, Some([90.0, 110.0])), (104.0, Some([100.0, 108.0])), (50.0, Some([40.0, 60.0]))];
        let found = Scores::new(&predicted, &[100.0, 100.0, 70.0]);
        assert!((found.within_5 - 2.0 / 3.0).abs() < 1e-12 && (found.within_10 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found.coverage, Some(2.0 / 3.0));
        assert!((found.width.unwrap() - (0.2 + 8.0 / 104.0 + 0.4) / 3.0).abs() < 1e-12);
    }
}
