//! Gradient-boosted trees over many points, in a compact form. Features are put into at most 64 bins before
//! the first tree, so a fit to 100,000 points takes seconds. The leaves of a tree are whole numbers of one
//! byte; each tree corrects the rounding of the earlier ones.
//!
//! Source: J. Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29,
//! 2001, algorithm 2 (least squares); G. Ke et al., `LightGBM`, NeurIPS 2017, algorithm 1 and section 3.1
//! (histograms of bins, the histogram of the larger child by subtraction, growth by the best leaf).

mod bytes;
mod grow;

use self::grow::grow;

/// Maximum number of bins of a feature.
const BINS_MAX: usize = 64;

/// Size and pace of boosting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoostingPlan {
    /// Number of trees.
    pub trees: usize,
    /// Maximum number of leaves of a tree, from 2 to 128.
    pub leaves: usize,
    /// Share of the remaining error that each tree corrects, above 0 and at most 1.
    pub rate: f64,
    /// Minimum number of points of a leaf.
    pub points_min: usize,
}

/// Boosted trees over vectors of equal length.
///
/// # Example
/// ```
/// use kiln_regression::{BinnedTrees, BoostingPlan};
/// let points: Vec<[f64; 1]> = (0..400).map(|i| [f64::from(i)]).collect();
/// let targets: Vec<f64> = points.iter().map(|[x]| if *x < 200.0 { 3.0 } else { 5.0 }).collect();
/// let plan = BoostingPlan { trees: 20, leaves: 4, rate: 0.5, points_min: 5 };
/// let trees = BinnedTrees::fit(&points, &targets, plan);
/// assert!((trees.predict(&[12.0]) - 3.0).abs() < 0.02);
/// let restored = BinnedTrees::from_bytes(&trees.to_bytes()).unwrap();
/// assert_eq!(restored.predict(&[390.0]), trees.predict(&[390.0]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedTrees {
    /// For each feature, the ascending values at which a bin ends and the next one begins.
    edges: Vec<Vec<f32>>,
    /// Mean of the targets.
    start: f32,
    trees: Vec<Tree>,
}

/// A tree: its nodes from the root on, each before its left side, that before its right side.
#[derive(Clone, Debug, PartialEq)]
struct Tree {
    /// Value of a leaf of 1.
    scale: f32,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// Vectors whose value of `feature` is below edge `edge` go to the next node. The others go to node
    /// `right`.
    Cut {
        feature: u8,
        edge: u8,
        right: u8,
    },
    Leaf(i8),
}

impl BinnedTrees {
    /// Fits trees to points and their targets. At most 255 features are used.
    #[must_use]
    pub fn fit<V: AsRef<[f64]>>(points: &[V], targets: &[f64], plan: BoostingPlan) -> Self {
        let width = points.iter().map(|point| point.as_ref().len()).min().unwrap_or(0).min(255);
        let column = |feature: usize| points.iter().map(|point| point.as_ref()[feature] as f32).collect();
        let edges: Vec<Vec<f32>> = (0..width).map(|feature| edges(column(feature))).collect();
        let bin = |point: &V, feature: usize| {
            let value = point.as_ref()[feature] as f32;
            edges[feature].partition_point(|edge| *edge <= value) as u8
        };
        let bins: Vec<u8> =
            points.iter().flat_map(|point| (0..width).map(|feature| bin(point, feature))).collect();
        let start = (targets.iter().sum::<f64>() / targets.len().max(1) as f64) as f32;
        let mut left: Vec<f64> = targets.iter().map(|target| target - f64::from(start)).collect();
        let plan = BoostingPlan { leaves: plan.leaves.clamp(2, 128), ..plan };
        let trees = (0..plan.trees).map(|_| grow(&bins, width, &mut left, plan)).collect();
        let mut fitted = Self { edges, start, trees };
        fitted.keep_used_edges();
        fitted
    }

    /// Returns the prediction.
    #[must_use]
    pub fn predict(&self, vector: &[f64]) -> f64 {
        self.predict_twice(vector)[1]
    }

    /// Returns the predictions of the first half of the trees and of all of them. Their difference is large
    /// where the trees are uncertain.
    #[must_use]
    pub fn predict_twice(&self, vector: &[f64]) -> [f64; 2] {
        let values: Vec<f32> = vector.iter().map(|value| *value as f32).collect();
        let (first, second) = self.trees.split_at(self.trees.len() / 2);
        let sum = |trees: &[Tree]| trees.iter().map(|tree| self.leaf(tree, &values)).sum::<f64>();
        let half = f64::from(self.start) + sum(first);
        [half, half + sum(second)]
    }

