//! Extremely randomized trees. Each tree splits its points at randomly drawn cuts. A prediction consists of
//! the mean and the standard deviation of the trees' values.
//!
//! Source: Geurts, Ernst, Wehenkel, Extremely randomized trees, Machine Learning 2006, table 1 (randomly
//! drawn cuts, on all points); Breiman, Random forests, Machine Learning 2001, section 10 (proximity of two
//! points: the share of trees in which they fall into one leaf).
//! Differs: a node draws `2 sqrt(features)` cuts instead of one for each feature.

use rand::{Rng, RngExt};

use crate::prediction::Prediction;

/// Number of trees in a forest.
const TREES: usize = 30;
/// A node with this many points or fewer is not split.
const SMALLEST: usize = 3;

/// A forest over vectors of equal length. The default forest has no trees and predicts 0.
///
/// # Example
/// ```
/// use kiln_regression::Forest;
/// use rand::SeedableRng;
/// let points: Vec<[f64; 1]> = (0..40).map(|i| [f64::from(i)]).collect();
/// let targets: Vec<f64> = points.iter().map(|[x]| if *x < 20.0 { 0.0 } else { 1.0 }).collect();
/// let forest = Forest::fit(&points, &targets, &mut rand_pcg::Pcg64::seed_from_u64(1));
/// assert!(forest.predict(&[3.0]).mean < 0.1 && forest.predict(&[36.0]).mean > 0.9);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Forest {
    trees: Vec<Tree>,
}

/// The nodes of a tree. The root comes first.
#[derive(Clone, Debug)]
struct Tree(Vec<Node>);

/// A cut at a node.
struct Split {
    feature: usize,
    cut: f64,
}

#[derive(Clone, Debug)]
enum Node {
    /// Vectors whose value of `feature` is below `cut` go to node `left`. The others go to node `left + 1`.
    Cut { feature: usize, cut: f64, left: usize },
    /// Mean of the leaf's targets.
    Leaf(f64),
}

impl Forest {
    /// Fits a forest to points and their targets. Features that the shortest point lacks are ignored.
    #[must_use]
    pub fn fit<V: AsRef<[f64]>>(points: &[V], targets: &[f64], rng: &mut dyn Rng) -> Self {
        let width = points.iter().map(|point| point.as_ref().len()).min().unwrap_or(0);
        let column = |feature: usize| points.iter().map(|point| point.as_ref()[feature]).collect();
        let columns: Vec<Vec<f64>> = (0..width).map(column).collect();
        let tree = |_| {
            // A stack replaces recursion, and the right side is split first. The order in which the nodes
            // draw from `rng` affects the result, so the order must not change.
            let mut nodes = vec![Node::Leaf(0.0)];
            let mut open = vec![(0, (0..points.len()).collect::<Vec<usize>>())];
            while let Some((node, members)) = open.pop() {
                match split(&columns, targets, &members, rng) {
                    Some(Split { feature, cut }) => {
                        let left = nodes.len();
                        nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
                        nodes[node] = Node::Cut { feature, cut, left };
                        let (below, above) =
                            members.into_iter().partition(|&member| columns[feature][member] < cut);
                        open.extend([(left, below), (left + 1, above)]);
                    }
                    None => nodes[node] = Node::Leaf(mean(targets, &members)),
                }
            }
            Tree(nodes)
        };
        Self { trees: (0..TREES).map(tree).collect() }
    }

    /// Returns the mean and the standard deviation of the trees' values.
    #[must_use]
    pub fn predict(&self, vector: &[f64]) -> Prediction {
        let values: Vec<f64> = self.trees.iter().map(|tree| tree.predict(vector)).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        Prediction { mean, deviation }
    }

    /// Returns the share of trees in which two vectors fall into the same leaf. The share is 1 for vectors
    /// that no tree separates.
    #[must_use]
    pub fn proximity(&self, a: &[f64], b: &[f64]) -> f64 {
        let together = self.trees.iter().filter(|tree| tree.leaf(a) == tree.leaf(b)).count();
        together as f64 / self.trees.len().max(1) as f64
    }
}

impl Tree {
    fn leaf(&self, vector: &[f64]) -> usize {
        let mut at = 0;
        while let Node::Cut { feature, cut, left } = self.0[at] {
            at = left + usize::from(vector.get(feature).is_none_or(|value| *value >= cut));
        }
        at
    }

    fn predict(&self, vector: &[f64]) -> f64 {
        match self.0[self.leaf(vector)] {
            Node::Leaf(mean) => mean,
            Node::Cut { .. } => 0.0,
        }
    }
}

