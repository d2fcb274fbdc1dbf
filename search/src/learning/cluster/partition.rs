//! A partition of vectors into clusters.

use kiln_regression::squared_distance;

use super::k_means;

/// A partition of a set of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// Centers of the clusters. There is at least one center, and all centers have the same length.
    pub(super) centroids: Vec<Vec<f64>>,
    /// Index of the cluster of each vector.
    pub(super) labels: Vec<usize>,
}

impl Clusters {
    /// Partitions vectors into at most `k` clusters. The result depends only on the arguments. Shorter
    /// vectors count as padded with zeros, and numbers that are not finite count as zero. If there are fewer
    /// than `k` distinct vectors, there are fewer clusters.
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
        let rows = rows(vectors);
        let k = k.min(distinct(&rows, k));
        if k <= 1 {
            let width = rows.first().map_or(0, Vec::len);
            return Self { centroids: vec![vec![0.0; width]], labels: vec![0; vectors.len()] };
        }
        let (centroids, labels) = k_means::fit(&rows, k);
        Self { centroids, labels }
    }

    /// Creates the clusters of labeled rows. Clusters are numbered in the order in which their labels occur.
    /// Rows without a label join the nearest cluster. If no row has a label, there is one cluster.
    pub(super) fn of(rows: &[Vec<f64>], found: &[Option<usize>]) -> Self {
        let mut names: Vec<usize> = Vec::new();
        let numbered: Vec<Option<usize>> = found
            .iter()
            .map(|name| {
                let name = (*name)?;
                Some(names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                }))
            })
            .collect();
        let width = rows.first().map_or(0, Vec::len);
        let mut centroids = vec![vec![0.0; width]; names.len().max(1)];
        let labeled = || rows.iter().zip(&numbered).filter_map(|(row, label)| Some((row, (*label)?)));
        k_means::to_means(labeled(), &mut centroids);
        let mut clusters = Self { centroids, labels: Vec::new() };
        let labels = rows.iter().zip(numbered);
        clusters.labels = labels.map(|(row, label)| label.unwrap_or_else(|| clusters.nearest(row))).collect();
        clusters
    }

    /// Number of clusters.
    #[must_use]
    pub fn count(&self) -> usize {
        self.centroids.len()
    }

    /// Returns the cluster of each vector, in the order of the vectors.
    #[must_use]
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Returns, for each cluster, the index of the vector nearest to the center and the number of vectors.
    /// `vectors` must be the vectors that were partitioned.
    pub(crate) fn medoids<V: AsRef<[f64]>>(&self, vectors: &[V]) -> Vec<(usize, usize)> {
        let of = |(cluster, center): (usize, &Vec<f64>)| {
            let members = || (0..self.labels.len()).filter(move |&vector| self.labels[vector] == cluster);
            let distance = |vector: usize| squared_distance(vectors[vector].as_ref(), center);
            let nearest = members().min_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
            Some((nearest, members().count()))
        };
        self.centroids.iter().enumerate().filter_map(of).collect()
    }

    /// Returns the cluster whose center is nearest to a vector. If several centers are equally near, returns
    /// the first cluster.
    #[must_use]
    pub fn nearest(&self, vector: &[f64]) -> usize {
        let finite = |value: &f64| if value.is_finite() { *value } else { 0.0 };
        let width = self.centroids.first().map_or(0, Vec::len);
        let vector: Vec<f64> = vector.iter().take(width).map(finite).collect();
        let distances = self.centroids.iter().map(|centroid| squared_distance(centroid, &vector)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(cluster, _)| cluster)
    }
}

/// Converts vectors to equal length. Shorter vectors are padded with zeros, and numbers that are not finite
/// become zero.
pub(super) fn rows<V: AsRef<[f64]>>(vectors: &[V]) -> Vec<Vec<f64>> {
    let width = vectors.iter().map(|vector| vector.as_ref().len()).max().unwrap_or(0);
    let row = |vector: &V| {
        let finite = |value: &f64| if value.is_finite() { *value } else { 0.0 };
        let mut row: Vec<f64> = vector.as_ref().iter().map(finite).collect();
        row.resize(width, 0.0);
        row
    };
    vectors.iter().map(row).collect()
}

/// Counts the distinct rows. The count stops at `enough`.
fn distinct(rows: &[Vec<f64>], enough: usize) -> usize {
    let mut found: Vec<&Vec<f64>> = Vec::new();
    for row in rows {
        if found.len() >= enough {
            break;
        }
        if !found.iter().any(|other| squared_distance(other, row) <= f64::EPSILON) {
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
    fn fewer_distinct_vectors_than_k_give_fewer_clusters() {
        assert_eq!(Clusters::fit::<[f64; 2]>(&[], 3).count(), 1);
        assert_eq!(Clusters::fit(&[[1.0, 2.0]; 5], 3).count(), 1);
        assert_eq!(Clusters::fit(&[[1.0], [2.0]], 5).count(), 2);
        assert_eq!(Clusters::fit(&[[1.0], [2.0]], 0).count(), 1);
        let without_columns: [[f64; 0]; 2] = [[], []];
        assert_eq!(Clusters::fit(&without_columns, 2).count(), 1);
    }

    #[test]
    fn numbers_that_are_not_finite_count_as_zero() {
        let vectors = [[f64::NAN, 0.0], [0.0, f64::INFINITY], [50.0, 50.0]];
        let clusters = Clusters::fit(&vectors, 2);
        assert_eq!(clusters.labels()[0], clusters.labels()[1]);
        assert_ne!(clusters.labels()[0], clusters.labels()[2]);
        assert_eq!(clusters.nearest(&[f64::NAN, 1.0]), clusters.labels()[0]);
    }

    #[test]
    fn shorter_vectors_are_padded_with_zeros() {
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
