//! Gradient-boosted trees: small trees fitted one after the other, each to what the earlier ones leave over.
//!
//! Source: J. Friedman, Stochastic gradient boosting, Computational Statistics & Data Analysis 38(4), 2002,
//! algorithm 1, with Huber's loss (Greedy function approximation, Annals of Statistics 29(5), 2001, section
//! 4.4). Differs: cuts lie between bins of about equal size, and leaves are shrunk by [`Boosting::penalty`],
//! both as in T. Chen, C. Guestrin, `XGBoost`, KDD 2016, equations 5 and 7.

use rand::{Rng, RngExt};

/// Largest number of bins of a feature.
const BINS: usize = 32;
/// Share of the points whose residuals Huber's loss treats as ordinary.
const ORDINARY: f64 = 0.9;

/// How trees are fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boosting {
    /// Number of trees.
    pub trees: usize,
    /// Number of cuts between the root and a leaf.
    pub depth: usize,
    /// Share of a tree's values that is added.
    pub rate: f64,
    /// Number added to the count of points in each leaf, so that leaves with few points say little.
    pub penalty: f64,
    /// Share of the points that each tree is fitted to.
    pub points: f64,
    /// Share of the features that each tree cuts by.
    pub features: f64,
}

/// Trees over vectors of equal length. Without trees, every prediction is 0.
///
/// # Example
/// ```
/// use kiln_regression::{BoostedTrees, Boosting};
/// use rand::SeedableRng;
/// let points: Vec<[f64; 1]> = (0..40).map(|i| [f64::from(i)]).collect();
/// let targets: Vec<f64> = points.iter().map(|[x]| if *x < 20.0 { 0.0 } else { 1.0 }).collect();
/// let settings = Boosting { trees: 50, depth: 2, rate: 0.2, penalty: 1.0, points: 0.8, features: 1.0 };
/// let trees = BoostedTrees::fit(&points, &targets, &settings, &mut rand_pcg::Pcg64::seed_from_u64(1));
/// assert!(trees.predict(&[3.0]) < 0.1 && trees.predict(&[36.0]) > 0.9);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BoostedTrees {
    start: f64,
    /// The nodes of all trees.
    nodes: Vec<Node>,
    /// Position of each tree's root.
    roots: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    /// Vectors whose value of `feature` is below `cut` go to node `left`. The others go to node `left + 1`.
    Cut { feature: usize, cut: f64, left: usize },
    /// What the tree adds.
    Leaf(f64),
}

/// Points with each feature as the number of its bin.
struct Binned {
    /// Bin of each point, for each feature that varies.
    columns: Vec<Column>,
}

struct Column {
    feature: usize,
    bins: Vec<u8>,
    /// Values between neighboring bins.
    cuts: Vec<f64>,
}

/// Sum of the residuals of some points, and their number.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: f64,
    count: f64,
}

impl Sum {
    /// What a leaf with these points takes from the squared residuals.
    fn gain(self, penalty: f64) -> f64 {
        self.total * self.total / (self.count + penalty)
    }
}

