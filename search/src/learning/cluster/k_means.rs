//! The k-means algorithm.
//!
//! Source: Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 1982; Arthur, Vassilvitskii,
//! k-means++: the advantages of careful seeding, SODA 2007, section 2.2.

use kiln_regression::squared_distance;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Maximum number of iterations.
const ITERATIONS: usize = 10;
/// Seed of the random draws. The seed is constant, so the partition depends only on the rows.
const SEED: u64 = 42;

/// Returns centroids and labels for rows of equal length. At least `k` rows must be distinct.
pub(super) fn fit(rows: &[Vec<f64>], k: usize) -> (Vec<Vec<f64>>, Vec<usize>) {
    let mut centroids = seeds(rows, k);
    let mut labels = nearest(rows, &centroids);
    for _ in 0..ITERATIONS {
        to_means(rows.iter().zip(labels.iter().copied()), &mut centroids);
        let before = std::mem::replace(&mut labels, nearest(rows, &centroids));
        if before == labels {
            break;
        }
    }
    (centroids, labels)
}

/// Moves each centroid to the mean of the rows with its label. A centroid without rows does not move.
pub(super) fn to_means<'a>(labeled: impl Iterator<Item = (&'a Vec<f64>, usize)>, centroids: &mut [Vec<f64>]) {
    let mut sums: Vec<(Vec<f64>, f64)> =
        centroids.iter().map(|centroid| (vec![0.0; centroid.len()], 0.0)).collect();
    for (row, label) in labeled {
        let (sum, count) = &mut sums[label];
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        *count += 1.0;
    }
    for (centroid, (sum, count)) in centroids.iter_mut().zip(sums).filter(|(_, (_, count))| *count > 0.0) {
        *centroid = sum.into_iter().map(|sum| sum / count).collect();
    }
}

/// Draws the initial centroids from the rows, one after the other. The probability of a row is proportional
/// to its squared distance from the nearest centroid drawn so far.
fn seeds(rows: &[Vec<f64>], k: usize) -> Vec<Vec<f64>> {
    let mut rng = Pcg64::seed_from_u64(SEED);
    let mut seeds = vec![rows[rng.random_range(0..rows.len())].clone()];
    let mut distances = vec![f64::INFINITY; rows.len()];
    while seeds.len() < k {
        let last = &seeds[seeds.len() - 1];
        for (distance, row) in distances.iter_mut().zip(rows) {
            *distance = distance.min(squared_distance(row, last));
        }
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let mut drawn = 0;
        for (row, distance) in distances.iter().enumerate().filter(|(_, distance)| **distance > 0.0) {
            drawn = row;
            left -= distance;
            if left < 0.0 {
                break;
            }
        }
        seeds.push(rows[drawn].clone());
    }
    seeds
}

/// Returns the index of the nearest centroid for each row. If several centroids are equally near, returns the
/// lowest index.
fn nearest(rows: &[Vec<f64>], centroids: &[Vec<f64>]) -> Vec<usize> {
    let one = |row: &Vec<f64>| {
        let distances = centroids.iter().map(|centroid| squared_distance(row, centroid)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(label, _)| label)
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fit_ends_at_the_means_of_two_groups() {
        let rows = [0.0, 1.0, 2.0, 10.0, 12.0].map(|value| vec![value]);
        let (mut centroids, labels) = fit(&rows, 2);
        assert_eq!(labels[..3], [labels[0]; 3]);
        assert!(labels[3] == labels[4] && labels[0] != labels[3]);
        centroids.sort_by(|a, b| a[0].total_cmp(&b[0]));
        assert_eq!(centroids, [[1.0], [11.0]]);
    }

    #[test]
    fn centroid_without_rows_stays() {
        let mut centroids = vec![vec![3.0], vec![7.0]];
        let row = vec![1.0];
        to_means([(&row, 0)].into_iter(), &mut centroids);
        assert_eq!(centroids, [[1.0], [7.0]]);
    }
}
