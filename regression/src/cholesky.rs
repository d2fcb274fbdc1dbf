//! The Cholesky factor of a covariance matrix, grown one point at a time.

use crate::vectors::dot;

/// Minimum variance of a point, given the other points. Two equal points make the matrix singular, and
/// rounding may even make the remaining variance negative. The code divides by the square root of the
/// variance, so the variance must stay positive.
pub(crate) const JITTER: f64 = 1e-9;

/// A lower triangular factor `L` with `L Lᵀ` equal to a covariance matrix.
///
/// # Example
/// ```
/// use kiln_regression::Cholesky;
/// // The matrix [[4, 2], [2, 5]] has the factor [[2, 0], [1, 2]].
/// let mut factor = Cholesky::default();
/// factor.push(Vec::new(), 4.0);
/// let mut projection = Vec::new();
/// factor.project(|_| 2.0, &mut projection);
/// factor.push(projection, 5.0);
/// assert_eq!(factor.solve(&[2.0, 5.0]), [1.0, 2.0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cholesky {
    /// Row `i` contains the first `i + 1` numbers of the factor's row `i`. The other numbers are zero.
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Creates a factor without points, with capacity for `points` points.
    #[must_use]
    pub fn with_capacity(points: usize) -> Self {
        Self { rows: Vec::with_capacity(points) }
    }

    /// Number of points.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no points.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a point, given its complete projection (see [`Cholesky::project`]) and its variance.
    pub fn push(&mut self, mut projection: Vec<f64>, variance: f64) {
        let rest = variance - dot(&projection, &projection);
        projection.push(rest.max(JITTER).sqrt());
        self.rows.push(projection);
    }

    /// Removes the points after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.rows.truncate(len);
    }

    /// Completes the projection of a point. The projection is the solution `x` of `L x = c`, where `c`
    /// contains the point's covariances with the points of the factor.
    ///
    /// Element `i` of the solution depends only on points up to `i`. So a projection computed before the
    /// factor grew is still the beginning of the solution, and only the missing elements are computed. An
    /// additional point therefore costs one row instead of a whole substitution.
    pub fn project(&self, covariance: impl Fn(usize) -> f64, projection: &mut Vec<f64>) {
        projection.truncate(self.len());
        for (i, row) in self.rows.iter().enumerate().skip(projection.len()) {
            projection.push((covariance(i) - dot(&row[..i], projection)) / row[i]);
        }
    }

    /// Returns the solution `x` of `L x = b`, where `L` is restricted to the first `b.len()` points.
    #[must_use]
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut solution = Vec::with_capacity(b.len());
        for (value, row) in b.iter().zip(&self.rows) {
            let i = solution.len();
            solution.push((value - dot(&row[..i], &solution)) / row[i]);
        }
        solution
    }

    /// The solution `x` of `Lᵀ x = b` over all points; `b` has a number for each.
    ///
    /// # Example
    /// ```
    /// use kiln_regression::Cholesky;
    /// let mut factor = Cholesky::default();
    /// factor.push(Vec::new(), 4.0);
    /// factor.push(vec![1.0], 5.0);
    /// assert_eq!(factor.solve_transposed(&[3.0, 4.0]), [0.5, 2.0]);
    /// ```
    #[must_use]
    pub fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut solution = b.to_vec();
        for (i, row) in self.rows.iter().enumerate().take(b.len()).rev() {
            let value = solution[i] / row[i];
            solution[i] = value;
            for (earlier, factor) in solution[..i].iter_mut().zip(row) {
                *earlier -= factor * value;
            }
        }
        solution
    }

    /// The diagonal of the inverse of `L Lᵀ`.
    ///
    /// # Example
    /// ```
    /// use kiln_regression::Cholesky;
    /// // The inverse of [[4, 2], [2, 5]] is [[5, -2], [-2, 4]] / 16.
    /// let mut factor = Cholesky::default();
    /// factor.push(Vec::new(), 4.0);
    /// factor.push(vec![1.0], 5.0);
    /// assert_eq!(factor.inverse_diagonal(), [5.0 / 16.0, 0.25]);
    /// ```
    #[must_use]
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let column = |first: usize| {
            // Column `first` of the inverse of `L`, whose numbers above the diagonal are zero.
            let mut column = vec![1.0 / self.rows[first][first]];
            for (i, row) in self.rows.iter().enumerate().skip(first + 1) {
                column.push(-dot(&row[first..i], &column) / row[i]);
            }
            dot(&column, &column)
        };
        (0..self.len()).map(column).collect()
    }

    /// Logarithm of the determinant of `L`.
    #[must_use]
    pub fn ln_determinant(&self) -> f64 {
        self.rows.iter().filter_map(|row| row.last()).map(|d| d.ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factor of [[4, 2, 2], [2, 5, 3], [2, 3, 6]], which is [[2], [1, 2], [1, 1, 2]].
    fn factor() -> Cholesky {
        let mut factor = Cholesky::with_capacity(3);
        for (covariances, variance) in [(&[][..], 4.0), (&[2.0], 5.0), (&[2.0, 3.0], 6.0)] {
            let mut projection = Vec::new();
            factor.project(|i| covariances[i], &mut projection);
            factor.push(projection, variance);
        }
        factor
    }

    #[test]
    fn factor_of_three_points_by_hand() {
        let factor = factor();
        assert_eq!(factor.rows, [vec![2.0], vec![1.0, 2.0], vec![1.0, 1.0, 2.0]]);
        // Forward substitution yields 4 / 2, then (7 - 2) / 2, then (10 - 2 - 2.5) / 2.
        assert_eq!(factor.solve(&[4.0, 7.0, 10.0]), [2.0, 2.5, 2.75]);
        assert!((factor.ln_determinant() - 8_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn projection_from_before_the_factor_grew_is_completed() {
        let (mut factor, covariances) = (factor(), [4.0, 7.0, 10.0]);
        factor.truncate(2);
        let mut projection = Vec::new();
        factor.project(|i| covariances[i], &mut projection);
        assert_eq!(projection, [2.0, 2.5]);
        self::factor().project(|i| covariances[i], &mut projection);
        assert_eq!(projection, [2.0, 2.5, 2.75]);
        factor.project(|_| panic!("nothing is missing"), &mut projection);
        assert_eq!(projection, [2.0, 2.5]);
    }

    #[test]
    fn equal_points_leave_a_positive_diagonal() {
        let mut factor = Cholesky::default();
        for _ in 0..3 {
            let mut projection = Vec::new();
            factor.project(|_| 1.0, &mut projection);
            factor.push(projection, 1.0);
        }
        assert!(factor.rows.iter().enumerate().all(|(i, row)| row[i] > 0.0));
    }
}