impl BoostedTrees {
    /// Fits trees to points and their targets. Features that the shortest point lacks are ignored.
    #[must_use]
    pub fn fit<V: AsRef<[f64]>>(
        points: &[V],
        targets: &[f64],
        settings: &Boosting,
        rng: &mut dyn Rng,
    ) -> Self {
        let binned = Binned::new(points);
        let mut sorted = targets.to_vec();
        sorted.sort_by(f64::total_cmp);
        let start = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let mut fitted = Self { start, ..Self::default() };
        if binned.columns.is_empty() {
            return fitted;
        }
        let mut left_over: Vec<f64> = targets.iter().map(|target| target - start).collect();
        for _ in 0..settings.trees {
            let mut sizes: Vec<f64> = left_over.iter().map(|residual| residual.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let limit = sizes[((sizes.len() - 1) as f64 * ORDINARY) as usize];
            let residuals: Vec<f64> =
                left_over.iter().map(|residual| residual.clamp(-limit, limit)).collect();
            let members = drawn(left_over.len(), settings.points, rng);
            let features = drawn(binned.columns.len(), settings.features, rng);
            let root = fitted.nodes.len();
            fitted.roots.push(root);
            fitted.grow(&binned, &residuals, (members, &features), settings);
            for (point, residual) in points.iter().zip(&mut left_over) {
                *residual -= fitted.tree(root, point.as_ref());
            }
        }
        fitted
    }

    /// Adds the nodes of a tree.
    fn grow(
        &mut self,
        binned: &Binned,
        residuals: &[f64],
        (members, features): (Vec<usize>, &[usize]),
        settings: &Boosting,
    ) {
        let mut open = vec![(self.nodes.len(), members, 0)];
        self.nodes.push(Node::Leaf(0.0));
        while let Some((node, members, depth)) = open.pop() {
            let whole = members.iter().fold(Sum::default(), |sum, &member| Sum {
                total: sum.total + residuals[member],
                count: sum.count + 1.0,
            });
            let split = if depth < settings.depth {
                binned.split(residuals, &members, features, whole, settings.penalty)
            } else {
                None
            };
            let Some((column, bin)) = split else {
                self.nodes[node] = Node::Leaf(settings.rate * whole.total / (whole.count + settings.penalty));
                continue;
            };
            let Column { feature, bins, cuts } = &binned.columns[column];
            let left = self.nodes.len();
            self.nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
            self.nodes[node] = Node::Cut { feature: *feature, cut: cuts[bin], left };
            let (below, above) = members.into_iter().partition(|&member| usize::from(bins[member]) <= bin);
            open.extend([(left, below, depth + 1), (left + 1, above, depth + 1)]);
        }
    }

    /// What one tree adds.
    fn tree(&self, root: usize, vector: &[f64]) -> f64 {
        let mut at = root;
        loop {
            match self.nodes[at] {
                Node::Cut { feature, cut, left } => {
                    at = left + usize::from(vector.get(feature).is_none_or(|value| *value >= cut));
                }
                Node::Leaf(value) => return value,
            }
        }
    }

    /// Returns the sum of the trees' values and the median of the targets.
    #[must_use]
    pub fn predict(&self, vector: &[f64]) -> f64 {
        self.start + self.roots.iter().map(|root| self.tree(*root, vector)).sum::<f64>()
    }
}

impl Binned {
    fn new<V: AsRef<[f64]>>(points: &[V]) -> Self {
        let width = points.iter().map(|point| point.as_ref().len()).min().unwrap_or(0);
        let column = |feature: usize| {
            let values = || points.iter().map(|point| point.as_ref()[feature]);
            let mut sorted: Vec<f64> = values().collect();
            sorted.sort_by(f64::total_cmp);
            let mut cuts: Vec<f64> = Vec::new();
            let step = sorted.len().div_ceil(BINS).max(1);
            let mut since = 0;
            for pair in sorted.windows(2) {
                since += 1;
                // Equal values share a bin, so that a feature with few values has a cut between any two.
                let apart = pair[1] > pair[0];
                let distinct = sorted.len() <= BINS || since >= step;
                if apart && distinct {
                    cuts.push(pair[0].midpoint(pair[1]));
                    since = 0;
                }
            }
            let bin = |value: f64| cuts.partition_point(|cut| *cut <= value) as u8;
            let bins = values().map(bin).collect();
            (!cuts.is_empty()).then_some(Column { feature, bins, cuts })
        };
        Self { columns: (0..width).filter_map(column).collect() }
    }

    /// The cut that takes most from the squared residuals: a column and the last bin below the cut.
    fn split(
        &self,
        residuals: &[f64],
        members: &[usize],
        features: &[usize],
        whole: Sum,
        penalty: f64,
    ) -> Option<(usize, usize)> {
        let mut best: Option<(f64, usize, usize)> = None;
        for &column in features {
            let Column { bins, cuts, .. } = &self.columns[column];
            let mut sums = [Sum::default(); BINS + 1];
            for &member in members {
                let sum = &mut sums[usize::from(bins[member])];
                sum.total += residuals[member];
                sum.count += 1.0;
            }
            let mut below = Sum::default();
            for (bin, sum) in sums[..cuts.len()].iter().enumerate() {
                below = Sum { total: below.total + sum.total, count: below.count + sum.count };
                let above = Sum { total: whole.total - below.total, count: whole.count - below.count };
                if below.count < 0.5 || above.count < 0.5 {
                    continue;
                }
                let gain = below.gain(penalty) + above.gain(penalty);
                if best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, column, bin));
                }
            }
        }
        let (gain, column, bin) = best?;
        (gain > whole.gain(penalty) * (1.0 + 1e-9)).then_some((column, bin))
    }
}

