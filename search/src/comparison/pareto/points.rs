//! Random points for property tests. Few different values make ties frequent.

use proptest::collection::vec;
use proptest::prelude::Strategy;

/// Fewer than `points` points, of 1 to `dimensions` whole numbers below `values`.
pub(crate) fn points(dimensions: usize, values: u8, points: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let of = move |dimensions| vec(vec((0..values).prop_map(f64::from), dimensions), 0..points);
    (1..=dimensions).prop_flat_map(of)
}
