//! Methods to cluster vectors when the number of clusters is not known.

use kiln_regression::squared_distance;
use linfa::DatasetBase;
use linfa::traits::Transformer;
use linfa_clustering::Dbscan;
use linfa_hierarchical::HierarchicalCluster;
use linfa_kernel::{Kernel, KernelMethod};
use ndarray::Array2;
use serde::Deserialize;

use super::partition::{Clusters, rows};

/// Numbers of clusters that k-means and hierarchical clustering try.
const TRIED: [usize; 6] = [2, 3, 4, 6, 9, 12];
/// Minimum silhouette for several clusters. Below this value, one cluster is used.
const SEPARATED: f64 = 0.1;
/// Number of vectors in a dense neighborhood, including the vector itself.
const DENSE: usize = 4;

/// A method to cluster vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// k-means with the number of clusters that has the best silhouette.
    #[default]
    KMeans,
    /// Repeatedly merges the two clusters with the smallest average distance. The number of clusters is the
    /// one with the best silhouette.
    ///
    /// Source: Sokal, Michener, A statistical method for evaluating systematic relationships, Univ. Kansas
    /// Sci. Bull. 1958.
    Hierarchical,
    /// DBSCAN: clusters are dense regions. The radius is chosen so that nine of ten vectors have three
    /// neighbors within it. Vectors outside the regions join the nearest region.
    ///
    /// Source: Ester, Kriegel, Sander, Xu, A density-based algorithm for discovering clusters, KDD 1996.
    Dbscan,
}

impl Grouping {
    /// Clusters vectors into at most `most` clusters. The result depends only on the arguments.
    ///
    /// # Example
    /// ```
    /// use kiln_search::cluster::Grouping;
    /// let vectors = [[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [9.2], [9.3]];
    /// for grouping in [Grouping::KMeans, Grouping::Hierarchical, Grouping::Dbscan] {
    ///     assert_eq!(grouping.fit(&vectors, 12).count(), 2);
    /// }
    /// ```
    #[must_use]
    pub fn fit<V: AsRef<[f64]>>(self, vectors: &[V], most: usize) -> Clusters {
        let one = || Clusters::fit(vectors, 1);
        let rows = rows(vectors);
        if rows.len() < 2 || rows[0].is_empty() || most < 2 {
            return one();
        }
        let numbers = TRIED.iter().copied().filter(|k| *k <= most && *k < vectors.len());
        let candidates: Vec<Clusters> = match self {
            Self::KMeans => numbers.map(|k| Clusters::fit(vectors, k)).collect(),
            Self::Hierarchical => numbers.map(|k| Clusters::of(&rows, &merged(&rows, k))).collect(),
            Self::Dbscan => vec![Clusters::of(&rows, &dense(&rows))],
        };
        let rated = candidates.into_iter().filter(|clusters| (2..=most).contains(&clusters.count()));
        let best = rated.map(|clusters| (silhouette(&rows, &clusters), clusters));
        let best = best.filter(|(value, _)| *value > SEPARATED).max_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or_else(one, |(_, clusters)| clusters)
    }
}

/// Returns the simplified silhouette: the mean, over the vectors, of how much closer a vector is to its own
/// center than to the second nearest center. The best value is 1.
///
/// Source: Rousseeuw, Silhouettes, J. Comput. Appl. Math. 1987; simplified to centers: Hruschka, de Castro,
/// Campello, Evolutionary algorithms for clustering gene-expression data, ICDM 2004.
fn silhouette(rows: &[Vec<f64>], clusters: &Clusters) -> f64 {
    let centers = &clusters.centroids;
    let one = |(row, label): (&Vec<f64>, &usize)| {
        let distance = |center: &Vec<f64>| squared_distance(row, center).sqrt();
        let own = distance(&centers[*label]);
        let others = centers.iter().enumerate().filter(|(center, _)| center != label);
        let next = others.map(|(_, center)| distance(center)).fold(f64::INFINITY, f64::min);
        let larger = own.max(next);
        if larger > 0.0 { (next - own) / larger } else { 0.0 }
    };
    rows.iter().zip(&clusters.labels).map(one).sum::<f64>() / rows.len() as f64
}

