//! Dominance between two points.

use std::cmp::Ordering;

/// Whether `a` is at least as good as `b` in every objective and better in at least one.
///
/// # Example
/// ```
/// use kiln_search::pareto::dominates;
/// assert!(dominates(&[1.0, 2.0], &[1.0, 3.0]));
/// assert!(!dominates(&[1.0, 2.0], &[2.0, 1.0]));
/// assert!(!dominates(&[1.0], &[1.0]));
/// ```
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    let mut better = false;
    for (a, b) in a.iter().zip(b) {
        match a.total_cmp(b) {
            Ordering::Greater => return false,
            Ordering::Less => better = true,
            Ordering::Equal => {}
        }
    }
    better
}
