//! Sums over two vectors, in a fixed order.
//!
//! Each function keeps [`LANES`] running sums, which fit into SIMD registers. With a single running sum, each
//! addition would have to wait for the previous one. The order of the additions affects the rounding, so
//! another order could change the proposals of strategies.

/// Number of running sums. It provides enough independent additions to keep the processor busy.
const LANES: usize = 8;

/// Returns the inner product of two vectors of equal length.
///
/// # Example
/// ```
/// assert_eq!(kiln_regression::dot(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
/// ```
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Returns the squared Euclidean distance of two vectors. A shorter vector counts as padded with zeros.
///
/// # Example
/// ```
/// assert_eq!(kiln_regression::squared_distance(&[1.0, 2.0], &[3.0]), 8.0);
/// ```
#[must_use]
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let shared = a.len().min(b.len());
    let mut sums = [0.0; LANES];
    let (pairs_a, pairs_b) = (a[..shared].chunks_exact(LANES), b[..shared].chunks_exact(LANES));
    let rest =
        pairs_a.remainder().iter().zip(pairs_b.remainder()).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    for (a, b) in pairs_a.zip(pairs_b) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let tail: f64 = a[shared..].iter().chain(&b[shared..]).map(|value| value * value).sum();
    sums.iter().sum::<f64>() + rest + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_of_each_length_around_the_lanes_equals_the_plain_sum() {
        for length in [0, 1, 7, 8, 9, 30] {
            let a: Vec<f64> = (0..length).map(f64::from).collect();
            let expected: f64 = a.iter().map(|value| value * value).sum();
            assert!((dot(&a, &a) - expected).abs() < 1e-9, "{length}");
        }
    }

    #[test]
    fn squared_distance_pads_the_shorter_vector_with_zeros() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let b = [1.0, 2.0, 3.0, 4.0, 3.0, 6.0, 7.0, 7.0, 8.0];
        assert!((squared_distance(&a, &b) - (4.0 + 1.0 + 1.0 + 100.0)).abs() < 1e-12);
        assert!((squared_distance(&[], &a) - 385.0).abs() < 1e-12);
    }
}
