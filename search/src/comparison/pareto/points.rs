//! Random points for property tests. The values are drawn from a small range, so ties are frequent.

use proptest::collection::vec;
use proptest::prelude::Strategy;

/// Generates fewer than `points` points, each with 1 to `dimensions` integers below `values`.
pub(crate) fn points(dimensions: usize, values: u8, points: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let of = move |dimensions| vec(vec((0..values).prop_map(f64::from), dimensions), 0..points);
    (1..=dimensions).prop_flat_map(of)
}