fn squared_distances(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    rows.iter().map(|a| rows.iter().map(|b| squared_distance(a, b)).collect()).collect()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((rows.len(), width), |(row, column)| rows[row][column])
}

/// Returns the labels after clusters were merged until `k` clusters are left.
fn merged(rows: &[Vec<f64>], k: usize) -> Vec<Option<usize>> {
    let farthest = squared_distances(rows).into_iter().flatten().fold(0.0, f64::max);
    if farthest <= 0.0 {
        return vec![Some(0); rows.len()];
    }
    // The clustering crate takes similarities, and merges clusters by the negative logarithms of
    // similarities. With the similarity `exp(-d^2 / farthest)`, the negative logarithm is the squared
    // distance, scaled to at most 1.
    let kernel = Kernel::params().method(KernelMethod::Gaussian(farthest)).transform(&matrix(rows));
    let grouped: Result<DatasetBase<Kernel<f64>, Vec<usize>>, _> =
        HierarchicalCluster::default().num_clusters(k).transform(kernel);
    grouped
        .map_or_else(|_| vec![Some(0); rows.len()], |grouped| grouped.targets.into_iter().map(Some).collect())
}

/// Returns the label of the dense region of each vector. The label is `None` for vectors outside the regions.
fn dense(rows: &[Vec<f64>]) -> Vec<Option<usize>> {
    let mut reach: Vec<f64> = squared_distances(rows)
        .into_iter()
        .map(|mut row| {
            row.sort_by(f64::total_cmp);
            row[(DENSE - 1).min(row.len() - 1)]
        })
        .collect();
    reach.sort_by(f64::total_cmp);
    let radius = reach[reach.len() * 9 / 10].sqrt().max(f64::MIN_POSITIVE) * (1.0 + 1e-9);
    let found = Dbscan::params(DENSE).tolerance(radius).transform(&matrix(rows));
    found.map_or_else(|_| vec![None; rows.len()], |labels| labels.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    const ALL: [Grouping; 3] = [Grouping::KMeans, Grouping::Hierarchical, Grouping::Dbscan];

    /// Returns a cloud of 40 vectors around each of these points. The clouds are denser in the middle.
    fn clouds(places: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let mut rng = Pcg64::seed_from_u64(5);
        let mut off = || (0..4).map(|_| rng.random::<f64>()).sum::<f64>();
        let mut near = |[x, y]: [f64; 2]| [x + off(), y + off()];
        (0..40).flat_map(|_| places.iter().map(|place| near(*place)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn groupings_find_as_many_clusters_as_clouds() {
        for places in [&[[0.0, 0.0], [20.0, 0.0]][..], &[[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]]]
        {
            let vectors = clouds(places);
            for grouping in ALL {
                let clusters = grouping.fit(&vectors, 12);
                // DBSCAN may split a cloud into several dense regions. The other methods find one cluster for
                // each cloud.
                if grouping != Grouping::Dbscan {
                    assert_eq!(clusters.count(), places.len(), "{grouping:?}");
                }
                let cloud_of = |label: usize| {
                    let members = (0..vectors.len()).filter(|at| clusters.labels()[*at] == label);
                    members.map(|at| at % places.len()).collect::<BTreeSet<_>>()
                };
                assert!(clusters.count() >= places.len(), "{grouping:?}");
                assert!((0..clusters.count()).all(|label| cloud_of(label).len() == 1), "{grouping:?}");
            }
        }
    }

    #[test]
    fn equal_vectors_are_one_cluster_and_equal_calls_give_equal_clusters() {
        for grouping in ALL {
            assert_eq!(grouping.fit::<[f64; 2]>(&[], 5).count(), 1);
            assert_eq!(grouping.fit(&[[1.0, 2.0]; 7], 5).count(), 1);
            assert_eq!(grouping.fit(&[[1.0, 2.0], [3.0, 4.0]], 1).count(), 1);
            let vectors = clouds(&[[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]]);
            assert_eq!(grouping.fit(&vectors, 9), grouping.fit(&vectors, 9), "{grouping:?}");
        }
    }
}