/// Draws several random cuts through these points and returns the best one. The best cut has the smallest sum
/// of squared differences from the means of both sides. Returns `None` if there are too few points or no
/// feature varies.
fn split(columns: &[Vec<f64>], targets: &[f64], members: &[usize], rng: &mut dyn Rng) -> Option<Split> {
    if members.len() <= SMALLEST || columns.is_empty() {
        return None;
    }
    let mut best: Option<(f64, Split)> = None;
    // The paper draws one cut for every feature. Vectors of architectures have hundreds of features, and each
    // ask fits a forest, so one cut for every feature would be many times slower.
    for _ in 0..2 * columns.len().isqrt() {
        let feature = rng.random_range(0..columns.len());
        let column = &columns[feature];
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &member in members {
            (low, high) = (low.min(column[member]), high.max(column[member]));
        }
        // `random` is below 1, so the cut lies above the lowest value and neither side is empty. A feature
        // that does not vary has no such cut.
        let cut = high - (high - low) * rng.random::<f64>();
        if !(cut > low && cut <= high) {
            continue;
        }
        let left = remaining(column, targets, members, cut);
        if best.as_ref().is_none_or(|(least, _)| left < *least) {
            best = Some((left, Split { feature, cut }));
        }
    }
    best.map(|(_, split)| split)
}

/// Returns the sum of squared differences from the means of both sides, minus the sum of all squared targets.
/// The subtracted sum is the same for every cut. So only the number and the sum of the targets on each side
/// are needed, and one pass computes them.
fn remaining(column: &[f64], targets: &[f64], members: &[usize], cut: f64) -> f64 {
    let mut sides = [(0.0, 0.0); 2];
    for &member in members {
        let side = &mut sides[usize::from(column[member] >= cut)];
        side.0 += 1.0;
        side.1 += targets[member];
    }
    sides.iter().filter(|(count, _)| *count > 0.0).map(|(count, sum)| -sum * sum / count).sum()
}

fn mean(targets: &[f64], members: &[usize]) -> f64 {
    members.iter().map(|&member| targets[member]).sum::<f64>() / members.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    /// Targets with a step of height 1 at 0.5 in the first feature. The second feature has no influence.
    fn step() -> (Vec<[f64; 2]>, Vec<f64>) {
        let mut rng = Pcg64::seed_from_u64(3);
        let points: Vec<[f64; 2]> = (0..200).map(|_| [rng.random(), rng.random()]).collect();
        let targets = points.iter().map(|point| f64::from(u8::from(point[0] >= 0.5))).collect();
        (points, targets)
    }

    #[test]
    fn prediction_follows_a_step_and_is_least_certain_at_it() {
        let (points, targets) = step();
        let forest = Forest::fit(&points, &targets, &mut Pcg64::seed_from_u64(1));
        let (low, high, at) =
            (forest.predict(&[0.2, 0.5]), forest.predict(&[0.8, 0.5]), forest.predict(&[0.5, 0.5]));
        assert!(low.mean < 0.05 && high.mean > 0.95, "{low:?} {high:?}");
        assert!(at.deviation > 4.0 * low.deviation.max(high.deviation), "{low:?} {high:?} {at:?}");
        assert!(forest.proximity(&[0.2, 0.5], &[0.21, 0.5]) > forest.proximity(&[0.2, 0.5], &[0.8, 0.5]));
    }

    #[test]
    fn remaining_squares_of_a_cut_by_hand() {
        // One side has the targets 0 and 0, the other side has 3. The squared sums divided by the counts are
        // 0 and 9.
        let left = remaining(&[0.0, 1.0, 2.0], &[0.0, 0.0, 3.0], &[0, 1, 2], 1.5);
        assert!((left + 9.0).abs() < 1e-12);
    }

    #[test]
    fn data_without_a_varying_feature_gives_the_mean() {
        let mut rng = Pcg64::seed_from_u64(1);
        let equal = Forest::fit(&[[1.0]; 8], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], &mut rng);
        assert_eq!(equal.predict(&[7.0]), Prediction { mean: 0.5, deviation: 0.0 });
        assert_eq!(Forest::default().predict(&[7.0]), Prediction { mean: 0.0, deviation: 0.0 });
        let without_numbers: [[f64; 0]; 5] = [[]; 5];
        let found = Forest::fit(&without_numbers, &[2.0; 5], &mut rng).predict(&[]);
        assert_eq!(found, Prediction { mean: 2.0, deviation: 0.0 });
    }
}
