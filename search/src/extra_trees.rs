//! Extremely randomized trees: regression by the mean over trees whose cuts are drawn at random, and how far they disagree.
//!
//! Source: Geurts, Ernst, Wehenkel, Extremely randomized trees, Machine Learning 2006, table 1 (splits by drawn cuts, on all
//! points); Breiman, Random forests, Machine Learning 2001, section 10 (likeness of two points: the share of trees in which
//! they fall into one leaf).

use rand::{Rng, RngExt};

/// Trees of a forest.
const TREES: usize = 30;
/// Points of a node that is cut no further.
const SMALLEST: usize = 3;

/// Trees over vectors of one length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    trees: Vec<Tree>,
}

/// Nodes, the root first.
#[derive(Clone, Debug)]
struct Tree(Vec<Node>);

#[derive(Clone, Debug)]
enum Node {
    /// Vectors whose number `feature` is below `cut` belong to node `left`, the others to the one after it.
    Cut { feature: usize, cut: f64, left: usize },
    /// Mean of the targets.
    Leaf(f64),
}

impl Forest {
    /// Grows the trees; `targets` belong to `points`, of which the shortest says how many numbers are looked at.
    pub(crate) fn fit<V: AsRef<[f64]>>(points: &[V], targets: &[f64], rng: &mut dyn Rng) -> Self {
        let width = points.iter().map(|point| point.as_ref().len()).min().unwrap_or(0);
        let column = |feature: usize| points.iter().map(|point| point.as_ref()[feature]).collect();
        let columns: Vec<Vec<f64>> = (0..width).map(column).collect();
        let tree = |_| {
            let mut nodes = vec![Node::Leaf(0.0)];
            let mut open = vec![(0, (0..points.len()).collect::<Vec<usize>>())];
            while let Some((node, members)) = open.pop() {
                match split(&columns, targets, &members, rng) {
                    Some((feature, cut)) => {
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

    /// Mean and standard deviation over the trees.
    pub(crate) fn predict(&self, vector: &[f64]) -> (f64, f64) {
        let said: Vec<f64> = self.trees.iter().map(|tree| tree.predict(vector)).collect();
        let n = said.len().max(1) as f64;
        let mean = said.iter().sum::<f64>() / n;
        (mean, (said.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    /// The share of the trees in which two vectors fall into one leaf.
    pub(crate) fn likeness(&self, a: &[f64], b: &[f64]) -> f64 {
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

/// The best of some drawn cuts: a feature that varies and a place between its ends each, by the squares that are left.
fn split(
    columns: &[Vec<f64>],
    targets: &[f64],
    members: &[usize],
    rng: &mut dyn Rng,
) -> Option<(usize, f64)> {
    if members.len() <= SMALLEST || columns.is_empty() {
        return None;
    }
    let mut best: Option<(f64, usize, f64)> = None;
    // What is published for regression is every feature, which takes many times as long.
    for _ in 0..2 * columns.len().isqrt() {
        let feature = rng.random_range(0..columns.len());
        let column = &columns[feature];
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &member in members {
            (low, high) = (low.min(column[member]), high.max(column[member]));
        }
        // Above the lowest value, so that neither side is empty.
        let cut = high - (high - low) * rng.random::<f64>();
        if !(cut > low && cut <= high) {
            continue;
        }
        let left = remaining(column, targets, members, cut);
        if best.is_none_or(|(least, ..)| left < least) {
            best = Some((left, feature, cut));
        }
    }
    best.map(|(_, feature, cut)| (feature, cut))
}

/// Sum of squared differences from the means of both sides, up to a constant.
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

    /// A step of height 1 at 0.5 in the first number; the second means nothing.
    fn step() -> (Vec<[f64; 2]>, Vec<f64>) {
        let mut rng = Pcg64::seed_from_u64(3);
        let points: Vec<[f64; 2]> = (0..200).map(|_| [rng.random(), rng.random()]).collect();
        let targets = points.iter().map(|point| f64::from(u8::from(point[0] >= 0.5))).collect();
        (points, targets)
    }

    #[test]
    fn follows_a_step_and_is_unsure_at_it() {
        let (points, targets) = step();
        let forest = Forest::fit(&points, &targets, &mut Pcg64::seed_from_u64(1));
        let (low, high, at) =
            (forest.predict(&[0.2, 0.5]), forest.predict(&[0.8, 0.5]), forest.predict(&[0.5, 0.5]));
        assert!(low.0 < 0.05 && high.0 > 0.95, "{low:?} {high:?}");
        assert!(at.1 > 4.0 * low.1.max(high.1), "{low:?} {high:?} {at:?}");
        assert!(forest.likeness(&[0.2, 0.5], &[0.21, 0.5]) > forest.likeness(&[0.2, 0.5], &[0.8, 0.5]));
    }

    #[test]
    fn a_cut_by_hand() {
        // Sides of 0 and 0, and of 3: squares of the sums over the counts are 0 and 9.
        let left = remaining(&[0.0, 1.0, 2.0], &[0.0, 0.0, 3.0], &[0, 1, 2], 1.5);
        assert!((left + 9.0).abs() < 1e-12);
    }

    #[test]
    fn degenerate_data_gives_the_mean() {
        let mut rng = Pcg64::seed_from_u64(1);
        let equal = Forest::fit(&[[1.0]; 8], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], &mut rng);
        assert_eq!(equal.predict(&[7.0]), (0.5, 0.0));
        assert_eq!(Forest::default().predict(&[7.0]), (0.0, 0.0));
        let without_numbers: [[f64; 0]; 5] = [[]; 5];
        assert_eq!(Forest::fit(&without_numbers, &[2.0; 5], &mut rng).predict(&[]), (2.0, 0.0));
    }
}
