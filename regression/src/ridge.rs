//! Ridge regression: least squares with a penalty on squared coefficients.
//!
//! Source: A. Hoerl, R. Kennard, Ridge regression: biased estimation for nonorthogonal problems,
//! Technometrics 12(1), 1970, equation 2.1.

use crate::cholesky::Cholesky;
use crate::vectors::dot;

/// The coefficients that minimize the squared residuals plus `penalty` times the squared coefficients. There
/// is no constant; points and targets are expected around their means. `penalty` is above 0.
///
/// # Example
/// ```
/// // One feature: the coefficient is 5 / (5 + 5).
/// let found = kiln_regression::ridge(&[[1.0], [-2.0]], &[1.0, -2.0], 5.0);
/// assert!((found[0] - 0.5).abs() < 1e-12);
/// ```
#[must_use]
pub fn ridge<V: AsRef<[f64]>>(points: &[V], targets: &[f64], penalty: f64) -> Vec<f64> {
    let width = points.iter().map(|point| point.as_ref().len()).min().unwrap_or(0);
    let columns: Vec<Vec<f64>> =
        (0..width).map(|column| points.iter().map(|point| point.as_ref()[column]).collect()).collect();
    let mut factor = Cholesky::with_capacity(width);
    for (i, column) in columns.iter().enumerate() {
        let mut projection = Vec::with_capacity(i + 1);
        factor.project(|j| dot(column, &columns[j]), &mut projection);
        factor.push(projection, dot(column, column) + penalty);
    }
    let products: Vec<f64> = columns.iter().map(|column| dot(column, targets)).collect();
    factor.solve_transposed(&factor.solve(&products))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_penalty_recovers_the_coefficients_and_a_large_one_shrinks_them() {
        let points = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-2.0, 0.5]];
        let targets = points.map(|[a, b]| 3.0 * a - b);
        let found = ridge(&points, &targets, 1e-9);
        assert!((found[0] - 3.0).abs() < 1e-6 && (found[1] + 1.0).abs() < 1e-6, "{found:?}");
        assert!(ridge(&points, &targets, 100.0)[0] < 0.3);
    }

    #[test]
    fn equal_features_share_the_coefficient() {
        let found = ridge(&[[1.0, 1.0], [2.0, 2.0]], &[2.0, 4.0], 1e-6);
        assert!((found[0] - found[1]).abs() < 1e-3 && (found[0] + found[1] - 2.0).abs() < 1e-3, "{found:?}");
        assert!(ridge::<[f64; 0]>(&[[]], &[1.0], 1.0).is_empty());
    }
}