    /// Number of features of a vector.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.edges.len()
    }

    /// The value of the leaf into which a vector falls. A missing feature counts as below every edge.
    fn leaf(&self, tree: &Tree, values: &[f32]) -> f64 {
        let mut at = 0;
        loop {
            match tree.nodes[at] {
                Node::Leaf(value) => return f64::from(tree.scale) * f64::from(value),
                Node::Cut { feature, edge, right } => {
                    let edge = self.edges[usize::from(feature)][usize::from(edge)];
                    let above = values.get(usize::from(feature)).is_some_and(|value| *value >= edge);
                    at = if above { usize::from(right) } else { at + 1 };
                }
            }
        }
    }

    /// Forgets edges at which no tree cuts.
    fn keep_used_edges(&mut self) {
        let mut used: Vec<Vec<bool>> = self.edges.iter().map(|edges| vec![false; edges.len()]).collect();
        let nodes = self.trees.iter().flat_map(|tree| &tree.nodes);
        for node in nodes {
            if let Node::Cut { feature, edge, .. } = node {
                used[usize::from(*feature)][usize::from(*edge)] = true;
            }
        }
        for node in self.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
            if let Node::Cut { feature, edge, .. } = node {
                let before = &used[usize::from(*feature)][..usize::from(*edge)];
                *edge = before.iter().filter(|used| **used).count() as u8;
            }
        }
        for (edges, used) in self.edges.iter_mut().zip(used) {
            let mut used = used.into_iter();
            edges.retain(|_| used.next().unwrap_or(false));
        }
    }
}

/// Values that separate a feature's bins: midpoints between distinct values, or quantiles of them if there
/// are many.
fn edges(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    let count = values.len();
    let mut distinct = values.clone();
    distinct.dedup();
    let middles = |values: &[f32]| -> Vec<f32> {
        values.windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect()
    };
    let mut found = if distinct.len() <= BINS_MAX {
        middles(&distinct)
    } else {
        (1..BINS_MAX).map(|bin| values[bin * count / BINS_MAX]).collect()
    };
    // The lowest value would separate nothing.
    found.retain(|edge| edge.is_finite() && *edge > values[0]);
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    const PLAN: BoostingPlan = BoostingPlan { trees: 60, leaves: 16, rate: 0.2, points_min: 5 };

    fn surface(x: f64, y: f64) -> f64 {
        (3.0 * x).sin() + if y > 0.3 { x } else { -0.5 }
    }

    fn drawn(count: usize, seed: u64) -> (Vec<[f64; 3]>, Vec<f64>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let points: Vec<[f64; 3]> =
            (0..count).map(|_| [rng.random(), rng.random(), f64::from(rng.random_range(0..3_u8))]).collect();
        let targets = points.iter().map(|[x, y, _]| surface(*x, *y)).collect();
        (points, targets)
    }

    #[test]
    fn trees_predict_points_that_they_were_not_fitted_to() {
        let (points, targets) = drawn(3000, 1);
        let trees = BinnedTrees::fit(&points, &targets, PLAN);
        let (others, expected) = drawn(500, 2);
        let squares = others.iter().zip(&expected).map(|(point, y)| (trees.predict(point) - y).powi(2));
        let error = (squares.sum::<f64>() / 500.0).sqrt();
        // The step lies inside a bin of width 1/64, which costs about 0.09.
        assert!(error < 0.12, "{error}");
    }

    #[test]
    fn first_tree_has_the_best_cut_and_shrunken_means() {
        // The best single cut of these points is between 3 and 10: means 1 and 4, and their mean is 2.5.
        let points = [[1.0], [2.0], [3.0], [10.0], [11.0], [12.0]];
        let plan = BoostingPlan { trees: 1, leaves: 2, rate: 1.0, points_min: 1 };
        let trees = BinnedTrees::fit(&points, &[1.0, 1.0, 1.0, 4.0, 4.0, 4.0], plan);
        for (x, expected) in [(1.0, 1.0), (6.4, 1.0), (6.6, 4.0), (99.0, 4.0)] {
            // A penalty of 0.001 points draws means a little towards 2.5.
            assert!((trees.predict(&[x]) - expected).abs() < 1e-3, "{x}: {}", trees.predict(&[x]));
        }
    }

    #[test]
    fn bytes_restore_the_trees_and_damage_is_refused() {
        let (points, targets) = drawn(800, 3);
        let trees = BinnedTrees::fit(&points, &targets, BoostingPlan { trees: 6, ..PLAN });
        let bytes = trees.to_bytes();
        assert_eq!(BinnedTrees::from_bytes(&bytes), Some(trees));
        for length in 0..bytes.len() {
            assert_eq!(BinnedTrees::from_bytes(&bytes[..length]), None, "{length} bytes");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(BinnedTrees::from_bytes(&longer), None);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                // Another number may be as good, but no prediction may fail.
                if let Some(found) = BinnedTrees::from_bytes(&damaged) {
                    assert!(found.predict(&points[0]).is_finite());
                }
            }
        }
    }

    #[test]
    fn nothing_to_learn_gives_the_mean() {
        let found = BinnedTrees::fit(&[[1.0]; 9], &[2.5; 9], PLAN);
        assert!((found.predict(&[7.0]) - 2.5).abs() < 1e-6);
        let none = BinnedTrees::fit::<[f64; 1]>(&[], &[], PLAN);
        assert!(none.predict(&[1.0]).abs() < 1e-12);
    }
}