/// Draws a share of the numbers below `count`, at least one, in ascending order.
fn drawn(count: usize, share: f64, rng: &mut dyn Rng) -> Vec<usize> {
    let wanted = ((count as f64 * share).round() as usize).clamp(1, count.max(1));
    let mut open = wanted;
    // Knuth, The art of computer programming 2, section 3.4.2, algorithm S.
    (0..count)
        .filter(|place| {
            let taken = rng.random_range(0..count - place) < open;
            open -= usize::from(taken);
            taken
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    const PLAIN: Boosting =
        Boosting { trees: 1, depth: 1, rate: 1.0, penalty: 0.0, points: 1.0, features: 1.0 };

    fn fit<V: AsRef<[f64]>>(points: &[V], targets: &[f64], settings: &Boosting) -> BoostedTrees {
        BoostedTrees::fit(points, targets, settings, &mut Pcg64::seed_from_u64(7))
    }

    #[test]
    fn one_tree_of_two_leaves_by_hand() {
        // The median is 4 and no residual exceeds the limit of 4: the sides lie at -4 and at 0.
        let trees = fit(&[[0.0], [1.0], [2.0], [3.0]], &[0.0, 0.0, 4.0, 4.0], &PLAIN);
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert!(near(trees.predict(&[0.5]), 0.0) && near(trees.predict(&[2.5]), 4.0));
        // A penalty as large as the leaf halves what it adds.
        let half =
            fit(&[[0.0], [1.0], [2.0], [3.0]], &[0.0, 0.0, 4.0, 4.0], &Boosting { penalty: 2.0, ..PLAIN });
        assert!(near(half.predict(&[0.5]), 2.0) && near(half.predict(&[2.5]), 4.0));
    }

    #[test]
    fn trees_learn_an_interaction_and_the_second_half_repeats_the_first() {
        let mut rng = Pcg64::seed_from_u64(3);
        let points: Vec<[f64; 3]> = (0..400).map(|_| [rng.random(), rng.random(), rng.random()]).collect();
        let both = |point: &[f64; 3]| f64::from(u8::from((point[0] > 0.5) != (point[1] > 0.5)));
        let targets: Vec<f64> = points.iter().map(both).collect();
        let settings = Boosting { trees: 200, depth: 3, rate: 0.1, penalty: 1.0, points: 0.7, features: 0.7 };
        let trees = fit(&points, &targets, &settings);
        let others: Vec<[f64; 3]> = (0..400).map(|_| [rng.random(), rng.random(), rng.random()]).collect();
        let wrong =
            others.iter().filter(|point| (trees.predict(&point[..]) - both(point)).abs() > 0.5).count();
        assert!(wrong < 40, "{wrong} of 400");
        let again = fit(&points, &targets, &settings);
        assert!(others.iter().all(|point| { again.predict(point).total_cmp(&trees.predict(point)).is_eq() }));
    }

    #[test]
    fn outlier_moves_the_trees_little() {
        let points: Vec<[f64; 1]> = (0..100).map(|i| [f64::from(i)]).collect();
        let mut targets: Vec<f64> = (0..100).map(|i| f64::from(i % 2) * 0.01).collect();
        targets[50] = 1e6;
        let trees = fit(&points, &targets, &Boosting { trees: 50, ..PLAIN });
        assert!(points.iter().all(|point| trees.predict(point).abs() < 1.0));
    }

    #[test]
    fn points_without_features_are_predicted_by_their_median() {
        let predicted = [
            fit::<[f64; 0]>(&[[], [], []], &[1.0, 5.0, 2.0], &PLAIN).predict(&[]),
            fit(&[[1.0], [1.0]], &[3.0, 3.0], &PLAIN).predict(&[9.0]),
            fit::<[f64; 1]>(&[], &[], &PLAIN).predict(&[9.0]),
        ];
        assert!(
            predicted.iter().zip([2.0, 3.0, 0.0]).all(|(found, expected)| (found - expected).abs() < 1e-12)
        );
    }
}
