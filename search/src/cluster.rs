//! Groups of similar vectors, reproducible, and without surprises on degenerate data.

mod grouping;

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans;
use ndarray::{Array1, Array2};

pub use self::grouping::Grouping;

/// Iterations after which k-means stops.
const MAX_ITERATIONS: u64 = 10;
/// Movement of the centroids at which k-means stops earlier.
const TOLERANCE: f64 = 1e-3;

/// A partition of a set of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// Centers, never empty.
    centroids: Array2<f64>,
    /// Cluster of each vector it was made of.
    labels: Vec<usize>,
}

impl Clusters {
    /// Partitions vectors into at most `k` clusters, a pure function of the arguments. Shorter vectors count as filled up
    /// with zeros, numbers that are not finite as zero. There are fewer clusters where there are fewer distinct vectors.
    ///
    /// Source: Arthur, Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007; Lloyd, Least squares
    /// quantization in PCM, IEEE Trans. Inf. Theory 1982.
    ///
    /// # Example
    /// ```
    /// use kiln_search::cluster::Clusters;
    /// let clusters = Clusters::fit(&[[0.0], [0.1], [9.0], [9.1]], 2);
    /// assert_eq!(clusters.count(), 2);
    /// assert_eq!(clusters.labels()[0], clusters.labels()[1]);
    /// assert_ne!(clusters.labels()[0], clusters.labels()[2]);
    /// assert_eq!(clusters.nearest(&[8.0]), clusters.labels()[2]);
    /// ```
    #[must_use]
    pub fn fit<V: AsRef<[f64]>>(vectors: &[V], k: usize) -> Self {
        let data = matrix(vectors);
        let width = data.ncols();
        let one = Self { centroids: Array2::zeros((1, width)), labels: vec![0; vectors.len()] };
        let k = k.min(distinct(&data, k));
        if k <= 1 || width == 0 {
            return one;
        }
        // Its generator is seeded with a constant: the partition depends on the data only.
        let params = KMeans::params(k).n_runs(1).max_n_iterations(MAX_ITERATIONS).tolerance(TOLERANCE);
        let data = DatasetBase::from(data);
        match params.fit(&data) {
            Ok(model) => {
                let labels = model.predict(data.records()).to_vec();
                Self { centroids: model.centroids().clone(), labels }
            }
            Err(_) => one,
        }
    }

    /// The clusters of labeled rows, numbered in the order in which they occur; rows without a label join the nearest. One
    /// cluster where no row has a label.
    fn of(data: &Array2<f64>, found: &[Option<usize>]) -> Self {
        let mut names: Vec<usize> = Vec::new();
        let mut sums: Vec<(Array1<f64>, f64)> = Vec::new();
        for (row, name) in data.rows().into_iter().zip(found).filter_map(|(row, name)| Some((row, (*name)?)))
        {
            let label = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                sums.push((Array1::zeros(data.ncols()), 0.0));
                names.len() - 1
            });
            sums[label].0 += &row;
            sums[label].1 += 1.0;
        }
        let mut centroids = Array2::zeros((sums.len().max(1), data.ncols()));
        for (mut center, (sum, count)) in centroids.rows_mut().into_iter().zip(sums) {
            center.assign(&(sum / count));
        }
        let mut clusters = Self { centroids, labels: Vec::new() };
        let rows = data.rows().into_iter().zip(found);
        let label = |(row, name): (ndarray::ArrayView1<'_, f64>, &Option<usize>)| {
            let named = name.and_then(|name| names.iter().position(|known| *known == name));
            named.unwrap_or_else(|| clusters.nearest(&row.to_vec()))
        };
        let labels = rows.map(label).collect();
        clusters.labels = labels;
        clusters
    }

    /// Number of clusters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.centroids.nrows()
    }

    /// Cluster of each vector, in the order given.
    #[must_use]
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The cluster that a vector is nearest to; the earliest of several.
    #[must_use]
    pub fn nearest(&self, vector: &[f64]) -> usize {
        let value = |d: usize| vector.get(d).copied().filter(|value| value.is_finite()).unwrap_or(0.0);
        let distance = |centroid: ndarray::ArrayView1<'_, f64>| -> f64 {
            centroid.iter().enumerate().map(|(d, center)| (center - value(d)).powi(2)).sum()
        };
        let distances = self.centroids.rows().into_iter().map(distance).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(cluster, _)| cluster)
    }
}

/// Vectors as rows; shorter ones filled up with zeros, numbers that are not finite taken as zero.
fn matrix<V: AsRef<[f64]>>(vectors: &[V]) -> Array2<f64> {
    let width = vectors.iter().map(|vector| vector.as_ref().len()).max().unwrap_or(0);
    let mut data = Array2::zeros((vectors.len(), width));
    for (mut row, vector) in data.rows_mut().into_iter().zip(vectors) {
        for (cell, value) in row.iter_mut().zip(vector.as_ref()) {
            *cell = if value.is_finite() { *value } else { 0.0 };
        }
    }
    data
}

/// Number of distinct rows, counted up to `enough`.
fn distinct(data: &Array2<f64>, enough: usize) -> usize {
    let mut found: Vec<ndarray::ArrayView1<'_, f64>> = Vec::new();
    for row in data.rows() {
        if found.len() >= enough {
            break;
        }
        let equals = |other: &ndarray::ArrayView1<'_, f64>| {
            other.iter().zip(&row).all(|(a, b)| (a - b).abs() <= f64::EPSILON)
        };
        if !found.iter().any(equals) {
            found.push(row);
        }
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn degenerate_data_gives_fewer_clusters() {
        assert_eq!(Clusters::fit::<[f64; 2]>(&[], 3).count(), 1);
        assert_eq!(Clusters::fit(&[[1.0, 2.0]; 5], 3).count(), 1);
        assert_eq!(Clusters::fit(&[[1.0], [2.0]], 5).count(), 2);
        assert_eq!(Clusters::fit(&[[1.0], [2.0]], 0).count(), 1);
        let without_columns: [[f64; 0]; 2] = [[], []];
        assert_eq!(Clusters::fit(&without_columns, 2).count(), 1);
    }

    #[test]
    fn what_is_not_finite_counts_as_zero() {
        let vectors = [[f64::NAN, 0.0], [0.0, f64::INFINITY], [50.0, 50.0]];
        let clusters = Clusters::fit(&vectors, 2);
        assert_eq!(clusters.labels()[0], clusters.labels()[1]);
        assert_ne!(clusters.labels()[0], clusters.labels()[2]);
        assert_eq!(clusters.nearest(&[f64::NAN, 1.0]), clusters.labels()[0]);
    }

    #[test]
    fn shorter_vectors_are_filled_up_with_zeros() {
        let clusters = Clusters::fit(&[vec![0.0], vec![0.0, 0.0], vec![0.0, 9.0]], 2);
        assert_eq!(clusters.labels()[0], clusters.labels()[1]);
        assert_eq!(clusters.nearest(&[]), clusters.labels()[0]);
    }

    proptest! {
        #[test]
        fn partitions_are_reproducible_and_in_range(
            vectors in prop::collection::vec(prop::collection::vec(-3.0_f64..3.0, 3), 1..40),
            k in 0_usize..8,
        ) {
            let clusters = Clusters::fit(&vectors, k);
            prop_assert_eq!(&clusters, &Clusters::fit(&vectors, k));
            prop_assert_eq!(clusters.labels().len(), vectors.len());
            prop_assert!(clusters.count() <= k.max(1));
            let used: BTreeSet<usize> = clusters.labels().iter().copied().collect();
            prop_assert!(used.iter().all(|label| *label < clusters.count()));
        }
    }
}
