//! Grows one tree by its best leaf.

use super::{BINS_MAX, BoostingPlan, Node, Tree};

/// Pretended points with a target of 0 in each leaf: shrinks the values of small leaves.
const PENALTY: f64 = 1e-3;

/// Targets of the points in one bin of one feature.
#[derive(Clone, Copy, Default)]
struct Cell {
    sum: f64,
    count: f64,
}

/// A cut of a leaf, and by how much it lowers the squared error.
#[derive(Clone, Copy)]
struct Split {
    gain: f64,
    feature: usize,
    /// Points in bins up to this one go left.
    bin: u8,
}

/// A leaf that may be cut.
struct Open {
    node: usize,
    rows: Vec<u32>,
    cells: Vec<Cell>,
    best: Option<Split>,
}

/// A node with the places of its sides.
#[derive(Clone, Copy)]
enum Grown {
    Cut { feature: usize, bin: u8, sides: [usize; 2] },
    Leaf(i8),
}

/// Grows a tree over points, given the bins of their features, row by row, and what is left of their targets.
/// Subtracts the tree's values from what is left.
pub(super) fn grow(bins: &[u8], width: usize, left: &mut [f64], plan: BoostingPlan) -> Tree {
    let rows: Vec<u32> = (0..left.len() as u32).collect();
    let cells = histogram(bins, width, left, &rows);
    let best = best_split(&cells, width, plan.points_min);
    let mut nodes = vec![Grown::Leaf(0)];
    let mut open = vec![Open { node: 0, rows, cells, best }];
    while open.len() < plan.leaves {
        let gain = |leaf: &Open| leaf.best.map_or(f64::NEG_INFINITY, |split| split.gain);
        let Some(place) = (0..open.len()).max_by(|a, b| gain(&open[*a]).total_cmp(&gain(&open[*b]))) else {
            break;
        };
        let Some(Split { feature, bin, .. }) = open[place].best else { break };
        let Open { node, rows, cells: mut larger, .. } = open.swap_remove(place);
        let (low, high): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|row| bins[*row as usize * width + feature] <= bin);
        let smaller = histogram(bins, width, left, if low.len() <= high.len() { &low } else { &high });
        for (all, part) in larger.iter_mut().zip(&smaller) {
            all.sum -= part.sum;
            all.count -= part.count;
        }
        let cells = if low.len() <= high.len() { [smaller, larger] } else { [larger, smaller] };
        let sides = [nodes.len(), nodes.len() + 1];
        nodes[node] = Grown::Cut { feature, bin, sides };
        for (rows, cells) in [low, high].into_iter().zip(cells) {
            let best = best_split(&cells, width, plan.points_min);
            open.push(Open { node: nodes.len(), rows, cells, best });
            nodes.push(Grown::Leaf(0));
        }
    }
    let value = |leaf: &Open| {
        let sum: f64 = leaf.rows.iter().map(|row| left[*row as usize]).sum();
        plan.rate * sum / (leaf.rows.len() as f64 + PENALTY)
    };
    let values: Vec<f64> = open.iter().map(value).collect();
    let scale = (values.iter().fold(0.0_f64, |most, value| most.max(value.abs())) / 127.0) as f32;
    for (leaf, value) in open.iter().zip(values) {
        let whole = if scale > 0.0 { (value / f64::from(scale)).round() as i8 } else { 0 };
        nodes[leaf.node] = Grown::Leaf(whole);
        for row in &leaf.rows {
            left[*row as usize] -= f64::from(scale) * f64::from(whole);
        }
    }
    let mut ordered = Vec::with_capacity(nodes.len());
    order(&nodes, 0, &mut ordered);
    Tree { scale, nodes: ordered }
}

/// Writes a node, its left side and its right side.
fn order(nodes: &[Grown], node: usize, ordered: &mut Vec<Node>) {
    match nodes[node] {
        Grown::Leaf(value) => ordered.push(Node::Leaf(value)),
        Grown::Cut { feature, bin, sides } => {
            let place = ordered.len();
            ordered.push(Node::Leaf(0));
            order(nodes, sides[0], ordered);
            let right = ordered.len() as u8;
            // Bins up to `bin` lie below the edge with this number.
            ordered[place] = Node::Cut { feature: feature as u8, edge: bin, right };
            order(nodes, sides[1], ordered);
        }
    }
}

/// Sums the targets of these points in each bin of each feature.
fn histogram(bins: &[u8], width: usize, left: &[f64], rows: &[u32]) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); width * BINS_MAX];
    for row in rows {
        let row = *row as usize;
        let target = left[row];
        let of_row = &bins[row * width..(row + 1) * width];
        for (bin, cells) in of_row.iter().zip(cells.chunks_exact_mut(BINS_MAX)) {
            let cell = &mut cells[usize::from(*bin) % BINS_MAX];
            cell.sum += target;
            cell.count += 1.0;
        }
    }
    cells
}

/// The cut that lowers the squared error most. `None` if no cut leaves enough points on both sides.
fn best_split(cells: &[Cell], width: usize, points_min: usize) -> Option<Split> {
    let score = |sum: f64, count: f64| sum * sum / (count + PENALTY);
    let mut found: Option<Split> = None;
    for (feature, cells) in cells.chunks_exact(BINS_MAX).enumerate().take(width) {
        let sum: f64 = cells.iter().map(|cell| cell.sum).sum();
        let count: f64 = cells.iter().map(|cell| cell.count).sum();
        let mut below = Cell::default();
        for (bin, cell) in cells.iter().enumerate().take(BINS_MAX - 1) {
            below.sum += cell.sum;
            below.count += cell.count;
            // Counts of subtracted histograms are whole numbers, so they are exact.
            if cell.count < 0.5 || below.count < points_min as f64 {
                continue;
            }
            if count - below.count < points_min.max(1) as f64 {
                break;
            }
            let gain = score(below.sum, below.count) + score(sum - below.sum, count - below.count)
                - score(sum, count);
            if gain > 1e-12 && found.is_none_or(|split| gain > split.gain) {
                found = Some(Split { gain, feature, bin: bin as u8 });
            }
        }
    }
    found
}
